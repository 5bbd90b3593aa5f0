//! What a session wants of CLIENT TRACKING, checked as Redis checks it, and the connections that serve it.
//!
//! ```text
//!             CLIENT TRACKING ON …                      CLIENT TRACKING ON … (same mode)
//!   off ──────────────────────────────► on: default, OPTIN, OPTOUT, BCAST ──┐
//!    ▲     OFF, RESET                   │         ▲                         │
//!    └──────────────────────────────────┘         └─────────────────────────┘
//! ```
//! [`Wish`] is one CLIENT TRACKING request, [`Tracking`] what is in force. Texts are Redis's, to the letter. Bounded by
//! [`MAX_PREFIXES`] and [`MAX_PREFIX_BYTES`]; connections by the leases. Pure: `core/tracking.rs` acts.

use std::{borrow::Cow, collections::BTreeSet};

use crate::traffic::{
    pipe::PipeId,
    resp::{Proto, encode},
    route::NodeId,
};

/// Most prefixes that one session may listen to; each is compared with each other.
const MAX_PREFIXES: usize = 1_024;

/// Most bytes that they may have together.
const MAX_PREFIX_BYTES: usize = 64 << 10;

/// Redis's text for arguments that make no sense.
const SYNTAX: &str = "ERR syntax error";

/// An error of Redis, without `-` and line end.
type Text = Cow<'static, str>;

/// How keys are tracked: the options of CLIENT TRACKING ON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mode {
    /// Every change of keys with a prefix is told, whether they were read or not.
    pub bcast: bool,
    /// Only keys of commands behind CLIENT CACHING YES.
    pub optin: bool,
    /// Not the keys of commands behind CLIENT CACHING NO.
    pub optout: bool,
    /// Not what the session changes itself.
    pub noloop: bool,
}

/// One CLIENT TRACKING request.
#[derive(Debug, PartialEq, Eq)]
pub struct Wish {
    /// ON or OFF.
    pub on: bool,
    /// How.
    pub mode: Mode,
    /// Number of the session that is to be told; 0: the one that tracks.
    pub redirect: u64,
    /// For BCAST.
    pub prefixes: Vec<Vec<u8>>,
}

impl Wish {
    /// Reads the arguments behind CLIENT TRACKING; `number` reads an integer, `exists` tells whether there is such a
    /// session.
    ///
    /// # Errors
    /// Redis's text.
    pub fn parse(
        args: &[&[u8]],
        number: impl Fn(&[u8]) -> Result<i64, &'static str>,
        exists: impl Fn(u64) -> bool,
    ) -> Result<Self, Text> {
        let mut wish = Self { on: false, mode: Mode::default(), redirect: 0, prefixes: Vec::new() };
        let mut left = args.iter().skip(1);
        while let Some(option) = left.next() {
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            if is("REDIRECT") && left.len() > 0 {
                if wish.redirect != 0 {
                    return Err("ERR A client can only redirect to a single other client".into());
                }
                let id = number(left.next().copied().unwrap_or_default())?;
                match u64::try_from(id) {
                    Ok(id) if exists(id) => wish.redirect = id,
                    _ => return Err("ERR The client ID you want redirect to does not exist".into()),
                }
            } else if is("BCAST") {
                wish.mode.bcast = true;
            } else if is("OPTIN") {
                wish.mode.optin = true;
            } else if is("OPTOUT") {
                wish.mode.optout = true;
            } else if is("NOLOOP") {
                wish.mode.noloop = true;
            } else if is("PREFIX") && left.len() > 0 {
                wish.prefixes.extend(left.next().map(|prefix| prefix.to_vec()));
            } else {
                return Err(SYNTAX.into());
            }
        }
        match args.first() {
            Some(word) if word.eq_ignore_ascii_case(b"on") => wish.on = true,
            Some(word) if word.eq_ignore_ascii_case(b"off") => {}
            _ => return Err(SYNTAX.into()),
        }
        Ok(wish)
    }

