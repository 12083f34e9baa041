//! The pages for Prometheus, programs and people, made from recorded hosts and judged by others: promtool, a JSON parser, a look at
//! what a browser would make of hostile text.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod recorded;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use recorded::{NOW, snapshot};
use watchd::export::openmetrics::{self, Format};
use watchd::export::{Page, html, json};
use watchd::model::{ClassKind, Now, PromiseKind};
use watchd::store::ClassRow;
use watchd::store::board::fixed;
use zerocopy::FromZeros;

fn metrics(host: &str, format: Format) -> String {
    let mut page = Page::new(Page::LIMIT);
    openmetrics::write(&snapshot(host), NOW, format, &mut page);
    assert!(!page.is_overflown());
    String::from_utf8(page.bytes().to_vec()).expect("the page is UTF-8")
}

/// Names that node_exporter gave the world and promtool does not like; its own checks leave them out as well.
const INHERITED: [&str; 3] = ["node_entropy_", "node_memory_", "node_netstat_"];

#[test]
fn promtool_has_nothing_to_say() {
    for host in ["big", "old", "vm"] {
        let started = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut promtool = match started {
            Ok(promtool) => promtool,
            Err(error) if std::env::var_os("WATCHD_REQUIRE_PEERS").is_none() => {
                eprintln!("NOT CHECKED: promtool cannot be started: {error}");
                return;
            }
            Err(error) => panic!("promtool cannot be started: {error}"),
        };
        let page = metrics(host, Format::Text);
        promtool.stdin.take().expect("it was piped").write_all(page.as_bytes()).expect("promtool reads");
        let output = promtool.wait_with_output().expect("promtool ends");
        let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        let faults: Vec<&str> =
            said.lines().filter(|line| !INHERITED.iter().any(|name| line.starts_with(name))).collect();
        assert!(faults.is_empty(), "{host}:\n{}", faults.join("\n"));
    }
}

/// The family a sample belongs to, by the rules of each format.
fn family<'a>(line: &'a str, format: Format, known: &BTreeSet<&'a str>) -> &'a str {
    let name = line.split(['{', ' ']).next().unwrap_or_default();
    if format == Format::Text || known.contains(name) {
        return name;
    }
    name.strip_suffix("_total").or_else(|| name.strip_suffix("_info")).unwrap_or(name)
}

#[test]
fn a_family_stands_in_one_block_under_its_type() {
    for (host, format) in [("big", Format::OpenMetrics), ("big", Format::Text), ("vm", Format::OpenMetrics)] {
        let page = metrics(host, format);
        let (mut begun, mut current, mut samples) = (BTreeSet::new(), "", BTreeSet::new());
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                assert_eq!(name, current, "HELP comes first");
                assert!(["counter", "gauge", "info", "unknown", "untyped"].contains(&kind), "{line}");
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                current = rest.split(' ').next().expect("a name");
                assert!(begun.insert(current), "{host}: {current} begins twice");
            } else if !line.starts_with('#') {
                assert_eq!(family(line, format, &begun), current, "{host}: {line}");
                let (series, value) = line.rsplit_once(' ').expect("a value");
                assert!(samples.insert(series), "{host}: {series} stands twice");
                assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
            }
        }
        assert_eq!(page.ends_with("# EOF\n"), format == Format::OpenMetrics);
        for series in [
            "node_load1 ",
            "node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} ",
            "node_memory_MemAvailable_bytes ",
            "node_filesystem_avail_bytes{mountpoint=\"/\",",
            "node_disk_reads_completed_total{device=\"",
            "node_network_receive_bytes_total{device=\"eth0\"} ",
            "watchd_up 1",
            "watchd_service_state{name=\"web\",state=\"ready\"} 1",
            "watchd_service_state{name=\"web\",state=\"down\"} 0",
            "watchd_service_restarts_total{name=\"db\"} 2",
            "watchd_class{name=\"web_ready\",kind=\"state\"} 1",
            "watchd_promise_outcome{id=\"root\",type=\"disk\",outcome=\"kept\"} 1",
            "node_scrape_collector_success{collector=\"cpu\"} 1",
            "watchd_heartbeat_age_seconds 0",
        ] {
            assert!(page.lines().any(|line| line.starts_with(series)), "{host}: {series}");
        }
        assert!(!page.contains("load_high"), "a class that is off is not told");
    }
}

#[test]
fn the_status_document_changes_with_what_is_so_and_not_with_each_look() {
    let told = |late: Duration| {
        let mut page = Page::new(Page::LIMIT);
        json::status(&snapshot("vm"), Now { mono: NOW.mono + late, ..NOW }, &mut page);
        serde_json::from_slice::<serde_json::Value>(page.bytes()).expect("well-formed")
    };
    let cycle = told(Duration::ZERO)["daemon"]["cycle_s"].as_f64().expect("a number");
    for (cycles, age) in [(0.0, 0.0), (0.5, 0.0), (0.999, 0.0), (1.0, cycle), (1.7, cycle), (2.9, 2.0 * cycle)] {
        let late = told(Duration::from_secs_f64(cycles * cycle));
        assert_eq!(late["daemon"]["heartbeat_age_s"], age, "{cycles} cycles");
        assert_eq!(late == told(Duration::ZERO), age == 0.0, "{cycles} cycles");
    }
    let late = told(Duration::from_secs_f64(3.0 * cycle));
    assert_ne!(late["verdict"], told(Duration::ZERO)["verdict"], "three cycles without a turn are told");
}

