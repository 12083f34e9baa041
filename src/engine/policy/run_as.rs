//! What of a policy cannot be had once root has become the account of `run-as`.

use std::net::SocketAddr;

use super::{Http, Munin};
use crate::config::{Account, At, Document, Findings, Surroundings};
use crate::sys::accounts;

const KEY: &str = "watchd.run-as";
const REMEDY: &str = "take it out, or take run-as out and stay root";

/// The account to become; a fault for each thing that needs root.
pub fn account(
    document: &Document,
    munin: Option<&Munin>,
    http: Option<&Http>,
    findings: &mut Findings,
) -> Option<String> {
    let wanted = document.watchd.as_ref().and_then(|(_, watchd)| watchd.run_as.as_ref())?;
    match accounts::user(&wanted.value.0) {
        Ok(account) if account.uid == 0 => {
            findings.fault(wanted.place, KEY, format!("{} is root", wanted.value.0), "write an ordinary account");
        }
        Ok(_) => {}
        Err(fault) => findings.fault(wanted.place, KEY, fault.to_string(), "make the account, or write another name"),
    }
    let ports = munin.iter().flat_map(|munin| &munin.listen).chain(http.iter().flat_map(|http| &http.listen));
    for port in ports.map(SocketAddr::port).filter(|port| *port < 1024) {
        findings.fault(wanted.place, KEY, format!("port {port} needs root"), "listen on 1024 or above, or stay root");
    }
    let mut look = |table: &str, id: &str, surroundings: &Surroundings| {
        for (key, place) in of_root(surroundings, wanted) {
            findings.fault(place, &format!("{table}.{id}.{key}"), "needs root, and run-as gives it up", REMEDY);
        }
    };
    for (table, all) in [("process", &document.processes), ("process", &document.crowds)] {
        all.iter().for_each(|it| look(table, &it.id, &it.section.surroundings));
    }
    document.commands.iter().for_each(|it| look("command", &it.id, &it.section.surroundings));
    document.measures.iter().for_each(|it| look("measure", &it.id, &it.section.surroundings));
    document.reports.iter().for_each(|it| look("report", &it.id, &it.section.surroundings));
    document.webhooks.iter().for_each(|it| look("webhook", &it.id, &it.section.surroundings));
    Some(wanted.value.0.clone())
}

/// The keys that only root can obey, and where they stand.
fn of_root(surroundings: &Surroundings, wanted: &At<Account>) -> Vec<(&'static str, crate::config::Place)> {
    let Surroundings { user, group, nice, ionice, oom_score_adj, chroot, .. } = surroundings;
    let mut keys = Vec::new();
    keys.extend(user.iter().filter(|user| user.value.0 != wanted.value.0).map(|user| ("user", user.place)));
    keys.extend(group.iter().map(|group| ("group", group.place)));
    keys.extend(nice.iter().filter(|nice| nice.value.0 < 0).map(|nice| ("nice", nice.place)));
    keys.extend(ionice.iter().filter(|ionice| ionice.value.is_realtime()).map(|ionice| ("ionice", ionice.place)));
    keys.extend(oom_score_adj.iter().filter(|score| score.value.0 < 0).map(|score| ("oom-score-adj", score.place)));
    keys.extend(chroot.iter().map(|chroot| ("chroot", chroot.place)));
    keys
}
