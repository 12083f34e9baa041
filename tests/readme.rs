//! The documents say what the code does: their policies pass `watchd check`, and their tables are those of the code.
//!
//! A table stands between `<!-- table: NAME -->` and `<!-- end -->`. `WATCHD_BLESS=1 cargo test --test readme` writes the tables
//! anew; without it a difference is a failure.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use harness::{Scratch, binary};
use watchd::cli::COMMANDS;
use watchd::export::Page;
use watchd::export::munin::PLUGINS;
use watchd::export::openmetrics::{self, Format};
use watchd::model::Now;
use watchd::store::board::fixed;
use watchd::store::{ClassRow, PromiseRow, ServiceRow, Snapshot};
use watchd_probes::PROBES;
use zerocopy::FromZeros;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

const README: &str = "README.md";
const METRICS: &str = "contrib/prometheus/METRICS.md";

fn read(document: &str) -> String {
    fs::read_to_string(root().join(document)).expect("the document is there")
}

#[test]
fn every_policy_in_the_readme_and_in_contrib_passes_check() {
    let scratch = Scratch::new("readme");
    let mut files = contributed(&root().join("contrib"));
    for (number, block) in blocks(&read(README), "toml").into_iter().enumerate() {
        files.push(scratch.write(&format!("block-{number}.toml"), &block));
    }
    assert!(files.len() > 1, "there are policies to read");
    for file in files {
        let output = Command::new(binary()).arg("check").arg(&file).output().expect("watchd can be run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{}:\n{said}", file.display());
    }
}

#[test]
fn the_table_of_commands_is_that_of_the_code() {
    let mut table = String::from("| command | does | exit codes |\n|---|---|---|\n");
    for command in COMMANDS {
        let flags: String = command.flags.iter().map(|flag| format!(" [--{}]", flag.name)).collect();
        let words = if command.words.is_empty() { String::new() } else { format!(" {}", command.words) };
        let exits: Vec<String> = command.exits.iter().map(|(code, meaning)| format!("{code} {meaning}")).collect();
        let call = format!("watchd {}{words}{flags}", command.name).replace('|', "\\|");
        writeln!(table, "| `{call}` | {} | {} |", command.help, exits.join("; ")).expect("a text grows");
    }
    compare(README, "commands", &table);
}

#[test]
fn the_table_of_plugins_is_that_of_the_code() {
    let mut table = String::from("| plugin | shows |\n|---|---|\n");
    for plugin in PLUGINS {
        writeln!(table, "| `{}` | {} |", plugin.name, plugin.about).expect("a text grows");
    }
    compare(README, "plugins", &table);
}

#[test]
fn the_table_of_metrics_is_that_of_the_code() {
    let page = own_families();
    let mut families: BTreeMap<&str, &str> = BTreeMap::new();
    for metric in PROBES.iter().flat_map(|info| info.metrics) {
        families.entry(metric.family).or_insert(metric.help);
    }
    families.extend(page.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' ')));
    let mut table = String::from("| family | is |\n|---|---|\n");
    for (family, help) in families {
        writeln!(table, "| `{family}` | {help} |").expect("a text grows");
    }
    compare(METRICS, "metrics", &table);
}

/// The page of a watchd without readings and with one of everything else.
fn own_families() -> String {
    let mut snapshot = Snapshot::default();
    snapshot.header.rss_kib = 1;
    snapshot.header.door_rss_kib = 1;
    snapshot.services.push(ServiceRow { id: fixed("web"), ..ServiceRow::new_zeroed() });
    snapshot.classes.push(ClassRow { name: fixed("linux"), on: 1, ..ClassRow::new_zeroed() });
    snapshot.promises.push(PromiseRow { id: fixed("web"), ..PromiseRow::new_zeroed() });
    let mut page = Page::new(1 << 20);
    openmetrics::write(&snapshot, Now::default(), Format::Text, &mut page);
    String::from_utf8_lossy(page.bytes()).into_owned()
}

/// Holds the table in a document against that of the code.
fn compare(document: &str, name: &str, table: &str) {
    // The tests run beside each other, and each may write.
    static WRITING: Mutex<()> = Mutex::new(());
    let _alone = WRITING.lock();
    let text = read(document);
    let start = format!("<!-- table: {name} -->\n");
    let (before, rest) = text.split_once(&start).unwrap_or_else(|| panic!("{document} has a place for {name}"));
    let (stands, after) = rest.split_once("<!-- end -->").expect("a table has an end");
    if std::env::var_os("WATCHD_BLESS").is_some() {
        let text = format!("{before}{start}{table}<!-- end -->{after}");
        fs::write(root().join(document), text).expect("it can be written");
    } else {
        assert_eq!(stands, table, "{document}: {name} differ from the code; WATCHD_BLESS=1 writes them anew");
    }
}

/// The fenced blocks of one language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let starts = text.split(fence.as_str()).skip(1);
    starts.filter_map(|rest| Some(rest.split_once("\n```")?.0.to_owned() + "\n")).collect()
}

fn contributed(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("contrib can be listed") {
        let path = entry.expect("contrib can be listed").path();
        if path.is_dir() {
            files.extend(contributed(&path));
        } else if path.extension().is_some_and(|ending| ending == "toml") {
            files.push(path);
        }
    }
    files
}
