//! The commands for people, from outside: what they say and how they end, against boards and journals made by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::{Home, Scratch, binary, past};
use watchd::model::{ClassKind, EventKind, Identity, ServiceState};
use watchd::store::board::{Page, fixed};
use watchd::store::journal::Journal;
use watchd::store::{Board, ClassRow, EventRow, Header, Readings, ServiceRow};
use watchd::sys::{clock, daemon};
use zerocopy::FromZeros;

/// A run directory and a state directory, and what stands on the board.
struct Place {
    scratch: Scratch,
    header: Header,
    services: Vec<ServiceRow>,
}

impl Place {
    /// With the board of a daemon that is this test itself, so that it lives.
    fn new(name: &str) -> Self {
        let scratch = Scratch::new(name);
        std::fs::create_dir(scratch.path("run")).unwrap();
        std::fs::create_dir(scratch.path("state")).unwrap();
        let own = daemon::own_identity().unwrap();
        let header = Header {
            pid: u32::try_from(own.pid).unwrap(),
            start_ticks: own.start_ticks,
            boot_id: daemon::boot_id().unwrap(),
            cycle_ms: 10_000,
            config_ok: 1,
            state_ok: 1,
            version: fixed("test"),
            host: fixed("alpha"),
            ..Header::default()
        };
        Self {
            scratch,
            header,
            services: vec![service("web", ServiceState::Ready, ""), service("db", ServiceState::Ready, "")],
        }
    }

    fn publish(&self, heartbeat_age: u64) {
        let sample = watchd_probes::Sample::default();
        let readings = Readings { view: sample.view(), rates: &[] };
        let class = ClassRow {
            name: fixed("web_ready"),
            kind: ClassKind::State.byte(),
            on: 1,
            since_s: 1,
            ..ClassRow::new_zeroed()
        };
        let off = ClassRow { name: fixed("web_down"), on: 0, ..class };
        let mut board = Board::create(&self.scratch.path("run/board")).unwrap();
        let now = u64::try_from(clock::now().mono.as_millis()).unwrap();
        board.beat(now.saturating_sub(heartbeat_age * 1_000));
        board.publish(&Page {
            header: &self.header,
            readings,
            services: &self.services,
            classes: &[class, off],
            promises: &[],
            events: &[],
            learned: &[],
        });
    }

