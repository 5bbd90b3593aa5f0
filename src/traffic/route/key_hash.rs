//! twemproxy's twelve hash functions, bit for bit as nutcracker 0.5.0 computes them on x86-64.
//!
//! key -> [`Tag`](super::hash_tag::Tag) -> here -> [`Ring`](super::Ring). Several are not what their name says elsewhere:
//! `crc32` keeps 15 bits, the 64-bit FNVs 32, and where C reads a key's bytes as `char`, those from 0x80 on are negative
//! there. Whoever corrects one of them moves other people's keys. The sources are twemproxy's `src/hashkit/nc_*.c` and what
//! these name; `tests/data/twemproxy.txt` holds what the real nutcracker does. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use crc::{CRC_32_ISO_HDLC, Crc, Table};
use md5::{Digest, Md5};

/// A hash function of twemproxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyHash {
    /// Bob Jenkins's one at a time.
    OneAtATime,
    /// The first word of MD5.
    Md5,
    /// CRC-16/XMODEM without its end: what is shifted out of the 16 bits stays in the upper ones.
    Crc16,
    /// 15 bits out of the middle of CRC-32, as libmemcached has it: only 32,768 values.
    Crc32,
    /// CRC-32 as in zip and Ethernet.
    Crc32a,
    /// FNV-1, the lower half of its 64 bits.
    Fnv1_64,
    /// FNV-1a begun and multiplied with the lower halves of the 64-bit constants; nutcracker's default.
    Fnv1a64,
    /// FNV-1 of 32 bits.
    Fnv1_32,
    /// FNV-1a of 32 bits.
    Fnv1a32,
    /// Paul Hsieh's SuperFastHash, begun at 0.
    Hsieh,
    /// MurmurHash2, its seed made of the length.
    Murmur,
    /// Bob Jenkins's lookup3, begun at 13.
    Jenkins,
}

impl KeyHash {
    /// All of them, by the names that nutcracker.yml and `ring.hash` give them.
    pub const NAMES: [(&'static str, Self); 12] = [
        ("one_at_a_time", Self::OneAtATime),
        ("md5", Self::Md5),
        ("crc16", Self::Crc16),
        ("crc32", Self::Crc32),
        ("crc32a", Self::Crc32a),
        ("fnv1_64", Self::Fnv1_64),
        ("fnv1a_64", Self::Fnv1a64),
        ("fnv1_32", Self::Fnv1_32),
        ("fnv1a_32", Self::Fnv1a32),
        ("hsieh", Self::Hsieh),
        ("murmur", Self::Murmur),
        ("jenkins", Self::Jenkins),
    ];

    /// The hash of `bytes`.
    #[must_use]
    pub fn of(self, bytes: &[u8]) -> u32 {
        match self {
            Self::OneAtATime => one_at_a_time(bytes),
            Self::Md5 => {
                let digest = Md5::digest(bytes);
                digest.first_chunk().map_or(0, |word| u32::from_le_bytes(*word))
            }
            Self::Crc16 => crc16(bytes),
            Self::Crc32 => CRC32.checksum(bytes) >> 16 & 0x7FFF,
            Self::Crc32a => CRC32.checksum(bytes),
            // The lower half of a product needs only the lower halves of its factors.
            Self::Fnv1_64 => fnv1(bytes, FNV_64_INIT, FNV_64_PRIME),
            Self::Fnv1a64 => fnv1a(bytes, FNV_64_INIT, FNV_64_PRIME),
            Self::Fnv1_32 => fnv1(bytes, FNV_32_INIT, FNV_32_PRIME),
            Self::Fnv1a32 => fnv1a(bytes, FNV_32_INIT, FNV_32_PRIME),
            Self::Hsieh => hsieh(bytes),
            Self::Murmur => murmur(bytes),
            Self::Jenkins => jenkins(bytes),
        }
    }

    /// The largest hash there is.
    #[must_use]
    pub fn largest(self) -> u32 {
        match self {
            Self::Crc32 => 0x7FFF,
            Self::OneAtATime
            | Self::Md5
            | Self::Crc16
            | Self::Crc32a
            | Self::Fnv1_64
            | Self::Fnv1a64
            | Self::Fnv1_32
            | Self::Fnv1a32
            | Self::Hsieh
            | Self::Murmur
            | Self::Jenkins => u32::MAX,
        }
    }

    /// Its name in nutcracker.yml and in `ring.hash`.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, hash)| *hash == self).map_or("", |(name, _)| name)
    }
}

static CRC32: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISO_HDLC);

/// The remainders of CRC-16/XMODEM, polynomial 0x1021, for each byte.
static CRC16: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut rest = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            rest = if rest & 0x8000 == 0 { rest << 1 } else { rest << 1 ^ 0x1021 };
            bit += 1;
        }
        table[byte] = rest;
        byte += 1;
    }
    table
};

/// Lower halves of FNV's 64-bit constants.
const FNV_64_INIT: u32 = 0x8422_2325;
const FNV_64_PRIME: u32 = 0x0000_01B3;
const FNV_32_INIT: u32 = 2_166_136_261;
const FNV_32_PRIME: u32 = 16_777_619;

/// A byte as C's signed `char`, widened.
const fn signed(byte: u8) -> u32 {
    byte as i8 as u32
}

fn crc16(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |crc: u32, &byte| crc << 8 ^ u32::from(CRC16[usize::from((crc >> 8) as u8 ^ byte)]))
}

fn one_at_a_time(bytes: &[u8]) -> u32 {
    let mut hash = 0_u32;
    for &byte in bytes {
        hash = hash.wrapping_add(signed(byte));
        hash = hash.wrapping_add(hash << 10);
        hash ^= hash >> 6;
    }
    hash = hash.wrapping_add(hash << 3);
    hash ^= hash >> 11;
    hash.wrapping_add(hash << 15)
}

