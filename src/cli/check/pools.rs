//! `circlet check --twemproxy`: each pool of the file as the circlet.toml that does the same.
//!
//! One pool makes one file, and everything that is said about it is a remark in it. Several make as many parts, each a file of
//! its own, behind a head about the process that serves them together. Io: asks for the machine's memory and limits.

use super::{Machine, indented, listed, machine, memory, ring_and_risks};
use crate::{
    config::{
        Changes, Config, Note,
        twemproxy::{Import, Served},
    },
    control::file_limit,
};

/// The report on the pools of `file`, and whether it tells of a risk.
pub(super) fn report(file: &str, import: &Import) -> (String, bool) {
    let texts = |notes: &[Note]| -> Vec<String> { notes.iter().map(ToString::to_string).collect() };
    let title = |pool: &Served| format!("pool {} of {file}", pool.name);
    let left_out = texts(&import.left_out);
    if let [only] = import.pools.as_slice() {
        let notes = [left_out, texts(&only.notes)].concat();
        return pool(&title(only), &only.config, &notes, &machine(&only.config));
    }
    let configs = import.in_one_process();
    let (mut text, mut risky) = head(file, &configs, &left_out);
    for served in &import.pools {
        // What the machine has is shared, and told above.
        let (part, part_risky) = pool(&title(served), &served.config, &texts(&served.notes), &Machine::default());
        text += &format!("\n# ==== pool {} ====\n{part}", served.name);
        risky |= part_risky;
    }
    (text, risky)
}

/// What is to be said of all pools together.
fn head(file: &str, configs: &[Config], left_out: &[String]) -> (String, bool) {
    let mut remarks = format!(
        "{} pools of {file}. `circlet serve --twemproxy-config {file}` serves them in one process, which is the simplest; each part \
         below is a circlet.toml of its own (--pool NAME prints one), to be served by a process of its own, with another admin \
         address.\n",
        configs.len()
    );
    if !left_out.is_empty() {
        remarks += &format!("\nWhat is not served:\n{}", listed(left_out));
    }
    let risks = shared_risks(configs, memory());
    if !risks.is_empty() {
        remarks += &format!("\nWhat is risky in one process:\n{}", listed(&risks));
    }
    (remarks.lines().map(remark).collect(), !risks.is_empty())
}

/// What is risky because the pools share a machine.
fn shared_risks(configs: &[Config], memory: Option<u64>) -> Vec<String> {
    let allowed = configs.iter().fold(0_u64, |sum, config| sum.saturating_add(config.traffic.max_buffered as u64));
    let short = memory.filter(|memory| *memory < allowed).map(|memory| {
        format!(
            "limits.max_buffered of the {} pools adds up to {} MB, but this machine has {} MB of memory; lower it (--set \
             limits.max_buffered=…, for each pool), or clients can drive Circlet out of it",
            configs.len(),
            allowed >> 20,
            memory >> 20
        )
    });
    file_limit::shortage_of(configs).into_iter().chain(short).collect()
}

/// The circlet.toml that is equal to a pool of twemproxy, and whether there is a risk; all that is no option is a remark.
fn pool(title: &str, config: &Config, notes: &[String], machine: &Machine) -> (String, bool) {
    let (shares, risks) = ring_and_risks(config, machine);
    let mut remarks = format!("The same as {title}: every key stays where nutcracker put it.\n");
    let mut part = |heading: &str, lines: String| {
        if !lines.is_empty() {
            remarks += &format!("\n{heading}\n{lines}");
        }
    };
    part("What is not the same:", listed(notes));
    if config.traffic.requirepass.is_some() {
        let text = "redis_auth is a secret and not printed. Write it into a file that only Circlet may read, and name that file \
                    below: requirepass_file = \"FILE\" above the sections, and password_file = \"FILE\" in each node.";
        part("To do by hand:", listed(&[text.to_owned()]));
    }
    part("Shares of the keys:", indented(&shares));
    part("What is risky:", listed(&risks));
    let remarks: String = remarks.lines().map(remark).collect();
    (format!("{remarks}\n{}", Changes(config)), !risks.is_empty())
}

/// A line as TOML's remark, folded where it is too long; what is folded stands below the text of a list's item.
fn remark(line: &str) -> String {
    const LONGEST: usize = 118;
    if line.chars().count() <= LONGEST {
        return format!("# {line}").trim_end().to_owned() + "\n";
    }
    let (mut folded, mut at) = (String::from("#"), 1);
    for word in line.split_whitespace() {
        let width = word.chars().count() + 1;
        if at + width > LONGEST {
            folded += "\n#  ";
            at = 4;
        }
        folded += " ";
        folded += word;
        at += width;
    }
    folded + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, load};

    fn config(nodes: &[&str], set: &[&str]) -> Config {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        load(None, &Overrides { nodes: owned(nodes), set: owned(set), ..Overrides::default() }).unwrap()
    }

    #[test]
    fn all_that_is_said_of_a_pool_is_a_remark_in_its_toml() {
        let config = config(&["a=127.0.0.1:1", "b=127.0.0.1:2"], &["ring.distribution=ketama", "requirepass=hush"]);
        let (text, _) = pool("pool x of n.yml", &config, &["n.yml:3: something".to_owned()], &Machine::default());
        for part in [
            "# The same as pool x of n.yml",
            "# - n.yml:3: something\n",
            "requirepass_file",
            "#   a  127.0.0.1:1  weight 1",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("hush"));
        let toml: String = text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
        assert!(
            toml.trim_start()
                .starts_with("[ring]\ndistribution = \"ketama\"\nhash = \"fnv1a_64\"\nhash_tag = \"{}\"\n\n[[nodes]]"),
            "{toml}"
        );
    }

    #[test]
    fn several_pools_are_as_many_files_behind_a_head() {
        let set = ["ring.distribution=ketama", "ring.hash_tag="];
        let served = |name: &str| Served {
            name: name.to_owned(),
            config: config(&["a=127.0.0.1:1", "b=127.0.0.1:2"], &set),
            notes: Vec::new(),
        };
        let import = Import { pools: vec![served("x"), served("y")], ..Import::default() };
        let (text, _) = report("n.yml", &import);
        assert!(text.starts_with("# 2 pools of n.yml. `circlet serve --twemproxy-config n.yml` serves them"), "{text}");
        let parts: Vec<&str> = text.split("\n# ==== pool ").collect();
        assert_eq!(parts.len(), 3, "{text}");
        for (part, name) in parts[1..].iter().zip(["x", "y"]) {
            assert!(part.starts_with(&format!("{name} ====\n# The same as pool {name} of n.yml")), "{part}");
            assert!(part.contains("\n[ring]\ndistribution = \"ketama\"\n"), "{part}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    }

    #[test]
    fn memory_is_shared_by_the_pools() {
        let configs = [config(&["a=127.0.0.1:1"], &[]), config(&["a=127.0.0.1:1"], &[])];
        let risks = |memory| shared_risks(&configs, Some(memory)).join("\n");
        assert!(risks(1 << 30).contains("limits.max_buffered of the 2 pools adds up to 8192 MB"), "{}", risks(1 << 30));
        assert!(!risks(64 << 30).contains("max_buffered"));
    }
}
