//! What one watchd leaves to the program that takes its place by exec: descriptors, and a line that says what each of them is.
//!
//! ```text
//! WATCHD_HANDOVER=1 pid=4711 from=0.1.0 door=4713 lock=5 control=7 client=12 munin/127.0.0.1:4949=8 ear/web=9 counted-1=10
//! ```
//! Nothing in the line is believed: it counts for the process it names alone, each descriptor must be what it is said to be, and
//! what is not is left out and made anew. Signals that come between the two programs are kept by the kernel.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::socket::{SockType, getsockopt, sockopt};

use super::reap;

const VARIABLE: &str = "WATCHD_HANDOVER";
/// Raised when an older watchd could misread the line.
pub const VERSION: u32 = 1;
/// What has been counted; the number is raised when it is told in other words.
const COUNTED: &str = "counted-1";
/// More than a thousand promises leave.
const LARGEST: u64 = 1 << 20;

/// What was left to us.
#[derive(Debug, Default)]
pub struct Handover {
    /// The version that was here before.
    pub from: String,
    door: Option<i32>,
    /// The directory that is locked by it.
    pub lock: Option<File>,
    pub control: Option<UnixListener>,
    /// Who asked for the change, and waits.
    pub client: Option<UnixStream>,
    /// What is spoken there, the address that was asked for, the socket.
    pub listeners: Vec<(String, SocketAddr, TcpListener)>,
    /// The service that speaks there, the socket.
    pub ears: Vec<(String, UnixDatagram)>,
    /// What was counted.
    pub counted: Vec<u8>,
}

impl Handover {
    /// Takes what the program before us has left; none when there was none. To be called before any descriptor is opened.
    pub fn take() -> Option<Self> {
        let line = std::env::var(VARIABLE).ok();
        // SAFETY: one thread, at its very beginning; nobody else reads the environment.
        unsafe { std::env::remove_var(VARIABLE) };
        line.and_then(|line| parse(&line, std::process::id()).map(gather))
    }
}

impl Handover {
    /// The door of the one before, which ends by itself; none when it is no child of ours, or was reaped already.
    pub fn door(&self) -> Option<i32> {
        let is_child = |pid: &i32| {
            let id = libc::id_t::try_from(*pid);
            id.is_ok_and(|id| reap::wait(libc::P_PID, id, libc::WNOWAIT).is_ok())
        };
        self.door.filter(is_child)
    }
}

/// One line, understood.
#[derive(Debug, Default, PartialEq, Eq)]
struct Line<'a> {
    from: &'a str,
    door: Option<i32>,
    descriptors: Vec<(&'a str, i32)>,
}

fn parse(line: &str, own_pid: u32) -> Option<Line<'_>> {
    let mut words = line.split(' ');
    if words.next()?.parse() != Ok(VERSION) || words.next()?.strip_prefix("pid=")?.parse() != Ok(own_pid) {
        return None;
    }
    let mut parsed = Line::default();
    for word in words {
        let (name, value) = word.split_once('=')?;
        match name {
            "from" => parsed.from = value,
            "door" => parsed.door = Some(value.parse().ok().filter(|pid| *pid > 1)?),
            _ => parsed.descriptors.push((name, value.parse().ok().filter(|fd| *fd > libc::STDERR_FILENO)?)),
        }
    }
    Some(parsed)
}

