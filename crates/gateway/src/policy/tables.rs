//! The tables that a decision looks things up in: sets of rules, names, ranges. Built once, then only read.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, DefaultHasher, Hash, Hasher as _, RandomState},
    net::IpAddr,
};

use ipnet::IpNet;

/// Sets of small numbers (rules, categories), each stored once and known by its number. Number 0 is the base set.
#[derive(Debug)]
pub(crate) struct Sets {
    words: usize,
    bits: Vec<u64>,
    known: HashMap<Box<[u64]>, u32>,
    base: Box<[u64]>,
}

impl Sets {
    /// `base`: members of every set made from now on.
    pub(crate) fn new(size: usize, base: impl IntoIterator<Item = usize>) -> Self {
        let words = size.div_ceil(64).max(1);
        let mut sets = Self { words, bits: Vec::new(), known: HashMap::new(), base: vec![0; words].into() };
        sets.base = sets.bits_of(base);
        sets.intern(sets.base.clone());
        sets
    }

    fn bits_of(&self, members: impl IntoIterator<Item = usize>) -> Box<[u64]> {
        let mut bits = self.base.clone();
        for member in members {
            bits[member / 64] |= 1 << (member % 64);
        }
        bits
    }

    fn intern(&mut self, bits: Box<[u64]>) -> u32 {
        // More than u32::MAX sets would need terabytes of policy file.
        let next = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        *self.known.entry(bits).or_insert_with_key(|bits| {
            self.bits.extend_from_slice(bits);
            next
        })
    }

    pub(crate) fn add(&mut self, members: impl IntoIterator<Item = usize>) -> u32 {
        let bits = self.bits_of(members);
        self.intern(bits)
    }

    /// Forgets what is needed only while sets are added.
    pub(crate) fn finish(&mut self) {
        self.known = HashMap::new();
        self.bits.shrink_to_fit();
    }

    pub(crate) fn word(&self, set: u32, word: usize) -> u64 {
        self.bits.get(set as usize * self.words + word).copied().unwrap_or_default()
    }

    pub(crate) fn words(&self) -> usize {
        self.words
    }
}

/// What a name stands for, in [`Names`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// The name alone.
    Exact,
    /// What is below it.
    Below,
}

/// Names and suffixes of names, each with a value for itself and one for what is below it.
///
/// A name is kept as a 64-bit hash under a random key (SipHash 1-3), 18 bytes each at a load of two thirds. Of a million
/// entries and as many look-ups a second, one would be mistaken in half a year; nobody who doesn't know the key can look for
/// one.
#[derive(Debug)]
pub(crate) struct Names<V> {
    state: RandomState,
    hashes: Box<[u64]>,
    values: Box<[u32]>,
    /// For itself, for what is below.
    pairs: Vec<(V, V)>,
    /// The most labels that an entry has.
    depth: usize,
    len: usize,
}

/// Gathers entries for [`Names`].
pub(crate) struct NamesBuilder {
    state: RandomState,
    /// Hash, owner, reach.
    entries: Vec<(u64, u32, Reach)>,
    depth: usize,
}

impl NamesBuilder {
    pub(crate) fn new() -> Self {
        Self { state: RandomState::new(), entries: Vec::new(), depth: 0 }
    }

    /// Adds a name in A-labels for an owner (a rule, a category).
    pub(crate) fn add(&mut self, name: &str, owner: u32, reach: Reach) {
        let mut walk = Walk::new(&self.state, name);
        let (mut labels, mut last) = (0, 0);
        while let Some((hash, _)) = walk.next() {
            (labels, last) = (labels + 1, hash);
        }
        self.depth = self.depth.max(labels);
        self.entries.push((last, owner, reach));
    }

