//! From the fork to a door that knows nothing of its parent: what it is to serve goes along in a letter, and the program begins anew.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{DoorSpec, Past, run};
use crate::export::munin::Guest;
use crate::model::{Network, Settings};
use crate::sys::{anew, fork, stderr};

/// What the program is called when it is to be the door.
pub const NAME: &CStr = c"watchd-door";

/// A [`DoorSpec`] whose descriptors are numbers.
#[derive(Serialize, Deserialize)]
struct Letter {
    munin: Vec<i32>,
    http: Vec<i32>,
    munin_unix: Option<i32>,
    guest_line: Option<i32>,
    board: i32,
    history: Option<i32>,
    journal: Option<i32>,
    learned: Option<i32>,
    line: Option<i32>,
    munin_patterns: Vec<String>,
    munin_allow: Vec<Network>,
    host_name: String,
    /// Name and virtual host of each plugin.
    guests: Vec<(String, Option<String>)>,
    settings: Settings,
    user: Option<(u32, u32)>,
    empty_dir: Option<PathBuf>,
    parent: i32,
}

fn number(fd: &impl AsRawFd) -> i32 {
    fd.as_raw_fd()
}

fn lent<T: AsFd>(list: &[T]) -> impl Iterator<Item = BorrowedFd<'_>> {
    list.iter().map(AsFd::as_fd)
}

/// Ends as the door: leaves everything of this process behind but the descriptors of `spec`.
pub fn become_door(spec: DoorSpec) -> ! {
    let letter = Letter {
        munin: spec.munin.iter().map(number).collect(),
        http: spec.http.iter().map(number).collect(),
        munin_unix: spec.munin_unix.as_ref().map(number),
        guest_line: spec.guest_line.as_ref().map(|line| line.as_fd().as_raw_fd()),
        board: number(&spec.board),
        history: spec.past.history.as_ref().map(number),
        journal: spec.past.journal.as_ref().map(number),
        learned: spec.past.learned.as_ref().map(number),
        line: spec.line.as_ref().map(number),
        munin_patterns: spec.munin_patterns,
        munin_allow: spec.munin_allow,
        host_name: spec.host_name,
        guests: spec.guests.into_iter().map(|guest| (guest.name, guest.host)).collect(),
        settings: spec.settings,
        user: spec.user,
        empty_dir: spec.empty_dir,
        parent: spec.parent,
    };
    let kept = lent(&spec.munin).chain(lent(&spec.http)).chain([spec.board.as_fd()]);
    let kept = kept.chain(spec.munin_unix.iter().map(AsFd::as_fd)).chain(spec.guest_line.iter().map(AsFd::as_fd));
    let kept = kept.chain(spec.past.files().map(AsFd::as_fd));
    let kept: Vec<_> = kept.chain(spec.line.iter().map(AsFd::as_fd)).collect();
    let error = match postcard::to_stdvec(&letter) {
        Ok(bytes) => anew::begin(NAME, &bytes, &kept),
        Err(error) => std::io::Error::other(error),
    };
    stderr::say(format_args!("watchd: cannot begin the door anew: {error}"));
    fork::leave(1)
}

/// Serves as the letter says that the one before has left; `number` is the argument that names it. To be called first thing.
pub fn run_anew(number: &str) -> ! {
    let Some(spec) = anew::letter(number).ok().and_then(|bytes| understand(&bytes)) else {
        stderr::say(format_args!("watchd: the door is opened by the daemon, not by hand"));
        fork::leave(2)
    };
    run(spec)
}

/// None when a descriptor that it names is not there.
fn understand(bytes: &[u8]) -> Option<DoorSpec> {
    let letter: Letter = postcard::from_bytes(bytes).ok()?;
    /// None when one that is named is not there.
    fn some<T: From<OwnedFd>>(fd: Option<i32>) -> Option<Option<T>> {
        fd.map_or(Some(None), |fd| anew::take(fd).map(|fd| Some(T::from(fd))))
    }
    fn all<T: From<OwnedFd>>(list: &[i32]) -> Option<Vec<T>> {
        list.iter().map(|fd| anew::take(*fd).map(T::from)).collect()
    }
    Some(DoorSpec {
        munin: all(&letter.munin)?,
        http: all(&letter.http)?,
        munin_unix: some(letter.munin_unix)?,
        guest_line: some(letter.guest_line)?,
        board: anew::take(letter.board)?.into(),
        past: Past { history: some(letter.history)?, journal: some(letter.journal)?, learned: some(letter.learned)? },
        line: some(letter.line)?,
        munin_patterns: letter.munin_patterns,
        munin_allow: letter.munin_allow,
        host_name: letter.host_name,
        guests: letter.guests.into_iter().map(|(name, host)| Guest { name, host, ..Guest::default() }).collect(),
        settings: letter.settings,
        user: letter.user,
        empty_dir: letter.empty_dir,
        parent: letter.parent,
    })
}
