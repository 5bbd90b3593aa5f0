//! What an operator says: CIRCLET NODE, PLAN, REBALANCE and EPOCH, and what a configuration wishes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Weak, atomic::Ordering::SeqCst},
};

use bytes::Bytes;
use tokio::task::JoinSet;

use super::{
    Change, Driver, Kind, Listed, Member, Members, NodeId, Wish, held,
    leg::{Leg, is_over},
};
use crate::{
    config::{Config, Profile},
    control::{
        probe::{Conversation, field},
        rebalance::{
            mover::{self, Busy, Need, OwnerOf},
            plan::{Facts, Pace, Plan},
            seats::Cast,
            totals::Result as Ended,
            words,
        },
    },
    traffic::{
        resp::{Fields, Proto, encode},
        route::{Address, Node},
    },
};

/// Changes that may wait.
const MAX_QUEUED: usize = 100;

impl Driver {
    /// Carries out a command; the words behind CIRCLET. Gives the reply.
    pub(super) async fn order(&self, words: &[Bytes], resp3: bool) -> Vec<u8> {
        let proto = if resp3 { Proto::Resp3 } else { Proto::Resp2 };
        let lower: Vec<String> = words.iter().map(|word| String::from_utf8_lossy(word).to_ascii_lowercase()).collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        let rest: Vec<&[u8]> = words.iter().skip(1).map(|word| &word[..]).collect();
        let answer = match lower.as_slice() {
            ["node", ..] => self.change_nodes(&rest).await,
            ["plan", ..] => return self.show_plan(&rest, proto).await.unwrap_or_else(|why| error(&why)),
            ["epoch"] => return number(self.epoch.load(SeqCst)),
            ["rebalance", "status"] => return self.report().reply(proto),
            ["rebalance", "pause"] => self.pause(true).await,
            ["rebalance", "resume"] => self.pause(false).await,
            ["rebalance", "rate", rate] => self.set_rate(rate).await,
            ["rebalance", "abort"] => self.abort(),
            ["rebalance", "verify"] => return self.verify(proto).await.unwrap_or_else(|why| error(&why)),
            ["reload"] => return self.reload(proto).await.unwrap_or_else(|why| error(&why)),
            _ => Err("this is not understood; CIRCLET HELP shows what is".to_owned()),
        };
        match answer {
            Ok(text) => status(&text),
            Err(why) => error(&why),
        }
    }

    /// `CIRCLET RELOAD`; mistakes are told in one line.
    async fn reload(&self, proto: Proto) -> Result<Vec<u8>, String> {
        let reload = self.reload.get().and_then(Weak::upgrade).ok_or("Circlet is starting or stopping; try again")?;
        let done = reload.reload().await;
        done.map(|summary| summary.reply(proto)).map_err(|why| why.to_string().replace('\n', " | "))
    }

    /// `CIRCLET NODE …`
    async fn change_nodes(&self, rest: &[&[u8]]) -> Result<String, String> {
        let wishes = words::read(rest)?;
        let idle = {
            let kept = self.kept();
            kept.state.change.is_none() && kept.state.queue.is_empty()
        };
        if idle && self.tools.store.is_some() {
            // What cannot be done is told at once. (Behind another change, when its turn comes.)
            self.prepare(&wishes).await?;
        }
        self.take(wishes)
    }

