//! The address guard in the walk: what it forbids is not dialled, and nothing is told about it.

use gatehouse_domain::{Cause, Stage};
use gatehouse_outbound::AddressPolicy;

use crate::{
    ask::{detail, http, through},
    listener::Listener,
};

#[tokio::test]
async fn closed_addresses_are_not_dialled_and_nothing_is_told() {
    let listener = Listener::answers("HTTP/1.1 200 OK\r\n\r\n").await;
    let mut messages = Vec::new();
    for host in ["127.0.0.1", "localhost", "::1", "::ffff:127.0.0.1", "10.1.2.3", "169.254.169.254", "fd00:ec2::254"] {
        for scheme in ["http", "https", "socks5", "socks5h"] {
            let mut ask = through(scheme, listener.port).host(host);
            ask.policy = AddressPolicy::PublicOnly;
            let report = ask.fails(Stage::Resolve, Cause::AddressNotAllowed).await;
            assert_eq!(detail(&report, Stage::Resolve), "the address is not allowed");
            messages.push((report.message, report.hint));
        }
    }
    assert_eq!(listener.accepted(), 0);
    messages.dedup();
    assert_eq!(messages.len(), 1, "one message for all: {messages:?}");
    // On-premise the same is dialled.
    let _ = http(listener.port).run().await;
    assert_eq!(listener.accepted(), 1);
}