    /// Whether what is in force allows it, in Redis's order of checks.
    ///
    /// # Errors
    /// Redis's text.
    pub fn check(&self, now: Option<&Tracking>) -> Result<(), Text> {
        let old = now.map(|tracking| tracking.mode);
        let Mode { bcast, optin, optout, .. } = self.mode;
        if !bcast && !self.prefixes.is_empty() {
            return Err("ERR PREFIX option requires BCAST mode to be enabled".into());
        }
        if old.is_some_and(|old| old.bcast != bcast) {
            return Err("ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then \
                        re-enabling it with a different mode."
                .into());
        }
        if bcast && (optin || optout) {
            return Err("ERR OPTIN and OPTOUT are not compatible with BCAST".into());
        }
        if optin && optout {
            return Err("ERR You can't specify both OPTIN mode and OPTOUT mode".into());
        }
        if old.is_some_and(|old| optin && old.optout || optout && old.optin) {
            return Err("ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then \
                        re-enabling it with a different mode."
                .into());
        }
        self.check_prefixes(now)
    }

    fn check_prefixes(&self, now: Option<&Tracking>) -> Result<(), Text> {
        let known = now.map(|tracking| &tracking.prefixes);
        let bytes = |of: &mut dyn Iterator<Item = &Vec<u8>>| of.map(Vec::len).sum::<usize>();
        let count = self.prefixes.len() + known.map_or(0, BTreeSet::len);
        let total = bytes(&mut self.prefixes.iter()) + known.map_or(0, |known| bytes(&mut known.iter()));
        if count > MAX_PREFIXES || total > MAX_PREFIX_BYTES {
            return Err(format!(
                "ERR one client may track at most {MAX_PREFIXES} prefixes of {MAX_PREFIX_BYTES} bytes together; use \
                 fewer or shorter ones, or several clients"
            )
            .into());
        }
        for (at, prefix) in self.prefixes.iter().enumerate() {
            let others = [("an existing", known.and_then(|known| known.iter().find(|old| overlap(prefix, old)))), {
                ("another provided", self.prefixes[at + 1..].iter().find(|other| overlap(prefix, other)))
            }];
            for (which, other) in others {
                let Some(other) = other else { continue };
                return Err(format!(
                    "ERR Prefix '{}' overlaps with {which} prefix '{}'. Prefixes for a single client must not overlap.",
                    String::from_utf8_lossy(prefix),
                    String::from_utf8_lossy(other)
                )
                .into());
            }
        }
        Ok(())
    }
}

/// Whether one of them begins with the other.
fn overlap(one: &[u8], other: &[u8]) -> bool {
    let shorter = one.len().min(other.len());
    one[..shorter] == other[..shorter]
}

/// What is in force for a session whose CLIENT TRACKING is on.
#[derive(Debug, Default)]
pub struct Tracking {
    /// How.
    pub mode: Mode,
    /// Number of the session that is told; 0: this one.
    pub redirect: u64,
    /// For BCAST; the empty one alone means every key.
    pub prefixes: BTreeSet<Vec<u8>>,
    /// CLIENT CACHING was said: the next command is an exception.
    pub caching: bool,
    /// The session that is to be told is gone.
    pub broken: bool,
    /// Its connections.
    pub links: Vec<Tracked>,
    /// Nodes that refused such a connection.
    pub refused: Vec<Refused>,
    /// The slot of the CLIENT TRACKING that is answered when its connections are there.
    pub starting: Option<u32>,
}

/// A session's own connection to a node, on which CLIENT TRACKING is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// The node.
    pub node: NodeId,
    /// The db it has selected.
    pub db: u32,
    /// The protocol it speaks.
    pub proto: Proto,
    /// Carries the session's commands.
    pub data: PipeId,
    /// Hears the invalidations, where `data` cannot because it speaks RESP2.
    pub ear: Option<PipeId>,
    /// Changes may have been missed before it was there: everything is to be forgotten once it is.
    pub late: bool,
}

