//! Redis Cluster's hash slots, for clients that speak to Circlet as to a cluster. Which node owns a key is the ring's
//! business and has nothing to do with them. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use crc::{CRC_16_XMODEM, Crc, Table};

use super::hash_tag::tag;

/// Number of slots.
pub const SLOTS: u16 = 16_384;

static CRC: Crc<u16, Table<1>> = Crc::<u16, Table<1>>::new(&CRC_16_XMODEM);

/// The slot of `key`: of its hash tag, if it has one.
#[must_use]
pub fn slot_of(key: &[u8]) -> u16 {
    CRC.checksum(tag(key)) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        for (key, slot) in
            [("", 0), ("foo", 12_182), ("123456789", 12_739), ("a{b}", 3_300), ("b", 3_300), ("{}x", 10_595)]
        {
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
    }
}
