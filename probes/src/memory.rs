//! Memory and swap space from /proc/meminfo: `MemTotal:       16318428 kB`.
//!
//! A line that ends in `kB` (it means KiB) is given in bytes, others (`HugePages_Total:       0`) as they are. A key
//! this kernel does not have gives no row. The pages that same-page merging saves come from /sys while it runs.

use crate::keys::{Finder, Keys};
use crate::metric::metrics;
use crate::{Cursor, Fault, Fields, Look, Probe, Sink, Source, lines};

metrics! { Memory:
    TOTAL: "total", Bytes, Gauge, "node_memory_MemTotal_bytes", "", "All memory the kernel manages.";
    FREE: "free", Bytes, Gauge, "node_memory_MemFree_bytes", "", "Memory nobody uses.";
    AVAILABLE: "available", Bytes, Gauge, "node_memory_MemAvailable_bytes", "", "What programs could still get without swapping, as the kernel estimates.";
    BUFFERS: "buffers", Bytes, Gauge, "node_memory_Buffers_bytes", "", "Cache of block devices.";
    CACHED: "cached", Bytes, Gauge, "node_memory_Cached_bytes", "", "Cache of files, shared memory included.";
    SWAP_CACHED: "swap_cached", Bytes, Gauge, "node_memory_SwapCached_bytes", "", "Memory that has a valid copy in swap.";
    ACTIVE: "active", Bytes, Gauge, "node_memory_Active_bytes", "", "Memory used recently.";
    INACTIVE: "inactive", Bytes, Gauge, "node_memory_Inactive_bytes", "", "Memory not used recently.";
    ACTIVE_ANON: "active_anon", Bytes, Gauge, "node_memory_Active_anon_bytes", "", "Memory of programs used recently.";
    INACTIVE_ANON: "inactive_anon", Bytes, Gauge, "node_memory_Inactive_anon_bytes", "", "Memory of programs not used recently.";
    ACTIVE_FILE: "active_file", Bytes, Gauge, "node_memory_Active_file_bytes", "", "File cache used recently.";
    INACTIVE_FILE: "inactive_file", Bytes, Gauge, "node_memory_Inactive_file_bytes", "", "File cache not used recently.";
    UNEVICTABLE: "unevictable", Bytes, Gauge, "node_memory_Unevictable_bytes", "", "Memory that cannot be reclaimed.";
    MLOCKED: "mlocked", Bytes, Gauge, "node_memory_Mlocked_bytes", "", "Memory locked by programs.";
    SWAP_TOTAL: "swap_total", Bytes, Gauge, "node_memory_SwapTotal_bytes", "", "All swap space.";
    SWAP_FREE: "swap_free", Bytes, Gauge, "node_memory_SwapFree_bytes", "", "Swap space nobody uses.";
    ZSWAP: "zswap", Bytes, Gauge, "node_memory_Zswap_bytes", "", "Memory taken by the compressed swap cache.";
    ZSWAPPED: "zswapped", Bytes, Gauge, "node_memory_Zswapped_bytes", "", "Program memory held in the compressed swap cache.";
    DIRTY: "dirty", Bytes, Gauge, "node_memory_Dirty_bytes", "", "File cache that waits to be written.";
    WRITEBACK: "writeback", Bytes, Gauge, "node_memory_Writeback_bytes", "", "File cache being written.";
    ANON_PAGES: "anon_pages", Bytes, Gauge, "node_memory_AnonPages_bytes", "", "Memory of programs that is backed by no file.";
    MAPPED: "mapped", Bytes, Gauge, "node_memory_Mapped_bytes", "", "Files mapped by programs.";
    SHMEM: "shmem", Bytes, Gauge, "node_memory_Shmem_bytes", "", "Shared memory and tmpfs.";
    KRECLAIMABLE: "kreclaimable", Bytes, Gauge, "node_memory_KReclaimable_bytes", "", "Kernel memory that can be reclaimed.";
    SLAB: "slab", Bytes, Gauge, "node_memory_Slab_bytes", "", "Kernel objects.";
    SLAB_RECLAIMABLE: "slab_reclaimable", Bytes, Gauge, "node_memory_SReclaimable_bytes", "", "Kernel objects that can be reclaimed.";
    SLAB_UNRECLAIMABLE: "slab_unreclaimable", Bytes, Gauge, "node_memory_SUnreclaim_bytes", "", "Kernel objects that cannot be reclaimed.";
    KERNEL_STACK: "kernel_stack", Bytes, Gauge, "node_memory_KernelStack_bytes", "", "Kernel stacks of all tasks.";
    PAGE_TABLES: "page_tables", Bytes, Gauge, "node_memory_PageTables_bytes", "", "Page tables of all processes.";
    SECONDARY_PAGE_TABLES: "secondary_page_tables", Bytes, Gauge, "node_memory_SecPageTables_bytes", "", "Page tables of virtual machines and devices.";
    NFS_UNSTABLE: "nfs_unstable", Bytes, Gauge, "node_memory_NFS_Unstable_bytes", "", "Written to an NFS server but not yet on its disk.";
    BOUNCE: "bounce", Bytes, Gauge, "node_memory_Bounce_bytes", "", "Bounce buffers of block devices.";
    WRITEBACK_TMP: "writeback_tmp", Bytes, Gauge, "node_memory_WritebackTmp_bytes", "", "Buffers of FUSE for writing back.";
    COMMIT_LIMIT: "commit_limit", Bytes, Gauge, "node_memory_CommitLimit_bytes", "", "What may be promised to programs under strict overcommit.";
    COMMITTED: "committed", Bytes, Gauge, "node_memory_Committed_AS_bytes", "", "What has been promised to programs.";
    VMALLOC_TOTAL: "vmalloc_total", Bytes, Gauge, "node_memory_VmallocTotal_bytes", "", "Address space for the kernel's virtual allocations.";
    VMALLOC_USED: "vmalloc_used", Bytes, Gauge, "node_memory_VmallocUsed_bytes", "", "Used part of that address space.";
    VMALLOC_CHUNK: "vmalloc_chunk", Bytes, Gauge, "node_memory_VmallocChunk_bytes", "", "Largest free part of that address space.";
    PERCPU: "percpu", Bytes, Gauge, "node_memory_Percpu_bytes", "", "Kernel memory kept once per processor.";
    HARDWARE_CORRUPTED: "hardware_corrupted", Bytes, Gauge, "node_memory_HardwareCorrupted_bytes", "", "Memory taken out of use because the hardware failed.";
    ANON_HUGE_PAGES: "anon_huge_pages", Bytes, Gauge, "node_memory_AnonHugePages_bytes", "", "Program memory in transparent huge pages.";
    SHMEM_HUGE_PAGES: "shmem_huge_pages", Bytes, Gauge, "node_memory_ShmemHugePages_bytes", "", "Shared memory in transparent huge pages.";
    FILE_HUGE_PAGES: "file_huge_pages", Bytes, Gauge, "node_memory_FileHugePages_bytes", "", "File cache in transparent huge pages.";
    CMA_TOTAL: "cma_total", Bytes, Gauge, "node_memory_CmaTotal_bytes", "", "Memory reserved for contiguous allocations.";
    CMA_FREE: "cma_free", Bytes, Gauge, "node_memory_CmaFree_bytes", "", "Free part of that reserve.";
    HUGEPAGES_TOTAL: "hugepages_total", Count, Gauge, "node_memory_HugePages_Total", "", "Reserved huge pages, as a number.";
    HUGEPAGES_FREE: "hugepages_free", Count, Gauge, "node_memory_HugePages_Free", "", "Reserved huge pages nobody uses, as a number.";
    HUGEPAGES_RESERVED: "hugepages_reserved", Count, Gauge, "node_memory_HugePages_Rsvd", "", "Reserved huge pages promised but not yet used, as a number.";
    HUGEPAGES_SURPLUS: "hugepages_surplus", Count, Gauge, "node_memory_HugePages_Surp", "", "Huge pages beyond the reserve, as a number.";
    HUGEPAGE_SIZE: "hugepage_size", Bytes, Gauge, "node_memory_Hugepagesize_bytes", "", "Size of one reserved huge page.";
    HUGETLB: "hugetlb", Bytes, Gauge, "node_memory_Hugetlb_bytes", "", "Memory in reserved huge pages of all sizes.";
    DIRECT_MAP_4K: "direct_map_4k", Bytes, Gauge, "node_memory_DirectMap4k_bytes", "", "Memory the kernel maps in pages of 4 KiB.";
    DIRECT_MAP_2M: "direct_map_2m", Bytes, Gauge, "node_memory_DirectMap2M_bytes", "", "Memory the kernel maps in pages of 2 MiB.";
    DIRECT_MAP_1G: "direct_map_1g", Bytes, Gauge, "node_memory_DirectMap1G_bytes", "", "Memory the kernel maps in pages of 1 GiB.";
    SHMEM_PMD_MAPPED: "shmem_pmd_mapped", Bytes, Gauge, "node_memory_ShmemPmdMapped_bytes", "", "Shared memory mapped in huge pages.";
    FILE_PMD_MAPPED: "file_pmd_mapped", Bytes, Gauge, "node_memory_FilePmdMapped_bytes", "", "Files mapped in huge pages.";
    BALLOON: "balloon", Bytes, Gauge, "node_memory_Balloon_bytes", "", "Memory that was given back to the hypervisor.";
    KSM_SHARING: "ksm_sharing", Count, Gauge, "node_ksmd_pages_sharing", "", "Pages saved because they equal others, while the merging runs.";
}
pub const LABELS: &[&str] = &[];

