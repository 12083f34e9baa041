//! The plugins df and df_inode: how full each file system is, in percent.
//!
//! A field is called by the device, or by the mount point where the device says nothing (`tmpfs`). Which file systems are shown is
//! what `df -l` with the plugins' default exclusions shows; the probe gives one object for each device.

use watchd_probes::{ObjectId, ProbeId, filesystem};

use super::Ask;
use super::facts::{Amount, Clean, Facts};
use super::graph::{Plugin, Shape};
use super::limits;
use crate::export::Page;
use crate::model::Regex;

pub const DF: Plugin = Plugin {
    name: "df",
    about: "Used space of each file system.",
    shape: Shape::Own {
        is_multigraph: false,
        is_present: |facts| shown(&facts.unset(), EXCLUDED).next().is_some(),
        write: |facts, ask, page| {
            write_head("Disk usage in percent", DF.about, ask, page);
            for object in shown(facts, EXCLUDED) {
                write_field(facts, object, ask, space_used(facts, object), page);
            }
        },
    },
};

pub const DF_INODE: Plugin = Plugin {
    name: "df_inode",
    about: "Used inodes of each file system.",
    shape: Shape::Own {
        is_multigraph: false,
        is_present: |facts| shown(&facts.unset(), EXCLUDED_INODE).next().is_some(),
        write: |facts, ask, page| {
            write_head("Inode usage in percent", DF_INODE.about, ask, page);
            for object in shown(facts, EXCLUDED_INODE) {
                write_field(facts, object, ask, inodes_used(facts, object), page);
            }
        },
    },
};

/// Parts of a file system's name.
const MOUNT: usize = 0;
const DEVICE: usize = 1;
const TYPE: usize = 2;

/// Types that the plugins leave out unless they are told otherwise.
const EXCLUDED: &[&[u8]] = &[
    b"none",
    b"unknown",
    b"rootfs",
    b"iso9660",
    b"squashfs",
    b"udf",
    b"romfs",
    b"ramfs",
    b"debugfs",
    b"cgroup_root",
    b"devtmpfs",
];
const EXCLUDED_INODE: &[&[u8]] = &[
    b"none",
    b"unknown",
    b"iso9660",
    b"squashfs",
    b"udf",
    b"romfs",
    b"ramfs",
    b"vfat",
    b"debugfs",
    b"nilfs2",
    b"rootfs",
    b"reiserfs",
];

/// The file systems of a plugin: with blocks of their own, not of an excluded type, and left in by the settings.
fn shown<'a>(facts: &'a Facts<'_>, excluded: &'a [&[u8]]) -> impl Iterator<Item = ObjectId> + use<'a> {
    let view = facts.readings.view;
    let told = facts.setting("exclude").filter(|told| *told != "0");
    let (only, not) = (patterns(facts.setting("include_re")), patterns(facts.setting("exclude_re")));
    view.objects(ProbeId::Filesystem)
        .filter(move |object| {
            let kind = view.part(*object, TYPE);
            !told.map_or_else(
                || excluded.contains(&kind),
                |told| told.split_ascii_whitespace().any(|name| name.as_bytes() == kind),
            )
        })
        .filter(move |object| {
            let names = [view.part(*object, DEVICE), first_word(view.part(*object, MOUNT))];
            let is_in = |patterns: &[Regex]| names.iter().any(|name| patterns.iter().any(|regex| regex.is_in(name)));
            is_in(&only) || !is_in(&not)
        })
        .filter(move |object| !is_remote(view.part(*object, DEVICE), view.part(*object, TYPE)))
        .filter(move |object| facts.int(filesystem::SIZE, *object) != Some(0))
}

/// Expressions of a setting, separated by blanks. The policy has warned of one that is not understood; it matches nothing.
fn patterns(setting: Option<&str>) -> Vec<Regex> {
    setting.unwrap_or_default().split_ascii_whitespace().filter_map(|text| Regex::new(text).ok()).collect()
}

/// The plugins split df's lines at white space, so a mount point ends at its first blank.
fn first_word(mount: &[u8]) -> &[u8] {
    mount.split(u8::is_ascii_whitespace).next().unwrap_or_default()
}

/// Whether `df -l` takes it for another host's.
fn is_remote(device: &[u8], kind: &[u8]) -> bool {
    let is_share = device.starts_with(b"//") && matches!(kind, b"smbfs" | b"smb3" | b"cifs");
    device.contains(&b':') || is_share || device == b"-hosts" || REMOTE.contains(&kind)
}

const REMOTE: &[&[u8]] = &[b"acfs", b"afs", b"coda", b"auristorfs", b"fhgfs", b"gpfs", b"ibrix", b"ocfs2", b"vxfs"];

fn write_head(title: &str, about: &str, ask: Ask, page: &mut Page) {
    if ask.wants_config() {
        page.put(format_args!("graph_title {title}\ngraph_args --upper-limit 100 -l 0\n"));
        page.put(format_args!("graph_vlabel %\ngraph_scale no\ngraph_category disk\ngraph_info {about}\n"));
    }
}

fn write_field(facts: &Facts<'_>, object: ObjectId, ask: Ask, used: Amount, page: &mut Page) {
    let view = facts.readings.view;
    let (mount, device) = (view.part(object, MOUNT), view.part(object, DEVICE));
    let says_nothing = matches!(device, b"tmpfs" | b"none" | b"udev" | b"simfs");
    let name = Clean(if says_nothing { mount } else { device });
    if ask.wants_config() {
        page.put(format_args!("{name}.label "));
        page.push(first_word(mount));
        page.put(format_args!("\n{name}.warning 92\n{name}.critical 98\n"));
        limits::write(facts, &name, page);
    }
    if ask.wants_values() {
        used.write(name, page);
    }
}

/// Percent of used and available, both in KiB rounded up as df has them.
fn space_used(facts: &Facts<'_>, object: ObjectId) -> Amount {
    let [Some(size), Some(free), Some(avail)] =
        [filesystem::SIZE, filesystem::FREE, filesystem::AVAIL].map(|metric| facts.int(metric, object))
    else {
        return Amount::Unknown;
    };
    percent(size.saturating_sub(free).div_ceil(1024), avail.div_ceil(1024))
}

/// A file system without inode numbers uses none of them.
fn inodes_used(facts: &Facts<'_>, object: ObjectId) -> Amount {
    let [Some(all), Some(free)] = [filesystem::FILES, filesystem::FILES_FREE].map(|metric| facts.int(metric, object))
    else {
        return Amount::Unknown;
    };
    percent(all.saturating_sub(free), free)
}

#[allow(clippy::cast_precision_loss)]
fn percent(used: u64, free: u64) -> Amount {
    if used == 0 { Amount::Int(0) } else { Amount::Float(100.0 * used as f64 / (used as f64 + free as f64)) }
}
