//! What several targets need.

use gatehouse_gateway::http::{
    head::{self, Field, Framing, Known},
    write::{Body, Passing},
};

/// A gateway that adds nothing but `Via: … gw`.
pub fn passing() -> Passing {
    Passing { via: "gw".into(), tells_client: false }
}

/// Names and values, as a reader compares them.
pub fn pairs(buffer: &[u8], fields: &[Field]) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields.iter().map(|field| (field.name.of(buffer).to_ascii_lowercase(), field.value.of(buffer).to_vec())).collect()
}

/// The fields that must still be there when a message was passed on: said here by their names and not by [`Known`], so that an error
/// in one of them is an error and not the expectation.
pub fn kept(buffer: &[u8], fields: &[Field], also_not: &[&str]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let never = [
        "connection",
        "proxy-connection",
        "keep-alive",
        "proxy-authorization",
        "proxy-authenticate",
        "proxy-authentication-info",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
        "content-length",
        "via",
        "host",
    ];
    let all = pairs(buffer, fields);
    let named: Vec<Vec<u8>> = all
        .iter()
        .filter(|(name, _)| name == b"connection")
        .flat_map(|(_, value)| value.split(|byte| *byte == b','))
        .map(|name| name.trim_ascii().to_ascii_lowercase())
        .collect();
    let stays = |name: &[u8]| {
        never.iter().chain(also_not).any(|other| other.as_bytes() == name) || named.iter().any(|other| other == name)
    };
    all.into_iter().filter(|(name, _)| !stays(name)).collect()
}

/// `Via` as it must be then.
pub fn via(buffer: &[u8], fields: &[Field], is_old: bool) -> (Vec<u8>, Vec<u8>) {
    let mut value = Vec::new();
    for before in head::values(buffer, fields, Known::Via) {
        value.extend_from_slice(before);
        value.extend_from_slice(b", ");
    }
    value.extend_from_slice(if is_old { b"1.0 gw" } else { b"1.1 gw" });
    // Of one that is empty only the comma is left, and white space before a value is none of it.
    (b"via".to_vec(), value.trim_ascii_start().to_vec())
}

/// How a body that was framed so is framed again.
pub fn body(framing: Framing) -> Body {
    match framing {
        Framing::None => Body::None,
        Framing::Length(length) => Body::Length(length),
        Framing::Chunked => Body::Chunked,
        Framing::UntilClose => Body::UntilClose,
    }
}

/// Where to cut a message of this length: everywhere while it is short, else in steps that the input chooses.
pub fn cuts(length: usize, seed: u8) -> impl Iterator<Item = usize> {
    (1..length).step_by(if length < 300 { 1 } else { 1 + length / 200 + usize::from(seed % 7) })
}
