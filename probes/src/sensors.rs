//! Temperatures, fans, voltages and power from the chips of /sys/class/hwmon, and the thermal zones of /sys/class/thermal.
//!
//! ```text
//! hwmon2/name coretemp     temp1_label Package id 0     temp1_input 52000     temp1_max 82000     temp1_crit 100000
//! ```
//!
//! A chip behind a slow bus takes a second and a broken one may hang, so nothing is read in a turn: [`ask`] runs in a child, and
//! [`Sensors::supply`] takes what it found. Chips come in the kernel's order and their limits as `sensors` of lm-sensors pairs them, on
//! which the numbers of Munin's graphs rest. A sensor that has answered once keeps its place, and is unknown while it does not answer.

use std::time::Duration;

use rustix::io::Errno;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::metric::metrics;
use crate::path::Path;
use crate::{Cursor, Fault, Host, Look, MetricId, Now, Probe, Sink, Value};

metrics! { Sensors:
    TEMPERATURE: "temperature", Count, Gauge, "node_hwmon_temp_celsius", "", "Temperature, in degrees Celsius.";
    FAN: "fan", Count, Gauge, "node_hwmon_fan_rpm", "", "Turns of a fan in a minute.";
    VOLTAGE: "voltage", Count, Gauge, "node_hwmon_in_volts", "", "Voltage, in Volt.";
    POWER: "power", Count, Gauge, "node_hwmon_power_watt", "", "Power, in Watt.";
    LOW: "low", Count, Gauge, "watchd_sensor_low", "", "The lower limit of a sensor; of a temperature with two limits the one that warns.";
    HIGH: "high", Count, Gauge, "watchd_sensor_high", "", "The upper limit of a sensor.";
}
pub const LABELS: &[&str] = &["chip", "sensor", "label"];

const CHIPS: &str = "sys/class/hwmon";
const ZONES: &str = "sys/class/thermal";

/// Chip, sensor and label, NUL between two; longer labels are cut.
const TEXT: usize = 128;

/// What is measured, in the order in which lm-sensors shows it.
struct Kind {
    /// What the files are called before the number, and behind it.
    stem: &'static [u8],
    inputs: &'static [&'static [u8]],
    /// What the kernel tells is so many times the value.
    scale: f64,
    metric: MetricId,
}

static KINDS: [Kind; 6] = [
    Kind { stem: b"in", inputs: &[b"_input"], scale: 1e3, metric: VOLTAGE },
    Kind { stem: b"fan", inputs: &[b"_input"], scale: 1.0, metric: FAN },
    Kind { stem: b"temp", inputs: &[b"_input"], scale: 1e3, metric: TEMPERATURE },
    Kind { stem: b"power", inputs: &[b"_input", b"_average"], scale: 1e6, metric: POWER },
    Kind { stem: b"cpu", inputs: &[b"_vid"], scale: 1e3, metric: VOLTAGE },
    Kind { stem: b"thermal_zone", inputs: &[b"/temp"], scale: 1e3, metric: TEMPERATURE },
];
const FAN_KIND: usize = 1;
const TEMP_KIND: usize = 2;
const POWER_KIND: usize = 3;
const ZONE_KIND: usize = 5;

/// One sensor as the child found it; what is not known is NaN.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Sensor {
    value: f64,
    low: f64,
    high: f64,
    kind: u32,
    len: u32,
    text: [u8; TEXT],
}

#[derive(Default)]
pub struct Sensors {
    last: Vec<Sensor>,
    /// When the child was asked for them.
    at: Duration,
}

impl Sensors {
    /// Takes what the child found, and when it was asked to. When that is not all, what was known besides does not answer any more.
    pub fn supply(&mut self, found: &[Sensor], is_all: bool, at: Duration) {
        self.at = at;
        let old = std::mem::take(&mut self.last);
        let is_in = |list: &[Sensor], sensor: &Sensor| list.iter().any(|other| other.text() == sensor.text());
        self.last.extend(found.iter().filter(|sensor| !sensor.value.is_nan() || is_in(&old, sensor)));
        if !is_all {
            let silent = old.iter().filter(|sensor| !is_in(found, sensor));
            self.last.extend(silent.map(|sensor| Sensor { value: f64::NAN, ..*sensor }));
        }
    }
}