    /// Takes wishes on, as one change.
    ///
    /// # Errors
    /// Why not, and the cure; nothing was changed.
    pub fn take(&self, wishes: Vec<Wish>) -> Result<String, String> {
        let next = self.may_take(&wishes)?;
        let mut kept = self.kept();
        if kept.state.queue.len() >= MAX_QUEUED {
            return Err(format!("{MAX_QUEUED} changes wait already; try again when some are done"));
        }
        let text = words::text(&wishes);
        kept.state.queue.push(wishes);
        let (waits, id) = (kept.state.change.is_some() || kept.state.queue.len() > 1, kept.state.next_id);
        let place = id + kept.state.queue.len() as u64 - 1;
        let saved = self.tools.store.as_ref().map_or(Ok(()), |store| store.save(&kept.state));
        if let Err(why) = saved {
            kept.state.queue.pop();
            return Err(format!("nothing is changed: {why}"));
        }
        drop(kept);
        self.note(Kind::Change, "", &format!("change {place}: {text}"));
        tracing::info!(change = place, what = %text, nodes = next.list().len(), "change of the nodes is taken on");
        self.called.notify_one();
        let how = if waits { "waits for the one before it" } else { "begins" };
        Ok(format!("OK change {place} {how}; CIRCLET REBALANCE STATUS shows how far it is"))
    }

    /// The nodes after `wishes`, if they can be taken on.
    fn may_take(&self, wishes: &[Wish]) -> Result<Members, String> {
        if self.tools.store.is_none() {
            return Err(
                "a change of the nodes must outlive a restart, and there is no state directory; start Circlet with \
                        --state DIR (or state = \"DIR\" in its file)"
                    .to_owned(),
            );
        }
        self.afterwards().after(wishes).map_err(|refused| refused.to_string())
    }

    /// The nodes once all that is under way or waits is done.
    fn afterwards(&self) -> Members {
        let kept = self.kept();
        self.tools.live.see(|config| kept.state.afterwards(config))
    }

    /// Who of them is left out, as far as that is known.
    fn out_afterwards(&self) -> Vec<String> {
        let kept = self.kept();
        kept.state.change.as_ref().map_or_else(|| kept.state.out.clone(), |change| change.out.clone())
    }

    /// Whether [`Driver::follow`] could take on what `config` wishes; changes nothing.
    ///
    /// # Errors
    /// Why not, and the cure.
    pub fn may_follow(&self, config: &Config) -> Result<(), String> {
        let wishes = self.kept().state.wished_by(config);
        if wishes.is_empty() { Ok(()) } else { self.may_take(&wishes).map(drop) }
    }

    /// What the configuration wishes of the nodes since the one that was followed last; taken on if it wishes anything.
    ///
    /// # Errors
    /// Why not, and the cure; nothing was changed.
    pub async fn follow(&self, config: &Config) -> Result<Option<String>, String> {
        let wishes = self.kept().state.wished_by(config);
        if let Some(store) = &self.tools.store {
            store.follow(config);
        }
        let taken = if wishes.is_empty() { None } else { Some(self.take(wishes)?) };
        self.save(|state| state.baseline = Listed::of(config)).await;
        Ok(taken)
    }

    /// Begins what waits; false: nothing does.
    pub(super) async fn begin_next(&self) -> bool {
        let Some(wishes) = self.kept().state.queue.first().cloned() else { return false };
        let rate = self.set_out();
        match self.prepare(&wishes).await {
            Ok(mut change) => {
                change.rate = rate;
                // Said to the one before it, too late. From the next line on what is said is said to this one.
                self.abort.store(false, SeqCst);
                self.resume.store(false, SeqCst);
                self.kept().before = self.totals();
                self.save(|state| {
                    state.queue.remove(0);
                    state.next_id += 1;
                    state.change = Some(change);
                })
                .await;
            }
            Err(why) => {
                let text = format!("{} cannot be done: {why}", words::text(&wishes));
                self.save(|state| {
                    state.queue.remove(0);
                    state.next_id += 1;
                })
                .await;
                held(&self.totals).ended(Ended::Refused);
                self.trouble(&text);
            }
        }
        true
    }

    /// The next change is as fast as the options say, or as the operator has said of it already; gives that.
    fn set_out(&self) -> Option<u64> {
        let (pace, options) = (self.tools.mover.pace(), self.tools.live.see(|config| config.rebalance.clone()));
        let said = held(&self.rate).take();
        pace.set(said.unwrap_or(options.rate as u64), options.bytes_per_second as u64);
        said
    }

