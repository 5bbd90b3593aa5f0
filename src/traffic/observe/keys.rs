//! Hot and big keys, as one worker sees them pass.
//!
//! ```text
//!  a request of every so many ─► Sketch: the keys asked for most       ┐ sweep ─► Journal ─► merged when asked
//!  a value of keys.big or more ─► Bigs: the largest, with their keys   ┘
//! ```
//! The sketch is Space-Saving (Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent and Top-k Elements in Data
//! Streams, 2005): a key that finds no place takes that of the rarest one and its count, which is how far its own may be too
//! high. Counts fade with a half-life of [`HALF_LIFE_S`], so that hot means hot now. Bounded by [`HOT`] and [`BIG`] keys, of each
//! at most [`SHOWN`] bytes. Pure: time comes in.

use rustc_hash::FxHashMap;
use xxhash_rust::xxh3::xxh3_64;

/// Keys that a sketch holds.
const HOT: usize = 256;
/// Big keys that are held.
const BIG: usize = 64;
/// Bytes of a key that are kept; keys are told apart by all of them.
pub const SHOWN: usize = 256;
/// Time in which a count falls to half, s.
const HALF_LIFE_S: f64 = 60.0;
/// A count below this is forgotten.
const FADED: f64 = 0.01;

/// A key that is asked for often.
#[derive(Clone, Debug, PartialEq)]
pub struct Hot {
    hash: u64,
    /// Its name, cut.
    pub key: Vec<u8>,
    /// Requests with it, faded.
    pub count: f64,
    /// How many of these may not have been.
    pub error: f64,
}

/// A key with a big value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Big {
    hash: u64,
    /// Its name, cut.
    pub key: Vec<u8>,
    /// The largest value, or reply, that was seen.
    pub bytes: u64,
    /// The command that it passed with.
    pub command: String,
    /// Whether it came from a client, not from a node.
    pub written: bool,
    /// When, s since 1970.
    pub at_s: u64,
}

impl Big {
    /// A value of `key`.
    #[must_use]
    pub fn new(key: &[u8], bytes: u64, command: &str, written: bool, at_s: u64) -> Self {
        Self { hash: xxh3_64(key), key: shown(key).to_vec(), bytes, command: command.to_owned(), written, at_s }
    }
}

/// What a large reply that is not whole yet is about.
#[derive(Clone, Debug)]
pub struct Large {
    /// The request's only key.
    pub key: Vec<u8>,
    /// Its command.
    pub command: String,
}

/// What was seen of keys, by one worker or by all.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    hot: Vec<Hot>,
    /// Where in `hot` the key with this hash is.
    places: FxHashMap<u64, usize>,
    /// The lowest count when it was looked for last, and from where on others may still have it.
    lowest: f64,
    from: usize,
    big: Vec<Big>,
    /// All requests that the samples stand for, faded.
    total: f64,
    /// For how long there were samples, s.
    lasted_s: f64,
    /// Samples so far.
    pub samples: u64,
    /// Big values so far.
    pub bigs: u64,
}

impl Keys {
    /// A request was looked at, which stands for `weight` requests.
    pub fn sampled(&mut self, weight: f64) {
        self.samples += 1;
        self.total += weight;
    }

    /// It had this key.
    pub fn asked(&mut self, key: &[u8], weight: f64) {
        let hash = xxh3_64(key);
        if let Some(place) = self.places.get(&hash) {
            self.hot[*place].count += weight;
        } else if self.hot.len() < HOT {
            self.places.insert(hash, self.hot.len());
            self.hot.push(Hot { hash, key: shown(key).to_vec(), count: weight, error: 0.0 });
        } else {
            let place = self.rarest();
            let hot = &mut self.hot[place];
            self.places.remove(&hot.hash);
            self.places.insert(hash, place);
            (hot.hash, hot.error) = (hash, hot.count);
            hot.count += weight;
            hot.key.clear();
            hot.key.extend_from_slice(shown(key));
        }
    }

