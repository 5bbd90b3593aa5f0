//! Free loopback ports that no two tests get at the same time.
//!
//! Asking the system for port 0 and using the number later is a race against every other test. Instead a port is leased:
//! a locked file says who has it, for as long as the lease lives, in every test process of this machine. The range lies
//! below the one from which the system takes ports of outgoing connections.

use std::{
    fs::{self, File},
    net::TcpListener,
};

/// A port that is ours until this is dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

const FIRST: u16 = 14_000;
const COUNT: u16 = 16_000;

impl Port {
    /// Leases a port on which nobody listens.
    pub fn lease() -> Self {
        let dir = std::env::temp_dir().join("circlet-test-ports");
        fs::create_dir_all(&dir).unwrap();
        for _ in 0..COUNT {
            let number = FIRST + fastrand::u16(..COUNT);
            let lock = File::create(dir.join(number.to_string())).unwrap();
            if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Self { number, _lock: lock };
            }
        }
        panic!("no free port between {FIRST} and {}", FIRST + COUNT);
    }

    pub fn number(&self) -> u16 {
        self.number
    }
}
