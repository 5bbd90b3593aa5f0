//! SWAPDB and DEBUG, over all nodes. Pure.

use crate::traffic::{
    client::ClientKey,
    command::Gather,
    core::{
        Core,
        request::{Request, Taken},
    },
    merge::steps::{Debug, Steps, SwapDb},
    refusal::Refusal,
    route::NodeId,
};

/// Where a subcommand of DEBUG goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// To the owner of its keys, which begin at argument 2.
    Keys,
    /// To any node.
    Any,
    /// To all nodes; what each of them says, for people.
    Texts,
    /// To all nodes, if it is one; of several the replies make no whole, or keys would lie where nobody looks.
    OneOnly,
}

/// Subcommands of DEBUG that do not simply go to all nodes.
const DEBUG: &[(&str, Target)] = &[
    ("OBJECT", Target::Keys),
    ("SDSLEN", Target::Keys),
    ("ZIPLIST", Target::Keys),
    ("LISTPACK", Target::Keys),
    ("QUICKLIST", Target::Keys),
    ("HTSTATS-KEY", Target::Keys),
    ("DIGEST-VALUE", Target::Keys),
    ("HELP", Target::Any),
    ("PROTOCOL", Target::Any),
    ("ERROR", Target::Any),
    ("STRINGMATCH-LEN", Target::Any),
    ("STRUCTSIZE", Target::Any),
    ("HTSTATS", Target::Texts),
    ("DIGEST", Target::OneOnly),
    ("POPULATE", Target::OneOnly),
];

impl Core {
    /// `SWAPDB one other`
    pub(in crate::traffic::core) fn swap_db(&mut self, key: ClientKey, request: Request<'_>) -> Taken {
        let (steps, questions) = SwapDb::begin(request.bytes, self.nodes());
        self.begin_steps(key, (Steps::SwapDb(steps), questions), true)
    }

    /// `DEBUG subcommand …`
    pub(in crate::traffic::core) fn debug(&mut self, key: ClientKey, request: Request<'_>) -> Taken {
        let sub = request.arg(1);
        let target =
            DEBUG.iter().find(|(name, _)| sub.eq_ignore_ascii_case(name.as_bytes())).map(|(_, target)| *target);
        let all: Vec<NodeId> = self.nodes().collect();
        let (targets, how) = match target {
            Some(Target::Keys) if request.args.len() > 2 => {
                let keys: Vec<u32> = match sub.eq_ignore_ascii_case(b"DIGEST-VALUE") {
                    true => (2..request.args.len() as u32).collect(),
                    false => vec![2],
                };
                match self.owner_of_all(request, &keys) {
                    Ok(owner) => (owner.into_iter().collect(), Gather::Ok),
                    Err((one, other)) => {
                        self.refuse_crossslot(key, request.arg(one as usize), request.arg(other as usize));
                        return Taken::Yes;
                    }
                }
            }
            Some(Target::OneOnly) if all.len() > 1 => {
                let name = format!("debug|{}", String::from_utf8_lossy(sub).to_lowercase());
                self.refuse(key, &Refusal::OneNode(&name));
                return Taken::Yes;
            }
            Some(Target::Texts) => (all, Gather::Texts),
            Some(Target::Any | Target::Keys) => (self.any_live_node().into_iter().collect(), Gather::Ok),
            Some(Target::OneOnly) | None => (all, Gather::Ok),
        };
        if targets.is_empty() {
            self.refuse(key, &Refusal::NoNode);
            return Taken::Yes;
        }
        let (steps, questions) = Debug::begin(request.bytes, &targets, how, self.is_local(key), self.nodes());
        self.begin_steps(key, (Steps::Debug(steps), questions), true)
    }
}
