//! Nodes and their shares of the keys as lines with bars. Pure.

use std::fmt::Write as _;

use crate::traffic::route::Node;

/// Letters of the longest bar.
const WIDTH: usize = 30;

/// A line for each node, its share in percent and as a bar; the largest share has the longest bar.
pub(super) fn shares(nodes: &[Node], shares: &[f64]) -> String {
    let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
    let names = width(&mut nodes.iter().map(|node| node.name.chars().count()));
    let addresses = width(&mut nodes.iter().map(|node| node.address.to_string().len()));
    let weights = width(&mut nodes.iter().map(|node| node.weight.to_string().len()));
    let largest = shares.iter().copied().fold(0.0, f64::max);
    let mut text = String::new();
    for (node, share) in nodes.iter().zip(shares) {
        let (name, address) = (&node.name, node.address.to_string());
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{name:names$}  {address:addresses$}  weight {:<weights$}  {:>6.2} %  {}",
            node.weight,
            share * 100.0,
            bar(share / largest)
        );
    }
    text
}

/// A bar of `part` of the width, to the eighth of a letter.
fn bar(part: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (part.clamp(0.0, 1.0) * (WIDTH * 8) as f64).round() as usize;
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_share_has_the_longest_bar() {
        let node = |name: &str, weight| Node { weight, ..Node::new(name, "127.0.0.1:7001".parse().unwrap()) };
        let text = shares(&[node("a", 1.0), node("longer", 3.5), node("none", 1.0)], &[0.25, 0.75, 0.0]);
        let full = "█".repeat(30);
        let third = "█".repeat(10);
        assert_eq!(
            text,
            format!(
                "a       127.0.0.1:7001  weight 1     25.00 %  {third}\n\
                 longer  127.0.0.1:7001  weight 3.5   75.00 %  {full}\n\
                 none    127.0.0.1:7001  weight 1      0.00 %  \n"
            )
        );
        assert_eq!(bar(1.0 / 60.0), "▌");
    }
}
