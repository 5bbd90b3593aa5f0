//! CONFIG: the nodes' parameters as one, and Circlet's own options beside them under `circlet.`.
//!
//! GET shows the parameters of a node and the options that match; SET sets parameters on every node and options here, all
//! or none ([`ConfigSet`]). Parameters by which Circlet would lose its nodes are refused; those about what Circlet does
//! itself (SLOWLOG, LATENCY) set its own options too ([`FOLLOWED`]). Pure.

use std::sync::Arc;

use crate::traffic::{
    client::ClientKey,
    command::{Gather, Row, glob},
    core::{
        Core, Message,
        message::NewSettings,
        request::{Request, Taken},
    },
    merge::steps::{ConfigGet, ConfigSet, Question, Steps},
    options::{OptionError, PREFIX},
    refusal::Refusal,
    resp::encode,
    settings::Settings,
};

/// Parameters that are one node's own, and what to do instead.
const PER_NODE: &[(&str, &str)] = &[
    (
        "requirepass",
        "Circlet logs in to the nodes with it; change it at each node and in Circlet's configuration. Circlet's own \
         password is requirepass there",
    ),
    ("port", "each node has its own, where Circlet looks for it"),
    ("tls-port", "each node has its own, where Circlet looks for it"),
    ("bind", "each node has its own, where Circlet looks for it"),
];

/// Parameters that mean for Circlet what they mean for a node, and the options that follow them.
const FOLLOWED: &[Followed] = &[
    Followed {
        parameter: "slowlog-log-slower-than",
        option: "slowlog.slower_than",
        text: |us| if us < 0 { "off".to_owned() } else { format!("{us}us") },
        value: |settings| settings.slow.slower_than.map_or("-1".to_owned(), |time| time.as_micros().to_string()),
    },
    Followed {
        parameter: "slowlog-max-len",
        option: "slowlog.max_len",
        text: |count| count.to_string(),
        value: |settings| settings.slow.max_len.to_string(),
    },
    Followed {
        parameter: "latency-monitor-threshold",
        option: "latency.monitor_threshold",
        text: |ms| if ms == 0 { "off".to_owned() } else { format!("{ms}ms") },
        value: |settings| settings.slow.monitor_threshold.map_or("0".to_owned(), |time| time.as_millis().to_string()),
    },
];

/// A parameter of Redis that Circlet follows.
struct Followed {
    /// Its name, in small letters.
    parameter: &'static str,
    /// Circlet's option.
    option: &'static str,
    /// The option's text for a value of the parameter.
    text: fn(i64) -> String,
    /// The value of the parameter that the option has now.
    value: fn(&Settings) -> String,
}

impl Core {
    /// `CONFIG GET pattern …`
    pub(in crate::traffic::core) fn config_get(&mut self, key: ClientKey, request: Request<'_>, row: &Row) -> Taken {
        let patterns: Vec<&[u8]> = (2..request.args.len()).map(|at| request.arg(at)).collect();
        let own = self.own_options(&patterns);
        if patterns.iter().all(|pattern| is_own(pattern)) {
            let proto = self.proto(key);
            self.answer(key, |out| {
                encode::map_header(out, own.len(), proto);
                own.iter().flat_map(|(name, value)| [name, value]).for_each(|text| encode::bulk(out, text.as_bytes()));
            });
            return Taken::Yes;
        }
        let Some(node) = self.any_live_node() else { return self.any(key, request, row) };
        let questions = vec![Question { node, request: request.bytes.to_vec() }];
        let value = |one: &Followed| (one.parameter, (one.value)(&self.settings));
        let mut followed: Vec<_> = FOLLOWED.iter().map(value).collect();
        if self.is_cluster() {
            followed.push(("cluster-enabled", "yes".to_owned()));
        }
        self.begin_steps(key, (Steps::ConfigGet(ConfigGet { own, followed }), questions), false)
    }

    /// Circlet's options that match one of the patterns, with the prefix.
    fn own_options(&self, patterns: &[&[u8]]) -> Vec<(String, String)> {
        let prefixed = |(name, value)| (format!("{PREFIX}{name}"), value);
        let mut rows: Vec<(String, String)> = self.options.rows().into_iter().map(prefixed).collect();
        rows.retain(|(name, _)| patterns.iter().any(|pattern| glob::matches(pattern, name.as_bytes())));
        rows
    }

