//! Tokens and chance, from a secret that comes in: SHA-256 of the secret and a counter.
//!
//! A token frees its lock, so that nobody may guess one from others: a plain random generator would show its state. Pure.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::Token;

/// Draws.
pub(super) struct Dice {
    secret: [u8; 32],
    drawn: u64,
}

impl std::fmt::Debug for Dice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dice").field("drawn", &self.drawn).finish_non_exhaustive()
    }
}

impl Dice {
    /// Dice whose draws nobody knows who does not know `secret`.
    pub(super) fn new(secret: [u8; 32]) -> Self {
        Self { secret, drawn: 0 }
    }

    /// A token that was never there.
    pub(super) fn token(&mut self) -> Token {
        let mut token = [0; 16];
        token.copy_from_slice(&self.draw()[..16]);
        Token(token)
    }

    /// Something between a half and the whole of `most`.
    pub(super) fn about(&mut self, most: Duration) -> Duration {
        let mut word = [0; 4];
        word.copy_from_slice(&self.draw()[..4]);
        let part = f64::from(u32::from_be_bytes(word)) / f64::from(u32::MAX);
        most.mul_f64(0.5 + part / 2.0)
    }

    fn draw(&mut self) -> [u8; 32] {
        self.drawn += 1;
        Sha256::new().chain_update(self.secret).chain_update(self.drawn.to_be_bytes()).finalize().into()
    }
}
