//! The nodes of a pool as a change sees them: who is there, what is wished, and who is there afterwards.
//!
//! words, configuration -> [`Wish`]es -> here ([`Members::after`]) -> the next [`Members`] -> plan, state, ring.
//!
//! A change takes all of its wishes or none. Of one node it takes one wish; only REPLACE and WEIGHT go together. A node that
//! is replaced keeps its place on the ring: other keys than its own never change hands by it. No two members share an
//! address, since a key cannot be moved from a server to itself; that one server has two names is found out where the
//! servers are asked (run_id), not here. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod refused;

use crate::{
    config::{self, Config, Credentials},
    traffic::route::{
        Address, Node, Ring, Scheme,
        ring::{MAX_WEIGHT, RingError},
    },
};
pub use refused::Refused;

/// One node.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// What it is called.
    pub name: String,
    /// The name that decides its place on the ring.
    pub place: String,
    /// Where it listens.
    pub address: Address,
    /// Its share of the ring relative to the others'; above 0.
    pub weight: f64,
    /// What it is told at each connection.
    pub credentials: Credentials,
}

/// The nodes of a pool, and what decides whether others may be among them.
#[derive(Clone, Debug, PartialEq)]
pub struct Members {
    list: Vec<Member>,
    scheme: Scheme,
    /// Circlet's own addresses: none of them is a node's.
    own: Vec<Address>,
}

/// What is wished of one node.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    /// It joins.
    Add(Member),
    /// It leaves, after its keys.
    Remove(String),
    /// It has another weight.
    Weight(String, f64),
    /// Another server takes its place and its keys.
    Replace {
        /// The node.
        name: String,
        /// The other server.
        address: Address,
        /// What that one is told; `None`: what the node was told.
        credentials: Option<Credentials>,
    },
    /// It is dead; it leaves without its keys.
    Forget(String),
}

impl Wish {
    /// The node it is about.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Add(member) => &member.name,
            Self::Remove(name) | Self::Weight(name, _) | Self::Replace { name, .. } | Self::Forget(name) => name,
        }
    }

    /// Whether both may be wished of the same node at once.
    fn agrees_with(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Weight(..), Self::Replace { .. }) | (Self::Replace { .. }, Self::Weight(..)))
    }
}

impl Member {
    /// A node as it joins: its name is its place.
    #[must_use]
    pub fn new(name: &str, address: Address, weight: f64, credentials: Credentials) -> Self {
        Self { name: name.to_owned(), place: name.to_owned(), address, weight, credentials }
    }

    /// The node, for whoever connects to it.
    #[must_use]
    pub fn node(&self) -> Node {
        Node {
            place: (self.place != self.name).then(|| self.place.clone()),
            weight: self.weight,
            username: self.credentials.username.clone(),
            password: self.credentials.password.clone(),
            ..Node::new(&self.name, self.address.clone())
        }
    }
}

