//! What a plugin may look at, and what it can say about a field.

use watchd_probes::{MetricId, ObjectId, Value};

use super::Guest;
use crate::export::{General, Page};
use crate::model::{Now, Settings};
use crate::store::{Readings, Snapshot};

/// One copy of the board and the time it is looked at.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    pub snapshot: &'a Snapshot,
    pub readings: Readings<'a>,
    pub now: Now,
    pub settings: &'a Settings,
    /// Plugins of others, which somebody else has to run.
    pub guests: &'a [Guest],
    /// The plugin that is asked, by the name it was asked by.
    pub plugin: &'a [u8],
    /// Values of the cycles before are told as well.
    pub has_past: bool,
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// There is such a quantity, but it was not measured.
    Unknown,
    Int(u64),
    Float(f64),
    /// Two decimals, as the kernel writes load averages.
    Hundredths(f64),
}

impl<'a> Facts<'a> {
    pub fn new(snapshot: &'a Snapshot, now: Now) -> Self {
        Self {
            snapshot,
            readings: snapshot.readings(),
            now,
            settings: Settings::NONE,
            guests: &[],
            plugin: b"",
            has_past: false,
        }
    }

    /// The same with settings of the plugins, and with plugins of others.
    pub fn with(self, settings: &'a Settings, guests: &'a [Guest]) -> Self {
        Self { settings, guests, ..self }
    }

    /// The same as if nobody had set anything: whether there is a plugin is no matter of settings.
    pub fn unset(&self) -> Self {
        Self { settings: Settings::NONE, ..*self }
    }

    /// A setting of the plugin that is asked; an empty one is none.
    pub fn setting(&self, variable: &str) -> Option<&'a str> {
        self.settings.get(self.plugin, variable).filter(|value| !value.is_empty())
    }

    /// Whether a setting says yes, as Munin's plugins understand it.
    pub fn is_set(&self, variable: &str) -> bool {
        self.setting(variable) == Some("yes")
    }

    /// A count as it is; a fraction is rounded to the nearest whole.
    pub fn int(&self, metric: MetricId, object: ObjectId) -> Option<u64> {
        whole(self.readings.view.get(metric, object))
    }

    pub fn host(&self, metric: MetricId) -> Option<u64> {
        self.int(metric, ObjectId::HOST)
    }

    pub fn number(&self, metric: MetricId) -> Option<f64> {
        self.readings.view.host(metric).number()
    }

    /// Growth of a counter per second.
    pub fn rate(&self, metric: MetricId, object: ObjectId) -> Option<f64> {
        self.readings.rate(metric, object)
    }

    /// The first part of an object's name.
    pub fn name(&self, object: ObjectId) -> &'a [u8] {
        self.readings.view.part(object, 0)
    }
}

/// A whole number out of a value; exact for whole values below 2^53.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(value: Value) -> Option<u64> {
    match value {
        Value::Int(value) => Some(value),
        Value::Float(value) if value >= 0.0 => Some(value.round() as u64),
        Value::Float(_) | Value::Unknown => None,
    }
}

/// Kernel ticks out of seconds: the inverse of the probe's division, exact up to 2^50 ticks.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub fn ticks(seconds: f64) -> u64 {
    (seconds * 100.0).round().max(0.0) as u64
}

impl From<Option<u64>> for Amount {
    fn from(value: Option<u64>) -> Self {
        value.map_or(Self::Unknown, Self::Int)
    }
}

impl From<Option<f64>> for Amount {
    fn from(value: Option<f64>) -> Self {
        value.map_or(Self::Unknown, Self::Float)
    }
}

impl Amount {
    /// Writes `NAME.value …`.
    pub fn write(self, name: impl std::fmt::Display, page: &mut Page) {
        match self {
            Self::Unknown => page.put(format_args!("{name}.value U\n")),
            Self::Int(value) => page.put(format_args!("{name}.value {value}\n")),
            Self::Float(value) => page.put(format_args!("{name}.value {}\n", General(value))),
            Self::Hundredths(value) => page.put(format_args!("{name}.value {value:.2}\n")),
        }
    }
}

/// A name as Munin's plugins clean it: `/dev/sda1` becomes `_dev_sda1`, and `root` `__root`.
#[derive(Clone, Copy)]
pub struct Clean<'a>(pub &'a [u8]);

impl std::fmt::Display for Clean<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::fmt::Write as _;
        if self.0 == b"root" {
            return out.write_str("__root");
        }
        let is_start = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
        let start = self.0.iter().position(is_start).unwrap_or(self.0.len());
        if start > 0 {
            out.write_char('_')?;
        }
        for byte in self.0.iter().skip(start) {
            let plain = byte.is_ascii_alphanumeric() || *byte == b'_';
            out.write_char(if plain { char::from(*byte) } else { '_' })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned_as_munins_plugins_do_it() {
        for (name, expect) in [
            ("/dev/sda1", "_dev_sda1"),
            ("/dev/mapper/vg0-root", "_dev_mapper_vg0_root"),
            ("tank/data", "tank_data"),
            ("root", "__root"),
            ("//9disk", "_disk"),
            ("42", "_"),
            ("", ""),
            ("_x", "_x"),
            ("sd\u{e4}", "sd__"),
        ] {
            assert_eq!(Clean(name.as_bytes()).to_string(), expect, "{name}");
        }
    }

    #[test]
    fn ticks_come_back_exactly() {
        for count in [0_u32, 1, 7, 99, 1_234_567_890] {
            assert_eq!(ticks(f64::from(count) / 100.0), u64::from(count));
        }
    }
}
