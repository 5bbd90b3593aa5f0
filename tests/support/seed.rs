//! Random numbers that a failed test can be repeated with: `SEED=n`.

use fastrand::Rng;

/// The generator; its seed is printed, and shown by the runner if the test fails.
pub fn rng(test: &str) -> Rng {
    Rng::with_seed(number(test))
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
