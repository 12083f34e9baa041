//! The control socket: a handful of local clients, one request each, checked by their credentials.
//!
//! Only root, the account that runs watchd and the group that the policy names are heard. A client that is slow, silent or too long is
//! dropped at its deadline; when all places are taken the oldest client makes room. One descriptor is kept in reserve, so that an order is
//! heard where no other can be opened; where even that is not enough, the socket is left alone for a while instead of being asked in
//! every turn.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::control::LINE;
use crate::sys::listen;

/// How many clients may be connected at once.
const CLIENTS: usize = 8;
/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long nobody is let in after that could not be done.
const REST: Duration = Duration::from_secs(1);

/// What others hear.
const DENIED: &[u8] =
    b"denied cannot obey: only root, the account that runs watchd and members of its control-group may ask\n";

/// The listening socket and its clients.
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Whose members may ask as well.
    group: Option<u32>,
    clients: heapless::Vec<Client, CLIENTS>,
    next_id: u64,
    /// Given up for a client where there is no other descriptor.
    reserve: Option<File>,
    /// Until when the listener is not waited for.
    rests_until: Option<Duration>,
    /// That nobody can be let in was told.
    is_told: bool,
}

/// Somebody who asks. The id is never used twice.
struct Client {
    id: u64,
    stream: UnixStream,
    request: Line,
    deadline: Duration,
}

/// One request with its newline, or as much as fits of a line that is too long.
pub type Line = heapless::Vec<u8, LINE>;

impl ControlSocket {
    /// Makes the socket, or goes on with the one that the program before us has left.
    pub fn open(path: &Path, held: Option<UnixListener>) -> io::Result<Self> {
        let listener = match held.filter(|held| is_at(held, path)) {
            Some(held) => held,
            None => listen::unix(path)?,
        };
        let path = path.to_owned();
        let clients = heapless::Vec::new();
        Ok(Self {
            listener,
            path,
            group: None,
            clients,
            next_id: 1,
            reserve: reserve(),
            rests_until: None,
            is_told: false,
        })
    }

    /// Lets the members of this group in, and nobody else than always. When that cannot be done, nobody else is let in.
    pub fn let_in(&mut self, group: Option<u32>) -> io::Result<()> {
        self.group = None;
        listen::open_to_group(&self.path, group)?;
        self.group = group;
        Ok(())
    }

    fn may_ask(&self, stream: &UnixStream) -> io::Result<bool> {
        let uid = listen::peer_uid(stream)?;
        let is_ours = uid == 0 || uid == nix::unistd::geteuid().as_raw();
        Ok(is_ours || self.group.is_some_and(|group| listen::peer_is_in(stream, group)))
    }