impl Members {
    /// The nodes of a configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self::with(configured(config), config)
    }

    /// These nodes, under the rules of a configuration that may have others.
    #[must_use]
    pub fn with(list: Vec<Member>, config: &Config) -> Self {
        let own = config.listen.iter().chain(&config.admin).cloned().collect();
        Self { list, scheme: config.scheme(), own }
    }

    /// The nodes, in the order in which they joined.
    #[must_use]
    pub fn list(&self) -> &[Member] {
        &self.list
    }

    /// The same without those called so.
    #[must_use]
    pub fn without(&self, out: &[String]) -> Self {
        let list = self.list.iter().filter(|member| !out.contains(&member.name)).cloned().collect();
        Self { list, ..self.clone() }
    }

    /// Who of those that were `out` before still is, among these: neither gone nor replaced by another server.
    #[must_use]
    pub fn still_out(&self, before: &Self, out: &[String]) -> Vec<String> {
        let same = |name: &&String| {
            let address = |members: &Self| members.get(name).map(|member| member.address.clone());
            address(self).is_some() && address(self) == address(before)
        };
        out.iter().filter(same).cloned().collect()
    }

    /// The node called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Member> {
        self.list.iter().find(|member| member.name == name)
    }

    /// How keys are spread over them.
    #[must_use]
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Their ring, by their order in [`Members::list`].
    ///
    /// # Errors
    /// None after [`Members::after`], nor for a checked configuration.
    pub fn ring(&self) -> Result<Ring, RingError> {
        let nodes: Vec<(&str, f64)> = self.list.iter().map(|member| (member.place.as_str(), member.weight)).collect();
        Ring::of(&nodes, &self.scheme)
    }

    /// The nodes after all of `wishes`.
    ///
    /// # Errors
    /// The first wish that cannot be fulfilled, and the cure.
    pub fn after(&self, wishes: &[Wish]) -> Result<Self, Refused> {
        self.after_with_ring(wishes).map(|(members, _)| members)
    }

    /// The same, with the ring that was made to see whether there is one: of a thousand nodes that takes a second.
    ///
    /// # Errors
    /// As [`Members::after`].
    pub fn after_with_ring(&self, wishes: &[Wish]) -> Result<(Self, Ring), Refused> {
        if wishes.is_empty() {
            return Err(Refused::Nothing);
        }
        if self.scheme == Scheme::Random {
            return Err(Refused::Random);
        }
        self.no_twins()?;
        let mut next = self.clone();
        for (index, wish) in wishes.iter().enumerate() {
            let before = wishes.iter().take(index).filter(|other| other.name() == wish.name());
            if !before.clone().all(|other| wish.agrees_with(other)) || before.count() > 1 {
                return Err(Refused::Twice(wish.name().to_owned()));
            }
            self.fulfil(wish, &mut next)?;
        }
        if next.list.is_empty() {
            return Err(Refused::Last);
        }
        let ring = next.ring()?;
        Ok((next, ring))
    }

    fn fulfil(&self, wish: &Wish, next: &mut Self) -> Result<(), Refused> {
        match wish {
            Wish::Add(member) => {
                self.may_join(member, next)?;
                next.list.push(member.clone());
            }
            Wish::Remove(name) | Wish::Forget(name) => {
                self.known(name)?;
                next.list.retain(|member| member.name != *name);
            }
            Wish::Weight(name, weight) => {
                let known = self.known(name)?;
                self.may_weigh(name, *weight)?;
                if known.weight == *weight {
                    return Err(Refused::SameWeight(name.clone(), *weight));
                }
                next.change(name, |member| member.weight = *weight);
            }
            Wish::Replace { name, address, credentials } => {
                let known = self.known(name)?;
                if known.address == *address {
                    return Err(Refused::SameAddress(name.clone(), address.clone()));
                }
                let old = format!("{name}.old");
                if self.get(&old).is_some() {
                    return Err(Refused::OldTaken(name.clone(), old));
                }
                self.may_be_at(address, next)?;
                next.change(name, |member| {
                    member.address = address.clone();
                    if let Some(credentials) = credentials {
                        member.credentials = credentials.clone();
                    }
                });
            }
        }
        Ok(())
    }

    fn change(&mut self, name: &str, change: impl FnOnce(&mut Member)) {
        if let Some(member) = self.list.iter_mut().find(|member| member.name == name) {
            change(member);
        }
    }

    fn known(&self, name: &str) -> Result<&Member, Refused> {
        self.get(name).ok_or_else(|| Refused::Unknown {
            name: name.to_owned(),
            known: self.list.iter().map(|member| member.name.clone()).collect(),
        })
    }

    fn may_join(&self, member: &Member, next: &Self) -> Result<(), Refused> {
        let name = &member.name;
        config::node_name(name).map_err(|cure| Refused::Name(name.clone(), cure))?;
        if matches!(self.scheme, Scheme::Xxh3 { .. }) && config::is_info_section(name) {
            let cure = "use another one, INFO has a section of this name".to_owned();
            return Err(Refused::Name(name.clone(), cure));
        }
        if let Some(known) = self.get(name) {
            return Err(Refused::NameTaken(name.clone(), known.address.clone()));
        }
        self.may_weigh(name, member.weight)?;
        self.may_be_at(&member.address, next)
    }

    fn may_weigh(&self, name: &str, weight: f64) -> Result<(), Refused> {
        let whole = matches!(self.scheme, Scheme::Ketama(_) | Scheme::Modula(_));
        let right = weight.is_finite() && weight > 0.0;
        if right && !(whole && (weight.fract() != 0.0 || weight > f64::from(MAX_WEIGHT))) {
            return Ok(());
        }
        Err(Refused::Weight { name: name.to_owned(), weight, whole })
    }

    /// Also a node that is leaving keeps its address until its keys are gone.
    fn may_be_at(&self, address: &Address, next: &Self) -> Result<(), Refused> {
        if self.own.contains(address) {
            return Err(Refused::OwnAddress(address.clone()));
        }
        match self.list.iter().chain(&next.list).find(|member| member.address == *address) {
            Some(member) => Err(Refused::AddressTaken(address.clone(), member.name.clone())),
            None => Ok(()),
        }
    }

    /// twemproxy's distributions may name a server twice; then nothing can be moved.
    fn no_twins(&self) -> Result<(), Refused> {
        for (index, member) in self.list.iter().enumerate() {
            if let Some(twin) = self.list.iter().take(index).find(|other| other.address == member.address) {
                return Err(Refused::Twins(member.address.clone(), twin.name.clone(), member.name.clone()));
            }
        }
        Ok(())
    }
}

