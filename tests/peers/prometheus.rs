//! What Prometheus makes of `/metrics`: its checker, a server that scrapes it, its rules, and node_exporter's page beside ours.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::{Told, find, net};
use crate::harness::{Home, skip, until};

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
    fn start(command: &mut Command, log: Stdio) -> Self {
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Self(quiet.spawn().expect("it can be started"))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Our page in front of a scraper that cannot speak OpenMetrics: what it asks for is replaced, everything else goes through.
// That watchd has one thread does not bind its peers.
#[allow(clippy::disallowed_methods)]
fn old_fashioned(http: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there are free ports");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                head.push(byte[0]);
            }
            let asked =
                "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: text/plain;version=0.0.4\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(net::converse(http, asked).unwrap_or_default().as_bytes());
        }
    });
    port
}

#[test]
fn a_prometheus_scrapes_us_in_both_formats_and_alerts_by_our_rules() {
    let Some(program) = find("prometheus") else { return skip("there is no prometheus") };
    let told = Told::new("prometheus");
    let _daemon = told.start();
    let port = net::free_port();
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/prometheus/rules.yml");
    let config = told.home.scratch.write(
        "prometheus.yml",
        &format!(
            "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nrule_files: [\"{rules}\"]\nscrape_configs:\n  \
             - job_name: watchd\n    static_configs:\n      - targets: [\"127.0.0.1:{}\"]\n  \
             - job_name: old\n    static_configs:\n      - targets: [\"127.0.0.1:{}\"]\n",
            told.http,
            old_fashioned(told.http)
        ),
    );
    let log = told.home.scratch.path("prometheus.log");
    let mut command = Command::new(program);
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!("--storage.tsdb.path={}", told.home.scratch.text("tsdb")));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--log.level=debug");
    let _prometheus = Peer::start(&mut command, File::create(&log).expect("it can be written").into());
    let tell = |path: &str| {
        // By HTTP/1.0, which has no chunks.
        let answer = net::converse(port, &format!("GET {path} HTTP/1.0\r\n\r\n")).ok()?;
        serde_json::from_str::<Value>(answer.split_once("\r\n\r\n")?.1).ok()
    };
    let ask = |query: &str| {
        let answer = tell(&format!("/api/v1/query?query={query}"))?;
        Some(answer.pointer("/data/result/0/value/1")?.as_str()?.to_owned())
    };
    for job in ["watchd", "old"] {
        let of = |query: &str| query.replace("JOB", &format!("job%3D%22{job}%22"));
        for (query, expect) in [
            ("up{JOB}", "1"),
            ("watchd_up{JOB}", "1"),
            ("watchd_service_state{JOB%2Cname%3D%22stamper%22%2Cstate%3D%22ready%22}", "1"),
            ("count(node_uname_info{JOB})", "1"),
            ("count(rate(node_cpu_seconds_total{JOB}[1m]))%3Ebool%207", "1"),
            ("scrape_samples_scraped{JOB}%3Ebool%20300", "1"),
            // Everything that was scraped went in.
            ("scrape_samples_scraped{JOB}-scrape_samples_post_metric_relabeling{JOB}", "0"),
            ("count_over_time(up{JOB}[1m])%3Ebool%203", "1"),
            ("min_over_time(up{JOB}[1m])", "1"),
        ] {
            let query = of(query).replace('{', "%7B").replace('}', "%7D").replace('[', "%5B").replace(']', "%5D");
            until(&query, || (ask(&query)? == expect).then_some(()));
        }
    }
    let targets = tell("/api/v1/targets").expect("its targets");
    let targets = targets["data"]["activeTargets"].as_array().expect("a list").clone();
    assert_eq!(targets.len(), 2, "{targets:?}");
    for target in &targets {
        assert_eq!((&target["health"], &target["lastError"]), (&json!("up"), &json!("")), "{target}");
    }
    // In OpenMetrics a family of counters goes by its name without `_total`, and has a unit.
    let about = |job: &str, metric: &str| {
        let target = format!("%7Bjob%3D%22{job}%22%7D");
        let told = tell(&format!("/api/v1/targets/metadata?match_target={target}&metric={metric}")).expect("an answer");
        told["data"].as_array().map_or(Value::Null, |list| list.first().cloned().unwrap_or_default())
    };
    let modern = about("watchd", "node_cpu_seconds");
    assert_eq!((&modern["type"], &modern["unit"]), (&json!("counter"), &json!("seconds")), "{modern}");
    let old = about("old", "node_cpu_seconds_total");
    assert_eq!((&old["type"], &old["unit"]), (&json!("counter"), &json!("")), "{old}");
    assert_eq!(about("watchd", "node_cpu_seconds_total"), Value::Null);
    // Every rule is understood and evaluated without a fault, and what cannot run is on its way to an alert.
    let alerts = include_str!("../../contrib/prometheus/rules.yml").matches("- alert: ").count();
    let loaded = until("rules that were evaluated", || {
        let told = tell("/api/v1/rules")?;
        let rules: Vec<Value> = told["data"]["groups"]
            .as_array()?
            .iter()
            .flat_map(|group| group["rules"].as_array())
            .flatten()
            .cloned()
            .collect();
        rules.iter().all(|rule| rule["health"] != "unknown").then_some(rules)
    });
    assert_eq!(loaded.len(), alerts);
    for rule in &loaded {
        assert_eq!((&rule["health"], &rule["lastError"]), (&json!("ok"), &Value::Null), "{rule}");
    }
    until("an alert about the service that cannot run", || {
        let told = tell("/api/v1/alerts")?;
        let is_it = |alert: &Value| {
            alert["labels"]["alertname"] == "ServiceDown"
                && alert["labels"]["name"] == "broken"
                && (alert["state"] == "pending" || alert["state"] == "firing")
        };
        told["data"]["alerts"].as_array()?.iter().any(is_it).then_some(())
    });
    // Out of order, out of bounds, twice: it says so about every scrape it does not like.
    let log = std::fs::read_to_string(log).expect("its log");
    let complaints: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("component=\"scrape manager\"") || line.contains("component=\"rule manager\""))
        .filter(|line| ["level=warn", "level=error", "err="].iter().any(|word| line.contains(word)))
        .collect();
    assert!(log.contains("Server is ready"), "{log}");
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
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
    let mut command = Command::new(program);
    let _exporter = Peer::start(command.arg(format!("--web.listen-address=127.0.0.1:{port}")), Stdio::null());
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
        // Each file system, interface and processor that it has. Which ones of the probes there are is each one's own.
        for labels in before.samples[name]
            .keys()
            .filter(|labels| after.samples.get(name).is_some_and(|all| all.contains_key(*labels)))
        {
            if !name.starts_with("node_scrape_") && !series.contains_key(labels) {
                faults.push(format!("{name}{labels:?} is there, and not here"));
            }
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
    // What it tells and we do not is written down, with the reason.
    let silent = not_told();
    let own: BTreeSet<&str> = families().into_iter().collect();
    for name in before.types.keys().filter(|name| !own.contains(name.as_str())) {
        assert!(silent.iter().any(|pattern| fits(pattern, name)), "{name} is there, not here, and not in {METRICS}");
    }
    // What this host has there, it has here.
    for (name, series) in before.samples.iter().filter(|(name, _)| own.contains(name.as_str())) {
        // What a link that does not know its speed has there is below 0.
        let is_known = series.values().any(|value| *value >= 0.0);
        assert!(!is_known || ours.samples.contains_key(name), "{name} is there, and not here");
    }
}