/// A node that refused a tracking connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The node.
    pub node: NodeId,
    /// How often in a row.
    pub failures: u32,
    /// No new try before (µs of the worker's clock).
    pub until_us: u64,
    /// Why.
    pub why: String,
}

impl Tracking {
    /// What is in force after `wish`, which was checked, without connections.
    #[must_use]
    pub fn after(wish: Wish, old: Option<&Self>) -> Self {
        let mut prefixes = old.map(|old| old.prefixes.clone()).unwrap_or_default();
        if wish.mode.bcast && wish.prefixes.is_empty() {
            prefixes.insert(Vec::new());
        }
        prefixes.extend(wish.prefixes);
        Self { mode: wish.mode, redirect: wish.redirect, prefixes, ..Self::default() }
    }

    /// Whether nodes are asked for the same as with `other`.
    #[must_use]
    pub fn asks_the_same(&self, other: &Self) -> bool {
        self.mode == other.mode && self.prefixes == other.prefixes
    }

    /// Whether anybody hears what nodes tell; with RESP2, which has no pushes, only a session that was named.
    #[must_use]
    pub fn is_heard(&self, proto: Proto) -> bool {
        self.redirect != 0 || proto == Proto::Resp3
    }

    /// Whether keys of the next command are tracked because it reads them.
    #[must_use]
    pub fn tracks_next(&self) -> bool {
        let Mode { bcast, optin, optout, .. } = self.mode;
        !bcast && if optin { self.caching } else { !(optout && self.caching) }
    }

    /// The connection for commands to `node`.
    #[must_use]
    pub fn link(&self, node: NodeId, db: u32, proto: Proto) -> Option<&Tracked> {
        self.links.iter().find(|link| link.node == node && link.db == db && link.proto == proto)
    }

    /// Takes the connection out that pipe `id` belongs to.
    pub fn take_link(&mut self, id: PipeId) -> Option<Tracked> {
        let at = self.links.iter().position(|link| link.data == id || link.ear == Some(id))?;
        Some(self.links.swap_remove(at))
    }

    /// Notes that `node` refused a connection, and returns how often it has.
    pub fn refuse(&mut self, node: NodeId, why: &str) -> &mut Refused {
        let at = self.refused.iter().position(|refused| refused.node == node).unwrap_or_else(|| {
            self.refused.push(Refused { node, failures: 0, until_us: 0, why: String::new() });
            self.refused.len() - 1
        });
        let refused = &mut self.refused[at];
        refused.failures += 1;
        why.clone_into(&mut refused.why);
        refused
    }

    /// Writes the request that makes a connection track; `ear` is the node's number of the connection that hears.
    pub fn write_request(&self, ear: Option<u64>, out: &mut Vec<u8>) {
        let ear = ear.map(|id| id.to_string());
        let mut words: Vec<&[u8]> = vec![b"CLIENT", b"TRACKING", b"ON"];
        if let Some(ear) = &ear {
            words.extend([b"REDIRECT", ear.as_bytes()]);
        }
        let Mode { bcast, optin, optout, noloop } = self.mode;
        let options: [(bool, &[u8]); 4] =
            [(bcast, b"BCAST"), (optin, b"OPTIN"), (optout, b"OPTOUT"), (noloop, b"NOLOOP")];
        words.extend(options.iter().filter(|(wanted, _)| *wanted).map(|(_, word)| *word));
        for prefix in &self.prefixes {
            words.extend([b"PREFIX", prefix.as_slice()]);
        }
        encode::array_header(out, words.len());
        words.iter().for_each(|word| encode::bulk(out, word));
    }

    /// The word of CLIENT CACHING that is to stand in front of the next command.
    #[must_use]
    pub fn caching_word(&self) -> Option<&'static [u8]> {
        match self.mode {
            _ if !self.caching => None,
            Mode { optin: true, .. } => Some(b"YES"),
            _ => Some(b"NO"),
        }
    }
}

