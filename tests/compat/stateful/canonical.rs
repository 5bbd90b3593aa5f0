//! Frames as they are compared: without what Redis leaves to its hash tables.

use std::{collections::VecDeque, ops::Range};

use super::side::Side;

/// The channels of the plays, those from a word too many included.
const CHANNELS: [&str; 5] = ["{t}c", "{t}d", "{t}e", "__redis__:invalidate", "{t}a"];

/// The frames of one stream. Ids of connections have become their numbers; lists of channels
/// are in order, and so is what leaves several at once, and what comes for the patterns that one message fits.
pub fn canonical(frames: &VecDeque<Vec<u8>>, side: &Side) -> Vec<Vec<u8>> {
    let mut frames: Vec<Vec<u8>> = frames.iter().map(|frame| named(frame, side)).collect();
    frames.iter_mut().for_each(sort_list);
    let mut at = 0;
    while at < frames.len() {
        let leaving = frames[at..].iter().take_while(|frame| left_channel(frame).is_some()).count();
        let same_message = match message(&frames[at]) {
            Some(message) => frames[at..].iter().take_while(|frame| frame.ends_with(message)).count(),
            None => 0,
        };
        let run = &mut frames[at..at + leaving.max(same_message)];
        if same_message > 0 {
            run.sort();
        } else {
            sort_channels(run);
        }
        at += leaving.max(same_message).max(1);
    }
    frames
}

/// Puts the channels of confirmations in order; their counts stay where they are.
fn sort_channels(frames: &mut [Vec<u8>]) {
    let mut names: Vec<Vec<u8>> =
        frames.iter().filter_map(|frame| Some(frame[left_channel(frame)?].to_vec())).collect();
    names.sort();
    for (frame, name) in frames.iter_mut().zip(names) {
        frame.splice(left_channel(frame).unwrap_or(0..0), name);
    }
}

/// Puts the channels in a list of them in order.
fn sort_list(frame: &mut Vec<u8>) {
    let names = CHANNELS.map(|name| format!("${}\r\n{name}\r\n", name.len()).into_bytes());
    let mut at = 0;
    while at < frame.len() {
        let mut run: Vec<&[u8]> = Vec::new();
        let mut end = at;
        while let Some(name) = names.iter().find(|name| frame[end..].starts_with(name)) {
            run.push(name);
            end += name.len();
        }
        run.sort_unstable();
        frame.splice(at..end, run.concat());
        at = end.max(at + 1);
    }
}

/// Where the lines of a frame begin.
fn lines(frame: &[u8]) -> Vec<usize> {
    let ends = frame.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect()
}

/// Where the channel stands in the confirmation that it was left.
fn left_channel(frame: &[u8]) -> Option<Range<usize>> {
    let lines = lines(frame);
    let leaves = lines.len() > 5 && frame[lines[2]..lines[3]].ends_with(b"unsubscribe\r\n");
    leaves.then(|| lines[3]..lines[5])
}

/// Channel and content of a message that came for a pattern.
fn message(frame: &[u8]) -> Option<&[u8]> {
    let lines = lines(frame);
    (lines.len() > 5 && frame[lines[2]..].starts_with(b"pmessage\r\n")).then(|| &frame[lines[5]..])
}

/// The frame with `#1` for the id of connection 1, and `#-1` for that of the second one that has left.
fn named(frame: &[u8], side: &Side) -> Vec<u8> {
    let mut text = frame.to_vec();
    let now = side.connections.iter().enumerate().map(|(at, connection)| (&connection.id, format!("#{at}")));
    let former = side.former.iter().enumerate().map(|(at, id)| (id, format!("#-{at}")));
    for (id, name) in now.chain(former) {
        let (id, name) = (format!(":{id}\r\n"), format!(":{name}\r\n"));
        while let Some(place) = text.windows(id.len()).position(|part| part == id.as_bytes()) {
            text.splice(place..place + id.len(), name.bytes());
        }
    }
    text
}
