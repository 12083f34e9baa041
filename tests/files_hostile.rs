//! Promises about files where the files do not cooperate: a full disk, a dead file server, names that become links.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use harness::{Home, Scratch, is_root, look, skip, until};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use watchd::files::{Memory, Task, beside, keep};
use watchd::model::{Content, Edit, FileWork, Outcome, Tended};
use watchd::store::board::text;
use watchd::sys::fork::split;

fn line(path: &Path) -> FileWork {
    let edit = Edit { lines: vec!["promised".to_owned()], ..Edit::default() };
    FileWork { path: path.to_string_lossy().into_owned(), content: Content::Edit(edit), ..FileWork::default() }
}

fn tend(work: &FileWork, state: &Path) -> Tended {
    let memory = Memory::new(state);
    keep(&Task { id: "x", work, is_dry: false, memory: &memory, render: &|_| Ok(String::new()) })
}

#[test]
fn a_full_disk_costs_neither_the_text_nor_a_file_beside_it() {
    if !is_root() {
        return skip("a small disk takes root");
    }
    let scratch = Scratch::new("full");
    let (small, state) = (scratch.dir_of("small", None), scratch.dir_of("state", None));
    let child = split(|| {
        let none = None::<&str>;
        unshare(CloneFlags::CLONE_NEWNS).expect("root may");
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("root may");
        mount(Some("small"), &small, Some("tmpfs"), MsFlags::empty(), Some("size=64k")).expect("root may");
        let (path, filler) = (small.join("f"), small.join("filler"));
        let old = "a line of it\n".repeat(1000);
        fs::write(&path, &old).expect("there is room");
        assert!(fs::write(&filler, vec![b'x'; 128 << 10]).is_err(), "now it is full");
        let tended = tend(&line(&path), &state);
        assert_eq!(tended.outcome, Outcome::Failed);
        assert!(tended.text.contains("No space left"), "{}", tended.text);
        assert_eq!(fs::read_to_string(&path).expect("it is there"), old);
        assert!(!small.join(beside("f")).exists());
        fs::remove_file(&filler).expect("it is ours");
        assert_eq!(tend(&line(&path), &state).outcome, Outcome::Repaired);
        assert_eq!(fs::read_to_string(&path).expect("it is there"), old + "promised\n");
        mount(none, &small, none, MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, none).expect("root may");
        fs::write(&path, "").expect_err("it is read-only");
        let other = FileWork { content: Content::Template("other\n".to_owned()), ..line(&path) };
        let refused = tend(&other, &state);
        assert_eq!(refused.outcome, Outcome::Failed);
        assert!(refused.text.contains("Read-only file system"), "{}", refused.text);
    });
    let pid = Pid::from_raw(child.expect("a child can be made"));
    assert_eq!(waitpid(pid, None), Ok(WaitStatus::Exited(pid, 0)), "its words are above");
}

#[test]
fn names_that_become_links_lead_nowhere() {
    let scratch = Scratch::new("links");
    let state = scratch.dir_of("state", None);
    let (real, secret) = (scratch.dir_of("real", None), scratch.dir_of("secret", None));
    fs::write(real.join("f"), "a\n").expect("it can be written");
    fs::write(secret.join("f"), "secret\n").expect("it can be written");
    let (way, aside) = (scratch.path("way"), scratch.path("aside"));
    fs::rename(&real, &way).expect("it is ours");
    symlink(&secret, &aside).expect("a link can be made");
    let is_over = AtomicBool::new(false);
    let outcomes = std::thread::scope(|scope| {
        scope.spawn(|| {
            // The directory on the way and a link to another change places all the time.
            while !is_over.load(Ordering::Relaxed) {
                let between = scratch.path("between");
                fs::rename(&way, &between).and_then(|()| fs::rename(&aside, &way)).expect("they are ours");
                fs::rename(&between, &aside).expect("it is ours");
            }
        });
        let mut outcomes = [0, 0];
        for round in 0..2000 {
            let content = Content::Template(format!("round {round}\n"));
            let tended = tend(&FileWork { content, create: true, ..line(&way.join("f")) }, &state);
            outcomes[usize::from(tended.outcome == Outcome::Repaired)] += 1;
        }
        is_over.store(true, Ordering::Relaxed);
        outcomes
    });
    eprintln!("refused and done: {outcomes:?}");
    assert_eq!(fs::read_to_string(secret.join("f")).expect("it is there"), "secret\n");
    assert_eq!(fs::read_dir(&secret).expect("it is there").count(), 1, "nothing was made there either");
}

