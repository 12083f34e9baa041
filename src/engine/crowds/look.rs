//! Counts the processes of a kind. Called in a child: a command line may not come for as long as its process is stuck, and what
//! they use of a processor is known only after a while.

use std::path::Path;
use std::time::Duration;

use nix::poll::PollTimeout;
use watchd_probes::process::{Seen, stat, survey};
use watchd_probes::{Buffer, Host, Look};

use crate::model::{CrowdWork, Identity, MEMBERS, Member, Now, Outcome, Quantity, Regex, Selection, Tended, Terminal};
use crate::sys::{accounts, clock};

/// How far up it is looked whose child watchd is.
const GENERATIONS: usize = 32;

/// Counts, and gives those that may have to go.
pub fn look(work: &CrowdWork, root: &Path, now: Now) -> Tended {
    let counted = count(work, root, now).and_then(|tended| {
        // One that was just being replaced is missing in one look, not in two.
        if tended.outcome == Outcome::Kept { Ok(tended) } else { count(work, root, now) }
    });
    counted.unwrap_or_else(|why| Tended::new(Outcome::Unknown, why))
}

struct Candidate {
    member: Member,
    /// Ticks on a processor so far.
    ticks: u64,
}

/// Over so long it is looked who uses a processor; a tick is 10 ms.
const WINDOW: Duration = Duration::from_millis(500);

fn count(work: &CrowdWork, root: &Path, now: Now) -> Result<Tended, String> {
    let selector = Selector::new(&work.who)?;
    let host = Host::open(root).map_err(|fault| fault.to_string())?;
    let mut buffer = Buffer::default();
    let mut look = Look { host: &host, buffer: &mut buffer, now };
    let ours = Ours::new(&mut look);
    let (mut count, mut rss) = (0_u32, 0_u64);
    let mut all: Vec<Candidate> = Vec::new();
    let hidden = survey(&mut look, &mut |seen| {
        if ours.has(seen) || !selector.takes(seen, now) {
            return;
        }
        let size = size(seen);
        count += 1;
        rss = rss.saturating_add(size);
        let over = over(work, size, age(seen, now));
        let identity = Identity { pid: seen.stat.pid, start_ticks: seen.stat.start_ticks };
        let member = Member { identity, comm: short(seen.stat.comm.as_bytes()), over };
        all.push(Candidate { member, ticks: seen.stat.utime.saturating_add(seen.stat.stime) });
    })
    .map_err(|fault| fault.to_string())?;
    if hidden > 0 {
        return Err("some processes are hidden from watchd (hidepid?), so nobody can tell how many run".to_owned());
    }
    if let Some(bound) = work.bounds.iter().find(|bound| bound.what == Quantity::Cpu) {
        mark_busy(&mut look, &mut all, bound.max);
    }
    let (mut large, mut rest): (Vec<Candidate>, Vec<Candidate>) = all.into_iter().partition(|one| one.member.over != 0);
    let start = |candidate: &Candidate| candidate.member.identity.start_ticks;
    let excess = work.most.map_or(0, |most| usize::try_from(count.saturating_sub(most)).unwrap_or(usize::MAX));
    large.sort_by_key(start);
    // What came last is what is too much.
    rest.sort_by_key(|candidate| std::cmp::Reverse(start(candidate)));
    let members: Vec<Member> =
        large.iter().chain(rest.iter().take(excess)).take(MEMBERS).map(|candidate| candidate.member).collect();
    let is_fine = members.is_empty() && count >= work.least;
    #[allow(clippy::cast_precision_loss, reason = "a petabyte more or less a byte")]
    let figures = [rss as f64, f64::from(count)];
    Ok(Tended { figures, members, ..Tended::new(if is_fine { Outcome::Kept } else { Outcome::Would }, "") })
}

/// Looks a second time, and marks those that used more than so many percent of a processor meanwhile.
fn mark_busy(look: &mut Look<'_>, all: &mut [Candidate], max: u64) {
    if all.is_empty() {
        return;
    }
    let before = clock::now().mono;
    // There is nothing to wait for but time.
    let _ = nix::poll::poll(&mut [], PollTimeout::try_from(WINDOW).unwrap_or(PollTimeout::ZERO));
    let gone = clock::now().mono.saturating_sub(before);
    for candidate in all {
        let Ok(found) = stat(look, candidate.member.identity.pid) else { continue };
        let used = found.utime.saturating_add(found.stime).saturating_sub(candidate.ticks);
        if found.start_ticks == candidate.member.identity.start_ticks && percent(used, gone) > max {
            candidate.member.over |= 1 << Quantity::Cpu.byte();
        }
    }
}

/// Ticks of 10 ms in a time, as a share of one processor, rounded down.
fn percent(ticks: u64, time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    ticks.saturating_mul(1_000) / millis
}

/// The beginning of a name, which is all that is kept of it.
pub fn short(name: &[u8]) -> [u8; 16] {
    let mut comm = [0; 16];
    for (to, from) in comm.iter_mut().zip(name) {
        *to = *from;
    }
    comm
}