impl Probe for Sensors {
    fn read(&mut self, _: &mut Look<'_>, out: &mut Sink<'_>) -> Result<(), Fault> {
        self.last.iter().for_each(|sensor| sensor.give(out));
        Ok(())
    }

    fn age(&self, now: Now) -> Duration {
        now.mono.saturating_sub(self.at)
    }
}

impl Sensor {
    fn new(kind: usize, parts: [&[u8]; 3]) -> Self {
        let mut sensor = Self { value: f64::NAN, low: f64::NAN, high: f64::NAN, ..Self::new_zeroed() };
        sensor.kind = u32::try_from(kind).unwrap_or(u32::MAX);
        let joined = parts.iter().enumerate().flat_map(|(place, part)| {
            let start = if place > 0 { &b"\0"[..] } else { b"" };
            start.iter().chain(part.iter().take(TEXT / 2))
        });
        for (to, byte) in sensor.text.iter_mut().zip(joined) {
            *to = *byte;
            sensor.len += 1;
        }
        sensor
    }

    fn text(&self) -> &[u8] {
        self.text.get(..usize::try_from(self.len).unwrap_or(TEXT)).unwrap_or_default()
    }

    fn give(&self, out: &mut Sink<'_>) {
        let mut parts = self.text().splitn(3, |byte| *byte == 0);
        let mut part = || parts.next().unwrap_or_default();
        let kind = usize::try_from(self.kind).ok().and_then(|kind| KINDS.get(kind));
        let (Some(kind), Some(object)) = (kind, out.object(&[part(), part(), part()])) else { return };
        let number = |value: f64| if value.is_finite() { Value::Float(value) } else { Value::Unknown };
        out.put(object, kind.metric, number(self.value));
        for (metric, limit) in [(LOW, self.low), (HIGH, self.high)] {
            if limit.is_finite() {
                out.put(object, metric, Value::Float(limit));
            }
        }
    }
}

/// Whether the host has anything to ask. This looks at names only, and cannot take long.
pub fn is_present(host: &Host) -> bool {
    let mut found = false;
    for (dir, stem) in [(CHIPS, &b"hwmon"[..]), (ZONES, b"thermal_zone")] {
        each_entry(host, dir.as_bytes(), &mut |name| found |= numbered(name, stem, b"").is_some());
    }
    found
}

/// Reads all chips and zones, however long that takes.
pub fn ask(host: &Host, give: &mut dyn FnMut(&Sensor)) {
    each_entry(host, CHIPS.as_bytes(), &mut |name| {
        if numbered(name, b"hwmon", b"").is_some() {
            ask_chip(host, name, give);
        }
    });
    let mut zones = Vec::new();
    each_entry(host, ZONES.as_bytes(), &mut |name| {
        zones.extend(numbered(name, b"thermal_zone", b"").map(|number| (ZONE_KIND, number)));
    });
    for (_, zone) in in_order(zones) {
        let files = Files { host, dir: Path::new(ZONES).text(b"/"), kind: ZONE_KIND, number: zone };
        let mut label = [0; TEXT];
        let label = files.text(b"/type", &mut label).unwrap_or_default();
        let mut name = Vec::new();
        files.name(&mut name);
        let mut sensor = Sensor::new(ZONE_KIND, [b"thermal", &name, label]);
        sensor.value = files.input();
        give(&sensor);
    }
}

/// One chip; old drivers have the files in the directory of the device.
fn ask_chip(host: &Host, chip: &[u8], give: &mut dyn FnMut(&Sensor)) {
    for below in [&b"/"[..], b"/device/"] {
        let dir = Path::new(CHIPS).text(b"/").text(chip).text(below);
        let mut text = [0; 64];
        let Some(name) = host.read_small(dir.text(b"name").bytes(), &mut text).ok().and_then(line) else { continue };
        let mut found = Vec::new();
        each_entry(host, dir.bytes(), &mut |file| {
            for (place, kind) in KINDS.iter().enumerate().take(ZONE_KIND) {
                let numbers = kind.inputs.iter().filter_map(|input| numbered(file, kind.stem, input));
                found.extend(numbers.map(|number| (place, number)));
            }
        });
        if found.is_empty() {
            continue;
        }
        let title = [name, b"_", chip].concat();
        for (kind, number) in in_order(found) {
            give(&Files { host, dir, kind, number }.sensor(&title));
        }
        return;
    }
}

