//! Checks, readiness, order and tags with the real watchd and real processes, as an administrator meets them.
//!
//! The services are shells whose health is a file or a socket of the test's; nothing depends on how long a thing takes.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// A thread plays the other side; watchd itself has none.
#![allow(clippy::disallowed_methods)]

mod harness;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use harness::{Daemon, Home};
use watchd::model::ServiceState;
use watchd::store::board;

const HEAD: &str = "[watchd]\ncycle = \"1s\"\n";
const QUICK: &str = "settle = \"50ms\"\nbackoff = [\"10ms\", \"100ms\"]\nlimit = \"100/10m\"\n";

fn home(name: &str, config: &str) -> Home {
    let home = Home::new(name, config);
    // What runs from the scratch directory is ended with it.
    home.scratch.copied("/bin/sleep", "sleep");
    home
}

/// A service that sleeps; `more` goes into its table.
fn sleeper(id: &str, more: &str) -> String {
    format!("[process.{id}]\nrun = [\"@/sleep\", \"10000\"]\n{QUICK}{more}\n")
}

fn reason(daemon: &mut Daemon<'_>, id: &str, part: &str) {
    daemon.wait_for(&format!("{id} says {part}"), |snapshot| {
        board::text(&snapshot.service(id)?.reason).contains(part).then_some(())
    });
}

/// Serves one page for ever, as long as the listener's file says so.
fn serve(listener: TcpListener, answer: &'static str) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut question = [0; 1024];
            let read = stream.read(&mut question).unwrap_or(0);
            assert!(question[..read].starts_with(b"GET /health?a=b HTTP/1.0\r\nHost: 127.0.0.1:"));
            let _ = stream.write_all(answer.as_bytes());
        }
    });
}

#[test]
fn a_service_whose_check_fails_is_unhealthy_and_is_restarted() {
    let check =
        "check = [{ exec = \"test -e @/good || { echo it is broken; exit 3; }\", every = \"100ms\", fails = 2 }]";
    let home = home("unhealthy", &(HEAD.to_owned() + &sleeper("web", check)));
    fs::write(home.scratch.path("good"), "").expect("a file can be written");
    let mut daemon = home.start();
    let first = daemon.wait_state("web", ServiceState::Ready).pid;
    fs::remove_file(home.scratch.path("good")).expect("it is there");
    let row = daemon.wait_for("a restart", |snapshot| {
        snapshot.service("web").filter(|row| row.restarts > 0 && row.pid != first && row.pid != 0).copied()
    });
    assert!(row.restarts >= 1);
    fs::write(home.scratch.path("good"), "").expect("a file can be written");
    daemon.wait_state("web", ServiceState::Ready);
    let (_, told) = home.ask(&["why", "web"]);
    assert!(told.contains("service-unhealthy") && told.contains("exit status 3: it is broken"), "{told}");
}

#[test]
fn what_cannot_be_started_again_at_once_is_only_called_unhealthy_until_it_passes() {
    let config = HEAD.to_owned()
        + "[process.web]\nrun = [\"@/sleep\", \"10000\"]\nsettle = \"50ms\"\nlimit = \"1/10m\"\n\
           check = [{ fresh = { path = \"@/beat\", within = \"1h\" }, every = \"100ms\", fails = 1, passes = 2 }]\n";
    let home = home("spent", &config);
    let mut daemon = home.start();
    // The first start is free, one restart is paid for; after that it is left alone.
    let row = daemon.wait_for("a spent budget", |snapshot| {
        snapshot
            .service("web")
            .filter(|row| row.restarts == 1 && row.budget_left == 0 && row.state() == ServiceState::Unhealthy)
            .copied()
    });
    reason(&mut daemon, "web", "it is not there");
    let (_, table) = home.ask(&["status"]);
    assert!(table.contains("unhealthy"), "{table}");
    let (_, json) = home.ask(&["status", "--json"]);
    assert!(json.contains("\"unhealthy\""), "{json}");
    fs::write(home.scratch.path("beat"), "").expect("a file can be written");
    let healthy = daemon.wait_state("web", ServiceState::Ready);
    assert_eq!(healthy.pid, row.pid, "it was not ended");
}

