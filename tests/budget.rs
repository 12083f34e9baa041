//! What watchd may use, held against the program that is shipped: `WATCHD_BIN` names it, or the tests are built with `--release`.
//!
//! Fifty services, every probe, both listeners. The sums are over all processes of watchd, and the limit is 3 MB of 1,000,000 bytes.
//! The cycles are short ones, a thousand of which fit into a test.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{Daemon, Home, Scratch, binary, is_release, look, net, until};
use watchd::model::ServiceState;
use watchd::store::Snapshot;

const LIMIT_KIB: u64 = 3_000_000 / 1024;
const SERVICES: usize = 50;
const CYCLES: u64 = 1_000;
const REQUESTS: usize = 10_000;
/// A pidfd for each service, and what one epoll with two listeners, timers and kept files needs.
const CORE_DESCRIPTORS: usize = SERVICES + 64;
/// A cycle finds its text where the last one has left it. Where the linker does not know what belongs together there are 90.
const FAULTS: u64 = 40;
/// 256 connections and a reserve.
const DOOR_DESCRIPTORS: usize = 300;
/// A huge page is 2 MiB and has to lie in one mapping. Where none fits, the text can never become one that is not given back.
const MAPPING_LIMIT: u64 = 2 << 20;
/// Everything of the file that is mapped. Raise it only for something that is worth its size.
/// The page for people, with its chart library, is 36 KB of it, the promises about files brought regular expressions and SHA-256, and half of what
/// node_exporter tells, sensors, the kernel's connections and the log of services are 100 KB; what an upgrade goes on with, and histories of
/// the policy's own measures, the last 50.
const IMAGE_LIMIT: u64 = 3_750_000;

fn is_the_shipped_program() -> bool {
    let is = is_release();
    if !is {
        eprintln!("SKIPPED: budgets hold for the release build; `.ci/run budget` makes one and measures it");
    }
    is
}

#[test]
fn fifty_services_and_everything_on_stay_below_three_megabytes() {
    if !is_the_shipped_program() {
        return;
    }
    let (munin, http) = (net::free_port(), net::free_port());
    let home = Home::new("budget", &config(munin, http));
    home.scratch.program("stamp.c", "stamp");
    let mut daemon = home.spawn_as(home.command_of(&written_in_one_piece(&home.scratch), &["run"]));
    for place in 0..SERVICES {
        daemon.wait_state(&format!("service{place}"), ServiceState::Ready);
    }
    until("an answer", || (net::get(http, "/healthz").0 == 200).then_some(()));
    let mut faults = over(&daemon, "at start");
    for pid in look::family(daemon.pid()) {
        let largest = largest_of_program(pid).expect("the program is mapped");
        assert!(largest < MAPPING_LIMIT, "process {pid} has a mapping of {largest} bytes of {MAPPING_LIMIT}");
    }

    let steady =
        |cycles| move |snapshot: &Snapshot| (snapshot.header.cycles > cycles).then_some(snapshot.header.cycles);
    let begin = daemon.wait_for("a fifth of the cycles", steady(CYCLES / 5));
    let faults_of = |pid| look::stat(pid).expect("it lives").faults;
    let before = faults_of(daemon.pid());
    let end = daemon.wait_for("a thousand cycles", steady(CYCLES));
    let came = (faults_of(daemon.pid()) - before) / (end - begin);
    println!("{came} page faults in each cycle");
    assert!(
        came < FAULTS || !cfg!(all(target_arch = "x86_64", target_env = "gnu")),
        "{came} page faults in each cycle: what runs together does not lie together any more; see benches/order/record"
    );
    faults.extend(over(&daemon, "after 1,000 cycles"));

    for number in 0..REQUESTS {
        request(number, munin, http);
        if number % 1_000 == 0 {
            faults.extend(over(&daemon, "between requests"));
        }
    }
    faults.extend(over(&daemon, "after 10,000 requests"));
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    let page = daemon.snapshot().expect("there is a board");
    assert!(page.services.iter().all(|row| row.state() == ServiceState::Ready), "every service still runs");
}

/// A copy of the program in the largest pieces the page cache knows, of which a fault may bring in a whole one.
fn written_in_one_piece(scratch: &Scratch) -> PathBuf {
    let copy = scratch.path("watchd");
    let mut command = Command::new("dd");
    command.args(["bs=16M", "status=none"]).arg(format!("of={}", copy.display()));
    let copied = command.arg(format!("if={}", binary().display())).status();
    assert!(copied.is_ok_and(|status| status.success()), "{}", copy.display());
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("it is ours");
    copy
}

