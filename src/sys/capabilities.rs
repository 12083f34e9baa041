//! Root's powers, one by one: what the daemon keeps of them for itself.
//!
//! Only the daemon's own acts are held to this. A program that root executes gets everything again that the bounding set allows, so
//! what watchd starts has what an administrator expects, and what a changed policy needs can be taken up again. It is no wall against
//! somebody who runs code of his own in the daemon; it keeps a fault of ours from doing what no policy ever asked for.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

/// A set of capabilities, a bit for each, by the kernel's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Powers(u64);

macro_rules! powers {
    ($($name:ident = $bit:literal $word:literal,)*) => {
        impl Powers {
            $(pub const $name: Self = Self(1 << $bit);)*
            /// Everything that some policy needs; the rest is given up for good.
            const EVER: Self = Self($(1 << $bit)|*);
        }
        /// What they are called where capabilities are listed.
        const WORDS: &[(Powers, &str)] = &[$((Powers::$name, $word),)*];
    };
}

powers! {
    CHOWN = 0 "chown",
    DAC_OVERRIDE = 1 "dac_override",
    DAC_READ_SEARCH = 2 "dac_read_search",
    FOWNER = 3 "fowner",
    FSETID = 4 "fsetid",
    KILL = 5 "kill",
    SETGID = 6 "setgid",
    SETUID = 7 "setuid",
    NET_BIND_SERVICE = 10 "net_bind_service",
    SYS_CHROOT = 18 "sys_chroot",
    SYS_PTRACE = 19 "sys_ptrace",
    SYS_ADMIN = 21 "sys_admin",
    SYS_NICE = 23 "sys_nice",
    SYS_RESOURCE = 24 "sys_resource",
    LEASE = 28 "lease",
}