fn size(seen: &Seen<'_>) -> u64 {
    seen.stat.rss_pages.saturating_mul(u64::try_from(crate::sys::memory::page_size()).unwrap_or(4096))
}

fn age(seen: &Seen<'_>, now: Now) -> Duration {
    let born = Identity { pid: seen.stat.pid, start_ticks: seen.stat.start_ticks }.born();
    now.mono.saturating_sub(born)
}

/// What of the limits it is above, one bit each.
fn over(work: &CrowdWork, size: u64, age: Duration) -> u8 {
    work.bounds.iter().fold(0, |bits, bound| {
        let used = match bound.what {
            Quantity::Rss => size,
            Quantity::Age => u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
            _ => 0,
        };
        if used > bound.max { bits | 1 << bound.what.byte() } else { bits }
    })
}

/// A selection made ready.
struct Selector<'a> {
    who: &'a Selection,
    regex: Option<Regex>,
    uid: Option<u32>,
}

impl<'a> Selector<'a> {
    fn new(who: &'a Selection) -> Result<Self, String> {
        let compile = |text: &String| Regex::whole(text).map_err(|_| format!("`{text}` is no regular expression"));
        let uid = |user: &String| accounts::user(user).map(|account| account.uid).map_err(|fault| fault.to_string());
        let (regex, uid) = (who.regex.as_ref().map(compile).transpose()?, who.user.as_ref().map(uid).transpose()?);
        Ok(Self { who, regex, uid })
    }

    /// The cheap questions first: the last one opens a file.
    fn takes(&self, seen: &Seen<'_>, now: Now) -> bool {
        let who = self.who;
        let is_state = match &who.states {
            Some(letters) => letters.bytes().any(|letter| letter == seen.stat.state),
            None => !seen.stat.is_zombie(),
        };
        is_state
            && who.terminal.is_none_or(|terminal| match terminal {
                Terminal::None => seen.stat.terminal == 0,
                Terminal::Any => seen.stat.terminal != 0,
                Terminal::Is(device) => seen.stat.terminal == device,
            })
            && who.older.is_none_or(|older| age(seen, now) >= older)
            && who.larger.is_none_or(|larger| size(seen) >= larger)
            && who.name.as_ref().is_none_or(|name| seen.is_called(name.as_bytes()))
            && self.regex.as_ref().is_none_or(|regex| regex.is_in(&line(seen.command)))
            && self.uid.is_none_or(|uid| seen.uid() == Some(uid))
    }
}

/// The arguments with one blank between them.
fn line(command: &[u8]) -> Vec<u8> {
    let text = command.strip_suffix(b"\0").unwrap_or(command);
    text.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }).collect()
}

/// Ourselves, in all our processes, and those that we were started by: never counted.
struct Ours {
    pids: Vec<i32>,
    core: i32,
    command: Vec<u8>,
}

impl Ours {
    fn new(look: &mut Look<'_>) -> Self {
        let helper = i32::try_from(std::process::id()).unwrap_or(0);
        let core = nix::unistd::getppid().as_raw();
        let mut pids = vec![helper, core, 1];
        let mut at = core;
        for _ in 0..GENERATIONS {
            let Ok(found) = stat(look, at) else { break };
            at = found.ppid;
            if at <= 1 {
                break;
            }
            pids.push(at);
        }
        Self { pids, core, command: std::fs::read("/proc/self/cmdline").unwrap_or_default() }
    }

