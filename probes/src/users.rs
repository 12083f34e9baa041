//! Who is logged in, from the records of utmp: type, process, line and name in 384 bytes each.
//!
//! A record counts when it is of a user, has a name, and its process still exists, as `who` has it. It is put down by its
//! line: `tty1`, `pts/0`, `:0`. Hosts that keep no utmp (musl, systemd without it) have none: absence, not 0 users.

use crate::fault::if_present;
use crate::metric::metrics;
use crate::path::Path;
use crate::{Fault, Host, Look, MetricId, Probe, Sink, Source};

metrics! { Users:
    TOTAL: "total", Count, Gauge, "watchd_users_logged_in", "", "Users logged in.";
    TTY: "tty", Count, Gauge, "watchd_users", "line=\"tty\"", "Users logged in at a console or serial line.";
    PTY: "pty", Count, Gauge, "watchd_users", "line=\"pty\"", "Users logged in at an old pseudo terminal.";
    PTS: "pts", Count, Gauge, "watchd_users", "line=\"pts\"", "Users logged in at a pseudo terminal.";
    X: "x", Count, Gauge, "watchd_users", "line=\"x\"", "Users logged in at an X display.";
    OTHER: "other", Count, Gauge, "watchd_users", "line=\"other\"", "Users logged in elsewhere.";
}
pub const LABELS: &[&str] = &[];

/// The second is where the file was before there was a /run.
const PATH: &str = "run/utmp";
const OLD_PATH: &str = "var/run/utmp";

/// Size of a record: 400 where times in it are 64 bits wide (glibc's `__WORDSIZE_TIME64_COMPAT32` is unset).
const RECORD: usize = if cfg!(any(target_arch = "aarch64", target_arch = "loongarch64")) { 400 } else { 384 };
const USER_PROCESS: i16 = 7;
const LINES: [MetricId; 5] = [TTY, PTY, PTS, X, OTHER];

#[derive(Default)]
pub struct Users;

impl Probe for Users {
    fn read(&mut self, look: &mut Look<'_>, out: &mut Sink<'_>) -> Result<(), Fault> {
        let host = look.host;
        for path in [PATH, OLD_PATH] {
            // Opened anew each turn: the file is replaced at boot and by those who rotate it.
            if let Some(records) = if_present(Source::new(path).read_bytes(look))? {
                return give(records, RECORD, &|pid| exists(host, pid), out);
            }
        }
        Err(Fault::Absent { path: PATH })
    }
}

fn exists(host: &Host, pid: i32) -> bool {
    let path = Path::new("proc/").number(pid);
    pid > 0 && rustix::fs::statat(host.root(), path.bytes(), rustix::fs::AtFlags::empty()).is_ok()
}

fn give(records: &[u8], size: usize, is_alive: &dyn Fn(i32) -> bool, out: &mut Sink<'_>) -> Result<(), Fault> {
    let mut counts = [0; LINES.len()];
    let chunks = records.chunks_exact(size);
    if !chunks.remainder().is_empty() {
        return Err(Fault::malformed(PATH, 0, chunks.remainder()));
    }
    for record in chunks {
        if let Some(line) = line_of_user(record, is_alive) {
            let kind = kind_of(line);
            for (count, metric) in counts.iter_mut().zip(LINES) {
                *count += u64::from(metric == kind);
            }
        }
    }
    out.host(TOTAL, counts.iter().sum());
    for (metric, count) in LINES.into_iter().zip(counts) {
        out.host(metric, count);
    }
    Ok(())
}

/// The line of a user who is logged in.
fn line_of_user<'r>(record: &'r [u8], is_alive: &dyn Fn(i32) -> bool) -> Option<&'r [u8]> {
    // Layout of struct utmp: a short and two bytes of padding, an int, 32 bytes of line, 4 of id, 32 of name.
    let kind = i16::from_ne_bytes(*record.first_chunk()?);
    let pid = i32::from_ne_bytes(*record.get(4..)?.first_chunk()?);
    let (line, name) = (record.get(8..40)?, record.get(44..76)?);
    let is_user = kind == USER_PROCESS && name.first() != Some(&0) && is_alive(pid);
    is_user.then(|| line.split(|byte| *byte == 0).next()).flatten()
}

fn kind_of(line: &[u8]) -> MetricId {
    let base = line.split(|byte| *byte == b'/').next().unwrap_or(line);
    let has = |text: &[u8]| base.windows(text.len()).any(|part| part == text);
    let is_display = |pair: &[u8]| matches!(pair, [b':', digit] if digit.is_ascii_digit());
    match () {
        () if has(b"tty") => TTY,
        () if has(b"pty") => PTY,
        () if has(b"pts") => PTS,
        () if has(b"X") || base.windows(2).any(is_display) => X,
        () => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::{read_fixture, readings, text_of, value};
    use crate::{ProbeId, Value};

    /// The fixture was made where records have 384 bytes.
    const FIXTURE_RECORD: usize = 384;

    fn read(records: &[u8], alive: fn(i32) -> bool) -> Result<Vec<crate::trial::Reading>, Fault> {
        readings(ProbeId::Users, |out| give(records, FIXTURE_RECORD, &alive, out))
    }

    #[test]
    fn users_are_put_down_by_their_line() {
        let rows = read(&text_of("big", "run/utmp"), |pid| pid != 4_194_000).expect("well-formed");
        for (field, expect) in [("tty", 3), ("pty", 0), ("pts", 2), ("x", 1), ("other", 1), ("total", 7)] {
            assert_eq!(value(&rows, field, ""), Some(Value::Int(expect)), "{field}");
        }
    }

    #[test]
    fn users_whose_process_ended_are_gone() {
        let rows = read(&text_of("big", "run/utmp"), |_| false).expect("well-formed");
        assert_eq!(value(&rows, "total", ""), Some(Value::Int(0)));
    }

    #[test]
    fn an_empty_file_is_nobody_and_no_file_is_unknown() {
        let rows = read_fixture("vm", ProbeId::Users, &mut Users).expect("readable");
        assert_eq!(value(&rows, "total", ""), Some(Value::Int(0)));
        assert_eq!(read_fixture("nopsi", ProbeId::Users, &mut Users), Ok(vec![]));
    }

    #[test]
    fn lines_have_kinds() {
        for (line, kind) in [
            ("tty1", TTY),
            ("ttyS0", TTY),
            ("pts/3", PTS),
            ("ptyp0", PTY),
            (":0", X),
            ("X11", X),
            ("ftp/tty", OTHER),
            ("", OTHER),
        ] {
            assert_eq!(kind_of(line.as_bytes()), kind, "{line}");
        }
    }

    #[test]
    fn half_a_record_is_refused() {
        let records = text_of("big", "run/utmp");
        for cut in 0..records.len() {
            assert_eq!(read(&records[..cut], |_| true).is_ok(), cut % FIXTURE_RECORD == 0, "cut at {cut}");
        }
    }
}
