//! The clocks, and what they say in the calendar.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::model::Now;

/// Reads both clocks. Monotonic time is CLOCK_BOOTTIME: a suspended host has not been watched, and deadlines know it.
pub fn now() -> Now {
    let read = |clock| clock_gettime(clock).map(Duration::from).unwrap_or_default();
    Now { mono: read(ClockId::CLOCK_BOOTTIME), wall: read(ClockId::CLOCK_REALTIME) }
}

/// Lets another process run.
pub fn give_way() {
    let _ = nix::sched::sched_yield();
}

/// How well the kernel's clock is kept. Nothing is changed by asking; none where even that is refused.
pub fn discipline() -> Option<watchd_probes::timex::Told> {
    // SAFETY: a timex is plain numbers.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `timex` is ours; with `modes` 0 the kernel only fills it in.
    let state = unsafe { libc::adjtimex(&mut timex) };
    (state >= 0).then(|| watchd_probes::timex::Told {
        is_synced: state != libc::TIME_ERROR,
        offset: wide(timex.offset),
        frequency: wide(timex.freq),
        max_error_us: wide(timex.maxerror),
        estimated_error_us: wide(timex.esterror),
        status: i64::from(timex.status),
        constant: wide(timex.constant),
        tick_us: wide(timex.tick),
        tai_s: i64::from(timex.tai),
    })
}

/// A number of the kernel that is as wide as its registers.
fn wide(number: impl Into<i64>) -> i64 {
    number.into()
}

/// A point of time in the calendar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Civil {
    pub year: i32,
    /// From 1.
    pub month: u8,
    /// From 1.
    pub day: u8,
    /// From Monday, which is 0.
    pub weekday: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
}

/// Makes `zone` the zone of [`Civil::local`]: a name such as `Europe/Paris`, or a rule such as `CET-1CEST,M3.5.0,M10.5.0/3`.
/// False when neither is known; the C library would take it for universal time without a word.
pub fn set_zone(zone: &str) -> bool {
    let plain =
        zone.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte)) && !zone.starts_with('/');
    // As the C library looks for it.
    let dir = std::env::var_os("TZDIR").unwrap_or_else(|| "/usr/share/zoneinfo".into());
    let file = std::path::Path::new(&dir).join(zone);
    let named = plain && std::fs::read(file).is_ok_and(|bytes| bytes.starts_with(b"TZif"));
    // Letters, an offset, and when summer begins and ends.
    let letters = zone.bytes().take_while(u8::is_ascii_alphabetic).count();
    let rest = zone.as_bytes().get(letters..).unwrap_or_default();
    let rule = letters >= 3
        && rest.iter().any(u8::is_ascii_digit)
        && rest.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-,./:".contains(byte));
    let known = if named { None } else { known_rule(zone) };
    if !named && !rule && known.is_none() && zone != "UTC" {
        return false;
    }
    let zone = known.unwrap_or(zone);
    // SAFETY: there is one thread, so nobody reads the environment meanwhile.
    unsafe { std::env::set_var("TZ", zone) };
    // SAFETY: as above; tzset reads TZ and writes only the C library's own variables.
    unsafe { tzset() };
    true
}

unsafe extern "C" {
    fn tzset();
}

/// Rules of some zones, for hosts that have no files of zones; as they are since 2007.
const RULES: &[(&str, &[&str])] = &[
    (
        "CET-1CEST,M3.5.0,M10.5.0/3",
        &[
            "Europe/Amsterdam",
            "Europe/Belgrade",
            "Europe/Berlin",
            "Europe/Bratislava",
            "Europe/Brussels",
            "Europe/Budapest",
            "Europe/Copenhagen",
            "Europe/Ljubljana",
            "Europe/Luxembourg",
            "Europe/Madrid",
            "Europe/Oslo",
            "Europe/Paris",
            "Europe/Prague",
            "Europe/Rome",
            "Europe/Stockholm",
            "Europe/Vienna",
            "Europe/Warsaw",
            "Europe/Zagreb",
            "Europe/Zurich",
        ],
    ),
    ("GMT0BST,M3.5.0/1,M10.5.0", &["Europe/London", "Europe/Dublin"]),
    ("WET0WEST,M3.5.0/1,M10.5.0", &["Europe/Lisbon"]),
    (
        "EET-2EEST,M3.5.0/3,M10.5.0/4",
        &["Europe/Athens", "Europe/Bucharest", "Europe/Helsinki", "Europe/Kyiv", "Europe/Sofia"],
    ),
    ("EST5EDT,M3.2.0,M11.1.0", &["America/New_York"]),
    ("CST6CDT,M3.2.0,M11.1.0", &["America/Chicago"]),
    ("PST8PDT,M3.2.0,M11.1.0", &["America/Los_Angeles"]),
    ("UTC0", &["Etc/UTC", "GMT"]),
];

