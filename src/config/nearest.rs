//! What to say about a key or section that does not exist: the nearest one that does. Pure.

use super::option;

/// What to say about a key that is no option: the nearest one.
pub(super) fn unknown(key: &str) -> String {
    if key == "nodes" || key.starts_with("nodes.") {
        return format!("{key} is a table of its own; write [[nodes]] in the file or use --node");
    }
    let leaf = |key: &str| key.rsplit('.').next().map_or_else(String::new, str::to_owned);
    let nearest = option::ROWS.iter().map(|row| row.key).min_by_key(|known| {
        // An option under the wrong section is nearer than any misspelling.
        let moved = if leaf(known) == leaf(key) { 0 } else { 1 };
        (moved, distance(known, key))
    });
    match nearest {
        Some(known) if leaf(known) == leaf(key) || distance(known, key) <= 3 + known.len() / 4 => {
            format!("{key} is no option; did you mean {known}?")
        }
        _ => format!("{key} is no option; remove it (conf/circlet.toml lists all)"),
    }
}

/// The one of `known` that `text` may have been meant to be; of several as near, the one that begins most like it.
#[must_use]
pub fn among<'a>(known: impl Iterator<Item = &'a str>, text: &str) -> Option<&'a str> {
    let alike = |name: &str| name.chars().zip(text.chars()).take_while(|(a, b)| a == b).count();
    let nearest = known.map(|name| (distance(name, text), usize::MAX - alike(name), name)).min()?;
    (nearest.0 <= 1 + nearest.2.len() / 3).then_some(nearest.2)
}

/// Whether `name` is the section of some option.
pub(super) fn is_section(name: &str) -> bool {
    sections().contains(&name)
}

/// What to say about a table that is no section: the nearest one, or all.
pub(super) fn unknown_section(name: &str) -> String {
    let nearest = sections().into_iter().chain(["nodes"]).min_by_key(|known| distance(known, name));
    let advice = match nearest {
        Some("nodes") if distance("nodes", name) <= 2 => "did you mean [[nodes]]?".to_owned(),
        Some(known) if distance(known, name) <= 2 => format!("did you mean [{known}]?"),
        _ => format!("use {} or [[nodes]]", sections().join(", ")),
    };
    format!("[{name}] is no section; {advice}")
}

/// The sections, sorted.
fn sections() -> Vec<&'static str> {
    let mut names: Vec<&str> =
        option::ROWS.iter().filter_map(|row| row.key.split_once('.')).map(|(section, _)| section).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Number of letters to insert, delete or replace to turn one text into the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().take(64).enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        let among = |text| among(["hash", "hash_tag", "timeout"].into_iter(), text);
        assert_eq!(among("hashtag"), Some("hash_tag"));
        assert_eq!(among("Hash"), Some("hash"));
        assert_eq!(super::among(["fnv1_64", "fnv1a_64"].into_iter(), "fnv1a64"), Some("fnv1a_64"));
        assert_eq!(among("frobnicate"), None);
    }

    #[test]
    fn distances_count_single_letters() {
        for (from, to, expected) in [("", "abc", 3), ("abc", "abc", 0), ("abc", "acb", 2), ("kitten", "sitting", 3)] {
            assert_eq!(distance(from, to), expected);
            assert_eq!(distance(to, from), expected);
        }
    }
}
