//! What browsers ask for to find the gateway: a script that says which way each address takes (proxy auto-configuration).

use std::fmt::Write as _;

use ipnet::IpNet;

use crate::policy::{Policy, value::Place};

/// The script. `place` is where the gateway is, as the client reached it: `proxy.example:3128`.
#[must_use]
pub fn script(policy: &Policy, place: &str) -> String {
    let mut tests = vec![
        // Names without a dot, and this machine, are not on the internet. A browser may give the host with brackets or without.
        "isPlainHostName(host) && !/^[0-9]+$/.test(host) && host.indexOf(\":\") < 0".to_string(),
        "/^(127\\.[0-9.]+|\\[?::1\\]?|(.+\\.)?localhost)$/.test(host)".to_string(),
    ];
    // Names, addresses and networks hold nothing that ends a string: they were parsed.
    for entry in &policy.settings().pac.bypass {
        tests.push(match entry {
            Place::Name(name) => format!("host == \"{name}\""),
            Place::Below(name) => format!("dnsDomainIs(host, \".{name}\")"),
            Place::Domain(name) => format!("host == \"{name}\" || dnsDomainIs(host, \".{name}\")"),
            // `isInNet` resolves names, and knows IPv4 only: it is asked about addresses alone.
            Place::Net(IpNet::V4(net)) => {
                format!("/^[0-9.]+$/.test(host) && isInNet(host, \"{}\", \"{}\")", net.network(), net.netmask())
            }
            Place::Net(IpNet::V6(net)) if net.prefix_len() == 128 => {
                format!("host == \"{0}\" || host == \"[{0}]\"", net.network())
            }
            // No function of the standard looks into IPv6 networks.
            Place::Net(IpNet::V6(_)) => continue,
        });
    }
    let mut script = String::from(
        "// Made by Gatehouse from its policy.\nfunction FindProxyForURL(url, host) {\n  host = host.toLowerCase();\n",
    );
    for test in tests {
        // Writing to a string does not fail.
        let _ = writeln!(script, "  if ({test}) return \"DIRECT\";");
    }
    // A place is a host and a port.
    let place: String = place.chars().filter(|c| c.is_ascii_alphanumeric() || ".-_:[]".contains(*c)).collect();
    let _ = write!(script, "  return \"PROXY {place}\";\n}}\n");
    script
}
