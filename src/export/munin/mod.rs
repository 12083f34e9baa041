//! A Munin node that answers from the board: the same plugins, fields and attributes as Munin's own, so that a master's graphs go on.
//!
//! ```text
//! < # munin node at web.example        > fetch load
//! > list                               < load.value 0.42
//! < cpu df df_inode …                  < .
//! ```
//!
//! A plugin is one row of [`PLUGINS`]; `list`, dispatch, `suggest` and the documentation follow from it. `session.rs`
//! speaks the protocol, `graph.rs` turns tables of fields into text, the other files hold the tables.

mod cpu;
mod df;
mod disk;
mod facts;
mod firewall;
mod graph;
mod guest;
mod host;
mod interrupts;
mod learned;
mod limits;
mod memory;
mod network;
mod own;
mod process;
mod sensors;
mod service;
mod session;
mod speed;
pub mod spool;
#[cfg(test)]
#[allow(clippy::cast_precision_loss)]
mod spool_stories;

pub use facts::Facts;
pub use graph::{Plugin, Shape};
pub use guest::Guest;
pub use session::{Next, Session};

use super::Page;

/// All plugins, in the order of their names.
pub static PLUGINS: &[Plugin] = &[
    sensors::ACPI,
    cpu::CPU,
    speed::CPUSPEED,
    df::DF,
    df::DF_INODE,
    disk::DISKSTATS,
    host::ENTROPY,
    cpu::FORKS,
    firewall::FW_CONNTRACK,
    firewall::FW_FORWARDED_LOCAL,
    network::FW_PACKETS,
    // Before `if_`, of which it would be the interface `err_…`.
    network::IF_ERR,
    network::IF,
    cpu::INTERRUPTS,
    interrupts::IRQSTATS,
    cpu::LOAD,
    memory::MEMORY,
    network::NETSTAT,
    host::OPEN_FILES,
    host::OPEN_INODES,
    service::PROC,
    process::PROC_PRI,
    process::PROCESSES,
    service::PS,
    sensors::FAN,
    sensors::POWER,
    sensors::TEMPERATURE,
    sensors::VOLTAGE,
    memory::SWAP,
    process::THREADS,
    host::UPTIME,
    host::USERS,
    cpu::VMSTAT,
    own::CLASSES,
    own::PRESSURE,
    own::RESTARTS,
    own::MEASURES,
    own::SELF,
    own::SERVICES,
];

/// What is asked of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    Config,
    Fetch,
    /// The configuration with the values in it: `dirtyconfig`.
    Dirty,
}

impl Ask {
    pub fn wants_config(self) -> bool {
        self != Self::Fetch
    }

    pub fn wants_values(self) -> bool {
        self != Self::Config
    }
}

/// Calls `give` with the name of every plugin that has something to say on this host.
pub fn names(facts: &Facts<'_>, with_multigraph: bool, give: &mut dyn FnMut(&str, &[u8])) {
    for plugin in PLUGINS.iter().filter(|plugin| with_multigraph || !plugin.is_multigraph()) {
        plugin.names(facts, &mut |instance| give(plugin.name, instance));
    }
}

/// The virtual host of one of our own plugins; none when it is the node's.
fn host_of<'a>(facts: &Facts<'a>, plugin: &str, instance: &[u8]) -> Option<&'a str> {
    if facts.settings.is_empty() {
        return None;
    }
    facts.settings.host_name(&[plugin.as_bytes(), instance].concat())
}

/// Whether one of our own plugins has something to say under this name.
pub fn is_ours(facts: &Facts<'_>, name: &[u8]) -> bool {
    PLUGINS.iter().any(|plugin| plugin.has(facts, name))
}

/// Answers `config NAME` or `fetch NAME`, without the final dot. False when there is no such plugin here.
pub fn answer(facts: &Facts<'_>, ask: Ask, name: &[u8], page: &mut Page) -> bool {
    let facts = &Facts { plugin: name, ..*facts };
    let is_answered = PLUGINS.iter().any(|plugin| plugin.answer(facts, ask, name, page));
    if is_answered && ask.wants_config() {
        learned::write(facts, name, page);
    }
    is_answered
}
