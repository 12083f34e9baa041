//! Hands on to the system log what services write (`output = "syslog"`), line by line.
//!
//! A service appends to a file of its own in the state directory and so never waits, whatever becomes of watchd or of the log.
//! inotify says that one of them was written to; then the lines of all go out as datagrams, so many at once and not more often than
//! every 50 ms. A log that takes nothing is asked again, ever more rarely; of what piles up meanwhile the newest half of a megabyte
//! stays. Lines may begin with a level of their own, as systemd's do: `<3>cannot open the database`.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::core::Core;
use super::letter;
use super::tokens::Token;
use crate::model::{EventKind, Form, Output, Places, ServiceSpec};
use crate::sys::clock::Civil;
use crate::sys::epoll::Interest;
use crate::sys::feed::{Feed, Taken};
use crate::sys::files;
use crate::sys::syslog::Voice;

/// Between two looks at what was written.
const PAUSE: Duration = Duration::from_millis(50);
/// The longest wait before a log that takes nothing is asked again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What goes out of one file in one look.
const QUOTA: u64 = 64 << 10;
/// More than this does not pile up; half of it stays then.
const BACKLOG: u64 = 1 << 20;

/// Facility 3 is that of daemons; without a level of its own a line is information.
const FACILITY: u8 = 3 * 8;
const INFO: u8 = 6;

/// All files of services whose output goes to the system log.
#[derive(Default)]
pub struct Scribe {
    feeds: Vec<Open>,
    inotify: Option<Inotify>,
    /// When there was the last look.
    looked: Duration,
    /// When there is the next one, whether something is written or not; until then nothing wakes us.
    again: Option<Duration>,
    /// The pause after a log took nothing; zero while it takes.
    gap: Duration,
}

struct Open {
    service: String,
    feed: Feed,
    /// The newest process that is known to write it.
    pid: Option<i32>,
    /// Bytes that nobody will see, and were not told of yet.
    lost: u64,
    /// There was more to hand on at the last look.
    is_left: bool,
}

/// The file of a service whose output goes to the system log.
fn feed_of(spec: &ServiceSpec) -> Option<&str> {
    let Form::Run(launch) = &spec.form else { return None };
    match launch.setting.as_deref()?.output.as_ref()? {
        Output::Syslog { feed } => Some(feed),
        Output::File { .. } | Output::Inherit => None,
    }
}

/// Gives each service that needs one the name of its file. What cannot be made is said, and its output goes nowhere.
pub fn lend(specs: &mut [ServiceSpec], places: &Places, note: &mut dyn FnMut(EventKind, &str, &str)) {
    let mut dir = None;
    for spec in specs.iter_mut() {
        let id = &spec.id;
        let Form::Run(launch) = &mut spec.form else { continue };
        let Some(Output::Syslog { feed }) = launch.setting.as_mut().and_then(|setting| setting.output.as_mut()) else {
            continue;
        };
        // Whoever opens it follows no links, also none on the way to it.
        let made = dir.get_or_insert_with(|| {
            let dir = places.state_dir.join("output");
            files::private_dir(&dir).and_then(|()| dir.canonicalize())
        });
        match made {
            Ok(dir) => *feed = dir.join(id).to_string_lossy().into_owned(),
            Err(error) => note(EventKind::Trouble, id, &format!("cannot keep its output for the system log: {error}")),
        }
    }
}

