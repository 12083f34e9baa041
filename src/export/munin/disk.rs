//! The plugin diskstats: four graphs of all block devices, and the same four below them for each device.
//!
//! Munin's plugin keeps readings in a file and shows the mean of the time since the one of five minutes ago; so does the probe, and the
//! formulas are the same. Whole devices that did something since the boot are shown, partitions of one that is
//! shown are not. A device that tells no times (`md`) has no latency and no utilization.

use watchd_probes::{MetricId, ObjectId, ProbeId, disk};

use super::Ask;
use super::facts::{Amount, Clean, Facts};
use super::graph::{Plugin, Shape, write_traits};
use crate::export::Page;

pub const DISKSTATS: Plugin = Plugin {
    name: "diskstats",
    about: "What the block devices do, and how long it takes them.",
    shape: Shape::Own { is_multigraph: true, is_present: |facts| !devices(&facts.unset()).is_empty(), write },
};

/// One of the four kinds of graph.
struct Aspect {
    name: &'static str,
    /// Whether it is made of times, which not all devices tell.
    needs_times: bool,
    title: &'static str,
    head: &'static str,
    /// Fields of the graph of all devices: suffix, attributes, suffix of the field shown below the axis.
    fields: &'static [Part],
    device_title: &'static str,
    device_head: &'static str,
    device_fields: &'static [Part],
}