    /// `value` makes one of all owners that have the same name.
    pub(crate) fn build<V: Copy + Eq + Hash>(mut self, mut value: impl FnMut(&[u32]) -> V) -> Names<V> {
        self.entries.sort_unstable();
        self.entries.dedup();
        let len = self.entries.chunk_by(|a, b| a.0 == b.0).count();
        let slots = if len == 0 { 0 } else { len + len / 2 + 1 };
        let (mut hashes, mut values) = (vec![0_u64; slots], vec![0_u32; slots]);
        let (mut pairs, mut known) = (Vec::new(), HashMap::new());
        let mut owners: HashMap<Vec<u32>, V> = HashMap::new();
        let mut of = |group: &[(u64, u32, Reach)], reach: Reach| {
            let who: Vec<u32> = group.iter().filter(|entry| entry.2 == reach).map(|entry| entry.1).collect();
            *owners.entry(who).or_insert_with_key(|who| value(who))
        };
        for group in self.entries.chunk_by(|a, b| a.0 == b.0) {
            let pair = (of(group, Reach::Exact), of(group, Reach::Below));
            let id = *known.entry(pair).or_insert_with(|| {
                pairs.push(pair);
                pairs.len() - 1
            });
            let mut slot = slot_of(group[0].0, slots);
            while hashes[slot] != 0 {
                slot = if slot + 1 == slots { 0 } else { slot + 1 };
            }
            hashes[slot] = group[0].0;
            values[slot] = u32::try_from(id).unwrap_or(u32::MAX);
        }
        Names { state: self.state, hashes: hashes.into(), values: values.into(), pairs, depth: self.depth, len }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the product's upper half is below `slots`")]
fn slot_of(hash: u64, slots: usize) -> usize {
    ((u128::from(hash) * slots as u128) >> 64) as usize
}

impl<V: Copy> Names<V> {
    /// Calls `found` with the value of every entry that means this name.
    pub(crate) fn find(&self, name: &str, mut found: impl FnMut(V)) {
        if self.hashes.is_empty() {
            return;
        }
        let mut walk = Walk::new(&self.state, name);
        for _ in 0..self.depth {
            let Some((hash, whole)) = walk.next() else { break };
            if let Some((exact, below)) = self.get(hash) {
                found(if whole { exact } else { below });
            }
        }
    }

    fn get(&self, hash: u64) -> Option<(V, V)> {
        let mut slot = slot_of(hash, self.hashes.len());
        loop {
            match self.hashes[slot] {
                0 => return None,
                here if here == hash => return self.pairs.get(self.values[slot] as usize).copied(),
                _ => slot = if slot + 1 == self.hashes.len() { 0 } else { slot + 1 },
            }
        }
    }

    /// How many different names there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of memory.
    pub(crate) fn memory(&self) -> usize {
        self.hashes.len() * 12 + self.pairs.len() * size_of::<(V, V)>()
    }
}

/// The suffixes of a name from the shortest on, each with its hash. One pass over the name, however many labels it has.
struct Walk<'n> {
    hasher: DefaultHasher,
    rest: Option<&'n str>,
}

impl<'n> Walk<'n> {
    fn new(state: &RandomState, name: &'n str) -> Self {
        Self { hasher: state.build_hasher(), rest: Some(name) }
    }

    /// The hash, and whether this is the whole name.
    fn next(&mut self) -> Option<(u64, bool)> {
        let rest = self.rest?;
        let (before, label) = match rest.rfind('.') {
            Some(dot) => (Some(&rest[..dot]), &rest[dot + 1..]),
            None => (None, rest),
        };
        self.hasher.write(label.as_bytes());
        self.hasher.write(b".");
        self.rest = before;
        // 0 means an empty slot.
        Some((self.hasher.clone().finish().max(1), before.is_none()))
    }
}

/// What holds from one key on until the next.
#[derive(Debug)]
pub(crate) struct Ranges<K, V> {
    starts: Box<[K]>,
    values: Box<[V]>,
    base: V,
}

impl<K: Ord + Copy, V: Copy + Eq> Ranges<K, V> {
    /// `ranges`: first and last key, and whose range it is. `value` makes one of all owners that hold at a place; they come
    /// sorted, each once.
    pub(crate) fn build(ranges: &[(K, K, usize)], after: impl Fn(K) -> Option<K>, mut value: impl FnMut(&[usize]) -> V) -> Self {
        let mut events: Vec<(K, bool, usize)> = Vec::with_capacity(ranges.len() * 2);
        for (first, last, owner) in ranges {
            events.push((*first, true, *owner));
            if let Some(end) = after(*last) {
                events.push((end, false, *owner));
            }
        }
        events.sort_unstable();
        let base = value(&[]);
        let mut holding: BTreeMap<usize, usize> = BTreeMap::new();
        let (mut starts, mut values): (Vec<K>, Vec<V>) = (Vec::new(), Vec::new());
        for same in events.chunk_by(|a, b| a.0 == b.0) {
            for (_, begins, owner) in same {
                // A range ends after it begins, so there is one to take away.
                let count = holding.entry(*owner).or_insert(0);
                *count = if *begins { *count + 1 } else { count.saturating_sub(1) };
                if *count == 0 {
                    holding.remove(owner);
                }
            }
            let owners: Vec<usize> = holding.keys().copied().collect();
            let here = value(&owners);
            if values.last().copied().unwrap_or(base) != here {
                starts.push(same[0].0);
                values.push(here);
            }
        }
        Self { starts: starts.into(), values: values.into(), base }
    }