    fn has(&self, seen: &Seen<'_>) -> bool {
        // A child that has executed nothing is a part of us; a service has.
        let is_fork = seen.stat.ppid == self.core && !self.command.is_empty() && seen.command == self.command;
        self.pids.contains(&seen.stat.pid) || is_fork
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Bound;
    use crate::scratch::Scratch;

    /// A `/proc` of our own: pid, state, terminal, start in ticks, pages, uid, command line.
    type Made = (i32, char, i64, u64, u64, u32, &'static str);

    fn proc(scratch: &Scratch, made: &[Made]) {
        let init = (1, 'S', 0, 1, 10, 0, "/sbin/init");
        for (pid, state, tty, start, pages, uid, command) in made.iter().chain([&init]) {
            let name = command.split(' ').next().and_then(|run| run.rsplit('/').next()).unwrap_or("");
            let rest = "0 ".repeat(28);
            scratch.write(
                &format!("proc/{pid}/stat"),
                &format!("{pid} ({name}) {state} 1 {pid} {pid} {tty} -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {start} 0 {pages} {rest}\n"),
            );
            scratch.write(&format!("proc/{pid}/status"), &format!("Name:\t{name}\nUid:\t0\t{uid}\t0\t0\n"));
            let command = if *state == 'Z' { String::new() } else { format!("{}\0", command.replace(' ', "\0")) };
            scratch.write(&format!("proc/{pid}/cmdline"), &command);
        }
    }

    const NOW: Now = Now { mono: Duration::from_secs(1000), wall: Duration::ZERO };

    fn counted(scratch: &Scratch, who: Selection) -> Tended {
        let work = CrowdWork {
            who,
            least: 0,
            most: Some(0),
            bounds: vec![],
            start: None,
            signals: None,
            settle: Duration::ZERO,
        };
        look(&work, scratch, NOW)
    }

    #[test]
    fn all_that_is_said_has_to_be_so() {
        let scratch = Scratch::new();
        proc(
            &scratch,
            &[
                (11, 'S', 0, 5_000, 100, 0, "/opt/app/bin-worker --queue a"),
                (12, 'R', 34_819, 99_000, 9_000, 0, "/opt/app/bin-worker --queue b"),
                (13, 'S', 0, 5_000, 100, 65_534, "/opt/app/bin-worker --queue c"),
                (14, 'S', 0, 5_000, 100, 0, "vi /opt/app/bin-worker --queue"),
                (15, 'Z', 0, 5_000, 0, 0, "bin-worker"),
            ],
        );
        let worker = || Selection { name: Some("bin-worker".into()), ..Selection::default() };
        let regex = |text: &str| Selection { regex: Some(text.into()), ..Selection::default() };
        for (claim, who, pids) in [
            ("by name", worker(), vec![12, 11, 13]),
            ("from end to end", regex("^/opt/app/bin-worker --queue .*"), vec![12, 11, 13]),
            ("a part is not enough", regex("bin-worker"), vec![]),
            ("anywhere when it is said so", regex(".*bin-worker.*"), vec![12, 11, 13, 14]),
            ("of an account", Selection { user: Some("65534".into()), ..worker() }, vec![13]),
            ("zombies when asked for", Selection { states: Some("Z".into()), ..worker() }, vec![15]),
            ("on a terminal", Selection { terminal: Some(Terminal::Is(34_819)), ..worker() }, vec![12]),
            ("on none", Selection { terminal: Some(Terminal::None), ..worker() }, vec![11, 13]),
            ("old ones", Selection { older: Some(Duration::from_secs(60)), ..worker() }, vec![11, 13]),
            ("large ones", Selection { larger: Some(1 << 20), ..worker() }, vec![12]),
            ("never init", regex("/sbin/init"), vec![]),
        ] {
            let found = counted(&scratch, who);
            let named: Vec<i32> = found.members.iter().map(|member| member.identity.pid).collect();
            assert_eq!(
                (named.clone(), found.figures[1]),
                (pids, f64::from(u32::try_from(named.len()).unwrap())),
                "{claim}"
            );
        }
    }

    #[test]
    fn ticks_are_a_share_of_one_processor() {
        let millis = Duration::from_millis;
        for (ticks, time, expect) in [
            (50, millis(500), 100),
            (45, millis(500), 90),
            (0, millis(500), 0),
            (200, millis(500), 400),
            (1, millis(0), 1_000),
            (u64::MAX, millis(500), u64::MAX / 500),
        ] {
            assert_eq!(percent(ticks, time), expect, "{ticks} in {time:?}");
        }
    }

    #[test]
    fn who_cannot_see_all_cannot_tell() {
        let scratch = Scratch::new();
        proc(&scratch, &[(11, 'S', 0, 5_000, 100, 0, "worker")]);
        let worker = || Selection { name: Some("worker".into()), ..Selection::default() };
        assert_eq!(counted(&scratch, worker()).figures[1], 1.0);
        let stranger = Selection { user: Some("no such account".into()), ..worker() };
        assert_eq!(counted(&scratch, stranger).outcome, Outcome::Unknown);
        std::fs::remove_dir_all(scratch.join("proc/1")).expect("ours");
        let found = counted(&scratch, worker());
        assert_eq!((found.outcome, found.members.len()), (Outcome::Unknown, 0), "{}", found.text);
        std::fs::remove_dir_all(scratch.join("proc")).expect("ours");
        assert_eq!(counted(&scratch, worker()).outcome, Outcome::Unknown);
    }

    #[test]
    fn large_ones_come_first_and_then_the_youngest() {
        let scratch = Scratch::new();
        proc(
            &scratch,
            &[
                (11, 'S', 0, 5_000, 100, 0, "worker"),
                (12, 'S', 0, 6_000, 500_000, 0, "worker"),
                (13, 'S', 0, 7_000, 100, 0, "worker"),
                (14, 'S', 0, 8_000, 600_000, 0, "worker"),
            ],
        );
        let bound =
            Bound { what: Quantity::Rss, max: 600 << 20, lasts: Duration::ZERO, deed: crate::model::Deed::Restart };
        for (most, expect) in [(None, vec![12, 14]), (Some(3), vec![12, 14, 13]), (Some(9), vec![12, 14])] {
            let work = CrowdWork {
                who: Selection { name: Some("worker".into()), ..Selection::default() },
                least: 1,
                most,
                bounds: vec![bound.clone()],
                start: None,
                signals: None,
                settle: Duration::ZERO,
            };
            let found = look(&work, &scratch, NOW);
            let pids: Vec<i32> = found.members.iter().map(|member| member.identity.pid).collect();
            assert_eq!((pids, found.outcome), (expect, Outcome::Would), "{most:?}");
        }
    }
}
