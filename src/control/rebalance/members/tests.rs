//! Every wish, every mistake, and what configurations that follow each other wish. Pure.

use super::*;
use crate::config::{Overrides, load};

fn config(nodes: &[&str], set: &[&str]) -> Config {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    load(None, &Overrides { nodes: owned(nodes), set: owned(set), ..Overrides::default() }).unwrap()
}

const THREE: [&str; 3] = ["a=127.0.0.1:1", "b=127.0.0.1:2", "c=127.0.0.1:3*2"];

fn three(set: &[&str]) -> Members {
    Members::of(&config(&THREE, set))
}

fn add(name: &str, address: &str, weight: f64) -> Wish {
    Wish::Add(Member::new(name, address.parse().unwrap(), weight, Credentials::default()))
}

fn replace(name: &str, address: &str) -> Wish {
    Wish::Replace { name: name.into(), address: address.parse().unwrap(), credentials: None }
}

fn shown(members: &Members) -> Vec<String> {
    let line = |member: &Member| format!("{}={}*{}", member.name, member.address, member.weight);
    members.list().iter().map(line).collect()
}

#[test]
fn wishes_make_the_next_members() {
    let wishes = [
        add("d", "127.0.0.1:4", 1.5),
        Wish::Remove("a".into()),
        Wish::Weight("c".into(), 1.0),
        replace("b", "127.0.0.1:9"),
    ];
    let next = three(&[]).after(&wishes).unwrap();
    assert_eq!(shown(&next), ["b=127.0.0.1:9*1", "c=127.0.0.1:3*1", "d=127.0.0.1:4*1.5"]);
    assert_eq!(next.get("b").unwrap().place, "b");
    let both = [Wish::Weight("b".into(), 3.0), replace("b", "127.0.0.1:9")];
    assert_eq!(three(&[]).after(&both).unwrap().get("b").unwrap().weight, 3.0);
    let all_new =
        [add("d", "127.0.0.1:4", 1.0), Wish::Remove("a".into()), Wish::Remove("b".into()), Wish::Forget("c".into())];
    assert_eq!(shown(&three(&[]).after(&all_new).unwrap()), ["d=127.0.0.1:4*1"]);
}

#[test]
fn a_replaced_node_keeps_its_place_and_its_credentials_unless_others_are_given() {
    let mut before = three(&[]);
    let secret = |text: &str| Credentials { username: None, password: Some(text.into()) };
    before.list[1].credentials = secret("old");
    let kept = before.after(&[replace("b", "127.0.0.1:9")]).unwrap();
    assert_eq!(kept.get("b").unwrap().credentials, secret("old"));
    assert!(before.ring().unwrap().against(&kept.ring().unwrap()).keys().all(|(from, to)| from == to));
    let given = Wish::Replace { name: "b".into(), address: "h:1".parse().unwrap(), credentials: Some(secret("new")) };
    assert_eq!(before.after(&[given]).unwrap().get("b").unwrap().credentials, secret("new"));
}

#[test]
fn every_mistake_names_its_value_and_its_cure() {
    let wrong = |set: &[&str], wishes: &[Wish]| three(set).after(wishes).unwrap_err().to_string();
    for (wishes, text) in [
        (vec![], "name at least one node"),
        (vec![Wish::Remove("z".into())], "there is no node z; use one of a, b, c"),
        (vec![Wish::Weight("z".into(), 1.0)], "there is no node z; use one of a, b, c"),
        (vec![replace("z", "h:1")], "there is no node z; use one of a, b, c"),
        (vec![Wish::Forget("z".into())], "there is no node z; use one of a, b, c"),
        (vec![add("a", "h:1", 1.0)], "there is a node a already, at 127.0.0.1:1; give another name, or"),
        (vec![add("d d", "h:1", 1.0)], "'d d' is no name of a node; use a name of 1 to 255 bytes"),
        (vec![add("memory", "h:1", 1.0)], "'memory' is no name of a node; use another one, INFO has"),
        (vec![add("d", "127.0.0.1:2", 1.0)], "127.0.0.1:2 is node b already; give another Redis"),
        (vec![add("d", "h:1", 1.0), add("e", "h:1", 1.0)], "h:1 is node d already"),
        (vec![Wish::Remove("a".into()), add("d", "127.0.0.1:1", 1.0)], "127.0.0.1:1 is node a already"),
        (vec![replace("a", "127.0.0.1:2")], "127.0.0.1:2 is node b already"),
        (vec![replace("a", "127.0.0.1:1")], "node a is at 127.0.0.1:1 already; give the address of the server"),
        (vec![add("d", "127.0.0.1:6380", 1.0)], "127.0.0.1:6380 is Circlet's own address; give a Redis"),
        (vec![replace("a", "127.0.0.1:9180")], "127.0.0.1:9180 is Circlet's own address; give a Redis"),
        (vec![Wish::Weight("c".into(), 2.0)], "node c has the weight 2 already; give another one"),
        (vec![Wish::Weight("c".into(), 0.0)], "weight 0 of node c is not above 0; use 1"),
        (vec![Wish::Weight("c".into(), f64::NAN)], "weight NaN of node c is not above 0; use 1"),
        (vec![add("d", "h:1", -1.0)], "weight -1 of node d is not above 0; use 1"),
        (vec![Wish::Weight("c".into(), 1e-9)], "weight 0.000000001 gives node 'c' no point on the ring; use at least"),
        (vec![Wish::Weight("c".into(), 1e9)], "use smaller weights"),
        (vec![Wish::Remove("a".into()), Wish::Remove("a".into())], "node a is changed twice in one change"),
        (vec![Wish::Remove("a".into()), Wish::Weight("a".into(), 2.0)], "node a is changed twice in one change"),
        (vec![replace("a", "h:1"), Wish::Weight("a".into(), 2.0), replace("a", "h:2")], "node a is changed twice"),
        (
            vec![Wish::Remove("a".into()), Wish::Remove("b".into()), Wish::Forget("c".into())],
            "no node would be left; keep at least one",
        ),
    ] {
        let found = wrong(&[], &wishes);
        assert!(found.contains(text) && !found.contains('\n'), "{wishes:?}: {found}");
    }
    for set in ["ring.distribution=ketama", "ring.distribution=modula"] {
        let found = wrong(&[set], &[Wish::Weight("c".into(), 1.5)]);
        assert!(found.contains("weight 1.5 of node c is no whole number from 1 to 2147483647"), "{found}");
    }
    assert!(wrong(&["ring.distribution=random"], &[Wish::Remove("a".into())]).contains("nobody owns a key"));
    let one = Members::of(&config(&["only=127.0.0.1:1"], &[]));
    assert!(one.after(&[Wish::Remove("only".into())]).unwrap_err().to_string().contains("no node would be left"));
    let many: Vec<String> = (0..50).map(|number| format!("n{number}=h:{}", number + 1)).collect();
    let many = config(&many.iter().map(String::as_str).collect::<Vec<_>>(), &["ring.points=8"]);
    let found = Members::of(&many).after(&[Wish::Remove("z".into())]).unwrap_err().to_string();
    assert!(found.ends_with("n18, n19 … (30 more)"), "{found}");
}

