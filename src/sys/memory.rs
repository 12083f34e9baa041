//! How little of us is resident: pages of program text are given back when a cycle is over, and before it when many have come.
//!
//! What is dropped stays in the page cache and comes back by minor faults. MADV_COLD had no effect on the resident size and
//! MADV_PAGEOUT costs major faults, so it is MADV_DONTNEED. Giving back is dear (some 70 µs, a microsecond more for each page that
//! comes again), asking how many faults there were is not (0.2 µs): so work of any length asks between its pieces.

use std::ffi::CStr;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

unsafe extern "C" {
    static __ehdr_start: u8;
    static etext: u8;
}

/// What one fault may bring in. The kernel maps 64 KiB around each touched page of a file, most of it never used; it
/// stops at the borders of a mapping. Measured with 50 services, both peaks added up: 3.0 MB with 16 KiB, 2.5 MB with 8 KiB. The
/// price is some 230 mappings, about 45 KB of the kernel's memory, and a little of each fork.
pub const BLOCK: usize = 8 << 10;

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

/// So many faults may pass before text is given back in the middle of something. Each brings in one [`BLOCK`] at most, so what is resident of
/// the text stays below half a megabyte and what one piece of work touches.
const GROWTH: i64 = 64;
/// The same while the daemon turns: what a cycle runs, some 85 blocks and pages, is to stay.
const TURNING: i64 = 96;

/// A cycle with fewer faults has met little that is new.
const STEADY: i64 = 40;

/// The faults there had been when text was given back last.
static FAULTS: AtomicI64 = AtomicI64::new(0);
/// [`GROWTH`] or [`TURNING`].
static LIMIT: AtomicI64 = AtomicI64::new(GROWTH);
/// The faults there had been at the end of the last cycle.
static CYCLE: AtomicI64 = AtomicI64::new(0);
/// Text was given back then.
static WAS_TRIMMED: AtomicBool = AtomicBool::new(false);
/// Text stays where it is.
static KEEPS: AtomicBool = AtomicBool::new(false);

/// From now on there are cycles, whose text is to stay.
pub fn turn() {
    LIMIT.store(TURNING, Ordering::Relaxed);
}

/// Leaves the text resident from now on, or gives it back again.
pub fn keep_text(keeps: bool) {
    KEEPS.store(keeps, Ordering::Relaxed);
}

/// Gives text back if much has come in since that was done last. To be called between pieces of work.
pub fn trim_grown() {
    if faults() - FAULTS.load(Ordering::Relaxed) >= LIMIT.load(Ordering::Relaxed) {
        trim_text();
    }
}

/// Gives text back after a cycle in which something new has come in, so that what stays is what each cycle runs. What comes in after that is
/// just this, and is left alone once.
pub fn trim_after_cycle() {
    let came = faults() - CYCLE.load(Ordering::Relaxed);
    let trims = came >= STEADY && !WAS_TRIMMED.load(Ordering::Relaxed);
    if trims {
        trim_text();
    }
    WAS_TRIMMED.store(trims, Ordering::Relaxed);
    CYCLE.store(faults(), Ordering::Relaxed);
}

/// Faults of this process that needed no disk.
// A long has 32 bits on some processors.
#[allow(clippy::useless_conversion)]
fn faults() -> i64 {
    // SAFETY: an all-zero rusage is a valid value, and the call fills it in.
    unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        i64::from(usage.ru_minflt)
    }
}

/// Gives back the pages of program text and constants, and those of the stack that nobody stands on.
pub fn trim_text() {
    trim_stack();
    if KEEPS.load(Ordering::Relaxed) {
        return;
    }
    FAULTS.store(faults(), Ordering::Relaxed);
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

/// What was mapped before the text was divided is resident until it is given back: the C library's start touches windows of 64 KiB all over
/// it, 1.1 MiB, and the start of Rust's library half a MiB more. Where `entry` has not been before, it is done between the two.
#[used]
#[unsafe(link_section = ".init_array")]
static EARLY: extern "C" fn(libc::c_int, *const *const libc::c_char) = divide_early;

/// The text was divided.
pub static IS_DIVIDED: AtomicBool = AtomicBool::new(false);

/// Called by the C library with the arguments of the program. Programs of other names, such as tests, are left as they are.
extern "C" fn divide_early(count: libc::c_int, arguments: *const *const libc::c_char) {
    let word = |place: usize| {
        if place >= usize::try_from(count).unwrap_or(0) {
            return None;
        }
        // SAFETY: the C library gives `count` words that end with a zero, and lets them stand.
        Some(unsafe { CStr::from_ptr(*arguments.add(place)) }.to_bytes())
    };
    let is_ours = word(0).is_some_and(|name| name.ends_with(b"watchd") || name.ends_with(b"watchd-door"));
    if is_ours && word(1) != Some(b"keepalive") && !IS_DIVIDED.swap(true, Ordering::Relaxed) {
        divide_text();
        trim_text();
    }
}

/// Sets the process up to stay small; to be called first thing in main.
pub fn stay_small() {
    if !IS_DIVIDED.swap(true, Ordering::Relaxed) {
        divide_text();
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_given_back_when_much_has_come_in() {
        let given_back = || FAULTS.load(Ordering::Relaxed);
        trim_text();
        let before = given_back();
        // Pages that were never touched come in by one fault each. So much is never taken from what was freed before: the allocator
        // asks the kernel for anything above 32 MiB.
        let _ = nix::sys::prctl::set_thp_disable(true);
        let mut room = vec![0_u8; 40 << 20];
        let (pages, _) = room.split_at_mut(4 * usize::try_from(GROWTH).expect("it is small") * page_size());
        trim_grown();
        let untouched = given_back();
        pages.iter_mut().step_by(page_size()).for_each(|byte| *byte = 1);
        trim_grown();
        assert!(given_back() >= untouched + GROWTH, "{before} {untouched} {}", given_back());
        assert_eq!(pages.iter().map(|byte| u64::from(*byte)).sum::<u64>(), pages.len().div_ceil(page_size()) as u64);
    }
}
