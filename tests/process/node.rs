//! `circlet node`, `plan`, `rebalance` and `reload` against a Circlet that runs.

use serde_json::Value;

use super::{complaint, run};
use crate::support::{Redis, circlet::Plan, dir::Dir};

#[test]
fn a_node_joins_and_leaves_by_the_command_line() {
    let (nodes, dir) = (Redis::several(3), Dir::new());
    let state = dir.file("state").display().to_string();
    let two = nodes[..2].iter().enumerate();
    let plan = two.fold(Plan::default(), |plan, (index, node)| plan.node(format!("n{index}={}", node.address())));
    let circlet = plan.argument("--state").argument(state).start();
    let (at, address) = (circlet.address(), nodes[2].address());
    let mut client = circlet.client();
    (0..200).for_each(|number| client.expect(&format!("SET k{number} v"), "+OK\r\n"));
    let told = |args: &[&str]| {
        let output = run(&[args, &["--at", &at]].concat());
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", complaint(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let json = |args: &[&str]| -> Value { serde_json::from_str(&told(&[args, &["--json"]].concat())).unwrap() };

    let plan = json(&["plan", "--add", &format!("n2={address}")]);
    assert_eq!((plan["pairs"].as_array().unwrap().len(), plan["warnings"].as_array().unwrap().len()), (2, 0), "{plan}");
    let keys = plan["keys"].as_u64().unwrap();
    assert!((20..120).contains(&keys), "{plan}");
    let text = told(&["plan", "--add", &format!("n2={address}")]);
    assert!(text.contains("the least possible") && text.contains("n0    n2"), "{text}");
    assert_eq!(client.value("DBSIZE").number(), 200, "a plan changes nothing");
    assert_eq!(json(&["rebalance", "status"])["epoch"], 1, "{}", told(&["rebalance", "status"]));

    let nobody = run(&["node", "add", "n2", &address, "--at", &at]);
    assert_eq!(nobody.status.code(), Some(2));
    assert!(complaint(&nobody).contains("give --yes"), "{}", complaint(&nobody));
    let text = told(&["node", "add", "n2", &address, "--yes", "--watch"]);
    assert!(
        text.contains("OK change 1 begins") && text.trim_end().lines().last().unwrap().starts_with("idle: "),
        "{text}"
    );
    assert!(nodes[2].client().value("DBSIZE").number() > 20);
    assert_eq!(client.value("DBSIZE").number(), 200);
    assert_eq!(json(&["ring"])["nodes"].as_array().unwrap().len(), 3);

    let answer = json(&["node", "change", "--remove", "n0", "--weight", "n1=2", "--yes"]);
    assert!(answer["answer"].as_str().unwrap().starts_with("OK change 2"), "{answer}");
    told(&["rebalance", "status", "--watch"]);
    assert_eq!(nodes[0].client().value("DBSIZE").number(), 0);
    (0..200).for_each(|number| client.expect(&format!("GET k{number}"), "$1\r\nv\r\n"));

    let verified = json(&["rebalance", "verify"]);
    assert_eq!((&verified[0]["keys"], &verified[0]["strays"]), (&200.into(), &0.into()), "{verified}");
    for (args, cure) in [
        (&["node", "remove", "z", "--yes"][..], "there is no node z; use one of n1, n2"),
        (&["rebalance", "abort"], "nothing is under way"),
        (&["reload"], "there is no configuration file to be read again"),
    ] {
        let output = run(&[args, &["--at", &at]].concat());
        assert_eq!(output.status.code(), Some(1));
        assert!(complaint(&output).contains(cure), "{}", complaint(&output));
    }
    assert_eq!(told(&["rebalance", "rate", "5000"]), "OK\n");
}
