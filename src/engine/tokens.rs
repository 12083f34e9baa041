//! The tokens of the loop's descriptors: what kind it is in the highest byte, which one below.

/// Which descriptor an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// SIGCHLD.
    Child,
    /// SIGHUP.
    Reload,
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGUSR2.
    Upgrade,
    /// The control socket.
    Control,
    /// A client of the control socket.
    Client(u64),
    /// inotify on the config.
    Config,
    /// The child that reads the config.
    Reading,
    /// The child that asks file systems.
    Mounts,
    /// The child that reads what may be slow.
    Slow,
    /// A descriptor of the services; they know which.
    Service(u64),
    /// A descriptor of a running command.
    Errand(u64),
    /// A descriptor of a check.
    Check(u64),
    /// A socket on which a service speaks.
    Ear(u64),
    /// The door asks for plugins of others.
    Guests,
    /// The child that looks after files.
    Upkeep,
    /// The kernel says that work waits for memory.
    Stall,
    /// A process that was told to end.
    Crowd,
    /// inotify on the directories of pidfiles.
    Pidfiles,
    /// inotify on what services write for the system log.
    Feed,
}

const KIND: u32 = 56;
const REST: u64 = (1 << KIND) - 1;

impl Token {
    pub const fn pack(self) -> u64 {
        let (kind, rest): (u64, u64) = match self {
            Self::Child => (0, 0),
            Self::Reload => (1, 0),
            Self::Stop => (2, 0),
            Self::Control => (3, 0),
            Self::Client(id) => (4, id),
            Self::Config => (5, 0),
            Self::Reading => (6, 0),
            Self::Mounts => (7, 0),
            Self::Service(token) => (8, token),
            Self::Errand(token) => (9, token),
            Self::Check(token) => (10, token),
            Self::Ear(id) => (11, id),
            Self::Upgrade => (12, 0),
            Self::Guests => (13, 0),
            Self::Upkeep => (14, 0),
            Self::Stall => (15, 0),
            Self::Crowd => (16, 0),
            Self::Pidfiles => (17, 0),
            Self::Slow => (18, 0),
            Self::Feed => (19, 0),
        };
        (kind << KIND) | (rest & REST)
    }

    pub const fn unpack(packed: u64) -> Option<Self> {
        let rest = packed & REST;
        Some(match packed >> KIND {
            0 => Self::Child,
            1 => Self::Reload,
            2 => Self::Stop,
            3 => Self::Control,
            4 => Self::Client(rest),
            5 => Self::Config,
            6 => Self::Reading,
            7 => Self::Mounts,
            8 => Self::Service(rest),
            9 => Self::Errand(rest),
            10 => Self::Check(rest),
            11 => Self::Ear(rest),
            12 => Self::Upgrade,
            13 => Self::Guests,
            14 => Self::Upkeep,
            15 => Self::Stall,
            16 => Self::Crowd,
            17 => Self::Pidfiles,
            18 => Self::Slow,
            19 => Self::Feed,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_went() {
        for token in [
            Token::Child,
            Token::Client(7),
            Token::Service(u64::from(u32::MAX)),
            Token::Errand(1),
            Token::Check(9),
            Token::Ear(3),
            Token::Mounts,
            Token::Upgrade,
            Token::Guests,
            Token::Stall,
            Token::Crowd,
            Token::Pidfiles,
            Token::Slow,
            Token::Feed,
        ] {
            assert_eq!(Token::unpack(token.pack()), Some(token));
        }
        assert_eq!(Token::unpack(u64::MAX), None);
    }
}
