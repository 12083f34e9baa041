//! Real processes through the library: started at a gate, held by a pidfd, ended with their group, and reaped.
//!
//! Every wait is a poll with a deadline; nothing sleeps.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use watchd::model::{Command, Ending, EnvFile, Ionice, Launch, Setting};
use watchd::sys::pidfd::Pidfd;
use watchd::sys::spawn::{self, Held, Output, Plan, Step};

/// Long enough for a slow machine, short enough for a person.
const DEADLINE_MS: u16 = 20_000;

fn exec(words: &[&str]) -> Launch {
    let command = Command::Exec(words.iter().map(|word| (*word).to_owned()).collect());
    Launch::new(command)
}

fn shell(line: &str) -> Launch {
    Launch { command: Command::Shell(line.to_owned()), ..exec(&[]) }
}

fn hold(launch: &Launch, output: Output) -> (Held, Pidfd) {
    let plan = Plan::prepare(launch, output).expect("the launch is sound");
    let held = spawn::hold(plan).expect("a process can be started");
    let pidfd = Pidfd::open(held.pid()).expect("a child can be held");
    (held, pidfd)
}

fn wait(fd: impl AsFd) {
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    let ready = poll(&mut fds, PollTimeout::from(DEADLINE_MS)).expect("poll works");
    assert_eq!(ready, 1, "nothing happened before the deadline");
}

fn read_all(output: OwnedFd) -> String {
    let mut file = File::from(output);
    let mut bytes = Vec::new();
    loop {
        wait(&file);
        let mut piece = [0; 4096];
        match file.read(&mut piece).expect("a pipe can be read") {
            0 => return String::from_utf8(bytes).expect("the output is text"),
            read => bytes.extend_from_slice(&piece[..read]),
        }
    }
}

/// The process id that a line of a shell writes first, while what it started goes on.
fn pid_told(output: Option<OwnedFd>) -> i32 {
    let mut output = File::from(output.expect("output was asked for"));
    wait(&output);
    let mut bytes = [0; 32];
    let read = output.read(&mut bytes).expect("a pipe can be read");
    std::str::from_utf8(&bytes[..read]).expect("a number").trim().parse().expect("a number")
}

/// Runs to the end; gives the output and how it ended.
fn run(launch: &Launch) -> (String, Ending) {
    let (held, pidfd) = hold(launch, Output::Pipe);
    let running = held.release().expect("the child waits");
    let text = read_all(running.output.expect("output was asked for"));
    wait(&pidfd);
    assert_eq!(running.report.read(), None);
    (text, pidfd.reap().expect("a child can be reaped"))
}

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: only root can become another account");
    }
    root
}

#[test]
fn nothing_runs_before_the_gate_opens_and_nothing_ever_if_it_closes() {
    let mark = std::env::temp_dir().join(format!("watchd-spawn-gate-{}", std::process::id()));
    let line = format!("echo ran > {}", mark.display());
    let (held, pidfd) = hold(&shell(&line), Output::Policy);
    assert!(!pidfd.has_ended());
    drop(held);
    wait(&pidfd);
    assert_eq!(pidfd.reap(), Some(Ending::Exit(0)));
    assert!(!mark.exists());
}

#[test]
fn a_failed_start_names_its_step() {
    let missing = Launch { cwd: Some("/no/such/directory".to_owned()), ..exec(&["/bin/true"]) };
    for (claim, launch, step, errno) in [
        ("no such program", exec(&["/no/such/program"]), Step::Execute, nix::libc::ENOENT),
        ("not in PATH", exec(&["no-such-program-anywhere"]), Step::Execute, nix::libc::ENOENT),
        ("a directory", exec(&["/tmp"]), Step::Execute, nix::libc::EACCES),
        ("no such directory", missing, Step::Directory, nix::libc::ENOENT),
    ] {
        let (held, pidfd) = hold(&launch, Output::Policy);
        let running = held.release().expect("the child waits");
        wait(&pidfd);
        let trouble = running.report.read().expect("it never became its program");
        assert_eq!((trouble.step, trouble.errno), (step, errno), "{claim}");
        assert_eq!(pidfd.reap(), Some(Ending::Exit(127)));
    }
}

#[test]
fn a_child_has_clean_surroundings() {
    let leaked = File::open("/dev/null").expect("it is always there");
    nix::fcntl::fcntl(&leaked, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty())).expect("a flag can be set");
    let mut launch = shell(
        "ls /proc/self/fd; grep -E 'Sig(Blk|Ign)' /proc/self/status; pwd; umask; echo $A $PATH; env | wc -l; ps -o sid= -p $$ 2>/dev/null || cut -d' ' -f6 /proc/$$/stat; echo $$",
    );
    launch.env.push(("A".to_owned(), "1".to_owned()));
    let (text, ending) = run(&launch);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    assert_eq!(ending, Ending::Exit(0));
    // 3 is the directory that ls reads.
    assert_eq!(lines[..4], ["0", "1", "2", "3"], "{text}");
    for line in &lines[4..6] {
        assert!(line.ends_with("0000000000000000"), "{line}");
    }
    assert_eq!(lines[6..8], ["/", "0022"], "{text}");
    assert!(lines[8].starts_with("1 /"), "{text}");
    let (session, pid) = (lines[lines.len() - 2], lines[lines.len() - 1]);
    assert_eq!(session, pid, "it leads its own session");
}