impl fmt::Display for Powers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = WORDS.iter().filter(|(power, _)| self.only(*power) == *power);
        for (place, (_, word)) in held.enumerate() {
            write!(out, "{}{word}", if place == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl Powers {
    pub const NONE: Self = Self(0);

    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn only(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn halves(self) -> [u32; 2] {
        let low = u32::try_from(self.0 & u64::from(u32::MAX)).unwrap_or_default();
        [low, u32::try_from(self.0 >> 32).unwrap_or_default()]
    }
}

/// From the kernel's `linux/capability.h`, version 3: both halves of each set.
#[repr(C)]
struct Head {
    version: u32,
    pid: libc::c_int,
}

const VERSION: u32 = 0x2008_0522;

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Half {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

fn get() -> io::Result<[Half; 2]> {
    let (mut head, mut halves) = (Head { version: VERSION, pid: 0 }, [Half::default(); 2]);
    // SAFETY: version 3 writes two halves, and there are two.
    match unsafe { libc::syscall(libc::SYS_capget, &raw mut head, halves.as_mut_ptr()) } {
        0 => Ok(halves),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set(halves: [Half; 2]) -> io::Result<()> {
    let head = Head { version: VERSION, pid: 0 };
    // SAFETY: version 3 reads two halves, and there are two.
    match unsafe { libc::syscall(libc::SYS_capset, &raw const head, halves.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether a program that we execute gets root's powers again: not where we are an ordinary user, and not where the system was
/// told that no program may gain any.
fn come_back_by_exec() -> bool {
    /// SECBIT_NOROOT.
    const NO_ROOT: i32 = 1;
    // SAFETY: both only ask.
    let (no_new, bits) =
        unsafe { (libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), libc::prctl(libc::PR_GET_SECUREBITS)) };
    nix::unistd::getuid().is_root()
        && nix::unistd::geteuid().is_root()
        && no_new == 0
        && bits >= 0
        && bits & NO_ROOT == 0
}

/// Uses only `needed` from now on, and gives up what no policy needs. Another set can be asked for later. Does nothing where what we
/// start would have less for it; false then.
pub fn keep(needed: Powers) -> io::Result<bool> {
    if !come_back_by_exec() {
        return Ok(false);
    }
    let mut halves = get()?;
    for (half, (needed, ever)) in halves.iter_mut().zip(needed.halves().into_iter().zip(Powers::EVER.halves())) {
        half.permitted &= ever;
        half.effective = half.permitted & needed;
    }
    set(halves)?;
    Ok(true)
}

/// Takes up again what is still permitted.
pub fn keep_all() -> io::Result<()> {
    let mut halves = get()?;
    for half in &mut halves {
        half.effective = half.permitted;
    }
    set(halves)
}

/// Gives everything up, whoever we are.
pub fn drop_all() -> io::Result<()> {
    set([Half::default(); 2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fork;
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::Pid;

    /// Runs it in a child of its own; what it finds true ends well.
    fn holds(work: impl FnOnce() -> io::Result<bool>) -> bool {
        let pid = fork::split(move || fork::leave(if work().is_ok_and(|is| is) { 0 } else { 1 })).expect("a child");
        matches!(waitpid(Pid::from_raw(pid), None), Ok(WaitStatus::Exited(_, 0)))
    }

    /// The sets of a process as /proc has them.
    fn told(pid: &str, name: &str) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("/proc is there");
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("it is told");
        u64::from_str_radix(line.trim_start_matches(':').trim(), 16).expect("a set")
    }

    fn is_full_root() -> bool {
        let is = come_back_by_exec() && told("self", "CapEff") & Powers::EVER.0 == Powers::EVER.0;
        if !is {
            eprintln!("SKIPPED: only root has powers to give up");
        }
        is
    }

    #[test]
    fn powers_are_called_as_everywhere() {
        assert_eq!(Powers::SETUID.and(Powers::KILL).to_string(), "kill setuid");
        assert_eq!(Powers::EVER.to_string().split(' ').count(), WORDS.len());
        assert_eq!((Powers::NONE.to_string(), Powers::LEASE.0), (String::new(), 1 << 28));
    }

    #[test]
    fn what_is_given_up_is_not_used_and_what_may_be_needed_comes_back() {
        if !is_full_root() {
            return;
        }
        let (some, more) = (Powers::KILL.and(Powers::DAC_OVERRIDE), Powers::SETUID);
        assert!(holds(|| {
            let kept = keep(some)? && told("self", "CapEff") == some.0 && told("self", "CapPrm") == Powers::EVER.0;
            let refused = nix::unistd::setuid(nix::unistd::Uid::from_raw(65_534)).is_err();
            keep(some.and(more))?;
            let again = told("self", "CapEff") == some.and(more).0;
            keep_all()?;
            let all = told("self", "CapEff") == Powers::EVER.0;
            Ok(kept && refused && again && all && nix::unistd::setuid(nix::unistd::Uid::from_raw(65_534)).is_ok())
        }));
        assert!(holds(|| {
            drop_all()?;
            Ok(told("self", "CapPrm") == 0 && keep_all().is_ok() && told("self", "CapEff") == 0)
        }));
    }

    #[test]
    fn a_program_that_is_started_has_what_root_has() {
        if !is_full_root() {
            return;
        }
        let expect = (told("self", "CapPrm"), told("self", "CapBnd"));
        assert!(holds(|| {
            keep(Powers::KILL)?;
            let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn()?;
            let pid = child.id().to_string();
            let found = (told(&pid, "CapPrm"), told(&pid, "CapBnd"));
            child.kill()?;
            child.wait()?;
            Ok(found == expect)
        }));
    }

    #[test]
    fn where_no_program_may_gain_powers_nothing_is_given_up() {
        if !is_full_root() {
            return;
        }
        assert!(holds(|| {
            nix::sys::prctl::set_no_new_privs()?;
            let before = told("self", "CapPrm");
            Ok(!keep(Powers::NONE)? && told("self", "CapPrm") == before)
        }));
    }
}