fn gather(line: Line<'_>) -> Handover {
    let mut given = Handover { from: line.from.to_owned(), door: line.door, ..Handover::default() };
    for (name, fd) in line.descriptors {
        let Some(fd) = own(fd) else { continue };
        match name {
            "lock" => given.lock = Some(File::from(fd)).filter(|dir| dir.metadata().is_ok_and(|found| found.is_dir())),
            "control" if is_listener(&fd) => given.control = Some(UnixListener::from(fd)),
            "client" if getsockopt(&fd, sockopt::PeerCredentials).is_ok() => given.client = Some(UnixStream::from(fd)),
            COUNTED => given.counted = contents(fd).unwrap_or_default(),
            name => {
                let Some((what, address)) = name.split_once('/') else { continue };
                if what == "ear" && getsockopt(&fd, sockopt::SockType) == Ok(SockType::Datagram) {
                    given.ears.push((address.to_owned(), UnixDatagram::from(fd)));
                    continue;
                }
                let Ok(address) = address.parse::<SocketAddr>() else { continue };
                if is_listener(&fd) {
                    let listener = TcpListener::from(fd);
                    if listener.local_addr().is_ok_and(|bound| is_at(bound, address)) {
                        given.listeners.push((what.to_owned(), address, listener));
                    }
                }
            }
        }
    }
    given
}

fn contents(fd: OwnedFd) -> io::Result<Vec<u8>> {
    let (mut memory, mut bytes) = (File::from(fd), Vec::new());
    memory.rewind()?;
    memory.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Memory that a program can be given, with these bytes in it.
pub fn memory(bytes: &[u8]) -> io::Result<File> {
    let mut memory = File::from(memfd_create(c"counted", MFdFlags::MFD_CLOEXEC)?);
    memory.write_all(bytes)?;
    Ok(memory)
}

/// Port 0 was any.
fn is_at(bound: SocketAddr, asked: SocketAddr) -> bool {
    bound.ip() == asked.ip() && (asked.port() == 0 || bound.port() == asked.port())
}

fn is_listener(fd: &OwnedFd) -> bool {
    getsockopt(fd, sockopt::AcceptConn).unwrap_or(false)
}

/// Takes a descriptor that is open, and keeps it from programs that we start.
pub(super) fn own(fd: i32) -> Option<OwnedFd> {
    // SAFETY: F_GETFD only asks whether there is such a descriptor.
    if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
        return None;
    }
    // SAFETY: it is open, came to us by exec, and nothing of this program has opened or taken any descriptor yet.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).ok()?;
    Some(fd)
}

/// What is to be left to the next program.
pub struct Parcel<'a> {
    line: String,
    descriptors: Vec<BorrowedFd<'a>>,
}

impl<'a> Parcel<'a> {
    pub fn new(door: Option<i32>) -> Self {
        let mut line = format!("{VERSION} pid={} from={}", std::process::id(), env!("CARGO_PKG_VERSION"));
        if let Some(door) = door {
            line.push_str(&format!(" door={door}"));
        }
        Self { line, descriptors: Vec::new() }
    }

    /// `name` has no blank.
    pub fn add(&mut self, name: &str, fd: BorrowedFd<'a>) {
        self.line.push_str(&format!(" {name}={}", fd.as_raw_fd()));
        self.descriptors.push(fd);
    }

    /// What has been counted.
    pub fn add_counted(&mut self, memory: BorrowedFd<'a>) {
        self.add(COUNTED, memory);
    }

    /// Becomes another program. Comes back only when that failed, and then everything is as it was.
    pub fn exec(&self, program: &Path, args: &[OsString]) -> io::Error {
        let mask = keep_signals();
        let set = |flag| -> nix::Result<()> {
            self.descriptors.iter().try_for_each(|fd| fcntl(fd, FcntlArg::F_SETFD(flag)).map(drop))
        };
        let error = match set(FdFlag::empty()) {
            Ok(()) => self.execute(program, args),
            Err(errno) => errno.into(),
        };
        let _ = set(FdFlag::FD_CLOEXEC);
        if let Ok(mask) = mask {
            let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&mask), None);
        }
        error
    }

    fn execute(&self, program: &Path, args: &[OsString]) -> io::Error {
        let text = |text: &OsStr| CString::new(text.as_bytes());
        let variables = std::env::vars_os().filter(|(name, _)| name != VARIABLE).map(|(name, value)| {
            let mut pair = name;
            pair.push("=");
            pair.push(value);
            pair
        });
        let handover = OsString::from(format!("{VARIABLE}={}", self.line));
        let environment: Result<Vec<_>, _> = variables.chain([handover]).map(|pair| text(&pair)).collect();
        let words: Result<Vec<_>, _> =
            std::iter::once(program.as_os_str()).chain(args.iter().map(OsString::as_os_str)).map(text).collect();
        match (text(program.as_os_str()), words, environment) {
            (Ok(program), Ok(words), Ok(environment)) => match nix::unistd::execve(&program, &words, &environment) {
                Err(errno) => errno.into(),
                Ok(never) => match never {},
            },
            _ => io::ErrorKind::InvalidInput.into(),
        }
    }
}