struct Part {
    name: &'static str,
    /// Label; empty stands for the last part of what the device is called, `WHOLE` for all of it.
    label: &'static str,
    traits: &'static str,
    below: &'static str,
    value: fn(&Device<'_>) -> Option<f64>,
}

const WHOLE: &str = "/";

/// Counters, and their means.
static MEANS: [(MetricId, MetricId); 7] = [
    (disk::READS, disk::MEAN_READS),
    (disk::READ_BYTES, disk::MEAN_READ_BYTES),
    (disk::READ_TIME, disk::MEAN_READ_TIME),
    (disk::WRITES, disk::MEAN_WRITES),
    (disk::WRITTEN_BYTES, disk::MEAN_WRITTEN_BYTES),
    (disk::WRITE_TIME, disk::MEAN_WRITE_TIME),
    (disk::IO_TIME, disk::MEAN_IO_TIME),
];

static ASPECTS: [Aspect; 4] = [
    Aspect {
        name: "latency",
        needs_times: true,
        title: "Disk latency per device",
        head: "graph_args --base 1000\ngraph_vlabel Average IO Wait (seconds)\n",
        fields: &[Part { name: "avgwait", label: WHOLE, traits: "", below: "", value: |device| device.wait() }],
        device_title: "Average latency",
        device_head: "graph_args --base 1000 --logarithmic\ngraph_vlabel seconds\n",
        device_fields: &[
            Part { name: "svctm", label: "Device IO time", traits: "", below: "", value: |device| device.service() },
            Part { name: "avgwait", label: "IO Wait time", traits: "", below: "", value: |device| device.wait() },
            Part {
                name: "avgrdwait",
                label: "Read IO Wait time",
                traits: "warning 0:3",
                below: "",
                value: |device| device.each(disk::READ_TIME, disk::READS),
            },
            Part {
                name: "avgwrwait",
                label: "Write IO Wait time",
                traits: "warning 0:3",
                below: "",
                value: |device| device.each(disk::WRITE_TIME, disk::WRITES),
            },
        ],
    },
    Aspect {
        name: "utilization",
        needs_times: true,
        title: "Utilization per device",
        head: "graph_args --base 1000 --lower-limit 0 --upper-limit 100 --rigid\ngraph_vlabel % busy\ngraph_scale no\n",
        fields: &[Part { name: "util", label: WHOLE, traits: "", below: "", value: |device| device.busy() }],
        device_title: "Disk utilization",
        device_head: "graph_args --base 1000 --lower-limit 0 --upper-limit 100 --rigid\n\
                      graph_vlabel % busy\ngraph_scale no\n",
        device_fields: &[Part {
            name: "util",
            label: "Utilization",
            traits: "",
            below: "",
            value: |device| device.busy(),
        }],
    },
    Aspect {
        name: "throughput",
        needs_times: false,
        title: "Throughput per device",
        head: "graph_args --base 1024\ngraph_vlabel Bytes/${graph_period} read (-) / write (+)\n",
        fields: &[
            Part { name: "rdbytes", label: "", traits: "graph no", below: "", value: |d| d.rate(disk::READ_BYTES) },
            Part { name: "wrbytes", label: "", traits: "", below: "rdbytes", value: |d| d.rate(disk::WRITTEN_BYTES) },
        ],
        device_title: "Disk throughput",
        device_head: "graph_args --base 1024\ngraph_vlabel Pr ${graph_period} read (-) / write (+)\n",
        device_fields: &[
            Part {
                name: "rdbytes",
                label: "invisible",
                traits: "graph no",
                below: "",
                value: |device| device.rate(disk::READ_BYTES),
            },
            Part {
                name: "wrbytes",
                label: "Bytes",
                traits: "",
                below: "rdbytes",
                value: |device| device.rate(disk::WRITTEN_BYTES),
            },
        ],
    },
    Aspect {
        name: "iops",
        needs_times: false,
        title: "Disk IOs per device",
        head: "graph_args --base 1000\ngraph_vlabel IOs/${graph_period} read (-) / write (+)\n",
        fields: &[
            Part { name: "rdio", label: "", traits: "graph no", below: "", value: |device| device.rate(disk::READS) },
            Part { name: "wrio", label: "", traits: "", below: "rdio", value: |device| device.rate(disk::WRITES) },
        ],
        device_title: "IOs",
        device_head: "graph_args --base 1000\ngraph_vlabel Units read (-) / write (+)\n",
        device_fields: &[
            Part {
                name: "rdio",
                label: "dummy",
                traits: "graph no",
                below: "",
                value: |device| device.rate(disk::READS),
            },
            Part {
                name: "wrio",
                label: "IO/sec",
                traits: "",
                below: "rdio",
                value: |device| device.rate(disk::WRITES),
            },
            Part {
                name: "avgrdrqsz",
                label: "dummy",
                traits: "graph no",
                below: "",
                value: |device| device.each(disk::READ_BYTES, disk::READS).map(|bytes| bytes / 1000.0),
            },
            Part {
                name: "avgwrrqsz",
                label: "Req Size (KB)",
                traits: "",
                below: "avgrdrqsz",
                value: |device| device.each(disk::WRITTEN_BYTES, disk::WRITES).map(|bytes| bytes / 1000.0),
            },
        ],
    },
];

fn write(facts: &Facts<'_>, ask: Ask, page: &mut Page) {
    let devices = devices(facts);
    for aspect in &ASPECTS {
        page.put(format_args!("multigraph diskstats_{}\n", aspect.name));
        if ask.wants_config() {
            page.put(format_args!("graph_title {}\n{}", aspect.title, aspect.head));
            page.put(format_args!("graph_category disk\ngraph_width {}\n", width(facts, &devices)));
            page.put(format_args!("graph_info {}\n", DISKSTATS.about));
        }
        for device in devices.iter().filter(|device| device.has(aspect)) {
            for part in aspect.fields {
                part.write(device, Name { device: Some(device), part: part.name }, ask, page);
            }
        }
    }
    for device in &devices {
        for aspect in ASPECTS.iter().filter(|aspect| device.has(aspect)) {
            device.write(aspect, ask, page);
        }
    }
}

/// The devices that are shown: by name, those of the device mapper last.
fn devices<'a>(facts: &'a Facts<'_>) -> Vec<Device<'a>> {
    let view = facts.readings.view;
    let mut devices: Vec<_> = view
        .objects(ProbeId::Disk)
        .map(|object| Device { facts, object, name: view.part(object, 0), called: called(facts, object) })
        .filter(Device::is_used)
        .collect();
    let names: Vec<_> = devices.iter().map(|device| device.name).collect();
    devices.retain(|device| !names.iter().any(|whole| is_partition(device.name, whole)));
    devices.retain(|device| is_wanted(facts, &[device.name, device.called]));
    // They come nearly in order.
    let mut sorted: Vec<Device<'_>> = Vec::new();
    for device in devices {
        let place = sorted.iter().rposition(|other| other.rank() <= device.rank()).map_or(0, |place| place + 1);
        sorted.insert(place, device);
    }
    sorted
}

/// Whether the settings leave a device in: `include_only` and `exclude` are parts of names.
fn is_wanted(facts: &Facts<'_>, names: &[&[u8]]) -> bool {
    let is_in = |list: &str| {
        let parts = list.split(',').map(str::trim).map(|part| part.strip_prefix("/dev/").unwrap_or(part));
        let mut parts = parts.filter(|part| !part.is_empty());
        let has = |name: &&[u8], part: &str| name.windows(part.len()).any(|piece| piece == part.as_bytes());
        parts.any(|part| names.iter().any(|name| has(name, part)))
    };
    match (facts.setting("include_only"), facts.setting("exclude")) {
        (Some(only), _) => is_in(only),
        (None, Some(excluded)) => !is_in(excluded),
        (None, None) => true,
    }
}

/// Whether one name is another with a number behind it; a name that ends in a digit has a `p` between.
fn is_partition(name: &[u8], whole: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(whole) else { return false };
    let rest = match whole.last() {
        Some(last) if last.is_ascii_digit() => rest.strip_prefix(b"p").unwrap_or_default(),
        _ => rest.strip_prefix(b"p").unwrap_or(rest),
    };
    !rest.is_empty() && rest.iter().all(u8::is_ascii_digit)
}

/// Pixels, wide enough for the longest name: Munin's own formula.
fn width(facts: &Facts<'_>, devices: &[Device<'_>]) -> usize {
    let usual = usual_width(facts);
    if is_trimmed(facts) {
        return usual;
    }
    let longest = devices.iter().map(|device| device.called.len()).max().unwrap_or(0);
    let short = devices.iter().map(|device| device.short().len()).max().unwrap_or(0);
    let need = (6 * (74 + short)).max(6 * (42 + longest)).saturating_sub(97);
    if need > usual { usual + (need - usual).next_multiple_of(50) } else { usual }
}

