//! What the admin address answers, made of what the planes tell.
//!
//! A process with several pools has one admin address: `/metrics` and `/readyz` are of all of them, a document of `/api/…` is
//! of the pool that is asked for. Io: whoever asks makes clocks and `/proc` be read.

use std::{sync::Arc, time::SystemTime};

use super::{admin::Views, now_ms, plane::Plane, status::Status, telemetry::Telemetry};
use crate::{
    config::nearest_name,
    traffic::{observe::chronicle::Kind, route::Topology},
};

/// The answers about `planes`, of which there is at least one.
pub(super) fn of(planes: &Arc<[Plane]>) -> Views {
    let telemetry = Telemetry::new(SystemTime::now());
    let document = |of: fn(&Status) -> String| {
        let planes = Arc::clone(planes);
        Box::new(move |pool: usize| of(planes[pool].status())) as Box<dyn Fn(usize) -> String + Send + Sync>
    };
    let [named, scraped, asked, shown, told] = [(); 5].map(|()| Arc::clone(planes));
    Views {
        pool: Box::new(move |name| find(&named, name)),
        metrics: Box::new(move || metrics(&telemetry, &scraped)),
        ready: Box::new(move |pool| ready(&asked, pool)),
        status: Box::new(move |pool| status(&shown, pool)),
        ring: document(Status::ring),
        nodes: document(Status::nodes),
        // It is no pool's in particular, and every pool's page shows it.
        refused: Box::new(move |text| {
            for plane in &*told {
                plane.fleet().journal().chronicle().count(now_ms(), Kind::Admin, text, 1);
            }
        }),
    }
}

/// The place of the pool `name`; an `Err` tells which there are.
fn find(planes: &[Plane], name: &str) -> Result<usize, String> {
    let names = || planes.iter().filter_map(Plane::name);
    planes.iter().position(|plane| plane.name() == Some(name)).ok_or_else(|| {
        if names().next().is_none() {
            return "there is one pool here, without a name; ask without ?pool=".to_owned();
        }
        match nearest_name(names(), name) {
            Some(near) => format!("there is no pool {name}; did you mean {near}?"),
            None => format!("there is no pool {name}; there are {}", names().collect::<Vec<_>>().join(", ")),
        }
    })
}

fn status(planes: &[Plane], pool: usize) -> String {
    let names: Vec<&str> = planes.iter().filter_map(Plane::name).collect();
    planes[pool].status().status(planes[pool].name(), &names)
}

fn metrics(telemetry: &Telemetry, planes: &[Plane]) -> String {
    let topologies: Vec<Arc<Topology>> = planes.iter().map(|plane| plane.fleet().topology()).collect();
    let views: Vec<_> = planes.iter().zip(&topologies).map(|(plane, topology)| plane.view(topology)).collect();
    telemetry.render(&views)
}

/// Whether clients should be sent to this pool, or here at all: then every pool must be ready.
fn ready(planes: &[Plane], pool: Option<usize>) -> Result<String, String> {
    if let Some(pool) = pool {
        return planes[pool].status().ready();
    }
    if let [only] = planes {
        return only.status().ready();
    }
    let (mut up, mut nodes, mut missing) = (0, 0, Vec::new());
    for plane in planes {
        let (status, name) = (plane.status(), plane.name().unwrap_or_default());
        if let Err(why) = status.ready() {
            missing.push(format!("pool {name}: {why}"));
        }
        up += status.nodes_up();
        nodes += plane.fleet().topology().listed().count();
    }
    if missing.is_empty() {
        Ok(format!("ready, {up} of {nodes} nodes up in {} pools", planes.len()))
    } else {
        Err(missing.join("\n"))
    }
}