/// A host with an answer to everything, as files: there both tell the same to the last digit.
#[test]
fn a_recorded_host_is_told_as_node_exporter_tells_it() {
    let Some(program) = find("prometheus-node-exporter") else { return skip("there is no prometheus-node-exporter") };
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/probes/tests/fixtures/big");
    let (http, port) = (net::free_port(), net::free_port());
    let home = Home::new("recorded", &format!("[watchd]\ncycle = \"1s\"\n[http]\nlisten = [\"127.0.0.1:{http}\"]\n"));
    let mut daemon = home.spawn_as(home.command(&["run", "--root", root]));
    daemon.wait_for("two cycles", |snapshot| (snapshot.header.cycles > 2).then_some(()));
    let mut command = Command::new(program);
    command
        .args([format!("--path.procfs={root}/proc"), format!("--path.sysfs={root}/sys")])
        .arg("--collector.disable-defaults");
    let collectors = [
        "arp",
        "conntrack",
        "cpu",
        "diskstats",
        "entropy",
        "filefd",
        "loadavg",
        "mdadm",
        "meminfo",
        "netclass",
        "netstat",
        "pressure",
        "sockstat",
        "softnet",
        "stat",
        "vmstat",
    ];
    command.args(collectors.map(|name| format!("--collector.{name}")));
    let _exporter = Peer::start(command.arg(format!("--web.listen-address=127.0.0.1:{port}")), Stdio::null());
    let theirs = until("node_exporter", || {
        let answer = net::converse(port, "GET /metrics HTTP/1.0\r\n\r\n").ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.contains(" 200 ").then(|| Metrics::read(body))
    });
    let ours = until("our page", || {
        Some(Metrics::read(&net::get(http, "/metrics").1)).filter(|page| page.samples.len() > 100)
    });
    let well = &theirs.samples["node_scrape_collector_success"];
    for collector in ["arp", "conntrack", "mdadm", "softnet", "meminfo", "netstat", "sockstat"] {
        assert_eq!(well.get(&vec![format!("collector=\"{collector}")]), Some(&1.0), "{collector}: {well:?}");
    }
    let (mut faults, mut compared) = (Vec::new(), BTreeSet::new());
    let told = families();
    for (name, series) in
        theirs.samples.iter().filter(|(name, _)| told.contains(&name.as_str()) && !name.starts_with("node_scrape_"))
    {
        compared.insert(name);
        if ours.types.get(name) != theirs.types.get(name) {
            faults.push(format!("{name} is {:?}, there {:?}", ours.types.get(name), theirs.types.get(name)));
        }
        // A link that does not know its speed has one below 0 there, and none here.
        for (labels, value) in series.iter().filter(|(_, value)| **value >= 0.0) {
            let here = ours.samples.get(name).and_then(|series| series.get(labels));
            if here.is_none_or(|here| (here - value).abs() > value.abs() * 1e-12) {
                faults.push(format!("{name}{labels:?} is {here:?}, there {value}"));
            }
        }
    }
    assert!(faults.is_empty(), "{} of {}\n{}", faults.len(), compared.len(), faults.join("\n"));
    for name in [
        "node_arp_entries",
        "node_nf_conntrack_entries_limit",
        "node_md_disks",
        "node_md_disks_required",
        "node_md_state",
        "node_softnet_times_squeezed_total",
        "node_network_carrier",
        "node_network_transmit_queue_length",
        "node_sockstat_TCP_mem_bytes",
    ] {
        assert!(compared.iter().any(|other| *other == name), "{name} was not compared");
    }
}

