//! How little of us is resident: pages of program text are given back when a cycle is over.
//!
//! Three quarters of a small static process is its own text. What is dropped stays in the page cache and comes back by minor faults,
//! about ten a cycle. MADV_COLD had no effect on the resident size and MADV_PAGEOUT costs major faults, so it is MADV_DONTNEED.

use std::io;

unsafe extern "C" {
    static __ehdr_start: u8;
    static etext: u8;
}

/// What one fault may bring in. The kernel maps 64 KiB around each touched page of a file, most of it never used; it
/// stops at the borders of a mapping. Measured with 50 services, both peaks added up: 3.0 MB with 16 KiB, 2.5 MB with 8 KiB. The
/// price is some 230 mappings, about 45 KB of the kernel's memory, and a little of each fork.
const BLOCK: usize = 8 << 10;

/// Whole pages of program text and constants, as addresses.
fn text() -> (usize, usize) {
    let page = page_size();
    // Linker symbols, of which only the addresses are taken.
    let (start, end) = (&raw const __ehdr_start as usize, &raw const etext as usize);
    (start & !(page - 1), end & !(page - 1))
}

/// Divides the mappings of the text into small ones, so that a fault brings in little. Two that lie side by side must differ
/// in something; whether they go into a core dump changes nothing else.
fn divide_text() {
    let (start, end) = text();
    for block in (start / BLOCK..end / BLOCK).filter(|block| block % 2 == 1) {
        let address = block * BLOCK;
        if address >= start && address + BLOCK <= end {
            // SAFETY: a range of our own text; the advice changes no contents and no access.
            unsafe { libc::madvise(std::ptr::with_exposed_provenance_mut(address), BLOCK, libc::MADV_DONTDUMP) };
        }
    }
}

/// Gives back the pages of program text and constants, and those of the stack that nobody stands on.
pub fn trim_text() {
    trim_stack();
    let (start, end) = text();
    if end > start {
        // SAFETY: the range holds the ELF header, constants and text: private file mappings that are never written to, so the
        // same bytes come back from the file at the next touch.
        unsafe { libc::madvise(std::ptr::with_exposed_provenance_mut(start), end - start, libc::MADV_DONTNEED) };
    }
}

/// How much of the stack below the caller is given back: more than the deepest turn ever touches.
const STACK: usize = 512 << 10;

/// Gives back what deeper calls have left of the stack.
#[inline(never)]
fn trim_stack() {
    let page = page_size();
    let here = 0_u8;
    // Two pages of distance: this frame, the red zone, and the call below.
    let end = (&raw const here as usize & !(page - 1)) - 2 * page;
    // SAFETY: everything below the frame of a running function is dead, and comes back as zeros when it is touched. The
    // part that was never mapped is passed over with an error nobody needs.
    unsafe { libc::madvise(std::ptr::with_exposed_provenance_mut(end - STACK), STACK, libc::MADV_DONTNEED) };
}

/// Gives freed heap back to the system.
pub fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no preconditions; there is one thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Sets the process up to stay small; to be called first thing in main.
pub fn stay_small() {
    divide_text();
    trim_text();
    // Where transparent huge pages are "always", one touched byte would cost 2 MiB.
    let _ = nix::sys::prctl::set_thp_disable(true);
    #[cfg(target_env = "gnu")]
    // SAFETY: plain settings of the allocator, before any other thread could exist.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_TOP_PAD, 4 << 10);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 8 << 10);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 16 << 10);
    }
}

/// So many pages as KiB.
pub fn pages_kib(pages: u64) -> u64 {
    pages.saturating_mul(page_size() as u64) / 1024
}

/// VmRSS and VmHWM of a process in KiB, from its status file.
pub fn resident_kib(pid: u32) -> io::Result<(u64, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.trim().parse().ok())
    };
    field("VmRSS:").zip(field("VmHWM:")).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Asks the kernel to take any other process first when memory runs out; only root may.
pub fn spare_from_oom() {
    let _ = std::fs::write("/proc/self/oom_score_adj", "-1000");
}

pub fn page_size() -> usize {
    // SAFETY: sysconf only reads.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}
