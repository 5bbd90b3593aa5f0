//! A failed play made shorter: steps, then requests, that it fails without too.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use super::{
    behind::Behind,
    play::{View, play},
    side::Side,
    step::Step,
};

/// A play that fails late is not tried again for longer.
const LIMIT: Duration = Duration::from_secs(60);

/// How long a reply is waited for here; what is missing stays missing.
const PATIENCE: Duration = Duration::from_secs(1);

/// The shortest failing play that was found, with its difference, to be read.
pub fn shorten(plain: &mut Side, others: &mut [Side], steps: Vec<Step>) -> String {
    let end = Instant::now() + LIMIT;
    let mut fails = |steps: &[Step]| {
        if Instant::now() > end {
            return None;
        }
        let (mut rest, mut behind) = (steps.iter().cloned(), Behind::default());
        // One that could be left to chance proves nothing.
        let next = |view: &View| rest.next().filter(|step| behind.allows(step, view));
        play(plain, others, PATIENCE, steps.len(), next).difference
    };
    let Some(mut difference) = fails(&steps) else {
        return format!("it does not fail again when it is repeated:\n{}", listed(&steps));
    };
    let mut best = steps;
    let mut size = best.len().div_ceil(2);
    loop {
        let mut changed = false;
        let mut at = 0;
        while at < best.len() {
            let mut shorter = best.clone();
            shorter.drain(at..(at + size).min(best.len()));
            match fails(&shorter) {
                Some(told) => (best, difference, changed) = (shorter, told, true),
                None => at += size,
            }
        }
        if size > 1 {
            size = size.div_ceil(2);
        } else if !changed {
            break;
        }
    }
    for at in 0..best.len() {
        let mut choices = simpler(&best[at]);
        while let Some(simpler_step) = choices.pop() {
            let mut other = best.clone();
            other[at] = simpler_step;
            if let Some(told) = fails(&other) {
                choices = simpler(&other[at]);
                (best, difference) = (other, told);
            }
        }
    }
    format!("{}{difference}", listed(&best))
}

/// The step in one write of arrays, without one of its requests if there are several.
fn simpler(step: &Step) -> Vec<Step> {
    let Step::Send { connection, requests, inline, cuts } = step else { return Vec::new() };
    let whole = |requests| Step::Send { connection: *connection, requests, inline: false, cuts: Vec::new() };
    if requests.len() == 1 {
        return if *inline || !cuts.is_empty() { vec![whole(requests.clone())] } else { Vec::new() };
    }
    let without = |at| {
        let mut fewer = requests.clone();
        fewer.remove(at);
        whole(fewer)
    };
    (0..requests.len()).map(without).collect()
}

fn listed(steps: &[Step]) -> String {
    steps.iter().fold(String::new(), |mut text, step| {
        let _ = writeln!(text, "  {step}");
        text
    })
}
