//! Plugins about the host as a whole: entropy, open_files, open_inodes, uptime, users.

use watchd_probes::{MetricId, ProbeId, entropy, files, uptime, users};

use super::facts::{Amount, Facts};
use super::graph::{Field, Graph, Need, Plugin, Shape};

pub const ENTROPY: Plugin =
    Plugin { name: "entropy", about: "Random bytes the kernel has at hand.", shape: Shape::Host(&ENTROPY_GRAPH) };

static ENTROPY_GRAPH: Graph = Graph {
    head: "graph_title Available entropy\n\
           graph_args --base 1000 -l 0\n\
           graph_vlabel entropy (bytes)\n\
           graph_scale no\n\
           graph_category system",
    more: Graph::NONE,
    fields: &[Field {
        name: "entropy",
        traits: "label entropy",
        need: Need::Always,
        value: |facts, _| facts.host(entropy::AVAILABLE).into(),
    }],
};

pub const OPEN_FILES: Plugin =
    Plugin { name: "open_files", about: "Open files of all processes.", shape: Shape::Host(&OPEN_FILES_GRAPH) };

/// The plugin computes its thresholds with awk, whose integers end here on the usual systems.
const AWK_MAX: u64 = 2_147_483_647;

static OPEN_FILES_GRAPH: Graph = Graph {
    head: "graph_title File table usage\n\
           graph_args --base 1000 -l 0\n\
           graph_vlabel number of open files\n\
           graph_category system",
    more: |facts, _, page| {
        if let Some(max) = facts.host(files::MAXIMUM) {
            let share = |percent: u128| (u128::from(max) * percent / 100).min(u128::from(AWK_MAX));
            page.put(format_args!("used.warning {}\nused.critical {}\n", share(92), share(98)));
        }
    },
    fields: &[Field {
        name: "used",
        traits: "label open files",
        need: Need::Always,
        value: |facts, _| less(facts, files::ALLOCATED, files::UNUSED),
    }],
};

pub const OPEN_INODES: Plugin =
    Plugin { name: "open_inodes", about: "Inodes the kernel holds.", shape: Shape::Host(&OPEN_INODES_GRAPH) };

static OPEN_INODES_GRAPH: Graph = Graph {
    head: "graph_title Inode table usage\n\
           graph_args --base 1000 -l 0\n\
           graph_vlabel number of open inodes\n\
           graph_category system",
    more: Graph::NONE,
    fields: &[
        Field {
            name: "used",
            traits: "label open inodes",
            need: Need::Always,
            value: |facts, _| less(facts, files::INODES, files::INODES_UNUSED),
        },
        Field {
            name: "max",
            traits: "label inode table size",
            need: Need::Always,
            value: |facts, _| facts.host(files::INODES).into(),
        },
    ],
};

pub const UPTIME: Plugin =
    Plugin { name: "uptime", about: "Days since the kernel started.", shape: Shape::Host(&UPTIME_GRAPH) };

static UPTIME_GRAPH: Graph = Graph {
    head: "graph_title Uptime\n\
           graph_args --base 1000 -l 0\n\
           graph_scale no\n\
           graph_vlabel uptime in days\n\
           graph_category system",
    more: Graph::NONE,
    fields: &[Field {
        name: "uptime",
        traits: "label uptime\ndraw AREA",
        need: Need::Always,
        value: |facts, _| {
            facts.number(uptime::UP).map_or(Amount::Unknown, |seconds| Amount::Hundredths(seconds / 86_400.0))
        },
    }],
};

pub const USERS: Plugin =
    Plugin { name: "users", about: "Who is logged in, by kind of terminal.", shape: Shape::Host(&USERS_GRAPH) };

static USERS_GRAPH: Graph = Graph {
    head: "graph_title Logged in users\n\
           graph_args --base 1000 -l 0\n\
           graph_vlabel Users\n\
           graph_scale no\n\
           graph_category system\n\
           graph_printf %3.0lf",
    more: Graph::NONE,
    fields: &[
        Field {
            name: "tty",
            traits: "label tty\ndraw AREASTACK\ncolour 00FF00",
            need: Need::Always,
            value: |facts, _| logged_in(facts, users::TTY),
        },
        Field {
            name: "pty",
            traits: "label pty\ndraw AREASTACK\ncolour 0000FF",
            need: Need::Always,
            value: |facts, _| logged_in(facts, users::PTY),
        },
        Field {
            name: "pts",
            traits: "label pts\ndraw AREASTACK\ncolour 00FFFF",
            need: Need::Always,
            value: |facts, _| logged_in(facts, users::PTS),
        },
        Field {
            name: "X",
            traits: "label X displays\ndraw AREASTACK\ncolour 000000",
            need: Need::Always,
            value: |facts, _| logged_in(facts, users::X),
        },
        Field {
            name: "other",
            traits: "label Other users\ncolour FF0000",
            need: Need::Always,
            value: |facts, _| logged_in(facts, users::OTHER),
        },
    ],
};

/// How many are logged in so. Where the host keeps no record of them (`/run/utmp`) there is nobody, as `who` has it, whom Munin's own
/// plugin asks; a record that cannot be read is unknown.
fn logged_in(facts: &Facts<'_>, line: MetricId) -> Amount {
    let is_read = facts.readings.view.state(ProbeId::Users).is_up();
    facts.host(line).or(is_read.then_some(0)).into()
}

/// One count without another, both of the host.
fn less(facts: &Facts<'_>, all: MetricId, unused: MetricId) -> Amount {
    facts.host(all).zip(facts.host(unused)).map(|(all, unused)| all.saturating_sub(unused)).into()
}

#[cfg(test)]
mod tests {
    use super::super::{Ask, answer, names};
    use super::*;
    use crate::export::Page;
    use crate::model::Now;
    use crate::store::{Readings, Snapshot};
    use watchd_probes::{Fault, Sample};

    #[test]
    fn without_a_record_nobody_is_logged_in_and_one_that_cannot_be_read_is_unknown() {
        let snapshot = Snapshot::default();
        for (fault, is_listed, value) in
            [(Fault::Absent { path: "run/utmp" }, true, "0"), (Fault::malformed("run/utmp", 0, b"half"), false, "U")]
        {
            let mut sample = Sample::default();
            sample.begin();
            sample.finish(ProbeId::Users, Err(fault), 1);
            let facts = Facts {
                readings: Readings { view: sample.view(), rates: &[] },
                ..Facts::new(&snapshot, Now::default())
            };
            let mut listed = Vec::new();
            names(&facts, false, &mut |plugin, _| listed.push(plugin.to_owned()));
            assert_eq!(listed.iter().any(|plugin| plugin == "users"), is_listed, "{listed:?}");
            let mut page = Page::new(Page::LIMIT);
            assert!(answer(&facts, Ask::Fetch, b"users", &mut page));
            let expect: String =
                ["tty", "pty", "pts", "X", "other"].iter().map(|field| format!("{field}.value {value}\n")).collect();
            assert_eq!(String::from_utf8_lossy(page.bytes()), expect);
        }
    }
}
