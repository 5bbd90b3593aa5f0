//! The list of expected differences, `differences.txt`: the only place where a reply may be another than Redis's.

/// What is compared of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Every byte.
    Same,
    /// Every byte after sorting the elements.
    Unordered,
    /// The kind of reply only; errors are still the same bytes.
    Kind,
    /// Numbers may differ by what a slow test machine makes of times.
    Near,
    /// An error of Circlet, and the connection stays open; the plain server is not asked.
    Refused,
    /// The name of a node stands behind errors; other replies are of the same kind.
    Longer,
    /// Every byte, but the data are not compared.
    Elsewhere,
    /// Every byte, but in a transaction over several nodes it is refused.
    Outside,
    /// Circlet answers something else.
    Own,
    /// Sent to nobody.
    Skipped,
}

/// The rows.
#[derive(Debug)]
pub struct Differences(Vec<Row>);

#[derive(Debug)]
struct Row {
    command: String,
    /// The row holds if one of these words is among the arguments; none: always.
    words: Vec<String>,
    rule: Rule,
}

impl Differences {
    /// Reads the list.
    pub fn load() -> Self {
        let rows = include_str!("differences.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(rows.map(row).collect())
    }

    /// How a request of this command is to be compared; the first row that fits counts.
    pub fn rule(&self, command: &str, args: &[String]) -> Rule {
        let has = |word: &String| args.iter().any(|arg| arg.eq_ignore_ascii_case(word));
        let fits = |row: &&Row| {
            let named = match row.command.strip_suffix('*') {
                Some(start) => command.starts_with(start),
                None => command == row.command,
            };
            named && (row.words.is_empty() || row.words.iter().any(has))
        };
        self.0.iter().find(fits).map_or(Rule::Same, |row| row.rule)
    }

    /// Names that no command has.
    pub fn unknown(&self, commands: &[String]) -> Vec<&str> {
        let known = |row: &&Row| match row.command.strip_suffix('*') {
            Some(start) => commands.iter().any(|name| name.starts_with(start)),
            None => commands.contains(&row.command),
        };
        self.0.iter().filter(|row| !known(row)).map(|row| row.command.as_str()).collect()
    }
}

fn row(line: &str) -> Row {
    let mut columns = line.split_whitespace();
    let (Some(command), Some(words), Some(rule), Some(_reason)) =
        (columns.next(), columns.next(), columns.next(), columns.next())
    else {
        panic!("differences.txt: a row has command, words, rule and reason: {line}");
    };
    let rule = match rule {
        "unordered" => Rule::Unordered,
        "kind" => Rule::Kind,
        "near" => Rule::Near,
        "refused" => Rule::Refused,
        "longer" => Rule::Longer,
        "elsewhere" => Rule::Elsewhere,
        "outside" => Rule::Outside,
        "own" => Rule::Own,
        "skipped" => Rule::Skipped,
        other => panic!("differences.txt: no rule is called {other}: {line}"),
    };
    let words = if words == "-" { Vec::new() } else { words.split(',').map(str::to_owned).collect() };
    Row { command: command.to_owned(), words, rule }
}