    /// `CONFIG SET name value …`
    pub(in crate::traffic::core) fn config_set(&mut self, key: ClientKey, request: Request<'_>, row: &Row) -> Taken {
        if !request.args.len().is_multiple_of(2) {
            // The node's own text.
            return self.any(key, request, row);
        }
        let (mut own, mut pairs): (Vec<(String, String)>, Vec<_>) = (Vec::new(), Vec::new());
        for at in (2..request.args.len()).step_by(2) {
            let (name, value) = (request.arg(at), request.arg(at + 1));
            match own_name(name) {
                Some(own_name) => own.push((own_name, String::from_utf8_lossy(value).into_owned())),
                None => {
                    own.extend(follow(name, value));
                    pairs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        if let Err(text) = self.may_set(&pairs, &own) {
            self.refuse(key, &Refusal::Redis(&text));
            return Taken::Yes;
        }
        if !pairs.is_empty() {
            let mut old = self.options.rows();
            old.retain(|(name, _)| own.iter().any(|(other, _)| other == name));
            let (steps, questions) = ConfigSet::begin(pairs, (own, old), self.is_local(key), self.nodes());
            return self.begin_steps(key, (Steps::ConfigSet(steps), questions), true);
        }
        match self.change_options(&own) {
            Ok(()) => self.ok(key),
            Err(text) => self.refuse(key, &Refusal::Redis(&text)),
        }
        Taken::Yes
    }

    /// Looks at what can be told without asking a node.
    fn may_set(&self, pairs: &[(Vec<u8>, Vec<u8>)], own: &[(String, String)]) -> Result<(), String> {
        for (name, _) in pairs {
            let known = PER_NODE.iter().find(|(parameter, _)| name.eq_ignore_ascii_case(parameter.as_bytes()));
            if let Some((parameter, why)) = known {
                return Err(failed(parameter, why));
            }
        }
        for (at, (name, _)) in own.iter().enumerate() {
            if own[..at].iter().any(|(other, _)| other == name) {
                return Err(failed(&format!("{PREFIX}{name}"), "duplicate parameter"));
            }
        }
        self.options.check(own).map_err(|error| told(&error))
    }

    /// Changes Circlet's own options, here and at every other worker.
    pub(in crate::traffic::core) fn change_options(&mut self, changes: &[(String, String)]) -> Result<(), String> {
        let settings = self.options.change(changes).map_err(|error| told(&error))?;
        for worker in 0..self.settings.workers {
            self.tell(worker, Message::Settings(NewSettings(Arc::clone(&settings))));
        }
        Ok(())
    }

    /// From now on these settings hold, unless newer ones do already.
    pub(in crate::traffic::core) fn set_settings(&mut self, settings: Arc<Settings>) {
        if settings.revision > self.settings.revision {
            self.registry.set_max_sessions(settings.session.max_sessions);
            self.journal.slow().keep(settings.slow.max_len);
            self.settings = settings;
            self.settings_changed();
        }
    }

    /// `CONFIG RESETSTAT`: of every node, and what INFO counts here.
    pub(in crate::traffic::core) fn config_reset_stat(
        &mut self,
        key: ClientKey,
        request: Request<'_>,
        row: &Row,
    ) -> Taken {
        let taken = self.all(key, request, row, Gather::Ok);
        if taken == Taken::Yes {
            self.registry.reset_stats();
        }
        taken
    }

    /// Whether a client is on this machine.
    pub(in crate::traffic::core) fn is_local(&self, key: ClientKey) -> bool {
        let Some(client) = self.client(key) else { return false };
        match client.record.addr.parse::<std::net::SocketAddr>() {
            Ok(address) => address.ip().to_canonical().is_loopback(),
            // A unix socket.
            Err(_) => true,
        }
    }
}

/// What Circlet sets itself when a parameter of the nodes is set. What is no number the nodes will refuse.
fn follow(name: &[u8], value: &[u8]) -> Option<(String, String)> {
    let one = FOLLOWED.iter().find(|one| name.eq_ignore_ascii_case(one.parameter.as_bytes()))?;
    let number: i64 = str::from_utf8(value).ok()?.parse().ok()?;
    Some((one.option.to_owned(), (one.text)(number)))
}

/// The name of an option of Circlet without its prefix.
fn own_name(name: &[u8]) -> Option<String> {
    is_own(name).then(|| String::from_utf8_lossy(&name[PREFIX.len()..]).to_ascii_lowercase())
}

/// Whether a name or pattern can mean nothing but Circlet's options.
fn is_own(name: &[u8]) -> bool {
    name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX.as_bytes()))
}

/// Redis's text for a parameter that is not set.
fn failed(name: &str, why: &str) -> String {
    format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")
}

fn told(error: &OptionError) -> String {
    match error {
        OptionError::Unknown(name) => {
            format!("ERR Unknown option or number of arguments for CONFIG SET - '{PREFIX}{name}'")
        }
        OptionError::NeedsRestart(name) => failed(
            &format!("{PREFIX}{name}"),
            "can't set immutable config: it needs a restart of Circlet, with the value in its configuration file",
        ),
        OptionError::Wrong(name, cure) => failed(&format!("{PREFIX}{name}"), cure),
    }
}