#[test]
fn a_server_with_two_names_and_a_second_replacement_stand_in_the_way() {
    let twins = config(&["a=127.0.0.1:1", "b=127.0.0.1:1", "c=127.0.0.1:3"], &["ring.distribution=ketama"]);
    let found = Members::of(&twins).after(&[Wish::Remove("c".into())]).unwrap_err().to_string();
    assert!(found.contains("nodes a and b are both at 127.0.0.1:1"), "{found}");
    let old = Members::of(&config(&["a=h:1", "a.old=h:2"], &[]));
    let found = old.after(&[replace("a", "h:3")]).unwrap_err().to_string();
    assert!(found.contains("remove node a.old first"), "{found}");
}

#[test]
fn a_configuration_wishes_what_differs_from_the_one_before() {
    let before = Listed::of(&config(&THREE, &[]));
    let members = three(&[]);
    assert_eq!(wishes(&before, &config(&THREE, &[]), &members), []);
    let after = config(&["b=127.0.0.1:2*3", "c=127.0.0.1:9*1", "d=127.0.0.1:4"], &[]);
    let found = wishes(&before, &after, &members);
    let credentials = Some(Credentials::default());
    assert_eq!(
        found,
        [
            Wish::Weight("b".into(), 3.0),
            Wish::Replace { name: "c".into(), address: "127.0.0.1:9".parse().unwrap(), credentials },
            Wish::Weight("c".into(), 1.0),
            add("d", "127.0.0.1:4", 1.0),
            Wish::Remove("a".into()),
        ]
    );
    // What is wished comes to what the configuration lists.
    let next = members.after(&found).unwrap();
    let mut shown = shown(&next);
    shown.sort();
    assert_eq!(shown, ["b=127.0.0.1:2*3", "c=127.0.0.1:9*1", "d=127.0.0.1:4*1"]);
    assert_eq!(wishes(&Listed::of(&after), &after, &next), []);
}

#[test]
fn what_a_command_has_changed_stays_until_the_file_says_something_of_that_node() {
    let before = Listed::of(&config(&THREE, &[]));
    let changed = three(&[])
        .after(&[add("d", "127.0.0.1:4", 1.0), Wish::Remove("a".into()), Wish::Weight("b".into(), 5.0)])
        .unwrap();
    assert_eq!(wishes(&before, &config(&THREE, &[]), &changed), []);
    // The file follows the commands: nothing is left to do.
    let followed = config(&["b=127.0.0.1:2*5", "c=127.0.0.1:3*2", "d=127.0.0.1:4"], &[]);
    assert_eq!(wishes(&before, &followed, &changed), []);
    // It says something else of b only.
    let other = config(&["a=127.0.0.1:1", "b=127.0.0.1:2*2", "c=127.0.0.1:3*2"], &[]);
    assert_eq!(wishes(&before, &other, &changed), [Wish::Weight("b".into(), 2.0)]);
}

#[test]
fn who_is_out_stays_out_unless_it_has_left_or_another_server_is_in_its_place() {
    let before = three(&[]);
    let out: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
    let after = before.after(&[Wish::Remove("a".into()), replace("b", "127.0.0.1:9"), add("d", "127.0.0.1:4", 1.0)]);
    let after = after.unwrap();
    assert_eq!(after.still_out(&before, &out), ["c"]);
    assert_eq!(shown(&after.without(&["c".to_owned()])), ["b=127.0.0.1:9*1", "d=127.0.0.1:4*1"]);
}
