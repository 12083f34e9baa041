//! Starting a program in clean surroundings, in two steps: `hold` makes a child that waits at a gate, `release` lets it go on.
//!
//! Between the two the caller writes down who the child is. When watchd is killed before it has, the gate closes and the
//! child ends without having become anything: no program ever runs that nobody knows of.
//!
//! The child leads a session of its own; has only descriptors 0 to 2, no signal blocked, ignored or handled, umask 022, its
//! own account, directory and environment, and watchd's exemption from the OOM killer taken back. Everything it needs is
//! made before; after that, only system calls. What goes wrong there comes back through a pipe that exec closes.
//!
//! The child shares our memory until its exec (`child` says how): copying some 230 mappings is what a fork costs most,
//! 0.46 ms here, against 0.14 ms in this way. So what it reads, and the stack it stands on, stay until the pipe says that it has gone on.

use std::ffi::{CString, NulError};
use std::fmt;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use nix::fcntl::OFlag;
use nix::sys::resource::{Resource, getrlimit};

use crate::model::{self, Command, Launch, Setting};

use super::accounts::{self, Account};
use super::cgroup::Group;

mod child;
mod env_file;
mod raw;
mod report;

pub use report::{Report, Step, Trouble};

/// What a child finds programs with when the policy does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a program was not started.
#[derive(Debug)]
pub enum Fault {
    Account(accounts::Fault),
    EnvFile(env_file::Fault),
    /// A text has a zero byte in it.
    Nul(NulError),
    NoProgram,
    System {
        what: &'static str,
        error: io::Error,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(fault) => fault.fmt(out),
            Self::EnvFile(fault) => fault.fmt(out),
            Self::Nul(_) => out.write_str("cannot start a program whose words contain a zero byte"),
            Self::NoProgram => out.write_str("cannot start an empty command"),
            Self::System { what, error } => write!(out, "cannot {what}: {error}"),
        }
    }
}

impl std::error::Error for Fault {}

impl From<accounts::Fault> for Fault {
    fn from(fault: accounts::Fault) -> Self {
        Self::Account(fault)
    }
}

impl From<NulError> for Fault {
    fn from(error: NulError) -> Self {
        Self::Nul(error)
    }
}

/// The limit, for a `Setting`, that lets a program have so much memory of its own; no more than we may have ourselves, which only
/// root could raise.
pub fn memory_limit(bytes: u64) -> (u8, u64) {
    let most = getrlimit(Resource::RLIMIT_DATA).map_or(bytes, |(_, hard)| hard.min(bytes));
    (Resource::RLIMIT_DATA as u8, most)
}

/// Where the program's output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Where the policy says, or nowhere.
    Policy,
    /// Into a pipe whose non-blocking end the caller gets.
    Pipe,
    /// The same of standard output alone; what goes to standard error is nobody's.
    Answer,
}

/// All that a child needs, made ready.
#[derive(Debug)]
pub struct Plan {
    words: Vec<CString>,
    /// The files to try, in order.
    programs: Vec<CString>,
    environment: Vec<CString>,
    directory: CString,
    rarer: Rarer,
    /// Output goes where ours does.
    inherits: bool,
    /// None keeps watchd's own.
    ids: Option<Ids>,
    output: Output,
    /// Standard input; none is /dev/null.
    input: Option<OwnedFd>,
    /// The control group it is born into, or goes into.
    group: Option<Group>,
}

/// What few programs want, in the form that the kernel takes.
#[derive(Debug)]
struct Rarer {
    umask: u16,
    nice: Option<i8>,
    ionice: Option<u16>,
    /// The text to be written.
    oom_score_adj: Option<CString>,
    rlimits: Vec<(u8, u64)>,
    root: Option<CString>,
    /// The file that is appended to: the directories from the root on, then its name. Empty for none.
    output: Vec<CString>,
}

impl Rarer {
    fn new(setting: Option<&Setting>) -> Result<Self, NulError> {
        let none = Setting::default();
        let setting = setting.unwrap_or(&none);
        Ok(Self {
            umask: setting.umask.unwrap_or(0o022),
            nice: setting.nice,
            ionice: setting.ionice.map(|ionice| ionice.0),
            oom_score_adj: setting.oom_score_adj.map(|score| CString::new(score.to_string())).transpose()?,
            rlimits: setting.rlimits.clone(),
            root: setting.chroot.as_deref().map(CString::new).transpose()?,
            output: match &setting.output {
                Some(model::Output::File { path, .. } | model::Output::Syslog { feed: path }) => steps(path)?,
                _ => Vec::new(),
            },
        })
    }
}

/// The names in a path, in their order.
fn steps(path: &str) -> Result<Vec<CString>, NulError> {
    path.split('/').filter(|step| !step.is_empty()).map(CString::new).collect()
}

/// Whom the child becomes; without a user it keeps watchd's.
#[derive(Debug)]
struct Ids {
    user: Option<u32>,
    group: u32,
    groups: Vec<u32>,
}

