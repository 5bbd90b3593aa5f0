//! Each command's rounds: what is asked after what was answered.

use super::*;
use crate::traffic::{
    command::Gather,
    merge::{Kind, fixture, info},
    resp::Limits,
    settings::PartialReads,
};

const DOWN: &str = "-NODEDOWN node b (127.0.0.1:7002): connection refused\r\n";
const OK: &str = "+OK\r\n";

fn nodes() -> impl Iterator<Item = NodeId> {
    (0..3).map(NodeId)
}

/// A round at `asked`, answered with `replies`; `Err`: Circlet's own refusal.
fn round(steps: &mut Steps, asked: &[u16], replies: &[Result<&str, &str>]) -> Next {
    round_in_run(steps, asked, replies, 1)
}

fn round_in_run(steps: &mut Steps, asked: &[u16], replies: &[Result<&str, &str>], run: u32) -> Next {
    let mut round = fixture::aggregate(Kind::Round, &[], replies);
    round.parts.iter_mut().zip(asked).for_each(|(part, node)| part.node = NodeId(*node));
    let topology = fixture::topology(&["a", "b", "c"]);
    let (limits, own, audience) =
        (Limits::default(), info::Own::default(), crate::traffic::pubsub::Audience::default());
    let partial_reads = PartialReads::Error;
    let cx = Context {
        topology: &topology,
        partial_reads,
        limits: &limits,
        random: 1,
        own: &own,
        audience: &audience,
        surplus: 0,
        run: 0,
    };
    steps.next(&round, &cx, &|_| run)
}

fn words(questions: &[Question]) -> Vec<(u16, String)> {
    let text = |question: &Question| {
        let text = String::from_utf8(question.request.clone()).unwrap();
        text.lines().filter(|line| !line.starts_with(['*', '$'])).collect::<Vec<_>>().join(" ")
    };
    questions.iter().map(|question| (question.node.0, text(question))).collect()
}

fn asked(next: &Next) -> Vec<(u16, String)> {
    match next {
        Next::Ask(questions) => words(questions),
        other => panic!("{other:?}"),
    }
}

