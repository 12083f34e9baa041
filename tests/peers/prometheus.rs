//! What Prometheus makes of `/metrics`: its checker, a server that scrapes it, its rules, and node_exporter's page beside ours.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Child, Command, Stdio};

use super::{Told, find, net};
use crate::harness::{skip, until};

#[test]
fn promtool_finds_nothing_to_say_about_the_metrics() {
    let Some(promtool) = find("promtool") else { return skip("there is no promtool (package prometheus)") };
    let told = Told::new("promtool");
    let _daemon = told.start();
    let (code, page) = net::get(told.http, "/metrics");
    assert_eq!(code, 200, "{page}");
    check(&promtool, &page);
    let (code, page) = told.home.ask(&["metrics"]);
    assert_eq!(code, 0, "{page}");
    assert!(page.ends_with("# EOF\n"), "the command gives a whole OpenMetrics page");
}

/// A page that cannot be parsed ends with 1. Remarks about style end with 3, and are node_exporter's business where the names are.
fn check(promtool: &str, page: &str) {
    let mut command = Command::new(promtool);
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool can be run");
    child.stdin.take().expect("it is piped").write_all(page.as_bytes()).expect("promtool reads it");
    let output = child.wait_with_output().expect("it is our child");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 3)), "{said}");
    let ours: Vec<&str> = said.lines().filter(|line| !line.starts_with("node_")).collect();
    assert!(ours.is_empty(), "{}", ours.join("\n"));
}

