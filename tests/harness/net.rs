//! The simplest clients there are, on loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// A port nobody listens on at this moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("loopback has free ports");
    listener.local_addr().expect("it is bound").port()
}

/// Sends all, then reads until the other side closes.
pub fn converse(port: u16, words: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(words.as_bytes())?;
    let mut answer = Vec::new();
    let end = stream.read_to_end(&mut answer);
    if let Err(error) = end {
        return Err(std::io::Error::new(error.kind(), format!("{error} after {} bytes", answer.len())));
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Status code and body.
pub fn get(port: u16, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let answer = converse(port, &request).unwrap_or_default();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    (code, body.to_owned())
}

/// The node's answer to these lines, without its greeting.
pub fn munin(port: u16, lines: &str) -> String {
    let answer = match converse(port, &format!("{lines}\nquit\n")) {
        Ok(answer) => answer,
        Err(error) => return format!("no answer: {error}"),
    };
    answer.split_once('\n').map_or_else(String::new, |(_, rest)| rest.to_owned())
}
