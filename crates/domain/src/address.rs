//! What kind of place an IP address leads to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::borrowed;

/// A kind of address that isn't reached over the public internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpecialAddress {
    /// 127.0.0.0/8, `::1`: this machine (RFC 1122, RFC 4291).
    Loopback,
    /// 0.0.0.0, `::`: this machine too, when it is dialled (RFC 1122, RFC 4291).
    Unspecified,
    /// The rest of 0.0.0.0/8 (RFC 791).
    ThisNetwork,
    /// 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 (RFC 1918), `fc00::/7` (RFC 4193), `fec0::/10` (RFC 3879).
    Private,
    /// 100.64.0.0/10: carrier-grade NAT (RFC 6598).
    SharedNat,
    /// 169.254.0.0/16 (RFC 3927), `fe80::/10` (RFC 4291).
    LinkLocal,
    /// What clouds tell their machines about themselves, credentials included.
    Metadata,
    /// 224.0.0.0/4 (RFC 5771), `ff00::/8` (RFC 4291).
    Multicast,
    /// 255.255.255.255 (RFC 919).
    Broadcast,
    /// Examples in books (RFC 5737, RFC 3849, RFC 9637).
    Documentation,
    /// 198.18.0.0/15 (RFC 2544).
    Benchmark,
    /// `64:ff9b::/96` (RFC 6052), `64:ff9b:1::/48` (RFC 8215): leads to any IPv4 address.
    Nat64,
    /// 2002::/16 (RFC 3056) and its relays (RFC 7526): leads to any IPv4 address.
    SixToFour,
    /// `2001::/32` (RFC 4380): leads to any IPv4 address.
    Teredo,
    /// Protocol assignments and what nobody has been given (RFC 6890, RFC 2928, RFC 1112).
    Reserved,
}

impl SpecialAddress {
    /// The words for it, as they fit after "is": lower case, with an article where one belongs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loopback => "a loopback address",
            Self::Unspecified => "the unspecified address",
            Self::ThisNetwork => "an address of \"this network\"",
            Self::Private => "a private address",
            Self::SharedNat => "a carrier-grade NAT address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "a cloud metadata service",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "the broadcast address",
            Self::Documentation => "a documentation address",
            Self::Benchmark => "a benchmarking address",
            Self::Nat64 => "a NAT64 address",
            Self::SixToFour => "a 6to4 address",
            Self::Teredo => "a Teredo address",
            Self::Reserved => "a reserved address",
        }
    }
}

use SpecialAddress as S;

/// IPv4 networks that are not public: the IANA special-purpose registry (RFC 6890 and its updates), multicast, and the
/// addresses by which large clouds serve their own machines. The first that holds an address names it.
const SPECIAL_V4: &[(Ipv4Addr, u32, S)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 32, S::Unspecified),
    (Ipv4Addr::new(0, 0, 0, 0), 8, S::ThisNetwork),
    (Ipv4Addr::new(10, 0, 0, 0), 8, S::Private),
    (Ipv4Addr::new(100, 100, 100, 200), 32, S::Metadata), // Alibaba
    (Ipv4Addr::new(100, 64, 0, 0), 10, S::SharedNat),
    (Ipv4Addr::new(127, 0, 0, 0), 8, S::Loopback),
    (Ipv4Addr::new(168, 63, 129, 16), 32, S::Metadata), // Azure; a public address
    (Ipv4Addr::new(169, 254, 169, 254), 32, S::Metadata), // nearly all of them
    (Ipv4Addr::new(169, 254, 170, 2), 32, S::Metadata), // Amazon's containers
    (Ipv4Addr::new(169, 254, 170, 23), 32, S::Metadata),
    (Ipv4Addr::new(169, 254, 0, 0), 16, S::LinkLocal),
    (Ipv4Addr::new(172, 16, 0, 0), 12, S::Private),
    (Ipv4Addr::new(192, 0, 0, 192), 32, S::Metadata), // Oracle
    (Ipv4Addr::new(192, 0, 0, 0), 24, S::Reserved),
    (Ipv4Addr::new(192, 0, 2, 0), 24, S::Documentation),
    (Ipv4Addr::new(192, 88, 99, 0), 24, S::SixToFour),
    (Ipv4Addr::new(192, 168, 0, 0), 16, S::Private),
    (Ipv4Addr::new(198, 18, 0, 0), 15, S::Benchmark),
    (Ipv4Addr::new(198, 51, 100, 0), 24, S::Documentation),
    (Ipv4Addr::new(203, 0, 113, 0), 24, S::Documentation),
    (Ipv4Addr::new(224, 0, 0, 0), 4, S::Multicast),
    (Ipv4Addr::new(255, 255, 255, 255), 32, S::Broadcast),
    (Ipv4Addr::new(240, 0, 0, 0), 4, S::Reserved),
];

