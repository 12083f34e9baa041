//! `watchd munin` and the wildcard plugin, as a munin-node and a master behind ssh use them: the real binary over a board.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod recorded;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use recorded::{Shown, manifest};
use watchd::sys::clock;

fn shown(name: &str) -> Shown {
    let shown = Shown::new("vm", name);
    shown.beat(clock::now());
    shown
}

fn run_dir(shown: &Shown) -> &Path {
    shown.path.parent().expect("it has a directory")
}

fn watchd(shown: &Shown, words: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_watchd"))
        .arg(words[0])
        .arg("--run-dir")
        .arg(run_dir(shown))
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("watchd starts");
    // A command that takes no input may have ended.
    let _ = child.stdin.take().expect("it was piped").write_all(input);
    child.wait_with_output().expect("watchd ends")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_plugin_answers_as_plugins_do() {
    let shown = shown("plugin");
    for (words, code, expect) in [
        (&["munin", "autoconf"][..], 0, "yes\n"),
        (&["munin", "autoconf", "cpu"], 0, "yes\n"),
        (&["munin", "suggest"], 0, "classes\npressure\nrestarts\nself\nservices\n"),
        (&["munin", "config", "services"], 0, "graph_title Watched services\n"),
        (&["munin", "config", "watchd_services"], 0, "graph_title Watched services\n"),
        (&["munin", "fetch", "watchd_services"], 0, "web.value 1\ndb.value 0\nmail.value U\n"),
        (&["munin", "watchd_restarts"], 0, "web.value 2\n"),
        (&["munin", "config", "watchd_cpu"], 0, "graph_title CPU usage\n"),
        (&["munin", "fetch", "load"], 0, "load.value "),
        (&["munin", "fetch", "nosuch"], 2, ""),
        (&["munin", "fetch", "../load"], 2, ""),
        (&["munin"], 2, ""),
        // A lone word is the name of a plugin, and there is none called so.
        (&["munin", "config"], 2, ""),
        (&["metrics"], 0, "# HELP watchd_cpu_total_seconds"),
        (&["metrics", "x"], 2, ""),
    ] {
        let output = watchd(&shown, words, b"");
        assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
        assert!(text(&output).starts_with(expect), "{words:?}: {output:?}");
        assert_eq!(code == 0, output.stderr.is_empty(), "{words:?}: {output:?}");
    }
}

#[test]
fn the_node_speaks_on_standard_input() {
    let shown = shown("stdio");
    let banner = "# munin node at golden.example\n";
    let long = [vec![b'x'; 5000], b"\nnodes\n".to_vec()].concat();
    let unknown = "# Unknown command. Try cap, list, nodes, config, fetch, version or quit\n";
    for (input, expect) in [
        (&b""[..], banner.to_owned()),
        (b"nodes", format!("{banner}golden.example\n.\n")),
        (b"nodes\r\nquit\nnodes\n", format!("{banner}golden.example\n.\n")),
        (&long, format!("{banner}{unknown}golden.example\n.\n")),
    ] {
        let output = watchd(&shown, &["munin", "--stdio"], input);
        assert_eq!((text(&output), output.status.code()), (expect, Some(0)));
    }
}

#[test]
fn without_a_daemon_it_says_so() {
    let shown = shown("absent");
    std::fs::remove_file(&shown.path).expect("it was there");
    let output = watchd(&shown, &["munin", "--stdio"], b"list\n");
    assert!(text(&output).starts_with("# cannot find the board"), "{output:?}");
    assert_eq!((text(&output).lines().count(), output.status.code()), (1, Some(1)));
    assert!(text(&watchd(&shown, &["munin", "autoconf"], b"")).starts_with("no (cannot find the board"));
    assert_eq!(watchd(&shown, &["munin", "fetch", "load"], b"").status.code(), Some(1));
    assert_eq!(watchd(&shown, &["metrics"], b"").status.code(), Some(3));
}

#[test]
fn the_wildcard_plugin_finds_its_graph_by_its_name() {
    let shown = shown("wildcard");
    let link = run_dir(&shown).join("watchd_services");
    std::os::unix::fs::symlink(manifest("contrib/munin/watchd_"), &link).expect("a link can be made");
    let plugin = |word: &str| {
        let mut command = Command::new(&link);
        command.env("watchd", env!("CARGO_BIN_EXE_watchd")).env("run_dir", run_dir(&shown));
        let command = if word.is_empty() { &mut command } else { command.arg(word) };
        text(&command.output().expect("the plugin runs"))
    };
    assert_eq!(plugin("autoconf"), "yes\n");
    assert!(plugin("suggest").contains("services\n"));
    assert!(plugin("config").starts_with("graph_title Watched services\n"));
    assert!(plugin("").starts_with("web.value 1\n"));
    assert!(!plugin("config").contains(".value "));
    let mut dirty = Command::new(&link);
    dirty.env("watchd", env!("CARGO_BIN_EXE_watchd")).env("run_dir", run_dir(&shown)).env("MUNIN_CAP_DIRTYCONFIG", "1");
    assert!(text(&dirty.arg("config").output().expect("the plugin runs")).contains("web.critical 1:\nweb.value 1\n"));
}