/// By kind and number, each once; there are few.
fn in_order(mut found: Vec<(usize, i32)>) -> impl Iterator<Item = (usize, i32)> {
    std::iter::from_fn(move || {
        let next = *found.iter().min()?;
        found.retain(|other| *other != next);
        Some(next)
    })
}

/// The files of one sensor: `temp1_input`, `temp1_max` …
struct Files<'a> {
    host: &'a Host,
    dir: Path,
    kind: usize,
    number: i32,
}

impl Files<'_> {
    fn kind(&self) -> &'static Kind {
        KINDS.get(self.kind).unwrap_or(&KINDS[0])
    }

    fn path(&self, suffix: &[u8]) -> Path {
        self.dir.text(self.kind().stem).number(self.number).text(suffix)
    }

    fn text<'t>(&self, suffix: &[u8], text: &'t mut [u8]) -> Option<&'t [u8]> {
        self.host.read_small(self.path(suffix).bytes(), text).ok().and_then(line)
    }

    /// The sensor's own name, which is its label where it has no other.
    fn name(&self, name: &mut Vec<u8>) {
        let path = self.path(b"");
        name.extend(path.bytes().get(self.dir.bytes().len()..).unwrap_or_default());
        if self.kind().inputs == [b"_vid"] {
            name.extend(b"_vid");
        }
    }

    /// NaN when the file is not there or the chip refuses.
    fn number(&self, suffix: &[u8]) -> f64 {
        let mut text = [0; 32];
        let number = self.text(suffix, &mut text).and_then(signed);
        number.map_or(f64::NAN, |number| number / self.kind().scale)
    }

    fn input(&self) -> f64 {
        self.kind().inputs.iter().map(|suffix| self.number(suffix)).find(|value| !value.is_nan()).unwrap_or(f64::NAN)
    }

    fn has(&self, suffixes: &[&[u8]]) -> bool {
        suffixes.iter().any(|suffix| !self.number(suffix).is_nan())
    }

    fn sensor(&self, chip: &[u8]) -> Sensor {
        let (mut name, mut label) = (Vec::new(), [0; TEXT]);
        self.name(&mut name);
        let label = self.text(b"_label", &mut label).filter(|label| !label.is_empty()).unwrap_or(&name);
        let mut sensor = Sensor::new(self.kind, [chip, &name, label]);
        // A sensor that says that it is broken still has a number in its file.
        if !self.has(&[b"_fault"]) || self.number(b"_fault") == 0.0 {
            sensor.value = self.input();
        }
        (sensor.low, sensor.high) = match self.kind {
            TEMP_KIND => self.temperature_limits(),
            FAN_KIND => (self.number(b"_min"), f64::NAN),
            POWER_KIND if !self.has(&[b"_min", b"_max", b"_cap", b"_lcrit"]) => (f64::NAN, self.number(b"_crit")),
            0 if self.has(&[b"_min"]) && self.has(&[b"_max"]) && !self.has(&[b"_lcrit"]) => {
                (self.number(b"_min"), self.number(b"_max"))
            }
            _ => (f64::NAN, f64::NAN),
        };
        sensor
    }

    /// The first two limits that lm-sensors shows: only `high` and `crit` with the hysteresis of the first, and none below 0.
    fn temperature_limits(&self) -> (f64, f64) {
        const NONE: (f64, f64) = (f64::NAN, f64::NAN);
        if self.has(&[b"_lcrit", b"_min"]) {
            return NONE;
        }
        let [max, crit] = [&b"_max"[..], b"_crit"].map(|suffix| self.number(suffix));
        let (first, hysteresis) = if max.is_nan() { (crit, &b"_crit_hyst"[..]) } else { (max, &b"_max_hyst"[..]) };
        let second = self.number(hysteresis);
        let second = if second.is_nan() && !max.is_nan() { crit } else { second };
        if first.is_sign_negative() || second.is_sign_negative() {
            return NONE;
        }
        if !second.is_nan() {
            return (first.min(second), first.max(second));
        }
        if self.has(&[b"_emergency", b"_lowest", b"_highest"]) { NONE } else { (f64::NAN, first) }
    }
}

