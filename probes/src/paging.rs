//! What the memory management did, from /proc/vmstat: `pswpin 987654`.
//!
//! The file has some 180 lines; those an administrator asks about are taken. Counters are pages, except `pgpgin` and
//! `pgpgout`, which the kernel counts in KiB. A key this kernel does not have gives no row.

use crate::keys::{Finder, Keys};
use crate::metric::metrics;
use crate::{Fault, Fields, Look, Probe, Sink, Source, lines};

metrics! { Paging:
    FREE_PAGES: "free_pages", Count, Gauge, "node_vmstat_nr_free_pages", "", "Free pages.";
    DIRTY_PAGES: "dirty_pages", Count, Gauge, "node_vmstat_nr_dirty", "", "Pages of files that wait to be written.";
    WRITEBACK_PAGES: "writeback_pages", Count, Gauge, "node_vmstat_nr_writeback", "", "Pages of files being written.";
    ZSWAP_IN: "zswap_in", Count, Counter, "node_vmstat_zswpin", "", "Pages read from the compressed swap cache.";
    ZSWAP_OUT: "zswap_out", Count, Counter, "node_vmstat_zswpout", "", "Pages put into the compressed swap cache.";
    PGPGIN: "pgpgin", Count, Counter, "node_vmstat_pgpgin", "", "KiB read from disks.";
    PGPGOUT: "pgpgout", Count, Counter, "node_vmstat_pgpgout", "", "KiB written to disks.";
    PSWPIN: "pswpin", Count, Counter, "node_vmstat_pswpin", "", "Pages read from swap.";
    PSWPOUT: "pswpout", Count, Counter, "node_vmstat_pswpout", "", "Pages written to swap.";
    PGFREE: "pgfree", Count, Counter, "node_vmstat_pgfree", "", "Pages given back.";
    PGACTIVATE: "pgactivate", Count, Counter, "node_vmstat_pgactivate", "", "Pages that became active.";
    PGDEACTIVATE: "pgdeactivate", Count, Counter, "node_vmstat_pgdeactivate", "", "Pages that became inactive.";
    PGFAULT: "pgfault", Count, Counter, "node_vmstat_pgfault", "", "Page faults of all kinds.";
    PGMAJFAULT: "pgmajfault", Count, Counter, "node_vmstat_pgmajfault", "", "Page faults that had to wait for a disk.";
    REFAULT_ANON: "refault_anon", Count, Counter, "node_vmstat_workingset_refault_anon", "", "Pages of programs read back soon after they were thrown out.";
    REFAULT_FILE: "refault_file", Count, Counter, "node_vmstat_workingset_refault_file", "", "Pages of files read back soon after they were thrown out.";
    PGSTEAL_KSWAPD: "pgsteal_kswapd", Count, Counter, "node_vmstat_pgsteal_kswapd", "", "Pages reclaimed in the background.";
    PGSTEAL_DIRECT: "pgsteal_direct", Count, Counter, "node_vmstat_pgsteal_direct", "", "Pages reclaimed while a program waited.";
    PGSCAN_KSWAPD: "pgscan_kswapd", Count, Counter, "node_vmstat_pgscan_kswapd", "", "Pages looked at for reclaiming in the background.";
    PGSCAN_DIRECT: "pgscan_direct", Count, Counter, "node_vmstat_pgscan_direct", "", "Pages looked at for reclaiming while a program waited.";
    ALLOCSTALL: "allocstall", Count, Counter, "node_vmstat_allocstall_normal", "", "Allocations that had to reclaim memory first.";
    OOM_KILL: "oom_kill", Count, Counter, "node_vmstat_oom_kill", "", "Processes killed because memory ran out.";
    COMPACT_STALL: "compact_stall", Count, Counter, "node_vmstat_compact_stall", "", "Allocations that waited for memory to be made contiguous.";
}
pub const LABELS: &[&str] = &[];

const PATH: &str = "proc/vmstat";