fn answer(next: Next) -> String {
    match next {
        Next::Answer(text) => String::from_utf8(text).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn all(text: &str) -> Vec<(u16, String)> {
    (0..3).map(|node| (node, text.to_owned())).collect()
}

fn value(name: &str, value: &str) -> String {
    format!("*2\r\n${}\r\n{name}\r\n${}\r\n{value}\r\n", name.len(), value.len())
}

/// CONFIG SET maxmemory 9, after the old values 1, 2 and 3 were read.
fn set() -> Steps {
    let (steps, questions) =
        ConfigSet::begin(vec![(b"maxmemory".to_vec(), b"9".to_vec())], Default::default(), false, nodes());
    assert_eq!(words(&questions), all("CONFIG GET maxmemory"));
    let mut steps = Steps::ConfigSet(steps);
    assert!(steps.only_reads() && steps.outlives_client());
    let old = [value("maxmemory", "1"), value("maxmemory", "2"), value("maxmemory", "3")];
    let next = round(&mut steps, &[0, 1, 2], &[Ok(&old[0]), Ok(&old[1]), Ok(&old[2])]);
    assert_eq!(asked(&next), all("CONFIG SET maxmemory 9"));
    assert!(!steps.only_reads());
    steps
}

#[test]
fn a_parameter_is_read_then_set_on_every_node() {
    assert_eq!(answer(round(&mut set(), &[0, 1, 2], &[Ok(OK); 3])), OK);
}

#[test]
fn nothing_is_set_unless_every_old_value_is_known() {
    let (steps, _) = ConfigSet::begin(vec![(b"maxmemory".to_vec(), b"9".to_vec())], Default::default(), false, nodes());
    let old = value("maxmemory", "1");
    let next = round(&mut Steps::ConfigSet(steps), &[0, 1, 2], &[Ok(&old), Err(DOWN), Ok(&old)]);
    assert_eq!(answer(next), format!("{}; nothing was set\r\n", DOWN.trim_end()));
}

#[test]
fn a_node_that_refuses_has_the_others_put_back_to_what_each_had() {
    let mut steps = set();
    let refused = "-ERR CONFIG SET failed - too much\r\n";
    let next = round(&mut steps, &[0, 1, 2], &[Ok(OK), Ok(refused), Ok(OK)]);
    assert_eq!(asked(&next), [(0, "CONFIG SET maxmemory 1".to_owned()), (2, "CONFIG SET maxmemory 3".to_owned())]);
    let next = round(&mut steps, &[0, 2], &[Ok(OK), Ok(OK)]);
    assert_eq!(answer(next), "-ERR CONFIG SET failed - too much (node b); the other nodes were put back\r\n");
}

#[test]
fn a_node_that_may_have_set_it_is_put_back_too_and_what_could_not_be_is_told() {
    let mut steps = set();
    let lost = "-OUTCOMEUNKNOWN node b: lost\r\n";
    let next = round(&mut steps, &[0, 1, 2], &[Ok(OK), Err(lost), Ok(OK)]);
    assert_eq!(asked(&next).iter().map(|(node, _)| *node).collect::<Vec<_>>(), [0, 1, 2]);
    let next = round(&mut steps, &[0, 1, 2], &[Ok(OK), Err(DOWN), Ok("-ERR no\r\n")]);
    assert_eq!(answer(next), "-OUTCOMEUNKNOWN node b: lost; node c could not be put back: ERR no\r\n");
}

#[test]
fn what_every_node_refuses_is_redis_s_own_text() {
    let refused = "-ERR Unknown option or number of arguments for CONFIG SET - 'x'\r\n";
    assert_eq!(answer(round(&mut set(), &[0, 1, 2], &[Ok(refused); 3])), refused);
}

#[test]
fn circlets_own_options_come_first_and_are_put_back_with_the_nodes() {
    let (own, old) = (vec![("a".to_owned(), "7".to_owned())], vec![("a".to_owned(), "1".to_owned())]);
    let begin = || {
        Steps::ConfigSet(
            ConfigSet::begin(vec![(b"maxmemory".to_vec(), b"5".to_vec())], (own.clone(), old.clone()), true, nodes()).0,
        )
    };
    let before = value("maxmemory", "1");
    let read = |steps: &mut Steps| round(steps, &[0, 1, 2], &[Ok(before.as_str()); 3]);
    let refused = "-ERR no\r\n";

    let mut steps = begin();
    assert_eq!(read(&mut steps), Next::Change(own.clone()));
    assert_eq!(asked(&steps.changed(Ok(()))), all("CONFIG SET maxmemory 5"));
    assert_eq!(answer(round(&mut steps, &[0, 1, 2], &[Ok(OK); 3])), OK);

    let mut steps = begin();
    read(&mut steps);
    assert_eq!(answer(steps.changed(Err("ERR CONFIG SET failed".to_owned()))), "-ERR CONFIG SET failed\r\n");

    let mut steps = begin();
    read(&mut steps);
    steps.changed(Ok(()));
    assert_eq!(round(&mut steps, &[0, 1, 2], &[Ok(refused); 3]), Next::Change(old.clone()), "nobody did: only here");
    assert_eq!(answer(steps.changed(Ok(()))), refused);

    let mut steps = begin();
    read(&mut steps);
    steps.changed(Ok(()));
    let next = round(&mut steps, &[0, 1, 2], &[Ok(OK), Ok(refused), Ok(OK)]);
    assert_eq!(asked(&next).len(), 2);
    assert_eq!(round(&mut steps, &[0, 2], &[Ok(OK); 2]), Next::Change(old.clone()));
    assert_eq!(answer(steps.changed(Ok(()))), "-ERR no (node b); the other nodes were put back\r\n");
}

#[test]
fn a_protected_parameter_is_not_set_for_a_client_of_another_machine() {
    for (local, protection, refused) in [(false, "local", true), (true, "local", false), (false, "yes", false)] {
        let pairs = vec![(b"dir".to_vec(), b"/x".to_vec())];
        let (steps, questions) = ConfigSet::begin(pairs, Default::default(), local, nodes());
        assert_eq!(words(&questions), all("CONFIG GET dir enable-protected-configs"));
        let old = format!("*4\r\n{}{}", &value("dir", "/")[4..], &value("enable-protected-configs", protection)[4..]);
        match round(&mut Steps::ConfigSet(steps), &[0, 1, 2], &[Ok(old.as_str()); 3]) {
            Next::Answer(text) => {
                assert!(refused && String::from_utf8_lossy(&text).contains("can't set protected config"))
            }
            next => assert!(!refused && asked(&next) == all("CONFIG SET dir /x")),
        }
    }
}

#[test]
fn passwords_of_nodes_are_not_shown_and_own_options_stand_behind() {
    let mut steps =
        Steps::ConfigGet(ConfigGet { own: vec![("circlet.workers".into(), "2".into())], followed: Vec::new() });
    let reply = value("requirepass", "geheim");
    let got = answer(round(&mut steps, &[0], &[Ok(&reply)]));
    assert_eq!(got, "*4\r\n$11\r\nrequirepass\r\n$0\r\n\r\n$15\r\ncirclet.workers\r\n$1\r\n2\r\n");
}

#[test]
fn what_circlet_follows_itself_is_shown_instead_of_the_nodes_value() {
    let followed = vec![("cluster-enabled", "yes".to_owned())];
    let mut steps = Steps::ConfigGet(ConfigGet { own: Vec::new(), followed });
    let got = answer(round(&mut steps, &[0], &[Ok(&value("cluster-enabled", "no"))]));
    assert_eq!(got, value("cluster-enabled", "yes"));
}

#[test]
fn databases_are_swapped_back_where_they_were_swapped() {
    let swap = b"*3\r\n$6\r\nSWAPDB\r\n$1\r\n0\r\n$1\r\n1\r\n";
    let begin = || Steps::SwapDb(SwapDb::begin(swap, nodes()).0);
    assert_eq!(answer(round(&mut begin(), &[0, 1, 2], &[Ok(OK); 3])), OK);
    let out_of_range = "-ERR DB index is out of range\r\n";
    assert_eq!(answer(round(&mut begin(), &[0, 1, 2], &[Ok(out_of_range); 3])), out_of_range);
    let mut steps = begin();
    let next = round(&mut steps, &[0, 1, 2], &[Ok(OK), Err(DOWN), Ok(out_of_range)]);
    assert_eq!(asked(&next), [(0, "SWAPDB 0 1".to_owned())]);
    let got = answer(round(&mut steps, &[0], &[Ok(OK)]));
    assert_eq!(got, format!("{}; the other nodes were swapped back\r\n", DOWN.trim_end()));
    assert_eq!(answer(round(&mut begin(), &[0, 1, 2], &[Err(DOWN); 3])), DOWN);
}

#[test]
fn debug_is_for_those_whom_every_node_allows_it() {
    let begin = |local| Steps::Debug(Debug::begin(b"*0\r\n", &[NodeId(2)], Gather::Ok, local, nodes()).0);
    let may = |word: &str| value("enable-debug-command", word);
    for (local, words, allowed) in [
        (false, ["yes", "yes", "yes"], true),
        (false, ["yes", "no", "yes"], false),
        (false, ["yes", "local", "yes"], false),
        (true, ["local", "local", "yes"], true),
    ] {
        let mut steps = begin(local);
        let replies = words.map(may);
        let next = round(&mut steps, &[0, 1, 2], &[Ok(&replies[0]), Ok(&replies[1]), Ok(&replies[2])]);
        if allowed {
            assert_eq!(asked(&next).len(), 1);
            assert_eq!(answer(round(&mut steps, &[2], &[Ok("+done\r\n")])), "+done\r\n");
        } else {
            let text = answer(next);
            assert!(text.starts_with("-ERR DEBUG command not allowed.") && text.contains("(node b)"), "{text}");
        }
    }
    // A node that does not know the parameter is older than it.
    assert_eq!(asked(&round(&mut begin(false), &[0, 1, 2], &[Ok("*0\r\n"); 3])).len(), 1);
}

#[test]
fn a_slots_keys_are_collected_over_all_nodes_and_a_restarted_one_is_looked_at_anew() {
    let topology = fixture::topology(&["a", "b", "c"]);
    let slot = crate::traffic::route::slot_of(b"{x}1");
    let mine = topology.owner(b"{x}1");
    let (steps, questions) = SlotKeys::begin(slot, None, std::iter::once(mine));
    assert_eq!(words(&questions), [(mine.0, "SCAN 0 COUNT 1000".to_owned())]);
    let mut steps = Steps::SlotKeys(steps);
    let reply = |cursor: &str, keys: &[&str]| {
        let keys: String = keys.iter().map(|key| format!("${}\r\n{key}\r\n", key.len())).collect();
        let count = keys.matches('$').count();
        format!("*2\r\n${}\r\n{cursor}\r\n*{count}\r\n{keys}", cursor.len())
    };
    let next = round_in_run(&mut steps, &[mine.0], &[Ok(&reply("8", &["{x}1", "other"]))], 1);
    assert_eq!(asked(&next), [(mine.0, "SCAN 8 COUNT 1000".to_owned())]);
    let next = round_in_run(&mut steps, &[mine.0], &[Ok(&reply("0", &["{x}2"]))], 2);
    assert_eq!(asked(&next), [(mine.0, "SCAN 0 COUNT 1000".to_owned())], "another run answered");
    let next = round_in_run(&mut steps, &[mine.0], &[Ok(&reply("0", &["{x}1", "{x}3"]))], 2);
    assert_eq!(answer(next), ":3\r\n");
}
