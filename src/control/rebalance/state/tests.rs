//! A state survives everything or is refused: restarts, cuts at every step of a write, flipped and missing bytes.

use std::{fs, io, os::unix::fs::PermissionsExt as _};

use super::*;
use crate::{
    config::{Overrides, load},
    control::sealed::Step,
    scratch::Scratch,
};

fn config_of(nodes: &[&str], set: &[&str]) -> Config {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    let config = load(None, &Overrides { nodes: owned(nodes), set: owned(set), ..Overrides::default() }).unwrap();
    Config { profile: Profile::Cache, ..config }
}

fn config() -> Config {
    let mut config = config_of(&["a=h:1", "b=[::1]:2*0.3"], &["ring.points=64"]);
    config.nodes[0].username = Some("me".into());
    config.nodes[0].password = Some("hush-a".into());
    config
}

fn wishes(line: &str) -> Vec<Wish> {
    super::super::words::read(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>()).unwrap()
}

/// A state with something in every field.
fn full(config: &Config) -> State {
    let before = Members::of(config);
    let next = before.after(&wishes("ADD d unix:/run/d WEIGHT 2.7 USER u PASSWORD hush-d AND REMOVE b")).unwrap();
    let purged = Member::new("old", "h:9".parse().unwrap(), 1.0, Credentials::default());
    State {
        epoch: 17,
        next_id: 4,
        change: Some(Change {
            id: 3,
            text: "ADD d".into(),
            next: next.list().to_vec(),
            out: vec!["d".into()],
            lost: vec!["z".into()],
            copies: false,
            parts: 3,
            done: vec![0],
            part: 1,
            phase: Phase::Moving,
            nonce: "n-1".into(),
            sets: vec!["3.0".into(), "3.1".into()],
            back: false,
            aborted: true,
            paused: true,
            rate: Some(5_000),
        }),
        out: vec!["a".into()],
        queue: vec![wishes("REMOVE a AND ADD e h:5 PASSWORD hush-e"), wishes("WEIGHT d 1")],
        purges: vec![Purge { change: 2, node: purged }],
        run_ids: [("a".to_owned(), "abc".to_owned())].into(),
        ..State::new(config)
    }
}

fn saved(dir: &Scratch, state: &State, config: &Config) -> Store {
    let (store, _) = Store::open(dir.path(), None, config).unwrap();
    store.save(state).unwrap();
    store
}

fn opened(dir: &Scratch, config: &Config) -> Result<Option<State>, StateError> {
    Store::open(dir.path(), None, config).map(|(_, state)| state)
}