/// Until the next program has its handlers, a signal would do what signals do by themselves: end it.
fn keep_signals() -> nix::Result<SigSet> {
    let mut kept = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR2, Signal::SIGCHLD] {
        kept.add(signal);
    }
    let mut before = SigSet::empty();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&kept), Some(&mut before))?;
    Ok(before)
}

/// Ends what `keep_signals` began; to be called when there are handlers.
pub fn let_signals_come() {
    let _ = SigSet::all().thread_unblock();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    const LINE: &str = "1 pid=7 from=0.1.0 door=9 lock=5 munin/127.0.0.1:4949=8";

    #[test]
    fn a_line_is_for_the_process_it_names_alone() {
        let parsed = parse(LINE, 7).expect("it is whole");
        assert_eq!((parsed.from, parsed.door), ("0.1.0", Some(9)));
        assert_eq!(parsed.descriptors, [("lock", 5), ("munin/127.0.0.1:4949", 8)]);
        assert_eq!(parse(LINE, 8), None);
    }

    #[test]
    fn a_line_that_makes_no_sense_is_nothing() {
        for line in
            ["", "1", "2 pid=7", "1 pid=7 lock", "1 pid=7 lock=x", "1 pid=7 lock=1", "1 pid=7 door=1", "x pid=7"]
        {
            assert_eq!(parse(line, 7), None, "{line}");
        }
        for cut in 0..LINE.len() {
            let _ = parse(&LINE[..cut], 7);
        }
    }

    #[test]
    fn a_descriptor_that_is_not_what_it_is_said_to_be_is_left_out() {
        let file = File::open("/dev/null").expect("it opens");
        let lent = |file: &File| std::os::fd::IntoRawFd::into_raw_fd(file.try_clone().expect("it can be cloned"));
        let descriptors = vec![
            ("lock", lent(&file)),
            ("control", lent(&file)),
            ("client", lent(&file)),
            ("http/127.0.0.1:1", lent(&file)),
            ("lock", 100_000),
        ];
        let given = gather(Line { from: "0.1.0", door: Some(1), descriptors });
        assert!(given.lock.is_none() && given.control.is_none() && given.client.is_none());
        assert!(given.listeners.is_empty() && given.door().is_none(), "{given:?}");
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
        let fd = |listener: &TcpListener| {
            std::os::fd::IntoRawFd::into_raw_fd(listener.try_clone().expect("it can be cloned"))
        };
        let descriptors = vec![("http/127.0.0.1:0", fd(&listener)), ("http/127.0.0.2:0", fd(&listener))];
        let given = gather(Line { from: "", door: None, descriptors });
        assert_eq!(given.listeners.len(), 1, "the one that is bound elsewhere is left out");
    }

    #[test]
    fn a_program_that_cannot_be_executed_changes_nothing() {
        let file = File::open("/dev/null").expect("it opens");
        let mut parcel = Parcel::new(None);
        parcel.add("lock", file.as_fd());
        assert_eq!(parcel.exec(Path::new("/nonexistent/watchd"), &[]).kind(), io::ErrorKind::NotFound);
        let flags = fcntl(&file, FcntlArg::F_GETFD).expect("it is open");
        assert_eq!(flags, FdFlag::FD_CLOEXEC.bits());
    }
}