/// The nodes of a configuration, as they stand there.
fn configured(config: &Config) -> Vec<Member> {
    let member = |node: &crate::traffic::route::Node| {
        let credentials = Credentials { username: node.username.clone(), password: node.password.clone() };
        Member::new(&node.name, node.address.clone(), node.weight, credentials)
    };
    config.nodes.iter().map(member).collect()
}

/// A node as a configuration lists it, as far as it matters when another configuration comes.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub address: Address,
    /// Its weight.
    pub weight: f64,
}

impl Listed {
    /// The nodes that a configuration lists.
    #[must_use]
    pub fn of(config: &Config) -> Vec<Self> {
        let listed = |node: &crate::traffic::route::Node| Self {
            name: node.name.clone(),
            address: node.address.clone(),
            weight: node.weight,
        };
        config.nodes.iter().map(listed).collect()
    }
}

/// What a new configuration wishes of `members`, when `before` was the list of the one before it.
///
/// Only what differs between the two lists counts: what was changed by a command since stays as it is, unless the operator
/// has changed the same node in the file as well; then the file holds.
#[must_use]
pub fn wishes(before: &[Listed], config: &Config, members: &Members) -> Vec<Wish> {
    let wanted = configured(config);
    let was = |name: &str| before.iter().find(|listed| listed.name == name);
    let mut wishes = Vec::new();
    for member in &wanted {
        let same = |listed: &Listed| listed.address == member.address && listed.weight == member.weight;
        if was(&member.name).is_some_and(same) {
            continue;
        }
        let Some(present) = members.get(&member.name) else {
            wishes.push(Wish::Add(member.clone()));
            continue;
        };
        if present.address != member.address {
            wishes.push(Wish::Replace {
                name: member.name.clone(),
                address: member.address.clone(),
                credentials: Some(member.credentials.clone()),
            });
        }
        if present.weight != member.weight {
            wishes.push(Wish::Weight(member.name.clone(), member.weight));
        }
    }
    let gone = |listed: &&Listed| !wanted.iter().any(|member| member.name == listed.name);
    let leaving = before.iter().filter(gone).filter(|listed| members.get(&listed.name).is_some());
    wishes.extend(leaving.map(|listed| Wish::Remove(listed.name.clone())));
    wishes
}

#[cfg(test)]
mod tests;