const PATH: &str = "proc/meminfo";
const KSM_RUN: &str = "sys/kernel/mm/ksm/run";
const KSM_PAGES: &str = "sys/kernel/mm/ksm/pages_sharing";

static KEYS: &Keys = &[
    ("MemTotal", TOTAL),
    ("MemFree", FREE),
    ("MemAvailable", AVAILABLE),
    ("Buffers", BUFFERS),
    ("Cached", CACHED),
    ("SwapCached", SWAP_CACHED),
    ("Active", ACTIVE),
    ("Inactive", INACTIVE),
    ("Active(anon)", ACTIVE_ANON),
    ("Inactive(anon)", INACTIVE_ANON),
    ("Active(file)", ACTIVE_FILE),
    ("Inactive(file)", INACTIVE_FILE),
    ("Unevictable", UNEVICTABLE),
    ("Mlocked", MLOCKED),
    ("SwapTotal", SWAP_TOTAL),
    ("SwapFree", SWAP_FREE),
    ("Zswap", ZSWAP),
    ("Zswapped", ZSWAPPED),
    ("Dirty", DIRTY),
    ("Writeback", WRITEBACK),
    ("AnonPages", ANON_PAGES),
    ("Mapped", MAPPED),
    ("Shmem", SHMEM),
    ("KReclaimable", KRECLAIMABLE),
    ("Slab", SLAB),
    ("SReclaimable", SLAB_RECLAIMABLE),
    ("SUnreclaim", SLAB_UNRECLAIMABLE),
    ("KernelStack", KERNEL_STACK),
    ("PageTables", PAGE_TABLES),
    ("SecPageTables", SECONDARY_PAGE_TABLES),
    ("NFS_Unstable", NFS_UNSTABLE),
    ("Bounce", BOUNCE),
    ("WritebackTmp", WRITEBACK_TMP),
    ("CommitLimit", COMMIT_LIMIT),
    ("Committed_AS", COMMITTED),
    ("VmallocTotal", VMALLOC_TOTAL),
    ("VmallocUsed", VMALLOC_USED),
    ("VmallocChunk", VMALLOC_CHUNK),
    ("Percpu", PERCPU),
    ("HardwareCorrupted", HARDWARE_CORRUPTED),
    ("AnonHugePages", ANON_HUGE_PAGES),
    ("ShmemHugePages", SHMEM_HUGE_PAGES),
    ("ShmemPmdMapped", SHMEM_PMD_MAPPED),
    ("FileHugePages", FILE_HUGE_PAGES),
    ("FilePmdMapped", FILE_PMD_MAPPED),
    ("CmaTotal", CMA_TOTAL),
    ("CmaFree", CMA_FREE),
    ("Balloon", BALLOON),
    ("HugePages_Total", HUGEPAGES_TOTAL),
    ("HugePages_Free", HUGEPAGES_FREE),
    ("HugePages_Rsvd", HUGEPAGES_RESERVED),
    ("HugePages_Surp", HUGEPAGES_SURPLUS),
    ("Hugepagesize", HUGEPAGE_SIZE),
    ("Hugetlb", HUGETLB),
    ("DirectMap4k", DIRECT_MAP_4K),
    ("DirectMap2M", DIRECT_MAP_2M),
    ("DirectMap1G", DIRECT_MAP_1G),
];