#[test]
fn a_dead_file_server_costs_its_promise_the_timeout_and_no_other_anything() {
    if !is_root() || !Path::new("/dev/fuse").exists() {
        return skip("a dead file server takes root and /dev/fuse");
    }
    // All that lies there costs one child, whatever kind of promise it is, and nobody else waits for it.
    let config = "[watchd]\ncycle = \"200ms\"\n[file.a_dead]\npath = \"@/mounted/f\"\nline = \"x\"\ntimeout = \"500ms\"\n\
                  [file.a_watched]\npath = \"@/mounted/g\"\nwatch = \"sha256\"\ntimeout = \"500ms\"\n\
                  [file.a_tidied]\nin = \"@/mounted/log\"\nnames = [\"*\"]\nolder = \"1d\"\ndelete = true\ntimeout = \"500ms\"\n\
                  [file.living]\npath = \"@/living\"\ncreate = true\nline = \"x\"\n\
                  [freshness.a_stale]\nin = \"@/mounted/backup\"\nnewest = \"1h\"\ntimeout = \"500ms\"\n\
                  [measure.a_counted]\nfile = \"@/mounted/log/x\"\nmatch = \"ERROR\"\ntimeout = \"500ms\"\n";
    let home = Home::new("files-mute", config);
    let mute = home.scratch.compiled(Path::new("tests/attack/mute.c"), "mute");
    let point = home.scratch.dir_of("mounted", None);
    let daemon = home.command(&["run"]);
    let mut command = Command::new(&mute);
    command.arg(&point).arg(daemon.get_program()).args(daemon.get_args());
    let mut daemon = home.spawn_as(command);
    let is = |id: &str, outcome: Outcome| {
        let id = id.to_owned();
        move |snapshot: &watchd::store::Snapshot| {
            snapshot.promises.iter().any(|row| text(&row.id) == id && row.outcome() == outcome).then_some(())
        }
    };
    for id in ["a_dead", "a_watched", "a_tidied", "a_stale", "a_counted"] {
        daemon.wait_for("the timeout", is(id, Outcome::Timeout));
    }
    daemon.wait_for("the other file", is("living", Outcome::Kept));
    fs::write(home.scratch.path("living"), "").expect("it is ours");
    daemon.wait_for("the other file", |_| {
        (fs::read_to_string(home.scratch.path("living")).expect("it is there") == "x\n").then_some(())
    });
    let first = daemon.wait_for("a cycle", |snapshot| Some(snapshot.header.cycles));
    let longest = daemon.wait_for("ten more", |snapshot| {
        (snapshot.header.cycles > first + 10).then_some(snapshot.header.longest_turn_us)
    });
    assert!(longest < 1_000_000, "the loop was never held: {longest} µs");
    let waiting = look::pids()
        .into_iter()
        .filter(|pid| look::stat(*pid).is_some_and(|stat| stat.parent == daemon.pid() && stat.state == 'D'));
    assert!(waiting.count() <= 2, "one that asks the mounts and one that looks, not one for each promise or cycle");
    daemon.kill();
    for pid in look::running_from(&home.scratch.dir) {
        if look::program(pid).as_deref() == Some(mute.as_path()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    until("the end of what hung", || {
        look::pids()
            .into_iter()
            .all(|pid| look::stat(pid).is_none_or(|stat| stat.state != 'D' || stat.parent != 1))
            .then_some(())
    });
    let _ = fs::remove_dir(&point);
}
