//! Whether the daemon lives, judged from the head of its board and the process table.
//!
//! Dead and hung are two answers, and "cannot tell" is a third: nothing is started or killed on it.

use std::time::Duration;

use crate::model::{Identity, Now, Places};
use crate::store::board::text;
use crate::store::{BoardError, Header, read_header};
use crate::sys::daemon::{self, Seen};

/// How the daemon is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Alive,
    /// It is there, but its loop does not turn.
    Hung {
        age: Duration,
    },
    /// Its process is gone.
    Dead,
    /// No daemon has run with this run directory since it was made.
    Absent,
}

impl Life {
    /// Judges from what the board says and what the process table says about its writer. `limit` is how old a heartbeat may be.
    pub fn judge(header: &Header, boot_id: &[u8; 40], seen: Option<Seen>, now: Now, limit: Duration) -> Self {
        let Some(seen) = seen.filter(|seen| !seen.is_over() && seen.start_ticks == header.start_ticks) else {
            return Self::Dead;
        };
        if header.boot_id != *boot_id {
            return Self::Dead;
        }
        let age = heartbeat_age(header, now);
        if age > limit || seen.is_stopped() { Self::Hung { age } } else { Self::Alive }
    }
}

/// How old a heartbeat may be before `status` cannot tell any more.
pub fn patience_of_status(header: &Header) -> Duration {
    Duration::from_millis(header.cycle_ms.saturating_mul(3)) + Duration::from_secs(10)
}

/// How old a heartbeat may be before `keepalive` acts.
pub fn patience_of_keepalive(header: &Header) -> Duration {
    Duration::from_millis(header.cycle_ms.saturating_mul(3)).max(Duration::from_secs(60))
}

pub fn heartbeat_age(header: &Header, now: Now) -> Duration {
    now.mono.saturating_sub(Duration::from_millis(header.heartbeat_ms))
}

/// What is wrong with the door of a daemon that has listeners; none when nothing is.
pub fn door_trouble(header: &Header) -> Option<&'static str> {
    let pid = i32::try_from(header.door_pid).ok().filter(|_| !text(&header.listening).is_empty())?;
    match daemon::look(pid) {
        _ if pid == 0 => Some("door DOWN"),
        Some(seen) if seen.is_stopped() => Some("door STOPPED"),
        Some(seen) if !seen.is_over() => None,
        Some(_) | None => Some("door DEAD"),
    }
}

/// The process that writes the board.
pub fn writer(header: &Header) -> Option<Identity> {
    let pid = i32::try_from(header.pid).ok().filter(|pid| *pid > 0)?;
    Some(Identity { pid, start_ticks: header.start_ticks })
}

/// Looks at the board's head and its writer, with the patience of `keepalive`. The header is none when there is no board.
pub fn look(places: &Places, boot_id: &[u8; 40], now: Now) -> Result<(Life, Option<Header>), BoardError> {
    let header = match read_header(&places.board()) {
        Ok(header) => header,
        Err(BoardError::Absent) => return Ok((Life::Absent, None)),
        Err(error) => return Err(error),
    };
    let seen = writer(&header).and_then(|writer| daemon::look(writer.pid));
    Ok((Life::judge(&header, boot_id, seen, now, patience_of_keepalive(&header)), Some(header)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_hung_and_alive_are_told_apart() {
        let header = Header { pid: 7, start_ticks: 42, boot_id: [b'a'; 40], heartbeat_ms: 1_000, ..Header::default() };
        let seen = |state, start_ticks| Some(Seen { state, start_ticks });
        let at = |seconds| Now { mono: Duration::from_secs(seconds), wall: Duration::ZERO };
        let limit = Duration::from_secs(60);
        let hung = |seconds| Life::Hung { age: Duration::from_secs(seconds) };
        let cases = [
            ("fresh", seen(b'S', 42), at(2), Life::Alive),
            ("just fresh", seen(b'R', 42), at(61), Life::Alive),
            ("a heartbeat from the future is fresh", seen(b'S', 42), at(0), Life::Alive),
            ("old", seen(b'S', 42), at(62), hung(61)),
            ("stopped", seen(b'T', 42), at(2), hung(1)),
            ("gone", None, at(2), Life::Dead),
            ("not collected yet", seen(b'Z', 42), at(2), Life::Dead),
            ("its pid is somebody else's", seen(b'S', 43), at(2), Life::Dead),
        ];
        for (what, seen, now, expected) in cases {
            assert_eq!(Life::judge(&header, &[b'a'; 40], seen, now, limit), expected, "{what}");
        }
        assert_eq!(Life::judge(&header, &[b'b'; 40], seen(b'S', 42), at(2), limit), Life::Dead, "another boot");
    }
}