fn fnv1(bytes: &[u8], init: u32, prime: u32) -> u32 {
    bytes.iter().fold(init, |hash, &byte| hash.wrapping_mul(prime) ^ signed(byte))
}

fn fnv1a(bytes: &[u8], init: u32, prime: u32) -> u32 {
    bytes.iter().fold(init, |hash, &byte| (hash ^ signed(byte)).wrapping_mul(prime))
}

/// Paul Hsieh, "Hash functions", azillionmonkeys.com/qed/hash.html.
fn hsieh(bytes: &[u8]) -> u32 {
    let word = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high]));
    let mut hash = 0_u32;
    let (blocks, rest) = bytes.as_chunks::<4>();
    for &[a, b, c, d] in blocks {
        hash = hash.wrapping_add(word(a, b));
        hash = hash << 16 ^ word(c, d) << 11 ^ hash;
        hash = hash.wrapping_add(hash >> 11);
    }
    match *rest {
        [a, b, c] => {
            hash = hash.wrapping_add(word(a, b));
            hash ^= hash << 16;
            hash ^= signed(c) << 18;
            hash = hash.wrapping_add(hash >> 11);
        }
        [a, b] => {
            hash = hash.wrapping_add(word(a, b));
            hash ^= hash << 11;
            hash = hash.wrapping_add(hash >> 17);
        }
        [a] => {
            hash = hash.wrapping_add(u32::from(a));
            hash ^= hash << 10;
            hash = hash.wrapping_add(hash >> 1);
        }
        _ => {}
    }
    for (left, right) in [(3, 5), (4, 17), (25, 6)] {
        hash ^= hash << left;
        hash = hash.wrapping_add(hash >> right);
    }
    hash
}

/// Austin Appleby, MurmurHash2.
fn murmur(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5BD1_E995;
    let len = bytes.len() as u32;
    let mut hash = 0xDEAD_BEEF_u32.wrapping_mul(len) ^ len;
    let (blocks, rest) = bytes.as_chunks::<4>();
    for block in blocks {
        let mut mixed = u32::from_le_bytes(*block).wrapping_mul(M);
        mixed ^= mixed >> 24;
        hash = hash.wrapping_mul(M) ^ mixed.wrapping_mul(M);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, &byte| tail << 8 | u32::from(byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

/// Bob Jenkins, lookup3 ("hashlittle"), burtleburtle.net/bob/c/lookup3.c.
fn jenkins(bytes: &[u8]) -> u32 {
    let start = 0xDEAD_BEEF_u32.wrapping_add(bytes.len() as u32).wrapping_add(13);
    let (mut a, mut b, mut c) = (start, start, start);
    let mut rest = bytes;
    // The last block, whole or not, is mixed another way.
    while rest.len() > 12 {
        let (block, behind) = rest.split_at(12);
        let words = words_of(block);
        (a, b, c) = (a.wrapping_add(words[0]), b.wrapping_add(words[1]), c.wrapping_add(words[2]));
        (a, b, c) = jenkins_mix(a, b, c);
        rest = behind;
    }
    if rest.is_empty() {
        return c;
    }
    let words = words_of(rest);
    jenkins_final(a.wrapping_add(words[0]), b.wrapping_add(words[1]), c.wrapping_add(words[2]))
}

/// At most 12 bytes as three little-endian words, filled up with zeros.
fn words_of(bytes: &[u8]) -> [u32; 3] {
    let mut block = [0; 12];
    for (to, from) in block.iter_mut().zip(bytes) {
        *to = *from;
    }
    let (words, _) = block.as_chunks::<4>();
    [words[0], words[1], words[2]].map(u32::from_le_bytes)
}

fn jenkins_mix(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32, u32) {
    for (first, second, third) in [(4, 6, 8), (16, 19, 4)] {
        a = a.wrapping_sub(c) ^ c.rotate_left(first);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(second);
        a = a.wrapping_add(c);
        c = c.wrapping_sub(b) ^ b.rotate_left(third);
        b = b.wrapping_add(a);
    }
    (a, b, c)
}

fn jenkins_final(mut a: u32, mut b: u32, mut c: u32) -> u32 {
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    (c ^ b).wrapping_sub(b.rotate_left(24))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published values of those that are what their name says; the golden data of the ring speaks for the others.
    #[test]
    fn hashes_have_their_published_values() {
        for (hash, bytes, value) in [
            (KeyHash::OneAtATime, "a", 0xCA2E_9442),
            (KeyHash::Md5, "a", 0xB975_C10C),
            (KeyHash::Crc32a, "123456789", 0xCBF4_3926),
            (KeyHash::Fnv1_32, "foobar", 0x31F0_B262),
            (KeyHash::Fnv1a32, "foobar", 0xBF9C_F968),
            (KeyHash::Fnv1_64, "foobar", 0xA4DD_A9C2),
        ] {
            assert_eq!(hash.of(bytes.as_bytes()), value, "{hash:?}");
        }
        assert_eq!(KeyHash::Crc32.of(b"123456789"), 0xCBF4 & 0x7FFF);
        assert_eq!(KeyHash::Crc16.of(b"123456789") & 0xFFFF, 0x31C3);
    }

    #[test]
    fn no_key_is_too_short_and_no_hash_too_large() {
        for (name, hash) in KeyHash::NAMES {
            assert_eq!(hash.name(), name);
            for len in 0..40 {
                assert!(hash.of(&vec![0xFF; len]) <= hash.largest(), "{name} of {len} bytes");
            }
        }
    }
}
