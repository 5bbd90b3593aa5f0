//! Where twemproxy's distributions put keys, compared with a real nutcracker; and what the ring as a whole promises.

use std::collections::HashMap;

use super::*;

const GOLDEN: &str = include_str!("../../../../tests/data/twemproxy.txt");

/// A key of the golden data, `%XX` read back.
fn unquoted(text: &str) -> Vec<u8> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    bytes
}

/// Name and weight of a server as nutcracker.yml has it; the whole reader of such files is tested with the same data.
fn name_and_weight(server: &str) -> (&str, f64) {
    let (place, named) = server.split_once(' ').map_or((server, None), |(place, name)| (place, Some(name)));
    let (address, weight) = place.rsplit_once(':').unwrap();
    let name = match named {
        Some(name) => name,
        None if address.starts_with('/') => &place[..=address.len()],
        None => address.strip_suffix(":11211").unwrap_or(address),
    };
    (name, weight.parse().unwrap())
}

#[test]
fn keys_lie_where_nutcracker_puts_them() {
    let mut keys = Vec::new();
    let mut sets: HashMap<&str, Vec<(&str, f64)>> = HashMap::new();
    let (mut set, mut pools) = ("", 0);
    let mut lines = GOLDEN.lines();
    while let Some(line) = lines.next() {
        let (word, rest) = line.split_once(' ').unwrap();
        match word {
            "key" => keys.push(unquoted(rest)),
            "set" => set = rest,
            "server" => sets.entry(set).or_default().push(name_and_weight(rest)),
            "pool" => {
                let [set, hash, distribution, tag] = rest.split(' ').collect::<Vec<_>>().try_into().unwrap();
                let ring = Ring::of(&sets[set], &scheme(hash, distribution, tag)).unwrap();
                let owners: String = keys.iter().map(|key| ring.owner_of(key).0.to_string()).collect();
                assert_eq!(owners, lines.next().unwrap(), "{line}");
                pools += 1;
            }
            _ => assert_eq!(word, "#"),
        }
    }
    assert!(pools >= 200 && keys.len() > 200, "{pools} pools, {} keys", keys.len());
}

fn scheme(hash: &str, distribution: &str, tag: &str) -> Scheme {
    let hash = KeyHash::NAMES.iter().find(|(name, _)| *name == hash).unwrap().1;
    let tag = (tag != "-").then(|| Tag { open: tag.as_bytes()[0], close: tag.as_bytes()[1] });
    match distribution {
        "ketama" => Scheme::Ketama(Hashing { hash, tag }),
        "modula" => Scheme::Modula(Hashing { hash, tag }),
        _ => panic!("{distribution}"),
    }
}

#[test]
fn the_order_of_the_nodes_does_not_matter() {
    let (one, other) = ([("aa", 1.0), ("b", 2.0), ("c", 1.0)], [("c", 1.0), ("aa", 1.0), ("b", 2.0)]);
    for distribution in ["ketama", "modula"] {
        let scheme = scheme("murmur", distribution, "-");
        let (first, second) = (Ring::of(&one, &scheme).unwrap(), Ring::of(&other, &scheme).unwrap());
        for number in 0..1_000 {
            let key = format!("key:{number}");
            let (first, second) = (first.owner_of(key.as_bytes()), second.owner_of(key.as_bytes()));
            assert_eq!(one[first.index()].0, other[second.index()].0, "{distribution} {key}");
        }
    }
}

#[test]
fn shares_tell_how_keys_are_spread_also_by_short_hashes() {
    let nodes = [("a", 1.0), ("b", 2.0), ("c", 1.0)];
    for distribution in ["ketama", "modula"] {
        for (name, _) in KeyHash::NAMES {
            let ring = Ring::of(&nodes, &scheme(name, distribution, "-")).unwrap();
            let mut keys = [0.0; 3];
            for number in 0..20_000 {
                keys[ring.owner_of(format!("user:{number}:profile").as_bytes()).index()] += 1.0 / 20_000.0;
            }
            assert!((ring.shares().iter().sum::<f64>() - 1.0).abs() < 1e-9);
            for (is, told) in keys.iter().zip(ring.shares()) {
                assert!((is - told).abs() < 0.05, "{distribution} {name}: {keys:?} and {:?}", ring.shares());
            }
        }
    }
    // 15 bits of hash never leave the first of 2^17 parts of ketama's circle.
    let ring = Ring::of(&nodes, &scheme("crc32", "ketama", "-")).unwrap();
    assert!(ring.shares().contains(&1.0), "{:?}", ring.shares());
}