    /// The change that `wishes` make of the nodes as they are.
    async fn prepare(&self, wishes: &[Wish]) -> Result<Change, String> {
        let (before, out) = {
            let kept = self.kept();
            (self.tools.live.see(|config| kept.state.present(config)), kept.state.out.clone())
        };
        let after = before.after(wishes).map_err(|refused| refused.to_string())?;
        let still_out = after.still_out(&before, &out);
        if after.list().len() == still_out.len() {
            return Err(format!(
                "no node would be left that has keys: the others are left out since they are down ({}); wait until one of them is \
                 back, or add another node first",
                still_out.join(", ")
            ));
        }
        let lost = lost_by(wishes);
        let plan = self.plan(&before.without(&out), &after.without(&still_out), &lost).await?;
        let copies = self.tools.live.see(|config| config.profile == Profile::Store);
        let change = Change {
            lost,
            copies,
            parts: if !copies { 1 } else { u32::try_from(plan.parts).unwrap_or(u32::MAX).clamp(1, 1_000) },
            ..Change::new(self.kept().state.next_id, words::text(wishes), after.list().to_vec(), still_out)
        };
        for note in plan.warnings.iter().cloned().chain(self.look_ahead(&before, &change, &plan).await?) {
            tracing::warn!(change = change.id, %note, "before the change");
            self.note(Kind::Change, "", &note);
        }
        Ok(change)
    }

    /// Whether the nodes can give and take what they are to; what the operator should know.
    async fn look_ahead(&self, before: &Members, change: &Change, plan: &Plan) -> Result<Vec<String>, String> {
        let (mut seats, scheme, out) = {
            let kept = self.kept();
            (kept.seats.clone(), kept.state.scheme, kept.state.out.clone())
        };
        let alive: Vec<Member> =
            before.list().iter().filter(|member| !change.lost.contains(&member.name)).cloned().collect();
        let alive = Cast { members: &alive, out: &out };
        let course = seats.course(alive, change.cast(), &scheme).map_err(|error| error.to_string())?;
        let seat = |name: &str| course.nodes().iter().position(|node| node.name == name && node.member);
        let mut needs: BTreeMap<NodeId, Need> = BTreeMap::new();
        for pair in &plan.pairs {
            let Some(to) = seat(&pair.to) else { continue };
            let need = needs.entry(NodeId(to as u16)).or_default();
            need.keys += pair.keys.unwrap_or(0);
            need.bytes += pair.bytes.unwrap_or(0);
        }
        let ahead = mover::Plan { joining: course.joining().collect(), needs, copies: change.copies };
        let stage = Leg::first().stage(&course, change, Busy::Stop);
        self.tools.mover.preflight(stage, ahead).await.map_err(|error| error.to_string())
    }

    /// `CIRCLET PLAN …`
    async fn show_plan(&self, rest: &[&[u8]], proto: Proto) -> Result<Vec<u8>, String> {
        let wishes = words::read(rest)?;
        let before = self.afterwards();
        let after = before.after(&wishes).map_err(|refused| refused.to_string())?;
        let (lost, out) = (lost_by(&wishes), self.out_afterwards());
        let (old, new) = (before.without(&out), after.without(&after.still_out(&before, &out)));
        Ok(self.plan(&old, &new, &lost).await?.reply(proto))
    }