#[test]
fn a_disk_tells_the_forecast_that_the_policy_asks_for() {
    let unknown = f64::NAN;
    for (figures, expect) in [
        ([unknown, unknown], None),
        ([unknown, 0.0], Some(serde_json::Value::Null)),
        ([7_200.0, 0.0], Some(serde_json::json!(7_200.0))),
        ([7_200.0, 99.0], None),
    ] {
        let mut shown = snapshot("vm");
        for row in shown.promises.iter_mut().filter(|row| row.kind() == Some(PromiseKind::Disk)) {
            row.figures = figures;
        }
        let mut page = Page::new(Page::LIMIT);
        json::status(&shown, NOW, &mut page);
        let status: serde_json::Value = serde_json::from_slice(page.bytes()).expect("well-formed");
        assert_eq!(status["disks"][0].get("full_in_s").cloned(), expect, "{figures:?}");
    }
}

#[test]
fn the_status_document_has_what_the_schema_promises() {
    let mut page = Page::new(Page::LIMIT);
    json::status(&snapshot("vm"), NOW, &mut page);
    let status: serde_json::Value = serde_json::from_slice(page.bytes()).expect("well-formed");
    assert_eq!(status["schema"], 1);
    for (path, expect) in [
        ("/daemon/version", serde_json::json!("0.1.0")),
        ("/daemon/pid", serde_json::json!(4711)),
        ("/daemon/started", serde_json::json!("2025-12-31T23:05:00Z")),
        ("/daemon/heartbeat_age_s", serde_json::json!(0.0)),
        ("/daemon/rss_kib", serde_json::json!(880)),
        ("/daemon/config/file", serde_json::json!("/etc/watchd/watchd.toml")),
        ("/daemon/config/ok", serde_json::json!(true)),
        ("/daemon/config/error", serde_json::Value::Null),
        ("/host/name", serde_json::json!("golden.example")),
        ("/processes/0/id", serde_json::json!("web")),
        ("/processes/0/state", serde_json::json!("ready")),
        ("/processes/0/pid", serde_json::json!(100)),
        ("/processes/0/restarts", serde_json::json!(2)),
        ("/processes/0/budget_left", serde_json::json!(3)),
        ("/processes/0/cpu_pct", serde_json::Value::Null),
        ("/processes/1/pid", serde_json::Value::Null),
        ("/classes/1/name", serde_json::json!("web_ready")),
        ("/classes/1/kind", serde_json::json!("state")),
        ("/promises/1/type", serde_json::json!("disk")),
        ("/promises/1/outcome", serde_json::json!("kept")),
        ("/promises/2/at", serde_json::Value::Null),
        ("/events/1/kind", serde_json::json!("service-died")),
        ("/disks/0/mountpoint", serde_json::json!("/")),
        ("/disks/0/used_pct", serde_json::json!(30.52)),
    ] {
        assert_eq!(status.pointer(path), Some(&expect), "{path}");
    }
    assert_eq!(status["classes"].as_array().map(Vec::len), Some(3), "classes that are off are not told");
    assert_eq!(status["host"]["load"].as_array().map(Vec::len), Some(3));
    assert!(status["processes"][1]["reason"].as_str().is_some_and(|reason| reason.contains("<b>\"core")));
}

#[test]
fn the_page_for_people_lets_no_text_of_the_host_become_markup() {
    let mut page = Page::new(Page::LIMIT);
    html::write(&snapshot("big"), true, NOW, &mut page);
    let text = String::from_utf8(page.bytes().to_vec()).expect("the page is UTF-8");
    assert!(page.len() < 60 << 10, "{}", page.len());
    assert!(!text.contains("<script>") && !text.contains("<b>\"core"), "{text}");
    assert_eq!(text.matches("<script").count(), 2, "its own two");
    assert!(text.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{text}");
    for needed in ["golden.example", "web", "flapping", "db_flapping", "/metrics", "/api/status", "12m 5s", "viewport"]
    {
        assert!(text.contains(needed), "{needed}");
    }
    for outside in ["http://", "https://", "src=\"//", "url(", "@import", " style=", " onclick", "javascript:"] {
        assert!(!text.contains(outside), "{outside}");
    }
}

#[test]
fn a_page_that_is_too_small_is_noticed_by_every_writer() {
    let snapshot = snapshot("big");
    for max in [0, 1, 100, 5000] {
        let mut page = Page::new(max);
        openmetrics::write(&snapshot, NOW, Format::OpenMetrics, &mut page);
        assert!(page.is_overflown() && page.len() <= max);
        page.clear();
        json::status(&snapshot, NOW, &mut page);
        assert!(page.is_overflown() && page.len() <= max);
        page.clear();
        html::write(&snapshot, true, NOW, &mut page);
        assert!(page.is_overflown() && page.len() <= max);
    }
}

#[test]
fn what_is_as_it_should_be_does_not_stand_out_among_the_classes() {
    let mut shown = snapshot("vm");
    for name in ["disk_root_ok", "disk_srv_full"] {
        let kind = ClassKind::Measured.byte();
        shown.classes.push(ClassRow { name: fixed(name), kind, on: 1, since_s: 1, ..ClassRow::new_zeroed() });
    }
    let mut page = Page::new(Page::LIMIT);
    html::write(&shown, false, NOW, &mut page);
    let text = String::from_utf8(page.bytes().to_vec()).expect("the page is UTF-8");
    let (open, folded) = text.split_once("<details>").expect("the others are folded away");
    assert!(open.contains(">disk_srv_full<") && !open.contains(">disk_root_ok<") && folded.contains(">disk_root_ok<"));
}
