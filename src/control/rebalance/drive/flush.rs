//! FLUSHALL and FLUSHDB while nodes change: at every member, and so that nothing of before comes back.
//!
//! While keys move, a fence is put up first; the targets lose their sets of tombstones with everything else, so whatever is
//! still under way to them has no effect; then the part is opened anew with another nonce. Io.

use redis_protocol::resp2::{decode, types::OwnedFrame};

use super::{Ask, Course, Driver, held, leg::Leg};
use crate::{
    control::probe::Conversation,
    traffic::{core::Message, refusal::Refusal, resp::encode, route::Node},
};

impl Driver {
    pub(super) fn has_flush(&self) -> bool {
        !held(&self.flushes).is_empty()
    }

    /// Flushes for everybody who waits. Nothing may be moving.
    pub(super) async fn flush_now(&self) {
        loop {
            let next = held(&self.flushes).pop_front();
            let Some(Ask::Flush { request, db, asker }) = next else { return };
            let words = words(&request);
            let all = words.first().is_some_and(|name| name.eq_ignore_ascii_case("flushall"));
            self.tools.mover.progress().forget_copies((!all).then_some(db));
            let topology = self.tools.fleet.topology();
            let mut text = Vec::new();
            for node in topology.members().iter().map(|id| topology.node(*id)) {
                if let Err(line) = self.flush_at(node, db, &words).await
                    && text.is_empty()
                {
                    text = line;
                }
            }
            if text.is_empty() {
                encode::simple(&mut text, "OK");
            }
            self.tools.fleet.tell(asker.worker, Message::Answer { to: asker, text });
        }
    }

    /// Flushes while a part moves.
    pub(super) async fn flush_moving(&self, heading: &Course, leg: Leg) {
        let Some(change) = self.kept().state.change.clone() else { return };
        self.fence(heading, &change).await;
        self.flush_now().await;
        self.open_anew(heading, leg).await;
    }

    /// One node; else the error line.
    async fn flush_at(&self, node: &Node, db: u32, words: &[String]) -> Result<(), Vec<u8>> {
        let pipe = self.tools.live.pipe();
        let down = |why: String| Refusal::NodeDown(node, &why).line();
        let open = Conversation::open(node, pipe.connect_timeout, pipe.request_timeout).await;
        let mut conversation = open.map_err(|trouble| down(trouble.to_string()))?;
        let select = ["SELECT".to_owned(), db.to_string()];
        for words in [&select[..], words] {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let reply = conversation.ask(&words).await.map_err(|trouble| down(trouble.to_string()))?;
            if reply.starts_with(b"-") {
                return Err(reply.to_vec());
            }
        }
        Ok(())
    }
}

/// The words of a request.
fn words(request: &[u8]) -> Vec<String> {
    let Ok(Some((OwnedFrame::Array(items), _))) = decode::decode(request) else { return Vec::new() };
    let word = |item: OwnedFrame| match item {
        OwnedFrame::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        _ => String::new(),
    };
    items.into_iter().map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_apart() {
        assert_eq!(words(b"*2\r\n$7\r\nFLUSHDB\r\n$5\r\nASYNC\r\n"), ["FLUSHDB", "ASYNC"]);
    }
}