    /// What would move, as far as the nodes tell.
    async fn plan(&self, before: &Members, after: &Members, lost: &[String]) -> Result<Plan, String> {
        let ring = |members: &Members| members.ring().map_err(|error| error.to_string());
        let (old, new) = (ring(before)?, ring(after)?);
        let mut asked = JoinSet::new();
        let mut addresses: Vec<&Member> = Vec::new();
        for member in before.list().iter().chain(after.list()) {
            if !lost.contains(&member.name) && !addresses.iter().any(|known| known.address == member.address) {
                addresses.push(member);
            }
        }
        for member in addresses {
            let (pipe, node) = (self.tools.live.pipe(), node_of(member));
            asked.spawn(async move {
                let facts = facts(&node, pipe.connect_timeout, pipe.request_timeout).await;
                (node, facts)
            });
        }
        let mut facts: HashMap<Address, Facts> = HashMap::new();
        while let Some(asked) = asked.join_next().await {
            let Ok((node, told)) = asked else { continue };
            // A plan can be made without; whether the node will do is seen when it comes to it.
            if let Ok(told) = told {
                facts.insert(node.address, told);
            }
        }
        let (keys, bytes) = self.tools.mover.pace().rate();
        let part_keys = self.tools.live.see(|config| config.rebalance.part_keys as u64);
        let pace = Pace { keys, bytes, part_keys };
        let mut plan = Plan::of((before, &old), (after, &new), lost, &facts, pace);
        if self.tools.live.see(|config| config.profile == Profile::Cache) {
            let text = "profile is cache: nothing is copied; the keys that change their node are misses, at once";
            plan.warnings.push(text.to_owned());
        }
        Ok(plan)
    }

    /// `CIRCLET REBALANCE VERIFY`: where keys are, and what became of those that were moved last.
    async fn verify(&self, proto: Proto) -> Result<Vec<u8>, String> {
        let topology = self.tools.fleet.topology();
        let (nodes, owner) = (topology.nodes.clone().into(), Arc::clone(&topology));
        let owner: OwnerOf = Arc::new(move |key| owner.owner(key));
        let found = self.tools.mover.verify(nodes, topology.members().to_vec(), owner).await;
        let found = found.map_err(|error| error.to_string())?;
        let strays: u64 = found.counts.iter().map(|count| count.strays).sum();
        let mut out = Vec::new();
        encode::array_header(&mut out, 1 + found.counts.len());
        let sum = [
            ("keys", found.counts.iter().map(|count| count.own).sum()),
            ("strays", strays),
            ("samples-same", found.samples.same),
            ("samples-changed-since", found.samples.changed),
            ("samples-gone-since", found.samples.gone),
        ];
        let sum = sum.map(|(name, value): (&str, u64)| (name, value.to_string()));
        Fields::of(&sum, proto).end(&mut out);
        for count in &found.counts {
            let name = topology.node(count.node).name.clone();
            let rows = [
                ("node", name),
                ("db", count.db.to_string()),
                ("keys", count.own.to_string()),
                ("strays", count.strays.to_string()),
            ];
            Fields::of(&rows, proto).end(&mut out);
        }
        Ok(out)
    }

    async fn pause(&self, paused: bool) -> Result<String, String> {
        let under_way = self.kept().state.change.is_some();
        if !under_way {
            return Err("no keys are being moved; CIRCLET REBALANCE STATUS shows how it stands".to_owned());
        }
        self.tools.mover.pace().pause(paused);
        if !paused {
            self.resume.store(true, SeqCst);
        }
        self.save_change(|change| change.paused = paused).await;
        self.called.notify_one();
        let text = if paused { "paused: keys move only when they are asked for" } else { "resumed" };
        self.note(Kind::Change, "", text);
        tracing::info!("change {text}");
        Ok("OK".to_owned())
    }

    async fn set_rate(&self, rate: &str) -> Result<String, String> {
        let keys: u64 = rate
            .parse()
            .map_err(|_| format!("'{rate}' is no rate; give keys per second, 0 for as fast as the nodes can"))?;
        let pace = self.tools.mover.pace();
        pace.set(keys, pace.rate().1);
        if self.kept().state.change.is_none() {
            *held(&self.rate) = Some(keys);
        }
        self.save_change(|change| change.rate = Some(keys)).await;
        Ok("OK".to_owned())
    }