pub struct Memory {
    meminfo: Source,
    ksm_run: Source,
    ksm_pages: Source,
}

impl Default for Memory {
    fn default() -> Self {
        Self { meminfo: Source::new(PATH), ksm_run: Source::new(KSM_RUN), ksm_pages: Source::new(KSM_PAGES) }
    }
}

impl Probe for Memory {
    fn read(&mut self, look: &mut Look<'_>, out: &mut Sink<'_>) -> Result<(), Fault> {
        give(self.meminfo.read(look)?, out)?;
        // A kernel without same-page merging, or a /sys that is closed to us, takes nothing from the rest.
        if self.ksm_run.single(look).is_ok_and(|run| run != 0)
            && let Ok(pages) = self.ksm_pages.single(look)
        {
            out.host(KSM_SHARING, pages);
        }
        Ok(())
    }
}

fn give(text: &[u8], out: &mut Sink<'_>) -> Result<(), Fault> {
    let mut keys = Finder::new(KEYS);
    for (number, line) in lines(text) {
        let mut fields = Fields::new(line);
        let Some(metric) = fields.next().and_then(|word| keys.find(word.strip_suffix(b":")?)) else { continue };
        let value = amount(&mut fields).ok_or_else(|| Fault::malformed(PATH, number, line))?;
        out.host(metric, value);
    }
    Ok(())
}

