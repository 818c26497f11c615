//! Hosts: what was judged is judged the same again, and no spelling of a host is another one.
#![no_main]

use std::net::IpAddr;

use gatehouse_gateway::{names::Host, policy::Policy};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(host) = Host::parse(text) {
        let written = host.for_authority().into_owned();
        assert!(host.as_str().is_ascii() && !written.is_empty(), "{host:?}");
        assert!(!host.as_str().contains(['/', '\\', '?', '#', '@', '%', ' ', '\r', '\n', '\0', '[', ']', '*']), "{host:?}");
        assert_eq!(host.as_str(), host.as_str().to_ascii_lowercase());
        assert_eq!(Host::parse(&written).as_ref(), Ok(&host));
        assert_eq!(Host::parse_authority(&format!("{written}:8080"), None), Ok((host.clone(), 8080)));
        // What the system's functions would take for an address must be judged as one.
        if let Ok(address) = host.as_str().parse::<IpAddr>() {
            assert_eq!(host.address(), Some(address.to_canonical()));
            assert_eq!(address, address.to_canonical());
        } else {
            assert_eq!(host.address(), None);
            assert!(!host.as_str().ends_with('.') && !host.as_str().starts_with('.') && host.as_str().len() <= 253);
        }
        if !text.starts_with('[') {
            assert_eq!(Host::parse(&text.to_ascii_uppercase()).as_ref(), Ok(&host), "capitals");
        }
    }
    for default in [None, Some(80)] {
        if let Ok((host, port)) = Host::parse_authority(text, default) {
            assert_ne!(port, 0);
            let written = format!("{}:{port}", host.for_authority());
            assert_eq!(Host::parse_authority(&written, None), Ok((host, port)));
        }
    }
    // A name in a policy is judged in the same spelling; one that is not taken is said, and none makes the policy panic.
    if text.len() < 80 && !text.contains(['\'', '\n', '\r']) {
        let _ = Policy::parse(
            &format!("[[rule]]\nname = 'x'\naction = 'allow'\nto = ['{text}']\n"),
            std::path::Path::new("/nonexistent"),
        );
    }
});
