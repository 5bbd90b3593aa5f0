//! Sends every instance to both and compares.

use std::fmt::Write as _;

use super::{
    differences::{Differences, Rule},
    generate::{self, Instance},
    grammar::{self, Command},
    scene,
};
use crate::support::{Circlet, Client, Redis, cluster::plan_over, resp::Value, seed};

/// Instances of each command with all keys on one node, and as many more with a single key anywhere.
const INSTANCES: usize = 14;

/// As many as a redis-server has by default.
const DBS: usize = 16;

/// A plain server and a Circlet, each with a connection, and connections to what they keep data in.
struct Pair {
    plain: Client,
    through: Client,
    plain_data: Client,
    node_data: Vec<Client>,
    /// Dropped in this order.
    _circlet: Circlet,
    _servers: Vec<Redis>,
}

impl Pair {
    fn start(proto: u8) -> Self {
        let mut nodes = Redis::several(3);
        let circlet = plan_over(&nodes).start();
        let plain = Redis::start();
        let node_data = nodes.iter().map(Redis::client).collect();
        let mut pair = Self {
            plain: plain.client(),
            through: circlet.client(),
            plain_data: plain.client(),
            node_data,
            _circlet: circlet,
            _servers: Vec::new(),
        };
        if proto == 3 {
            for client in [&mut pair.plain, &mut pair.through] {
                assert!(client.ask("HELLO 3").starts_with('%'));
            }
        }
        nodes.push(plain);
        pair._servers = nodes;
        pair
    }

    fn set_scene(&mut self, group: &str) {
        let (bytes, count) = scene::requests(group);
        for client in [&mut self.plain, &mut self.through] {
            for reply in client.pipeline(&bytes, count) {
                assert!(reply[0] != b'-', "the scene: {}", String::from_utf8_lossy(&reply));
            }
        }
    }

    /// Whether both hold the same data.
    fn same_data(&mut self) -> bool {
        self.same_digests() || {
            // A key that has expired counts until somebody meets it, and no two servers clear theirs at the same time.
            std::iter::once(&mut self.plain_data).chain(&mut self.node_data).for_each(drop_expired);
            self.same_digests()
        }
    }

