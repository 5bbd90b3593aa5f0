//! An open-addressed index of names, compared in any case: the look-up that every request pays for.
//!
//! A name's lower-cased first and last eight bytes (overlapping or padded) and its length make a key of two words; up
//! to 16 bytes that is the whole name, so equal keys are equal names and nothing else is compared. No allocation, no
//! hashing state; at most a quarter of the slots are taken, so most look-ups touch one slot. Pure.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

/// A slot without a name.
const FREE: u16 = u16::MAX;

/// Names up to this long are told apart by their key alone.
const WHOLE: usize = 16;

/// Names and the indices they stand for.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// A power of two of slots, at least four per name.
    slots: Vec<Slot>,
    /// `hash >> shift` is a slot.
    shift: u32,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    key: Key,
    index: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    head: u64,
    tail: u64,
    len: u16,
}

impl Names {
    /// The index of `names`, each of which stands for its position. Of equal names the first counts; at most 65,534.
    pub(super) fn of<'a>(names: impl Iterator<Item = &'a [u8]>) -> Self {
        let names: Vec<&[u8]> = names.take(usize::from(FREE)).collect();
        let bits = (names.len() * 4).next_power_of_two().trailing_zeros().max(4);
        let free = Slot { key: Key { head: 0, tail: 0, len: 0 }, index: FREE };
        let mut index = Self { slots: vec![free; 1 << bits], shift: 64 - bits };
        for (position, name) in names.iter().enumerate() {
            if let (Some(key), Ok(position)) = (Key::of(name), u16::try_from(position)) {
                index.insert(key, position);
            }
        }
        index
    }

    fn insert(&mut self, key: Key, index: u16) {
        let mut at = self.home(key);
        while self.slots[at].index != FREE {
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = Slot { key, index };
    }

    /// What `name` stands for; `full` gives an indexed name back, for names longer than their key.
    #[inline]
    pub(super) fn index_of<'a>(&self, name: &[u8], full: impl Fn(usize) -> &'a [u8]) -> Option<usize> {
        let key = Key::of(name)?;
        let mut at = self.home(key);
        loop {
            let slot = self.slots[at];
            if slot.index == FREE {
                return None;
            }
            let index = usize::from(slot.index);
            if slot.key == key && (name.len() <= WHOLE || full(index).eq_ignore_ascii_case(name)) {
                return Some(index);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    #[inline]
    fn home(&self, key: Key) -> usize {
        // Fibonacci hashing: the upper bits of the product depend on all bits below.
        let mixed = (key.head ^ key.tail.rotate_left(23) ^ u64::from(key.len)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> self.shift) as usize
    }
}

impl Key {
    /// The key of `name`; `None` for the empty name and for one that is longer than any command's.
    #[inline]
    fn of(name: &[u8]) -> Option<Self> {
        let len = u16::try_from(name.len()).ok()?;
        let (head, tail) = match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
            (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
            _ => (short(name)?, 0),
        };
        Some(Self { head: lower(head), tail: lower(tail), len })
    }
}

/// The bytes of a name of 1 to 7 bytes in one word; the length tells apart what the overlap makes equal.
#[inline]
fn short(name: &[u8]) -> Option<u64> {
    if let (Some(head), Some(tail)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        return Some(u64::from(u32::from_le_bytes(*head)) | u64::from(u32::from_le_bytes(*tail)) << 32);
    }
    let (first, last) = (name.first()?, name.last()?);
    Some(u64::from(*first) | u64::from(name[name.len() / 2]) << 8 | u64::from(*last) << 16)
}

/// Lower-cases the eight ASCII letters of a word at once; other bytes stay as they are.
#[inline]
fn lower(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let low = word & (0x7f * ONES);
    let from_a = low + (0x80 - b'A' as u64) * ONES;
    let after_z = low + (0x7f - b'Z' as u64) * ONES;
    let upper = (from_a ^ after_z) & !word & (0x80 * ONES);
    word | (upper >> 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_is_exact_for_every_byte_in_every_place() {
        for byte in 0..=255_u8 {
            for place in 0..8 {
                let mut bytes = *b"aZ@[`{09";
                bytes[place] = byte;
                assert_eq!(lower(u64::from_le_bytes(bytes)).to_le_bytes().to_vec(), bytes.to_ascii_lowercase());
            }
        }
    }

    #[test]
    fn names_of_every_length_are_found_and_near_ones_are_not() {
        let names: Vec<Vec<u8>> = (1..40).map(|len| (0..len).map(|at| b'a' + (at % 26) as u8).collect()).collect();
        let index = Names::of(names.iter().map(Vec::as_slice));
        let find = |name: &[u8]| index.index_of(name, |at| names[at].as_slice());
        for (position, name) in names.iter().enumerate() {
            assert_eq!(find(name), Some(position));
            assert_eq!(find(&name.to_ascii_uppercase()), Some(position));
            for at in 0..name.len() {
                let mut near = name.clone();
                near[at] ^= 0x80;
                assert_eq!(find(&near), None, "{near:?}");
                near[at] = b'_';
                assert_eq!(find(&near), None, "{near:?}");
            }
        }
        assert_eq!(find(b""), None);
        assert_eq!(find(&[b'a'; 100_000]), None);
    }

    #[test]
    fn an_empty_index_finds_nothing() {
        assert_eq!(Names::of(std::iter::empty()).index_of(b"get", |_| b""), None);
    }
}
