//! The child between its birth and its exec: system calls only, on memory that was made ready before.
//!
//! It shares our memory (CLONE_VM), which spares the copy of all mappings, and runs beside us on a stack of its own: nothing
//! here allocates, locks, formats, returns, or writes where we might read. What goes wrong goes as five bytes (step, error
//! number) into the report pipe, which a successful exec closes.
//!
//! Between us and the child stands for a moment a process that only gives up the exemption from the OOM killer and makes the
//! child in our name (CLONE_PARENT): processes that share memory share that exemption too, but one made as by vfork does not,
//! and what it makes inherits from it.

use std::ffi::{CStr, CString, c_long, c_void};
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr::{self, NonNull};

use super::raw;
use super::{Ids, Plan, Rarer, Step};

/// Where the child keeps its two pipes while it clears its descriptors.
const REPORT: RawFd = 3;
const GATE: RawFd = 4;

/// For each of the two stacks; the deepest call needs some 2 KiB.
const STACK: usize = 16 << 10;

/// Everything a child uses of our memory.
#[derive(Debug)]
pub(super) struct Stage {
    plan: Plan,
    words: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
    /// Gate, report, standard output, error and input; −1 for none.
    pipes: [RawFd; 5],
    stack: Stack,
    /// What the go-between has to say: the pid of the child, or a negative error number.
    answer: i32,
    /// How setting the OOM score went.
    score: isize,
    /// The control group of the child, if it gets one: a number, because only the child needs it open for longer than its birth.
    group: Option<RawFd>,
    /// The child has to go into its control group itself.
    must_join: bool,
}

/// A mapping with two stacks in it, the child's below the go-between's.
#[derive(Debug)]
struct Stack(NonNull<c_void>);

impl Stack {
    fn new() -> io::Result<Self> {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping that nobody else knows.
        let start = unsafe { libc::mmap(ptr::null_mut(), 2 * STACK, access, kind, -1, 0) };
        let found = NonNull::new(start).filter(|start| start.as_ptr() != libc::MAP_FAILED);
        found.map(Self).ok_or_else(io::Error::last_os_error)
    }

    /// One past the highest byte of the child's stack, or of the go-between's.
    fn top(&self, number: usize) -> *mut c_void {
        self.0.as_ptr().wrapping_byte_add(number * STACK)
    }

    /// Gives back what the go-between has touched: on a busy host many children are on their way at once, each with its stacks.
    fn give_back_second(&self) {
        // SAFETY: our own mapping; who calls this knows that the go-between has ended.
        unsafe { libc::madvise(self.top(1), STACK, libc::MADV_DONTNEED) };
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: our own mapping; who drops it knows that nobody stands on it.
        unsafe { libc::munmap(self.0.as_ptr(), 2 * STACK) };
    }
}

fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
}

impl Stage {
    pub fn new(plan: Plan, pipes: [RawFd; 5], group: Option<(RawFd, bool)>) -> io::Result<Box<Self>> {
        let (words, environment) = (pointers(&plan.words), pointers(&plan.environment));
        Ok(Box::new(Self {
            plan,
            words,
            environment,
            pipes,
            stack: Stack::new()?,
            answer: 0,
            score: 0,
            group: group.map(|(dir, _)| dir),
            must_join: group.is_some_and(|(_, is_new)| !is_new),
        }))
    }