impl Scribe {
    /// Follows the files of these services and no others.
    fn follow<'a>(
        &mut self,
        specs: impl Iterator<Item = &'a ServiceSpec> + Clone,
        note: &mut dyn FnMut(EventKind, &str, &str),
    ) -> Option<BorrowedFd<'_>> {
        let is_wanted = |open: &Open| specs.clone().any(|spec| spec.id == open.service && feed_of(spec).is_some());
        self.feeds.retain(|open| is_wanted(open) && !open.feed.is_removed());
        let mut dir = None;
        for (spec, path) in specs.filter_map(|spec| Some((spec, feed_of(spec)?))).filter(|(_, path)| !path.is_empty()) {
            dir = Path::new(path).parent();
            if self.feeds.iter().any(|open| open.service == spec.id) {
                continue;
            }
            match Feed::open(Path::new(path)) {
                Ok(feed) => {
                    self.feeds.push(Open { service: spec.id.clone(), feed, pid: None, lost: 0, is_left: false });
                    // What was written before anybody waited for it.
                    self.again = Some(Duration::ZERO);
                }
                Err(error) => {
                    note(
                        EventKind::Trouble,
                        &spec.id,
                        &format!("cannot hand its output on to the system log: {path}: {error}"),
                    );
                }
            }
        }
        let dir = dir?;
        let is_new = self.inotify.is_none();
        if is_new {
            self.inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).ok();
        }
        let inotify = self.inotify.as_ref()?;
        // What is watched already stays so; a directory that was made anew is another.
        let _ = inotify.add_watch(dir, AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_ONLYDIR);
        is_new.then(|| inotify.as_fd())
    }

    /// When there is a look that nobody wakes us for.
    pub fn deadline(&self) -> Option<Duration> {
        self.again
    }

    /// Whether it is too early for another look; then nothing wakes us before that.
    fn rests(&mut self, mono: Duration) -> bool {
        let due = self.again.unwrap_or_else(|| self.looked.saturating_add(PAUSE));
        if due > mono {
            self.again = Some(due);
        }
        due > mono
    }

    /// Forgets what inotify has said.
    fn drain(&self) {
        while self.inotify.as_ref().is_some_and(|inotify| inotify.read_events().is_ok_and(|events| !events.is_empty()))
        {
        }
    }

    /// Hands on what was written; what that comes to is told.
    fn serve(&mut self, mono: Duration, log: &mut SystemLog<'_>, note: &mut dyn FnMut(EventKind, &str, &str)) {
        self.drain();
        (self.looked, self.again) = (mono, None);
        let (mut is_refused, mut is_taken) = (false, false);
        for open in &mut self.feeds {
            if !open.is_left && !open.feed.has_more() {
                continue;
            }
            let (outcome, any) = open.serve(log, note);
            is_taken |= any;
            is_refused |= outcome == Taken::Refused;
            open.is_left = outcome != Taken::All;
            if open.is_left {
                self.again = Some(mono + PAUSE);
            }
        }
        self.gap = if is_refused && !is_taken { (self.gap * 2).clamp(PAUSE, LONGEST_PAUSE) } else { Duration::ZERO };
        // What we cut out of the files counts as written, too.
        self.drain();
        if !self.gap.is_zero() {
            self.again = Some(mono + self.gap);
        } else if self.feeds.iter().any(|open| open.feed.has_more()) {
            self.again = Some(mono + PAUSE);
        }
    }
}

impl Open {
    /// Hands on what there is; says also whether any of it was taken.
    fn serve(&mut self, log: &mut SystemLog<'_>, note: &mut dyn FnMut(EventKind, &str, &str)) -> (Taken, bool) {
        let Self { service, feed, pid, lost, .. } = self;
        let (mut is_taken, mut why) = (false, None);
        let skipped = feed.skip(BACKLOG).unwrap_or(0);
        let taken = feed.take(QUOTA, &mut |line| match log.put((service, *pid), line) {
            Ok(()) => {
                is_taken = true;
                true
            }
            Err(error) => {
                why = Some(error);
                false
            }
        });
        let taken = taken.unwrap_or_else(|error| {
            why = Some(error);
            Taken::Refused
        });
        if skipped > 0 && *lost == 0 {
            let why = why.map(|error| format!(": {error}")).unwrap_or_default();
            note(
                EventKind::Trouble,
                service,
                &format!("what it writes is lost: the system log does not take so much{why}"),
            );
        }
        *lost += skipped;
        if *lost > 0 && taken == Taken::All {
            let what = format!("{} KiB of what it wrote before are lost", *lost >> 10);
            // The log takes again; when it does not take this, the event still says it.
            let _ = log.put((service, *pid), format!("<4>{what}").as_bytes());
            note(EventKind::Trouble, service, &what);
            *lost = 0;
        }
        (taken, is_taken)
    }
}