    /// A digest is the exclusive or of all keys' digests and of the db's number, so those of three nodes that all have keys
    /// make up the whole's.
    fn same_digests(&mut self) -> bool {
        let digest = |client: &mut Client| {
            let text = client.value("DEBUG DIGEST").text();
            (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect::<Vec<_>>()
        };
        let mut whole = digest(&mut self.plain_data);
        for node in &mut self.node_data {
            whole.iter_mut().zip(digest(node)).for_each(|(all, one)| *all ^= one);
        }
        whole.iter().all(|&byte| byte == 0)
    }
}

/// Has a server delete what has expired: SCAN deletes such keys as it comes across them.
fn drop_expired(client: &mut Client) {
    for db in 0..DBS {
        client.expect(&format!("SELECT {db}"), "+OK\r\n");
        client.ask("SCAN 0 COUNT 1000000");
    }
    client.expect("SELECT 0", "+OK\r\n");
}

/// Why the replies are not alike under `rule`.
fn difference(rule: Rule, expected: &[u8], got: &[u8]) -> Option<String> {
    let is_error = |reply: &[u8]| matches!(reply[0], b'-' | b'!');
    let alike = match rule {
        Rule::Refused => is_error(got),
        Rule::Own => true,
        _ if expected == got => true,
        Rule::Longer if is_error(expected) => got.starts_with(expected.strip_suffix(b"\r\n").unwrap()),
        _ if is_error(expected) || is_error(got) => false,
        Rule::Unordered => sorted(Value::of(expected)) == sorted(Value::of(got)),
        Rule::Kind | Rule::Longer => expected[0] == got[0],
        Rule::Near => match (Value::of(expected), Value::of(got)) {
            (Value::Scalar(b':', one), Value::Scalar(b':', other)) => {
                one.parse::<i64>().unwrap().abs_diff(other.parse::<i64>().unwrap()) < 20_000
            }
            _ => false,
        },
        Rule::Same | Rule::Elsewhere | Rule::Outside | Rule::Skipped => false,
    };
    let shown = |reply: &[u8]| format!("{:?}", String::from_utf8_lossy(&reply[..reply.len().min(400)]));
    (!alike).then(|| format!("   Redis: {}\n Circlet: {}", shown(expected), shown(got)))
}

fn sorted(value: Value) -> Value {
    match value {
        Value::List(kind, items) => {
            let mut items: Vec<Value> = items.into_iter().map(sorted).collect();
            items.sort();
            Value::List(kind, items)
        }
        Value::Map(mut pairs) => {
            pairs.sort();
            Value::Map(pairs)
        }
        other => other,
    }
}

/// Sends one instance to both; says what is wrong, if anything.
fn try_one(
    pair: &mut Pair,
    differences: &Differences,
    command: &Command,
    instance: &Instance,
    counts: bool,
) -> Option<String> {
    let name = command.name();
    let mut rule = differences.rule(&name, &instance.args);
    if rule == Rule::Outside {
        rule = Rule::Same;
    }
    if rule == Rule::Same && command.random {
        rule = Rule::Kind;
    } else if rule == Rule::Same && command.unordered {
        rule = Rule::Unordered;
    }
    if rule == Rule::Skipped {
        return None;
    }
    if counts && matches!(rule, Rule::Refused | Rule::Kind) {
        // Wrong numbers of words get Redis's own text from every command.
        rule = Rule::Same;
    }
    let got = pair.through.call(&instance.args);
    if instance.spoilt && got.starts_with(b"-CROSSSLOT ") {
        // What was spoilt is a key now, and lies elsewhere.
        return None;
    }
    let wrong = if rule == Rule::Refused {
        difference(rule, b"-", &got)
    } else {
        let expected = pair.plain.call(&instance.args);
        difference(rule, &expected, &got)
    };
    let chance = command.random || matches!(rule, Rule::Kind | Rule::Own | Rule::Elsewhere);
    let wrong = wrong.or_else(|| (!chance && !pair.same_data()).then(|| "   the data differ afterwards".to_owned()))?;
    Some(format!("{name} {rule:?}: {:?}\n{wrong}", instance.args))
}

fn compare(test: &str, proto: u8) {
    let mut rng = seed::rng(test);
    let mut pair = Pair::start(proto);
    let differences = Differences::load();
    let commands = grammar::commands(&mut pair.plain_data);
    let names: Vec<String> = commands.iter().map(Command::name).collect();
    assert!(names.len() > 300, "the server knows {} commands", names.len());
    assert_eq!(differences.unknown(&names), Vec::<&str>::new());
    let (mut wrong, mut sent) = (Vec::new(), 0);
    for command in &commands {
        let mut instances: Vec<(Instance, bool)> =
            generate::wrong_arity(command).into_iter().map(|instance| (instance, true)).collect();
        for tagged in [true, false] {
            instances
                .extend((0..INSTANCES).filter_map(|_| Some((generate::instance(command, &mut rng, tagged)?, false))));
        }
        for (number, (instance, counts)) in instances.into_iter().enumerate() {
            // A wrong number of words changes nothing.
            if !counts || number == 0 {
                pair.set_scene(&command.group);
            }
            sent += 1;
            wrong.extend(try_one(&mut pair, &differences, command, &instance, counts));
        }
    }
    eprintln!("{test}: {sent} requests of {} commands", commands.len());
    // A few of each command say enough.
    let mut text = String::new();
    for name in &names {
        let of_it =
            wrong.iter().filter(|one| one.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(' ')));
        for one in of_it.take(3) {
            let _ = writeln!(text, "{one}");
        }
    }
    assert!(wrong.is_empty(), "{} replies differ from Redis's:\n{text}", wrong.len());
}

#[test]
fn the_replies_are_those_of_redis_in_resp2() {
    compare("the_replies_are_those_of_redis_in_resp2", 2);
}

#[test]
fn the_replies_are_those_of_redis_in_resp3() {
    compare("the_replies_are_those_of_redis_in_resp3", 3);
}
