//! What a program is started with besides its account, directory and variables. Most programs have nothing of it.

use serde::{Deserialize, Serialize};

/// The rarer surroundings of a program; what is absent is as the kernel or watchd has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    pub env_file: Option<EnvFile>,
    pub umask: Option<u16>,
    pub nice: Option<i8>,
    pub ionice: Option<Ionice>,
    pub oom_score_adj: Option<i16>,
    /// The kernel's number of a resource, and how much of it; `u64::MAX` has no limit.
    pub rlimits: Vec<(u8, u64)>,
    pub chroot: Option<String>,
    /// None for /dev/null.
    pub output: Option<Output>,
}

/// Where standard output and error of a service go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Output {
    /// Where watchd's own go.
    Inherit,
    /// A file that is cut when it is larger than `max` bytes; `keep` older parts stay.
    File { path: String, max: u64, keep: u8 },
    /// A file of watchd's own, from which lines go on to the system log. It has no name before the daemon has given it one.
    Syslog { feed: String },
}

/// A file with lines of `KEY=VALUE`, read at each start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvFile {
    pub path: String,
    /// Without it the program is started all the same.
    pub optional: bool,
}

/// Class and level of the I/O scheduler, as `ioprio_set` takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ionice(pub u16);

impl Ionice {
    /// The class that may starve all others.
    pub fn is_realtime(self) -> bool {
        self.0 >> 13 == 1
    }
}