impl Plan {
    /// Looks everything up that can be looked up before a fork.
    pub fn prepare(launch: &Launch, output: Output) -> Result<Self, Fault> {
        let words: Vec<&str> = match &launch.command {
            Command::Exec(words) => words.iter().map(String::as_str).collect(),
            Command::Shell(line) => vec!["/bin/sh", "-c", line],
        };
        let name = words.first().copied().filter(|name| !name.is_empty()).ok_or(Fault::NoProgram)?;
        let account = launch.user.as_deref().map(accounts::user).transpose()?;
        let setting = launch.setting.as_deref();
        let of_file = setting.and_then(|setting| setting.env_file.as_ref()).map(env_file::read).transpose();
        let environment = environment(launch, account.as_ref(), of_file.map_err(Fault::EnvFile)?.unwrap_or_default());
        let path = environment.iter().rev().find(|(key, _)| key == "PATH").map_or(PATH, |(_, value)| value);
        Ok(Self {
            programs: programs(name, path)?,
            words: words.into_iter().map(CString::new).collect::<Result<_, _>>()?,
            environment: environment
                .iter()
                .map(|(key, value)| CString::new(format!("{key}={value}")))
                .collect::<Result<_, _>>()?,
            directory: CString::new(launch.cwd.as_deref().unwrap_or("/"))?,
            rarer: Rarer::new(setting)?,
            inherits: setting.is_some_and(|setting| setting.output == Some(model::Output::Inherit)),
            ids: ids(launch, account.as_ref())?,
            output,
            input: None,
            group: None,
        })
    }

    /// Becomes this account with exactly these groups, the first of which is its own.
    pub fn set_ids(&mut self, user: u32, groups: &[u32]) {
        if let Some(group) = groups.first() {
            self.ids = Some(Ids { user: Some(user), group: *group, groups: groups.to_vec() });
        }
    }

    /// Puts a variable into its environment that the policy does not have.
    pub fn set_mark(&mut self, name: &str, value: &str) {
        if let Ok(mark) = CString::new(format!("{name}={value}")) {
            self.environment.push(mark);
        }
    }

    /// Has the child born into a control group, where the system allows it.
    pub fn set_group(&mut self, group: Group) {
        self.group = Some(group);
    }

    /// Gives the program this text as its standard input. The text stands in memory, so neither side ever waits.
    pub fn set_input(&mut self, text: &[u8]) -> io::Result<()> {
        let memory = nix::sys::memfd::memfd_create(c"input", nix::sys::memfd::MFdFlags::MFD_CLOEXEC)?;
        std::fs::File::from(memory.try_clone()?).write_all_at(text, 0)?;
        self.input = Some(memory);
        Ok(())
    }
}

fn ids(launch: &Launch, account: Option<&Account>) -> Result<Option<Ids>, Fault> {
    let group = launch.group.as_deref().map(accounts::group).transpose()?;
    Ok(match (account, group) {
        (Some(account), group) => {
            let gid = group.unwrap_or(account.gid);
            let mine = nix::unistd::geteuid().as_raw() == account.uid && nix::unistd::getegid().as_raw() == gid;
            // Becoming what one is takes no privilege, and setgroups would.
            if mine && account.uid != 0 {
                None
            } else {
                let groups = accounts::groups_of(&account.name, gid)?;
                Some(Ids { user: Some(account.uid), group: gid, groups })
            }
        }
        (None, Some(gid)) => Some(Ids { user: None, group: gid, groups: vec![gid] }),
        (None, None) => None,
    })
}

/// The later of two equal keys wins.
fn environment(launch: &Launch, account: Option<&Account>, of_file: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut table = vec![("PATH".to_owned(), PATH.to_owned())];
    if let Some(account) = account {
        for (key, value) in
            [("HOME", &account.home), ("USER", &account.name), ("LOGNAME", &account.name), ("SHELL", &account.shell)]
        {
            table.push((key.to_owned(), value.clone()));
        }
    }
    for (key, value) in of_file.into_iter().chain(launch.env.iter().cloned()) {
        table.retain(|(known, _)| *known != key);
        table.push((key, value));
    }
    table
}

fn programs(name: &str, path: &str) -> Result<Vec<CString>, NulError> {
    if name.contains('/') {
        return Ok(vec![CString::new(name)?]);
    }
    path.split(':')
        .filter(|place| place.starts_with('/'))
        .map(|place| CString::new(format!("{place}/{name}")))
        .collect()
}

/// A child at the gate. Dropped, the gate closes, and the child ends without a trace.
#[derive(Debug)]
pub struct Held {
    pid: i32,
    gate: OwnedFd,
    report: Report,
    output: Option<OwnedFd>,
}

/// A child that was let go.
#[derive(Debug)]
pub struct Running {
    /// Says why it did not become its program, once it has ended.
    pub report: Report,
    /// What it writes, when that was asked for.
    pub output: Option<OwnedFd>,
}

/// How long a released child is waited for: nearly all have become their program by then, and their memory goes at once.
const HASTE: u16 = 1;

impl Held {
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Lets the child go on.
    pub fn release(self) -> io::Result<Running> {
        let Self { gate, mut report, output, .. } = self;
        std::fs::File::from(gate).write_all(&[1])?;
        report.follow(HASTE);
        Ok(Running { report, output })
    }
}

