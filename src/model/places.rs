//! Where watchd keeps and finds things; the four options every command takes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

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
    /// Where an account keeps things when no option says otherwise: the system's places for root, below its own
    /// directories for anybody else. `env` gives a variable, `exists` tells whether there is something at a path.
    pub fn usual(uid: u32, env: impl Fn(&str) -> Option<OsString>, exists: impl Fn(&Path) -> bool) -> Self {
        let dir = |name| env(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
        let root = PathBuf::from("/");
        let there = |config: PathBuf| Some(config).filter(|config| exists(config));
        if uid == 0 {
            let (run_dir, state_dir) = (PathBuf::from("/run/watchd"), PathBuf::from("/var/lib/watchd"));
            return Self { config: there(PathBuf::from("/etc/watchd/watchd.toml")), run_dir, state_dir, root };
        }
        let shared = || Path::new(if exists(Path::new("/dev/shm")) { "/dev/shm" } else { "/tmp" });
        let run_dir = dir("XDG_RUNTIME_DIR")
            .map_or_else(|| shared().join(format!("watchd-{uid}")), |runtime| runtime.join("watchd"));
        let below_home = |below: &str| dir("HOME").map(|home| home.join(below));
        let state_dir = dir("XDG_STATE_HOME").or_else(|| below_home(".local/state"));
        let state_dir = state_dir.map_or_else(|| run_dir.join("state"), |state| state.join("watchd"));
        let config_dir = dir("XDG_CONFIG_HOME").or_else(|| below_home(".config"));
        let config = config_dir.and_then(|config| there(config.join("watchd/watchd.toml")));
        Self { config, run_dir, state_dir, root }
    }

    /// The words after a command's name that lead it to these places.
    pub fn words(&self) -> Vec<OsString> {
        let mut words = Vec::new();
        let mut add = |option: &str, path: &Path| words.extend([option.into(), path.as_os_str().to_owned()]);
        add("--run-dir", &self.run_dir);
        add("--state-dir", &self.state_dir);
        if self.root.as_os_str() != "/" {
            add("--root", &self.root);
        }
        if let Some(config) = &self.config {
            add("--config", config);
        }
        words
    }

    pub fn board(&self) -> PathBuf {
        self.run_dir.join("board")
    }

    pub fn control(&self) -> PathBuf {
        self.run_dir.join("control.sock")
    }

    /// Where services tell how they are, one socket each.
    pub fn notify(&self) -> PathBuf {
        self.run_dir.join("notify")
    }

    /// The journal of events.
    pub fn events(&self) -> PathBuf {
        self.state_dir.join("events")
    }

    /// Identities, budgets and pauses of the services.
    pub fn services(&self) -> PathBuf {
        self.state_dir.join("services")
    }

    /// Classes that were set by hand.
    pub fn classes(&self) -> PathBuf {
        self.state_dir.join("classes")
    }

    /// What promises have done, and who is at it.
    pub fn promises(&self) -> PathBuf {
        self.state_dir.join("promises")
    }

    /// Reports that have not reached their channels yet.
    pub fn outbox(&self) -> PathBuf {
        self.state_dir.join("outbox")
    }

    /// Reports that are told together.
    pub fn digest(&self) -> PathBuf {
        self.state_dir.join("digest")
    }

    /// What the numbers were.
    pub fn history(&self) -> PathBuf {
        self.state_dir.join("history")
    }

    /// What is usual.
    pub fn learned(&self) -> PathBuf {
        self.state_dir.join("learned")
    }

    /// Says that the daemon was stopped on purpose, and in which boot.
    pub fn stopped(&self) -> PathBuf {
        self.state_dir.join("stopped")
    }

    /// What a daemon that `keepalive` started has to say.
    pub fn log(&self) -> PathBuf {
        self.state_dir.join("log")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual(uid: u32, env: &[(&str, &str)], there: &[&str]) -> [String; 3] {
        let env = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
        let places = Places::usual(uid, env, |path| there.iter().any(|known| Path::new(known) == path));
        let show = |path: &Path| path.display().to_string();
        [show(&places.run_dir), show(&places.state_dir), places.config.map_or_else(String::new, |path| show(&path))]
    }

    #[test]
    fn root_uses_the_places_of_the_system() {
        assert_eq!(usual(0, &[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/x")], &[]), ["/run/watchd", "/var/lib/watchd", ""]);
        let config = "/etc/watchd/watchd.toml";
        assert_eq!(usual(0, &[], &[config]), ["/run/watchd", "/var/lib/watchd", config]);
    }

    #[test]
    fn others_use_their_own() {
        let shm = "/dev/shm";
        type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], [&'a str; 3]);
        let cases: &[Case<'_>] = &[
            (&[], &[], ["/tmp/watchd-7", "/tmp/watchd-7/state", ""]),
            (&[], &[shm], ["/dev/shm/watchd-7", "/dev/shm/watchd-7/state", ""]),
            (&[("HOME", "/h")], &[shm], ["/dev/shm/watchd-7", "/h/.local/state/watchd", ""]),
            (&[("HOME", ""), ("XDG_RUNTIME_DIR", "x")], &[], ["/tmp/watchd-7", "/tmp/watchd-7/state", ""]),
            (
                &[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/x"), ("XDG_STATE_HOME", "/s")],
                &["/h/.config/watchd/watchd.toml"],
                ["/x/watchd", "/s/watchd", "/h/.config/watchd/watchd.toml"],
            ),
        ];
        for (env, there, expected) in cases {
            assert_eq!(usual(7, env, there), *expected, "{env:?}");
        }
    }
}