    /// Makes the child; it stands at the gate when it has cleared its surroundings. Gives its pid, and back what it uses.
    pub fn begin(self: Box<Self>) -> io::Result<(i32, Box<Self>)> {
        let all = nix::sys::signal::SigSet::all();
        // The child unblocks them when it has dropped our handlers: a signal to it would look like one to us.
        let before = all.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_SETMASK)?;
        let stage = Box::into_raw(self);
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        // SAFETY: `stage` is ours and not touched here until the go-between has ended, which CLONE_VFORK waits for; it makes
        // raw calls and one `clone`, all on its own stack.
        let between = unsafe { libc::clone(go_between, (*stage).stack.top(2), flags, stage.cast()) };
        let error = io::Error::last_os_error();
        if between > 0 {
            // SAFETY: waits for our own child, which has ended but for being noticed.
            unsafe { libc::waitpid(between, ptr::null_mut(), 0) };
        }
        // SAFETY: made from this very box above; the child, if there is one, only reads what stays where it is.
        let stage = unsafe { Box::from_raw(stage) };
        stage.stack.give_back_second();
        // Fails for an impossible mask only, and this one was ours.
        let _ = before.thread_set_mask();
        match stage.answer {
            _ if between == -1 => Err(error),
            pid if pid > 0 => Ok((pid, stage)),
            0 => {
                // It was killed, and whether there is a child is not known.
                std::mem::forget(stage);
                Err(io::ErrorKind::Interrupted.into())
            }
            errno => Err(io::Error::from_raw_os_error(-errno)),
        }
    }
}

/// What a child has to change of our memory's settings is changed back.
pub(super) fn restore() {
    let _ = nix::sys::prctl::set_thp_disable(true);
}

/// Makes the child. While this runs, watchd waits.
extern "C" fn go_between(stage: *mut c_void) -> i32 {
    let flags = libc::CLONE_VM | libc::CLONE_PARENT | libc::SIGCHLD;
    // SAFETY: `stage` is the box of `begin`, whose owner waits for us; the child's stack is nobody else's.
    unsafe {
        let place = stage.cast::<Stage>();
        (*place).score = unprotect((*place).plan.rarer.oom_score_adj.as_deref());
        if let Some(group) = (*place).group.filter(|_| !(*place).must_join) {
            // By clone the child is in its group from the first moment; going there later takes the kernel 6 to 16 ms.
            let born = raw::clone_into(group, become_program, (*place).stack.top(1), stage);
            if born > 0 {
                (*place).answer = born;
                return 0;
            }
            (*place).must_join = true;
        }
        let pid = libc::clone(become_program, (*place).stack.top(1), flags, stage);
        (*place).answer = if pid == -1 { -*libc::__errno_location() } else { pid };
    }
    0
}

/// The child's whole life until it is its program.
extern "C" fn become_program(stage: *mut c_void) -> i32 {
    // SAFETY: `stage` outlives the report pipe's writing end, which this process holds; from here on nobody writes to it but
    // for `answer`, which is not read here.
    unsafe {
        let (plan, pipes) = (&(*stage.cast::<Stage>()).plan, (*stage.cast::<Stage>()).pipes);
        clear_signals();
        if let Some(group) = (*stage.cast::<Stage>()).group.filter(|_| (*stage.cast::<Stage>()).must_join) {
            join(group);
        }
        let arranged = arrange(pipes);
        if arranged < 0 {
            let [_, report, ..] = pipes;
            fail(report, Step::Descriptors, arranged);
        }
        check(raw::call(libc::SYS_setsid, [0; 5]), Step::Session);
        wait_at_gate();
        check((*stage.cast::<Stage>()).score, Step::OomScore);
        if let Some((name, above)) = plan.rarer.output.split_last() {
            check(append_to(above, name), Step::Output);
        }
        set_limits(&plan.rarer);
        if let Some(root) = &plan.rarer.root {
            check(path_call(libc::SYS_chroot, root), Step::Root);
            // Or the old directory would be the way out.
            check(path_call(libc::SYS_chdir, c"/"), Step::Root);
        }
        become_account(plan);
        raw::call(libc::SYS_umask, [plan.rarer.umask as usize, 0, 0, 0, 0]);
        check(path_call(libc::SYS_chdir, &plan.directory), Step::Directory);
        execute(stage.cast())
    }
}

/// Goes into a control group. Where that is not allowed it stays where it is.
///
/// # Safety
/// Only in the child.
unsafe fn join(group: RawFd) {
    // SAFETY: the path ends with a zero, the text is one byte of it.
    unsafe {
        let list = [word(group), c"cgroup.procs".as_ptr().addr(), word(libc::O_WRONLY | libc::O_CLOEXEC), 0, 0];
        let list = raw::call(libc::SYS_openat, list).cast_unsigned();
        raw::call(libc::SYS_write, [list, c"0".as_ptr().addr(), 1, 0, 0]);
    }
}