/// Where lines go.
struct SystemLog<'a> {
    socket: &'a Path,
    when: Civil,
    voice: Voice,
    message: Vec<u8>,
}

impl SystemLog<'_> {
    /// One line, with nothing in it that steers a terminal.
    fn put(&mut self, (service, pid): (&str, Option<i32>), line: &[u8]) -> io::Result<()> {
        let (level, line) = level_of(line);
        self.message.clear();
        write!(self.message, "<{}>{} {service}", FACILITY + level, letter::stamp(self.when))?;
        match pid {
            Some(pid) => write!(self.message, "[{pid}]: ")?,
            None => self.message.extend_from_slice(b": "),
        }
        let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
        self.message.extend(line.iter().map(|byte| if is_control(byte) { b'?' } else { *byte }));
        self.voice.send(self.socket, &self.message)
    }
}

/// `<3>no luck` is of level 3.
fn level_of(line: &[u8]) -> (u8, &[u8]) {
    match line {
        [b'<', level @ b'0'..=b'7', b'>', rest @ ..] => (level - b'0', rest),
        _ => (INFO, line),
    }
}

impl Core {
    /// Follows what services write for the system log; whoever only looks on does not.
    pub(super) fn follow_feeds(&mut self) {
        if !self.manner.is_daemon() || self.manner.is_shadow {
            return;
        }
        let (notes, scribe) = (&mut self.notes, &mut self.scribe);
        let mut note = |kind, subject: &str, text: &str| notes.add(kind, subject, text);
        if let Some(source) = scribe.follow(self.services.specs(), &mut note)
            && let Err(error) = self.poller.add(source, Token::Feed.pack(), Interest::Read)
        {
            let text = format!("cannot wait for the output of services: {error}");
            self.notes.add(EventKind::Trouble, "", &text);
        }
    }

    /// A service has written something for the system log.
    pub(super) fn on_feed(&mut self) {
        let is_early = self.scribe.rests(self.now.mono);
        if is_early {
            self.wait_for_feeds(Interest::Nothing);
        } else {
            self.hand_on_output();
        }
    }

    /// The pause between two looks may be over.
    pub(super) fn renew_feeds(&mut self) {
        if self.scribe.deadline().is_some_and(|due| due <= self.now.mono) {
            self.hand_on_output();
            self.wait_for_feeds(Interest::Read);
        }
    }

    fn wait_for_feeds(&self, interest: Interest) {
        if let Some(inotify) = &self.scribe.inotify {
            let _ = self.poller.modify(inotify, Token::Feed.pack(), interest);
        }
    }

    fn hand_on_output(&mut self) {
        let Ok(voice) = Voice::new() else { return };
        let mut scribe = std::mem::take(&mut self.scribe);
        for open in &mut scribe.feeds {
            let fact = self.services.facts(self.now).find(|fact| fact.id == open.service);
            // The last words of one that has ended are still its own.
            open.pid = fact.and_then(|fact| fact.identity).map(|identity| identity.pid).or(open.pid);
        }
        let socket = self.places.root.join("dev/log");
        let mut log = SystemLog { socket: &socket, when: Civil::local(self.now.wall), voice, message: Vec::new() };
        let notes = &mut self.notes;
        scribe.serve(self.now.mono, &mut log, &mut |kind, subject, text| notes.add(kind, subject, text));
        self.scribe = scribe;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::fs::OpenOptions;
    use std::os::unix::net::UnixDatagram;

    fn log(socket: &Path) -> SystemLog<'_> {
        let when = Civil::utc(Duration::from_secs(951_827_696));
        SystemLog { socket, when, voice: Voice::new().expect("a socket can be made"), message: Vec::new() }
    }