    pub(crate) fn get(&self, key: K) -> V {
        match self.starts.partition_point(|start| *start <= key) {
            0 => self.base,
            at => self.values[at - 1],
        }
    }
}

/// Networks of addresses; IPv4 and IPv6 apart, so that `::/0` isn't IPv4.
#[derive(Debug)]
pub(crate) struct Networks<V> {
    v4: Ranges<u32, V>,
    v6: Ranges<u128, V>,
    empty: bool,
}

impl<V: Copy + Eq> Networks<V> {
    pub(crate) fn build(nets: &[(IpNet, usize)], mut value: impl FnMut(&[usize]) -> V) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (net, owner) in nets {
            match net {
                IpNet::V4(net) => v4.push((net.network().to_bits(), net.broadcast().to_bits(), *owner)),
                IpNet::V6(net) => v6.push((net.network().to_bits(), net.broadcast().to_bits(), *owner)),
            }
        }
        Self {
            v4: Ranges::build(&v4, |last| last.checked_add(1), &mut value),
            v6: Ranges::build(&v6, |last| last.checked_add(1), &mut value),
            empty: nets.is_empty(),
        }
    }

    pub(crate) fn get(&self, address: IpAddr) -> V {
        match address.to_canonical() {
            IpAddr::V4(address) => self.v4.get(address.to_bits()),
            IpAddr::V6(address) => self.v6.get(address.to_bits()),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.empty
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_what_is_below_them() {
        let mut builder = NamesBuilder::new();
        builder.add("example.com", 1, Reach::Exact);
        builder.add("example.com", 2, Reach::Below);
        builder.add("a.example.com", 4, Reach::Exact);
        builder.add("com", 8, Reach::Below);
        let names = builder.build(|owners| owners.iter().sum::<u32>());
        for (name, expected) in [
            ("example.com", 9),
            ("a.example.com", 14),
            ("b.a.example.com", 10),
            ("badexample.com", 8),
            ("com", 0),
            ("example.org", 0),
        ] {
            let mut sum = 0;
            names.find(name, |value| sum += value);
            assert_eq!(sum, expected, "{name}");
        }
        assert_eq!(names.len(), 3);
    }

    proptest! {
        #[test]
        fn ranges_are_what_they_are_made_of(ranges in prop::collection::vec((0u8..=255, 0u8..=255), 0..20), key: u8) {
            let ranges: Vec<(u8, u8, usize)> = ranges.into_iter().enumerate().map(|(n, (a, b))| (a.min(b), a.max(b), n % 7)).collect();
            let sum = |owners: &[usize]| owners.iter().fold(0_u32, |bits, owner| bits | 1 << owner);
            let table = Ranges::build(&ranges, |last| last.checked_add(1), sum);
            let owners: Vec<usize> = ranges.iter().filter(|r| (r.0..=r.1).contains(&key)).map(|r| r.2).collect();
            prop_assert_eq!(table.get(key), sum(&owners));
        }

        #[test]
        fn networks_are_what_they_are_made_of(nets in prop::collection::vec((any::<u32>(), 0u8..=32), 0..12), bits: u32) {
            let nets: Vec<(IpNet, usize)> = nets.into_iter().enumerate().map(|(n, (net, prefix))| {
                (IpNet::new(std::net::Ipv4Addr::from_bits(net).into(), prefix).expect("a prefix").trunc(), n)
            }).collect();
            let sum = |owners: &[usize]| owners.iter().fold(0_u32, |bits, owner| bits | 1 << owner);
            let table = Networks::build(&nets, sum);
            let address = IpAddr::V4(std::net::Ipv4Addr::from_bits(bits));
            let owners: Vec<usize> = nets.iter().filter(|net| net.0.contains(&address)).map(|net| net.1).collect();
            prop_assert_eq!(table.get(address), sum(&owners));
        }
    }
}
