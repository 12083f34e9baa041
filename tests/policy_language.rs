//! Six whole policies, what the language has to be able to say: three daemons kept alive, a disk that fills, a flood, files, numbers, a
//! schedule with fights. Each is read by the real program, judged by a dry run on this machine, and nothing is touched by it.
//! And `docs/policy.md` names every key there is, and no other.

#![allow(clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::path::Path;

use harness::Home;
use watchd::engine::policy::load_text;
use watchd_probes::inventory::Inventory;

const ALIVE: &str = r#"
[process.sshd]
match = "sshd"
start = ["/bin/true"]

[process.cron]
match = "cron"
start = ["/bin/true"]

[process.ntpd]
match = "ntpd"
start = "service ntp restart"
settle = "5s"

[class.restarted]
when = "sshd_repaired | cron_repaired | ntpd_repaired"

[file.keepalive]
path = "@/crontab"
line = "* * * * * root /usr/local/bin/watchd keepalive"
blanks = "ignore"

[report.restarts]
if = "restarted"
text = "{host}: restarted {repaired}"
to = "mail:root"
"#;

const DISK: &str = r#"
[watchd]
switches = ["maintenance"]

[disk.root]
path = "/"
full = "90%"
ok = "80%"
forecast = "24h"

[file.tidy_logs]
if = "disk_root_full & !maintenance"
in = "@/log"
names = ["*.gz", "*.[0-9]"]
older = "7d"
until = "disk_root < 80%"
delete = true

[command.clean_cache]
if = "disk_root_full & tidy_logs_kept"
run = ["/bin/true", "clean"]
timeout = "2m"
limit = "1/6h"

[report.disk]
if = "disk_root_full_soon | disk_root_full"
text = "/ is {disk_root.used} full, full in {disk_root.eta}; freed {tidy_logs.bytes}"
to = "mail:root"
quiet = "6h"
"#;

const FLOOD: &str = r#"
[watchd]
switches = ["maintenance"]

[measure.www_in]
metric = "tcp.port.80"
learn = true

[class.flood]
when = "www_in_high_anomaly & www_in_entropy_low & !(Monday & Hr06)"
hold = "15m"

[command.throttle]
if = "flood & !maintenance"
run = ["/bin/true"]
timeout = "20s"
limit = "2/1h"

[report.flood]
if = "flood"
text = "{www_in.value} connections, expected {www_in.expected}, top peer {www_in.top_peer}"
to = "webhook:ops"
changes = true

[webhook.ops]
run = ["/bin/true"]
"#;

const FILES: &str = r#"
[watchd]
switches = ["package_upgrade"]

[file.hosts]
path = "@/hosts"
lines = ["192.0.2.10 db", "192.0.2.11 cache"]
absent = '^192\.0\.2\.9\s'
mode = "0644"

[file.accounts]
path = "@/accounts"
watch = "sha256"
mode = "0644"

[report.changed]
if = "accounts_changed & !package_upgrade"
text = "accounts changed: {accounts.diff}"
to = ["log", "mail:root"]
"#;

const NUMBERS: &str = r#"
[measure.mailq]
run = "find @/spool -type f | wc -l"
every = "1m"
high = 500
learn = true
unit = "mails"

[measure.errors]
file = "@/app.log"
match = "ERROR|FATAL"
kind = "lines"
learn = true

[command.flush]
if = "mailq_high | mailq_shift_high"
run = ["/bin/true", "-f"]
every = "15m"
kept = [0]

[report.app]
if = "errors_high_dev2 | mailq_missing"
text = "{errors.value} errors (normal {errors.expected}); queue {mailq.value}"
to = "mail:root"
quiet = "30m"
"#;

const SCHEDULE: &str = r#"
[watchd]
cycle = "30s"
splay = "10s"
digest = { to = "mail:root", at = "Hr07 & Min00_05" }
alive = "@/watchd.alive"

[class.office]
when = "(Monday|Tuesday|Wednesday|Thursday|Friday) & (Hr08|Hr09|Hr10|Hr11|Hr12|Hr13|Hr14|Hr15|Hr16|Hr17)"

[process.worker]
regex = '^/opt/app/bin-worker --queue .*'
count = "2..4"
rss = "600M"
cpu = { max = "150%", for = "5m" }
signals = ["term", "10s", "kill"]
start = ["/bin/true"]
limit = "3/1h"
cooldown = "2h"

[report.fight]
if = "worker_flapping & office"
text = "workers were restarted {worker.repairs} times in an hour: stopped repairing for 2 h"
to = "mail:root"

[file.watchdog_of_watchdog]
path = "@/cron.d-watchd"
create = true
mode = "0644"
line = "* * * * * root /usr/local/bin/watchd keepalive"
"#;

/// What lies in a directory, by name and text.
fn below(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).expect("it can be listed").flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(below(&path));
        } else {
            all.push((path.display().to_string(), fs::read(&path).expect("it can be read")));
        }
    }
    all.sort();
    all
}

#[test]
fn six_policies_are_read_and_judged_and_a_dry_run_of_them_touches_nothing() {
    for (name, policy, would) in [
        ("alive", ALIVE, "file keepalive"),
        ("disk", DISK, ""),
        ("flood", FLOOD, ""),
        ("files", FILES, "file hosts"),
        ("numbers", NUMBERS, "measure mailq"),
        ("schedule", SCHEDULE, "file watchdog_of_watchdog"),
    ] {
        let home = Home::new(&format!("language-{name}"), policy);
        for dir in ["log", "spool"] {
            fs::create_dir(home.scratch.path(dir)).expect("a directory can be made");
        }
        for file in ["crontab", "hosts", "accounts", "app.log"] {
            home.scratch.write(file, "as it was\n");
        }
        let (code, said) = home.ask(&["check"]);
        assert!(code == 0 && said.contains(": ok: "), "{name}: {said}");
        let before = below(&home.scratch.dir);
        let (code, said) = home.ask(&["agent", "--dry-run"]);
        assert!(matches!(code, 0 | 1), "{name}: {said}");
        assert!(said.contains(would), "{name}: what it would do is told:\n{said}");
        assert_eq!(below(&home.scratch.dir), before, "{name}: {said}");
    }
}

/// The keys that a table takes, as a fault about an unknown one lists them.
fn keys(table: &str) -> Vec<String> {
    let text = format!("[{table}]\nqqqqqqqqqqqq = 1\n");
    let faults = load_text("t", &text, &Inventory::default()).err().unwrap_or_default();
    let fault = faults.iter().find(|fault| fault.key.ends_with("qqqqqqqqqqqq")).expect("it is named");
    let list = fault.remedy.strip_prefix("valid are ").expect("no key is like it");
    list.split(", ").map(str::to_owned).collect()
}

#[test]
fn the_page_names_every_key_of_every_promise() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policy.md")).expect("it is there");
    let (known, _) = page.split_once("## What is not there").expect("it has that part");
    let mut all = 0;
    for table in
        ["process.x", "command.x", "file.x", "disk.x", "measure.x", "freshness.x", "class.x", "report.x", "webhook.x"]
    {
        for key in keys(table) {
            all += 1;
            assert!(known.contains(&format!("`{key}`")), "docs/policy.md does not name `{key}` of [{table}]");
        }
    }
    assert!(all > 100, "{all} keys");
    for (table, key) in [("command.x", "background"), ("process.x", "unit"), ("measure.x", "value")] {
        assert!(!keys(table).iter().any(|known| known == key) && page.contains(&format!("`{key}` of a ")), "{key}");
    }
}