#[test]
fn the_rules_we_give_away_alert_when_they_should() {
    let Some(promtool) = find("promtool") else { return skip("there is no promtool (package prometheus)") };
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/prometheus");
    for arguments in [["check", "rules", "rules.yml"], ["test", "rules", "rules_test.yml"]] {
        let output = Command::new(&promtool).args(arguments).current_dir(folder).output().expect("it can be run");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Ended, by its own handle, whatever the test comes to.
struct Peer(Child);

impl Peer {
    fn start(command: &mut Command) -> Self {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(quiet.spawn().expect("it can be started"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_prometheus_scrapes_us_and_knows_the_services() {
    let Some(program) = find("prometheus") else { return skip("there is no prometheus") };
    let told = Told::new("prometheus");
    let _daemon = told.start();
    let port = net::free_port();
    let config = told.home.scratch.write(
        "prometheus.yml",
        &format!(
            "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: watchd\n    static_configs:\n      \
             - targets: [\"127.0.0.1:{}\"]\n",
            told.http
        ),
    );
    let mut command = Command::new(program);
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!("--storage.tsdb.path={}", told.home.scratch.text("tsdb")));
    let _prometheus = Peer::start(command.arg(format!("--web.listen-address=127.0.0.1:{port}")));
    let ask = |query: &str| {
        let (_, body) = net::get(port, &format!("/api/v1/query?query={query}"));
        let answer: serde_json::Value = serde_json::from_str(&body).ok()?;
        let value = answer.pointer("/data/result/0/value/1")?.as_str()?.to_owned();
        Some(value)
    };
    for (query, expect) in [
        ("up%7Bjob%3D%22watchd%22%7D", "1"),
        ("watchd_up", "1"),
        ("watchd_service_state%7Bname%3D%22stamper%22%2Cstate%3D%22ready%22%7D", "1"),
        ("count(node_uname_info)", "1"),
        ("count(rate(node_cpu_seconds_total%5B1m%5D))%3Ebool%207", "1"),
        ("scrape_samples_scraped%3Ebool%20200", "1"),
    ] {
        until(query, || (ask(query)? == expect).then_some(()));
    }
}

/// Families with their types, and the samples of each: labels, sorted, to values.
#[derive(Default)]
struct Metrics {
    types: BTreeMap<String, String>,
    samples: BTreeMap<String, BTreeMap<Vec<String>, f64>>,
}

impl Metrics {
    fn read(page: &str) -> Self {
        let mut metrics = Self::default();
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type has a name");
                metrics.types.insert(name.to_owned(), kind.to_owned());
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
                let (name, labels) = series.split_once('{').unwrap_or((series, ""));
                let mut labels: Vec<String> = labels
                    .trim_end_matches('}')
                    .split("\",")
                    .filter(|label| !label.is_empty())
                    .map(|label| label.trim_end_matches('"').to_owned())
                    .collect();
                labels.sort();
                metrics.samples.entry(name.to_owned()).or_default().insert(labels, value.parse().expect("a number"));
            }
        }
        metrics
    }
}

/// Whether a value fits between two looks of somebody else. What does not move is the same; what moves may have moved a good deal on
/// a busy host, but another unit is a thousand times as much.
fn is_near(name: &str, ours: f64, before: f64, after: f64) -> bool {
    let (low, high) = (before.min(after), before.max(after));
    let still = ["MemTotal", "SwapTotal", "_size_bytes", "boot_time", "mtu_bytes", "uname_info", "_readonly"];
    if still.iter().any(|part| name.contains(part)) {
        return (ours - low).abs() <= 1.0;
    }
    let room = if name.ends_with("_bytes") { 1e9 } else { 50.0 };
    ours >= low * 0.5 - room && ours <= high * 1.5 + room
}

#[test]
fn what_node_exporter_tells_too_we_tell_alike() {
    let Some(program) = find("prometheus-node-exporter") else { return skip("there is no prometheus-node-exporter") };
    let told = Told::new("exporter");
    let _daemon = told.start();
    let port = net::free_port();
    let _exporter = Peer::start(Command::new(program).arg(format!("--web.listen-address=127.0.0.1:{port}")));
    // By HTTP/1.0, which has no chunks.
    let look = || {
        let answer = net::converse(port, "GET /metrics HTTP/1.0\r\n\r\n").ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.contains(" 200 ").then(|| Metrics::read(body))
    };
    let before = until("node_exporter", look);
    let ours = Metrics::read(&net::get(told.http, "/metrics").1);
    let after = until("node_exporter", look);

    let mut faults = Vec::new();
    let mut compared = 0;
    for (name, series) in ours.samples.iter().filter(|(name, _)| before.samples.contains_key(*name)) {
        if ours.types.get(name) != before.types.get(name) {
            faults.push(format!("{name} is {:?}, there {:?}", ours.types.get(name), before.types.get(name)));
        }
        let labels = |metrics: &BTreeMap<Vec<String>, f64>| -> BTreeSet<String> {
            metrics.keys().flatten().filter_map(|label| Some(label.split_once('=')?.0.to_owned())).collect()
        };
        if labels(series) != labels(&before.samples[name]) {
            faults.push(format!("{name} has {:?}, there {:?}", labels(series), labels(&before.samples[name])));
        }
        for (labels, value) in series {
            let there = |metrics: &Metrics| metrics.samples.get(name).and_then(|series| series.get(labels)).copied();
            let Some((one, other)) = there(&before).zip(there(&after)) else { continue };
            compared += 1;
            // How busy its own probes and their memory are is each one's own.
            if !name.starts_with("node_scrape_") && !is_near(name, *value, one, other) {
                faults.push(format!("{name}{labels:?} is {value}, there {one} and {other}"));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(compared > 150, "only {compared} samples are told by both");
    // What dashboards and rules of the node world are made of.
    for name in [
        "node_cpu_seconds_total",
        "node_load1",
        "node_load5",
        "node_load15",
        "node_memory_MemTotal_bytes",
        "node_memory_MemAvailable_bytes",
        "node_memory_Cached_bytes",
        "node_memory_SwapFree_bytes",
        "node_filesystem_avail_bytes",
        "node_filesystem_size_bytes",
        "node_filesystem_files_free",
        "node_filesystem_readonly",
        "node_network_receive_bytes_total",
        "node_network_transmit_bytes_total",
        "node_network_receive_errs_total",
        "node_disk_io_time_seconds_total",
        "node_disk_read_bytes_total",
        "node_disk_written_bytes_total",
        "node_boot_time_seconds",
        "node_time_seconds",
        "node_uname_info",
        "node_context_switches_total",
        "node_intr_total",
        "node_vmstat_pgmajfault",
        "node_filefd_allocated",
        "node_procs_running",
        "node_procs_blocked",
        "node_network_up",
    ] {
        assert!(ours.samples.contains_key(name) || !before.samples.contains_key(name), "{name} is there, and not here");
    }
}

#[test]
fn every_panel_of_the_dashboard_has_its_metrics() {
    let told = Told::new("dashboard");
    let _daemon = told.start();
    let ours = Metrics::read(&net::get(told.http, "/metrics").1);
    let board: serde_json::Value =
        serde_json::from_str(include_str!("../../contrib/grafana/dashboard.json")).expect("the dashboard is JSON");
    let mut expressions = vec!["label_values(watchd_up, instance)".to_owned()];
    for panel in board["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().expect("targets") {
            expressions.push(target["expr"].as_str().expect("an expression").to_owned());
        }
    }
    let rules = include_str!("../../contrib/prometheus/rules.yml");
    expressions.extend(rules.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).map(str::to_owned));
    assert!(expressions.len() > 20, "{expressions:?}");
    for expression in expressions {
        let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        for name in words.filter(|word| word.starts_with("node_") || word.starts_with("watchd_")) {
            assert!(ours.samples.contains_key(name), "{name} of {expression} is not on our page");
        }
    }
}
