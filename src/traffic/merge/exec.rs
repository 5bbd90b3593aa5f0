//! The replies of a block (MULTI, the queued commands, EXEC) become EXEC's.
//!
//! What Circlet queued, the node may still refuse when it is sent (no memory, a command that it does not have): it then
//! runs nothing, and its EXEC says no more than that. The client has been told QUEUED, so the reason stands in EXEC's
//! error. Pure.

use super::{Aggregate, Context, Part, State};
use crate::traffic::refusal::Refusal;

/// Appends the reply to EXEC: the last part's, or an error that says more.
pub(super) fn finish(aggregate: &Aggregate, cx: &Context<'_>, out: &mut Vec<u8>) {
    let [multi, queued @ .., exec] = aggregate.parts.as_slice() else { return };
    if exec.state == State::Replied
        && let Some(why) = refused(aggregate, multi)
    {
        return Refusal::MultiRefused(cx.topology.node(multi.node), &why).write(out);
    }
    if aggregate.is_error(exec)
        && exec.state == State::Replied
        && let Some(why) = queued.iter().find_map(|part| refused(aggregate, part))
    {
        return Refusal::ExecAbort(&why).write(out);
    }
    out.extend_from_slice(aggregate.bytes(exec));
}

/// The node's error in place of QUEUED.
fn refused(aggregate: &Aggregate, part: &Part) -> Option<String> {
    let line = aggregate.bytes(part).strip_prefix(b"-").filter(|_| part.state == State::Replied)?;
    Some(String::from_utf8_lossy(line.strip_suffix(b"\r\n").unwrap_or(line)).into_owned())
}

#[cfg(test)]
mod tests {
    use crate::traffic::{
        merge::{
            Kind,
            fixture::{aggregate, finished},
        },
        settings::PartialReads,
    };

    fn exec(replies: &[Result<&str, &str>]) -> String {
        finished(&aggregate(Kind::Exec, &[], replies), PartialReads::Error)
    }

    #[test]
    fn execs_reply_is_the_nodes() {
        for reply in ["*1\r\n:1\r\n", "*-1\r\n", "_\r\n", "-EXECABORT no\r\n"] {
            assert_eq!(exec(&[Ok("+OK\r\n"), Ok("+QUEUED\r\n"), Ok(reply)]), reply);
        }
        assert_eq!(exec(&[Ok("+OK\r\n"), Ok("+QUEUED\r\n"), Err("-OUTCOMEUNKNOWN x\r\n")]), "-OUTCOMEUNKNOWN x\r\n");
    }

    #[test]
    fn the_reason_of_an_abort_is_told() {
        let abort = "-EXECABORT Transaction discarded because of previous errors.\r\n";
        let replies = [Ok("+OK\r\n"), Ok("-OOM no memory.\r\n"), Ok(abort)];
        assert_eq!(exec(&replies), "-EXECABORT Transaction discarded because of: OOM no memory.\r\n");
        let refused = exec(&[Ok("-NOPERM no\r\n"), Ok(":1\r\n"), Ok("-ERR EXEC without MULTI\r\n")]);
        assert!(refused.starts_with("-ERR node a (127.0.0.1:7001) refuses MULTI, so"), "{refused}");
    }
}