    fn note(&self, count: u64) {
        let (mut journal, _) = Journal::open(&self.scratch.path("state/events")).unwrap();
        for number in 1..=count {
            let text = format!("e{number}\x1b[31m");
            let kind = EventKind::ServiceDied.byte();
            let mut row = EventRow { kind, subject: fixed("web"), text: fixed(&text), ..EventRow::new_zeroed() };
            journal.append(&mut row).unwrap();
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(args).stdin(Stdio::null());
        command.arg("--run-dir").arg(self.scratch.path("run")).arg("--state-dir").arg(self.scratch.path("state"));
        command
    }

    /// Exit code, standard output, standard error.
    fn ask(&self, args: &[&str]) -> (i32, String, String) {
        let output = self.command(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).expect("watchd speaks UTF-8");
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }
}

fn service(id: &str, state: ServiceState, reason: &str) -> ServiceRow {
    ServiceRow { id: fixed(id), state: state.byte(), reason: fixed(reason), guard: 1, ..ServiceRow::new_zeroed() }
}

#[test]
fn status_ends_as_the_host_is() {
    let mut place = Place::new("status");
    let (code, _, said) = place.ask(&["status"]);
    assert_eq!((code, said.contains("no daemon runs with ")), (3, true), "{said}");

    place.publish(0);
    let (code, table, _) = place.ask(&["status"]);
    assert_eq!((code, table.contains("web") && !table.contains('\x1b')), (0, true), "{table}");
    assert_eq!(place.ask(&["status", "nobody"]).0, 2);

    place.services.push(service("mail", ServiceState::Backoff, "exit status 1"));
    place.publish(0);
    assert_eq!(place.ask(&["status"]).0, 1);
    assert_eq!(place.ask(&["status", "web"]).0, 0, "only what is named counts");
    assert_eq!(place.ask(&["status", "mail"]).0, 1);
    for (name, other, expect) in [("web", "mail", 0), ("mail", "web", 1)] {
        let (code, json, _) = place.ask(&["status", name, "--json"]);
        let has = |name: &str| json.contains(&format!("\"id\":\"{name}\""));
        assert_eq!((code, has(name), has(other)), (expect, true, false), "{json}");
    }

    place.publish(60);
    let (code, table, _) = place.ask(&["status"]);
    assert_eq!((code, table.contains("HUNG")), (4, true), "{table}");

    place.header.start_ticks += 1;
    place.publish(0);
    let (code, table, _) = place.ask(&["status"]);
    assert_eq!((code, table.contains("DEAD") && table.contains("web")), (3, true), "{table}");

    std::fs::write(place.scratch.path("run/board"), "what").unwrap();
    assert_eq!(place.ask(&["status"]).0, 4);
}

#[test]
fn nagios_gets_its_own_codes() {
    let mut place = Place::new("nagios");
    assert_eq!(place.ask(&["status", "--nagios"]).0, 3);
    place.publish(0);
    let (code, line, _) = place.ask(&["status", "--nagios"]);
    assert_eq!((code, line.starts_with("OK - 2 services ready | services=2;;;0 ready=2;;;0 ")), (0, true), "{line}");
    place.services.push(service("mail", ServiceState::Paused, ""));
    place.publish(0);
    assert_eq!(place.ask(&["status", "--nagios"]).0, 1);
    place.services.push(service("dns", ServiceState::Flapping, "no | luck"));
    place.publish(0);
    let (code, line, _) = place.ask(&["status", "--nagios"]);
    assert_eq!(
        (code, line.starts_with("CRITICAL - dns is flapping (no / luck), mail is paused |")),
        (2, true),
        "{line}"
    );
    assert_eq!(line.lines().count(), 1);
}

#[test]
fn a_state_means_the_same_to_status_nagios_and_the_page() {
    let mut place = Place::new("tones");
    for (state, status, nagios, tone) in [
        (ServiceState::Ready, 0, 0, "good"),
        (ServiceState::Stopped, 0, 0, "good"),
        (ServiceState::Starting, 0, 1, "warn"),
        (ServiceState::Stopping, 0, 1, "warn"),
        (ServiceState::Waiting, 0, 1, "warn"),
        (ServiceState::Paused, 0, 1, "warn"),
        (ServiceState::Unknown, 4, 1, "warn"),
        (ServiceState::Backoff, 1, 2, "bad"),
        (ServiceState::Flapping, 1, 2, "bad"),
        (ServiceState::Down, 1, 2, "bad"),
        (ServiceState::Unhealthy, 1, 2, "bad"),
        (ServiceState::Fight, 1, 2, "bad"),
    ] {
        place.services = vec![service("web", ServiceState::Ready, ""), service("mail", state, "")];
        place.publish(0);
        let (code, json, _) = place.ask(&["status", "--json"]);
        let verdict = json.split("\"tone\":\"").nth(1).and_then(|rest| rest.split('"').next());
        assert_eq!((code, verdict), (status, Some(tone)), "{state}: {json}");
        assert_eq!(place.ask(&["status", "mail"]).0, status, "{state}");
        assert_eq!(place.ask(&["status", "web"]).0, 0, "{state}");
        assert_eq!(place.ask(&["status", "--nagios"]).0, nagios, "{state}");
    }
}

#[test]
fn events_come_from_the_journal_and_steer_no_terminal() {
    let place = Place::new("events");
    let (code, _, said) = place.ask(&["events"]);
    assert_eq!((code, said.contains("cannot read the journal")), (1, true), "{said}");
    place.note(7);
    let (code, lines, _) = place.ask(&["events", "--last", "2"]);
    assert_eq!(code, 0);
    let lines: Vec<_> = lines.lines().collect();
    assert!(lines.len() == 2 && lines[1].ends_with("service-died       web: e7?[31m"), "{lines:?}");
    let (_, lines, _) = place.ask(&["events", "--json"]);
    let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!((&last["number"], &last["kind"], &last["subject"]), (&7.into(), &"service-died".into(), &"web".into()));
    assert_eq!(place.ask(&["events", "--last", "x"]).0, 2);
}

#[test]
fn followed_events_go_on() {
    let place = Place::new("follow");
    place.note(1);
    let mut child = place.command(&["events", "--follow"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    assert!(lines.next().unwrap().contains("e1"));
    place.note(2);
    let more: Vec<_> = lines.by_ref().take(2).collect();
    assert!(more[0].contains("e1") && more[1].contains("e2"), "{more:?}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn why_tells_what_led_to_a_state() {
    let mut place = Place::new("why");
    assert_eq!(place.ask(&["why", "web"]).0, 3);
    place.services[0] = service("web", ServiceState::Backoff, "killed by signal 9 after 2 h");
    place.publish(0);
    place.note(12);
    let (code, page, _) = place.ask(&["why", "web"]);
    assert_eq!(code, 0, "{page}");
    for part in [
        "web is backoff for ",
        "it died early",
        "killed by signal 9 after 2 h.",
        "Its classes that are true: web_ready.",
        "web: e12",
    ] {
        assert!(page.contains(part), "{part}:\n{page}");
    }
    assert!(!page.contains("web: e2?"), "only the last ten:\n{page}");
    assert!(place.ask(&["why", "web_down"]).1.contains("The state class web_down is not true"));
    assert_eq!(place.ask(&["why", "nobody"]).0, 2);
    assert_eq!(place.ask(&["why"]).0, 2);
}

#[test]
fn classes_are_listed() {
    let place = Place::new("class");
    assert_eq!(place.ask(&["class", "list"]).0, 3);
    place.publish(0);
    let (code, table, _) = place.ask(&["class", "list"]);
    assert_eq!((code, table.contains("web_ready"), table.contains("web_down")), (0, true, false), "{table}");
    assert!(place.ask(&["class", "list", "--all"]).1.contains("web_down"));
}

/// Answers one request as a daemon would.
fn answer(listener: &UnixListener, line: &str) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    let mut asked = String::new();
    BufReader::new(&stream).read_line(&mut asked).unwrap();
    stream.write_all(line.as_bytes()).unwrap();
    asked
}

#[test]
fn orders_are_asked_one_by_one_and_the_worst_answer_counts() {
    let place = Place::new("orders");
    assert_eq!(place.ask(&["restart", "web"]).0, 3, "no daemon");
    let listener = UnixListener::bind(place.scratch.path("run/control.sock")).unwrap();
    let order = |args: &[&str], answers: &[(&str, &str)]| {
        let child = place.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        for (asked, answered) in answers {
            assert_eq!(answer(&listener, answered), *asked);
        }
        let output = child.wait_with_output().unwrap();
        output.status.code().unwrap()
    };
    assert_eq!(order(&["restart", "web"], &[("restart web\n", "ok restarting web\n")]), 0);
    assert_eq!(
        order(&["pause", "web", "--for", "1h"], &[("pause web for=3600\n", "")]),
        1,
        "no answer at all is a failure"
    );
    let both = [("stop a\n", "no-such-name there is no a\n"), ("stop web\n", "ok stopped\n")];
    assert_eq!(order(&["stop", "a", "web"], &both), 2);
    assert_eq!(order(&["start", "web"], &[("start web\n", "failed no\n")]), 1);
    assert_eq!(order(&["shutdown"], &[("shutdown\n", "ok stopping\n")]), 0);
    for wrong in [&["stop"][..], &["stop", "../x"], &["pause", "web", "--for", "soon"], &["shutdown", "web"]] {
        assert_eq!(order(wrong, &[]), 2, "{wrong:?}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_accident() {
    let place = Place::new("pipe");
    place.note(4096);
    let mut child =
        place.command(&["events", "--last", "4096"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((child.wait().unwrap().code(), said.as_str()), (Some(0), ""));
}

#[test]
fn every_command_explains_itself() {
    let place = Place::new("help");
    let (code, page, _) = place.ask(&["help"]);
    assert_eq!(code, 0);
    let names: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .filter(|name| !name.starts_with('-'))
        .collect();
    assert!(names.len() > 10, "{page}");
    for name in names {
        let (code, page, _) = place.ask(&["help", name]);
        assert_eq!((code, page.starts_with(&format!("usage: watchd {name}"))), (0, true), "{page}");
        assert_eq!(place.ask(&[name, "--help"]).1, page);
    }
    assert_eq!(place.ask(&["--version"]).1, concat!("watchd ", env!("CARGO_PKG_VERSION"), "\n"));
    let (code, _, said) = place.ask(&["statsu"]);
    assert_eq!((code, said.contains("the nearest is `status`")), (2, true), "{said}");
}

/// Asks bash, which has read our script, what could follow.
fn complete(place: &Place, script: &std::path::Path, words: &[&str]) -> Vec<String> {
    let bin = binary();
    let (dir, last) = (bin.parent().unwrap().display(), words.len());
    let run = format!(
        "watchd() {{ command {dir}/watchd \"$@\" --run-dir {}; }}\nsource {}\nCOMP_WORDS=(watchd {})\nCOMP_CWORD={last}\n_watchd\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        place.scratch.path("run").display(),
        script.display(),
        words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
    );
    let output = std::process::Command::new("bash").args(["--norc", "-c", &run]).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn a_shell_completes_commands_options_and_names() {
    let place = Place::new("complete");
    place.publish(0);
    let (code, script, _) = place.ask(&["completions", "bash"]);
    assert_eq!(code, 0);
    let script = place.scratch.write("watchd.bash", &script);
    assert_eq!(complete(&place, &script, &["rest"]), ["restart"]);
    assert_eq!(complete(&place, &script, &["status", "--js"]), ["--json"]);
    assert_eq!(complete(&place, &script, &["restart", "we"]), ["web"]);
    assert_eq!(complete(&place, &script, &["completions", ""]), ["bash", "zsh", "fish"]);
    assert_eq!(complete(&place, &script, &["pause", "--for", ""]), [""; 0]);
    assert_eq!(place.ask(&["completions", "tcsh"]).0, 2);
}

#[test]
fn the_manual_page_is_one() {
    let place = Place::new("man");
    let (code, page, _) = place.ask(&["man"]);
    assert_eq!(code, 0);
    let file = place.scratch.write("watchd.8", &page);
    match std::process::Command::new("mandoc").args(["-Tlint", "-Werror"]).arg(&file).output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
        Err(_) => harness::skip("there is no mandoc"),
    }
}

#[test]
fn a_proposed_config_is_a_config() {
    let place = Place::new("discover");
    let (code, page, _) = place.ask(&["discover"]);
    assert_eq!((code, page.contains("[disk.root]")), (0, true), "{page}");
    let file = place.scratch.write("proposed.toml", &page);
    let (code, _, said) = place.ask(&["check", &file.to_string_lossy()]);
    assert_eq!(code, 0, "{said}\n{page}");
}

#[test]
fn the_tour_shows_everything_and_leaves_nothing() {
    let place = Place::new("tour");
    let mut command = place.command(&["demo"]);
    let output = command.env("TMPDIR", place.scratch.dir_of("tmp", None)).output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    for part in ["killed: death seen within ", "throwaway  ready", "load.value ", "KiB resident", "That was it."] {
        assert!(said.contains(part), "{part}:\n{said}");
    }
    assert_eq!(said.matches(" killed: death seen within ").count(), 3, "{said}");
    assert_eq!(std::fs::read_dir(place.scratch.path("tmp")).unwrap().count(), 0, "it cleans up");
}

#[test]
fn a_file_is_checked_and_a_class_evaluated() {
    let place = Place::new("check");
    let file = place.scratch.write("bad.toml", "[proces.web]\n");
    let (code, _, said) = place.ask(&["check", &file.to_string_lossy()]);
    assert_eq!((code, said.contains("bad.toml:1:2: proces")), (2, true), "{said}");
    assert_eq!(place.ask(&["check", "a", "b"]).0, 2);
    let eval = |with: &str, expression: &str| place.ask(&["class", "eval", "--with", with, expression]).0;
    assert_eq!((eval("a,b", "a & b"), eval("a", "a & b"), eval("a", "a &")), (0, 1, 2));
    assert_eq!(place.ask(&["class", "eval"]).0, 2);
    assert_eq!(place.ask(&["class", "explode"]).0, 2);
}

#[test]
fn programs_get_one_document() {
    let place = Place::new("json");
    assert_eq!(place.ask(&["status", "--json"]).0, 3);
    place.publish(0);
    let (code, page, _) = place.ask(&["status", "--json"]);
    let page: serde_json::Value = serde_json::from_str(&page).unwrap();
    assert_eq!((code, &page["schema"], &page["processes"][0]["id"]), (0, &1.into(), &"web".into()));
}

#[test]
fn the_live_view_leaves_the_terminal_as_it_was() {
    let place = Place::new("watch");
    place.publish(0);
    for key in [b"q", b"\x03"] {
        let size = nix::pty::Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = nix::pty::openpty(Some(&size), None).unwrap();
        let before = nix::sys::termios::tcgetattr(&pty.slave).unwrap();
        let end = || Stdio::from(pty.slave.try_clone().unwrap());
        let mut child = place.command(&["status", "--watch"]).stdin(end()).stdout(end()).spawn().unwrap();
        let mut screen = std::fs::File::from(pty.master.try_clone().unwrap());
        let mut seen = read_until(&mut screen, "q quits");
        assert!(seen.contains("web") && seen.starts_with("\x1b[?1049h"), "{seen:?}");
        screen.write_all(key).unwrap();
        seen.push_str(&read_until(&mut screen, "\x1b[?1049l"));
        assert_eq!(child.wait().unwrap().code(), Some(0), "all is well");
        assert_eq!(nix::sys::termios::tcgetattr(&pty.slave).unwrap().local_flags, before.local_flags);
    }
}

/// Reads from a terminal until a text has come.
fn read_until(screen: &mut std::fs::File, text: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(text) {
        let mut bytes = [0; 1024];
        let read = screen.read(&mut bytes).unwrap();
        seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
    }
    seen
}

#[test]
fn a_killed_writer_is_told_from_one_that_lives() {
    let mut place = Place::new("killed");
    let mut stand = Command::new("sleep").arg("600").spawn().unwrap();
    let pid = i32::try_from(stand.id()).unwrap();
    let identity = Identity { pid, start_ticks: daemon::look(pid).unwrap().start_ticks };
    place.header.pid = stand.id();
    place.header.start_ticks = identity.start_ticks;
    place.publish(0);
    assert_eq!(place.ask(&["status"]).0, 0);
    assert!(daemon::kill(identity, Duration::from_secs(10)).unwrap());
    assert_eq!(place.ask(&["status"]).0, 3, "ended, though nobody has collected it yet");
    stand.wait().unwrap();
    assert_eq!(place.ask(&["status"]).0, 3);
}

#[test]
fn a_history_is_drawn_listed_and_written_as_csv_and_json() {
    let home = Home::new("history", "");
    let (code, _) = home.ask(&["history"]);
    assert_eq!(code, 3, "there is none yet");
    // Nobody has to run.
    past::write(&home.scratch.path("state"), 2);
    let (code, list) = home.ask(&["history"]);
    assert!(code == 0 && list.starts_with("METRIC") && list.contains("network.rx_bytes"), "{list}");
    let (code, list) = home.ask(&["history", "--csv"]);
    assert!(code == 0 && list.starts_with("metric,object\n") && list.contains("\nfilesystem.avail,\"/\"\n"), "{list}");

    let (code, drawn) = home.ask(&["history", "load.five", "--since", "1d"]);
    let lines: Vec<&str> = drawn.lines().collect();
    assert_eq!((code, lines.len()), (0, 23), "{drawn}");
    assert!(lines[0].starts_with("load.five, 1d in steps of "), "{drawn}");
    assert!(lines[1].starts_with("newest ") && lines[1].contains(", most "), "{drawn}");
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{drawn}");
    let marks = drawn
        .chars()
        .filter(|letter| ('\u{2801}'..='\u{28ff}').contains(letter) || ('▁'..='█').contains(letter))
        .count();
    assert!(marks > 60, "{marks} marks\n{drawn}");
    assert!(!drawn.contains('\u{1b}'), "no colours into a pipe");

    let (code, csv) = home.ask(&["history", "load.five", "--since", "1h", "--csv"]);
    let mut rows = csv.lines();
    assert_eq!((code, rows.next()), (0, Some("ts,mean,min,max")));
    let means: Vec<f64> = rows
        .map(|row| {
            let numbers: Vec<f64> = row.split(',').skip(1).map(|number| number.parse().expect("a number")).collect();
            assert!(row.len() > 20 && row.as_bytes()[10] == b'T' && numbers.len() == 3, "{row}");
            assert!(numbers[1] <= numbers[0] && numbers[0] <= numbers[2], "{row}");
            numbers[0]
        })
        .collect();
    assert!(means.len() >= 350, "{} rows of ten seconds", means.len());

    let (code, json) = home.ask(&["history", "load.five", "--since", "1h", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!((code, &document["schema"], &document["metric"]), (0, &1.into(), &"load.five".into()));
    let points = document["points"].as_array().expect("points");
    // A cycle may have gone by between the two.
    assert!(points.len().abs_diff(means.len()) <= 2, "{} and {}", points.len(), means.len());
    let told: Vec<f64> = points.iter().map(|point| point[2].as_f64().expect("a number")).collect();
    assert!(means.iter().filter(|mean| told.contains(mean)).count() + 2 >= means.len(), "both tell the same");
}

#[test]
fn a_wrong_question_about_the_past_says_what_could_be_meant() {
    let home = Home::new("no-history", "");
    past::write(&home.scratch.path("state"), 1);
    for (words, code, fragment) in [
        (
            &["load.fife"][..],
            2,
            "cannot show `load.fife`: it has no history; `watchd history` lists what has; the nearest is `load.five`",
        ),
        (&["memory.avialable"], 2, "the nearest is `memory.available`"),
        (&["zzz"], 2, "cannot show `zzz`: it has no history; `watchd history` lists what has\n"),
        (
            &["filesystem.avail", "--object", "/nosuch"],
            2,
            "cannot choose an object of `filesystem.avail`: give --object and one of /",
        ),
        (
            &["load.five", "--since", "yesterday"],
            2,
            "cannot understand `--since yesterday`: write 90s, 30m, 6h, 7d, 5w or 2y",
        ),
        (&["load.five", "load.one"], 2, "cannot show `load.one` as well: one metric at a time"),
        (&["load.five", "--csv", "--json"], 2, "cannot write CSV and JSON at once: choose one"),
    ] {
        let output = home.watchd(&[&["history"][..], words].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(code) && said.contains(fragment), "{words:?}: {:?} {said}", output.status);
        assert!(output.stdout.is_empty(), "{words:?}");
    }
    home.scratch.write("state/history", "this is no history at all");
    let output = home.watchd(&["history", "load.five"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(1) && said.contains("/state/history: it is no history of this version"),
        "{said}"
    );
}
