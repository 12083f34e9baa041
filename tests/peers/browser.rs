//! The page for people in a real browser: it shows the host, asks nobody else for anything, and its console stays empty.

use std::fs;
use std::process::{Command, Output};

use super::{Told, find};
use crate::harness::skip;

/// Neither looks for updates nor for the network.
const QUIET: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--virtual-time-budget=3000",
];

#[test]
fn a_browser_shows_the_host_and_its_console_stays_empty() {
    let Some(chromium) = find("chromium") else { return skip("there is no chromium") };
    let told = Told::new("browser");
    let daemon = told.start();
    let host =
        daemon.snapshot().map(|page| watchd::store::board::text(&page.header.host).to_owned()).unwrap_or_default();
    let page = format!("http://127.0.0.1:{}/", told.http);
    let profile = format!("--user-data-dir={}", told.home.scratch.text("profile"));
    let run = |more: &[&str]| -> Output {
        let mut command = Command::new(&chromium);
        command.args(QUIET).arg(&profile).args(more).arg(&page);
        command.output().expect("chromium can be run")
    };

    let output = run(&["--dump-dom"]);
    let (dom, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!host.is_empty() && dom.contains(&host), "the page names the host {host}:\n{dom}");
    for word in ["stamper", "broken"] {
        assert!(dom.contains(word), "{word} is on the page:\n{dom}");
    }
    let console: Vec<&str> = said.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(console.is_empty(), "{}", console.join("\n"));

    for (name, size) in [("wide.png", "1280,900"), ("narrow.png", "360,800")] {
        let file = told.home.scratch.path(name);
        let _ = run(&[&format!("--screenshot={}", file.display()), &format!("--window-size={size}")]);
        let picture = fs::read(&file).expect("a picture was taken");
        assert!(
            picture.starts_with(b"\x89PNG") && picture.len() > 8_000,
            "{name} shows something: {} bytes",
            picture.len()
        );
    }
}
