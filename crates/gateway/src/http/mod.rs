//! HTTP/1.1 as it stands on the wire (RFC 9112): heads, bodies, and what may be passed on.
//!
//! A parser of our own, because what a general one forgives is what a proxy must refuse: two programs that read one message in
//! two ways are how requests are smuggled. Nothing is passed on as it came; [`write`] makes every message anew.

pub mod body;
pub mod head;
pub mod write;