/// What the settings say, or the width of all graphs.
fn usual_width(facts: &Facts<'_>) -> usize {
    facts.setting("graph_width").and_then(|width| width.parse().ok()).filter(|width| *width > 0).unwrap_or(400)
}

/// Whether names are cut to fit the width, rather than the other way round.
fn is_trimmed(facts: &Facts<'_>) -> bool {
    facts.setting("trim_labels").is_some_and(|value| value != "0")
}

struct Device<'a> {
    facts: &'a Facts<'a>,
    object: ObjectId,
    name: &'a [u8],
    /// Differs from the name for devices of the device mapper.
    called: &'a [u8],
}

/// What a device is called in graphs and in the names of fields.
pub fn called<'a>(facts: &Facts<'a>, object: ObjectId) -> &'a [u8] {
    let view = facts.readings.view;
    view.parts(object).nth(1).unwrap_or_else(|| view.part(object, 0))
}

impl<'a> Device<'a> {
    fn rank(&self) -> (bool, &'a [u8]) {
        (self.name.starts_with(b"dm-"), self.name)
    }

    fn short(&self) -> &[u8] {
        self.called.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }

    /// Writes a name, of which the end is left when it has to be trimmed: beside so many letters of numbers.
    fn write_name(&self, name: &[u8], numbers: usize, page: &mut Page) {
        let room = ((usual_width(self.facts) + 97) / 6).saturating_sub(10 + numbers);
        if !is_trimmed(self.facts) || name.len() <= room {
            return page.push(name);
        }
        page.text("..");
        page.push(name.get(name.len() - room.saturating_sub(2)..).unwrap_or_default());
    }

    fn count(&self, metric: MetricId) -> u64 {
        self.facts.int(metric, self.object).unwrap_or(0)
    }

    fn is_used(&self) -> bool {
        self.count(disk::READS) > 0 || self.count(disk::WRITES) > 0
    }

