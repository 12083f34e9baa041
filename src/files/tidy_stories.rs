//! Stories of a directory: what lay there, what was promised, what is left.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::model::Until;
#[cfg(test)]
use crate::scratch::Scratch;

const NOW: u64 = 1_000_000_000;

fn work(scratch: &Scratch) -> TidyWork {
    TidyWork {
        dir: scratch.join("in").to_string_lossy().into_owned(),
        names: vec!["*.log".into()],
        older: Some(Duration::from_secs(100)),
        larger: None,
        keep: 0,
        until: None,
        way: Tidying::Delete,
        depth: 0,
    }
}

/// A file of so many bytes that was written so many seconds ago.
fn put(scratch: &Scratch, name: &str, size: usize, age: u64) {
    scratch.write(name, &"x".repeat(size));
    let file = File::options().write(true).open(scratch.join(name)).expect("it opens");
    file.set_modified(UNIX_EPOCH + Duration::from_secs(NOW - age)).expect("it is ours");
}

fn left(scratch: &Scratch) -> Vec<String> {
    fn add(dir: &std::path::Path, prefix: &str, all: &mut Vec<String>) {
        for entry in fs::read_dir(dir).expect("it is there") {
            let entry = entry.expect("an entry");
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type().expect("it has one").is_dir() {
                add(&entry.path(), &format!("{name}/"), all);
            } else {
                all.push(name);
            }
        }
    }
    let mut all = Vec::new();
    add(&scratch.join("in"), "", &mut all);
    all.sort();
    all
}

fn run(scratch: &Scratch, work: &TidyWork, is_dry: bool) -> Tended {
    let now = Now { mono: Duration::from_secs(1000), wall: Duration::from_secs(NOW) };
    tidy(work, &Memory::new(&scratch.join("state")), (now, is_dry))
}

fn scene() -> Scratch {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.join("state")).expect("a directory can be made");
    for (name, size, age) in [
        ("a.log", 5000, 500),
        ("b.log", 10, 400),
        ("c.log", 10, 300),
        ("new.log", 10, 50),
        ("d.txt", 10, 500),
        ("sub/e.log", 10, 500),
    ] {
        put(&scratch, &format!("in/{name}"), size, age);
    }
    scratch
}

#[test]
fn what_fits_goes_and_the_rest_stays() {
    for (change, expect, count) in [
        ((|_| {}) as fn(&mut TidyWork), vec!["d.txt", "new.log", "sub/e.log"], 3.0),
        (|it| it.depth = 1, vec!["d.txt", "new.log"], 4.0),
        (|it| it.larger = Some(1000), vec!["b.log", "c.log", "d.txt", "new.log", "sub/e.log"], 1.0),
        (|it| it.keep = 3, vec!["b.log", "c.log", "d.txt", "new.log", "sub/e.log"], 1.0),
        (|it| it.keep = 9, vec!["a.log", "b.log", "c.log", "d.txt", "new.log", "sub/e.log"], 0.0),
        (|it| it.older = None, vec!["d.txt", "sub/e.log"], 4.0),
        (|it| it.names = vec!["*.none".into()], vec!["a.log", "b.log", "c.log", "d.txt", "new.log", "sub/e.log"], 0.0),
    ] {
        let scratch = scene();
        let mut work = work(&scratch);
        change(&mut work);
        let before = left(&scratch);
        for (way, is_dry) in [(Tidying::Nothing, false), (Tidying::Delete, true)] {
            let tended = run(&scratch, &TidyWork { way, ..work.clone() }, is_dry);
            assert_eq!(tended.outcome, if count > 0.0 { Outcome::Would } else { Outcome::Kept });
            assert_eq!(tended.figures[1], count);
            assert_eq!(left(&scratch), before, "nothing is done without being asked for");
        }
        let tended = run(&scratch, &work, false);
        assert_eq!((left(&scratch), tended.figures[1]), (expect.iter().map(|it| (*it).to_owned()).collect(), count));
        assert_eq!(tended.outcome, if count > 0.0 { Outcome::Repaired } else { Outcome::Kept }, "{}", tended.text);
        assert_eq!(run(&scratch, &work, false).outcome, Outcome::Kept, "twice is as good as once");
    }
}

