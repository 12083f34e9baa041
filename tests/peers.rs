//! watchd's pages in front of the programs they are made for: a Munin master, Prometheus' own checker, a browser.
//!
//! Each test is left out, loudly, where its program is missing; with `WATCHD_REQUIRE_PEERS` set that is a failure.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

#[path = "peers/browser.rs"]
mod browser;
#[path = "peers/chromium.rs"]
mod chromium;
#[path = "peers/encrypted.rs"]
mod encrypted;
#[path = "peers/munin.rs"]
mod munin;
#[path = "peers/node.rs"]
mod node;
#[path = "peers/prometheus.rs"]
mod prometheus;
#[path = "peers/settings.rs"]
mod settings;

use std::path::Path;

use harness::{Home, net, until};

/// A watchd that tells everything it knows, with one service that runs, one that cannot, and one that does not always.
struct Told {
    home: Home,
    munin: u16,
    http: u16,
}

impl Told {
    fn new(name: &str) -> Self {
        let (munin, http) = (net::free_port(), net::free_port());
        let config = format!(
            "[watchd]\ncycle = \"1s\"\n[munin]\nlisten = [\"127.0.0.1:{munin}\"]\n[http]\nlisten = [\"127.0.0.1:{http}\"]\n\
             [process.stamper]\nrun = [\"@/stamp\", \"@/stamper\"]\n\
             [process.moody]\nrun = [\"/bin/sh\", \"-c\", \"[ ! -e @/refuse ] && exec @/stamp @/moody\"]\n\
             backoff = [\"200ms\", \"1s\"]\nlimit = \"500/10m\"\n\
             [process.broken]\nrun = [\"/bin/false\"]\nlimit = \"2/10m\"\n[disk.root]\npath = \"/\"\n\
             [measure.frost]\nrun = \"echo -7.5\"\nevery = \"1s\"\n"
        );
        let home = Home::new(name, &config);
        home.scratch.program("stamp.c", "stamp");
        Self { home, munin, http }
    }

    /// Starts it, and waits until its rates are known: the second cycle has been.
    fn start(&self) -> harness::Daemon<'_> {
        let mut daemon = self.home.start();
        daemon.wait_for("two cycles", |snapshot| (snapshot.header.cycles > 2).then_some(()));
        until("an answer", || (net::get(self.http, "/healthz").0 == 200).then_some(()));
        daemon
    }
}

/// Where a program is, by the usual directories.
fn find(program: &str) -> Option<String> {
    let folders = ["/usr/bin", "/usr/local/bin", "/bin", "/usr/share/munin"];
    folders.iter().map(|folder| format!("{folder}/{program}")).find(|path| Path::new(path).exists())
}