    fn has(&self, aspect: &Aspect) -> bool {
        let time = |metric| self.facts.readings.view.get(metric, self.object).number().unwrap_or(0.0);
        !aspect.needs_times || time(disk::READ_TIME) > 0.0 || time(disk::WRITE_TIME) > 0.0
    }

    /// Growth in a second, over five minutes as Munin's plugin has it; of the last cycle where what was before is told as well.
    fn rate(&self, metric: MetricId) -> Option<f64> {
        let mean = MEANS.iter().find(|(counter, _)| *counter == metric && !self.facts.has_past);
        let mean = mean.and_then(|(_, mean)| self.facts.readings.view.get(*mean, self.object).number());
        mean.or_else(|| self.facts.rate(metric, self.object))
    }

    /// So much of one for each of the other; 0 when there was none of the other.
    fn each(&self, what: MetricId, of: MetricId) -> Option<f64> {
        Some(share(self.rate(what)?, self.rate(of)?))
    }

    fn service(&self) -> Option<f64> {
        Some(share(self.rate(disk::IO_TIME)?, self.rate(disk::READS)? + self.rate(disk::WRITES)?))
    }

    fn wait(&self) -> Option<f64> {
        let time = self.rate(disk::READ_TIME)? + self.rate(disk::WRITE_TIME)?;
        Some(share(time, self.rate(disk::READS)? + self.rate(disk::WRITES)?))
    }

    fn busy(&self) -> Option<f64> {
        self.rate(disk::IO_TIME).map(|share| share * 100.0)
    }

    fn write(&self, aspect: &Aspect, ask: Ask, page: &mut Page) {
        page.put(format_args!("multigraph diskstats_{}.{}\n", aspect.name, Clean(self.called)));
        if ask.wants_config() {
            page.put(format_args!("graph_title {} for /dev/", aspect.device_title));
            self.write_name(self.called, 32, page);
            page.put(format_args!("\n{}graph_category disk\n", aspect.device_head));
        }
        for part in aspect.device_fields {
            part.write(self, Name { device: None, part: part.name }, ask, page);
        }
    }
}

fn share(what: f64, of: f64) -> f64 {
    if of > 0.0 { what / of } else { 0.0 }
}

impl Part {
    fn write(&self, device: &Device<'_>, name: Name<'_>, ask: Ask, page: &mut Page) {
        if ask.wants_config() {
            self.write_config(device, name, page);
        }
        if ask.wants_values() {
            Amount::from((self.value)(device)).write(name, page);
        }
    }

    fn write_config(&self, device: &Device<'_>, name: Name<'_>, page: &mut Page) {
        page.put(format_args!("{name}.label "));
        match self.label {
            "" => device.write_name(device.short(), 64, page),
            WHOLE => device.write_name(device.called, 32, page),
            label => page.text(label),
        }
        page.text("\n");
        write_traits(name, "type GAUGE\nmin 0\ndraw LINE1", page);
        write_traits(name, self.traits, page);
        if !self.below.is_empty() {
            page.put(format_args!("{name}.negative {}\n", Name { part: self.below, ..name }));
        }
    }
}

/// The name of a field: with the device's name before it in graphs of all devices.
#[derive(Clone, Copy)]
struct Name<'a> {
    device: Option<&'a Device<'a>>,
    part: &'a str,
}

impl std::fmt::Display for Name<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.device {
            Some(device) => write!(out, "{}_{}", Clean(device.called), self.part),
            None => out.write_str(self.part),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_known_by_their_names() {
        for (name, whole, expect) in [
            ("sda1", "sda", true),
            ("sda", "sda", false),
            ("sdab1", "sda", false),
            ("nvme0n1p2", "nvme0n1", true),
            ("nvme0n12", "nvme0n1", false),
            ("mmcblk0boot0", "mmcblk0", false),
            ("dm-10", "dm-1", false),
            ("loop0p1", "loop0", true),
        ] {
            assert_eq!(is_partition(name.as_bytes(), whole.as_bytes()), expect, "{name} of {whole}");
        }
    }
}
