//! Random numbers that a failed test can be repeated with: `SEED=n`.

use std::time::{Duration, Instant};

use fastrand::Rng;

/// The generator; its seed is printed, and shown by the runner if the test fails.
pub fn rng(test: &str) -> Rng {
    Rng::with_seed(number(test))
}

/// `make soak MINUTES=30`: round after round, each with the next seed, until one panics or the time is over.
pub fn soak(mut round: impl FnMut(u64)) {
    let minutes: u64 = std::env::var("MINUTES").map_or(1, |text| text.parse().expect("MINUTES is a number"));
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let mut seed = number("soak");
    for count in 1.. {
        eprintln!("--- round {count}: SEED={seed}");
        round(seed);
        if Instant::now() > end {
            break;
        }
        seed = seed.wrapping_add(1);
    }
}

/// The seed itself; printed too.
pub fn number(test: &str) -> u64 {
    let seed = match std::env::var("SEED") {
        Ok(text) => text.parse().expect("SEED is a number"),
        Err(_) => fastrand::u64(..),
    };
    eprintln!("{test}: SEED={seed}");
    seed
}