/// # Safety
/// Only in the child.
unsafe fn wait_at_gate() {
    let mut go = 0_u8;
    // SAFETY: one byte into a variable of ours.
    unsafe {
        while raw::call(libc::SYS_read, [word(GATE), (&raw mut go).addr(), 1, 0, 0]) == -(libc::EINTR as isize) {}
        if go == 0 {
            end(0);
        }
        raw::call(libc::SYS_close, [word(GATE), 0, 0, 0, 0]);
    }
}

/// # Safety
/// Only in the child.
unsafe fn set_limits(rarer: &Rarer) {
    // SAFETY: plain numbers, and a structure of ours that the kernel reads.
    unsafe {
        for (resource, amount) in &rarer.rlimits {
            // The kernel's structure for prlimit64 on every processor: soft and hard.
            let both = [*amount; 2];
            let args = [0, *resource as usize, both.as_ptr().addr(), 0, 0];
            check(raw::call(libc::SYS_prlimit64, args), Step::Limits);
        }
        if let Some(nice) = rarer.nice {
            check(raw::call(libc::SYS_setpriority, [PRIO_PROCESS, 0, word(nice.into()), 0, 0]), Step::Nice);
        }
        if let Some(ionice) = rarer.ionice {
            check(raw::call(libc::SYS_ioprio_set, [IOPRIO_WHO_PROCESS, 0, ionice as usize, 0, 0]), Step::IoPriority);
        }
    }
}

const PRIO_PROCESS: usize = 0;
const IOPRIO_WHO_PROCESS: usize = 1;

/// Puts a file on 1 and 2. It is opened as watchd's account, perhaps in a directory of the service's: so no name on the way
/// may be a link, and it may have no second name. Negative when that failed.
///
/// # Safety
/// Only in the child.
unsafe fn append_to(above: &[CString], name: &CStr) -> isize {
    let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_NOCTTY | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    // SAFETY: the names end with a zero; the rest is descriptors of ours.
    unsafe {
        let dir = go_down(above);
        if dir < 0 {
            return dir;
        }
        let dir = dir.cast_unsigned();
        let file = raw::call(libc::SYS_openat, [dir, name.as_ptr().addr(), word(flags), 0o640, 0]);
        raw::call(libc::SYS_close, [dir, 0, 0, 0, 0]);
        if file < 0 {
            return file;
        }
        if has_more_names(file) {
            return -(libc::EMLINK as isize);
        }
        let file = file.cast_unsigned();
        // Not to wait was for the opening.
        raw::call(libc::SYS_fcntl, [file, libc::F_SETFL as usize, word(libc::O_APPEND), 0, 0]);
        for to in [1, 2] {
            let result = raw::call(libc::SYS_dup3, [file, to, 0, 0, 0]);
            if result < 0 {
                return result;
            }
        }
        raw::call(libc::SYS_close, [file, 0, 0, 0, 0])
    }
}

/// Opens a directory from the root on, step by step and never through a link. Negative when that failed.
///
/// # Safety
/// Only in the child.
unsafe fn go_down(steps: &[CString]) -> isize {
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: the names end with a zero; the rest is descriptors of ours.
    unsafe {
        let mut dir = open(c"/", flags);
        for step in steps {
            if dir < 0 {
                return dir;
            }
            let above = dir.cast_unsigned();
            dir = raw::call(libc::SYS_openat, [above, step.as_ptr().addr(), word(flags), 0, 0]);
            raw::call(libc::SYS_close, [above, 0, 0, 0, 0]);
        }
        // So the kernel calls a link where a directory has to be.
        if dir == -(libc::ENOTDIR as isize) { -(libc::ELOOP as isize) } else { dir }
    }
}

