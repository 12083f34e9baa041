//! What is said over the control socket: one line asks, one line answers, then the connection ends.
//!
//! ```text
//! pause web for=3600
//! ok web is paused for 1h
//! ```
//! Here are the words on both sides and the client; the loop owns the socket and looks at who asks. A line has at
//! most `LINE` bytes, and what is not understood is answered with `bad-request`.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr};

use super::posted::Posted;
use crate::classes::is_class_name;
use crate::sys::clock;

/// The longest line either way, its newline included.
pub const LINE: usize = 1024;
/// The longest pause that can be asked for: a year.
pub const LONGEST: u64 = 366 * 86_400;
/// How long a client waits for the end of an upgrade: the new program is tried first, and commands may have to end.
pub const UPGRADE: Duration = Duration::from_secs(60);
/// How long a client waits for its answer.
const PATIENCE: Duration = Duration::from_secs(5);

crate::model::words! {
    /// What can be asked.
    Verb {
        Start = "start",
        Stop = "stop",
        Restart = "restart",
        /// Forget early deaths and the spent budget.
        Reset = "reset",
        Pause = "pause",
        Resume = "resume",
        /// Make a class true.
        ClassSet = "class-set",
        ClassClear = "class-clear",
        /// End the daemon on purpose.
        Shutdown = "shutdown",
        /// Go on as the program that is installed now.
        Upgrade = "upgrade",
    }
}

impl Verb {
    /// It names a class, not a service.
    pub fn is_about_classes(self) -> bool {
        matches!(self, Self::ClassSet | Self::ClassClear)
    }

    /// It may end by itself after a time.
    fn may_last(self) -> bool {
        matches!(self, Self::Pause | Self::ClassSet)
    }
}

/// One thing asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    pub verb: Verb,
    /// The id of a service, `@` and a tag, or a class; empty for `shutdown` and `upgrade`.
    pub name: &'a str,
    /// How long a pause or class lasts; none is until it is taken back.
    pub lasts: Option<Duration>,
}

/// Why a line is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No newline yet, and there is room for more.
    Incomplete,
    TooLong,
    NotText,
    UnknownVerb,
    /// A name is missing, or is not one.
    Name,
    /// Something after the name that is not `for=SECONDS` of a pause or a class.
    Rest,
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Incomplete => "cannot understand the request: its line does not end",
            Self::TooLong => "cannot understand the request: its line is too long",
            Self::NotText => "cannot understand the request: it is not text",
            Self::UnknownVerb => "cannot understand the request: unknown verb",
            Self::Name => "cannot understand the request: it names nothing",
            Self::Rest => "cannot understand the request: only pause and class-set take for=SECONDS",
        })
    }
}

impl<'a> Request<'a> {
    /// Reads what has arrived so far; `Incomplete` means to go on reading.
    pub fn parse(arrived: &'a [u8]) -> Result<Self, Refusal> {
        let Some(end) = arrived.iter().take(LINE).position(|byte| *byte == b'\n') else {
            return Err(if arrived.len() < LINE { Refusal::Incomplete } else { Refusal::TooLong });
        };
        let line = std::str::from_utf8(arrived.get(..end).unwrap_or_default()).map_err(|_| Refusal::NotText)?;
        let mut words = line.split(' ');
        let word = words.next().unwrap_or_default();
        let verb = *Verb::ALL.iter().find(|verb| verb.word() == word).ok_or(Refusal::UnknownVerb)?;
        if matches!(verb, Verb::Shutdown | Verb::Upgrade) {
            return if words.next().is_none() { Ok(Self { verb, name: "", lasts: None }) } else { Err(Refusal::Rest) };
        }
        let is_named = if verb.is_about_classes() { is_class_name } else { is_name };
        let name = words.next().filter(|name| is_named(name)).ok_or(Refusal::Name)?;
        let lasts = words.next().map(|rest| seconds(verb, rest).ok_or(Refusal::Rest)).transpose()?;
        if words.next().is_some() { Err(Refusal::Rest) } else { Ok(Self { verb, name, lasts }) }
    }
}

impl fmt::Display for Request<'_> {
    /// The line without its newline.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.verb.word())?;
        if !self.name.is_empty() {
            write!(out, " {}", self.name)?;
        }
        match self.lasts {
            Some(lasts) => write!(out, " for={}", lasts.as_secs()),
            None => Ok(()),
        }
    }
}