#[test]
fn sockets_and_pages_are_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let page = listener.local_addr().expect("it is bound");
    serve(listener, "HTTP/1.1 200 OK\r\nX-State: good\r\n\r\nall is well");
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port is free").local_addr().expect("it is bound");
    let tail = "every = \"100ms\", fails = 2, timeout = \"300ms\"";
    let http = format!("http = \"http://{page}/health?a=b\"");
    let checks = [
        ("good", format!("{http}, header = \"x-state: good\", contains = \"is well\"")),
        ("status", format!("{http}, status = 204")),
        ("body", format!("{http}, contains = \"is bad\"")),
        ("tcp", format!("tcp = \"{}\"", silent.local_addr().expect("it is bound"))),
        ("slow", format!("http = \"http://{}/\"", silent.local_addr().expect("it is bound"))),
        ("refused", format!("tcp = \"{closed}\"")),
        ("unix", "unix = \"@/sock\"".to_owned()),
        ("nounix", "unix = \"@/nosock\"".to_owned()),
    ];
    let mut config = HEAD.to_owned();
    for (id, check) in &checks {
        config += &sleeper(id, &format!("mode = \"fix\"\ncheck = [{{ {check}, {tail} }}]")).replace("100/10m", "1/10m");
    }
    let home = home("asked", &config);
    let _unix = UnixListener::bind(home.scratch.path("sock")).expect("it can be bound");
    let mut daemon = home.start();
    for (id, why) in [
        ("status", "status 200"),
        ("body", "no `is bad` in its body"),
        ("refused", "connection refused"),
        ("nounix", "there is no such socket"),
    ] {
        daemon.wait_state(id, ServiceState::Unhealthy);
        reason(&mut daemon, id, why);
    }
    // Under heavy pressure it is not counted, and says so.
    reason(&mut daemon, "slow", "no answer within 300 ms");
    for id in ["good", "tcp", "unix"] {
        let row = daemon.wait_state(id, ServiceState::Ready);
        assert_eq!(row.restarts, 0, "{id}");
    }
}

#[test]
fn a_start_waits_for_readiness_and_dependents_wait_for_it() {
    let config = HEAD.to_owned()
        + &sleeper("db", "ready = { unix = \"@/db.sock\", within = \"1m\" }")
        + &sleeper("web", "needs = [\"db\"]")
        + &sleeper("other", "");
    let home = home("ready", &config);
    let mut daemon = home.start();
    daemon.wait_state("other", ServiceState::Ready);
    daemon.wait_state("db", ServiceState::Starting);
    reason(&mut daemon, "db", "not ready: unix");
    daemon.wait_state("web", ServiceState::Waiting);
    reason(&mut daemon, "web", "waits for db, which is starting");
    let _socket = UnixListener::bind(home.scratch.path("db.sock")).expect("it can be bound");
    daemon.wait_state("db", ServiceState::Ready);
    daemon.wait_state("web", ServiceState::Ready);
}

#[test]
fn a_start_that_is_not_ready_in_time_has_failed() {
    let config = HEAD.to_owned() + &sleeper("db", "ready = { unix = \"@/db.sock\", within = \"100ms\" }");
    let home = home("late", &config);
    let mut daemon = home.start();
    daemon.wait_for("another try", |snapshot| (snapshot.service("db")?.restarts >= 2).then_some(()));
    let _socket = UnixListener::bind(home.scratch.path("db.sock")).expect("it can be bound");
    daemon.wait_state("db", ServiceState::Ready);
    let (_, told) = home.ask(&["why", "db"]);
    assert!(told.contains("not ready within 100 ms"), "{told}");
}

#[test]
fn dependents_go_with_what_they_need_and_return_with_it() {
    let config = HEAD.to_owned()
        + &sleeper("web", "needs = [\"app\"]\ntags = [\"front\"]")
        + &sleeper("app", "needs = [\"db\"]\ntags = [\"front\", \"inner\"]")
        + &sleeper("db", "")
        + &sleeper("late", "after = [\"web\"]");
    let home = home("needs", &config);
    let mut daemon = home.start();
    for id in ["db", "app", "web", "late"] {
        daemon.wait_state(id, ServiceState::Ready);
    }
    let web = daemon.wait_state("web", ServiceState::Ready).pid;

    assert_eq!(home.ask(&["restart", "db"]).0, 0);
    daemon.wait_state("db", ServiceState::Ready);
    assert_eq!(daemon.wait_state("web", ServiceState::Ready).pid, web, "a restart does not stop the dependents");

    assert_eq!(home.ask(&["stop", "db"]).0, 0);
    daemon.wait_state("web", ServiceState::Waiting);
    daemon.wait_state("app", ServiceState::Waiting);
    daemon.wait_state("late", ServiceState::Ready);
    reason(&mut daemon, "app", "needs db, which is stopped");
    let (_, events) = home.ask(&["events"]);
    let place = |part: &str| events.lines().position(|line| line.contains(part));
    let (web, app) = (place("web: needs app, which has to stop"), place("app: needs db, which is stop"));
    assert!(web.is_some() && web < app, "the outermost first\n{events}");

    assert_eq!(home.ask(&["start", "db"]).0, 0);
    let row = daemon.wait_state("web", ServiceState::Ready);
    assert_eq!((row.restarts, row.budget_left), (0, 100), "it costs nothing");
    let app = daemon.wait_state("app", ServiceState::Ready).pid;

    assert_eq!(home.ask(&["restart", "@front"]).0, 0);
    daemon.wait_for("both restarted", |snapshot| {
        let new =
            |id, old| snapshot.service(id).is_some_and(|now| now.pid != old && now.state() == ServiceState::Ready);
        (new("web", row.pid) && new("app", app)).then_some(())
    });
    assert_eq!(home.ask(&["restart", "@nobody"]).0, 2);
}