    /// Where the rarest key is. Until [`Keys::fade`], which begins anew, counts only grow, so whoever still has the lowest one
    /// stands behind the last that had it: among many rare keys, the usual case, in the next place.
    fn rarest(&mut self) -> usize {
        let has_lowest = |from: usize, lowest: f64| self.hot[from..].iter().position(|hot| hot.count <= lowest);
        let place = match has_lowest(self.from, self.lowest) {
            Some(ahead) => self.from + ahead,
            None => {
                self.lowest = self.hot.iter().map(|hot| hot.count).fold(f64::INFINITY, f64::min);
                has_lowest(0, self.lowest).unwrap_or(0)
            }
        };
        self.from = place + 1;
        place
    }

    /// A big value passed.
    pub fn passed(&mut self, big: Big) {
        self.bigs += 1;
        self.keep(big);
    }

    fn keep(&mut self, big: Big) {
        if let Some(known) = self.big.iter_mut().find(|known| known.hash == big.hash) {
            if big.bytes >= known.bytes {
                *known = big;
            } else {
                known.at_s = known.at_s.max(big.at_s);
            }
        } else if self.big.len() < BIG {
            self.big.push(big);
        } else if let Some(least) = self.big.iter_mut().min_by_key(|known| known.bytes)
            && least.bytes < big.bytes
        {
            *least = big;
        }
    }

    /// `seconds` have passed.
    pub fn fade(&mut self, seconds: f64) {
        let factor = 0.5_f64.powf(seconds / HALF_LIFE_S);
        self.total *= factor;
        self.lasted_s += seconds;
        for hot in &mut self.hot {
            hot.count *= factor;
            hot.error *= factor;
        }
        self.hot.retain(|hot| hot.count >= FADED);
        self.places = self.hot.iter().enumerate().map(|(place, hot)| (hot.hash, place)).collect();
        (self.lowest, self.from) = (0.0, 0);
    }

    /// Adds what another worker saw.
    pub fn add(&mut self, other: &Self) {
        for theirs in &other.hot {
            match self.places.get(&theirs.hash) {
                Some(place) => {
                    let hot = &mut self.hot[*place];
                    hot.count += theirs.count;
                    hot.error += theirs.error;
                }
                None => {
                    self.places.insert(theirs.hash, self.hot.len());
                    self.hot.push(theirs.clone());
                }
            }
        }
        other.big.iter().for_each(|big| self.keep(big.clone()));
        self.total += other.total;
        self.lasted_s = self.lasted_s.max(other.lasted_s);
        self.samples += other.samples;
        self.bigs += other.bigs;
    }

    /// The keys asked for most, hottest first. Those of which more than half may be the count of others are left out: among
    /// many rare keys the last ones to come would look hot.
    #[must_use]
    pub fn hottest(&self, count: usize) -> Vec<&Hot> {
        let mut hot: Vec<&Hot> = self.hot.iter().filter(|hot| hot.error * 2.0 <= hot.count).collect();
        hot.sort_by(|one, other| (other.count - other.error).total_cmp(&(one.count - one.error)));
        hot.truncate(count);
        hot
    }

    /// The keys with the largest values, largest first.
    #[must_use]
    pub fn biggest(&self, count: usize) -> Vec<&Big> {
        let mut big: Vec<&Big> = self.big.iter().collect();
        big.sort_by_key(|big| std::cmp::Reverse(big.bytes));
        big.truncate(count);
        big
    }

    /// What a faded count is per second.
    #[must_use]
    pub fn per_s(&self, count: f64) -> f64 {
        let tau = HALF_LIFE_S / std::f64::consts::LN_2;
        let window = tau * (1.0 - 0.5_f64.powf(self.lasted_s / HALF_LIFE_S));
        if window < 0.05 { 0.0 } else { count / window }
    }

    /// What part of all requests a faded count is.
    #[must_use]
    pub fn part(&self, count: f64) -> f64 {
        if self.total > 0.0 { (count / self.total).min(1.0) } else { 0.0 }
    }
}