#[test]
fn a_state_reads_back_as_it_was_written() {
    let dir = Scratch::new("state-round");
    let config = config();
    assert_eq!(opened(&dir, &config).unwrap(), None);
    let state = full(&config);
    let store = saved(&dir, &state, &config);
    assert_eq!(opened(&dir, &config).unwrap(), Some(state));
    assert_eq!(fs::metadata(store.path()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left over");
    let value: serde_json::Value = serde_json::from_slice(&fs::read(store.path()).unwrap()).unwrap();
    assert_eq!((value["format"].as_u64(), value["state"]["epoch"].as_u64()), (Some(1), Some(17)));
    for set in [["ring.distribution=ketama", "ring.hash_tag=$$"], ["ring.distribution=modula", "ring.hash=md5"]] {
        let config = config_of(&["a=h:1", "b=h:2*2"], &set);
        let state = State::new(&config);
        saved(&dir, &state, &config);
        assert_eq!(opened(&dir, &config).unwrap(), Some(state));
    }
}

#[test]
fn pools_have_files_of_their_own() {
    let dir = Scratch::new("state-pools");
    let config = config();
    for (pool, name) in
        [(Some("alpha"), "ring-alpha.json"), (Some("../x y"), "ring-..%2Fx%20y.json"), (None, "ring.json")]
    {
        let (store, found) = Store::open(dir.path(), pool, &config).unwrap();
        assert_eq!(found, None);
        assert_eq!(store.path(), dir.path().join(name));
        store.save(&State::new(&config)).unwrap();
        assert!(dir.path().join(name).is_file());
    }
}

#[test]
fn passwords_of_configured_nodes_stay_in_the_configuration() {
    let dir = Scratch::new("state-passwords");
    let mut config = config();
    let store = saved(&dir, &full(&config), &config);
    let text = || fs::read_to_string(dir.path().join("ring.json")).unwrap();
    assert!(!text().contains("hush-a") && text().contains("hush-d") && text().contains("hush-e"));
    // A new password in the configuration is the one that holds.
    config.nodes[0].password = Some("hush-new".into());
    let found = opened(&dir, &config).unwrap().unwrap();
    assert_eq!(found.members[0].credentials.password.as_deref(), Some("hush-new"));
    // Also one for a node that had none; and that one may be gone from there.
    config.nodes[1].password = Some("hush-b".into());
    let found = opened(&dir, &config).unwrap().unwrap();
    assert_eq!(found.members[1].credentials.password.as_deref(), Some("hush-b"));
    config.nodes.truncate(1);
    assert_eq!(opened(&dir, &config).unwrap().unwrap().members[1].credentials, Credentials::default());
    // A node with a password that the configuration lists no more: at a restart nobody knows its password; at a reload it is kept.
    let without = config_of(&["b=[::1]:2*0.3"], &["ring.points=64"]);
    let error = opened(&dir, &without).unwrap_err().to_string();
    assert!(error.contains("node a is still among the nodes") && error.contains("CIRCLET RELOAD"), "{error}");
    store.follow(&without);
    store.save(&full(&self::config())).unwrap();
    let found = opened(&dir, &without).unwrap().unwrap();
    assert_eq!(found.members[0].credentials.password.as_deref(), Some("hush-a"));
    // None of them is ever shown.
    assert!(!format!("{found:?}{store:?}").contains("hush"));
}

#[test]
fn wherever_a_write_is_cut_off_there_is_the_old_state_or_the_new_one() {
    let config = config();
    let (old, new) = (State::new(&config), full(&config));
    let steps = [Step::Create, Step::Write, Step::Sync, Step::Rename, Step::SyncDirectory];
    let mut seen = Vec::new();
    let dir = Scratch::new("state-order");
    saved(&dir, &old, &config)
        .save_through(&new, &mut |step| {
            seen.push(step);
            Ok(())
        })
        .unwrap();
    assert_eq!(seen, steps, "content is synced before it gets its name, and then the name");
    for cut in steps {
        let dir = Scratch::new(&format!("state-cut-{cut:?}"));
        let store = saved(&dir, &old, &config);
        let mut gate = |step| if step == cut { Err(io::Error::other("cut off")) } else { Ok(()) };
        let error = store.save_through(&new, &mut gate).unwrap_err().to_string();
        assert!(error.contains("ring.json cannot be written: cut off; let this user"), "{error}");
        let expected = if cut == Step::SyncDirectory { &new } else { &old };
        assert_eq!(opened(&dir, &config).unwrap().as_ref(), Some(expected), "{cut:?}");
        // Whatever of the new file reached the disk, it is not looked at, and the next write goes through.
        let whole = fs::read(store.path()).unwrap();
        for length in [0, 1, whole.len() / 2, whole.len()] {
            fs::write(dir.path().join("ring.json.new"), &whole[..length]).unwrap();
            assert_eq!(opened(&dir, &config).unwrap().as_ref(), Some(expected));
        }
        store.save(&new).unwrap();
        assert_eq!(opened(&dir, &config).unwrap().as_ref(), Some(&new));
    }
}

#[test]
fn a_damaged_file_is_refused_and_stays_as_it_is() {
    let dir = Scratch::new("state-damaged");
    let config = config();
    let path = saved(&dir, &full(&config), &config).path();
    let whole = fs::read(&path).unwrap();
    let refused = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let error = opened(&dir, &config).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), bytes, "{error}");
        error
    };
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        let error = refused(&bytes);
        let text = error.to_string();
        let told = text.contains("is damaged") || matches!(error, StateError::Newer { .. });
        assert!(told && text.contains("ring.json") && !text.contains('\n'), "byte {at}: {text}");
    }
    for length in 0..whole.len() {
        assert!(matches!(refused(&whole[..length]), StateError::Damaged { .. }), "{length}");
    }
    assert!(refused(&[&whole[..], b"x"].concat()).to_string().contains("move it away"));
}

#[test]
fn a_newer_file_is_refused_and_stays_as_it_is() {
    let dir = Scratch::new("state-newer");
    let config = config();
    let path = saved(&dir, &full(&config), &config).path();
    let newer = fs::read_to_string(&path).unwrap().replacen("\"format\":1,", "\"format\":2,", 1);
    fs::write(&path, &newer).unwrap();
    let error = opened(&dir, &config).unwrap_err().to_string();
    assert!(error.ends_with("is of a newer Circlet (format 2, this one knows 1); start that version"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), newer);
    // A field that this version does not know is no state of its format.
    let strange =
        sealed::seal(FORMAT, &kept::write(&full(&config), &HashMap::new()).replacen("\"epoch\"", "\"era\"", 1));
    fs::write(&path, strange).unwrap();
    assert!(opened(&dir, &config).unwrap_err().to_string().contains("unknown field `era`"));
}