#[test]
fn a_group_is_told_in_the_order_of_its_needs() {
    let config = HEAD.to_owned()
        + &sleeper("web", "needs = [\"app\"]\ngroup = \"front\"")
        + &sleeper("app", "needs = [\"db\"]")
        + &sleeper("db", "tags = [\"front\"]\nready = { unix = \"@/db.sock\", within = \"1m\" }")
        + &sleeper("other", "");
    let home = home("groups", &config);
    let socket = UnixListener::bind(home.scratch.path("db.sock")).expect("it can be bound");
    let mut daemon = home.start();
    let before = ["web", "db", "app"].map(|id| daemon.wait_state(id, ServiceState::Ready).pid);
    assert_eq!(home.ask(&["status", "@front", "--names"]), (0, "web\ndb\n".to_owned()));
    let (code, table) = home.ask(&["status", "@front"]);
    assert!(code == 0 && table.lines().count() == 3 && !table.contains("other"), "{table}");
    assert_eq!(home.ask(&["status", "@nobody"]).0, 2);

    let (_, told) = home.ask(&["why", "web"]);
    for part in
        ["is a child of watchd, which runs `", "It needs app (ready)", "Its groups: @front.", "is stopped with SIGTERM"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(home.ask(&["why", "app"]).1.contains("It is needed by web (ready)."));

    // web is restarted when db serves again, and not before.
    drop(socket);
    fs::remove_file(home.scratch.path("db.sock")).expect("it is there");
    assert_eq!(home.ask(&["restart", "@front"]), (0, "told in this order: db, web\n".to_owned()));
    reason(&mut daemon, "db", "not ready: unix");
    assert_eq!(daemon.wait_state("web", ServiceState::Ready).pid, before[0]);
    let _socket = UnixListener::bind(home.scratch.path("db.sock")).expect("it can be bound");
    daemon.wait_for("both restarted", |snapshot| {
        let is_new =
            |id, old| snapshot.service(id).is_some_and(|row| row.pid != old && row.state() == ServiceState::Ready);
        (is_new("db", before[1]) && is_new("web", before[0])).then_some(())
    });
    assert_eq!(daemon.wait_state("app", ServiceState::Ready).pid, before[2], "nobody told app");

    assert_eq!(home.ask(&["stop", "@front"]), (0, "told in this order: web, db\n".to_owned()));
    for id in ["web", "db"] {
        daemon.wait_state(id, ServiceState::Stopped);
    }
    let (_, events) = home.ask(&["events"]);
    let place = |id: &str| {
        events.lines().position(|line| line.contains("service-stopped") && line.contains(&format!(" {id}: ")))
    };
    assert!(place("web").is_some() && place("web") < place("db"), "{events}");
    assert_eq!(home.ask(&["start", "@front"]), (0, "told in this order: db, web\n".to_owned()));
    for id in ["db", "app", "web"] {
        daemon.wait_state(id, ServiceState::Ready);
    }
}

#[test]
fn a_killed_watchd_does_not_touch_dependents_of_what_is_not_ready_yet() {
    let config = HEAD.to_owned()
        + &sleeper("db", "ready = { unix = \"@/db.sock\", within = \"1h\" }")
        + &sleeper("web", "needs = [\"db\"]");
    let home = home("again", &config);
    let socket = UnixListener::bind(home.scratch.path("db.sock")).expect("it can be bound");
    let mut daemon = home.start();
    let pids = ["db", "web"].map(|id| daemon.wait_state(id, ServiceState::Ready).pid);
    daemon.kill();
    drop(socket);
    fs::remove_file(home.scratch.path("db.sock")).expect("it is there");
    let mut daemon = home.start();
    reason(&mut daemon, "db", "not ready: unix");
    daemon.wait_state("web", ServiceState::Ready);
    let _socket = UnixListener::bind(home.scratch.path("db.sock")).expect("it can be bound");
    for (id, pid) in ["db", "web"].into_iter().zip(pids) {
        assert_eq!(daemon.wait_state(id, ServiceState::Ready).pid, pid, "{id}");
    }
}