/// Whether a text can be the id of a service, or `@` and a tag; whether there is such a service is another question.
pub fn is_name(text: &str) -> bool {
    let text = text.strip_prefix('@').unwrap_or(text);
    (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

fn seconds(verb: Verb, rest: &str) -> Option<Duration> {
    let seconds = rest.strip_prefix("for=")?;
    let plain = verb.may_last() && seconds.bytes().all(|byte| byte.is_ascii_digit());
    seconds.parse().ok().filter(|seconds| plain && (1..=LONGEST).contains(seconds)).map(Duration::from_secs)
}

crate::model::words! {
    /// How a request came out.
    Reply {
        Ok = "ok",
        NoSuchName = "no-such-name",
        Failed = "failed",
        /// Not from this account.
        Denied = "denied",
        BadRequest = "bad-request",
    }
}

impl Reply {
    /// Writes the answer's line, cut to `LINE` bytes, without a newline inside.
    pub fn line(self, text: &str, page: &mut Vec<u8>) {
        page.clear();
        page.extend_from_slice(self.word().as_bytes());
        page.push(b' ');
        let cut = text.floor_char_boundary(LINE.saturating_sub(page.len() + 1));
        page.extend(text.bytes().take(cut).map(|byte| if byte.is_ascii_control() { b' ' } else { byte }));
        page.push(b'\n');
    }

    /// Reads an answer's line.
    fn parse(line: &[u8]) -> Option<(Self, String)> {
        let line = String::from_utf8_lossy(line.strip_suffix(b"\n")?).into_owned();
        let (word, text) = line.split_once(' ').unwrap_or((&line, ""));
        let reply = *Self::ALL.iter().find(|reply| reply.word() == word)?;
        Some((reply, text.to_owned()))
    }
}

/// Why no answer was got.
#[derive(Debug)]
pub enum AskError {
    /// Nobody listens: no daemon.
    NoDaemon,
    /// The daemon is there but gave no answer in time.
    Silent,
    /// What came back is no answer.
    Garbage,
    Io(io::Error),
}

impl fmt::Display for AskError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDaemon => write!(out, "cannot reach the daemon: none runs here"),
            Self::Silent => write!(out, "cannot reach the daemon: it gives no answer"),
            Self::Garbage => write!(out, "cannot understand the daemon's answer"),
            Self::Io(error) => write!(out, "cannot reach the daemon: {error}"),
        }
    }
}

impl std::error::Error for AskError {}

impl From<io::Error> for AskError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Self::NoDaemon,
            io::ErrorKind::WouldBlock => Self::Silent,
            _ => Self::Io(error),
        }
    }
}

/// Asks the daemon, and waits for its answer no longer than what is asked can take.
pub fn ask(socket: &Path, request: &Request<'_>) -> Result<(Reply, String), AskError> {
    let patience = if request.verb == Verb::Upgrade { UPGRADE } else { PATIENCE };
    say(socket, &format!("{request}\n"), patience)
}

/// Hands the daemon something that it is to tell.
pub fn hand(socket: &Path, posted: &Posted<'_>) -> Result<(Reply, String), AskError> {
    say(socket, &format!("{posted}\n"), PATIENCE)
}

/// Says one line and takes the answer.
fn say(socket: &Path, line: &str, patience: Duration) -> Result<(Reply, String), AskError> {
    let deadline = clock::now().mono + patience;
    let mut stream = connect(socket)?;
    match stream.write_all(line.as_bytes()) {
        // Whoever is not heard is told so, perhaps before he has spoken.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written?,
    }
    let mut arrived = Vec::with_capacity(LINE);
    while !arrived.contains(&b'\n') && arrived.len() <= LINE {
        let left = deadline.saturating_sub(clock::now().mono);
        wait(&stream, left)?;
        let mut piece = [0; LINE];
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => arrived.extend_from_slice(piece.get(..read).unwrap_or_default()),
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Reply::parse(&arrived).ok_or(AskError::Garbage)
}

/// Connects without waiting: a daemon that hangs has a full queue, and would hang us.
fn connect(path: &Path) -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    socket::connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(socket.into())
}

