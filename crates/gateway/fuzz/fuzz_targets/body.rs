//! Bodies: the same content, the same end and the same refusal in whatever pieces they come.
#![no_main]

use gatehouse_gateway::http::{
    body::{Decoder, Found},
    head::{Framing, Wrong},
    write,
};
use libfuzzer_sys::fuzz_target;

/// Content, what is left behind the end, whether it is all; or what is wrong, and the content until then.
type Read = (Vec<u8>, Option<usize>, Option<Wrong>);

fn read(framing: Framing, bytes: &[u8], mut piece: impl FnMut() -> usize) -> Read {
    let mut decoder = Decoder::new(framing);
    let (mut content, mut from, mut to) = (Vec::new(), 0, 0);
    loop {
        match decoder.next(&bytes[from..to]) {
            Ok(Found::Skip(count)) => {
                assert!(count > 0 && count <= to - from);
                from += count;
            }
            Ok(Found::Data(count)) => {
                assert!(count > 0 && count <= to - from);
                content.extend_from_slice(&bytes[from..from + count]);
                from += count;
            }
            Ok(Found::End) => {
                assert!(decoder.is_done() && decoder.may_end());
                return (content, Some(from), None);
            }
            Ok(Found::More) if to == bytes.len() => {
                assert!(!decoder.is_done());
                return (content, None, None);
            }
            Ok(Found::More) => to = bytes.len().min(to + piece().max(1)),
            Err(wrong) => return (content, None, Some(wrong)),
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let Some((seed, bytes)) = bytes.split_first() else { return };
    let framing = match kind % 4 {
        0 => Framing::UntilClose,
        1 => Framing::Length(u64::from(*kind) * u64::from(*seed)),
        _ => Framing::Chunked,
    };
    let whole = read(framing, bytes, || bytes.len());
    assert_eq!(read(framing, bytes, || 1), whole);
    let mut state = u32::from(*seed) + 1;
    let some = read(framing, bytes, || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + (state >> 24) as usize % (1 + usize::from(*seed))
    });
    assert_eq!(some, whole);
    // What came out goes in again, in other chunks, and comes out.
    let mut chunks = Vec::new();
    whole.0.chunks(usize::from(*seed) + 1).for_each(|piece| write::chunk(&mut chunks, piece));
    chunks.extend_from_slice(b"0\r\n\r\n");
    let end = chunks.len();
    chunks.extend_from_slice(b"GET");
    assert_eq!(read(Framing::Chunked, &chunks, || 3), (whole.0, Some(end), None));
});
