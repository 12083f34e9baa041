//! Numbers and times as text, without allocation: `%.15g` as Munin's plugins print it, and UTC as RFC 3339 writes it.

use std::fmt::{self, Write};
use std::time::Duration;

/// Significant digits of a fraction; a double has no more that are all certain.
const DIGITS: i32 = 15;

type Digits = heapless::String<32>;

/// A number with up to 15 significant digits and no trailing zeros, as C's `%.15g` has it; what is not finite is `U`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct General(pub f64);

impl fmt::Display for General {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.0;
        if !value.is_finite() {
            return out.write_str("U");
        }
        let mut scientific = Digits::new();
        write!(scientific, "{value:.*e}", usize::try_from(DIGITS - 1).unwrap_or(0))?;
        let (mantissa, exponent) = scientific.split_once('e').ok_or(fmt::Error)?;
        let exponent: i32 = exponent.parse().map_err(|_| fmt::Error)?;
        if !(-4..DIGITS).contains(&exponent) {
            let sign = if exponent < 0 { '-' } else { '+' };
            return write!(out, "{}e{sign}{:02}", trimmed(mantissa), exponent.unsigned_abs());
        }
        let mut plain = Digits::new();
        write!(plain, "{value:.*}", usize::try_from(DIGITS - 1 - exponent).unwrap_or(0))?;
        out.write_str(trimmed(&plain))
    }
}

/// A number for people: four digits that say something, and a letter for what is large.
///
/// ```text
/// 0.4852   12.35   1234   24.28M   22.62G (bytes, by 1024)
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rough {
    pub value: f64,
    pub is_bytes: bool,
}

impl fmt::Display for Rough {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.value.is_finite() {
            return out.write_str("unknown");
        }
        let (base, letters) =
            if self.is_bytes { (1024.0, ["K", "M", "G", "T", "P"]) } else { (1000.0, ["k", "M", "G", "T", "P"]) };
        let (mut value, mut letter) = (self.value, "");
        for next in letters {
            if value.abs() < 9999.5 {
                break;
            }
            (value, letter) = (value / base, next);
        }
        if value.abs() >= 9999.5 {
            return write!(out, "{:.3e}", self.value);
        }
        let digits = [1000.0, 100.0, 10.0, 1.0].iter().filter(|step| value.abs() < **step).count();
        let mut plain = Digits::new();
        write!(plain, "{value:.digits$}")?;
        write!(out, "{}{letter}", trimmed(&plain))
    }
}

/// Without the zeros behind the last digit that says something.
fn trimmed(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

/// A point in time, given as milliseconds since 1970: `2026-01-31T08:05:09Z`. 0 stands for "never".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(pub u64);

impl fmt::Display for Stamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1000;
        let (year, month, day) = civil(seconds / 86_400);
        let second = seconds % 86_400;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// Days since 1970 to a date, by the 400-year cycle of 146,097 days that starts in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (cycle, day_of_cycle) = (days / 146_097, days % 146_097);
    let year_of_cycle = (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (cycle * 400 + year_of_cycle + u64::from(month <= 2), month, day)
}

/// A stretch of time in its two largest units: `3d 4h`, `12m 5s`, `7s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
            (0, 0, 0, seconds) => write!(out, "{seconds}s"),
            (0, 0, minutes, seconds) => write!(out, "{minutes}m {seconds}s"),
            (0, hours, minutes, _) => write!(out, "{hours}h {minutes}m"),
            (days, hours, _, _) => write!(out, "{days}d {hours}h"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_what_says_something() {
        for (value, is_bytes, expect) in [
            (0.0, false, "0"),
            (0.485_23, false, "0.4852"),
            (0.000_01, false, "0"),
            (10.416, false, "10.42"),
            (40.0, true, "40"),
            (999.97, false, "1000"),
            (-1234.4, false, "-1234"),
            (9999.4, false, "9999"),
            (12_345.0, false, "12.35k"),
            (24_284_814_449.777_8, false, "24.28G"),
            (24_284_814_449.777_8, true, "22.62G"),
            (1e300, false, "1.000e300"),
            (f64::NAN, false, "unknown"),
        ] {
            assert_eq!(Rough { value, is_bytes }.to_string(), expect, "{value}");
        }
    }

    #[test]
    fn fractions_have_fifteen_digits_and_no_idle_zeros() {
        for (value, expect) in [
            (0.0, "0"),
            (30.517_578_125, "30.517578125"),
            (21.703_751_710_232_645, "21.7037517102326"),
            (0.000_127_152_317_880_795, "0.000127152317880795"),
            (828_716.373_333_333_3, "828716.373333333"),
            (100.0, "100"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (0.000_012_5, "1.25e-05"),
            (-2.5, "-2.5"),
            (99.999_999_999_999_99, "100"),
            (f64::NAN, "U"),
            (f64::INFINITY, "U"),
        ] {
            assert_eq!(General(value).to_string(), expect);
        }
    }

    #[test]
    fn times_are_dates() {
        for (seconds, expect) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_709_251_200, "2024-03-01T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
        ] {
            assert_eq!(Stamp(seconds * 1000 + 7).to_string(), expect);
        }
    }

    #[test]
    fn spans_have_two_units_at_most() {
        for (seconds, expect) in [(0, "0s"), (7, "7s"), (725, "12m 5s"), (3600, "1h 0m"), (273_600, "3d 4h")] {
            assert_eq!(Span(Duration::from_secs(seconds)).to_string(), expect);
        }
    }
}
