//! Quantities as people read them: ages, sizes, shares, and the time of day.

use std::time::Duration;

use crate::sys::clock::Civil;

/// `350ms`, `45s`, `3m 20s`, `3h 12m`, `2d 4h`: two units at most.
pub fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let two = |large: u64, unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large}{unit}"),
        small => format!("{large}{unit} {small}{small_unit}"),
    };
    match seconds {
        0 if !age.is_zero() => format!("{}ms", age.as_millis().max(1)),
        0..60 => format!("{seconds}s"),
        60..3_600 => two(seconds / 60, "m", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "m"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// The age of something that happened at a wall clock time, as far as the clock has not been set back since.
pub fn since(now: Duration, wall_ms: u64) -> Duration {
    now.saturating_sub(Duration::from_millis(wall_ms))
}

/// `812`, `1.5K`, `412M`, `2.0G`.
pub fn size(bytes: f64) -> String {
    let mut value = bytes;
    for unit in ["", "K", "M", "G", "T"] {
        if value < 999.5 {
            return if unit.is_empty() || value >= 9.95 {
                format!("{value:.0}{unit}")
            } else {
                format!("{value:.1}{unit}")
            };
        }
        value /= 1024.0;
    }
    format!("{value:.0}P")
}

/// A part of a whole, in percent; none when either is unknown.
pub fn share(part: Option<f64>, whole: Option<f64>) -> Option<f64> {
    part.zip(whole).filter(|(_, whole)| *whole > 0.0).map(|(part, whole)| part / whole * 100.0)
}

/// What is known, or a dash.
pub fn or_dash<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), show)
}

/// `2026-11-22 15:02:08`, local.
pub fn stamp(wall_ms: u64) -> String {
    Civil::local(Duration::from_millis(wall_ms)).to_string().replace('T', " ")
}

/// A text from outside, without anything that could steer a terminal.
pub fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_two_units_at_most() {
        let cases = [
            (0, "0s"),
            (350, "350ms"),
            (45_900, "45s"),
            (60_000, "1m"),
            (200_000, "3m 20s"),
            (11_520_000, "3h 12m"),
            (187_200_000, "2d 4h"),
        ];
        for (ms, expected) in cases {
            assert_eq!(age(Duration::from_millis(ms)), expected);
        }
    }

    #[test]
    fn sizes_keep_three_digits() {
        let cases = [
            (0.0, "0"),
            (812.0, "812"),
            (1023.0, "1.0K"),
            (1536.0, "1.5K"),
            (432_013_312.0, "412M"),
            (2_147_483_648.0, "2.0G"),
            (1e18, "888P"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(size(bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(plain("a\x1b[31mb\r\nc\u{9b}"), "a?[31mb??c?");
    }

    #[test]
    fn a_share_of_nothing_is_unknown() {
        assert_eq!(share(Some(1.0), Some(0.0)), None);
        assert_eq!(share(None, Some(4.0)), None);
        assert_eq!(share(Some(1.0), Some(4.0)), Some(25.0));
    }
}