fn amount(fields: &mut Fields<'_>) -> Option<u64> {
    let value = Cursor::new(fields.next()?).whole_number()?;
    match fields.rest().trim_ascii_end() {
        b"kB" => value.checked_mul(1024),
        b"" => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::{read_fixture, readings, survives_every_cut, text_of, value};
    use crate::{ProbeId, Value};

    #[test]
    fn sizes_are_bytes_and_page_numbers_are_numbers() {
        let rows = read_fixture("big", ProbeId::Memory, &mut Memory::default()).expect("readable");
        assert_eq!(value(&rows, "total", ""), Some(Value::Int(263_939_532 * 1024)));
        assert_eq!(value(&rows, "free", ""), Some(Value::Int(3_456_780 * 1024)));
        assert_eq!(value(&rows, "active_anon", ""), Some(Value::Int(45_678_901 * 1024)));
        assert_eq!(value(&rows, "percpu", ""), Some(Value::Int(98_304 * 1024)));
        assert_eq!(value(&rows, "direct_map_1g", ""), Some(Value::Int(62_914_560 * 1024)));
        assert_eq!(value(&rows, "hugepages_total", ""), Some(Value::Int(0)));
        assert_eq!(value(&rows, "ksm_sharing", ""), Some(Value::Int(123_456)));
    }

    #[test]
    fn keys_an_old_kernel_does_not_have_give_no_row() {
        let rows = read_fixture("old", ProbeId::Memory, &mut Memory::default()).expect("readable");
        assert_eq!(rows.len(), 10);
        assert_eq!(value(&rows, "available", ""), None);
        assert_eq!(value(&rows, "swap_total", ""), Some(Value::Int(0)));
    }

    #[test]
    fn a_known_key_with_a_strange_value_is_refused() {
        for text in ["MemFree: -1 kB\n", "MemFree: 1 MB\n", "MemFree:\n", "MemFree: 18446744073709551615 kB\n"] {
            assert!(readings(ProbeId::Memory, |out| give(text.as_bytes(), out)).is_err(), "{text}");
        }
        assert_eq!(readings(ProbeId::Memory, |out| give(b"News: x\n\nMemFree 1 kB\n", out)), Ok(vec![]));
    }

    #[test]
    fn no_cut_gives_a_wrong_number() {
        survives_every_cut(ProbeId::Memory, &text_of("big", "proc/meminfo"), give);
    }
}
