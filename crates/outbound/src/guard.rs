//! Which addresses may be dialled.

use std::net::{IpAddr, Ipv4Addr};

use gatehouse_domain::{HostName, address};

use crate::{
    names::{Names, ResolveError},
    problem::Problem,
};

/// Which addresses this installation connects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AddressPolicy {
    /// All: an on-premise installation serves one company, whose proxies stand in its own network.
    #[default]
    AllowAll,
    /// Only those that are reached over the public internet: a cloud installation must not be made to look into the
    /// network that it stands in.
    PublicOnly,
}

impl AddressPolicy {
    /// Whether this address may be dialled.
    ///
    /// Vet the very address that is dialled, right before dialling: a name that was public a moment ago may have another
    /// address by now.
    #[must_use]
    pub fn allows(self, address: IpAddr) -> bool {
        match self {
            Self::AllowAll => true,
            Self::PublicOnly => address::closed(address).is_none(),
        }
    }
}

/// How this installation reaches others: who is asked for addresses, and which of them are dialled.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    pub(crate) policy: AddressPolicy,
    pub(crate) names: Names,
}

impl Reach {
    /// Both.
    #[must_use]
    pub fn new(policy: AddressPolicy, names: Names) -> Self {
        Self { policy, names }
    }

    /// Refuses a host that is closed whatever it leads to: a literal address, or a name that only a network of one's own knows.
    pub(crate) fn vet(&self, host: &HostName) -> Result<(), Problem> {
        match self.policy {
            AddressPolicy::PublicOnly if host.is_private() => Err(Problem::AddressNotAllowed),
            _ => Ok(()),
        }
    }

    /// What a list that is asked over DNS says about a name: addresses of 127.0.0.0/8 are its words, nobody dials them. With
    /// [`AddressPolicy::PublicOnly`] any other address is as good as none, so that nothing is told of what a zone of the network
    /// that this installation stands in holds.
    pub(crate) async fn words_of(&self, name: &str) -> Result<Vec<Ipv4Addr>, ResolveError> {
        if self.policy == AddressPolicy::PublicOnly && address::is_private_name(&name.trim_end_matches('.').to_ascii_lowercase())
        {
            return Err(ResolveError::Unknown);
        }
        let mut words: Vec<Ipv4Addr> = Vec::new();
        for found in self.names.look_up(name, true).await? {
            if let IpAddr::V4(found) = found
                && (found.is_loopback() || self.policy == AddressPolicy::AllowAll)
                && !words.contains(&found)
            {
                words.push(found);
            }
        }
        Ok(words)
    }
}

impl From<AddressPolicy> for Reach {
    /// With the machine's own name servers.
    fn from(policy: AddressPolicy) -> Self {
        Self { policy, names: Names::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use proptest::prelude::*;

    use super::*;

    fn public(address: &str) -> bool {
        AddressPolicy::PublicOnly.allows(address.parse().expect(address))
    }

    #[test]
    fn public_addresses_pass() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "2606:4700:4700::1111",
            "2606:4700::5efe:8.8.8.8",
            "2a00:1450:4001::1",
            "2001:200::1",
            "2003::1",
        ] {
            assert!(public(address), "{address}");
        }
    }

    #[test]
    fn everything_else_does_not() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:808:808::1",
            "2606:4700::5efe:10.0.0.1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "ffff::1",
        ] {
            assert!(!public(address), "{address}");
            assert!(AddressPolicy::AllowAll.allows(address.parse().expect(address)), "{address}");
        }
    }

    proptest! {
        /// However an IPv4 address is dressed, it is judged as itself or refused.
        #[test]
        fn no_dress_opens_a_closed_address(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            let [a, b] = [(bits >> 16) as u16, (bits & 0xffff) as u16];
            let policy = AddressPolicy::PublicOnly;
            prop_assert_eq!(policy.allows(v4.into()), policy.allows(v4.to_ipv6_mapped().into()));
            for dressed in [
                Ipv6Addr::new(0, 0, 0, 0, 0, 0, a, b),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a, b),
                Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, a, b),
                Ipv6Addr::new(0x2002, a, b, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x2001, 0, a, b, 0, 0, !a, !b),
            ] {
                prop_assert!(!policy.allows(dressed.into()), "{}", dressed);
            }
        }

        /// The standard library's own idea of closed addresses is part of ours.
        #[test]
        fn what_the_standard_library_calls_closed_is_closed(bits: u32, wide: u128) {
            let v4 = Ipv4Addr::from_bits(bits);
            if v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast()
                || v4.is_documentation() || v4.is_unspecified() {
                prop_assert!(!AddressPolicy::PublicOnly.allows(v4.into()));
            }
            let v6 = Ipv6Addr::from_bits(wide);
            if v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || v6.is_unique_local() || v6.is_unicast_link_local() {
                prop_assert!(!AddressPolicy::PublicOnly.allows(v6.into()));
            }
        }
    }
}
