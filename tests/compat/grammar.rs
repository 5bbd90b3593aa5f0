//! What a command's arguments look like, as a live server's COMMAND DOCS tells it.

use crate::support::{Client, resp::Value};

/// One command or sub-command.
#[derive(Clone, Debug)]
pub struct Command {
    /// Its words, as in `CLIENT LIST`.
    pub words: Vec<String>,
    /// Number of words, the name's included; negative: at least so many.
    pub arity: i64,
    pub group: String,
    pub arguments: Vec<Argument>,
    /// Its tips say that replies differ from call to call.
    pub random: bool,
    /// Its tips say that elements may come in any order.
    pub unordered: bool,
}

/// One argument.
#[derive(Clone, Debug)]
pub struct Argument {
    pub name: String,
    pub kind: Kind,
    pub token: Option<String>,
    pub optional: bool,
    pub multiple: bool,
    pub multiple_token: bool,
}

/// What an argument is.
#[derive(Clone, Debug)]
pub enum Kind {
    Key,
    Text,
    Integer,
    Double,
    Pattern,
    Time,
    /// Only the token.
    Token,
    OneOf(Vec<Argument>),
    Block(Vec<Argument>),
}

impl Command {
    /// The name as the list of differences writes it: `client|list`.
    pub fn name(&self) -> String {
        self.words.join("|").to_lowercase()
    }
}

/// All commands of the server, sorted; containers are left out, their sub-commands are in.
pub fn commands(client: &mut Client) -> Vec<Command> {
    let infos = client.value("COMMAND");
    let docs = client.value("COMMAND DOCS");
    let mut commands = Vec::new();
    for info in infos.list() {
        let name = info.list()[0].text();
        let Some(doc) = docs.get(&name) else { continue };
        add(&mut commands, &[], info, doc);
    }
    commands.sort_by_key(Command::name);
    commands
}

fn add(commands: &mut Vec<Command>, container: &[String], info: &Value, doc: &Value) {
    let info = info.list();
    let full = info[0].text();
    let own = full.rsplit('|').next().unwrap().to_uppercase();
    let words: Vec<String> = container.iter().cloned().chain([own]).collect();
    let subs = info[9].list();
    if subs.is_empty() {
        let tips: Vec<String> = info[7].list().iter().map(|tip| tip.text()).collect();
        commands.push(Command {
            words,
            arity: info[1].number(),
            group: doc.get("group").map(Value::text).unwrap_or_default(),
            arguments: doc.get("arguments").map(arguments).unwrap_or_default(),
            random: tips.iter().any(|tip| tip == "nondeterministic_output"),
            unordered: tips.iter().any(|tip| tip == "nondeterministic_output_order"),
        });
        return;
    }
    let docs = doc.get("subcommands").expect("a container has documented sub-commands");
    for sub in subs {
        let name = sub.list()[0].text();
        if let Some(doc) = docs.get(&name) {
            add(commands, &words, sub, doc);
        }
    }
}

fn arguments(value: &Value) -> Vec<Argument> {
    value.list().iter().map(|one| argument(one)).collect()
}

fn argument(value: &Value) -> Argument {
    let text = |name: &str| value.get(name).map(Value::text);
    let flags: Vec<String> =
        value.get("flags").map(|flags| flags.list().iter().map(|flag| flag.text()).collect()).unwrap_or_default();
    let has = |flag: &str| flags.iter().any(|known| known == flag);
    let inner = || value.get("arguments").map(arguments).unwrap_or_default();
    let kind = match text("type").unwrap().as_str() {
        "key" => Kind::Key,
        "string" => Kind::Text,
        "integer" => Kind::Integer,
        "double" => Kind::Double,
        "pattern" => Kind::Pattern,
        "unix-time" => Kind::Time,
        "pure-token" => Kind::Token,
        "oneof" => Kind::OneOf(inner()),
        "block" => Kind::Block(inner()),
        other => panic!("an argument of the unknown type {other}"),
    };
    Argument {
        name: text("name").unwrap(),
        kind,
        token: text("token"),
        optional: has("optional"),
        multiple: has("multiple"),
        multiple_token: has("multiple_token"),
    }
}