/// Whether it is a file that stands in some other place as well.
///
/// # Safety
/// Only in the child, with a descriptor that is open.
unsafe fn has_more_names(file: isize) -> bool {
    let Ok(file) = RawFd::try_from(file) else { return false };
    // SAFETY: it is open while this runs; the call is the kernel's own and writes into a variable of ours.
    let found = rustix::fs::fstat(unsafe { BorrowedFd::borrow_raw(file) });
    found.is_ok_and(|found| rustix::fs::FileType::from_raw_mode(found.st_mode).is_file() && found.st_nlink > 1)
}

/// # Safety
/// Only in the child.
unsafe fn become_account(plan: &Plan) {
    // SAFETY: the list lives in the plan.
    unsafe {
        if let Some(Ids { user, group, groups }) = &plan.ids {
            let list = [groups.len(), groups.as_ptr().addr(), 0, 0, 0];
            check(raw::call(SETGROUPS, list), Step::Groups);
            check(raw::call(SETGID, [*group as usize, 0, 0, 0, 0]), Step::Group);
            if let Some(user) = user {
                check(raw::call(SETUID, [*user as usize, 0, 0, 0, 0]), Step::User);
            }
        }
    }
}

// The calls of these names take ids of 16 bits there.
#[cfg(not(any(target_arch = "x86", target_arch = "arm")))]
use libc::{SYS_setgid as SETGID, SYS_setgroups as SETGROUPS, SYS_setuid as SETUID};
#[cfg(any(target_arch = "x86", target_arch = "arm"))]
use libc::{SYS_setgid32 as SETGID, SYS_setgroups32 as SETGROUPS, SYS_setuid32 as SETUID};

/// # Safety
/// Only in the child, with its stage.
unsafe fn execute(stage: *const Stage) -> ! {
    let mut worst = -(libc::ENOENT as isize);
    // SAFETY: every pointer is to a CString or a null-ended list of the stage. With the memory we also share whether huge
    // pages are in use, and a program takes that over; `restore` sets ours back.
    unsafe {
        let prctl = [word(libc::PR_SET_THP_DISABLE), 0, 0, 0, 0];
        raw::call(libc::SYS_prctl, prctl);
        let (words, environment) = ((*stage).words.as_ptr().addr(), (*stage).environment.as_ptr().addr());
        for program in &(*stage).plan.programs {
            let result = raw::call(libc::SYS_execve, [program.as_ptr().addr(), words, environment, 0, 0]);
            // A later directory may still have one that can be executed.
            if result != -(libc::ENOENT as isize) && result != -(libc::ENOTDIR as isize) {
                worst = result;
            }
        }
        fail(REPORT, Step::Execute, worst)
    }
}

/// Gives every signal its default action and lets all of them through.
///
/// # Safety
/// Only in the child.
unsafe fn clear_signals() {
    // Zeros are the default action without flags in the kernel's structure, whose largest form has fewer bytes than this.
    let (default, none) = ([0_u64; 8], [0_u64; 1]);
    // SAFETY: the kernel reads two arrays of ours and writes nothing.
    unsafe {
        for signal in 1..=64_usize {
            raw::call(libc::SYS_rt_sigaction, [signal, default.as_ptr().addr(), 0, 8, 0]);
        }
        raw::call(libc::SYS_rt_sigprocmask, [word(libc::SIG_SETMASK), none.as_ptr().addr(), 0, 8, 0]);
    }
}

