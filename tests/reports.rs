//! Reports with the real program: mail, a webhook and the system log, a receiver that fails, and a daemon that is killed meanwhile.

#![allow(clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use harness::{Home, until};
use watchd::model::EventKind;
use watchd::store::board::text;

const POLICY: &str = "[watchd]\ncycle = \"100ms\"\nsendmail = [\"@/sendmail\", \"-t\"]\n\
    [webhook.chat]\nrun = [\"@/hook\"]\n\
    [report.r]\nif = \"told\"\ntext = \"{host}: größer\"\nchanges = true\n\
    to = [\"log\", \"mail:root\", \"webhook:chat\"]\n";

fn script(home: &Home, name: &str, text: &str) {
    home.scratch.script(name, &format!("#!/bin/sh\n{text}\n"));
}

#[test]
fn what_cannot_be_delivered_outlives_a_kill_and_arrives_later() {
    let home = Home::new("reports", POLICY);
    let dir = home.scratch.dir.display().to_string();
    script(&home, "sendmail", "echo no route; exit 75");
    script(&home, "hook", &format!("cat > {dir}/hook.new && mv {dir}/hook.new {dir}/hooked"));
    let mut daemon = home.start();
    assert_eq!(home.ask(&["class", "set", "told"]).0, 0);
    let late = daemon.wait_for("the failure", |snapshot| {
        snapshot.events.iter().find(|row| row.kind() == EventKind::ReportUndelivered).copied()
    });
    let said = text(&late.text).to_owned();
    assert!(said.starts_with("mail:root: exit status 75: no route; tried again in 30 s: "), "{said}");
    let hooked = until("the webhook", || fs::read_to_string(home.scratch.path("hooked")).ok());
    assert!(hooked.contains("\"report\":\"r\"") && hooked.contains("größer") && hooked.ends_with("}\n"), "{hooked}");
    // Before its end is seen it would rightly be sent again.
    daemon.wait_for("the end of the webhook", |snapshot| {
        snapshot.events.iter().find(|row| row.kind() == EventKind::CommandRan).map(|_| ())
    });
    fs::remove_file(home.scratch.path("hooked")).expect("it is ours");
    daemon.kill();
    script(&home, "sendmail", &format!("echo $@ > {dir}/args; cat > {dir}/mail.new && mv {dir}/mail.new {dir}/mailed"));
    let mut daemon = home.start();
    daemon.wait_for("the delivery", |snapshot| {
        snapshot.events.iter().find(|row| row.kind() == EventKind::ReportDelivered).map(|_| ())
    });
    let mailed = fs::read_to_string(home.scratch.path("mailed")).expect("it was sent");
    assert!(mailed.contains("\nTo: root\nSubject: =?UTF-8?B?") && mailed.contains(": größer\n"), "{mailed}");
    assert!(mailed.contains("Sent after 1 failed attempts."), "{mailed}");
    assert_eq!(fs::read_to_string(home.scratch.path("args")).expect("it ran"), "-t\n");
    assert!(!home.scratch.path("hooked").exists(), "what has arrived is not sent again");
}

#[test]
fn the_system_log_gets_a_line_and_one_that_is_gone_is_told() {
    let policy =
        "[watchd]\ncycle = \"100ms\"\n[report.r]\nif = \"told\"\ntext = \"full\"\nchanges = true\nto = [\"syslog\"]\n";
    let home = Home::new("syslog", policy);
    let root = home.scratch.path("root");
    fs::create_dir_all(root.join("dev")).expect("a directory can be made");
    for name in ["proc", "sys", "etc"] {
        symlink(format!("/{name}"), root.join(name)).expect("a link can be made");
    }
    let log = UnixDatagram::bind(root.join("dev/log")).expect("a socket can be bound");
    log.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket has a timeout");
    let mut command = home.command(&["run"]);
    command.arg("--root").arg(&root);
    let mut daemon = home.spawn_as(command);
    daemon.wait_for("a first look", |_| Some(()));
    assert_eq!(home.ask(&["class", "set", "told"]).0, 0);
    let mut line = [0; 256];
    let size = log.recv(&mut line).expect("a line comes");
    let line = String::from_utf8_lossy(&line[..size]).into_owned();
    assert!(line.starts_with("<28>") && line.ends_with("]: report r: full") && line.contains(" watchd["), "{line}");
    drop(log);
    assert_eq!(home.ask(&["class", "clear", "told"]).0, 0);
    daemon.wait_for("the failure", |snapshot| {
        let is_it = |row: &&watchd::store::EventRow| {
            row.kind() == EventKind::ReportUndelivered && text(&row.text).contains("over: full")
        };
        snapshot.events.iter().find(is_it).map(|_| ())
    });
}

