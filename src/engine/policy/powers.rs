//! What of root's powers a policy needs: for the door, for what it starts, and for the files it keeps.

use std::net::SocketAddr;

use super::{Http, Munin};
use crate::config::{Capabilities, Document, Surroundings};
use crate::sys::capabilities::Powers;

/// Reads of every process and every file that is named; signals to what runs as others; limits and the OOM killer.
const ALWAYS: Powers = Powers::DAC_OVERRIDE
    .and(Powers::DAC_READ_SEARCH)
    .and(Powers::KILL)
    .and(Powers::SYS_PTRACE)
    .and(Powers::SYS_RESOURCE);
/// To become another account.
const ACCOUNT: Powers = Powers::SETUID.and(Powers::SETGID);
/// Files of others: who owns them, their rights, and to be asked before somebody opens one that is being exchanged.
const FILES: Powers = Powers::CHOWN.and(Powers::FOWNER).and(Powers::FSETID).and(Powers::LEASE);

/// The sum of all needs; none when nothing is to be given up.
pub fn needed(document: &Document, munin: Option<&Munin>, http: Option<&Http>) -> Option<Powers> {
    let watchd = document.watchd.as_ref().map(|(_, watchd)| watchd);
    let choice = watchd.and_then(|watchd| watchd.capabilities.as_ref()).map(|choice| choice.value);
    if choice == Some(Capabilities::All) {
        return None;
    }
    let mut needed = ALWAYS;
    let ports = munin.iter().flat_map(|munin| &munin.listen).chain(http.iter().flat_map(|http| &http.listen));
    if ports.map(SocketAddr::port).any(|port| port < 1024) {
        needed = needed.and(Powers::NET_BIND_SERVICE);
    }
    if munin.is_some() || http.is_some() {
        needed = needed.and(ACCOUNT).and(Powers::SYS_CHROOT);
    }
    if munin.is_some_and(|munin| !munin.guests.is_empty() || munin.socket.is_some()) {
        needed = needed.and(FILES);
    }
    let is_of_files = !document.processes.is_empty() || !document.files.is_empty();
    let has_group = watchd.is_some_and(|watchd| watchd.control_group.is_some());
    if is_of_files || has_group {
        needed = needed.and(FILES);
    }
    let processes = document.processes.iter().chain(&document.crowds).map(|named| &named.section.surroundings);
    let commands = document.commands.iter().map(|named| &named.section.surroundings);
    let measures = document.measures.iter().map(|named| &named.section.surroundings);
    let reports = document.reports.iter().map(|named| &named.section.surroundings);
    let webhooks = document.webhooks.iter().map(|named| &named.section.surroundings);
    let all = processes.chain(commands).chain(measures).chain(reports).chain(webhooks);
    Some(all.map(of).fold(needed, Powers::and))
}

fn of(surroundings: &Surroundings) -> Powers {
    let Surroundings { user, group, nice, ionice, chroot, .. } = surroundings;
    let when = |is: bool, powers: Powers| if is { powers } else { Powers::NONE };
    when(user.is_some() || group.is_some(), ACCOUNT)
        .and(when(chroot.is_some(), Powers::SYS_CHROOT))
        .and(when(nice.is_some(), Powers::SYS_NICE))
        // Before Linux 5.14 the realtime class was the administrator's.
        .and(when(ionice.is_some(), Powers::SYS_NICE.and(Powers::SYS_ADMIN)))
}

#[cfg(test)]
mod tests {
    use super::super::load_text;
    use super::*;
    use watchd_probes::inventory::Inventory;

    fn powers(text: &str) -> Option<Powers> {
        let (policy, _) = load_text("x", text, &Inventory::default()).expect("a good policy");
        policy.daemon.powers
    }

    #[test]
    fn a_policy_needs_what_its_words_take() {
        let door = ALWAYS.and(ACCOUNT).and(Powers::SYS_CHROOT);
        let process = ALWAYS.and(FILES);
        for (text, expect) in [
            ("", ALWAYS),
            ("[http]", door),
            ("[munin]\nlisten = [\"127.0.0.1:4949\"]", door),
            ("[http]\nlisten = [\"127.0.0.1:80\"]", door.and(Powers::NET_BIND_SERVICE)),
            ("[process.a]\nrun = \"x\"", process),
            ("[process.a]\nrun = \"x\"\nuser = \"nobody\"", process.and(ACCOUNT)),
            ("[process.a]\nrun = \"x\"\nnice = -5", process.and(Powers::SYS_NICE)),
            ("[process.a]\nrun = \"x\"\nchroot = \"/srv\"", process.and(Powers::SYS_CHROOT)),
            ("[process.a]\nrun = \"x\"\nionice = \"realtime:0\"", process.and(Powers::SYS_NICE).and(Powers::SYS_ADMIN)),
            ("[measure.a]\nrun = \"x\"\nevery = \"1m\"\nuser = \"nobody\"", ALWAYS.and(ACCOUNT)),
            ("[file.a]\npath = \"/x\"\nmode = \"644\"", process),
            ("[watchd]\ncontrol-group = \"0\"", process),
        ] {
            assert_eq!(powers(text), Some(expect), "{text}");
        }
        assert_eq!(powers("[watchd]\ncapabilities = \"all\""), None);
    }
}