fn shown(key: &[u8]) -> &[u8] {
    &key[..key.len().min(SHOWN)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_are_found_among_many_and_fade() {
        let mut keys = Keys::default();
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..60 {
            for _ in 0..1_000 {
                keys.sampled(10.0);
                let key = match rng.u32(..100) {
                    0..10 => "hot".to_owned(),
                    10..13 => "warm".to_owned(),
                    _ => format!("cold:{}", rng.u32(..1_000_000)),
                };
                keys.asked(key.as_bytes(), 10.0);
            }
            keys.fade(1.0);
        }
        let top = keys.hottest(9);
        assert!(top.len() >= 2 && top.iter().all(|hot| !hot.key.starts_with(b"cold")), "{top:?}");
        assert_eq!((top[0].key.as_slice(), top[1].key.as_slice()), (&b"hot"[..], &b"warm"[..]));
        assert!((0.09..0.12).contains(&keys.part(top[0].count)), "{}", keys.part(top[0].count));
        assert!((900.0..1_150.0).contains(&keys.per_s(top[0].count)), "{}", keys.per_s(top[0].count));
        assert!(top[0].error <= top[0].count * 0.2);
        assert_eq!((keys.hot.len(), keys.samples), (HOT, 60_000));
        keys.fade(3_600.0);
        assert!(keys.hottest(9).is_empty());
    }

    #[test]
    fn the_one_that_makes_room_is_always_a_rarest_one() {
        let mut keys = Keys::default();
        let mut rng = fastrand::Rng::with_seed(11);
        for turn in 0..20_000 {
            let before: Vec<f64> = keys.hot.iter().map(|hot| hot.count).collect();
            let known = keys.places.len();
            let key = rng.u32(..if turn % 3 == 0 { 10 } else { 2_000 }).to_be_bytes();
            let is_new = !keys.hot.iter().any(|hot| hot.key == key);
            keys.asked(&key, [1.0, 2.5][turn % 2]);
            if is_new && known == HOT {
                let came = keys.hot.iter().find(|hot| hot.key == key).unwrap();
                assert_eq!(came.error, before.iter().copied().fold(f64::INFINITY, f64::min));
            }
            if turn % 1_000 == 999 {
                keys.fade(20.0);
            }
            assert!(keys.hot.iter().enumerate().all(|(place, hot)| keys.places[&hot.hash] == place));
            assert_eq!(keys.places.len(), keys.hot.len());
        }
    }

    #[test]
    fn the_largest_values_stay_and_a_key_stands_once() {
        let mut keys = Keys::default();
        for number in 0..200_u64 {
            keys.passed(Big::new(format!("k{number}").as_bytes(), 1_000 + number, "set", true, number));
        }
        keys.passed(Big::new(b"k199", 5, "get", false, 300));
        keys.passed(Big::new(b"k198", 9_999, "get", false, 301));
        assert_eq!((keys.big.len(), keys.bigs), (BIG, 202));
        let told: Vec<_> = keys.biggest(2).into_iter().map(|big| (big.key.clone(), big.bytes, big.at_s)).collect();
        assert_eq!(told, [(b"k198".to_vec(), 9_999, 301), (b"k199".to_vec(), 1_199, 300)]);
    }

    #[test]
    fn workers_are_added_up() {
        let of = |weight| {
            let mut keys = Keys::default();
            keys.sampled(weight);
            keys.asked(b"k", weight);
            keys.asked(&[b'x'; 1_000], 1.0);
            keys.passed(Big::new(b"k", weight as u64, "set", true, 0));
            keys
        };
        let mut all = of(3.0);
        all.add(&of(4.0));
        let top = all.hottest(9);
        assert_eq!((top.len(), top[0].count, top[1].key.len()), (2, 7.0, SHOWN));
        assert_eq!((all.part(top[0].count), all.biggest(1)[0].bytes, all.samples, all.bigs), (1.0, 4, 2, 2));
        assert_eq!(Keys::default().per_s(5.0), 0.0);
    }
}
