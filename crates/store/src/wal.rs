//! Looking through a segment of the engine's write-ahead log, before the engine does.
//!
//! The engine (surrealkv 0.21) opens its log for appending first and looks through it afterwards. A record that the
//! process died over has two consequences there: fewer than seven bytes of it stay where they are and make everything
//! unreadable that is appended behind them; more of them make the engine rewrite the segment into a new file while it
//! goes on appending to the old one, which no longer has a name. Both lose acknowledged writes at the next crash. And a
//! record that is damaged in the middle makes it drop all that follows, without a word to us. So the torn end is cut off
//! before the engine starts, and a damaged middle keeps it from starting.
//!
//! The format (`wal/mod.rs` there): blocks of 32 KiB; in them records with a header of seven bytes: CRC-32 of type and
//! payload, length, type, all big-endian. A record that does not fit into a block is cut into First, Middle…, Last. Fewer
//! than seven bytes at the end of a block are zeros.

use std::io::{self, BufReader, Read};

const BLOCK: usize = 32 * 1024;
const HEADER: usize = 7;

const PADDING: u8 = 0;
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;
const COMPRESSION: u8 = 9;

/// What a segment is like.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Log {
    /// Whole.
    Sound,
    /// It ends within a record: what comes before it is whole.
    Torn {
        /// How many bytes are.
        keep: u64,
    },
    /// Something in it is not what was written.
    Broken {
        /// Where.
        at: u64,
        /// What.
        why: &'static str,
    },
}

/// Looks through a segment.
///
/// # Errors
/// Those of reading.
pub(crate) fn examine(segment: impl Read) -> io::Result<Log> {
    let mut segment = BufReader::with_capacity(4 * BLOCK, segment);
    let mut block = Vec::with_capacity(BLOCK);
    // Where the block begins, and where the last whole record ends.
    let (mut begin, mut whole) = (0u64, 0u64);
    let mut in_record = false;
    // Where zeros begin that nothing follows: a file that grew, but whose data did not reach the disk.
    let mut zeros = None;
    loop {
        block.clear();
        segment.by_ref().take(BLOCK as u64).read_to_end(&mut block)?;
        let mut at = 0;
        while let Some((header, rest)) = block[at..].split_first_chunk::<HEADER>() {
            let position = begin + at as u64;
            let broken = |why| Ok(Log::Broken { at: position, why });
            let [c0, c1, c2, c3, l0, l1, kind] = *header;
            let length = usize::from(u16::from_be_bytes([l0, l1]));
            if kind == PADDING {
                if block[at..].iter().any(|byte| *byte != 0) {
                    return broken("no record, and not empty either");
                }
                zeros.get_or_insert(position);
                at = block.len();
                break;
            }
            if at + HEADER + length > BLOCK {
                return broken("a length that can't be");
            }
            match (kind, in_record) {
                _ if zeros.is_some() => return broken("a record behind empty space"),
                (FULL | FIRST | COMPRESSION, false) | (MIDDLE | LAST, true) => {}
                _ => return broken("no record, or a piece of one in the wrong place"),
            }
            let Some(payload) = rest.get(..length) else {
                // Only the last block is shorter than a block. A record that was being written is the last thing there; where
                // a whole one follows, it is the length that is wrong.
                return if holds_a_record(rest) { broken("a length that does not fit") } else { Ok(Log::Torn { keep: whole }) };
            };
            if checksum(kind, payload) != u32::from_be_bytes([c0, c1, c2, c3]) {
                return broken("a checksum that does not fit");
            }
            in_record = matches!(kind, FIRST | MIDDLE);
            at += HEADER + length;
            if !in_record {
                whole = begin + at as u64;
            }
        }
        let torn = in_record || zeros.is_some() || at < block.len();
        begin += block.len() as u64;
        if block.len() < BLOCK {
            return Ok(if torn { Log::Torn { keep: whole } } else { Log::Sound });
        }
    }
}

fn checksum(kind: u8, payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&[kind]);
    crc.update(payload);
    crc.finalize()
}

/// Whether a whole record begins anywhere in these bytes.
fn holds_a_record(bytes: &[u8]) -> bool {
    (0..bytes.len()).any(|at| {
        let Some((header, rest)) = bytes[at..].split_first_chunk::<HEADER>() else {
            return false;
        };
        let [c0, c1, c2, c3, l0, l1, kind] = *header;
        let payload = rest.get(..usize::from(u16::from_be_bytes([l0, l1])));
        matches!(kind, FULL | FIRST | MIDDLE | LAST)
            && payload.is_some_and(|payload| checksum(kind, payload) == u32::from_be_bytes([c0, c1, c2, c3]))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Writes records as the engine does (`wal/writer.rs`); returns the bytes and where each record ends.
    fn write(records: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        for record in records {
            let (mut rest, mut first) = (record.as_slice(), true);
            loop {
                let left = BLOCK - out.len() % BLOCK;
                if left < HEADER {
                    out.resize(out.len() + left, 0);
                    continue;
                }
                let (piece, after) = rest.split_at(rest.len().min(left - HEADER));
                let kind = match (first, after.is_empty()) {
                    (true, true) => FULL,
                    (true, false) => FIRST,
                    (false, false) => MIDDLE,
                    (false, true) => LAST,
                };
                out.extend(checksum(kind, piece).to_be_bytes());
                out.extend(u16::try_from(piece.len()).unwrap().to_be_bytes());
                out.push(kind);
                out.extend(piece);
                (rest, first) = (after, false);
                if rest.is_empty() {
                    break;
                }
            }
            ends.push(out.len());
        }
        (out, ends)
    }

    fn records() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(
            prop_oneof![prop::collection::vec(any::<u8>(), 0..300), (1usize..90_000).prop_map(|n| vec![7; n])],
            1..6,
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_log_is_sound_and_cut_anywhere_it_keeps_every_whole_record(records in records(), cut in any::<prop::sample::Index>(), zeros in 0usize..40_000) {
            let (log, ends) = write(&records);
            prop_assert_eq!(examine(log.as_slice()).unwrap(), Log::Sound);
            let cut = cut.index(log.len());
            let whole = ends.iter().copied().filter(|end| *end <= cut).max().unwrap_or(0);
            let kept = match examine(&log[..cut]).unwrap() {
                Log::Sound => cut as u64,
                Log::Torn { keep } => keep,
                broken => panic!("{broken:?}"),
            };
            prop_assert_eq!(kept, whole as u64);
            // The file grew, but the data did not arrive.
            let mut grown = log.clone();
            grown.resize(log.len() + zeros, 0);
            let found = examine(grown.as_slice()).unwrap();
            prop_assert!(found == Log::Torn { keep: log.len() as u64 } || found == Log::Sound && zeros == 0, "{:?}", found);
        }

        #[test]
        fn a_flipped_bit_is_found(records in records(), at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let (mut log, ends) = write(&records);
            let at = at.index(log.len());
            log[at] ^= 1 << bit;
            match examine(log.as_slice()).unwrap() {
                // In the zeros at the end of a block, which nobody reads.
                Log::Sound => prop_assert!(BLOCK - at % BLOCK <= HEADER),
                Log::Broken { at: found, .. } => prop_assert!(found <= at as u64),
                // The length of the last piece grew: that can't be told from a record that is cut off. All others are there.
                Log::Torn { keep } => prop_assert_eq!(keep as usize, ends.len().checked_sub(2).map_or(0, |last| ends[last])),
            }
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let _ = examine(bytes.as_slice()).unwrap();
        }
    }
}