    pub fn source(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Lets one client in; gives its id and its descriptor to wait for.
    pub fn accept(&mut self, mono: Duration) -> Option<(u64, BorrowedFd<'_>)> {
        let stream = match self.listener.accept() {
            Err(error) if is_short(&error) && self.reserve.take().is_some() => self.listener.accept(),
            other => other,
        };
        let (stream, _) = stream
            .inspect_err(|error| {
                if is_short(error) {
                    self.rests_until = Some(mono + REST);
                }
            })
            .ok()?;
        self.is_told = false;
        stream.set_nonblocking(true).ok()?;
        if !self.may_ask(&stream).ok()? {
            let _ = (&stream).write_all(DENIED);
            // What is left unread would reset the connection before the answer is taken.
            let _ = (&stream).read(&mut [0; LINE]);
            return None;
        }
        if self.clients.is_full() {
            self.clients.remove(0);
        }
        let id = self.next_id;
        self.next_id += 1;
        let client = Client { id, stream, request: heapless::Vec::new(), deadline: mono + PATIENCE };
        self.clients.push(client).ok()?;
        self.clients.last().map(|client| (id, client.stream.as_fd()))
    }

    /// Nobody can be let in for now: the listener has to be left alone until [`ControlSocket::is_rested`].
    pub fn rests(&self) -> bool {
        self.rests_until.is_some()
    }

    /// Whether that is to be told: once, until somebody was let in.
    pub fn is_news(&mut self) -> bool {
        !std::mem::replace(&mut self.is_told, true)
    }

    /// Whether a rest is over; says so once.
    pub fn is_rested(&mut self, mono: Duration) -> bool {
        self.rests_until.take_if(|until| *until <= mono).is_some()
    }

    /// Takes what a client has sent; gives its line once it is complete or can never be.
    pub fn hear(&mut self, id: u64) -> Option<Line> {
        let place = self.clients.iter().position(|client| client.id == id)?;
        let client = self.clients.get_mut(place)?;
        let mut byte = [0];
        loop {
            match client.stream.read(&mut byte) {
                Ok(0) => break,
                Ok(_) => {
                    let _ = client.request.extend_from_slice(&byte);
                    if byte == *b"\n" || client.request.is_full() {
                        return Some(std::mem::take(&mut client.request));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.clients.remove(place);
        None
    }

    /// Answers and lets the client go. An answer fits the socket's buffer; a client that does not take it loses it.
    pub fn answer(&mut self, id: u64, answer: &[u8]) {
        if let Some(place) = self.clients.iter().position(|client| client.id == id) {
            let mut client = self.clients.remove(place);
            let _ = client.stream.write_all(answer);
            // What is left unread would reset the connection before the answer is taken.
            let _ = client.stream.read(&mut [0; LINE]);
        }
    }

    /// Takes in a client that the program before us has heard already.
    pub fn adopt(&mut self, stream: UnixStream, mono: Duration) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let client = Client { id, stream, request: heapless::Vec::new(), deadline: mono + PATIENCE };
        let _ = self.clients.push(client);
        id
    }

    /// The account of a client; none when it has gone, or cannot be told.
    pub fn uid(&self, id: u64) -> Option<u32> {
        let client = self.clients.iter().find(|client| client.id == id)?;
        listen::peer_uid(&client.stream).ok()
    }

    /// Gives a client more time for its answer than others.
    pub fn hold(&mut self, id: u64, until: Duration) {
        if let Some(client) = self.clients.iter_mut().find(|client| client.id == id) {
            client.deadline = until;
        }
    }

    /// The socket of a client that waits for its answer.
    pub fn client(&self, id: u64) -> Option<BorrowedFd<'_>> {
        self.clients.iter().find(|client| client.id == id).map(|client| client.stream.as_fd())
    }

    /// When the most impatient deadline is.
    pub fn deadline(&self) -> Option<Duration> {
        self.clients.iter().map(|client| client.deadline).chain(self.rests_until).min()
    }

    /// Drops the clients whose time is over.
    pub fn expire(&mut self, mono: Duration) {
        self.clients.retain(|client| client.deadline > mono);
        if self.reserve.is_none() && self.clients.is_empty() && self.rests_until.is_none() {
            self.reserve = reserve();
        }
    }
}

fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

/// There is no descriptor or no memory for a connection, and it waits on.
fn is_short(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS))
}

fn is_at(listener: &UnixListener, path: &Path) -> bool {
    let is_named = listener.local_addr().is_ok_and(|address| address.as_pathname() == Some(path));
    is_named && path.exists() && listener.set_nonblocking(true).is_ok()
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn open(dir: &Path) -> ControlSocket {
        ControlSocket::open(&dir.join("control.sock"), None).expect("the socket opens")
    }

    #[test]
    fn a_request_is_heard_whole_and_answered_once() {
        let scratch = Scratch::new();
        let mut socket = open(&scratch);
        let mut client = UnixStream::connect(&socket.path).expect("it listens");
        let (id, _) = socket.accept(Duration::ZERO).expect("we may ask");
        client.write_all(b"restart ").expect("it takes bytes");
        assert_eq!(socket.hear(id), None);
        client.write_all(b"web\nrest").expect("it takes bytes");
        assert_eq!(socket.hear(id).as_deref(), Some(&b"restart web\n"[..]));
        socket.answer(id, b"ok\n");
        socket.answer(id, b"twice\n");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("it is answered");
        assert_eq!(answer, "ok\n");
    }

    #[test]
    fn a_client_that_says_too_much_or_nothing_is_dropped() {
        let scratch = Scratch::new();
        let mut socket = open(&scratch);
        let mut flood = UnixStream::connect(&socket.path).expect("it listens");
        let (id, _) = socket.accept(Duration::ZERO).expect("we may ask");
        flood.write_all(&[b'x'; LINE + 300]).expect("it takes bytes");
        assert_eq!(socket.hear(id).map(|line| line.len()), Some(LINE), "as much as is read of it");
        socket.answer(id, b"bad-request\n");
        assert!(socket.clients.is_empty());
        let _silent = UnixStream::connect(&socket.path).expect("it listens");
        socket.accept(Duration::ZERO).expect("we may ask");
        assert_eq!(socket.deadline(), Some(PATIENCE));
        socket.expire(PATIENCE);
        assert!(socket.clients.is_empty());
    }

    #[test]
    fn the_oldest_client_makes_room() {
        let scratch = Scratch::new();
        let mut socket = open(&scratch);
        let clients: Vec<_> = (0..=CLIENTS)
            .map(|_| {
                let client = UnixStream::connect(&socket.path).expect("it listens");
                socket.accept(Duration::ZERO).expect("we may ask");
                client
            })
            .collect();
        assert_eq!(socket.clients.len(), CLIENTS);
        assert_eq!((&clients[0]).read(&mut [0; 1]).ok(), Some(0), "the first was closed");
    }
}