    fn heard(socket: &UnixDatagram) -> Vec<String> {
        let mut message = [0; 2048];
        let next = |message: &mut [u8]| {
            let len = socket.recv(message).ok()?;
            Some(String::from_utf8_lossy(message.get(..len)?).into_owned())
        };
        std::iter::from_fn(|| next(&mut message)).collect()
    }

    fn bound(path: &Path) -> UnixDatagram {
        let socket = UnixDatagram::bind(path).expect("a socket can be bound");
        socket.set_nonblocking(true).expect("it can");
        socket
    }

    #[test]
    fn a_line_has_a_head_and_steers_nothing() {
        let dir = Scratch::new();
        let path = dir.join("log");
        let socket = bound(&path);
        for (line, pid, expect) in [
            (&b"begun"[..], Some(7), "<30>Feb 29 12:34:56 web[7]: begun"),
            (b"<3>no\tluck\x1b[31m\x7f", Some(7), "<27>Feb 29 12:34:56 web[7]: no\tluck?[31m?"),
            (b"<8>no level", None, "<30>Feb 29 12:34:56 web: <8>no level"),
            (b"<3", None, "<30>Feb 29 12:34:56 web: <3"),
            (b"<7>", None, "<31>Feb 29 12:34:56 web: "),
            (b"\xff", None, "<30>Feb 29 12:34:56 web: \u{fffd}"),
        ] {
            log(&path).put(("web", pid), line).expect("somebody listens");
            assert_eq!(heard(&socket), [expect]);
        }
    }

    #[test]
    fn a_log_that_is_away_is_waited_for_and_what_is_too_much_is_lost_and_told() {
        let dir = Scratch::new();
        let (path, file) = (dir.join("log"), dir.join("web"));
        let feed = Feed::open(&file).expect("it can be made");
        let open = Open { service: "web".to_owned(), feed, pid: None, lost: 0, is_left: false };
        let mut scribe = Scribe { feeds: vec![open], ..Scribe::default() };
        let mut writer = OpenOptions::new().append(true).open(&file).expect("it is there");
        let (mut told, mut now, mut pauses) = (Vec::new(), Duration::from_secs(100), Vec::new());
        let mut serve = |scribe: &mut Scribe, now| {
            scribe.serve(now, &mut log(&path), &mut |_, subject, text| told.push(format!("{subject}: {text}")));
        };
        writeln!(writer, "begun").expect("it can be written");
        for _ in 0..9 {
            serve(&mut scribe, now);
            let next = scribe.deadline().expect("it is tried again");
            pauses.push((next - now).as_millis());
            assert!(scribe.rests(now), "what is written meanwhile wakes nobody");
            now = next;
        }
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        let socket = bound(&path);
        serve(&mut scribe, now);
        assert_eq!((heard(&socket).len(), scribe.deadline()), (1, None));
        assert!(scribe.rests(now), "not twice at once");
        drop(socket);
        std::fs::remove_file(&path).expect("it is ours");
        for _ in 0..3 {
            writer.write_all(&b"0123456789abcde\n".repeat(1 << 16)).expect("it can be written");
            now += LONGEST_PAUSE;
            serve(&mut scribe, now);
        }
        let socket = bound(&path);
        let mut lines = Vec::new();
        while scribe.deadline().is_some() {
            now += LONGEST_PAUSE;
            serve(&mut scribe, now);
            lines.extend(heard(&socket));
        }
        assert_eq!(lines.iter().filter(|line| line.ends_with("0123456789abcde")).count(), 1 << 15);
        assert!(lines.last().is_some_and(|line| line.ends_with("KiB of what it wrote before are lost")), "{told:?}");
        assert!(told.iter().any(|line| line.starts_with("web: what it writes is lost")), "{told:?}");
        assert_eq!(told.len(), 2, "{told:?}");
    }
}
