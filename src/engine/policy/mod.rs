//! The policy: everything the daemon needs to know, decoded, checked and compact.
//!
//! `load` reads the files, joins what the rooms say about their sections, and gives either a policy with its warnings or the
//! list of all faults. It reads, allocates and may take its time, so the daemon calls it in a child and gets the policy as bytes.
//! A policy has no positions and no comments; promises are in the order of a pass: measures, disks,
//! processes, files, freshnesses, commands, reports.

mod assemble;
mod bounds;
mod care;
mod crowds;
mod existence;
mod files;
mod groups;
mod learning;
mod measures;
mod node;
mod powers;
mod promises;
mod reports;
mod run_as;
mod services;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use watchd_probes::inventory::Inventory;

use assemble::Host;
pub(in crate::engine) use assemble::spoken;

use crate::agent::Promise;
use crate::classes::{ExprId, Table};
use crate::config::{self, Fault, Findings, Memory};
use crate::model::{Channel, GuestSpec, Network, Places, ServiceSpec, Settings};
use crate::sys::capabilities::Powers;

/// What the owner wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// The main file; none for the embedded default.
    pub file: Option<String>,
    /// The files it includes.
    pub included: Vec<String>,
    pub daemon: Daemon,
    pub munin: Option<Munin>,
    pub http: Option<Http>,
    /// So long is learned before anything but a gap is found.
    pub learn_after: Duration,
    pub services: Vec<ServiceSpec>,
    pub promises: Vec<Promise>,
    pub classes: Table,
}

/// `[watchd]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Daemon {
    pub cycle: Duration,
    /// What the door runs as.
    pub user: String,
    /// What the daemon becomes when root starts it.
    pub run_as: Option<String>,
    pub memory: Memory,
    /// Own children get a control group each, where that is possible.
    pub cgroup: bool,
    /// Whose members may give orders.
    pub control_group: Option<u32>,
    pub watchdog_device: Option<String>,
    /// What is needed of root's powers; none keeps all.
    pub powers: Option<Powers>,
    /// Where reports of a day go together.
    pub digest: Option<Digest>,
    /// Touched in each cycle.
    pub alive: Option<String>,
    /// The first cycle after the start waits up to so long, each host its own time.
    pub splay: Duration,
}

/// Reports that are sent together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Digest {
    pub channel: Channel,
    /// When this begins to hold.
    pub at: ExprId,
}

/// `[munin]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Munin {
    pub listen: Vec<SocketAddr>,
    pub allow: Vec<Network>,
    /// Expressions for whole addresses of who may ask as well.
    pub patterns: Vec<String>,
    /// A Unix socket as well.
    pub socket: Option<String>,
    /// The name the node goes by; none means the host's.
    pub host_name: Option<String>,
    /// Plugins of others, in the order of their names.
    pub guests: Vec<GuestSpec>,
    /// Settings of our own.
    pub settings: Settings,
    pub plugin_state: String,
    /// Warning and critical come from what was learned.
    pub learn_limits: bool,
    /// Values have their time, and a master may ask for those it missed.
    pub spool: bool,
}

/// `[http]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Http {
    pub listen: Vec<SocketAddr>,
}

/// What counts without a file: both listeners, no services, no promises.
const EMBEDDED: &str = "[munin]\n[http]\n";
const MUNIN_PORT: u16 = 4949;
const HTTP_PORT: u16 = 4950;

fn loopback(port: u16) -> Vec<SocketAddr> {
    vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))]
}

/// A policy and the warnings about it, or everything that is wrong.
pub type Loaded = Result<(Policy, Vec<Fault>), Vec<Fault>>;

/// Reads the policy of an installation.
pub fn load(places: &Places, inventory: &Inventory) -> Loaded {
    let Some(file) = &places.config else { return load_text("embedded", EMBEDDED, inventory) };
    let mut findings = Findings::default();
    let mut document = config::read(file, &mut findings);
    let (mut policy, warnings) = assemble::assemble(
        &mut document,
        &Host { inventory, root: Some(&places.root), notify: Some(places.notify()) },
        findings,
    )?;
    policy.file = Some(file.to_string_lossy().into_owned());
    Ok((policy, warnings))
}

/// Makes a policy of a text, which includes nothing; `name` stands for the file in messages. What is mounted is not looked at.
pub fn load_text(name: &str, text: &str, inventory: &Inventory) -> Loaded {
    let mut findings = Findings::default();
    let mut document = config::read_text(name, text, &mut findings);
    assemble::assemble(&mut document, &Host { inventory, root: None, notify: None }, findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_default_listens_and_promises_nothing() {
        let places = Places { config: None, run_dir: "/r".into(), state_dir: "/s".into(), root: "/".into() };
        let (policy, warnings) = load(&places, &Inventory::default()).expect("the embedded default is good");
        assert_eq!(warnings, []);
        assert_eq!(policy.munin.expect("munin").listen, ["127.0.0.1:4949".parse().expect("an address")]);
        assert_eq!(policy.http.expect("http").listen, ["127.0.0.1:4950".parse().expect("an address")]);
        assert!(policy.services.is_empty() && policy.promises.is_empty() && policy.file.is_none());
        assert_eq!(policy.daemon.cycle, Duration::from_secs(10));
    }

    #[test]
    fn a_door_that_would_be_root_is_warned_of() {
        for (user, warned) in [("root", true), ("0", true), ("nobody", false)] {
            let text = format!("[watchd]\nuser = \"{user}\"\n");
            let (_, warnings) = load_text("x", &text, &Inventory::default()).expect("a good policy");
            assert_eq!(warnings.iter().any(|warning| warning.what.contains("is root")), warned, "{user}");
        }
    }

    #[test]
    fn a_policy_survives_its_journey_as_bytes() {
        let text = r#"
            [watchd]
            cycle = "2s"
            [munin]
            allow = ["10.0.0.0/8"]
            [process.web]
            run = ["/bin/sh", "-c", "exec sleep 9"]
            env = { A = "1" }
            if = "!night"
            [process.db]
            match = { name = "postgres", user = "root" }
            [disk.root]
            path = "/"
            [class.night]
            when = "Hr22_06 & load_high"
            [command.clean]
            if = "disk_root_full"
            run = "true"
            limit = "1/6h"
            [report.r]
            if = "clean_failed"
            text = "{host}: {disk_root.used} {web.reason} {load.one}"
        "#;
        let (policy, _) = load_text("x", text, &Inventory::default()).expect("a good policy");
        let bytes = postcard::to_stdvec(&policy).expect("it can be written");
        assert!(bytes.len() < 1500, "{} bytes", bytes.len());
        assert_eq!(postcard::from_bytes::<Policy>(&bytes).expect("it can be read"), policy);
        for cut in 0..bytes.len() {
            assert!(postcard::from_bytes::<Policy>(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }
}