#[test]
fn without_a_state_the_configuration_begins() {
    let state = begin(None, &config()).unwrap();
    assert_eq!((state.epoch, state.next_id, state.wished_by(&config()).len()), (0, 1, 0));
    assert_eq!(state.present(&config()), Members::of(&config()));
}

#[test]
fn the_state_holds_until_the_configuration_changes() {
    let config = config();
    let commanded = Members::of(&config).after(&wishes("ADD d h:4 AND REMOVE b")).unwrap();
    let state = State { epoch: 9, members: commanded.list().to_vec(), ..State::new(&config) };
    let same = begin(Some(state.clone()), &config).unwrap();
    assert_eq!((same.present(&config).list(), same.wished_by(&config).len(), same.epoch), (commanded.list(), 0, 9));
    let other = config_of(&["a=h:1", "b=[::1]:2*0.3", "e=h:5"], &["ring.points=64"]);
    let begun = begin(Some(state), &other).unwrap();
    assert_eq!(super::super::words::text(&begun.wished_by(&other)), "ADD e h:5");
    assert_eq!(begun.present(&other).list(), commanded.list());
}

#[test]
fn nodes_that_are_left_out_are_for_a_cache_only() {
    let config = config();
    let state = State { out: vec!["b".into()], ..State::new(&config) };
    assert!(begin(Some(state.clone()), &config).is_ok());
    let store = Config { profile: Profile::Store, ..config };
    let error = begin(Some(state), &store).unwrap_err().to_string();
    assert!(error.contains("left out since they were down (b)") && error.contains("profile = \"cache\""), "{error}");
}

#[test]
fn what_is_under_way_is_not_wished_again() {
    let config = config();
    let mut state = full(&config);
    // As if the configuration had followed the change and the queue already.
    let followed = config_of(&["d=unix:/run/d", "e=h:5"], &["ring.points=64"]);
    assert_eq!(begin(Some(state.clone()), &followed).unwrap().wished_by(&followed), []);
    state.queue.clear();
    state.change.as_mut().unwrap().back = true;
    let text = super::super::words::text(&begin(Some(state), &followed).unwrap().wished_by(&followed));
    assert_eq!(text, "ADD d unix:/run/d AND ADD e h:5 AND REMOVE a AND REMOVE b");
}

#[test]
fn nodes_that_are_started_at_other_ports_are_the_same_nodes() {
    let before = config_of(&["a=h:1", "b=h:2", "c=h:3"], &["ring.points=64"]);
    let commanded = Members::of(&before).after(&wishes("REPLACE b h:9 AND ADD d h:4")).unwrap();
    let purge = Purge { change: 1, node: Members::of(&before).get("b").unwrap().clone() };
    let mut state = State { members: commanded.list().to_vec(), purges: vec![purge], ..State::new(&before) };
    // a has the port that c had.
    let now = config_of(&["a=h:3", "b=h:12", "c=h:13"], &["ring.points=64"]);
    state.relocate(&now);
    let begun = begin(Some(state), &now).unwrap();
    assert_eq!(begun.wished_by(&now), []);
    let members = begun.present(&now);
    let shown: Vec<String> = members.list().iter().map(|one| format!("{}={}", one.name, one.address)).collect();
    assert_eq!(shown, ["a=h:3", "b=h:9", "c=h:13", "d=h:4"]);
    assert_eq!(begun.purges[0].node.address.to_string(), "h:12");
}

#[test]
fn another_way_to_spread_keys_is_refused_with_the_cure() {
    let state = State::new(&config());
    for (set, told) in [
        (
            &["ring.points=65"][..],
            "the keys lie by xxh3, 64 points for a weight of 1, but the configuration says xxh3, 65",
        ),
        (
            &["ring.distribution=ketama", "ring.hash_tag="],
            "but the configuration says ketama over fnv1a_64, as twemproxy, hash tag none",
        ),
    ] {
        let error = begin(Some(state.clone()), &config_of(&["a=h:1"], set)).unwrap_err().to_string();
        assert!(error.contains(told) && error.contains("put section [ring] back"), "{error}");
    }
    let random = |nodes: &[&str]| config_of(nodes, &["ring.distribution=random"]);
    let now = random(&["a=h:1", "b=h:2"]);
    let begun = begin(Some(State::new(&random(&["a=h:1"]))), &now).unwrap();
    assert_eq!((begun.wished_by(&now).len(), begun.epoch, begun.present(&now).list().len()), (0, 1, 2));
}