fn known_rule(zone: &str) -> Option<&'static str> {
    RULES.iter().find(|(_, zones)| zones.contains(&zone)).map(|(rule, _)| *rule)
}

impl Civil {
    /// Seconds since Monday 00:00.
    pub fn week_second(&self) -> u32 {
        let Self { weekday, hour, minute, second, .. } = *self;
        ((u32::from(weekday) * 24 + u32::from(hour)) * 60 + u32::from(minute)) * 60 + u32::from(second)
    }

    /// Where the host is. The zone comes from `TZ` or /etc/localtime.
    pub fn local(wall: Duration) -> Self {
        // SAFETY: localtime_r writes only to the structure it is given, and there is one thread.
        Self::convert(wall, |seconds, parts| unsafe { libc::localtime_r(seconds, parts) })
    }

    /// Seconds since Monday 00:00 where the host is, of a moment in seconds since 1970.
    pub fn week_second_at(wall_s: u64) -> u32 {
        Self::local(Duration::from_secs(wall_s)).week_second()
    }

    /// In universal time.
    pub fn utc(wall: Duration) -> Self {
        // SAFETY: as above.
        Self::convert(wall, |seconds, parts| unsafe { libc::gmtime_r(seconds, parts) })
    }

    fn convert(wall: Duration, convert: impl FnOnce(&libc::time_t, &mut libc::tm) -> *mut libc::tm) -> Self {
        let seconds = libc::time_t::try_from(wall.as_secs()).unwrap_or_default();
        // SAFETY: a tm is plain numbers and a pointer that may be null.
        let mut parts: libc::tm = unsafe { std::mem::zeroed() };
        if convert(&seconds, &mut parts).is_null() {
            return Self::default();
        }
        let small = |part: i32| u8::try_from(part).unwrap_or_default();
        Self {
            year: parts.tm_year.saturating_add(1900),
            month: small(parts.tm_mon + 1),
            day: small(parts.tm_mday),
            weekday: small((parts.tm_wday + 6) % 7),
            hour: small(parts.tm_hour),
            minute: small(parts.tm_min),
            second: small(parts.tm_sec),
        }
    }
}

/// As RFC 3339 writes it, without an offset: `2026-03-01T07:00:59`.
impl std::fmt::Display for Civil {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { year, month, day, hour, minute, second, .. } = self;
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_that_nobody_knows_is_refused() {
        for zone in ["", "Europe/Atlantis", "/etc/passwd", "../../../etc/passwd", "tzdata.zi", "Mars 1"] {
            assert!(!set_zone(zone), "{zone}");
        }
    }

    #[test]
    fn a_week_begins_on_monday() {
        assert_eq!(Civil::utc(Duration::from_secs(4 * 86_400)).week_second(), 0);
        assert_eq!(Civil::utc(Duration::from_secs(4 * 86_400 - 1)).week_second(), 7 * 86_400 - 1);
    }

    #[test]
    fn the_calendar_is_right() {
        let leap = Civil::utc(Duration::from_secs(951_827_696));
        assert_eq!(leap.to_string(), "2000-02-29T12:34:56");
        assert_eq!(leap.weekday, 1, "a Tuesday");
        assert_eq!(Civil::utc(Duration::ZERO).to_string(), "1970-01-01T00:00:00");
        assert_eq!(Civil::utc(Duration::from_secs(4_102_444_800)).to_string(), "2100-01-01T00:00:00");
    }
}