/// Puts /dev/null or what the plan has for them on 0 to 2 and our pipes on 3 and 4, and closes all others. Negative when
/// something failed.
///
/// # Safety
/// Only in the child.
unsafe fn arrange([gate, report, output, error, input]: [RawFd; 5]) -> isize {
    // SAFETY: descriptor calls; out of the way of 0 to 4 first, so that none is overwritten before it is copied.
    unsafe {
        let null = open(c"/dev/null", libc::O_RDWR);
        let aside = |fd: isize| raw::call(libc::SYS_fcntl, [fd.cast_unsigned(), F_DUPFD, ABOVE, 0, 0]);
        let (null, gate, report) = (aside(null), aside(gate as isize), aside(report as isize));
        let or_null = |fd: RawFd| if fd == -1 { null } else { aside(fd as isize) };
        let (output, error, input) = (or_null(output), or_null(error), or_null(input));
        for (from, to, flags) in
            [(input, 0, 0), (output, 1, 0), (error, 2, 0), (report, REPORT, libc::O_CLOEXEC), (gate, GATE, 0)]
        {
            let result = raw::call(libc::SYS_dup3, [from.cast_unsigned(), word(to), word(flags), 0, 0]);
            if result < 0 {
                return result;
            }
        }
        if raw::call(libc::SYS_close_range, [ABOVE, libc::c_uint::MAX as usize, 0, 0, 0]) < 0 {
            // Before Linux 5.9: one by one, as far as a process of ours could ever have opened.
            for fd in ABOVE..65_536 {
                raw::call(libc::SYS_close, [fd, 0, 0, 0, 0]);
            }
        }
        0
    }
}

const F_DUPFD: usize = libc::F_DUPFD as usize;
/// The first descriptor that is none of the child's.
const ABOVE: usize = GATE as usize + 1;

/// Takes back the protection from the OOM killer that watchd may have given itself, or sets what the plan says. A positive
/// value stays. Negative when what the plan says could not be set.
///
/// # Safety
/// Only in the go-between.
unsafe fn unprotect(wanted: Option<&CStr>) -> isize {
    const SCORE: &CStr = c"/proc/self/oom_score_adj";
    // SAFETY: system calls on a buffer of ours.
    unsafe {
        let file = open(SCORE, libc::O_RDWR | libc::O_CLOEXEC);
        if file < 0 {
            return if wanted.is_some() { file } else { 0 };
        }
        let write = |text: &CStr| {
            let text = [file.cast_unsigned(), text.as_ptr().addr(), text.count_bytes(), 0, 0];
            raw::call(libc::SYS_pwrite64, text)
        };
        let mut first = 0_u8;
        let read = raw::call(libc::SYS_read, [file.cast_unsigned(), (&raw mut first).addr(), 1, 0, 0]);
        let written = match wanted {
            Some(text) => write(text),
            None if read == 1 && first == b'-' => write(c"0").max(0),
            None => 0,
        };
        raw::call(libc::SYS_close, [file.cast_unsigned(), 0, 0, 0, 0]);
        written
    }
}

/// # Safety
/// As the call.
unsafe fn open(path: &CStr, flags: i32) -> isize {
    // SAFETY: the path ends with a zero.
    unsafe { raw::call(libc::SYS_openat, [word(libc::AT_FDCWD), path.as_ptr().addr(), word(flags), 0, 0]) }
}

/// # Safety
/// As the call, which takes a path alone.
unsafe fn path_call(number: c_long, path: &CStr) -> isize {
    // SAFETY: the path ends with a zero.
    unsafe { raw::call(number, [path.as_ptr().addr(), 0, 0, 0, 0]) }
}

/// A number as the kernel takes it: with its sign.
fn word(number: i32) -> usize {
    (number as isize).cast_unsigned()
}

/// # Safety
/// Only in the child, with the report in its place.
unsafe fn check(result: isize, step: Step) {
    if result < 0 {
        // SAFETY: passed on.
        unsafe { fail(REPORT, step, result) }
    }
}

/// Says what went wrong and ends the child.
///
/// # Safety
/// Only in the child.
unsafe fn fail(report: RawFd, step: Step, result: isize) -> ! {
    let [a, b, c, d, ..] = result.wrapping_neg().to_le_bytes();
    let message = [step as u8, a, b, c, d];
    // SAFETY: writes our own bytes.
    unsafe {
        raw::call(libc::SYS_write, [word(report), message.as_ptr().addr(), message.len(), 0, 0]);
        end(127)
    }
}

/// # Safety
/// Only in the child.
unsafe fn end(status: i32) -> ! {
    loop {
        // SAFETY: ends the process.
        unsafe { raw::call(libc::SYS_exit_group, [word(status), 0, 0, 0, 0]) };
    }
}
