//! A network in CIDR form: `10.0.0.0/8`, `::1`. An address without a length is one host.
//!
//! Only numeric addresses: nothing here asks a resolver. An IPv4 peer of an IPv6 socket is compared as IPv4.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// All addresses that share the first `prefix` bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    pub addr: IpAddr,
    pub prefix: u8,
}

/// Why a text is not a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkError {
    Address,
    Prefix {
        max: u8,
    },
    /// Bits behind the prefix are set; the network that was probably meant.
    HostBits(Network),
}

impl Network {
    /// The whole machine's own loopback, IPv4 and IPv6.
    pub const LOOPBACK: [Self; 2] = [
        Self { addr: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), prefix: 8 },
        Self { addr: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix: 128 },
    ];

    pub fn contains(&self, peer: IpAddr) -> bool {
        match (self.addr, peer.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(peer)) => {
                shared(net.to_bits() ^ peer.to_bits(), u32::leading_zeros, self.prefix)
            }
            (IpAddr::V6(net), IpAddr::V6(peer)) => {
                shared(net.to_bits() ^ peer.to_bits(), u128::leading_zeros, self.prefix)
            }
            _ => false,
        }
    }

    /// The first address of the network that `addr` is in.
    fn masked(addr: IpAddr, prefix: u8) -> IpAddr {
        let prefix = u32::from(prefix);
        match addr {
            IpAddr::V4(addr) => Ipv4Addr::from_bits(addr.to_bits() & !u32::MAX.unbounded_shr(prefix)).into(),
            IpAddr::V6(addr) => Ipv6Addr::from_bits(addr.to_bits() & !u128::MAX.unbounded_shr(prefix)).into(),
        }
    }
}

/// Whether two addresses, given as what differs, share their first bits.
fn shared<T>(difference: T, leading_zeros: fn(T) -> u32, prefix: u8) -> bool {
    leading_zeros(difference) >= u32::from(prefix)
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (addr, prefix) = match text.split_once('/') {
            Some((addr, prefix)) => (addr, Some(prefix)),
            None => (text, None),
        };
        let addr: IpAddr = addr.parse().map_err(|_| NetworkError::Address)?;
        let max = if addr.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => max,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|prefix| *prefix <= max).ok_or(NetworkError::Prefix { max })?
            }
            Some(_) => return Err(NetworkError::Prefix { max }),
        };
        let masked = Self::masked(addr, prefix);
        if masked != addr {
            return Err(NetworkError::HostBits(Self { addr: masked, prefix }));
        }
        Ok(Self { addr, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.addr, self.prefix)
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => write!(out, "not a numeric address, as in 10.0.0.0/8 or ::1"),
            Self::Prefix { max } => write!(out, "the length behind the slash is not a number from 0 to {max}"),
            Self::HostBits(meant) => write!(out, "bits behind the length are set; write {meant}"),
        }
    }
}

impl std::error::Error for NetworkError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_what_shares_its_bits() {
        for (network, peer, expect) in [
            ("127.0.0.0/8", "127.1.2.3", true),
            ("127.0.0.0/8", "128.0.0.1", false),
            ("127.0.0.0/8", "::ffff:127.0.0.1", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "::ffff:10.0.0.1", false),
            ("::1", "::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
        ] {
            let network: Network = network.parse().expect("well-formed");
            assert_eq!(network.contains(peer.parse().expect("an address")), expect, "{network} {peer}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in
            ["", "localhost", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "::/129", "10/8", "10.0.0.0/8/8", " ::1"]
        {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
        let meant = Network { addr: Ipv4Addr::new(10, 0, 0, 0).into(), prefix: 8 };
        assert_eq!("10.1.2.3/8".parse::<Network>(), Err(NetworkError::HostBits(meant)));
        assert_eq!("10.0.0.0/8".parse::<Network>().map(|network| network.to_string()), Ok("10.0.0.0/8".to_owned()));
    }
}
