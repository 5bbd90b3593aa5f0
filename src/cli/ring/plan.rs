//! A change of nodes that is only thought of: what it would move between whom.
//!
//! An `Err` is one line that says what is wrong in the plan, and the cure. Pure.

use crate::{
    config::{self, Config},
    traffic::route::{Node, Ring},
};

/// What the nodes would be, and what would change hands.
#[derive(Debug)]
pub(super) struct Plan {
    /// The nodes afterwards.
    pub(super) nodes: Vec<Node>,
    /// Each one's part of the keys afterwards.
    pub(super) shares: Vec<f64>,
    /// From whom, to whom, what part of all keys; the largest first.
    pub(super) moves: Vec<(String, String, f64)>,
}

impl Plan {
    /// What `changes` would do to the nodes of `config`, whose ring is `ring`.
    pub(super) fn of(config: &Config, ring: &Ring, changes: &str) -> Result<Self, String> {
        let nodes = changed(&config.nodes, changes)?;
        let after = Config { nodes, ..config.clone() };
        let new = after.ring().map_err(|error| format!("--plan: {error}"))?;
        let mut moves: Vec<(String, String, f64)> = Vec::new();
        for ((from, to), part) in ring.against(&new) {
            let (from, to) = (&config.nodes[from.index()].name, &after.nodes[to.index()].name);
            if from != to {
                moves.push((from.clone(), to.clone(), part));
            }
        }
        moves.sort_by(|a, b| b.2.total_cmp(&a.2));
        Ok(Self { shares: new.shares().to_vec(), nodes: after.nodes, moves })
    }

    /// The part of all keys that would change hands.
    pub(super) fn moved(&self) -> f64 {
        self.moves.iter().map(|(_, _, part)| part).sum()
    }
}

/// The nodes after `changes`: `add NAME=ADDRESS*WEIGHT` and `remove NAME`, separated by commas.
fn changed(nodes: &[Node], changes: &str) -> Result<Vec<Node>, String> {
    let mut nodes = nodes.to_vec();
    for change in changes.split(',').map(str::trim) {
        match change.split_once(' ').map(|(verb, what)| (verb, what.trim())) {
            Some(("add", text)) => {
                let node = config::node(text).map_err(|cure| format!("--plan {change}: {cure}"))?;
                if nodes.iter().any(|other| other.name == node.name) {
                    return Err(format!("--plan {change}: there is a node {} already; give another name", node.name));
                }
                nodes.push(node);
            }
            Some(("remove", name)) => {
                let Some(at) = nodes.iter().position(|node| node.name == name) else {
                    let names: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
                    return Err(format!("--plan {change}: there is no node {name}; use one of {}", names.join(", ")));
                };
                nodes.remove(at);
            }
            _ => {
                return Err(format!(
                    "--plan \"{change}\" is no change; write add NAME=ADDRESS*WEIGHT or remove NAME, separated by commas"
                ));
            }
        }
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, load};

    fn config(set: &[&str]) -> Config {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        let nodes = owned(&["a=127.0.0.1:1", "b=127.0.0.1:2"]);
        load(None, &Overrides { nodes, set: owned(set), ..Overrides::default() }).unwrap()
    }

    fn plan(set: &[&str], changes: &str) -> Result<Plan, String> {
        let config = config(set);
        Plan::of(&config, &config.ring().unwrap(), changes)
    }

    #[test]
    fn a_join_takes_its_share_from_everybody_and_a_leave_gives_it_back() {
        let joined = plan(&[], "add c=127.0.0.1:3*2").unwrap();
        assert!(joined.moves.iter().all(|(_, to, _)| to == "c"), "{joined:?}");
        assert!((joined.moved() - joined.shares[2]).abs() < 1e-9, "{joined:?}");
        assert!((0.45..0.55).contains(&joined.moved()), "{joined:?}");
        // ketama counts the others' points anew, so that a few keys move between them too.
        let ketama = plan(&["ring.distribution=ketama"], "add c=127.0.0.1:3*2").unwrap();
        assert!(ketama.moved() > ketama.shares[2] && ketama.moved() < 0.65, "{ketama:?}");
        let left = plan(&[], "remove a").unwrap();
        assert_eq!(left.moves.len(), 1);
        assert_eq!((left.moves[0].0.as_str(), left.moves[0].1.as_str()), ("a", "b"));
        let swapped = plan(&[], "remove a, add d=127.0.0.1:4").unwrap();
        assert_eq!(swapped.nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["b", "d"]);
    }

    #[test]
    fn modula_moves_nearly_everything() {
        let moved = plan(&["ring.distribution=modula"], "add c=127.0.0.1:3").unwrap().moved();
        assert!((moved - 2.0 / 3.0).abs() < 0.01, "{moved}");
    }

    #[test]
    fn a_wrong_plan_names_its_cure() {
        for (changes, cure) in [
            ("", "write add NAME=ADDRESS*WEIGHT"),
            ("drop a", "write add NAME=ADDRESS*WEIGHT"),
            ("add c", "'c' has no port"),
            ("add a=127.0.0.1:3", "there is a node a already"),
            ("remove z", "there is no node z; use one of a, b"),
            ("remove a,remove b", "give at least one"),
        ] {
            let found = plan(&[], changes).unwrap_err();
            assert!(found.starts_with("--plan") && found.contains(cure) && !found.contains('\n'), "{found}");
        }
    }
}
