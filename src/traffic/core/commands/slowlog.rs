//! SLOWLOG: the slow requests that Circlet measured, in Redis's shape.
//!
//! The six fields are Redis's, no more: go-redis and others read exactly these. Which node a request waited for, and the parts
//! of its time, stand as one more argument behind the command's own, in the form in which Redis says that it cut some.

use super::integer;
use crate::traffic::{
    client::ClientKey,
    core::{Core, request::Request},
    refusal::Refusal,
    resp::encode,
};

/// Entries that SLOWLOG GET shows if it is not told, as in Redis.
const SHOWN: usize = 10;

impl Core {
    /// `SLOWLOG GET [count]`
    pub(super) fn slowlog_get(&mut self, key: ClientKey, request: Request<'_>) {
        let count = match request.args.len() {
            2 => SHOWN,
            3 => match integer(request.arg(2)) {
                Some(-1) => usize::MAX,
                Some(count) if count >= 0 => count as usize,
                _ => return self.refuse(key, &Refusal::Redis("ERR count should be greater than or equal to -1")),
            },
            _ => return self.refuse(key, &Refusal::SubcommandSyntax(request.arg(1), "SLOWLOG")),
        };
        let journal = std::sync::Arc::clone(&self.journal);
        self.answer(key, |out| {
            let log = journal.slow();
            let newest = log.newest(count);
            encode::array_header(out, newest.len());
            for (id, slow) in newest {
                encode::array_header(out, 6);
                encode::integer(out, *id as i64);
                encode::integer(out, slow.at_s as i64);
                encode::integer(out, slow.us as i64);
                encode::array_header(out, slow.args.len() + 1);
                slow.args.iter().for_each(|arg| encode::bulk(out, arg));
                encode::bulk(out, slow.parts().as_bytes());
                encode::bulk(out, slow.addr.as_bytes());
                encode::bulk(out, slow.name.as_bytes());
            }
        });
    }
}
