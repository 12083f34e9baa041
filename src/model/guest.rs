//! Munin plugins of others that core runs for the door, and the few words the two exchange about them.
//!
//! ```text
//!   door -> core   Call { ticket, guest, ask, takes values, peer }       start it
//!   core -> door   Word { ticket, Started } and a pipe with its output | Refused | Ended | Failed | TimedOut
//! ```
//!
//! Every message has a fixed length; one of another length, or with a byte that has no meaning, is no message.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How to run one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GuestSpec {
    /// The name of its link.
    pub name: String,
    /// What is started; `%c` stands for the plugin and what it is asked.
    pub words: Vec<String>,
    /// The plugin itself.
    pub path: String,
    /// The account it runs as, when we are root: name, uid and groups, the first of which is its own.
    pub account: Option<(String, u32, Vec<u32>)>,
    pub variables: Vec<(String, String)>,
    pub timeout: Duration,
    /// The virtual host it belongs to.
    pub host_name: Option<String>,
}

/// What a plugin is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestAsk {
    Config,
    /// The master takes values with the configuration.
    Dirty,
    Fetch,
}

/// The door asks for a plugin to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// What the answer is known by.
    pub ticket: u32,
    /// The place of the plugin in the list.
    pub guest: u16,
    pub ask: GuestAsk,
    /// The master for whom; none at the start.
    pub peer: Option<IpAddr>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fortune {
    Started,
    Refused,
    /// It ended as it should.
    Ended,
    Failed,
    TimedOut,
}

/// Core says what became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word {
    pub ticket: u32,
    pub fortune: Fortune,
}

const ASKS: [GuestAsk; 3] = [GuestAsk::Config, GuestAsk::Dirty, GuestAsk::Fetch];
const FORTUNES: [Fortune; 5] = [Fortune::Started, Fortune::Refused, Fortune::Ended, Fortune::Failed, Fortune::TimedOut];

impl Call {
    pub const LEN: usize = 24;

    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let (family, address) = match self.peer {
            None => (0, [0; 16]),
            Some(IpAddr::V4(address)) => (4, address.to_ipv6_mapped().octets()),
            Some(IpAddr::V6(address)) => (6, address.octets()),
        };
        let ask = ASKS.iter().position(|ask| *ask == self.ask).and_then(|place| u8::try_from(place).ok()).unwrap_or(0);
        let parts = self.ticket.to_le_bytes().into_iter().chain(self.guest.to_le_bytes()).chain([ask, family]);
        for (to, from) in bytes.iter_mut().zip(parts.chain(address)) {
            *to = from;
        }
        bytes
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (ticket, rest) = bytes.split_first_chunk::<4>()?;
        let (guest, rest) = rest.split_first_chunk::<2>()?;
        let ([ask, family], address) = rest.split_first_chunk::<2>()?;
        let address = std::net::Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?);
        let peer = match family {
            0 => None,
            4 => Some(IpAddr::V4(address.to_ipv4_mapped()?)),
            6 => Some(IpAddr::V6(address)),
            _ => return None,
        };
        let ask = *ASKS.get(usize::from(*ask))?;
        Some(Self { ticket: u32::from_le_bytes(*ticket), guest: u16::from_le_bytes(*guest), ask, peer })
    }
}

impl Word {
    pub const LEN: usize = 5;

    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let [a, b, c, d] = self.ticket.to_le_bytes();
        let place = FORTUNES.iter().position(|fortune| *fortune == self.fortune);
        [a, b, c, d, place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)]
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (ticket, rest) = bytes.split_first_chunk::<4>()?;
        let [fortune] = rest else { return None };
        Some(Self { ticket: u32::from_le_bytes(*ticket), fortune: *FORTUNES.get(usize::from(*fortune))? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_went() {
        for peer in [None, Some("192.0.2.7"), Some("2001:db8::1"), Some("::ffff:10.0.0.1")] {
            for ask in ASKS {
                let peer = peer.map(|peer| peer.parse().expect("an address"));
                let call = Call { ticket: 0xdead_beef, guest: 513, ask, peer };
                assert_eq!(Call::from_bytes(&call.to_bytes()), Some(call));
            }
        }
        for fortune in FORTUNES {
            let word = Word { ticket: 7, fortune };
            assert_eq!(Word::from_bytes(&word.to_bytes()), Some(word));
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let call = Call { ticket: 1, guest: 2, ask: GuestAsk::Fetch, peer: None }.to_bytes();
        let word = Word { ticket: 1, fortune: Fortune::Ended }.to_bytes();
        for end in 0..call.len() {
            assert_eq!(Call::from_bytes(&call[..end]), None);
        }
        for end in 0..word.len() {
            assert_eq!(Word::from_bytes(&word[..end]), None);
        }
        assert_eq!(Call::from_bytes(&[&call[..], &[0]].concat()), None);
        for (place, byte) in [(6, 3), (7, 1), (7, 4)] {
            let mut bad = call;
            bad[place] = byte;
            assert_eq!(Call::from_bytes(&bad), None, "byte {place}");
        }
        assert_eq!(Word::from_bytes(&[0, 0, 0, 0, 9]), None);
    }
}