static KEYS: &Keys = &[
    ("nr_free_pages", FREE_PAGES),
    ("nr_dirty", DIRTY_PAGES),
    ("nr_writeback", WRITEBACK_PAGES),
    ("zswpin", ZSWAP_IN),
    ("zswpout", ZSWAP_OUT),
    ("pgpgin", PGPGIN),
    ("pgpgout", PGPGOUT),
    ("pswpin", PSWPIN),
    ("pswpout", PSWPOUT),
    ("pgfree", PGFREE),
    ("pgactivate", PGACTIVATE),
    ("pgdeactivate", PGDEACTIVATE),
    ("pgfault", PGFAULT),
    ("pgmajfault", PGMAJFAULT),
    ("workingset_refault_anon", REFAULT_ANON),
    ("workingset_refault_file", REFAULT_FILE),
    ("pgsteal_kswapd", PGSTEAL_KSWAPD),
    ("pgsteal_direct", PGSTEAL_DIRECT),
    ("pgscan_kswapd", PGSCAN_KSWAPD),
    ("pgscan_direct", PGSCAN_DIRECT),
    ("allocstall_normal", ALLOCSTALL),
    ("oom_kill", OOM_KILL),
    ("compact_stall", COMPACT_STALL),
];

pub struct Paging {
    source: Source,
}

impl Default for Paging {
    fn default() -> Self {
        Self { source: Source::new(PATH) }
    }
}

impl Probe for Paging {
    fn read(&mut self, look: &mut Look<'_>, out: &mut Sink<'_>) -> Result<(), Fault> {
        give(self.source.read(look)?, out)
    }
}

/// How many processes the kernel has killed so far because memory ran out; none before Linux 4.13.
pub fn killed(look: &mut Look<'_>) -> Option<u64> {
    let text = Source::new(PATH).read(look).ok()?;
    let count = lines(text).find_map(|(_, line)| line.strip_prefix(b"oom_kill "))?;
    Fields::new(count).number()
}

fn give(text: &[u8], out: &mut Sink<'_>) -> Result<(), Fault> {
    let mut keys = Finder::new(KEYS);
    for (number, line) in lines(text) {
        let mut fields = Fields::new(line);
        let Some(metric) = fields.next().and_then(|word| keys.find(word)) else { continue };
        out.host(metric, fields.number().ok_or_else(|| Fault::malformed(PATH, number, line))?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::{read_fixture, readings, survives_every_cut, text_of, value};
    use crate::{ProbeId, Value};

    #[test]
    fn those_killed_for_memory_are_counted_alone_too() {
        for (host, expect) in [("vm", Some(0)), ("old", None)] {
            let host = crate::Host::open(&crate::trial::fixture(host)).expect("the root is there");
            let mut buffer = crate::Buffer::default();
            let mut look = Look { host: &host, buffer: &mut buffer, now: crate::Now::default() };
            assert_eq!(killed(&mut look), expect);
        }
    }

    #[test]
    fn the_lines_asked_for_are_taken() {
        let rows = read_fixture("big", ProbeId::Paging, &mut Paging::default()).expect("readable");
        assert_eq!(value(&rows, "pswpin", ""), Some(Value::Int(987_654)));
        assert_eq!(value(&rows, "pswpout", ""), Some(Value::Int(3_456_789_012)));
        assert_eq!(value(&rows, "oom_kill", ""), None);
        let rows = read_fixture("vm", ProbeId::Paging, &mut Paging::default()).expect("readable");
        assert_eq!(rows.len(), KEYS.len(), "a current kernel has them all: {rows:?}");
    }

    #[test]
    fn a_known_key_without_a_number_is_refused() {
        for text in ["pgfault\n", "pgfault x\n", "pgfault -1\n"] {
            assert!(readings(ProbeId::Paging, |out| give(text.as_bytes(), out)).is_err(), "{text}");
        }
    }

    #[test]
    fn no_cut_gives_a_wrong_number() {
        survives_every_cut(ProbeId::Paging, &text_of("big", "proc/vmstat"), give);
        survives_every_cut(ProbeId::Paging, &text_of("vm", "proc/vmstat"), give);
    }
}