#[test]
fn a_child_of_root_becomes_the_account_it_shall_be() {
    if !is_root() {
        return;
    }
    let launch =
        Launch { user: Some("nobody".to_owned()), ..shell("id -u; id -g; id -G; echo $USER; cat /etc/shadow") };
    let (text, ending) = run(&launch);
    let account = watchd::sys::accounts::user("nobody").expect("every system has it");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], account.uid.to_string(), "{text}");
    assert_eq!(lines[1], account.gid.to_string(), "{text}");
    assert!(!lines[2].split(' ').any(|group| group == "0"), "no group of root's is left: {text}");
    assert_eq!(lines[3], "nobody");
    assert_ne!(ending, Ending::Exit(0), "the shadow file stays closed");
    let numeric = Launch { user: Some("12345".to_owned()), group: Some("54321".to_owned()), ..shell("id -u; id -g") };
    assert_eq!(run(&numeric).0, "12345\n54321\n");
}

#[test]
fn a_group_is_ended_whole() {
    let line = "trap '' TERM; sleep 1000 & echo $!; exec sleep 1000";
    let (held, pidfd) = hold(&shell(line), Output::Pipe);
    let running = held.release().expect("the child waits");
    let grandchild = Pidfd::open(pid_told(running.output)).expect("it runs");
    pidfd.send_group(15).expect("the group is there");
    assert!(!pidfd.has_ended(), "it ignores SIGTERM");
    pidfd.send_group(9).expect("the group is there");
    wait(&grandchild);
    wait(&pidfd);
    assert_eq!(pidfd.ending(), Some(Ending::Signal(9)), "looking takes nothing away");
    assert_eq!(pidfd.reap(), Some(Ending::Signal(9)));
    assert!(pidfd.send(9).is_err(), "nobody is hit by a late signal");
}

#[test]
fn a_dead_leader_still_names_its_group() {
    let (held, pidfd) = hold(&shell("sleep 1000 & echo $!; exit 3"), Output::Pipe);
    let running = held.release().expect("the child waits");
    let left_over = Pidfd::open(pid_told(running.output)).expect("it runs");
    wait(&pidfd);
    pidfd.send_group(9).expect("a zombie keeps its group");
    wait(&left_over);
    assert_eq!(pidfd.reap(), Some(Ending::Exit(3)));
}

#[test]
fn a_pid_that_nobody_has_cannot_be_held() {
    let (held, pidfd) = hold(&exec(&["/bin/true"]), Output::Policy);
    let pid = held.pid();
    held.release().expect("the child waits");
    wait(&pidfd);
    pidfd.reap();
    assert!(Pidfd::open(pid).is_err());
    for pid in [0, -1] {
        assert!(Pidfd::open(pid).is_err(), "{pid}");
    }
}

#[test]
fn a_signal_to_watchd_is_not_taken_by_a_child_at_the_gate() {
    let held: Vec<(Held, Pidfd)> = (0..20).map(|_| hold(&exec(&["/bin/true"]), Output::Policy)).collect();
    for (held, pidfd) in held {
        held.release().expect("the child waits");
        wait(&pidfd);
        assert_eq!(pidfd.reap(), Some(Ending::Exit(0)));
    }
}

#[test]
fn no_descriptor_is_left_behind() {
    let count = || std::fs::read_dir(PathBuf::from("/proc/self/fd")).expect("it is there").count();
    run(&shell("true"));
    let before = count();
    for _ in 0..20 {
        run(&shell("true"));
    }
    // Other tests of this file run beside this one and hold a few of their own.
    assert!(count() <= before + 60, "{} descriptors, {before} before", count());
}

#[test]
fn a_child_is_not_exempt_from_the_oom_killer_and_watchd_stays_so() {
    let score = "/proc/self/oom_score_adj";
    if !is_root() || std::fs::write(score, "-500").is_err() {
        return;
    }
    let (text, _) = run(&exec(&["/bin/cat", score]));
    assert_eq!(text, "0\n");
    assert_eq!(std::fs::read_to_string(score).expect("it is there"), "-500\n");
    std::fs::write(score, "0").expect("it can be set back");
}

fn with(setting: Setting, launch: Launch) -> Launch {
    Launch { setting: Some(Box::new(setting)), ..launch }
}