fn config(munin: u16, http: u16) -> String {
    let mut text = String::from("[watchd]\ncycle = \"10ms\"\n");
    text += &format!("[munin]\nlisten = [\"127.0.0.1:{munin}\"]\n[http]\nlisten = [\"127.0.0.1:{http}\"]\n");
    text += "[disk.root]\npath = \"/\"\n[report.down]\nif = \"service0_down\"\ntext = \"{host}: down\"\n";
    for place in 0..SERVICES {
        text += &format!("[process.service{place}]\nrun = [\"@/stamp\", \"@/service{place}\"]\n");
    }
    text
}

fn request(number: usize, munin: u16, http: u16) {
    let pages = [
        "/",
        "/metrics",
        "/api/status?after=3",
        "/healthz",
        "/api/events?last=300",
        "/api/why?name=service7",
        "/page.js",
        "/uplot.js",
    ];
    let plugins = ["cpu", "load", "memory", "df", "processes"];
    if number.is_multiple_of(2) {
        let page = pages[number / 2 % pages.len()];
        // As browsers and Prometheus ask, and as the simplest client does.
        let packing = if number.is_multiple_of(4) { "Accept-Encoding: gzip\r\n" } else { "" };
        let answer = net::converse(http, &format!("GET {page} HTTP/1.0\r\n{packing}\r\n")).unwrap_or_default();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{page}, request {number}: {}", answer.len());
    } else {
        let plugin = plugins[number / 2 % plugins.len()];
        let answer = net::munin(munin, &format!("fetch {plugin}"));
        assert!(answer.contains(".value "), "{plugin}, request {number}: {answer}");
    }
}

/// Holds memory, descriptors and threads against their limits at this moment; gives what is over them.
fn over(daemon: &Daemon<'_>, when: &str) -> Vec<String> {
    let core = daemon.pid();
    let family = look::family(core);
    let (now, most) = (look::sum(core, "VmRSS"), look::sum(core, "VmHWM"));
    let each = |name| family.iter().filter_map(|pid| look::status(*pid, name)).collect::<Vec<u64>>();
    let (all_now, all_most) = (each("VmRSS"), each("VmHWM"));
    let descriptors: Vec<usize> = family.iter().map(|pid| look::descriptors(*pid)).collect();
    eprintln!("{when}: VmRSS {now} KiB {all_now:?}, VmHWM {most} KiB {all_most:?}, descriptors {descriptors:?}");

    let mut over = Vec::new();
    let mut hold = |is_within: bool, what: String| {
        if !is_within {
            over.push(format!("{when}: {what}"));
        }
    };
    hold(now < LIMIT_KIB, format!("VmRSS {now} KiB of {LIMIT_KIB}"));
    hold(most < LIMIT_KIB, format!("VmHWM {most} KiB of {LIMIT_KIB}"));
    hold(descriptors[0] <= CORE_DESCRIPTORS, format!("{} descriptors in the core", descriptors[0]));
    let of_door = descriptors.iter().skip(1).max().copied().unwrap_or(0);
    hold(of_door <= DOOR_DESCRIPTORS, format!("{of_door} descriptors in the door"));
    let threads = family.iter().filter_map(|pid| look::status(*pid, "Threads")).max().unwrap_or(0);
    hold(threads <= 1, format!("{threads} threads"));
    over
}

/// The largest of the mappings that a process has of its program, as the kernel lists them: `start-end perms offset dev inode path`.
fn largest_of_program(pid: i32) -> Option<u64> {
    let program = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let sizes = maps.lines().filter(|line| line.ends_with(program.to_string_lossy().as_ref())).filter_map(|line| {
        let (start, end) = line.split_once(' ')?.0.split_once('-')?;
        Some(u64::from_str_radix(end, 16).ok()? - u64::from_str_radix(start, 16).ok()?)
    });
    sizes.max()
}

#[test]
fn the_program_has_the_size_it_may_have() {
    if !is_the_shipped_program() {
        return;
    }
    let image: u64 = segments(&binary()).expect("the binary is an ELF file").iter().sum();
    eprintln!("loaded image: {image} bytes");
    assert!(image < IMAGE_LIMIT, "the loaded image has {image} bytes of {IMAGE_LIMIT}");
}

/// Bytes of the file in each mapping: the PT_LOAD segments of a 64-bit ELF file in native byte order.
fn segments(path: &Path) -> Option<Vec<u64>> {
    let file = fs::read(path).ok()?;
    let word = |at: usize| Some(u64::from_ne_bytes(file.get(at..at + 8)?.try_into().ok()?));
    let half = |at: usize| Some(usize::from(u16::from_ne_bytes(file.get(at..at + 2)?.try_into().ok()?)));
    let (start, size, count) = (usize::try_from(word(0x20)?).ok()?, half(0x36)?, half(0x38)?);
    let mut segments = Vec::new();
    for place in 0..count {
        let head = start + place * size;
        let is_load = file.get(head..head + 4)? == 1_u32.to_ne_bytes();
        if is_load {
            segments.push(word(head + 0x20)?);
        }
    }
    Some(segments)
}
