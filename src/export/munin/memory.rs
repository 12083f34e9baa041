//! Plugins about memory: memory and swap.

use watchd_probes::{MetricId, memory, paging};

use super::facts::{Amount, Facts};
use super::graph::{Field, Graph, Need, Plugin, Shape};

pub const MEMORY: Plugin =
    Plugin { name: "memory", about: "What the machine uses its memory for.", shape: Shape::Host(&MEMORY_GRAPH) };

static MEMORY_GRAPH: Graph = Graph {
    head: "graph_title Memory usage\n\
           graph_vlabel Bytes\n\
           graph_category system",
    more: |facts, _, page| {
        if let Some(total) = facts.host(memory::TOTAL) {
            page.put(format_args!("graph_args --base 1024 -l 0 --upper-limit {total}\n"));
        }
        page.text("graph_order apps");
        for (name, metric) in ORDERED {
            if facts.host(*metric).is_some() {
                page.put(format_args!(" {name}"));
            }
        }
        page.text(" cached buffers free swap\n");
    },
    fields: &[
        Field {
            name: "apps",
            traits: "label apps\ndraw AREA\ncolour COLOUR0",
            need: Need::Always,
            value: |facts, _| apps(facts),
        },
        Field {
            name: "buffers",
            traits: "label buffers\ndraw STACK\ncolour COLOUR5",
            need: Need::Always,
            value: |facts, _| facts.host(memory::BUFFERS).into(),
        },
        Field {
            name: "swap",
            traits: "label swap\ndraw STACK\ncolour COLOUR7",
            need: Need::Always,
            value: |facts, _| less(facts, memory::SWAP_TOTAL, memory::SWAP_FREE),
        },
        Field {
            name: "cached",
            traits: "label cache\ndraw STACK\ncolour COLOUR4",
            need: Need::Always,
            value: |facts, _| cached(facts),
        },
        Field {
            name: "free",
            traits: "label unused\ndraw STACK\ncolour COLOUR6",
            need: Need::Always,
            value: |facts, _| facts.host(memory::FREE).into(),
        },
        Field {
            name: "shmem",
            traits: "label shmem\ndraw STACK\ncolour COLOUR9",
            need: Need::Optional,
            value: |facts, _| facts.host(memory::SHMEM).into(),
        },
        Field {
            name: "slab",
            traits: "label slab_cache\ndraw STACK\ncolour COLOUR3",
            need: Need::Optional,
            value: |facts, _| facts.host(memory::SLAB).into(),
        },
        Field {
            name: "swap_cache",
            traits: "label swap_cache\ndraw STACK\ncolour COLOUR2",
            need: Need::Optional,
            value: |facts, _| facts.host(memory::SWAP_CACHED).into(),
        },
        Field {
            name: "page_tables",
            traits: "label page_tables\ndraw STACK\ncolour COLOUR1",
            need: Need::Optional,
            value: |facts, _| facts.host(memory::PAGE_TABLES).into(),
        },
        Field {
            name: "per_cpu",
            traits: "label per_cpu\ndraw STACK\ncolour COLOUR20",
            need: Need::Optional,
            value: |facts, _| facts.host(memory::PERCPU).into(),
        },
        Field {
            name: "vmalloc_used",
            traits: "label vmalloc_used\ndraw LINE2\ncolour COLOUR8",
            need: Need::Optional,
            value: |facts, _| facts.host(memory::VMALLOC_USED).into(),
        },
        Field {
            name: "committed",
            traits: "label committed\ndraw LINE2\ncolour COLOUR10",
            need: Need::Optional,
            value: |facts, _| facts.host(memory::COMMITTED).into(),
        },
        Field {
            name: "mapped",
            traits: "label mapped\ndraw LINE2\ncolour COLOUR11",
            need: Need::Optional,
            value: |facts, _| facts.host(memory::MAPPED).into(),
        },
        Field {
            name: "active",
            traits: "label active\ndraw LINE2\ncolour COLOUR12",
            need: Need::Optional,
            value: |facts, _| facts.host(memory::ACTIVE).into(),
        },
        Field {
            name: "inactive",
            traits: "label inactive\ndraw LINE2\ncolour COLOUR15",
            need: Need::Optional,
            value: |facts, _| facts.host(memory::INACTIVE).into(),
        },
        Field {
            name: "ksm_sharing",
            traits: "label KSM sharing\ndraw LINE2\ncolour COLOUR19",
            need: Need::Optional,
            value: |facts, _| ksm(facts),
        },
    ],
};

/// Stacked between apps and cached, where the kernel has them.
const ORDERED: &[(&str, MetricId)] = &[
    ("page_tables", memory::PAGE_TABLES),
    ("per_cpu", memory::PERCPU),
    ("swap_cache", memory::SWAP_CACHED),
    ("slab", memory::SLAB),
    ("shmem", memory::SHMEM),
];

/// What is left when everything the kernel names is taken away. Parts an old kernel does not know are none.
fn apps(facts: &Facts<'_>) -> Amount {
    let known = [memory::FREE, memory::BUFFERS, memory::CACHED].map(|metric| facts.host(metric));
    let maybe = [memory::SLAB, memory::PAGE_TABLES, memory::PERCPU, memory::SWAP_CACHED];
    let maybe: u64 = maybe.iter().filter_map(|metric| facts.host(*metric)).sum();
    let Some(known) = known.into_iter().sum::<Option<u64>>() else { return Amount::Unknown };
    facts.host(memory::TOTAL).map(|total| total.saturating_sub(known + maybe)).into()
}

/// The cache of files without shared memory, which the kernel counts among it.
fn cached(facts: &Facts<'_>) -> Amount {
    let shared = facts.host(memory::SHMEM).unwrap_or(0);
    facts.host(memory::CACHED).map(|cached| cached.saturating_sub(shared)).into()
}

/// Pages of 4 KiB that the kernel saved; none while it does not look for them.
fn ksm(facts: &Facts<'_>) -> Amount {
    facts.host(memory::KSM_SHARING).map(|pages| pages * 4096).into()
}

fn less(facts: &Facts<'_>, whole: MetricId, part: MetricId) -> Amount {
    facts.host(whole).zip(facts.host(part)).map(|(whole, part)| whole.saturating_sub(part)).into()
}

pub const SWAP: Plugin =
    Plugin { name: "swap", about: "Pages read from swap and written to it.", shape: Shape::Host(&SWAP_GRAPH) };

static SWAP_GRAPH: Graph = Graph {
    head: "graph_title Swap in/out\n\
           graph_args -l 0 --base 1000\n\
           graph_vlabel pages per ${graph_period} in (-) / out (+)\n\
           graph_category system",
    more: Graph::NONE,
    fields: &[
        Field {
            name: "swap_in",
            traits: "label swap\ntype DERIVE\nmax 100000\nmin 0\ngraph no",
            need: Need::Always,
            value: |facts, _| facts.host(paging::PSWPIN).into(),
        },
        Field {
            name: "swap_out",
            traits: "label swap\ntype DERIVE\nmax 100000\nmin 0\nnegative swap_in",
            need: Need::Always,
            value: |facts, _| facts.host(paging::PSWPOUT).into(),
        },
    ],
};