fn wait(stream: &UnixStream, left: Duration) -> Result<(), AskError> {
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
    match poll(&mut [PollFd::new(stream.as_fd(), PollFlags::POLLIN)], timeout) {
        Ok(0) => Err(AskError::Silent),
        Ok(_) | Err(nix::errno::Errno::EINTR) if !left.is_zero() => Ok(()),
        Ok(_) => Err(AskError::Silent),
        Err(errno) => Err(AskError::Io(errno.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn request(verb: Verb, name: &str, seconds: Option<u64>) -> Request<'_> {
        Request { verb, name, lasts: seconds.map(Duration::from_secs) }
    }

    #[test]
    fn what_is_asked_is_understood() {
        let asked = [
            request(Verb::Restart, "web", None),
            request(Verb::Pause, "db-1", Some(3600)),
            request(Verb::Pause, "db_1", None),
            request(Verb::Restart, "@front", None),
            request(Verb::Shutdown, "", None),
            request(Verb::Upgrade, "", None),
        ];
        for request in asked {
            assert_eq!(Request::parse(format!("{request}\nignored").as_bytes()), Ok(request));
        }
    }

    #[test]
    fn a_cut_request_is_never_acted_on() {
        let line = b"pause web for=3600\n";
        for cut in 0..line.len() {
            assert_eq!(Request::parse(&line[..cut]), Err(Refusal::Incomplete), "cut at {cut}");
        }
    }

    #[test]
    fn garbage_is_refused() {
        let long = format!("start {}\n", "a".repeat(40));
        let endless = [b'a'; LINE];
        let late = [[b'a'; LINE].as_slice(), b"\n"].concat();
        let cases: &[(&[u8], Refusal)] = &[
            (b"\n", Refusal::UnknownVerb),
            (b"START web\n", Refusal::UnknownVerb),
            (b"explode web\n", Refusal::UnknownVerb),
            (b" start web\n", Refusal::UnknownVerb),
            (b"start\n", Refusal::Name),
            (b"start \n", Refusal::Name),
            (b"start  web\n", Refusal::Name),
            (b"start ../web\n", Refusal::Name),
            (b"start @\n", Refusal::Name),
            (b"start @@web\n", Refusal::Name),
            (b"start web@a\n", Refusal::Name),
            (b"start web\0\n", Refusal::Name),
            (b"start web\r\n", Refusal::Name),
            (long.as_bytes(), Refusal::Name),
            (b"start \xff\xfe\n", Refusal::NotText),
            (b"start web for=1\n", Refusal::Rest),
            (b"pause web for=0\n", Refusal::Rest),
            (b"pause web for=+5\n", Refusal::Rest),
            (b"pause web for=99999999999999999999\n", Refusal::Rest),
            (b"pause web 1h\n", Refusal::Rest),
            (b"pause web for=1 2\n", Refusal::Rest),
            (b"shutdown now\n", Refusal::Rest),
            (&endless, Refusal::TooLong),
            (&late, Refusal::TooLong),
        ];
        for (line, refusal) in cases {
            assert_eq!(Request::parse(line), Err(*refusal), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn an_answer_is_one_bounded_line() {
        let mut page = Vec::new();
        Reply::Failed.line("two\nlines", &mut page);
        assert_eq!(page, b"failed two lines\n");
        assert_eq!(Reply::parse(&page), Some((Reply::Failed, "two lines".to_owned())));
        Reply::Ok.line(&"ä".repeat(LINE), &mut page);
        assert!(page.len() <= LINE && Reply::parse(&page).is_some());
        for bad in [&b""[..], b"ok", b"maybe yes\n", b"\n"] {
            assert_eq!(Reply::parse(bad), None);
        }
    }

    #[test]
    fn nobody_there_is_told_from_no_answer() {
        let scratch = Scratch::new();
        let path = scratch.join("control.sock");
        let shutdown = request(Verb::Shutdown, "", None);
        assert!(matches!(ask(&path, &shutdown), Err(AskError::NoDaemon)), "no socket");
        let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket can be bound");
        listener.set_nonblocking(true).expect("it can be set");
        let stream = UnixStream::connect(&path).expect("it listens");
        assert!(matches!(wait(&stream, Duration::from_millis(1)), Err(AskError::Silent)));
        drop((listener, stream));
        assert!(matches!(ask(&path, &shutdown), Err(AskError::NoDaemon)), "a socket nobody listens on");
    }
}