/// Calls `give` with the names in a directory, in the kernel's order; a directory that is not there has none.
fn each_entry(host: &Host, path: &[u8], give: &mut dyn FnMut(&[u8])) {
    let Some(dir) = std::str::from_utf8(path).ok().and_then(|path| host.open_dir(path).ok()) else { return };
    let mut chunk = [std::mem::MaybeUninit::uninit(); 2048];
    let mut entries = rustix::fs::RawDir::new(&dir, &mut chunk);
    loop {
        match entries.next() {
            Some(Ok(entry)) => give(entry.file_name().to_bytes()),
            Some(Err(Errno::INTR)) => {}
            Some(Err(_)) | None => return,
        }
    }
}

/// The number between two texts: `temp12_input`.
fn numbered(name: &[u8], start: &[u8], end: &[u8]) -> Option<i32> {
    let number = Cursor::new(name.strip_prefix(start)?.strip_suffix(end)?).whole_number()?;
    i32::try_from(number).ok()
}

/// A file of one line, without its end.
fn line(text: &[u8]) -> Option<&[u8]> {
    text.strip_suffix(b"\n").filter(|line| !line.contains(&b'\n'))
}

/// A number with a sign, which the kernel keeps within 32 bits but for power.
fn signed(text: &[u8]) -> Option<f64> {
    let (sign, digits) = text.strip_prefix(b"-").map_or((1.0, text), |digits| (-1.0, digits));
    let value = Value::Int(Cursor::new(digits).whole_number()?).number()?;
    Some(sign * value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProbeId;
    use crate::trial::{Reading, fixture, read_fixture, value};

    fn found(root: &std::path::Path) -> Vec<Sensor> {
        let mut found = Vec::new();
        ask(&Host::open(root).expect("the root is there"), &mut |sensor| found.push(*sensor));
        found
    }

    fn rows(probe: &mut Sensors) -> Vec<Reading> {
        read_fixture("nopsi", ProbeId::Sensors, probe).expect("it reads nothing")
    }

    #[test]
    fn chips_and_zones_are_read_in_their_order() {
        let mut probe = Sensors::default();
        assert!(rows(&mut probe).is_empty(), "nobody has asked yet");
        assert!(is_present(&Host::open(&fixture("big")).expect("it is there")));
        assert!(!is_present(&Host::open(&fixture("nopsi")).expect("it is there")));
        probe.supply(&found(&fixture("big")), true, Duration::ZERO);
        let rows = rows(&mut probe);
        for (field, object, expect) in [
            ("temperature", "coretemp_hwmon0 temp1 Package id 0", 52.0),
            ("temperature", "coretemp_hwmon0 temp3 Core 1", -3.0),
            ("low", "coretemp_hwmon0 temp2 Core 0", 82.0),
            ("high", "coretemp_hwmon0 temp2 Core 0", 100.0),
            ("temperature", "thermal thermal_zone1 acpitz", 29.8),
            ("temperature", "thermal thermal_zone10 iwlwifi_1", -5.5),
        ] {
            assert_eq!(value(&rows, field, object), Some(Value::Float(expect)), "{field} {object}: {rows:?}");
        }
        let zones: Vec<_> = rows.iter().filter(|row| row.1.starts_with("thermal")).map(|row| &row.1[8..21]).collect();
        assert_eq!(zones, ["thermal_zone0", "thermal_zone1", "thermal_zone1"], "by number, not by letters");
    }

    #[test]
    fn limits_are_those_that_stand_beside_the_value() {
        let mut probe = Sensors::default();
        probe.supply(&found(&fixture("chips")), true, Duration::ZERO);
        let rows = rows(&mut probe);
        let limits = |name: &str| {
            let of = |field| {
                let row =
                    rows.iter().find(|(metric, object, _)| metric == field && object.split(' ').nth(1) == Some(name));
                row.and_then(|row| row.2.number())
            };
            (of("low"), of("high"))
        };
        for (name, expect) in [
            ("temp1", (Some(82.0), Some(100.0))),
            ("temp2", (None, Some(100.0))),
            ("temp3", (None, None)),
            ("temp6", (None, None)),
            ("temp8", (None, None)),
            ("temp9", (None, None)),
            ("temp10", (Some(75.0), Some(80.0))),
            ("temp12", (Some(65.0), Some(70.0))),
            ("fan1", (Some(3750.0), None)),
            ("in0", (Some(0.0), Some(1.744))),
            ("in8", (None, None)),
            ("in11", (None, None)),
            ("power2", (None, Some(45.0))),
            ("power9", (None, None)),
        ] {
            assert_eq!(limits(name), expect, "{name}");
        }
        let has = |name: &str| rows.iter().any(|row| row.1.split(' ').nth(1) == Some(name));
        for (name, expect) in [("temp4", false), ("temp5", false), ("fan3", false), ("fan7", false), ("cpu0_vid", true)]
        {
            assert_eq!(has(name), expect, "{name}");
        }
    }

    #[test]
    fn a_sensor_that_falls_silent_keeps_its_place() {
        let mut probe = Sensors::default();
        let all = found(&fixture("big"));
        let mut broken = all.clone();
        broken[1].value = f64::NAN;
        let order = |probe: &mut Sensors| rows(probe).into_iter().map(|row| row.1).collect::<Vec<_>>();
        probe.supply(&broken, true, Duration::ZERO);
        assert!(!order(&mut probe).iter().any(|name| name.contains("Core 0")), "it never answered");
        probe.supply(&all, true, Duration::ZERO);
        let before = order(&mut probe);
        probe.supply(&broken, true, Duration::ZERO);
        assert_eq!(order(&mut probe), before);
        assert_eq!(value(&rows(&mut probe), "temperature", "coretemp_hwmon0 temp2 Core 0"), Some(Value::Unknown));
        // A child that hung on the third.
        probe.supply(&all[..2], false, Duration::ZERO);
        assert_eq!(order(&mut probe), before);
        let values: Vec<_> =
            rows(&mut probe).into_iter().filter(|row| row.0 == "temperature").map(|row| row.2).collect();
        assert_eq!(values[..2], [Value::Float(52.0), Value::Float(49.5)]);
        assert!(values.len() == 6 && values[2..].iter().all(|value| *value == Value::Unknown), "{values:?}");
        // A chip that was taken out is gone.
        probe.supply(&all[..2], true, Duration::ZERO);
        assert_eq!(order(&mut probe).len(), 6);
    }

    #[test]
    fn files_that_say_something_else_give_no_number() {
        let dir = std::env::temp_dir().join(format!("watchd-chip-{}", std::process::id()));
        let chip = dir.join("sys/class/hwmon/hwmon7");
        std::fs::create_dir_all(&chip).expect("a directory can be made");
        let long = "9".repeat(40) + "\n";
        let many = "x".repeat(100) + "\n";
        let texts =
            ["", "\n", "12", "1 2\n", "-\n", "--1\n", "0x10\n", "1\n2\n", "\0\n", "18446744073709551616\n", &long];
        std::fs::write(chip.join("name"), "odd\n").expect("a file can be written");
        for (number, text) in (1..).zip(texts) {
            std::fs::write(chip.join(format!("temp{number}_input")), text).expect("a file can be written");
        }
        for name in
            ["temp_input", "temp-1_input", "temp99999999999_input", "temp50", "tempx_input", "in_input", "_input"]
        {
            std::fs::write(chip.join(name), "1\n").expect("a file can be written");
        }
        for (name, text) in
            [("temp60_input", "5000\n"), ("temp60_label", "a\nb\n"), ("temp61_input", "-0\n"), ("temp61_label", &many)]
        {
            std::fs::write(chip.join(name), text).expect("a file can be written");
        }
        std::fs::create_dir_all(dir.join("sys/class/hwmon/hwmon8")).expect("a directory can be made");
        std::fs::create_dir_all(dir.join("sys/class/hwmon/other")).expect("a directory can be made");
        let mut probe = Sensors::default();
        probe.supply(&found(&dir), true, Duration::ZERO);
        std::fs::remove_dir_all(&dir).expect("it is ours");
        let told: Vec<_> = rows(&mut probe).into_iter().map(|(_, object, value)| (object, value)).collect();
        let cut = format!("odd_hwmon7 temp61 {}", "x".repeat(TEXT / 2));
        assert_eq!(told, [("odd_hwmon7 temp60 temp60".to_owned(), Value::Float(5.0)), (cut, Value::Float(-0.0))]);
    }
}