const DIGEST: &str = "[watchd]\ncycle = \"100ms\"\nsendmail = [\"@/sendmail\"]\nswitches = [\"one\", \"two\", \"morning\"]\n\
    digest = { to = \"mail:root\", at = \"morning\" }\n\
    [report.a]\nif = \"one\"\ntext = \"the first\"\nchanges = true\ndigest = true\n\
    [report.b]\nif = \"two\"\ntext = \"größer\"\nchanges = true\ndigest = true\n";

#[test]
fn a_digest_tells_all_at_once_and_again_until_it_has_arrived() {
    let home = Home::new("digest", DIGEST);
    let dir = home.scratch.dir.display().to_string();
    script(&home, "sendmail", "exit 75");
    let mut daemon = home.start();
    let waits = |part: &str| {
        until(part, || {
            let text = fs::read_to_string(home.scratch.path("state/digest")).unwrap_or_default();
            text.contains(part).then_some(text)
        })
    };
    for class in ["one", "two"] {
        assert_eq!(home.ask(&["class", "set", class]).0, 0);
    }
    waits(" a: the first\n");
    waits(" b: größer\n");
    assert_eq!(home.ask(&["class", "set", "morning"]).0, 0);
    daemon.wait_for("the failure", |snapshot| {
        snapshot.events.iter().find(|row| row.kind() == EventKind::ReportUndelivered).map(|_| ())
    });
    // It is killed with the message on its way, and one more comes.
    daemon.kill();
    script(&home, "sendmail", &format!("cat > {dir}/mail.new && mv {dir}/mail.new {dir}/mailed"));
    let mut daemon = home.start();
    let mailed = until("the mail", || fs::read_to_string(home.scratch.path("mailed")).ok());
    assert!(mailed.contains("\nSubject: ") && mailed.contains(": 2 reports\n"), "{mailed}");
    assert!(mailed.contains(" a: the first\n") && mailed.contains(" b: größer\n"), "{mailed}");
    daemon.wait_for("the delivery", |snapshot| {
        snapshot.events.iter().find(|row| row.kind() == EventKind::ReportDelivered).map(|_| ())
    });
    until("the end of the lines", || (!home.scratch.path("state/digest").exists()).then_some(()));
    fs::remove_file(home.scratch.path("mailed")).expect("it is ours");
    for words in [["class", "clear", "morning"], ["class", "clear", "one"]] {
        assert_eq!(home.ask(&words).0, 0);
    }
    waits(" a: over: the first\n");
    assert_eq!(home.ask(&["class", "set", "morning"]).0, 0);
    let mailed = until("the next mail", || fs::read_to_string(home.scratch.path("mailed")).ok());
    assert!(mailed.contains(": 1 report\n") && !mailed.contains("größer"), "{mailed}");
}

