//! Each outcome in each form.

use bytes::Bytes;

use super::*;
use crate::{control::lock::keeper::Token, traffic::lock::LockName};

fn text(outcome: &Outcome, form: &Form, resp3: bool) -> String {
    let mut out = Vec::new();
    write(outcome, form, resp3, &mut out);
    String::from_utf8(out).unwrap()
}

fn granted() -> Outcome {
    Outcome::Granted { token: Token([0xa5; 16]), fence: 33, validity_ms: 29_698, waited_ms: 4, holds: 1 }
}

fn taken() -> Outcome {
    Outcome::Taken { value: Some(Bytes::from_static(b"me")), pttl_ms: Some(1_700) }
}

fn read() -> Outcome {
    Outcome::Read(Some(Read { value: Bytes::from_static(b"me"), pttl_ms: 1_500, holds: 2 }))
}

#[test]
fn lock_commands_answer_as_the_readme_says() {
    let token = "a5".repeat(16);
    assert_eq!(text(&granted(), &Form::Lock, false), format!("*4\r\n$32\r\n{token}\r\n:33\r\n:29698\r\n:4\r\n"));
    assert_eq!(text(&taken(), &Form::Lock, false), "*-1\r\n");
    assert_eq!(text(&taken(), &Form::Lock, true), "_\r\n");
    let extended = Outcome::Extended { fence: 33, validity_ms: 9_000 };
    assert_eq!(text(&extended, &Form::Lock, true), "*2\r\n:33\r\n:9000\r\n");
    assert_eq!(text(&Outcome::Lost("its time was over".into()), &Form::Lock, false), "-LOCKLOST its time was over\r\n");
    assert_eq!(text(&Outcome::Released { holds: 0 }, &Form::Lock, false), ":1\r\n");
    assert_eq!(text(&Outcome::NotHeld, &Form::Lock, false), ":0\r\n");
}

#[test]
fn the_prefix_answers_as_redis_would() {
    let is = |value: &'static str| Form::Is(Bytes::from_static(value.as_bytes()));
    let held_by = |value: &'static str| Form::HeldBy(Bytes::from_static(value.as_bytes()));
    let extended = Outcome::Extended { fence: 1, validity_ms: 1 };
    let rows = [
        (granted(), Form::Set, "+OK\r\n"),
        (taken(), Form::Set, "$-1\r\n"),
        (granted(), Form::SetGet, "$-1\r\n"),
        (taken(), Form::SetGet, "$2\r\nme\r\n"),
        (extended, Form::Number, ":1\r\n"),
        (Outcome::Lost(String::new()), Form::Number, ":0\r\n"),
        (Outcome::Released { holds: 0 }, Form::Number, ":1\r\n"),
        (Outcome::NotHeld, Form::Number, ":0\r\n"),
        (read(), Form::Value, "$2\r\nme\r\n"),
        (Outcome::Read(None), Form::Value, "$-1\r\n"),
        (read(), Form::Pttl, ":1500\r\n"),
        (read(), Form::Ttl, ":2\r\n"),
        (Outcome::Read(None), Form::Pttl, ":-2\r\n"),
        (Outcome::Read(None), Form::Ttl, ":-2\r\n"),
        (read(), Form::Number, ":1\r\n"),
        (Outcome::Read(None), Form::Number, ":0\r\n"),
        (read(), is("me"), ":1\r\n"),
        (read(), is("you"), ":0\r\n"),
        (Outcome::Read(None), is("me"), ":0\r\n"),
        (read(), held_by("me"), "$1\r\n2\r\n"),
        (read(), held_by("you"), "$-1\r\n"),
    ];
    for (outcome, form, expected) in rows {
        assert_eq!(text(&outcome, &form, false), expected, "{outcome:?} as {form:?}");
    }
}

/// A script that says something else at each outcome.
fn script() -> Form {
    let text = |text: &'static str| Word::Text(Bytes::from_static(text.as_bytes()));
    let (done, again, gone) = (text("+done\r\n"), text("+again\r\n"), text("+gone\r\n"));
    Form::Script(Box::new(Words { done, again, other: Word::Pttl, gone, value: Bytes::from_static(b"me") }))
}