/// What CLIENT CACHING `word` means for a session.
///
/// # Errors
/// Redis's text.
pub fn check_caching(now: Option<&Tracking>, word: &[u8]) -> Result<(), Text> {
    let Some(tracking) = now else {
        return Err(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode \
                    enabled"
                .into(),
        );
    };
    match () {
        () if word.eq_ignore_ascii_case(b"yes") && !tracking.mode.optin => {
            Err("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.".into())
        }
        () if word.eq_ignore_ascii_case(b"no") && !tracking.mode.optout => {
            Err("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.".into())
        }
        () if word.eq_ignore_ascii_case(b"yes") || word.eq_ignore_ascii_case(b"no") => Ok(()),
        () => Err(SYNTAX.into()),
    }
}

/// Appends the reply to CLIENT TRACKINGINFO.
pub fn write_info(now: Option<&Tracking>, proto: Proto, out: &mut Vec<u8>) {
    let mut flags: Vec<&str> = vec![if now.is_some() { "on" } else { "off" }];
    if let Some(tracking) = now {
        let Mode { bcast, optin, optout, noloop } = tracking.mode;
        let words = [
            (bcast, "bcast"),
            (optin, "optin"),
            (optin && tracking.caching, "caching-yes"),
            (optout, "optout"),
            (optout && tracking.caching, "caching-no"),
            (noloop, "noloop"),
            (tracking.broken, "broken_redirect"),
        ];
        flags.extend(words.iter().filter(|(is, _)| *is).map(|(_, word)| *word));
    }
    encode::map_header(out, 3, proto);
    encode::bulk(out, b"flags");
    encode::set_header(out, flags.len(), proto);
    flags.iter().for_each(|flag| encode::bulk(out, flag.as_bytes()));
    encode::bulk(out, b"redirect");
    encode::integer(out, redirection(now));
    encode::bulk(out, b"prefixes");
    let prefixes = now.map(|tracking| &tracking.prefixes);
    encode::array_header(out, prefixes.map_or(0, BTreeSet::len));
    prefixes.into_iter().flatten().for_each(|prefix| encode::bulk(out, prefix));
}