const METRICS: &str = "contrib/prometheus/METRICS.md";

/// The families that stand in the document as told.
fn families() -> Vec<&'static str> {
    let text = include_str!("../../contrib/prometheus/METRICS.md");
    let (told, _) = text.split_once("<!-- end -->").expect("a table has an end");
    told.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect()
}

/// Those that are not, each as a name or with a star for any letters.
fn not_told() -> Vec<&'static str> {
    let text = include_str!("../../contrib/prometheus/METRICS.md");
    let (_, rest) = text.split_once("| family | why not |\n").expect("there is a table");
    let table = rest.split("\n\n").next().expect("it ends");
    let cells = table.lines().skip(1).filter_map(|line| line.split('|').nth(1));
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        Some((start, end)) => name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end),
        None => pattern == name,
    }
}

/// What the panels of "Node Exporter Full" and the alerts and recording rules of the node mixin ask for, beside what every host has.
const ASKED_FOR: &str = "node_arp_entries node_boot_time_seconds node_context_switches_total node_cooling_device_cur_state \
    node_cooling_device_max_state node_cpu_frequency_max_hertz node_cpu_frequency_min_hertz node_cpu_guest_seconds_total \
    node_cpu_scaling_frequency_hertz node_cpu_scaling_frequency_max_hertz node_cpu_scaling_frequency_min_hertz node_cpu_seconds_total \
    node_disk_discard_time_seconds_total node_disk_discards_completed_total node_disk_discards_merged_total node_disk_io_now \
    node_disk_io_time_seconds_total node_disk_io_time_weighted_seconds_total node_disk_read_bytes_total \
    node_disk_read_time_seconds_total node_disk_reads_completed_total node_disk_reads_merged_total \
    node_disk_write_time_seconds_total node_disk_writes_completed_total node_disk_writes_merged_total node_disk_written_bytes_total \
    node_entropy_available_bits node_entropy_pool_size_bits node_filefd_allocated node_filefd_maximum node_filesystem_avail_bytes \
    node_filesystem_device_error node_filesystem_files node_filesystem_files_free node_filesystem_free_bytes \
    node_filesystem_readonly node_filesystem_size_bytes node_forks_total node_hwmon_chip_names node_hwmon_sensor_label \
    node_hwmon_temp_celsius node_hwmon_temp_crit_alarm_celsius node_hwmon_temp_crit_celsius node_hwmon_temp_crit_hyst_celsius \
    node_hwmon_temp_max_celsius node_interrupts_total node_intr_total node_load1 node_load15 node_load5 node_md_disks \
    node_md_disks_required node_memory_Active_anon_bytes node_memory_Active_bytes node_memory_Active_file_bytes \
    node_memory_AnonHugePages_bytes node_memory_AnonPages_bytes node_memory_Bounce_bytes node_memory_Buffers_bytes \
    node_memory_Cached_bytes node_memory_CommitLimit_bytes node_memory_Committed_AS_bytes node_memory_DirectMap1G_bytes \
    node_memory_DirectMap2M_bytes node_memory_DirectMap4k_bytes node_memory_Dirty_bytes node_memory_HardwareCorrupted_bytes \
    node_memory_HugePages_Free node_memory_HugePages_Rsvd node_memory_HugePages_Surp node_memory_HugePages_Total \
    node_memory_Hugepagesize_bytes node_memory_Inactive_anon_bytes node_memory_Inactive_bytes node_memory_Inactive_file_bytes \
    node_memory_KernelStack_bytes node_memory_Mapped_bytes node_memory_MemAvailable_bytes node_memory_MemFree_bytes \
    node_memory_MemTotal_bytes node_memory_Mlocked_bytes node_memory_NFS_Unstable_bytes node_memory_PageTables_bytes \
    node_memory_Percpu_bytes node_memory_SReclaimable_bytes node_memory_SUnreclaim_bytes node_memory_ShmemHugePages_bytes \
    node_memory_ShmemPmdMapped_bytes node_memory_Shmem_bytes node_memory_Slab_bytes node_memory_SwapCached_bytes \
    node_memory_SwapFree_bytes node_memory_SwapTotal_bytes node_memory_Unevictable_bytes node_memory_VmallocChunk_bytes \
    node_memory_VmallocTotal_bytes node_memory_VmallocUsed_bytes node_memory_WritebackTmp_bytes node_memory_Writeback_bytes \
    node_netstat_Icmp_InErrors node_netstat_Icmp_InMsgs node_netstat_Icmp_OutMsgs node_netstat_IpExt_InOctets \
    node_netstat_IpExt_OutOctets node_netstat_Ip_Forwarding node_netstat_TcpExt_ListenDrops node_netstat_TcpExt_ListenOverflows \
    node_netstat_TcpExt_SyncookiesFailed node_netstat_TcpExt_SyncookiesRecv node_netstat_TcpExt_SyncookiesSent \
    node_netstat_TcpExt_TCPSynRetrans node_netstat_Tcp_ActiveOpens node_netstat_Tcp_CurrEstab node_netstat_Tcp_InErrs \
    node_netstat_Tcp_InSegs node_netstat_Tcp_MaxConn node_netstat_Tcp_OutRsts node_netstat_Tcp_OutSegs \
    node_netstat_Tcp_PassiveOpens node_netstat_Tcp_RetransSegs node_netstat_UdpLite_InErrors node_netstat_Udp_InDatagrams \
    node_netstat_Udp_InErrors node_netstat_Udp_NoPorts node_netstat_Udp_OutDatagrams node_netstat_Udp_RcvbufErrors \
    node_netstat_Udp_SndbufErrors node_network_carrier node_network_mtu_bytes node_network_receive_bytes_total \
    node_network_receive_compressed_total node_network_receive_drop_total node_network_receive_errs_total \
    node_network_receive_fifo_total node_network_receive_frame_total node_network_receive_multicast_total \
    node_network_receive_packets_total node_network_speed_bytes node_network_transmit_bytes_total node_network_transmit_carrier_total \
    node_network_transmit_colls_total node_network_transmit_compressed_total node_network_transmit_drop_total \
    node_network_transmit_errs_total node_network_transmit_fifo_total node_network_transmit_packets_total \
    node_network_transmit_queue_length node_network_up node_nf_conntrack_entries node_nf_conntrack_entries_limit \
    node_power_supply_online node_pressure_cpu_waiting_seconds_total node_pressure_io_stalled_seconds_total \
    node_pressure_io_waiting_seconds_total node_pressure_memory_stalled_seconds_total node_pressure_memory_waiting_seconds_total \
    node_processes_max_processes node_processes_max_threads node_processes_pids node_processes_state node_processes_threads \
    node_procs_blocked node_procs_running node_schedstat_running_seconds_total node_schedstat_timeslices_total \
    node_schedstat_waiting_seconds_total node_scrape_collector_duration_seconds node_scrape_collector_success \
    node_sockstat_FRAG_inuse node_sockstat_FRAG_memory node_sockstat_RAW_inuse node_sockstat_TCP_alloc node_sockstat_TCP_inuse \
    node_sockstat_TCP_mem node_sockstat_TCP_mem_bytes node_sockstat_TCP_orphan node_sockstat_TCP_tw node_sockstat_UDPLITE_inuse \
    node_sockstat_UDP_inuse node_sockstat_UDP_mem node_sockstat_UDP_mem_bytes node_sockstat_sockets_used node_softnet_dropped_total \
    node_softnet_processed_total node_softnet_times_squeezed_total node_systemd_socket_accepted_connections_total \
    node_systemd_unit_state node_systemd_units node_tcp_connection_states node_textfile_scrape_error node_time_seconds \
    node_timex_estimated_error_seconds node_timex_frequency_adjustment_ratio node_timex_loop_time_constant \
    node_timex_maxerror_seconds node_timex_offset_seconds node_timex_sync_status node_timex_tai_offset_seconds \
    node_timex_tick_seconds node_uname_info node_vmstat_oom_kill node_vmstat_pgfault node_vmstat_pgmajfault node_vmstat_pgpgin \
    node_vmstat_pgpgout node_vmstat_pswpin node_vmstat_pswpout node_bonding_active node_bonding_slaves process_cpu_seconds_total \
    process_max_fds process_open_fds process_resident_memory_bytes process_virtual_memory_bytes";

#[test]
fn what_common_panels_and_rules_ask_for_is_told_or_the_reason_is() {
    let (told, silent) = (families(), not_told());
    for name in ASKED_FOR.split_whitespace() {
        let (is_told, is_silent) = (told.contains(&name), silent.iter().any(|pattern| fits(pattern, name)));
        assert!(is_told || is_silent, "{name} is neither told nor in the list of what is not");
    }
    // A reason for what is told is an old one.
    for name in told {
        assert!(!silent.contains(&name), "{name} is told, and {METRICS} says why not");
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
