//! Keeps the private network closed: every address is vetted after resolving, and the very address that was vetted is dialled.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use gatehouse_domain::address::{SpecialAddress, embedded_v4, special, special_name};
use ipnet::IpNet;

use crate::names::Host;

/// What may be dialled.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    open: Vec<IpNet>,
    own: Vec<SocketAddr>,
}

/// Why something may not be dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is {why}")]
pub struct Refused {
    /// Words that fit after "it is".
    pub why: &'static str,
}

/// What [`Refused::why`] says of the gateway's own addresses.
pub const ITSELF: &str = "the gateway itself";

impl Guard {
    /// `open`: networks that the policy opens though they are not public. `own`: where the gateway (and whatever else of this
    /// process) listens; with a wildcard address, every address of this machine counts, with that port.
    ///
    /// Multicast, broadcast and 0.0.0.0/8 can't be opened. A metadata service is opened only by an entry for its very
    /// address, so that `169.254.0.0/16` or `0.0.0.0/0` doesn't give a cloud's credentials away.
    #[must_use]
    pub fn new(open: Vec<IpNet>, own: Vec<SocketAddr>) -> Self {
        Self { open, own }
    }

    /// Whether this address may be dialled. Of an IPv6 address that leads to an IPv4 one (NAT64, 6to4, Teredo and others) both
    /// are judged.
    ///
    /// # Errors
    /// What kind of address it is.
    pub fn vet(&self, address: IpAddr) -> Result<(), Refused> {
        let address = address.to_canonical();
        if let IpAddr::V6(outer) = address
            && let Some(inner) = embedded_v4(outer)
        {
            self.judge(IpAddr::V4(inner))?;
        }
        self.judge(address)
    }

    /// Whether this address and port may be dialled: [`Guard::vet`], and never the gateway itself.
    ///
    /// # Errors
    /// What kind of address it is.
    pub fn vet_socket(&self, target: SocketAddr) -> Result<(), Refused> {
        self.vet(target.ip())?;
        let address = target.ip().to_canonical();
        let inner = match address {
            IpAddr::V6(outer) => embedded_v4(outer).map(IpAddr::V4),
            IpAddr::V4(_) => None,
        };
        let own = |own: &SocketAddr| {
            own.port() == target.port()
                && [Some(address), inner].into_iter().flatten().any(|address| {
                    let listening = own.ip().to_canonical();
                    listening == address || (listening.is_unspecified() && is_local(address))
                })
        };
        if self.own.iter().any(own) { Err(Refused { why: ITSELF }) } else { Ok(()) }
    }

    /// Whether a host may be asked for, before it is resolved, or when somebody else resolves it: an address as
    /// [`Guard::vet`] does; names that always mean this machine or a metadata service, unless those are open.
    ///
    /// # Errors
    /// What kind of host it is.
    pub fn vet_host(&self, host: &Host) -> Result<(), Refused> {
        if let Some(address) = host.address() {
            return self.vet(address);
        }
        match special_name(host.as_str()) {
            Some(SpecialAddress::Loopback) => {
                self.vet(IpAddr::V4(Ipv4Addr::LOCALHOST)).or_else(|_| self.vet(IpAddr::V6(Ipv6Addr::LOCALHOST)))
            }
            Some(_) => self.vet(IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254))),
            None => Ok(()),
        }
    }

    fn judge(&self, address: IpAddr) -> Result<(), Refused> {
        use SpecialAddress as S;
        let Some(kind) = special(address) else { return Ok(()) };
        let open = match kind {
            S::Unspecified | S::ThisNetwork | S::Multicast | S::Broadcast => false,
            S::Metadata => self.open.iter().any(|net| net.prefix_len() == net.max_prefix_len() && net.contains(&address)),
            _ => self.open.iter().any(|net| net.contains(&address)),
        };
        if open { Ok(()) } else { Err(Refused { why: kind.as_str() }) }
    }
}

