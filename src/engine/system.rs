//! The real hands: pidfds in epoll, children at the gate, /proc through the probes.
//!
//! A process that /proc does not show may still exist (hidepid, /proc not mounted); it is "gone" only when the kernel says
//! so as well, because "gone" is what starts a second copy.

use std::cell::Cell;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::time::{Duration, UNIX_EPOCH};

use watchd_probes::process::{self, Stat};
use watchd_probes::{Buffer, Host, Look, paging};

use crate::model::{Ending, Errand, Identity, Launch, Now, Pattern};
use crate::supervisor::{Mark, Pidfile, Process, Reach, Rival, Search, Text, parse_pidfile, text};
use crate::sys::accounts;
use crate::sys::cgroup::Cgroups;
use crate::sys::memory;
use crate::sys::pidfd::Pidfd;
use crate::sys::spawn::{self, Held, Output, Plan, Report};

use super::hands::{Hands, Lost};

/// How far up a process is followed to see whom it descends from.
const GENERATIONS: usize = 32;

/// Where descriptors are waited for.
pub trait Watch {
    /// Reports with this token when the descriptor becomes readable.
    fn add(&mut self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()>;
    fn remove(&mut self, fd: BorrowedFd<'_>);
}

/// The world as it is in one turn.
pub struct SystemHands<'a> {
    pub watch: &'a mut dyn Watch,
    pub host: &'a Host,
    pub buffer: &'a mut Buffer,
    pub now: Now,
    /// Where own children get a group each.
    pub cgroups: Option<&'a Cgroups>,
    /// Tells what is marked as ours from what another installation has marked.
    pub installation: u32,
    /// See [`super::sight::Sight::killed`].
    pub killed: &'a Cell<Option<u64>>,
    /// What `strays` has found in this turn.
    pub strays: Option<Vec<(String, Process)>>,
}

/// A pidfd in the set of waits, and what a young child may have to report.
#[derive(Debug)]
pub struct Grip {
    pidfd: Pidfd,
    report: Option<Report>,
}

impl SystemHands<'_> {
    /// All that lead their session and bear a mark of this installation's.
    fn all_strays(&mut self) -> Result<Vec<(String, Process)>, Text> {
        let (key, own) = (format!("{MARK}="), mark(self.installation, ""));
        let mut found = Vec::new();
        let leads = |stat: &Stat| stat.session == stat.pid;
        process::marked(&mut self.look(), key.as_bytes(), &leads, &mut |stat, mark| {
            let mark = mark.and_then(|mark| std::str::from_utf8(mark).ok()).filter(|mark| mark.starts_with(&own));
            if let Some(mark) = mark {
                found.push((mark.to_owned(), process_of(stat)));
            }
        })
        .map_err(|fault| text(format_args!("{fault}")))?;
        Ok(found)
    }

    fn look(&mut self) -> Look<'_> {
        Look { host: self.host, buffer: self.buffer, now: self.now }
    }
}

/// The variable by which what watchd has started is known again when all else is lost: `WATCHD_SERVICE=5f2e31aa.web`.
const MARK: &str = "WATCHD_SERVICE";

fn mark(installation: u32, id: &str) -> String {
    format!("{installation:08x}.{id}")
}

fn process_of(stat: &Stat) -> Process {
    let mut comm = [0; 16];
    for (to, from) in comm.iter_mut().zip(stat.comm.as_bytes()) {
        *to = *from;
    }
    let identity = Identity { pid: stat.pid, start_ticks: stat.start_ticks };
    Process { identity, comm, is_zombie: stat.is_zombie(), is_kernel: stat.is_kernel_thread() }
}

fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ESRCH)
}

