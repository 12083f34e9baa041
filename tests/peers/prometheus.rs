//! What Prometheus' own tool says about `/metrics`.

use std::io::Write;
use std::process::{Command, Stdio};

use super::{Told, find, net};
use crate::harness::skip;

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