#[test]
fn no_link_leads_out() {
    let scratch = scene();
    put(&scratch, "outside/x.log", 10, 500);
    symlink(scratch.join("outside"), scratch.join("in/way")).expect("a link can be made");
    symlink(scratch.join("outside/x.log"), scratch.join("in/l.log")).expect("a link can be made");
    run(&scratch, &TidyWork { depth: 5, ..work(&scratch) }, false);
    assert!(scratch.join("outside/x.log").exists() && scratch.join("in/l.log").symlink_metadata().is_ok());
    let through = TidyWork { dir: scratch.join("in/way").to_string_lossy().into_owned(), ..work(&scratch) };
    assert_eq!(run(&scratch, &through, false).outcome, Outcome::Failed);
    assert!(scratch.join("outside/x.log").exists());
}

#[test]
fn a_file_that_is_open_stays() {
    let scratch = scene();
    let file = File::open(scratch.join("in/a.log")).expect("it opens");
    if matches!(Lease::take_alone(&File::open(scratch.join("in/b.log")).expect("it opens")), Lease::Impossible) {
        return;
    }
    let tended = run(&scratch, &work(&scratch), false);
    assert!(tended.text.contains("1 are open and stay"), "{}", tended.text);
    assert!(left(&scratch).contains(&"a.log".to_owned()));
    drop(file);
    run(&scratch, &work(&scratch), false);
    assert!(!left(&scratch).contains(&"a.log".to_owned()));
}

#[test]
fn room_that_is_there_already_costs_no_file() {
    let scratch = scene();
    let before = left(&scratch);
    let until = |below| Some(Until { path: "/".into(), below });
    assert_eq!(run(&scratch, &TidyWork { until: until(100.0), ..work(&scratch) }, false).outcome, Outcome::Kept);
    assert_eq!(left(&scratch), before);
    let tended = run(&scratch, &TidyWork { until: until(0.0), ..work(&scratch) }, false);
    assert_eq!(
        (tended.outcome, tended.figures[1]),
        (Outcome::Failed, 3.0),
        "all of it was not enough: {}",
        tended.text
    );
    let tended = run(&scratch, &TidyWork { until: until(0.0), ..work(&scratch) }, false);
    assert_eq!((tended.outcome, tended.figures[1]), (Outcome::Kept, 0.0), "and now it is the turn of something else");
    assert!(tended.text.contains("is still not below 0%, and nothing more may go"), "{}", tended.text);
}

#[test]
fn what_is_compressed_can_be_read_again() {
    if !GZIP.iter().any(|path| std::path::Path::new(path).exists()) {
        eprintln!("SKIPPED: there is no gzip");
        return;
    }
    let scratch = scene();
    let work = TidyWork { way: Tidying::Compress, names: vec!["a.log*".into()], ..work(&scratch) };
    let tended = run(&scratch, &work, false);
    assert_eq!(tended.outcome, Outcome::Repaired, "{}", tended.text);
    assert!(left(&scratch).contains(&"a.log.gz".to_owned()) && !left(&scratch).contains(&"a.log".to_owned()));
    let packed = scratch.join("in/a.log.gz");
    let modified = fs::metadata(&packed).and_then(|facts| facts.modified()).expect("it is there");
    assert_eq!(modified, UNIX_EPOCH + Duration::from_secs(NOW - 500));
    let read = std::process::Command::new("gzip").arg("-dc").arg(&packed).output().expect("it runs");
    assert_eq!(read.stdout, "x".repeat(5000).into_bytes());
    assert_eq!(run(&scratch, &work, false).outcome, Outcome::Kept);
}

#[test]
fn a_clock_that_jumps_deletes_nothing() {
    let scratch = scene();
    let memory = Memory::new(&scratch.join("state"));
    let at = |mono, wall| Now { mono: Duration::from_secs(mono), wall: Duration::from_secs(wall) };
    let before = left(&scratch);
    let work = TidyWork { older: Some(Duration::from_secs(10_000)), ..work(&scratch) };
    for now in [at(10, NOW), at(20, NOW + 40_000_000), at(30, NOW + 40_000_010)] {
        tidy(&work, &memory, (now, false));
        assert_eq!(left(&scratch), before);
    }
    assert_eq!(tidy(&work, &memory, (at(4000, NOW + 40_003_980), false)).outcome, Outcome::Repaired);
}
