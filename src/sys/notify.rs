//! Tells the service manager that started us how we are: datagrams to the socket it names in `NOTIFY_SOCKET`.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The way to the service manager; silent when there is none.
pub struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// Half of what the manager waits for a sign of life, when it waits at all.
    period: Option<Duration>,
}

impl Notifier {
    /// Reads the environment. To be called before anything of ours is started; children get a clean environment of their own.
    pub fn from_environment() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET").and_then(|name| {
            let bytes = name.as_encoded_bytes();
            let address = match bytes.strip_prefix(b"@") {
                Some(name) => SocketAddr::from_abstract_name(name),
                None => SocketAddr::from_pathname(&name),
            };
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_nonblocking(true).ok()?;
            Some((socket, address.ok()?))
        });
        let period = socket.as_ref().and_then(|_| period(&std::env::var("WATCHDOG_USEC").ok()?));
        Self { socket, period }
    }

    /// Says one thing: `READY=1`, `WATCHDOG=1`, `STOPPING=1`, `RELOADING=1`.
    pub fn say(&self, message: &str) {
        if let Some((socket, address)) = &self.socket {
            let _ = socket.send_to_addr(message.as_bytes(), address);
        }
    }

    /// How often a sign of life is due.
    pub fn period(&self) -> Option<Duration> {
        self.period
    }
}

/// Half of what the manager waits; none when that is no time, or so short that we would do nothing but say we live.
fn period(micros: &str) -> Option<Duration> {
    let half = Duration::from_micros(micros.parse::<u64>().ok()? / 2);
    (half >= Duration::from_millis(10)).then_some(half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_cannot_be_meant_asks_for_no_sign_of_life() {
        for (micros, expect) in
            [("30000000", Some(15_000)), ("20000", Some(10)), ("0", None), ("1", None), ("-5", None), ("", None)]
        {
            assert_eq!(period(micros), expect.map(Duration::from_millis), "{micros:?}");
        }
    }
}
