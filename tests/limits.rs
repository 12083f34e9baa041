//! Limits on what a service uses with all its processes: classes, restarts within the budget, and programs of the policy's.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;

use harness::Home;
use watchd::model::ServiceState;

const HEAD: &str = "[watchd]\ncycle = \"200ms\"\n";
const QUICK: &str = "settle = \"50ms\"\nbackoff = [\"10ms\", \"100ms\"]\nlimit = \"100/10m\"\n";

fn home(name: &str, config: &str) -> Home {
    let home = Home::new(name, &(HEAD.to_owned() + config));
    for program in ["sleep", "sh"] {
        home.scratch.copied(format!("/bin/{program}"), program);
    }
    home
}

#[test]
fn a_service_that_grows_is_restarted_and_one_that_may_is_reported() {
    let grow = "test -e @/leak && x=$(head -c 40000000 /dev/zero | tr '\\\\0' x); @/sleep 1000; true";
    let home = home(
        "limits-grow",
        &format!(
            "[process.leak]\nrun = [\"@/sh\", \"-c\", \"{grow}\"]\n{QUICK}rss = {{ max = \"30M\", for = \"300ms\" }}\n\
             [process.crowd]\nrun = [\"@/sh\", \"-c\", \"@/sleep 1000 & @/sleep 1000 & wait\"]\n{QUICK}\
             children = {{ max = 1, for = \"0s\", do = \"report\" }}\n\
             [process.told]\nrun = [\"@/sleep\", \"1000\"]\n{QUICK}\
             age = {{ max = \"1s\", do = {{ run = [\"/usr/bin/touch\", \"@/old\"] }} }}\n\
             [report.crowd]\nif = \"crowd_children_high & !leak_rss_high\"\ntext = \"too many\"\n"
        ),
    );
    fs::write(home.scratch.path("leak"), "").expect("a file can be written");
    let mut daemon = home.start();
    daemon.wait_for("restarts of what grows", |snapshot| {
        snapshot.service("leak").filter(|row| row.restarts > 0).copied()
    });
    let (_, told) = home.ask(&["why", "leak"]);
    assert!(told.contains("service-excess") && told.contains("is above 30M for 300 ms"), "{told}");
    fs::remove_file(home.scratch.path("leak")).expect("it is there");
    daemon.wait_for("the class", |snapshot| {
        let on = |name: &str| {
            snapshot.classes.iter().any(|row| watchd::store::board::text(&row.name) == name && row.is_on())
        };
        (on("crowd_children_high") && on("told_age_high")).then_some(())
    });
    let crowd = daemon.wait_state("crowd", ServiceState::Ready);
    assert_eq!(crowd.restarts, 0, "it is only reported");
    harness::until("the program of the limit has run", || home.scratch.path("old").exists().then_some(()));
    let (_, told) = home.ask(&["why", "crowd"]);
    assert!(told.contains("children 2 is above 1"), "{told}");
    drop(daemon);
}

#[test]
fn what_grows_when_its_budget_is_spent_goes_on() {
    let grow = "x=$(head -c 40000000 /dev/zero | tr '\\\\0' x); @/sleep 1000; true";
    let config = format!(
        "[process.leak]\nrun = [\"@/sh\", \"-c\", \"{grow}\"]\nsettle = \"50ms\"\nlimit = \"1/10m\"\n\
         rss = {{ max = \"30M\", for = \"0s\" }}\n"
    );
    let home = home("limits-spent", &config);
    let mut daemon = home.start();
    let row = daemon.wait_for("a spent budget", |snapshot| {
        let row = snapshot.service("leak")?;
        (row.restarts == 1 && row.state() == ServiceState::Unhealthy).then_some(*row)
    });
    let cycles = daemon.snapshot().map_or(0, |snapshot| snapshot.header.cycles);
    daemon.wait_for("five more cycles", |snapshot| (snapshot.header.cycles > cycles + 5).then_some(()));
    assert_eq!(daemon.wait_state("leak", ServiceState::Unhealthy).pid, row.pid);
}

#[test]
fn pages_that_several_processes_have_count_once() {
    // Forty megabytes that the forks of one process have in common are more than a hundred and twenty by themselves.
    let share =
        "x=$(head -c 40000000 /dev/zero | tr '\\\\0' x); for i in 1 2; do (@/sleep 1000; : $x) & done; wait; : $x";
    for group in ["cgroup = false\n", ""] {
        let home = Home::new(
            "limits-share",
            &format!(
                "{HEAD}{group}[process.share]\nrun = [\"@/sh\", \"-c\", \"{share}\"]\n{QUICK}\
                 rss = {{ max = \"90M\", for = \"300ms\", do = \"report\" }}\n\
                 [process.same]\nrun = [\"@/sh\", \"-c\", \"{share}\"]\n{QUICK}\
                 rss = {{ max = \"20M\", for = \"300ms\", do = \"report\" }}\n"
            ),
        );
        for program in ["sleep", "sh"] {
            home.scratch.copied(format!("/bin/{program}"), program);
        }
        let mut daemon = home.start();
        let on = |snapshot: &watchd::store::Snapshot, name: &str| {
            snapshot.classes.iter().any(|row| watchd::store::board::text(&row.name) == name && row.is_on())
        };
        let large = |pid: &i32| harness::look::status(*pid, "VmRSS").is_some_and(|rss| rss > 35_000);
        harness::until("three processes of that size, twice", || {
            (harness::look::running_from(&home.scratch.dir).iter().filter(|pid| large(pid)).count() == 6).then_some(())
        });
        let since = daemon.wait_for("the class of what is too much", |snapshot| {
            on(snapshot, "same_rss_high").then_some(snapshot.header.sample_mono_ms)
        });
        daemon.wait_for("some cycles more", |snapshot| {
            assert!(!on(snapshot, "share_rss_high"), "{group}");
            (snapshot.header.sample_mono_ms > since + 1000).then_some(())
        });
    }
}