    fn abort(&self) -> Result<String, String> {
        let mut kept = self.kept();
        let members = kept.state.members.clone();
        let Some(change) = &mut kept.state.change else {
            return Err("nothing is under way; CIRCLET REBALANCE STATUS shows how it stands".to_owned());
        };
        if change.back {
            return Err("the change is being taken back already".to_owned());
        }
        if change.is_of_out_only(&members) {
            return Err(
                "this change leaves out nodes that are down, or takes back those that are up again; CONFIG SET \
                        circlet.on_node_down error ends that"
                    .to_owned(),
            );
        }
        let (over, copies) = (is_over(change), change.copies);
        if over && !copies {
            return Err("the new nodes have the keys, and old copies are being deleted, which must not be left out in a cache; \
                        a change that takes this one back may follow it"
                .to_owned());
        }
        if !over {
            // A restart must know of it as well.
            change.aborted = true;
            let saved = self.tools.store.as_ref().map_or(Ok(()), |store| store.save(&kept.state));
            saved.map_err(|why| format!("nothing is aborted: {why}"))?;
        }
        drop(kept);
        self.abort.store(true, SeqCst);
        self.called.notify_one();
        if over {
            return Ok("OK the keys have moved; what is left of the purge is given up".to_owned());
        }
        Ok("OK keys go back to where they were; CIRCLET REBALANCE STATUS shows how far it is".to_owned())
    }

    /// Pauses and rates of a change that was under way when Circlet ended hold on.
    pub(super) fn follow_up(&self) {
        let kept = self.kept();
        if let Some(change) = &kept.state.change {
            let pace = self.tools.mover.pace();
            if let Some(rate) = change.rate {
                pace.set(rate, pace.rate().1);
            }
            self.abort.store(change.aborted && !change.back, SeqCst);
            tracing::info!(change = change.id, what = %change.text, "a change is under way and goes on");
            drop(kept);
            held(&self.report).state = super::Doing::Moving;
        }
    }
}

/// The nodes that are given up.
fn lost_by(wishes: &[Wish]) -> Vec<String> {
    let lost = wishes.iter().filter(|wish| matches!(wish, Wish::Forget(_)));
    lost.map(|wish| wish.name().to_owned()).collect()
}

fn node_of(member: &Member) -> Node {
    Node {
        username: member.credentials.username.clone(),
        password: member.credentials.password.clone(),
        ..Node::new(&member.name, member.address.clone())
    }
}

/// What a node says of itself.
async fn facts(node: &Node, connect: std::time::Duration, answer: std::time::Duration) -> Result<Facts, String> {
    let open = Conversation::open(node, connect, answer).await;
    let mut conversation = open.map_err(|trouble| trouble.to_string())?;
    let mut told = Facts::default();
    let memory = conversation.text_of(&["INFO", "memory"], 0).await.map_err(|trouble| trouble.to_string())??;
    let number = |name: &str| field(&memory, name).and_then(|value| value.parse().ok()).unwrap_or(0);
    (told.used_memory, told.idle_memory) = (number("used_memory"), number("used_memory_startup"));
    told.max_memory = number("maxmemory");
    told.evicts = field(&memory, "maxmemory_policy").is_some_and(|policy| policy != "noeviction");
    let keyspace = conversation.text_of(&["INFO", "keyspace"], 0).await.map_err(|trouble| trouble.to_string())??;
    for line in keyspace.lines() {
        let Some((db, counts)) = line.strip_prefix("db").and_then(|rest| rest.split_once(':')) else { continue };
        let keys = counts.split(',').find_map(|count| count.strip_prefix("keys=")).and_then(|keys| keys.parse().ok());
        if let (Ok(db), Some(keys)) = (db.parse(), keys) {
            told.keys.push((db, keys));
        }
    }
    Ok(told)
}

fn status(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    encode::simple(&mut out, text);
    out
}

fn error(why: &str) -> Vec<u8> {
    let mut out = Vec::new();
    encode::error(&mut out, &format!("ERR {why}"));
    out
}

fn number(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    encode::integer(&mut out, i64::try_from(value).unwrap_or(i64::MAX));
    out
}
