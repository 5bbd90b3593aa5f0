//! Locks that end with the connection that took them.

use super::{
    person::MAX_TTL,
    scene::{Scene, Setup},
    wire::{Commands, Locks, Wish},
};
use crate::support::resp::Value;

const NAME: &str = "leader";

#[test]
fn a_session_keeps_its_lock_past_the_ttl_and_leaves_it_when_it_goes() {
    let scene = Scene::start(Setup { circlets: 2, max_ttl: 60_000, ..super::SETUP });
    let mut leader = Commands::of(&scene.fronts[0].address());
    let wish = Wish { name: NAME, ttl: MAX_TTL, wait: 0, session: true };
    let first = leader.acquire(wish).unwrap().expect("nobody has it");
    for circlet in 0..2 {
        // For longer than its ttl: it is renewed.
        let mut other = scene.client(circlet);
        let line = format!("LOCK.ACQUIRE {NAME} {MAX_TTL} WAIT {}", MAX_TTL * 3 / 2);
        assert!(matches!(other.value(&line), Value::Null), "through Circlet {}", circlet + 1);
    }
    assert_eq!(leader.extend(NAME, &first.token, 30_000).unwrap().map(|validity| validity > 25_000), Some(true));
    leader.vanish();
    // It would be over in half a minute only.
    for circlet in 0..2 {
        let mut heir = Commands::of(&scene.fronts[circlet].address());
        let next = heir.acquire(Wish { wait: 20_000, ..wish }).unwrap().expect("the leader is gone");
        assert!(next.fence > first.fence, "{next:?} behind {first:?}");
        heir.vanish();
    }
}

#[test]
fn a_session_that_resets_has_no_locks_any_more() {
    let scene = Scene::start(Setup { max_ttl: 60_000, ..super::SETUP });
    let mut leader = scene.client(0);
    let reply = leader.value(&format!("LOCK.ACQUIRE {NAME} 60000 SESSION"));
    let token = reply.list()[0].text();
    leader.expect("RESET", "+RESET\r\n");
    let mut heir = Commands::of(&scene.fronts[0].address());
    let wish = Wish { name: NAME, ttl: MAX_TTL, wait: 20_000, session: false };
    assert!(heir.acquire(wish).unwrap().is_some());
    leader.expect(&format!("LOCK.RELEASE {NAME} {token}"), ":0\r\n");
}

#[test]
fn a_lock_outlives_a_crash_of_circlet_with_its_token_and_fence() {
    let mut scene = Scene::start(Setup { max_ttl: 60_000, ..super::SETUP });
    let mut owner = Commands::of(&scene.fronts[0].address());
    let wish = Wish { name: NAME, ttl: 60_000, wait: 0, session: false };
    let first = owner.acquire(wish).unwrap().unwrap();
    scene.fronts[0].kill();
    scene.fronts[0].start_again();
    owner.vanish();
    assert_eq!(owner.acquire(wish), Ok(None), "it is held still");
    let info = scene.client(0).value(&format!("LOCK.INFO {NAME}"));
    assert_eq!(info.get("fence").unwrap().number(), i64::try_from(first.fence).unwrap());
    assert_eq!(owner.release(NAME, &first.token), Ok(true), "its token still releases it");
    let next = owner.acquire(wish).unwrap().unwrap();
    assert!(next.fence > first.fence, "{next:?} behind {first:?}");
}