impl Hands for SystemHands<'_> {
    type Grip = Grip;
    type Held = Held;

    fn hold(&mut self, launch: &Launch, id: &str, errand: Option<Errand>) -> Result<(Held, Identity), Text> {
        memory::trim_grown();
        let say = |fault: spawn::Fault| text(format_args!("{fault}"));
        let mut plan = Plan::prepare(launch, Output::Policy).map_err(say)?;
        if let (Some(cgroups), None) = (self.cgroups, errand)
            && let Ok(group) = cgroups.open(id)
        {
            plan.set_group(group);
        }
        if errand != Some(Errand::Stop) {
            plan.set_mark(MARK, &mark(self.installation, id));
        }
        let held = spawn::hold(plan).map_err(say)?;
        let child =
            self.process(held.pid())?.ok_or_else(|| text(format_args!("cannot find the child just started")))?;
        Ok((held, child.identity))
    }

    fn below(&mut self, root: Identity) -> Vec<Identity> {
        let mut found = Vec::new();
        watchd_probes::service::below(&mut self.look(), root.pid, root.start_ticks, &mut |pid, start_ticks| {
            found.push(Identity { pid, start_ticks });
        });
        found
    }

    fn sweep(&mut self, id: &str, known: &[Identity]) -> bool {
        let is_same = |hands: &mut Self, identity: Identity| {
            hands.process(identity.pid).is_ok_and(|found| {
                found.is_some_and(|found| found.identity == identity && !found.is_zombie && !found.is_kernel)
            })
        };
        for identity in known {
            // Held first, compared then: what is signalled is what was compared.
            let Ok(held) = Pidfd::open(identity.pid) else { continue };
            if is_same(self, *identity) {
                let _ = held.send(libc::SIGKILL);
            }
        }
        let Some(cgroups) = self.cgroups else { return true };
        cgroups.remove(id) || cgroups.kill(id).is_err() || cgroups.remove(id)
    }

    fn release(&mut self, held: Held, grip: &mut Grip) -> Result<(), Text> {
        let running = held.release().map_err(|error| text(format_args!("cannot let the child go on: {error}")))?;
        grip.report = Some(running.report);
        Ok(())
    }

    fn grip(&mut self, identity: Identity, token: u64) -> Result<Grip, Lost> {
        let unclear = |what: &str, error: io::Error| {
            Lost::CannotTell(text(format_args!("cannot {what} process {}: {error}", identity.pid)))
        };
        let pidfd = match Pidfd::open(identity.pid) {
            Ok(pidfd) => pidfd,
            Err(error) if is_gone(&error) => return Err(Lost::Gone),
            Err(error) => return Err(unclear("take hold of", error)),
        };
        match self.process(identity.pid) {
            Ok(Some(found)) if found.identity == identity => {}
            Ok(_) => return Err(Lost::Gone),
            Err(why) => return Err(Lost::CannotTell(why)),
        }
        self.watch.add(pidfd.as_fd(), token).map_err(|error| unclear("wait for", error))?;
        Ok(Grip { pidfd, report: None })
    }

    fn let_go(&mut self, grip: Grip) {
        self.watch.remove(grip.pidfd.as_fd());
        grip.pidfd.reap();
    }

    fn mute(&mut self, grip: &Grip) {
        self.watch.remove(grip.pidfd.as_fd());
    }

    fn ended(&mut self, grip: &Grip) -> Option<Option<Ending>> {
        grip.pidfd.has_ended().then(|| grip.pidfd.ending())
    }

    fn explain(&mut self, ending: Ending) -> Ending {
        if ending != Ending::Signal(libc::SIGKILL) {
            return ending;
        }
        match paging::killed(&mut self.look()).zip(self.killed.get()) {
            Some((now, known)) if now > known => {
                self.killed.set(Some(known + 1));
                Ending::OutOfMemory
            }
            _ => ending,
        }
    }

    fn trouble(&mut self, grip: &mut Grip) -> Option<Text> {
        let trouble = grip.report.take()?.read()?;
        Some(text(format_args!("{trouble}")))
    }

    fn settled(&mut self, grip: &mut Grip) {
        grip.report = None;
    }

    fn signal(&mut self, grip: &Grip, signal: i32, reach: Reach) -> Result<(), Text> {
        let sent = match reach {
            Reach::Process => grip.pidfd.send(signal),
            Reach::Group => grip.pidfd.send_group(signal),
        };
        match sent {
            Err(error) if !is_gone(&error) => {
                Err(text(format_args!("cannot send signal {signal} to process {}: {error}", grip.pidfd.pid())))
            }
            _ => Ok(()),
        }
    }

    fn process(&mut self, pid: i32) -> Result<Option<Process>, Text> {
        match process::stat(&mut self.look(), pid) {
            Ok(stat) => Ok(Some(process_of(&stat))),
            Err(fault) if fault.is_absence() => match Pidfd::open(pid) {
                Ok(pidfd) if !pidfd.has_ended() => {
                    Err(text(format_args!("cannot see process {pid}, which exists: /proc is hidden or not mounted")))
                }
                _ => Ok(None),
            },
            Err(fault) => Err(text(format_args!("{fault}"))),
        }
    }

    fn pidfile(&mut self, path: &str) -> Pidfile {
        read_pidfile(path).unwrap_or_else(|error| match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => Pidfile::Missing,
            errno => Pidfile::Unreadable(errno.unwrap_or(libc::EIO)),
        })
    }

    fn find(&mut self, pattern: &Pattern, give: &mut dyn FnMut(Process)) -> Result<(), Text> {
        let user = pattern.user.as_deref().map(accounts::user).transpose();
        let uid = user.map_err(|fault| text(format_args!("{fault}")))?.map(|account| account.uid);
        let wanted = process::Pattern { name: pattern.name.as_bytes(), uid };
        process::find(&mut self.look(), &wanted, &mut |stat| give(process_of(&stat)))
            .map_err(|fault| text(format_args!("{fault}")))
    }

    fn search(&mut self, id: &str, search: &Search, give: &mut dyn FnMut(Process, Mark)) -> Result<(), Text> {
        let ours = mark(self.installation, id);
        let is_timely = |stat: &Stat| search.is_timely(process_of(stat).identity);
        let key = format!("{MARK}=");
        process::marked(&mut self.look(), key.as_bytes(), &is_timely, &mut |stat, found| {
            let mark = match found {
                Some(found) if found == ours.as_bytes() => Mark::Ours,
                Some(_) => Mark::Others,
                None => Mark::None,
            };
            give(process_of(stat), mark);
        })
        .map_err(|fault| text(format_args!("{fault}")))
    }

    fn strays(&mut self, id: &str) -> Result<Vec<Process>, Text> {
        if self.strays.is_none() {
            self.strays = Some(self.all_strays()?);
        }
        let ours = mark(self.installation, id);
        let all = self.strays.as_deref().unwrap_or_default();
        let mut found: Vec<Process> = all.iter().filter(|(mark, _)| *mark == ours).map(|(_, stray)| *stray).collect();
        // A program may have written over its environment; it does not leave its group.
        for pid in self.cgroups.map(|cgroups| cgroups.members(id)).unwrap_or_default() {
            let Ok(stat) = process::stat(&mut self.look(), pid) else { continue };
            let stray = process_of(&stat);
            if stat.session == pid && !stray.is_zombie && !found.contains(&stray) {
                found.push(stray);
            }
        }
        Ok(found)
    }

    fn belongs(&mut self, pid: i32, to: Identity) -> bool {
        let mut at = pid;
        for _ in 0..GENERATIONS {
            let Ok(stat) = process::stat(&mut self.look(), at) else { return false };
            if process_of(&stat).identity == to || stat.session == to.pid {
                return true;
            }
            at = stat.ppid;
            if at <= 1 {
                return false;
            }
        }
        false
    }

    fn may_signal(&mut self, who: i32, whom: i32) -> bool {
        let (Some([real, effective, _]), Some([owner, _, saved])) = (uids(who), uids(whom)) else { return false };
        effective == 0 || [real, effective].iter().any(|uid| [owner, saved].contains(uid))
    }

    fn keeper(&mut self, of: Identity) -> Option<Rival> {
        let child = process::stat(&mut self.look(), of.pid).ok().filter(|stat| process_of(stat).identity == of)?;
        let parent = process::stat(&mut self.look(), child.ppid).ok()?;
        let mut above = parent;
        for _ in 0..GENERATIONS {
            if above.pid == self.own_pid() {
                return None;
            }
            if above.ppid <= 1 {
                break;
            }
            above = process::stat(&mut self.look(), above.ppid).ok()?;
        }
        if parent.pid <= 1 {
            return None;
        }
        let owner = std::fs::metadata(format!("/proc/{}", parent.pid)).ok()?;
        let user = accounts::name_of(owner.uid());
        let comm = parent.comm.as_bytes().escape_ascii();
        let name = match user {
            Some(user) => text(format_args!("{comm} (process {} of {user})", parent.pid)),
            None => text(format_args!("{comm} (process {} of account {})", parent.pid, owner.uid())),
        };
        Some(Rival { identity: process_of(&parent).identity, name })
    }

    fn own_memory(&mut self, of: Identity) -> Option<u64> {
        watchd_probes::service::own_memory(&mut self.look(), of.pid, of.start_ticks)
    }

    fn own_pid(&self) -> i32 {
        i32::try_from(std::process::id()).unwrap_or(0)
    }
}

/// The accounts of a process: real, effective and saved.
fn uids(pid: i32) -> Option<[u32; 3]> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mut uids = text.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_ascii_whitespace();
    let mut next = || uids.next()?.parse().ok();
    Some([next()?, next()?, next()?])
}

/// Never waits: what is no plain file is refused before it is read.
fn read_pidfile(path: &str) -> io::Result<Pidfile> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Ok(Pidfile::Garbage(text(format_args!("not a file"))));
    }
    let written = found.modified()?.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let mut bytes = [0; 64];
    let mut len = 0;
    let mut file = file.take(bytes.len() as u64);
    while let Some(free) = bytes.get_mut(len..).filter(|free| !free.is_empty()) {
        match file.read(free)? {
            0 => break,
            read => len += read,
        }
    }
    Ok(parse_pidfile(bytes.get(..len).unwrap_or_default(), written))
}