#[test]
fn random_reaches_every_node_and_any_node_may_have_a_key() {
    let ring = Ring::of(&[("a", 1.0), ("b", 9.0), ("c", 1.0)], &Scheme::Random).unwrap();
    let mut seen = [false; 3];
    for _ in 0..1_000 {
        seen[ring.owner_of(b"one key").index()] = true;
    }
    assert_eq!(seen, [true; 3]);
    assert!((0..3).all(|node| ring.may_own(NodeId(node), b"one key")));
    let certain = Ring::of(&[("a", 1.0), ("b", 9.0)], &scheme("md5", "modula", "-")).unwrap();
    assert!((0..2).filter(|&node| certain.may_own(NodeId(node), b"one key")).count() == 1);
}

#[test]
fn an_empty_slot_only_keeps_its_place() {
    let (nodes, slots) = (
        [("aa", 1.0), ("b", 3.0), ("c", 2.0)],
        // Empty ones first, last, in between; with the name of another, of each other, and one of their own.
        [("b", 0.0), ("aa", 1.0), ("gone", 0.0), ("b", 3.0), ("b", 0.0), ("c", 2.0), ("", -0.0)],
    );
    let filled = [1, 3, 5];
    for scheme in [
        Scheme::Xxh3 { points_per_weight: 300 },
        scheme("murmur", "ketama", "-"),
        scheme("md5", "ketama", "{}"),
        scheme("crc16", "modula", "-"),
    ] {
        let (ring, with) = (Ring::of(&nodes, &scheme).unwrap(), Ring::of(&slots, &scheme).unwrap());
        for number in 0..5_000 {
            let key = format!("user:{{{number}}}");
            let (owner, same) = (ring.owner_of(key.as_bytes()), with.owner_of(key.as_bytes()));
            assert_eq!(filled[owner.index()], same.index(), "{scheme:?} {key}");
        }
        let mut shares = vec![0.0; slots.len()];
        filled.iter().zip(ring.shares()).for_each(|(&slot, &share)| shares[slot] = share);
        assert_eq!(with.shares(), shares, "{scheme:?}");
        assert_eq!(with.weights(), slots.map(|(_, weight)| weight));
    }
    let random = Ring::of(&slots, &Scheme::Random).unwrap();
    assert!((0..1_000).all(|_| filled.contains(&random.owner_of(b"k").index())));
    assert_eq!(random.shares().iter().filter(|share| **share == 1.0 / 3.0).count(), 3);
    assert!(random.may_own(NodeId(3), b"k") && !random.may_own(NodeId(4), b"k"));
}

#[test]
fn a_look_up_in_two_halves_finds_the_same_node() {
    let nodes = [("a", 1.0), ("b", 2.0), ("c", 3.0)];
    for scheme in
        [Scheme::Xxh3 { points_per_weight: 512 }, scheme("md5", "ketama", "{}"), scheme("crc16", "modula", "-")]
    {
        let ring = Ring::of(&nodes, &scheme).unwrap();
        for number in 0..1_000 {
            let key = format!("{{user:{number}}}:profile");
            assert_eq!(ring.finish(ring.begin(key.as_bytes())), ring.owner_of(key.as_bytes()), "{key}");
        }
    }
}

#[test]
fn mistakes_name_their_cure() {
    let schemes = [scheme("md5", "ketama", "-"), scheme("md5", "modula", "-"), Scheme::Random];
    for (nodes, cure) in [
        (vec![], "give at least one"),
        (vec![("a", 1.0), ("b", 1.0), ("a", 2.0)], "two nodes are called 'a'"),
        (vec![("a", 0.0), ("b", 0.0)], "give at least one"),
        (vec![("a", 0.5)], "weight 0.5 of node 'a' is no whole number"),
        (vec![("a", 1.5)], "use 1 to 2147483647"),
        (vec![("a", f64::NAN)], "weight NaN"),
        (vec![("a", 3e9)], "weight 3000000000"),
    ] {
        for scheme in &schemes {
            let message = Ring::of(&nodes, scheme).unwrap_err().to_string();
            assert!(message.contains(cure), "{message}");
        }
    }
    let heavy = [("a", 2e9), ("b", 2e9), ("c", 2e9)];
    assert!(Ring::of(&heavy, &schemes[0]).unwrap_err().to_string().contains("add up to 6000000000"));
    assert!(Ring::of(&heavy[..1], &schemes[1]).unwrap_err().to_string().contains("2000000000 slots"));
}

#[test]
fn a_ring_shows_its_sizes_only() {
    for scheme in [Scheme::Xxh3 { points_per_weight: 64 }, scheme("md5", "ketama", "-"), scheme("md5", "modula", "-")] {
        let ring = Ring::of(&[("a", 1.0), ("b", 1.0)], &scheme).unwrap();
        assert!(format!("{ring:?}").len() < 100 && ring.memory() > 0);
    }
}