/// RLIMIT_NOFILE and RLIMIT_CORE.
const LIMITS: [(u8, u64); 2] = [(7, 64), (4, 0)];

#[test]
fn a_child_has_the_setting_it_shall_have() {
    let variables = std::env::temp_dir().join(format!("watchd-spawn-env-{}", std::process::id()));
    std::fs::write(&variables, "# of the file\nA=1\nB=\"two words\"\n").expect("a file can be written");
    let setting = Setting {
        env_file: Some(EnvFile { path: variables.display().to_string(), optional: false }),
        umask: Some(0o27),
        nice: Some(5),
        ionice: Some(Ionice(3 << 13)),
        oom_score_adj: Some(700),
        rlimits: LIMITS.to_vec(),
        chroot: None,
        output: None,
    };
    let line = "umask; cut -d' ' -f19 /proc/$$/stat; cat /proc/self/oom_score_adj; ulimit -n; ulimit -Hc; echo $A $B";
    let mut launch = with(setting, shell(line));
    launch.env.push(("A".to_owned(), "of the table".to_owned()));
    let (text, _) = run(&launch);
    assert_eq!(text, "0027\n5\n700\n64\n0\nof the table two words\n");
    std::fs::remove_file(&variables).expect("it is there");
    let fault = Plan::prepare(&launch, Output::Policy).expect_err("its variables are not known");
    assert!(fault.to_string().starts_with("cannot read env-file"), "{fault}");
}

#[test]
fn output_goes_into_nobody_elses_file() {
    let dir = std::env::temp_dir().join(format!("watchd-spawn-output-{}", std::process::id()));
    let (real, place) = (dir.join("real"), |name: &str| dir.join(name));
    std::fs::create_dir_all(&real).expect("a directory can be made");
    std::fs::write(real.join("twice"), "").expect("a file can be written");
    std::fs::hard_link(real.join("twice"), place("second")).expect("a name can be given");
    std::os::unix::fs::symlink(&real, place("way")).expect("a link can be made");
    std::os::unix::fs::symlink(real.join("new"), place("link")).expect("a link can be made");
    for (name, errno) in [
        ("way/new", nix::libc::ELOOP),
        ("link", nix::libc::ELOOP),
        ("real/twice", nix::libc::EMLINK),
        ("second", nix::libc::EMLINK),
        ("none/new", nix::libc::ENOENT),
    ] {
        let file = watchd::model::Output::File { path: place(name).display().to_string(), max: 100, keep: 0 };
        let setting = Setting { output: Some(file), ..Setting::default() };
        let (held, pidfd) = hold(&with(setting, exec(&["/bin/true"])), Output::Policy);
        let running = held.release().expect("the child waits");
        wait(&pidfd);
        let trouble = running.report.read().expect("it never became its program");
        assert_eq!((trouble.step, trouble.errno), (Step::Output, errno), "{name}");
        pidfd.reap();
        assert!(!real.join("new").exists(), "{name}");
    }
    std::fs::remove_dir_all(&dir).expect("it is ours");
}

#[test]
fn each_step_of_a_setting_that_fails_is_named() {
    let user = Some("65534".to_owned());
    for (setting, step, words) in [
        (Setting { rlimits: vec![(200, 1)], ..Setting::default() }, Step::Limits, "cannot set rlimits: Invalid"),
        (
            Setting { ionice: Some(Ionice(7 << 13)), ..Setting::default() },
            Step::IoPriority,
            "cannot set ionice: Invalid",
        ),
        (
            Setting { chroot: Some("/no/such/root".to_owned()), ..Setting::default() },
            Step::Root,
            if nix::unistd::geteuid().is_root() { "cannot change the root: No such" } else { "cannot change the root" },
        ),
    ] {
        let (held, pidfd) = hold(&with(setting, Launch { user: None, ..exec(&["/bin/true"]) }), Output::Policy);
        let running = held.release().expect("the child waits");
        wait(&pidfd);
        let trouble = running.report.read().expect("it never became its program");
        assert_eq!(trouble.step, step, "{trouble}");
        assert!(trouble.to_string().starts_with(words), "{trouble}");
        pidfd.reap();
    }
    if is_root() {
        let root = std::env::temp_dir().join(format!("watchd-spawn-root-{}", std::process::id()));
        std::fs::create_dir(&root).expect("a directory can be made");
        let setting = Setting { chroot: Some(root.display().to_string()), ..Setting::default() };
        let (held, pidfd) = hold(&with(setting, Launch { user, ..exec(&["/bin/true"]) }), Output::Policy);
        let running = held.release().expect("the child waits");
        wait(&pidfd);
        let trouble = running.report.read().expect("there is no program behind this root");
        assert_eq!((trouble.step, trouble.errno), (Step::Execute, nix::libc::ENOENT));
        pidfd.reap();
        std::fs::remove_dir(&root).expect("it is empty");
    }
}
