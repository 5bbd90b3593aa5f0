//! ACL: Circlet's one user, shown as Redis shows its own default user.

use crate::support::{Client, Cluster, Redis};

/// Questions about users, none of which changes anything.
const LINES: &[&str] = &[
    "ACL WHOAMI",
    "ACL LIST",
    "ACL USERS",
    "ACL GETUSER default",
    "ACL GETUSER Default",
    "ACL GETUSER nobody",
    "ACL GETUSER",
    "ACL LOG",
    "ACL LOG 5",
    "ACL LOG -1",
    "ACL LOG x",
    "ACL LOG RESET",
    "ACL LOG RESET x",
    "ACL DRYRUN default GET a",
    "ACL DRYRUN default get",
    "ACL DRYRUN default nosuch",
    "ACL DRYRUN default CLIENT LIST",
    "ACL DRYRUN default CLIENT NOSUCH",
    "ACL DRYRUN default CLIENT",
    "ACL DRYRUN nobody GET a",
    "ACL CAT nosuch",
    "ACL GENPASS x",
    "ACL GENPASS 5000",
    "ACL HELP",
    "ACL NOSUCH",
];

fn compare(expected: &mut Client, got: &mut Client) {
    for line in LINES {
        assert_eq!(got.ask(line), expected.ask(line), "{line}");
    }
}

#[test]
fn the_default_user_looks_as_in_redis_without_a_password_and_with_one() {
    let plain = Redis::start();
    for proto in ["HELLO 2", "HELLO 3"] {
        let cluster = Cluster::start();
        let (mut expected, mut got) = (plain.client(), cluster.client());
        expected.ask(proto);
        got.ask(proto);
        compare(&mut expected, &mut got);
        assert_eq!(got.value("ACL GENPASS").text().len(), 64);
        assert_eq!(got.value("ACL GENPASS 5").text().len(), 2);
        assert!(got.value("ACL CAT").list().len() >= 21);
    }
    plain.client().expect("CONFIG SET requirepass geheim", "+OK\r\n");
    for proto in ["HELLO 2 AUTH default geheim", "HELLO 3 AUTH default geheim"] {
        let cluster = Cluster::with(|plan| plan.set("requirepass=geheim"));
        let (mut expected, mut got) = (plain.client(), cluster.client());
        got.expect("ACL LIST", "-NOAUTH Authentication required.\r\n");
        expected.ask(proto);
        got.ask(proto);
        compare(&mut expected, &mut got);
    }
}
