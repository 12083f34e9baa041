//! In which manner the promises are kept: by the daemon, by one pass that cron starts, or by nobody while everything is
//! judged all the same.

use std::path::PathBuf;

use super::policy::Policy;
use crate::agent::Work;
use crate::config::Mode;
use crate::model::Places;

/// Who judges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Role {
    #[default]
    Daemon,
    /// One pass, and no daemon runs: the services are ours as well.
    Alone,
    /// One pass that must not write what is the daemon's; what it shares with it is in this state directory.
    Guest(PathBuf),
}

/// Who judges, and whether anything is done about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    pub role: Role,
    /// What would be done is told and not done.
    pub is_shadow: bool,
}

impl Manner {
    pub fn is_daemon(&self) -> bool {
        self.role == Role::Daemon
    }

    pub fn is_guest(&self) -> bool {
        matches!(self.role, Role::Guest(_))
    }

    /// The places of what is shared with other runs.
    pub fn shared(&self, places: &Places) -> Places {
        match &self.role {
            Role::Guest(state_dir) => Places { state_dir: state_dir.clone(), ..places.clone() },
            Role::Daemon | Role::Alone => places.clone(),
        }
    }

    /// Makes of a policy what may be done in this manner.
    pub fn adapt(&self, policy: &mut Policy) {
        if !self.is_daemon() {
            (policy.munin, policy.http) = (None, None);
        }
        for promise in &mut policy.promises {
            match promise.work {
                _ if self.is_shadow && promise.mode == Mode::Fix => promise.mode = Mode::Warn,
                // The daemon that runs looks after the services.
                Work::Process(_) if self.is_guest() && !self.is_shadow => promise.mode = Mode::Off,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use watchd_probes::inventory::Inventory;

    use super::super::policy::load_text;
    use super::*;

    #[test]
    fn only_what_may_be_done_is_left_to_do() {
        let text = "[munin]\n[process.web]\nmatch = \"x\"\n[command.c]\nrun = \"x\"\n[command.off]\nrun = \"x\"\nmode = \"off\"\n";
        let guest = Role::Guest("/s".into());
        for (role, is_shadow, expect, listens) in [
            (Role::Daemon, false, [Mode::Fix, Mode::Fix, Mode::Off], true),
            (Role::Daemon, true, [Mode::Warn, Mode::Warn, Mode::Off], true),
            (Role::Alone, false, [Mode::Fix, Mode::Fix, Mode::Off], false),
            (guest.clone(), false, [Mode::Off, Mode::Fix, Mode::Off], false),
            (guest, true, [Mode::Warn, Mode::Warn, Mode::Off], false),
        ] {
            let (mut policy, _) = load_text("t", text, &Inventory::default()).expect("a good policy");
            let manner = Manner { role, is_shadow };
            manner.adapt(&mut policy);
            let modes: Vec<Mode> = policy.promises.iter().map(|promise| promise.mode).collect();
            assert_eq!((modes.as_slice(), policy.munin.is_some()), (&expect[..], listens), "{manner:?}");
        }
    }
}