#[test]
fn a_script_says_what_it_would_have_said() {
    let held_twice = Outcome::Granted { token: Token([0; 16]), fence: 1, validity_ms: 1, waited_ms: 0, holds: 2 };
    let other = Read { value: Bytes::from_static(b"you"), pttl_ms: 77, holds: 1 };
    let rows = [
        (granted(), "+done\r\n"),
        (held_twice, "+again\r\n"),
        (taken(), ":1700\r\n"),
        (Outcome::Taken { value: None, pttl_ms: None }, ":0\r\n"),
        (Outcome::Extended { fence: 1, validity_ms: 1 }, "+done\r\n"),
        (Outcome::Lost(String::new()), "+gone\r\n"),
        (Outcome::Released { holds: 0 }, "+done\r\n"),
        (Outcome::Released { holds: 1 }, "+again\r\n"),
        (Outcome::NotHeld, "+gone\r\n"),
        (read(), "+done\r\n"),
        (Outcome::Read(Some(other)), ":77\r\n"),
        (Outcome::Read(None), "+gone\r\n"),
    ];
    for (outcome, expected) in rows {
        assert_eq!(text(&outcome, &script(), false), expected, "{outcome:?}");
    }
    let Form::Script(mut words) = script() else { return };
    words.other = Word::Value;
    let form = Form::Script(words);
    assert_eq!(text(&taken(), &form, false), "$2\r\nme\r\n");
    let unknown = Outcome::Taken { value: None, pttl_ms: None };
    assert!(text(&unknown, &form, false).starts_with("-NOQUORUM "), "nil would say that nobody has it");
}

/// Every form that is there.
fn forms() -> Vec<Form> {
    let value = Bytes::from_static(b"me");
    let mut forms = vec![Form::Lock, Form::Set, Form::SetGet, Form::Number, script()];
    forms.extend([Form::Value, Form::Pttl, Form::Ttl, Form::Is(value.clone()), Form::HeldBy(value)]);
    forms
}

#[test]
fn too_few_nodes_are_an_error_in_every_form() {
    for form in forms() {
        for resp3 in [false, true] {
            let words = "lock 'orders': 1 of 3 nodes answered";
            assert_eq!(text(&Outcome::NoQuorum(words.into()), &form, resp3), format!("-NOQUORUM {words}\r\n"));
            assert_eq!(text(&Outcome::Refused("no\r\nway".into()), &form, resp3), "-ERR no  way\r\n");
            assert!(text(&Outcome::Unblocked, &form, resp3).starts_with("-UNBLOCKED "));
        }
    }
}

#[test]
fn only_a_grant_is_written_as_one() {
    let refused =
        [taken(), Outcome::Taken { value: None, pttl_ms: None }, Outcome::NotHeld, Outcome::Lost(String::new())];
    for form in [Form::Lock, Form::Set, Form::SetGet, Form::Number, script()] {
        for resp3 in [false, true] {
            for outcome in &refused {
                assert_ne!(text(outcome, &form, resp3), text(&granted(), &form, resp3), "{outcome:?} as {form:?}");
            }
        }
    }
}

#[test]
fn info_says_first_what_one_wants_to_know() {
    let lock = LockName { db: 0, name: Bytes::from_static(b"orders") };
    let node = NodeInfo {
        name: "cache-b".into(),
        state: "quarantine",
        why: "it was restarted".into(),
        left_ms: Some(12_400),
        fence: None,
    };
    let mut info = Info {
        lock: lock.clone(),
        state: "held",
        holder: Some(Holder {
            token: Token([1; 16]),
            value: Bytes::from_static(b"host-7"),
            fence: Some(9),
            validity_ms: None,
            session: Some(4),
        }),
        waiters: 2,
        quorum: (3, 2),
        window: Some((3, 5, 900)),
        obstacle: Some("host-7 has it".into()),
        advice: None,
        nodes: vec![node],
    };
    let words = |info: &Info| {
        let reply = text(&Outcome::Info(Box::new(info.clone())), &Form::Lock, false);
        let shown = reply.lines().filter(|line| !line.starts_with(['$', '*']));
        shown.collect::<Vec<_>>().join(" ")
    };
    let token = "01".repeat(16);
    let expected = format!(
        "name orders db :0 state held owner host-7 token {token} fence :9 validity-ms session :4 waiters :2 quorum 2 of 3 \
         acquire-now host-7 has it window nodes change: majorities of the 3 before and of the 5 after count \
         window-left-ms :900 nodes name cache-b state quarantine why it was restarted left-ms :12400 fence"
    );
    assert_eq!(words(&info), expected);
    info = Info { state: "free", holder: None, window: None, obstacle: None, nodes: Vec::new(), ..info };
    info.advice = Some("one node keeps this lock".into());
    let expected = "name orders db :0 state free waiters :2 quorum 2 of 3 acquire-now would succeed advice one node keeps \
                    this lock nodes";
    assert_eq!(words(&info), expected);
    let listed = Listed { lock, value: Bytes::new(), fence: 0, validity_ms: 0, waiters: 1, session: None };
    let reply = text(&Outcome::List(vec![listed]), &Form::Lock, true);
    assert!(reply.starts_with("*1\r\n%8\r\n$4\r\nname\r\n$6\r\norders\r\n"), "{reply}");
    assert!(reply.contains("waited for"), "{reply}");
}