#[test]
fn one_cause_is_told_once() {
    let policy = "[watchd]\ncycle = \"100ms\"\n\
        [process.db]\nrun = [\"@/db\"]\nbackoff = [\"50ms\", \"100ms\"]\nlimit = \"3/1h\"\n\
        [process.web]\nrun = [\"@/web\", \"1000\"]\nneeds = [\"db\"]\n\
        [report.db]\nif = \"db_down\"\ntext = \"db is {db.state}\"\nchanges = true\n\
        [report.web]\nif = \"web_down\"\ntext = \"web is {web.state}\"\nchanges = true\n";
    let home = Home::new("cause", policy);
    home.scratch.copied("/bin/sleep", "web");
    script(&home, "db", "exit 1");
    let mut daemon = home.start();
    let told = daemon.wait_for("the cause", |snapshot| {
        let is_it = |row: &&watchd::store::EventRow| row.kind() == EventKind::Report && text(&row.subject) == "db";
        snapshot.events.iter().find(is_it).copied()
    });
    assert!(text(&told.text).starts_with("db is "), "{}", text(&told.text));
    daemon.wait_state("db", watchd::model::ServiceState::Flapping);
    let waiting = daemon.wait_state("web", watchd::model::ServiceState::Waiting);
    assert!(text(&waiting.reason).contains("db"), "it says whom it waits for: {}", text(&waiting.reason));
    let snapshot = daemon.snapshot().expect("it lives");
    let of_web = snapshot.events.iter().filter(|row| row.kind() == EventKind::Report && text(&row.subject) == "web");
    assert_eq!(of_web.count(), 0, "what only waits for the cause is not told besides it");
}

#[test]
fn the_watchdog_of_the_watchdog_has_a_file_to_look_at() {
    let home = Home::new("alive", "[watchd]\ncycle = \"100ms\"\nsplay = \"100ms\"\nalive = \"@/alive\"\n");
    let mut daemon = home.start();
    let touched = || fs::metadata(home.scratch.path("alive")).and_then(|facts| facts.modified());
    let first = touched().expect("it is there after the first cycle");
    daemon.wait_for("another touch", |_| (touched().ok()? > first).then_some(()));
}

#[test]
fn what_a_pass_from_cron_tells_waits_for_the_digest_of_the_daemon() {
    let home = Home::new("digest-pass", "[watchd]\ncycle = \"100ms\"\n");
    let _daemon = home.start();
    let policy = DIGEST.replace("if = \"one\"", "if = \"any\"").replace('@', &home.scratch.dir.display().to_string());
    let other = home.scratch.write("other.toml", &policy);
    let mut pass = std::process::Command::new(harness::binary());
    pass.args(["agent", "--once", "--config"]).arg(other);
    pass.arg("--run-dir").arg(home.scratch.path("run")).arg("--state-dir").arg(home.scratch.path("state"));
    let output = pass.output().expect("watchd can be run");
    assert!(output.status.success(), "{output:?}");
    let kept = fs::read_to_string(home.scratch.path("state/digest")).unwrap_or_default();
    assert!(kept.contains(" a: the first\n"), "{kept:?}");
}

#[test]
fn what_a_pass_from_cron_cannot_deliver_is_sent_by_the_daemon() {
    let report = |guard: &str| {
        format!(
            "[watchd]\ncycle = \"100ms\"\nsendmail = [\"@/sendmail\"]\nswitches = [\"told\"]\n\
             [report.r]\nif = \"{guard}\"\ntext = \"größer\"\nchanges = true\nto = [\"mail:root\"]\n"
        )
    };
    let home = Home::new("post-pass", &report("told"));
    let dir = home.scratch.dir.display().to_string();
    script(
        &home,
        "sendmail",
        &format!(
            "test -e {dir}/tried || {{ touch {dir}/tried; exit 75; }}\ncat > {dir}/mail.new && mv {dir}/mail.new {dir}/mailed"
        ),
    );
    let _daemon = home.start();
    let other = home.scratch.write("other.toml", &report("any").replace('@', &dir));
    let mut pass = std::process::Command::new(harness::binary());
    pass.args(["agent", "--once", "--config"]).arg(other);
    pass.arg("--run-dir").arg(home.scratch.path("run")).arg("--state-dir").arg(home.scratch.path("state"));
    let output = pass.output().expect("watchd can be run");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("the daemon tries again"), "{output:?}");
    let mailed = until("the mail of the daemon", || fs::read_to_string(home.scratch.path("mailed")).ok());
    assert!(mailed.contains("gr\u{f6}\u{df}er\n") && mailed.contains("Sent after 1 failed attempts."), "{mailed}");
}