/// The same for IPv6. What lies outside of global unicast (2000::/3) is closed also when it isn't listed.
const SPECIAL_V6: &[(Ipv6Addr, u32, S)] = &[
    (Ipv6Addr::UNSPECIFIED, 128, S::Unspecified),
    (Ipv6Addr::LOCALHOST, 128, S::Loopback),
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96, S::Nat64),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, S::Nat64),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, S::Teredo),
    (Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0), 48, S::Benchmark), // RFC 5180
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, S::Reserved),  // protocol assignments, ORCHID
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, S::Documentation),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, S::SixToFour),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, S::Documentation),
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128, S::Metadata), // Amazon
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23), 128, S::Metadata),
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128, S::Metadata), // Google
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, S::Private),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, S::LinkLocal),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, S::Private),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, S::Multicast),
];

/// What kind of special address this is; nothing for one of the public internet. `::ffff:10.0.0.1` is dialled as 10.0.0.1
/// and judged as that.
#[must_use]
pub fn special(address: IpAddr) -> Option<SpecialAddress> {
    match address.to_canonical() {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

/// [`special`], and of an IPv6 address that leads to an IPv4 one also the one inside: what keeps an address from being one of the
/// public internet.
#[must_use]
pub fn closed(address: IpAddr) -> Option<SpecialAddress> {
    let inner = match address.to_canonical() {
        IpAddr::V6(outer) => embedded_v4(outer).map(IpAddr::V4),
        IpAddr::V4(_) => None,
    };
    special(address).or_else(|| inner.and_then(special))
}

/// Names that mean this machine (RFC 6761, 6.3) or its cloud's metadata service, whatever a name server says. `name`: A-labels in
/// lower case, without the dot at the end.
#[must_use]
pub fn special_name(name: &str) -> Option<SpecialAddress> {
    if LOCAL_NAMES.contains(&name) || name.ends_with(".localhost") {
        return Some(S::Loopback);
    }
    METADATA_NAMES.contains(&name).then_some(S::Metadata)
}

const LOCAL_NAMES: &[&str] = &["localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback", "localhost6"];
const METADATA_NAMES: &[&str] =
    &["metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal"];

/// Whether no name server of the public internet can know this name: a [`special_name`], or one below a domain that is set aside for
/// networks of one's own (RFC 6762, RFC 8375, ICANN's `internal`) or used in them because it will never be given to anybody. Spelled
/// as for [`special_name`].
#[must_use]
pub fn is_private_name(name: &str) -> bool {
    special_name(name).is_some()
        || PRIVATE_DOMAINS
            .iter()
            .any(|domain| name.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

const PRIVATE_DOMAINS: &[&str] = &["local", "localdomain", "internal", "home.arpa", "lan", "home", "corp", "intranet", "private"];

fn special_v4(address: Ipv4Addr) -> Option<SpecialAddress> {
    let bits = address.to_bits();
    SPECIAL_V4.iter().find(|(net, prefix, _)| (bits ^ net.to_bits()) >> (32 - prefix) == 0).map(|found| found.2)
}

fn special_v6(address: Ipv6Addr) -> Option<SpecialAddress> {
    let bits = address.to_bits();
    let listed = SPECIAL_V6.iter().find(|(net, prefix, _)| (bits ^ net.to_bits()) >> (128 - prefix) == 0).map(|found| found.2);
    let global_unicast = bits >> 125 == 0b001;
    listed.or((!global_unicast).then_some(SpecialAddress::Reserved))
}

/// The IPv4 address that an IPv6 address leads to: mapped and compatible (RFC 4291), translated (RFC 2765), NAT64 (RFC 6052,
/// RFC 8215), 6to4 (RFC 3056), Teredo (RFC 4380), ISATAP (RFC 5214).
#[must_use]
pub fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = address.to_bits();
    #[allow(clippy::cast_possible_truncation, reason = "32 bits are what is wanted")]
    let at = |shift: u32| Ipv4Addr::from_bits((bits >> shift) as u32);
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => Some(at(0)),
        // Networks choose among the forms of RFC 6052: /96 has it at the end; /48 has it around the byte that stays empty.
        [0x64, 0xff9b, 1, high, low, _, 0, 0] if (high, low) != (0, 0) => {
            let [_, b] = low.to_be_bytes();
            let [c, _] = address.segments()[5].to_be_bytes();
            Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(b) << 8 | u32::from(c)))
        }
        [0x64, 0xff9b, 1, ..] => Some(at(0)),
        [0x2002, ..] => Some(at(80)),
        [0x2001, 0, ..] => Some(Ipv4Addr::from_bits(!at(0).to_bits())),
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => Some(at(0)),
        _ => None,
    }
}

