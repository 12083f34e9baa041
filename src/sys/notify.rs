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
        let period = std::env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse().ok());
        Self { socket, period: period.map(|micros: u64| Duration::from_micros(micros / 2)) }
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
