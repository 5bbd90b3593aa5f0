//! redis-cli: typed into, given commands as arguments, and its tools that walk through the keys.

use std::process::Command;

use super::{program::Program, python};
use crate::support::{Cluster, resp};

fn command(cluster: &Cluster, words: &[&str]) -> Command {
    let mut command = Command::new("redis-cli");
    command.args(["-p", &cluster.circlet.port().to_string()]).args(words);
    command
}

fn cli(cluster: &Cluster, words: &[&str]) -> String {
    cli_with_input(cluster, words, b"")
}

fn cli_with_input(cluster: &Cluster, words: &[&str], input: &[u8]) -> String {
    let mut program = Program::start(command(cluster, words));
    program.write(input);
    program.finish()
}

/// Sets s:0 to s:2999 through `--pipe`.
fn fill(cluster: &Cluster) {
    let mut requests = Vec::new();
    for number in 0..3_000 {
        resp::request(&mut requests, &["SET", &format!("s:{number}"), "value"]);
    }
    let output = cli_with_input(cluster, &["--pipe"], &requests);
    assert!(output.contains("errors: 0, replies: 3000"), "{output}");
}

#[test]
fn at_a_terminal_it_knows_the_commands_and_connects_again_after_a_restart() {
    let mut cluster = Cluster::start();
    // redis-cli asks for COMMAND DOCS when a person types into it.
    let mut terminal = python();
    terminal.env("TERM", "xterm").env_remove("NO_COLOR");
    terminal.args(["-c", "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"]);
    terminal.args(["sh", "-c", "stty cols 120 rows 40; exec redis-cli -p $0", &cluster.circlet.port().to_string()]);
    let mut person = Program::start(terminal);
    let prompt = format!("{}> ", cluster.circlet.address());
    let prompt_in_3 = format!("{}[3]> ", cluster.circlet.address());
    // What is typed before a prompt is there may be lost: each line waits for it.
    let line = |person: &mut Program, words: &str, replies: &[&str], prompt: &str| {
        person.write(words.as_bytes());
        person.write(b"\r");
        for reply in replies {
            person.expect(reply);
        }
        person.expect(prompt);
    };
    person.expect(&prompt);
    line(&mut person, "help zadd", &["ZADD", "summary:", "1.2.0", "sorted"], &prompt);
    let hint = ["LOCK.ACQUIRE", "name ttl-ms [WAIT ms] [OWNER text] [SESSION]", "summary:", "0.1.0", "lock"];
    line(&mut person, "help lock.acquire", &hint, &prompt);
    line(&mut person, "set name wert", &["OK\r\n"], &prompt);
    line(&mut person, "select 3", &["OK\r\n"], &prompt_in_3);
    line(&mut person, "get name", &["(nil)\r\n"], &prompt_in_3);
    line(&mut person, "hello 3", &["1# \"server\" => \"redis\"\r\n"], &prompt_in_3);
    let unknown = "(error) ERR unknown command 'nosuchcommand', with args beginning with: 'x'";
    line(&mut person, "nosuchcommand x", &[unknown], &prompt_in_3);
    line(&mut person, "select 0", &["OK\r\n"], &prompt);
    cluster.circlet.restart();
    // As with a plain redis-server, the first command may find the connection closed; the next one is on a new connection.
    line(&mut person, "echo again", &["\r\n", "\r\n"], "> ");
    line(&mut person, "get name", &["\"wert\"\r\n"], &prompt);
    person.write(b"quit\r");
    person.finish();
}

#[test]
fn commands_come_from_its_input() {
    let cluster = Cluster::start();
    let output = cli_with_input(&cluster, &[], b"set k \"a b\"\nget k\n3 incr n\nmget k n nothing\n");
    assert_eq!(output, "OK\na b\n1\n2\n3\na b\n3\n\n");
}