/// An IPv4 address in one of the forms that `inet_aton` and browsers read, when the last part is a number: octal, hexadecimal,
/// fewer than four parts, digits and dots of other scripts. [`HostName`](crate::HostName) refuses them; what judges the
/// requests of others has to know what they would lead to.
///
/// Nothing when it is not meant as an IPv4 address, or is none that browsers read.
/// Source: <https://url.spec.whatwg.org/#concept-ipv4-parser>.
#[must_use]
pub fn loose_v4(text: &str) -> Option<Ipv4Addr> {
    let ascii = borrowed::domain_to_ascii(text)?;
    let parts: Vec<&str> = ascii.strip_suffix('.').unwrap_or(&ascii).split('.').collect();
    if parts.len() > 4 {
        return None;
    }
    let numbers = parts.into_iter().map(number).collect::<Option<Vec<u32>>>()?;
    let (last, bytes) = numbers.split_last()?;
    let mut bits = 0_u32;
    for (place, byte) in bytes.iter().enumerate() {
        bits |= u32::from(u8::try_from(*byte).ok()?) << (24 - 8 * place);
    }
    // The last part fills what is left.
    let room = u32::MAX.checked_shr(u32::try_from(bytes.len()).ok()? * 8)?;
    (*last <= room).then(|| Ipv4Addr::from_bits(bits | last))
}

