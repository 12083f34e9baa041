//! Where watchd keeps and finds things; the four options every command takes.

use std::path::PathBuf;

/// Directories and files of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The policy; none means the embedded default.
    pub config: Option<PathBuf>,
    /// The board and the control socket; gone after a boot.
    pub run_dir: PathBuf,
    /// What must survive a boot.
    pub state_dir: PathBuf,
    /// Where `proc` and `sys` are.
    pub root: PathBuf,
}

impl Places {
    pub fn board(&self) -> PathBuf {
        self.run_dir.join("board")
    }

    pub fn control(&self) -> PathBuf {
        self.run_dir.join("control.sock")
    }

    /// The journal of events.
    pub fn events(&self) -> PathBuf {
        self.state_dir.join("events")
    }

    /// Identities, budgets and pauses of the services.
    pub fn services(&self) -> PathBuf {
        self.state_dir.join("services")
    }

    /// Says that the daemon was stopped on purpose, and in which boot.
    pub fn stopped(&self) -> PathBuf {
        self.state_dir.join("stopped")
    }
}