/// What CLIENT GETREDIR answers: -1 without tracking, 0 without redirection.
#[must_use]
pub fn redirection(now: Option<&Tracking>) -> i64 {
    now.map_or(-1, |tracking| tracking.redirect as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Wish, Text> {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let number = |text: &[u8]| std::str::from_utf8(text).unwrap().parse().map_err(|_| "ERR no number");
        Wish::parse(&args, number, |id| id == 7)
    }

    /// What is in force after these requests, or the first error.
    fn say(lines: &[&str]) -> Result<Option<Tracking>, Text> {
        let mut now: Option<Tracking> = None;
        for line in lines {
            let wish = parse(line)?;
            if wish.on {
                wish.check(now.as_ref())?;
                now = Some(Tracking::after(wish, now.as_ref()));
            } else {
                now = None;
            }
        }
        Ok(now)
    }

    /// Each line was said to a redis-server 7.0.
    #[test]
    fn what_redis_refuses_is_refused_with_its_text() {
        let gone = "ERR The client ID you want redirect to does not exist";
        let bcast = "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then \
                     re-enabling it with a different mode.";
        let opt = "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then \
                   re-enabling it with a different mode.";
        for (lines, text) in [
            (&["maybe"][..], SYNTAX),
            (&["ON WHAT"], SYNTAX),
            (&["OFF WHAT"], SYNTAX),
            (&["ON REDIRECT"], SYNTAX),
            (&["ON PREFIX"], SYNTAX),
            (&["ON REDIRECT x"], "ERR no number"),
            (&["OFF REDIRECT 9"], gone),
            (&["ON REDIRECT 0"], gone),
            (&["ON REDIRECT -7"], gone),
            (&["ON REDIRECT 7 REDIRECT 7"], "ERR A client can only redirect to a single other client"),
            (&["ON PREFIX a"], "ERR PREFIX option requires BCAST mode to be enabled"),
            (&["ON", "ON BCAST"], bcast),
            (&["ON BCAST", "ON OPTIN"], bcast),
            (&["ON BCAST OPTIN"], "ERR OPTIN and OPTOUT are not compatible with BCAST"),
            (&["ON OPTIN OPTOUT"], "ERR You can't specify both OPTIN mode and OPTOUT mode"),
            (&["ON OPTIN", "ON OPTOUT"], opt),
            (
                &["ON BCAST PREFIX a PREFIX b", "ON BCAST PREFIX ab"],
                "ERR Prefix 'ab' overlaps with an existing prefix 'a'. Prefixes for a single client must not overlap.",
            ),
            (
                &["ON BCAST PREFIX c PREFIX cd"],
                "ERR Prefix 'c' overlaps with another provided prefix 'cd'. Prefixes for a single client must not overlap.",
            ),
            (
                &["ON BCAST", "ON BCAST PREFIX x"],
                "ERR Prefix 'x' overlaps with an existing prefix ''. Prefixes for a single client must not overlap.",
            ),
        ] {
            assert_eq!(say(lines).err().as_deref(), Some(text), "{lines:?}");
        }
    }

    #[test]
    fn a_second_request_adds_prefixes_and_replaces_the_rest() {
        let now = say(&["on bcast noloop prefix b redirect 7", "ON BCAST PREFIX a"]).unwrap().unwrap();
        let prefixes: Vec<&[u8]> = now.prefixes.iter().map(Vec::as_slice).collect();
        assert_eq!(prefixes, [b"a", b"b"]);
        assert_eq!((now.mode, now.redirect), (Mode { bcast: true, ..Mode::default() }, 0));
        assert!(say(&["ON OPTIN", "OFF", "ON OPTOUT"]).unwrap().unwrap().mode.optout);
        assert!(say(&["ON BCAST", "ON BCAST"]).unwrap().unwrap().prefixes.contains(&Vec::new()));
        assert!(say(&["ON", "OFF"]).unwrap().is_none());
    }

    #[test]
    fn prefixes_are_bounded() {
        let many = (0..=MAX_PREFIXES).fold("ON BCAST".to_owned(), |line, at| format!("{line} PREFIX {at:05}"));
        assert!(say(&[&many]).unwrap_err().contains("at most 1024 prefixes"));
        let long = format!("ON BCAST PREFIX {}", "x".repeat(MAX_PREFIX_BYTES + 1));
        assert!(say(&[&long]).unwrap_err().contains("use fewer or shorter ones"));
    }

    #[test]
    fn the_request_for_nodes_names_all_that_is_in_force() {
        let now = say(&["ON BCAST PREFIX b", "ON BCAST NOLOOP PREFIX a REDIRECT 7"]).unwrap().unwrap();
        let mut out = Vec::new();
        now.write_request(Some(42), &mut out);
        let text = String::from_utf8(out).unwrap();
        let words: Vec<&str> = text.split("\r\n").skip(1).filter(|word| !word.starts_with('$')).collect();
        assert_eq!(words.join(" ").trim_end(), "CLIENT TRACKING ON REDIRECT 42 BCAST NOLOOP PREFIX a PREFIX b");
        assert!(text.starts_with("*11\r\n"));
    }

    #[test]
    fn caching_is_for_its_own_mode_only() {
        let now = say(&["ON OPTOUT"]).unwrap();
        assert!(check_caching(None, b"YES").unwrap_err().contains("can be called only when"));
        assert!(
            check_caching(now.as_ref(), b"yes").unwrap_err().contains("only valid when tracking is enabled in OPTIN")
        );
        assert_eq!(check_caching(now.as_ref(), b"maybe").unwrap_err(), SYNTAX);
        assert!(check_caching(now.as_ref(), b"no").is_ok());
        let now = Tracking { caching: true, ..now.unwrap() };
        assert_eq!(now.caching_word(), Some(&b"NO"[..]));
    }
}