fn number(part: &str) -> Option<u32> {
    let (digits, radix) = match part.strip_prefix("0x").or_else(|| part.strip_prefix("0X")) {
        // Browsers read 0x as 0.
        Some("") => return Some(0),
        Some(hex) => (hex, 16),
        None => match part.strip_prefix('0') {
            Some(octal) if !octal.is_empty() => (octal, 8),
            _ => (part, 10),
        },
    };
    // from_str_radix takes a sign.
    if !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    u32::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_kind_has_its_name() {
        for (address, kind) in [
            ("127.255.0.1", Some(S::Loopback)),
            ("0.0.0.0", Some(S::Unspecified)),
            ("0.1.1.1", Some(S::ThisNetwork)),
            ("172.31.0.1", Some(S::Private)),
            ("100.64.0.1", Some(S::SharedNat)),
            ("169.254.1.1", Some(S::LinkLocal)),
            ("169.254.169.254", Some(S::Metadata)),
            ("168.63.129.16", Some(S::Metadata)),
            ("239.1.1.1", Some(S::Multicast)),
            ("255.255.255.255", Some(S::Broadcast)),
            ("250.0.0.1", Some(S::Reserved)),
            ("8.8.8.8", None),
            ("::ffff:10.0.0.1", Some(S::Private)),
            ("::ffff:8.8.8.8", None),
            ("fd00:ec2::254", Some(S::Metadata)),
            ("fd00:ec2::255", Some(S::Private)),
            ("64:ff9b::808:808", Some(S::Nat64)),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", Some(S::Teredo)),
            ("2002:808:808::1", Some(S::SixToFour)),
            ("::8.8.8.8", Some(S::Reserved)),
            ("2606:4700:4700::1111", None),
        ] {
            assert_eq!(special(address.parse().expect(address)), kind, "{address}");
        }
    }

    #[test]
    fn the_address_inside_is_found() {
        for (address, inside) in [
            ("::ffff:192.0.2.33", Some("192.0.2.33")),
            ("::192.0.2.33", Some("192.0.2.33")),
            ("::ffff:0:192.0.2.33", Some("192.0.2.33")),
            ("64:ff9b::192.0.2.33", Some("192.0.2.33")),
            ("64:ff9b:1::192.0.2.33", Some("192.0.2.33")),
            ("64:ff9b:1:c000:2:2100::", Some("192.0.2.33")),
            ("2002:c000:221::1", Some("192.0.2.33")),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", Some("192.0.2.45")),
            ("2606:4700::5efe:192.0.2.33", Some("192.0.2.33")),
            ("::", None),
            ("::1", None),
            ("2606:4700:4700::1111", None),
        ] {
            assert_eq!(embedded_v4(address.parse().expect(address)), inside.map(|i| i.parse().expect(i)), "{address}");
        }
    }

    #[test]
    fn an_address_is_as_closed_as_the_one_inside() {
        for (address, kind) in [
            ("2606:4700::5efe:10.0.0.1", Some(S::Private)),
            ("2606:4700::200:5efe:169.254.169.254", Some(S::Metadata)),
            ("2606:4700::5efe:8.8.8.8", None),
            ("64:ff9b::8.8.8.8", Some(S::Nat64)),
            ("::ffff:8.8.8.8", None),
            ("10.0.0.1", Some(S::Private)),
        ] {
            assert_eq!(closed(address.parse().expect(address)), kind, "{address}");
        }
    }

    #[test]
    fn names_that_only_a_network_of_ones_own_knows() {
        for name in [
            "localhost",
            "a.b.localhost",
            "metadata",
            "metadata.google.internal",
            "ip-10-0-0-1.ec2.internal",
            "internal",
            "db.svc.cluster.local",
            "printer.local",
            "router.home.arpa",
            "nas.lan",
            "sql.corp",
        ] {
            assert!(is_private_name(name), "{name}");
        }
        for name in ["example.com", "localhost.example", "notlocal", "proxy.lan.example", "xlocalhost", "corp.example"] {
            assert!(!is_private_name(name), "{name}");
        }
    }

    #[test]
    fn loose_forms_are_read_as_browsers_do() {
        for (text, address) in [
            ("127.1", Some("127.0.0.1")),
            ("0177.0.0.1", Some("127.0.0.1")),
            ("0x7F.1", Some("127.0.0.1")),
            ("2130706433", Some("127.0.0.1")),
            ("017700000001", Some("127.0.0.1")),
            ("0x7f000001.", Some("127.0.0.1")),
            ("127.0x", Some("127.0.0.0")),
            ("10.65535.", Some("10.0.255.255")),
            ("10.1.65535", Some("10.1.255.255")),
            ("１２７．０．０．１", Some("127.0.0.1")),
            ("127。0。0。1", Some("127.0.0.1")),
            ("①②⑦.1", Some("127.0.0.1")),
            ("256.1.1.1", None),
            ("1.1.1.256", None),
            ("4294967296", None),
            ("08.1.1.1", None),
            ("1.2.3.4.5", None),
            ("+1.1.1.1", None),
            ("1..1", None),
            ("example", None),
        ] {
            assert_eq!(loose_v4(text), address.map(|a| a.parse().expect(a)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_spelling_is_the_same_address(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            let [a, b, c, d] = address.octets();
            for text in [
                address.to_string(),
                bits.to_string(),
                format!("{bits:#x}"),
                format!("0{bits:o}"),
                format!("{a}.{}", bits & 0xff_ffff),
                format!("{a}.{b}.{}", bits & 0xffff),
                format!("0{a:o}.{b:#x}.0{c:o}.{d}."),
            ] {
                prop_assert_eq!(loose_v4(&text), Some(address), "{}", text);
            }
        }

        #[test]
        fn reading_never_panics(text in "\\PC{0,40}") {
            let _ = loose_v4(&text);
        }
    }
}
