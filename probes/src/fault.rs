//! Why a probe could not read: the file, the line, and the text that was there.

use std::fmt;

/// How much of an offending text is kept.
const EXCERPT: usize = 80;

/// What went wrong while a source was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The source does not exist on this host: an older kernel, a container, a module that is not loaded.
    Absent { path: &'static str },
    /// The system refused.
    Io { path: &'static str, errno: i32 },
    /// The source is larger than the read buffer may become.
    TooLong { path: &'static str },
    /// The text is not what the format promises, or was cut.
    Malformed { path: &'static str, line: u32, excerpt: Excerpt },
}

impl Fault {
    /// What the system's answer means: "no such file" and "not supported" (pressure files of a kernel that was told
    /// `psi=0` can be opened but not read) are absence.
    pub fn io(path: &'static str, error: rustix::io::Errno) -> Self {
        use rustix::io::Errno;
        if matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::OPNOTSUPP) {
            Self::Absent { path }
        } else {
            Self::Io { path, errno: error.raw_os_error() }
        }
    }

    /// `line` counts from 1.
    pub fn malformed(path: &'static str, line: u32, text: &[u8]) -> Self {
        Self::Malformed { path, line, excerpt: Excerpt::new(text) }
    }

    /// Absence is a fact about the host, not a failure of the probe.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Absent { .. })
    }
}

/// For probes with several sources: a source that is not there gives none, a source that failed is still a failure.
pub(crate) fn if_present<T>(result: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(fault) if fault.is_absence() => Ok(None),
        Err(fault) => Err(fault),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent { path } => write!(out, "cannot find /{path} on this host"),
            Self::Io { path, errno } => {
                write!(out, "cannot read /{path}: {}", std::io::Error::from_raw_os_error(*errno))
            }
            Self::TooLong { path } => write!(out, "cannot read /{path}: longer than {} bytes", crate::host::BUFFER_MAX),
            Self::Malformed { path, line, excerpt } => {
                write!(out, "cannot understand /{path} line {line}: '{excerpt}'")
            }
        }
    }
}

impl std::error::Error for Fault {}

/// The first bytes of an offending text, for a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Excerpt {
    bytes: [u8; EXCERPT],
    len: u8,
}

impl Excerpt {
    fn new(text: &[u8]) -> Self {
        let mut bytes = [0; EXCERPT];
        let mut len = 0;
        for (slot, byte) in bytes.iter_mut().zip(text.iter().take_while(|byte| **byte != b'\n')) {
            *slot = *byte;
            len += 1;
        }
        Self { bytes, len }
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.bytes.get(..usize::from(self.len)).unwrap_or(&[]);
        write!(out, "{}", text.escape_ascii())
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "\"{self}\"")
    }
}
