//! Whether a history of locks can be: pure.
//!
//! * At most one client believes that it has a lock, at any time. Always.
//! * Fences grow in the order in which locks are granted. Nobody who believes is refused by the resource, and nobody else
//!   writes once whoever believes has written. While fences are ordered ([`Order::Fences`]).

use std::collections::BTreeSet;

use super::history::{Grant, History, Write};

/// What holds in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// All of it.
    Fences,
    /// One client at a time, and no more: several Circlets whose nodes lose memory count fences each for itself.
    None,
}

/// Everything that cannot be, in words.
pub fn judge(history: &History, order: Order) -> Vec<String> {
    let locks: BTreeSet<u8> = history.grants.iter().map(|grant| grant.lock).collect();
    let mut broken = Vec::new();
    for lock in locks {
        let mut grants: Vec<&Grant> = history.grants.iter().filter(|grant| grant.lock == lock).collect();
        grants.sort_by_key(|grant| grant.got);
        let mut writes: Vec<&Write> = history.writes.iter().filter(|write| write.lock == lock).collect();
        writes.sort_by_key(|write| write.at);
        broken.extend(two_at_a_time(&grants));
        if order == Order::Fences {
            grants.retain(|grant| grant.fence != 0);
            broken.extend(fences_that_do_not_grow(&grants));
            broken.extend(wrongly_taken(&grants, &writes));
            broken.extend(wrongly_refused(&grants, &writes));
        }
    }
    broken
}

/// `grants` by the time at which they were known.
fn two_at_a_time(grants: &[&Grant]) -> Vec<String> {
    let mut broken = Vec::new();
    let mut longest: Option<&Grant> = None;
    for grant in grants.iter().filter(|grant| grant.got < grant.end) {
        if let Some(other) = longest.filter(|other| grant.got < other.end) {
            broken.push(format!(
                "lock {}: two clients have it at once\n  {}\n  {}",
                grant.lock,
                other.told(),
                grant.told()
            ));
        }
        if longest.is_none_or(|other| other.end < grant.end) {
            longest = Some(grant);
        }
    }
    broken
}

/// Whoever was granted it surely later has the larger fence.
fn fences_that_do_not_grow(grants: &[&Grant]) -> Vec<String> {
    let mut later = grants.to_vec();
    later.sort_by_key(|grant| grant.since);
    let mut earlier = grants.iter().peekable();
    let (mut broken, mut largest) = (Vec::new(), None::<&Grant>);
    for grant in later {
        while let Some(known) = earlier.next_if(|known| known.got < grant.since) {
            if largest.is_none_or(|other| other.fence < known.fence) {
                largest = Some(known);
            }
        }
        if let Some(other) = largest.filter(|other| other.fence >= grant.fence) {
            broken.push(format!(
                "lock {}: the fence does not grow\n  {}\n  {}",
                grant.lock,
                other.told(),
                grant.told()
            ));
        }
    }
    let mut fences: Vec<&Grant> = grants.to_vec();
    fences.sort_by_key(|grant| grant.fence);
    for pair in fences.windows(2) {
        if let [one, other] = pair
            && one.fence == other.fence
        {
            broken.push(format!("lock {}: two with one fence\n  {}\n  {}", one.lock, one.told(), other.told()));
        }
    }
    broken
}

/// Taken although somebody else has the lock and has written, or with a fence that nobody was given.
fn wrongly_taken(grants: &[&Grant], writes: &[&Write]) -> Vec<String> {
    let mut broken = Vec::new();
    for (index, write) in writes.iter().enumerate().filter(|(_, write)| write.taken) {
        if !grants.iter().any(|grant| grant.fence == write.fence && grant.client == write.client) {
            broken.push(format!("lock {}: nobody was given this fence\n  {}", write.lock, write.told()));
        }
        let before = |grant: &&&Grant| {
            writes[..index].iter().any(|other| other.taken && other.fence == grant.fence && grant.covers(other.at))
        };
        let holder = grants.iter().filter(|grant| grant.fence != write.fence && grant.covers(write.at)).find(before);
        if let Some(holder) = holder {
            broken.push(format!(
                "lock {}: written by who does not have it\n  {}\n  {}",
                write.lock,
                holder.told(),
                write.told()
            ));
        }
    }
    broken
}