/// Whether this machine has the address: the kernel lets nobody bind another. Asked only for a port that the gateway listens
/// on at all addresses.
fn is_local(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified() || UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn guard(open: &[&str]) -> Guard {
        Guard::new(open.iter().map(|net| net.parse().expect(net)).collect(), Vec::new())
    }

    fn why(guard: &Guard, address: &str) -> Option<&'static str> {
        guard.vet(address.parse().expect(address)).err().map(|refused| refused.why)
    }

    #[test]
    fn private_addresses_are_refused_with_their_kind() {
        let guard = guard(&[]);
        assert_eq!(why(&guard, "10.0.0.1"), Some("a private address"));
        assert_eq!(why(&guard, "::ffff:127.0.0.1"), Some("a loopback address"));
        assert_eq!(why(&guard, "64:ff9b::a9fe:a9fe"), Some("a cloud metadata service"));
        assert_eq!(why(&guard, "8.8.8.8"), None);
        assert_eq!(why(&guard, "2606:4700:4700::1111"), None);
    }

    #[test]
    fn the_policy_opens_networks_and_no_more() {
        let guard = guard(&["10.1.0.0/16", "fc00::/7"]);
        assert_eq!(why(&guard, "10.1.2.3"), None);
        assert_eq!(why(&guard, "::ffff:10.1.2.3"), None);
        assert_eq!(why(&guard, "10.2.0.1"), Some("a private address"));
        assert_eq!(why(&guard, "fd12::1"), None);
        assert_eq!(why(&guard, "fd00:ec2::254"), Some("a cloud metadata service"));
    }

    #[test]
    fn the_address_inside_is_judged_though_the_outer_is_open() {
        let guard = guard(&["64:ff9b::/96", "2002::/16"]);
        assert_eq!(why(&guard, "64:ff9b::808:808"), None);
        assert_eq!(why(&guard, "64:ff9b::7f00:1"), Some("a loopback address"));
        assert_eq!(why(&guard, "2002:a00:1::1"), Some("a private address"));
    }

    #[test]
    fn some_things_are_never_open_by_the_way() {
        let guard = guard(&["0.0.0.0/0", "::/0"]);
        for address in
            ["0.0.0.0", "::", "0.0.0.1", "224.0.0.1", "ff02::1", "255.255.255.255", "169.254.169.254", "100.100.100.200"]
        {
            assert!(why(&guard, address).is_some(), "{address}");
        }
        assert_eq!(why(&guard, "127.0.0.1"), None);
        let exact = self::guard(&["169.254.169.254/32"]);
        assert_eq!(why(&exact, "169.254.169.254"), None);
    }

    #[test]
    fn the_gateway_itself_is_never_dialled() {
        let open = guard(&["127.0.0.0/8", "::1/128", "10.0.0.0/8"]).open;
        let vet = |own: &str, target: &str| {
            let guard = Guard::new(open.clone(), vec![own.parse().expect(own)]);
            guard.vet_socket(target.parse().expect(target)).err().map(|refused| refused.why)
        };
        assert_eq!(vet("127.0.0.1:3128", "127.0.0.1:3128"), Some(ITSELF));
        assert_eq!(vet("127.0.0.1:3128", "[::ffff:127.0.0.1]:3128"), Some(ITSELF));
        assert_eq!(vet("127.0.0.1:3128", "127.0.0.1:8080"), None);
        assert_eq!(vet("10.0.0.5:3128", "10.0.0.5:3128"), Some(ITSELF));
        assert_eq!(vet("0.0.0.0:3128", "127.0.0.9:3128"), Some(ITSELF));
        assert_eq!(vet("[::]:3128", "127.0.0.1:3128"), Some(ITSELF));
        assert_eq!(vet("0.0.0.0:3128", "127.0.0.1:80"), None);
        assert_eq!(vet("0.0.0.0:3128", "8.8.8.8:3128"), None);
    }

    #[test]
    fn names_that_mean_this_machine_are_refused() {
        let vet = |guard: &Guard, name: &str| guard.vet_host(&Host::parse(name).expect(name)).is_ok();
        let closed = guard(&[]);
        for name in ["localhost", "LOCALHOST.", "app.localhost", "metadata.google.internal", "127.1", "[::1]"] {
            assert!(!vet(&closed, name), "{name}");
        }
        assert!(vet(&closed, "example.com") && vet(&closed, "localhost.example"));
        assert!(vet(&guard(&["127.0.0.0/8"]), "localhost"));
    }

    proptest! {
        /// No dress opens a closed address.
        #[test]
        fn an_address_inside_is_never_more_open(bits: u32, low: u16) {
            let v4 = Ipv4Addr::from_bits(bits);
            let guard = guard(&["64:ff9b::/32", "2002::/16", "2001::/32", "::/16"]);
            let [a, b] = [(bits >> 16) as u16, (bits & 0xffff) as u16];
            for dressed in [
                v4.to_ipv6_mapped(),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, a, b),
                Ipv6Addr::new(0x2002, a, b, low, 0, 0, 0, low),
                Ipv6Addr::new(0x2001, 0, low, low, 0, 0, !a, !b),
            ] {
                if guard.vet(v4.into()).is_err() {
                    prop_assert!(guard.vet(dressed.into()).is_err(), "{}", dressed);
                }
            }
        }
    }
}