#[test]
fn resp3_shows_maps_and_sets() {
    let cluster = Cluster::start();
    assert_eq!(cli(&cluster, &["hset", "h", "a", "1"]), "1\n");
    assert_eq!(cli(&cluster, &["-3", "--no-raw", "hgetall", "h"]), "1# \"a\" => \"1\"\n");
    assert_eq!(cli(&cluster, &["-2", "--no-raw", "hgetall", "h"]), "1) \"a\"\n2) \"1\"\n");
    assert_eq!(cli(&cluster, &["--json", "hgetall", "h"]), "{\"a\":\"1\"}\n");
    assert_eq!(cli(&cluster, &["--csv", "hgetall", "h"]), "\"a\",\"1\"\n");
}

#[test]
fn databases_are_apart() {
    let cluster = Cluster::start();
    assert_eq!(cli(&cluster, &["-n", "5", "set", "k", "five"]), "OK\n");
    assert_eq!(cli(&cluster, &["get", "k"]), "\n");
    let url = format!("redis://{}/5", cluster.circlet.address());
    let mut by_url = Command::new("redis-cli");
    by_url.args(["-u", &url, "get", "k"]);
    assert_eq!(Program::start(by_url).finish(), "five\n");
}

#[test]
fn passwords_are_asked_for_and_taken() {
    let cluster = Cluster::with(|plan| plan.config("requirepass = \"secret\"\n"));
    assert!(cli(&cluster, &["get", "k"]).starts_with("NOAUTH"));
    assert_eq!(cli(&cluster, &["-a", "secret", "--no-auth-warning", "set", "k", "v"]), "OK\n");
    let third = ["-3", "--user", "default", "--pass", "secret", "--no-auth-warning", "get", "k"];
    assert_eq!(cli(&cluster, &third), "v\n");
    let wrong = cli(&cluster, &["-a", "wrong", "--no-auth-warning", "get", "k"]);
    assert!(wrong.contains("WRONGPASS") && wrong.contains("NOAUTH"), "{wrong}");
}

#[test]
fn any_bytes_come_from_its_input_and_back() {
    let cluster = Cluster::start();
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(cli_with_input(&cluster, &["-x", "set", "k"], &bytes), "OK\n");
    assert_eq!(cluster.client().call(&["GET", "k"])[6..262], bytes);
    let file = cluster.circlet.dir().write("script.lua", "return {KEYS[1], ARGV[1], redis.call('STRLEN', KEYS[1])}");
    assert_eq!(cli(&cluster, &["--eval", &file.display().to_string(), "k", ",", "x"]), "k\nx\n256\n");
}

#[test]
fn pipe_mode_spreads_its_keys_and_counts_errors() {
    let cluster = Cluster::start();
    fill(&cluster);
    for node in &cluster.nodes {
        let share = node.client().value("DBSIZE").number();
        assert!((700..=1_300).contains(&share), "{share} of 3000 keys on one of three nodes");
    }
    // With errors its exit code is 1, so its end is not asked for.
    let mut program = Program::start(command(&cluster, &["--pipe"]));
    program.write(b"SET k text\r\nINCR k\r\nnosuchcommand\r\nGET k\r\n");
    program.end_input();
    program.expect("errors: 2, replies: 4");
}

#[test]
fn its_scans_find_each_key_once() {
    let cluster = Cluster::start();
    fill(&cluster);
    cli(&cluster, &["rpush", "list", "a", "b", "c"]);
    let output = cli(&cluster, &["--scan", "--pattern", "s:*"]);
    let mut keys: Vec<&str> = output.lines().collect();
    assert_eq!(keys.len(), 3_000);
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 3_000);
    let output = cli(&cluster, &["--bigkeys"]);
    assert!(output.contains("Sampled 3001 keys in the keyspace!"), "{output}");
    assert!(output.contains("Biggest   list found '\"list\"' has 3 items"), "{output}");
    assert!(output.contains("3000 strings with 15000 bytes"), "{output}");
    let output = cli(&cluster, &["--memkeys"]);
    assert!(output.contains("Sampled 3001 keys in the keyspace!"), "{output}");
}

#[test]
fn a_value_of_100_megabytes_comes_back() {
    let cluster = Cluster::start();
    let value = b"0123456789abcdef".repeat(100 << 16);
    assert_eq!(cli_with_input(&cluster, &["-x", "set", "big"], &value), "OK\n");
    let output = cli(&cluster, &["get", "big"]);
    assert!(output.trim_end().as_bytes() == value, "{} bytes", output.len());
}