/// A child that stands at the gate, begun with all that it will ever need.
pub fn hold(mut plan: Plan) -> Result<Held, Fault> {
    report::sweep();
    let failed = |what| move |errno: nix::errno::Errno| Fault::System { what, error: errno.into() };
    let pipe = || nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(failed("make a pipe"));
    let (gate_out, gate) = pipe()?;
    let (report, report_in) = pipe()?;
    let (output, output_in) = match plan.output {
        Output::Policy => (None, None),
        Output::Pipe | Output::Answer => pipe().map(|(reader, writer)| (Some(reader), Some(writer)))?,
    };
    for reader in [Some(&report), output.as_ref()].into_iter().flatten() {
        nix::fcntl::fcntl(reader, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(failed("set up a pipe"))?;
    }
    // The child has both from its birth. A child that is long on its way to its program keeps neither of them open here.
    let (group, input) = (plan.group.take(), plan.input.take());
    let written = |own| output_in.as_ref().map_or(if plan.inherits { own } else { -1 }, AsRawFd::as_raw_fd);
    let pipes = [
        gate_out.as_raw_fd(),
        report_in.as_raw_fd(),
        written(libc::STDOUT_FILENO),
        if plan.output == Output::Answer { -1 } else { written(libc::STDERR_FILENO) },
        input.as_ref().map_or(-1, AsRawFd::as_raw_fd),
    ];
    let system = |what| move |error| Fault::System { what, error };
    let stage = child::Stage::new(plan, pipes, group.as_ref().map(|group| (group.dir.as_raw_fd(), group.is_new)))
        .map_err(system("make room for a process"))?;
    let (pid, stage) = stage.begin().map_err(system("start a process"))?;
    Ok(Held { pid, gate, report: Report::new(report, stage), output })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(words: &[&str]) -> Launch {
        let command = Command::Exec(words.iter().map(|word| (*word).to_owned()).collect());
        Launch::new(command)
    }

    #[test]
    fn what_cannot_work_is_refused_before_a_fork() {
        let unknown = Launch { user: Some("no-such-user-here".to_owned()), ..launch(&["/bin/true"]) };
        for (claim, launch, expect) in [
            ("an unknown user", unknown, "cannot find user 'no-such-user-here' in /etc/passwd"),
            ("no words", launch(&[]), "cannot start an empty command"),
            ("an empty word", launch(&[""]), "cannot start an empty command"),
            ("a zero byte", launch(&["/bin/true", "a\0b"]), "cannot start a program whose words contain a zero byte"),
        ] {
            let fault = Plan::prepare(&launch, Output::Policy).err().map(|fault| fault.to_string());
            assert_eq!(fault.as_deref(), Some(expect), "{claim}");
        }
    }

    #[test]
    fn what_a_late_child_stood_on_is_given_back_when_it_has_gone_on() {
        let signal = |pid, signal| {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).expect("it lives");
        };
        let begin = || {
            hold(Plan::prepare(&launch(&["/bin/true"]), Output::Policy).expect("it can be prepared"))
                .expect("it starts")
        };
        let child = begin();
        let pid = child.pid();
        // It is stopped on its way, and nobody waits for it any more.
        signal(pid, nix::sys::signal::Signal::SIGSTOP);
        let stopped = nix::sys::wait::WaitPidFlag::WUNTRACED;
        nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), Some(stopped)).expect("it is our child");
        drop(child.release().expect("the gate opens"));
        assert_eq!(report::late(), 1);
        let mut others = 0;
        while others < 3 {
            drop(begin().release().expect("the gate opens"));
            others += 1;
        }
        assert!(report::late() >= 1, "it still stands there");
        signal(pid, nix::sys::signal::Signal::SIGCONT);
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while report::late() > 0 && std::time::Instant::now() < end {
            report::sweep();
            let _ = nix::poll::poll(&mut [], nix::poll::PollTimeout::from(5_u8));
        }
        assert_eq!(report::late(), 0);
    }

    #[test]
    fn the_environment_is_clean_and_the_policy_has_the_last_word() {
        let account = Account {
            name: "www".to_owned(),
            uid: 33,
            gid: 33,
            home: "/var/www".to_owned(),
            shell: "/bin/sh".to_owned(),
        };
        let mut launch = launch(&["x"]);
        launch.env = vec![("HOME".to_owned(), "/srv".to_owned()), ("A".to_owned(), "1".to_owned())];
        let table = environment(
            &launch,
            Some(&account),
            vec![("A".to_owned(), "0".to_owned()), ("B".to_owned(), "2".to_owned())],
        );
        let text: Vec<String> = table.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(
            text,
            [&format!("PATH={PATH}"), "USER=www", "LOGNAME=www", "SHELL=/bin/sh", "B=2", "HOME=/srv", "A=1"]
        );
    }

    #[test]
    fn a_program_without_a_slash_is_looked_for_in_absolute_places_only() {
        let found = programs("x", "/a:b::/c").expect("no zero byte");
        assert_eq!(found, [c"/a/x".to_owned(), c"/c/x".to_owned()]);
    }
}
