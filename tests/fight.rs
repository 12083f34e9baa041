//! watchd beside others who have a hand in its services: a real runsv that brings one back, and a shell that keeps killing one.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::process::{Child, Command, Stdio};

use harness::{Daemon, Home};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use watchd::model::ServiceState;
use watchd::store::{ServiceRow, board};

const HEAD: &str = "[watchd]\ncycle = \"200ms\"\n";

/// Another program, which is ended with the test.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Other {
    fn start(home: &Home, program: &str, args: &[String]) -> Self {
        let mut command = Command::new(home.scratch.path(program));
        Self(command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("it can be started"))
    }
}

fn home(name: &str, config: &str) -> Home {
    let home = Home::new(name, &(HEAD.to_owned() + config));
    for program in ["sleep", "sh"] {
        home.scratch.copied(format!("/bin/{program}"), program);
    }
    home
}

/// Ends what the service is now, once it has lived for longer than runsv's pause, and gives its next process.
fn killed(daemon: &mut Daemon<'_>) -> ServiceRow {
    let row = daemon.wait_for("a while of peace", |snapshot| {
        let row = snapshot.service("web").filter(|row| row.pid > 0)?;
        (snapshot.header.sample_mono_ms > row.start_ticks * 10 + 1500).then_some(*row)
    });
    kill(Pid::from_raw(row.pid), Signal::SIGKILL).expect("it runs");
    daemon.wait_for("its return", |snapshot| {
        snapshot
            .service("web")
            .filter(|now| now.pid > 0 && now.pid != row.pid)
            .filter(|now| matches!(now.state(), ServiceState::Ready | ServiceState::Fight))
            .copied()
    })
}

fn is_on(daemon: &Daemon<'_>, class: &str) -> bool {
    let snapshot = daemon.snapshot();
    snapshot.is_some_and(|page| page.classes.iter().any(|row| board::text(&row.name) == class && row.is_on()))
}

#[test]
fn a_service_that_runsv_brings_back_is_left_to_it_as_long_as_it_does() {
    let Some(runsv) = ["/usr/bin/runsv", "/bin/runsv"].into_iter().find(|path| fs::exists(path).unwrap_or(false))
    else {
        return harness::skip("there is no runsv; install runit");
    };
    // An init script takes its time; runsv is back at once.
    let config = "[process.web]\npidfile = \"@/web.pid\"\n\
        start = [\"@/sh\", \"-c\", \"@/sleep 0.5; @/sv/run </dev/null >/dev/null 2>&1 &\"]\n\
        settle = \"50ms\"\nlimit = \"50/10m\"\n";
    let home = home("fight-runsv", config);
    home.scratch.copied(runsv, "runsv");
    fs::create_dir_all(home.scratch.path("sv")).expect("a directory can be made");
    let dir = home.scratch.text("");
    let dir = dir.trim_end_matches('/');
    let run = format!(
        "#!{dir}/sh\nread pid <{dir}/web.pid && test -e /proc/$pid/exe && exit 0\n\
         echo $$ >{dir}/web.new && mv {dir}/web.new {dir}/web.pid\nexec {dir}/sleep 100000\n"
    );
    home.scratch.script("sv/run", &run);
    let mut other = Other::start(&home, "runsv", &[home.scratch.text("sv")]);
    harness::until("the service under runsv", || home.scratch.path("web.pid").exists().then_some(()));
    let mut daemon = home.start();
    daemon.wait_state("web", ServiceState::Ready);
    let mut row = killed(&mut daemon);
    for _ in 0..5 {
        if row.state() == ServiceState::Fight {
            break;
        }
        row = killed(&mut daemon);
    }
    assert_eq!(row.state(), ServiceState::Fight);
    let expect = format!("brought back by runsv (process {} of root)", other.0.id());
    assert!(board::text(&row.reason).contains(&expect), "{} not {expect}", board::text(&row.reason));
    assert!(is_on(&daemon, "web_fight"));
    let (_, told) = home.ask(&["why", "web"]);
    assert!(told.contains("service-fight") && told.contains(&expect), "{told}");
    let again = killed(&mut daemon);
    assert_eq!((again.state(), again.restarts), (ServiceState::Fight, row.restarts), "watchd stands aside");
    // The other ends, and what it kept goes on.
    other.0.kill().expect("it runs");
    other.0.wait().expect("it is our child");
    let calm = daemon.wait_state("web", ServiceState::Ready);
    assert_eq!(calm.pid, again.pid);
    let last = killed(&mut daemon);
    assert_eq!((last.state(), last.restarts), (ServiceState::Ready, again.restarts + 1), "watchd starts it again");
    let (_, told) = home.ask(&["why", "web"]);
    assert!(told.contains("service-peace"), "{told}");
}

#[test]
fn a_service_that_somebody_keeps_killing_is_a_fight_until_it_ends() {
    let config = "[process.web]\nrun = [\"@/sh\", \"-c\", \"echo $$ >@/pid; exec @/sleep 100000\"]\n\
        settle = \"50ms\"\nbackoff = [\"10ms\", \"200ms\"]\nlimit = \"3/5s\"\n";
    let home = home("fight-kill", config);
    fs::write(home.scratch.path("go"), "").expect("a file can be written");
    let dir = home.scratch.text("");
    let dir = dir.trim_end_matches('/');
    let work =
        format!("while test -e {dir}/go; do read p <{dir}/pid && kill -9 $p; {dir}/sleep 0.02; done 2>/dev/null");
    let mut daemon = home.start();
    let other = Other::start(&home, "sh", &["-c".to_owned(), work]);
    let row = daemon.wait_for("a fight", |snapshot| {
        snapshot.service("web").filter(|row| row.state() == ServiceState::Fight).copied()
    });
    assert!(board::text(&row.reason).contains("killed by signal 9"), "{}", board::text(&row.reason));
    let (_, told) = home.ask(&["why", "web"]);
    assert!(told.contains("whose is not known to Linux"), "{told}");
    fs::remove_file(home.scratch.path("go")).expect("it is there");
    let ready = daemon.wait_state("web", ServiceState::Ready);
    harness::until("peace", || home.ask(&["why", "web"]).1.contains("nobody ends it any more").then_some(()));
    assert_eq!(daemon.wait_state("web", ServiceState::Ready).pid, ready.pid);
    drop(other);
}