/// Refused although its client has the lock.
fn wrongly_refused(grants: &[&Grant], writes: &[&Write]) -> Vec<String> {
    let mut broken = Vec::new();
    for write in writes.iter().filter(|write| !write.taken) {
        let own = grants.iter().find(|grant| grant.fence == write.fence && grant.client == write.client);
        if let Some(own) = own.filter(|own| own.covers(write.at)) {
            broken.push(format!("lock {}: its holder is refused\n  {}\n  {}", write.lock, own.told(), write.told()));
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client, its fence, and three times.
    fn grant(client: u16, fence: u64, since: u64, got: u64, end: u64) -> Grant {
        Grant { lock: 0, client, fence, since, got, end }
    }

    fn write(client: u16, fence: u64, at: u64, taken: bool) -> Write {
        Write { lock: 0, client, fence, at, taken }
    }

    fn found(grants: &[Grant], writes: &[Write]) -> Vec<String> {
        let history = History { grants: grants.to_vec(), writes: writes.to_vec() };
        judge(&history, Order::Fences).iter().map(|text| text.lines().next().unwrap()[8..].to_owned()).collect()
    }

    #[test]
    fn one_behind_the_other_with_growing_fences_can_be() {
        let one = grant(1, 1, 0, 10, 20);
        assert_eq!(found(&[one.clone(), grant(2, 2, 20, 20, 30)], &[]), [""; 0]);
        // Asked for early, granted when it was free.
        assert_eq!(found(&[one.clone(), grant(2, 5, 5, 25, 30)], &[]), [""; 0]);
        // Known too late to be of use; other locks are other locks.
        assert_eq!(
            found(&[one.clone(), grant(2, 2, 0, 15, 12), Grant { lock: 1, ..grant(3, 1, 0, 10, 20) }], &[]),
            [""; 0]
        );
        let late = [write(1, 1, 11, true), write(1, 1, 25, true), write(2, 2, 26, true), write(1, 1, 27, false)];
        assert_eq!(found(&[one, grant(2, 2, 21, 22, 30)], &late), [""; 0]);
    }

    #[test]
    fn two_at_once_cannot_be() {
        let both = ["two clients have it at once"];
        assert_eq!(found(&[grant(1, 1, 0, 10, 20), grant(2, 2, 11, 19, 30)], &[]), both);
        // The first one of three lasts longest.
        let three = [grant(1, 1, 0, 10, 50), grant(2, 2, 11, 12, 13), grant(3, 3, 14, 49, 60)];
        assert_eq!(found(&three, &[]).len(), 2);
        let alike = [grant(1, 0, 0, 10, 20), grant(2, 0, 11, 19, 30)];
        assert_eq!(judge(&History { grants: alike.to_vec(), writes: Vec::new() }, Order::None).len(), 1);
    }

    #[test]
    fn fences_that_fall_or_stay_cannot_be() {
        assert_eq!(found(&[grant(1, 2, 0, 10, 20), grant(2, 1, 11, 21, 30)], &[]), ["the fence does not grow"]);
        let same = [grant(1, 2, 0, 10, 20), grant(2, 2, 11, 21, 30)];
        assert_eq!(found(&same, &[]), ["the fence does not grow", "two with one fence"]);
        // In which order these two were granted nobody knows.
        assert_eq!(found(&[grant(1, 2, 0, 10, 5), grant(2, 1, 9, 11, 30)], &[]), [""; 0]);
        assert_eq!(judge(&History { grants: same.to_vec(), writes: Vec::new() }, Order::None), [""; 0]);
    }

    #[test]
    fn writes_of_who_has_no_lock_cannot_be() {
        let grants = [grant(1, 1, 0, 10, 20), grant(2, 2, 21, 22, 30)];
        let by_both = [write(2, 2, 23, true), write(1, 1, 24, true)];
        assert_eq!(found(&grants, &by_both), ["written by who does not have it"]);
        assert_eq!(found(&grants, &[write(9, 9, 23, true)]), ["nobody was given this fence"]);
        assert_eq!(found(&grants, &[write(2, 2, 23, false)]), ["its holder is refused"]);
    }
}
