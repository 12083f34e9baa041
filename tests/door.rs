//! The door under fire, over real sockets on loopback: whatever some clients do, the next one is answered.
//!
//! The front turns in a thread of the test; what a process gives up is looked at from outside, on a forked one.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Arguments of system calls, as the kernel takes them.
#![allow(clippy::cast_sign_loss, clippy::cast_possible_truncation)]

mod recorded;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use recorded::Shown;
use watchd::door::{Answers, DoorSpec, Front, SLOTS};
use watchd::model::{Network, Now};
use watchd::store::board::fixed;
use watchd::store::history::History;
use watchd::store::journal::Journal;
use watchd::store::{EventRow, Reader, Readings};
use watchd::sys::{clock, fork, listen};
use watchd_probes::{ProbeId, Sample, Value, filesystem, load};
use zerocopy::FromZeros;

/// How long a test waits for bytes that must come; nothing is ever asserted about how long they took.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a door can be found.
struct Found {
    munin: SocketAddr,
    http: SocketAddr,
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = listen::tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("loopback has free ports");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

/// Turns a front over a recorded host while `work` talks to it.
fn with_front(name: &str, allow: Vec<Network>, work: impl FnOnce(&Found)) {
    let shown = Shown::new("vm", name);
    // A heartbeat that is still to come has no age, however slow the machine is.
    let now = clock::now();
    shown.beat(Now { mono: now.mono + Duration::from_secs(3_600), ..now });
    let ((munin, munin_address), (http, http_address)) = (listener(), listener());
    let reader = Reader::open(&shown.path).expect("the board opens");
    let answers = Answers::new(reader, "golden.example".to_owned(), allow);
    let mut front = Front::new(vec![munin], vec![http], answers).expect("the front opens");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Acquire) {
                front.turn().expect("it turns");
                assert!(front.clients() <= SLOTS);
            }
        });
        let found = Found { munin: munin_address, http: http_address };
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&found)));
        is_over.store(true, Ordering::Release);
        drop(TcpStream::connect(http_address));
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the door listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream
}

/// Everything the other side sends until it closes. A reset ends it as well.
fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sends all, says that no more will come, and reads to the end.
fn converse(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(address);
    stream.write_all(bytes).expect("it takes bytes");
    stream.shutdown(Shutdown::Write).expect("it can be half closed");
    read_all(&mut stream)
}

const SCRAPE: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

fn assert_serves(found: &Found) {
    let page = converse(found.http, SCRAPE);
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("\nwatchd_up 1\n"), "{page}");
    let length: usize = page
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: ")?.trim().parse().ok())
        .expect("the length is told");
    assert_eq!(page.split_once("\r\n\r\n").expect("a head").1.len(), length);
    let munin = converse(found.munin, b"fetch load\nquit\n");
    assert_eq!(munin, "# munin node at golden.example\nload.value 1.31\n.\n".replace("1.31", load(&munin)));
}

fn load(text: &str) -> &str {
    text.lines().find_map(|line| line.strip_prefix("load.value ")).expect("a load")
}

#[test]
fn munin_lines_are_answered_however_they_arrive() {
    with_front("lines", Network::LOOPBACK.to_vec(), |found| {
        let unknown = "# Unknown command. Try cap, list, nodes, config, fetch, version or quit\n";
        let banner = "# munin node at golden.example\n";
        let long = [vec![b'x'; 1 << 20], b"\nnodes\nquit\n".to_vec()].concat();
        let many = [b"nodes\n".repeat(5000), b"quit\n".to_vec()].concat();
        let rows: &[(&[u8], String)] = &[
            (b"quit\n", banner.to_owned()),
            (b".\r\n", banner.to_owned()),
            (b"", banner.to_owned()),
            (b"nodes", format!("{banner}golden.example\n.\n")),
            (b"nodes\r\nnodes\nquit\nnodes\n", format!("{banner}golden.example\n.\ngolden.example\n.\n")),
            (b"\n\0\n", format!("{banner}{unknown}{unknown}")),
            (&long, format!("{banner}{unknown}golden.example\n.\n")),
            (&many, format!("{banner}{}", "golden.example\n.\n".repeat(5000))),
        ];
        for (bytes, expect) in rows {
            assert_eq!(
                converse(found.munin, bytes),
                *expect,
                "{:?}",
                String::from_utf8_lossy(&bytes[..bytes.len().min(40)])
            );
        }
        let mut slow = connect(found.munin);
        for byte in b"fetch load\nquit\n" {
            slow.write_all(&[*byte]).expect("it takes a byte");
        }
        assert!(read_all(&mut slow).contains("load.value "));
    });
}

#[test]
fn strangers_are_closed_without_a_word() {
    with_front("strangers", vec!["192.0.2.0/24".parse().expect("a network")], |found| {
        let mut stream = connect(found.munin);
        assert_eq!(read_all(&mut stream), "");
        assert!(converse(found.http, SCRAPE).starts_with("HTTP/1.1 200 OK\r\n"), "HTTP has no list");
    });
}

#[test]
fn every_request_gets_its_status() {
    with_front("status", Network::LOOPBACK.to_vec(), |found| {
        let headers = |count: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(count));
        let cookie = |len: usize| format!("GET /healthz HTTP/1.1\r\nCookie: {}\r\n\r\n", "c".repeat(len));
        for (request, status) in [
            ("GET / HTTP/1.1\r\n\r\n".to_owned(), "200"),
            ("GET /metrics HTTP/1.0\r\n\r\n".to_owned(), "200"),
            ("GET /api/status?pretty HTTP/1.1\r\n\r\n".to_owned(), "200"),
            ("GET /healthz HTTP/1.1\n\n".to_owned(), "200"),
            ("\r\nHEAD / HTTP/1.1\r\n\r\n".to_owned(), "200"),
            ("GET /../../etc/passwd HTTP/1.1\r\n\r\n".to_owned(), "404"),
            ("GET /metrics/ HTTP/1.1\r\n\r\n".to_owned(), "404"),
            ("POST /api/status HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc".to_owned(), "405"),
            ("DELETE / HTTP/1.1\r\n\r\n".to_owned(), "405"),
            ("GET / HTTP/1.1\r\nbroken\r\n\r\n".to_owned(), "400"),
            ("\u{16}\u{3}\u{1}\r\n\r\n".to_owned(), "400"),
            ("GET / HTTP/3.0\r\n\r\n".to_owned(), "505"),
            ("GET / HT".to_owned(), "400"),
            (headers(64), "200"),
            (headers(65), "431"),
            (cookie(900), "200"),
            (cookie(8000), "200"),
            (cookie(8200), "431"),
            (cookie(1 << 20), "431"),
            (format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(2100)), "414"),
            (format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(9000)), "414"),
            ("GET /page.js HTTP/1.1\r\n\r\n".to_owned(), "200"),
            ("GET /page.js HTTP/1.1\r\nAccept-Encoding: br\r\n\r\n".to_owned(), "406"),
            ("GET /api/status?after=x HTTP/1.1\r\n\r\n".to_owned(), "400"),
            ("GET /api/classes HTTP/1.1\r\n\r\n".to_owned(), "200"),
            ("GET /api/why HTTP/1.1\r\n\r\n".to_owned(), "400"),
            ("GET /api/why?name=nosuch HTTP/1.1\r\n\r\n".to_owned(), "404"),
            ("GET /api/why?name=web HTTP/1.1\r\n\r\n".to_owned(), "200"),
            ("GET /api/events?last=5 HTTP/1.1\r\n\r\n".to_owned(), "200"),
            ("GET /api/events?last=0 HTTP/1.1\r\n\r\n".to_owned(), "400"),
            ("GET / HTTP/1.1\r\nContent-Length: 18446744073709551615\r\n\r\n".to_owned(), "200"),
            ("GET / HTTP/1.1\r\nTE: a;q=nan, b;q=1\r\n\r\n".to_owned(), "200"),
            (format!("HEAD /{} HTTP/1.1\r\n\r\n", "a".repeat(2100)), "414"),
            (format!("HEAD /{} HTTP/1.1\r\n\r\n", "a".repeat(9000)), "414"),
            (headers(65).replace("GET", "HEAD"), "431"),
            (cookie(8200).replace("GET", "HEAD"), "431"),
            ("HEAD /nosuch HTTP/1.1\r\n\r\n".to_owned(), "404"),
            ("HEAD /api/why HTTP/1.1\r\n\r\n".to_owned(), "400"),
            ("HEAD / HTTP/3.0\r\n\r\n".to_owned(), "505"),
            ("HEAD / HTTP/1.1\r\nbroken\r\n\r\n".to_owned(), "400"),
            ("HEAD / HT".to_owned(), "400"),
            ("HEAD /page.js HTTP/1.1\r\nAccept-Encoding: br\r\n\r\n".to_owned(), "406"),
            ("GET /%6detric%73 HTTP/1.1\r\n\r\n".to_owned(), "200"),
            ("GET /metrics%00 HTTP/1.1\r\n\r\n".to_owned(), "404"),
            ("GET /metrics%2 HTTP/1.1\r\n\r\n".to_owned(), "404"),
            ("GET /api%2Fstatus HTTP/1.1\r\n\r\n".to_owned(), "404"),
            ("GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\n\r\n".to_owned(), "404"),
            ("GET /%256detrics HTTP/1.1\r\n\r\n".to_owned(), "404"),
            ("GET /graph/..%2f..%2fetc%2fpasswd.svg HTTP/1.1\r\n\r\n".to_owned(), "503"),
            ("GET //metrics HTTP/1.1\r\n\r\n".to_owned(), "404"),
            ("GET /metrics;x=1 HTTP/1.1\r\n\r\n".to_owned(), "404"),
            ("GET * HTTP/1.1\r\n\r\n".to_owned(), "404"),
            ("GET http:///metrics HTTP/1.1\r\n\r\n".to_owned(), "200"),
            ("GET ?x HTTP/1.1\r\n\r\n".to_owned(), "200"),
            ("OPTIONS * HTTP/1.1\r\n\r\n".to_owned(), "405"),
            ("CONNECT 127.0.0.1:22 HTTP/1.1\r\n\r\n".to_owned(), "405"),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "505"),
        ] {
            let mut stream = connect(found.http);
            // The other side may have said its last word while we still talk.
            let _ = stream.write_all(request.as_bytes());
            let _ = stream.shutdown(Shutdown::Write);
            let got = read_all(&mut stream);
            let shown = &request[..request.len().min(60)];
            assert!(got.starts_with(&format!("HTTP/1.1 {status} ")), "{shown:?}: {got:?}");
            assert_eq!(got.contains("Allow: GET, HEAD\r\n"), status == "405", "{shown:?}");
            let body = got.split_once("\r\n\r\n").expect("a head").1;
            assert_eq!(body.is_empty(), request.trim_start().starts_with("HEAD "), "{shown:?}: {body:?}");
        }
        assert_eq!(converse(found.http, b""), "", "nothing asked, nothing answered");
    });
}

#[test]
fn headers_that_say_odd_things_change_no_answer() {
    with_front("odd-headers", Network::LOOPBACK.to_vec(), |found| {
        let ask = |more: &str| converse_lossy(found.http, &format!("GET /api/classes HTTP/1.0\r\n{more}\r\n"));
        let plain = ask("");
        let (_, body) = plain.split_once("\r\n\r\n").expect("a head");
        assert!(body.starts_with("{\"schema\":1"), "{plain}");
        for more in [
            "Range: bytes=0-0\r\n".to_owned(),
            "Range: bytes=99999999-\r\nIf-Range: \"x\"\r\n".to_owned(),
            "Range: bytes=9-1,-5,x\r\n".to_owned(),
            "If-None-Match: \"\r\n".to_owned(),
            "If-None-Match: W/\r\n".to_owned(),
            "If-None-Match: ,,,,\r\n".to_owned(),
            "If-None-Match:\r\n".to_owned(),
            format!("If-None-Match: {}\r\n", "\"a\",".repeat(1500)),
            "If-Modified-Since: yesterday\r\nIf-Unmodified-Since: 0\r\n".to_owned(),
            format!("Accept: {}\r\n", "application/json;q=0.1,".repeat(300)),
            "Accept: application/xml;q=1e9, ;;;q=, */*;q=-1\r\n".to_owned(),
            format!("Accept-Encoding: {}\r\n", "br,".repeat(2000)),
            "Accept-Encoding: zstd, compress;q=0.5, bananas\r\n".to_owned(),
            "Accept-Encoding: identity;q=0, gzip;q=nan\r\n".to_owned(),
            "Expect: 100-continue\r\n".to_owned(),
            "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Key: x\r\n".to_owned(),
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n".to_owned(),
            "Content-Length: -1\r\n".to_owned(),
            "Content-Length: 1, 1\r\nTransfer-Encoding: chunked\r\n".to_owned(),
            "Host: a\r\nHost: b\r\nHost:\r\n".to_owned(),
            "X-Forwarded-For: 127.0.0.1\r\nX-HTTP-Method-Override: DELETE\r\n".to_owned(),
        ] {
            let got = ask(&more);
            let shown = &more[..more.len().min(60)];
            assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "{shown:?}: {got}");
            assert_eq!(got.split_once("\r\n\r\n").map(|(_, body)| body), Some(body), "{shown:?}");
            assert_eq!(header(&got, "Content-Length"), Some(body.len().to_string().as_str()), "{shown:?}");
        }
    });
}

/// The value of a header.
fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split_once("\r\n\r\n")?.0;
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn what_a_client_has_is_not_sent_again() {
    with_front("tags", Network::LOOPBACK.to_vec(), |found| {
        for path in
            ["/", "/metrics", "/api/status", "/api/events", "/api/classes", "/page.css", "/uplot.js", "/icon.svg"]
        {
            let ask = |method: &str, more: &str| {
                let head = format!("{method} {path} HTTP/1.0\r\nAccept-Encoding: gzip\r\n{more}\r\n");
                converse_lossy(found.http, &head)
            };
            let first = ask("GET", "");
            let tag = header(&first, "ETag").unwrap_or_else(|| panic!("{path}: {first}")).to_owned();
            assert_eq!(header(&first, "Vary"), Some("Accept, Accept-Encoding"), "{path}");
            // What is short is not worth it.
            let is_short = ["/api/events", "/api/classes"].contains(&path);
            assert_eq!(header(&first, "Content-Encoding"), (!is_short).then_some("gzip"), "{path}");
            // The page and the metrics tell ages, which go on.
            if !["/", "/metrics"].contains(&path) {
                let second = ask("GET", &format!("If-None-Match: \"x\", {tag}\r\n"));
                assert!(second.starts_with("HTTP/1.1 304 ") && second.ends_with("\r\n\r\n"), "{path}: {second}");
                assert_eq!(header(&second, "ETag"), Some(tag.as_str()), "{path}");
                let head = ask("HEAD", "");
                assert_eq!(header(&head, "Content-Length"), header(&first, "Content-Length"), "{path}: {head}");
                assert!(head.ends_with("\r\n\r\n"), "{path}: {head}");
            }
        }
        let page = converse(found.http, b"GET / HTTP/1.0\r\n\r\n");
        for path in ["/page.js?", "/page.css?", "/uplot.js?", "/icon.svg?"] {
            let from = page.find(path).unwrap_or_else(|| panic!("{path} in {page}"));
            let address = page[from..].split('"').next().expect("it ends");
            let answer = converse_lossy(found.http, &format!("GET {address} HTTP/1.0\r\n\r\n"));
            assert_eq!(header(&answer, "Cache-Control"), Some("public, max-age=31536000, immutable"), "{address}");
            let other = converse_lossy(found.http, &format!("GET {path}v=0 HTTP/1.0\r\n\r\n"));
            assert_eq!(header(&other, "Cache-Control"), Some("no-cache"), "{path}");
        }
    });
}

/// The same for answers that are not text.
fn converse_lossy(address: SocketAddr, words: &str) -> String {
    let mut stream = connect(address);
    stream.write_all(words.as_bytes()).expect("it takes bytes");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it ends");
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn requests_on_one_connection_are_answered_in_order() {
    with_front("pipeline", Network::LOOPBACK.to_vec(), |found| {
        let mut requests = b"GET /healthz HTTP/1.1\r\n\r\n".repeat(200);
        requests.extend_from_slice(
            b"HEAD /metrics HTTP/1.1\r\n\r\nGET /nosuch HTTP/1.1\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        );
        let answers = converse(found.http, &requests);
        assert_eq!(answers.matches("\r\n\r\nok\n").count(), 200);
        assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 201);
        assert!(answers.contains("HTTP/1.1 404 "), "{answers}");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 202, "nothing follows a last answer");
    });
}

#[test]
fn a_crowd_of_idle_connections_does_not_shut_others_out() {
    with_front("idle", Network::LOOPBACK.to_vec(), |found| {
        let mut crowd: Vec<TcpStream> = (0..300)
            .map(|place| {
                let mut stream = connect(if place % 2 == 0 { found.munin } else { found.http });
                if place % 3 == 0 {
                    let _ = stream.write_all(b"GET / HTTP/1.1\r\nA");
                }
                stream
            })
            .collect();
        assert_serves(found);
        // The oldest had to go.
        let _ = read_all(&mut crowd[1]);
    });
}

#[test]
fn clients_that_do_not_read_or_reset_do_no_harm() {
    with_front("rude", Network::LOOPBACK.to_vec(), |found| {
        let mut deaf = Vec::new();
        for place in 0..60 {
            let stream = connect(if place % 2 == 0 { found.http } else { found.munin });
            stream.set_nonblocking(true).expect("it can be set");
            let request: &[u8] =
                if place % 2 == 0 { b"GET /metrics HTTP/1.1\r\n\r\n" } else { b"config memory\nconfig irqstats\n" };
            for _ in 0..2000 {
                if (&stream).write(request).is_err() {
                    break;
                }
            }
            deaf.push(stream);
        }
        assert_serves(found);
        for _ in 0..200 {
            let mut stream = connect(found.http);
            let _ = stream.write_all(SCRAPE);
            let linger = reset_on_close();
            nix::sys::socket::setsockopt(&stream, nix::sys::socket::sockopt::Linger, &linger).expect("it can be set");
        }
        assert_serves(found);
    });
}

#[test]
fn who_reads_a_long_page_does_not_go_for_those_who_do_not() {
    with_front("patient", Network::LOOPBACK.to_vec(), |found| {
        let size = |path: &str| converse(found.http, format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).len();
        let mut pages = ["/", "/metrics", "/api/status"].map(|path| (size(path), path));
        pages.sort_unstable();
        let [_, (_, theirs), (length, ours)] = pages;
        // Many times what the kernel takes, so that a part of the longest page has to wait; it is read when all others have come.
        let many = 2_000_000 / length;
        let mut patient = from(found.http, Ipv4Addr::new(127, 0, 0, 7));
        let request = |path: &str, last: &str| format!("GET {path} HTTP/1.1\r\n{last}\r\n");
        let requests = request(ours, "").repeat(many) + &request(ours, "Connection: close\r\n");
        patient.write_all(requests.as_bytes()).expect("they are short");
        let crowd: Vec<TcpStream> = (0..60)
            .map(|_| {
                let mut stream = from(found.http, Ipv4Addr::new(127, 0, 0, 66));
                let _ = stream.write_all(request(theirs, "").repeat(100).as_bytes());
                stream
            })
            .collect();
        assert_serves(found);
        let answers = read_all(&mut patient);
        assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), many + 1, "it was not thrown out");
        drop(crowd);
    });
}

/// A connection from one of the many addresses of loopback.
fn from(address: SocketAddr, source: Ipv4Addr) -> TcpStream {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
    use std::os::fd::AsRawFd;
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
    let source = SockaddrIn::from(std::net::SocketAddrV4::new(source, 0));
    bind(socket.as_raw_fd(), &source).expect("loopback has many addresses");
    let there = SockaddrIn::from(std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, address.port()));
    connect(socket.as_raw_fd(), &there).expect("the door listens");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    stream
}

/// Closing resets.
fn reset_on_close() -> nix::libc::linger {
    nix::libc::linger { l_onoff: 1, l_linger: 0 }
}

#[test]
fn who_drips_bytes_is_closed_while_others_are_served() {
    with_front("drip", Network::LOOPBACK.to_vec(), |found| {
        let mut slow = connect(found.http);
        slow.write_all(b"GET / HTTP/1.1\r\nA: ").expect("it takes bytes");
        assert_serves(found);
        // Ends when the front closes it.
        assert_eq!(read_all(&mut slow), "");
        assert_serves(found);
    });
}

/// A field of a status file.
fn status(pid: i32, field: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.expect("the field is there").split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

fn descriptors(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("we may look").count()
}

/// A history of ten minutes until now, opened for reading.
fn past(path: &std::path::Path) -> std::fs::File {
    let now = clock::now();
    let (mut history, _) = History::open(path, now).expect("it opens");
    let mut sample = Sample::default();
    for back in (0..60).rev() {
        let back = Duration::from_secs(10 * back);
        let now = Now { mono: now.mono, wall: now.wall - back };
        sample.begin();
        sample.sink(ProbeId::Load).host(load::ONE, 7);
        sample.finish(ProbeId::Load, Ok(()), 0);
        let mut sink = sample.sink(ProbeId::Filesystem);
        for mount in ["/", "/a \"b\""] {
            let object = sink.object(&[mount.as_bytes()]).expect("there is room");
            sink.put(object, filesystem::AVAIL, Value::Int(1 << 30));
        }
        sample.finish(ProbeId::Filesystem, Ok(()), 0);
        let recorded = history.record(Readings { view: sample.view(), rates: &[] }, now);
        assert!(recorded.error.is_none(), "{recorded:?}");
    }
    std::fs::File::open(path).expect("it is there")
}

/// A journal that reaches further back than the board, opened for reading.
fn journal(path: &std::path::Path) -> std::fs::File {
    let (mut journal, _) = Journal::open(path).expect("it opens");
    let mut row = EventRow::new_zeroed();
    row.subject = fixed("db");
    row.text = fixed("older than the board");
    journal.append(&mut row).expect("it is written");
    std::fs::File::open(path).expect("it is there")
}

fn assert_tells_the_past(found: &Found) {
    for (path, code, fragment) in [
        ("load.one.svg", 200, "<title>load.one</title>"),
        ("filesystem.avail.svg?object=/&since=2y&width=1600", 200, "1.0G</text>"),
        ("filesystem.avail.svg", 400, "several"),
        ("load.one.svg?width=9999", 400, "cannot understand"),
        ("load.one.svg?width=159", 400, "cannot understand"),
        ("load.one.svg?from=0&to=600", 200, "nothing was measured"),
        ("load.one.svg?from=600&to=0", 400, "cannot understand"),
        ("load.one.svg?to=99999999999999999999", 400, "cannot understand"),
        ("load.one.svg?to=18446744073709551615", 200, "<title>load.one</title>"),
        ("nosuch.svg", 404, "metric"),
        ("load.one.png", 404, "no such page"),
    ] {
        let answer = converse(found.http, format!("GET /graph/{path} HTTP/1.0\r\n\r\n").as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")) && answer.contains(fragment), "{path}: {answer}");
    }
    let page = converse(found.http, b"GET / HTTP/1.0\r\n\r\n");
    assert!(page.contains("<noscript><a href=\"/graph/load.one.svg?since=7d"), "{page}");
    let events = converse(found.http, b"GET /api/events?about=db HTTP/1.0\r\n\r\n");
    assert!(events.contains("\"newest\":") && events.contains("older than the board"), "{events}");
    for (question, code, fragment) in [
        ("", 200, r#"{"metric":"load.one","object":"","unit":"count","per_second":false}"#),
        ("?metric=load.one", 200, ",7,7,7]"),
        ("?metric=load.one&since=10m&points=2", 200, r#""step":600}"#),
        ("?metric=filesystem.avail&object=%2Fa+%22b%22&since=2y&points=2000", 200, r#""object":"/a \"b\"""#),
        ("?metric=filesystem.avail", 400, "several"),
        ("?metric=filesystem.avail&object=/nosuch", 404, "object"),
        ("?metric=nosuch", 404, "metric"),
        ("?points=100000", 400, "cannot understand"),
        ("?%00", 400, "cannot understand"),
    ] {
        let answer = converse(found.http, format!("GET /api/history{question} HTTP/1.0\r\n\r\n").as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")) && answer.contains(fragment), "{question}: {answer}");
        let picture = format!("GET /graph/load.one.svg{question} HTTP/1.0\r\n\r\n");
        assert!(converse(found.http, picture.as_bytes()).starts_with("HTTP/1.1 "), "{question}");
        if code == 200 {
            let body = answer.split_once("\r\n\r\n").expect("there is a head").1;
            let _: serde_json::Value = serde_json::from_str(body).expect("it is JSON");
        }
    }
}

/// A door over a recorded host.
fn spec(shown: &Shown, (munin, http): (TcpListener, TcpListener), empty: PathBuf) -> DoorSpec {
    DoorSpec {
        line: None,
        munin: vec![munin],
        munin_allow: Network::LOOPBACK.to_vec(),
        host_name: "golden.example".to_owned(),
        http: vec![http],
        munin_unix: None,
        munin_patterns: Vec::new(),
        guests: Vec::new(),
        guest_line: None,
        settings: watchd::model::Settings::default(),
        board: std::fs::File::open(&shown.path).expect("the board opens"),
        past: watchd::door::Past::default(),
        user: Some((65534, 65534)),
        empty_dir: Some(empty),
        parent: nix::unistd::getpid().as_raw(),
    }
}

#[test]
fn a_door_of_its_own_has_nothing_left_to_lose() {
    let shown = Shown::new("vm", "forked");
    shown.beat(clock::now());
    let empty = shown.path.with_file_name("empty");
    std::fs::create_dir(&empty).expect("a directory can be made");
    let is_root = nix::unistd::geteuid().is_root();
    let ((munin, munin_address), (http, http_address)) = (listener(), listener());
    let mut spec = spec(&shown, (munin, http), empty);
    spec.past.history = Some(past(&shown.path.with_file_name("history")));
    spec.past.journal = Some(journal(&shown.path.with_file_name("events")));
    let pid = fork::split(move || watchd::door::run(spec)).expect("a door starts");
    let found = Found { munin: munin_address, http: http_address };
    let result = std::panic::catch_unwind(|| {
        assert_serves(&found);
        assert_tells_the_past(&found);
        assert_eq!((status(pid, "NoNewPrivs"), status(pid, "Threads")), ("1".to_owned(), "1".to_owned()));
        if is_root {
            let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("we may look");
            assert!(maps.contains(" r--s "), "{maps}");
            assert!(!maps.contains(" rw-s "), "the board is there for reading alone: {maps}");
            assert_eq!(status(pid, "Seccomp"), "2");
            assert_eq!(status(pid, "Uid"), "65534 65534 65534 65534");
            assert_eq!(status(pid, "Gid"), "65534 65534 65534 65534");
            assert_eq!((status(pid, "Groups"), status(pid, "CapEff")), (String::new(), "0000000000000000".to_owned()));
            let before = descriptors(pid);
            assert!(before <= 3 + 2 + 1 + 2 + 4, "{before} descriptors");
            for _ in 0..300 {
                assert!(converse(found.http, b"GET /nosuch HTTP/1.0\r\n\r\n").contains(" 404 "));
            }
            assert!(descriptors(pid) <= before + 1, "descriptors leak");
            let root = std::fs::read_dir(format!("/proc/{pid}/root")).expect("we may look");
            assert_eq!(root.count(), 0, "its file system is empty");
        }
        for limit in ["Max processes             0", "Max file size             0", "Max core file size        0"] {
            let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("we may look");
            assert!(limits.contains(limit), "{limits}");
        }
    });
    fork::kill_child(pid);
    nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid), None).expect("it was our child");
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

/// How far the process of a door is shut in.
type Shut = fn(DoorSpec) -> std::io::Result<Front>;

/// How a door ends that somebody has taken over and who then does this; its answer is whether it got its way.
fn taken_over(shown: &Shown, shut: Shut, deed: impl FnOnce() -> bool) -> WaitStatus {
    let empty = shown.path.with_file_name("empty");
    std::fs::create_dir_all(&empty).expect("a directory can be made");
    let spec = spec(shown, (listener().0, listener().0), empty);
    let pid = fork::split(move || {
        let Ok(front) = shut(spec) else { fork::leave(9) };
        let got = deed();
        std::mem::forget(front);
        fork::leave(i32::from(got))
    });
    waitpid(Pid::from_raw(pid.expect("a door starts")), None).expect("it was our child")
}

/// What somebody tries, and whether he got his way.
type Deed = Box<dyn Fn() -> bool>;

/// One system call, as somebody makes it who runs code of his own in the door.
fn call(number: libc::c_long, args: [usize; 6]) -> bool {
    let [a, b, c, d, e, f] = args;
    // SAFETY: made in a process that ends right after; pointers are null or of texts that last.
    unsafe { libc::syscall(number, a, b, c, d, e, f) >= 0 }
}

#[test]
fn a_door_that_was_taken_over_can_do_nothing_to_the_host() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: only root can give the door an account of its own");
        return;
    }
    let shown = Shown::new("vm", "taken");
    let core = usize::try_from(nix::unistd::getpid().as_raw()).expect("pids are small");
    let text = |text: &'static std::ffi::CStr| text.as_ptr().addr();
    let (root, here) = (text(c"/"), libc::AT_FDCWD as usize);
    let exec = libc::PROT_EXEC as usize;
    let anonymous = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;
    let kill = libc::SIGKILL as usize;
    let ended: &[(&str, libc::c_long, [usize; 6])] = &[
        ("kill core", libc::SYS_kill, [core, kill, 0, 0, 0, 0]),
        ("kill everybody", libc::SYS_kill, [usize::MAX, kill, 0, 0, 0, 0]),
        ("kill a thread of core", libc::SYS_tgkill, [core, core, kill, 0, 0, 0]),
        ("kill any thread", libc::SYS_tkill, [core, kill, 0, 0, 0, 0]),
        ("queue a signal", libc::SYS_rt_sigqueueinfo, [core, kill, 0, 0, 0, 0]),
        ("hold core", libc::SYS_pidfd_open, [core, 0, 0, 0, 0, 0]),
        ("take a descriptor of core", libc::SYS_pidfd_getfd, [3, 3, 0, 0, 0, 0]),
        ("kill by descriptor", libc::SYS_pidfd_send_signal, [3, kill, 0, 0, 0, 0]),
        ("trace core", libc::SYS_ptrace, [libc::PTRACE_ATTACH as usize, core, 0, 0, 0, 0]),
        ("read core's memory", libc::SYS_process_vm_readv, [core, 0, 0, 0, 0, 0]),
        ("write core's memory", libc::SYS_process_vm_writev, [core, 0, 0, 0, 0, 0]),
        ("open in another way", libc::SYS_openat2, [here, root, 0, 0, 0, 0]),
        ("open by handle", libc::SYS_open_by_handle_at, [here, 0, 0, 0, 0, 0]),
        ("make a directory", libc::SYS_mkdirat, [here, text(c"x"), 0o777, 0, 0, 0]),
        ("make a device", libc::SYS_mknodat, [here, text(c"x"), 0o600, 0, 0, 0]),
        ("remove a file", libc::SYS_unlinkat, [here, text(c"x"), 0, 0, 0, 0]),
        ("rename a file", libc::SYS_renameat2, [here, text(c"x"), here, text(c"y"), 0, 0]),
        ("make a link", libc::SYS_symlinkat, [text(c"x"), here, text(c"y"), 0, 0, 0]),
        ("change rights", libc::SYS_fchmodat, [here, root, 0o777, 0, 0, 0]),
        ("change an owner", libc::SYS_fchownat, [here, root, 0, 0, 0, 0]),
        ("cut a file", libc::SYS_ftruncate, [3, 0, 0, 0, 0, 0]),
        ("list a directory", libc::SYS_getdents64, [3, 0, 0, 0, 0, 0]),
        ("leave its root", libc::SYS_chroot, [root, 0, 0, 0, 0, 0]),
        ("go elsewhere", libc::SYS_fchdir, [3, 0, 0, 0, 0, 0]),
        ("run a program", libc::SYS_execve, [text(c"/bin/sh"), 0, 0, 0, 0, 0]),
        ("run a descriptor", libc::SYS_execveat, [3, text(c""), 0, 0, libc::AT_EMPTY_PATH as usize, 0]),
        ("fork", libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0, 0, 0, 0]),
        ("fork anew", libc::SYS_clone3, [0, 0, 0, 0, 0, 0]),
        ("make a socket", libc::SYS_socket, [libc::AF_INET as usize, libc::SOCK_STREAM as usize, 0, 0, 0, 0]),
        ("connect", libc::SYS_connect, [3, 0, 0, 0, 0, 0]),
        ("listen elsewhere", libc::SYS_bind, [3, 0, 0, 0, 0, 0]),
        ("pass a descriptor on", libc::SYS_sendmsg, [3, 0, 0, 0, 0, 0]),
        ("mount", libc::SYS_mount, [0, root, 0, 0, 0, 0]),
        ("unmount", libc::SYS_umount2, [root, 0, 0, 0, 0, 0]),
        ("make a namespace", libc::SYS_unshare, [libc::CLONE_NEWUSER as usize, 0, 0, 0, 0, 0]),
        ("enter a namespace", libc::SYS_setns, [3, 0, 0, 0, 0, 0]),
        ("become root", libc::SYS_setresuid, [0, 0, 0, 0, 0, 0]),
        ("take capabilities", libc::SYS_capset, [0, 0, 0, 0, 0, 0]),
        ("change its limits", libc::SYS_prlimit64, [0, 0, 0, 0, 0, 0]),
        ("outlive core", libc::SYS_prctl, [libc::PR_SET_PDEATHSIG as usize, 0, 0, 0, 0, 0]),
        ("slow core down", libc::SYS_setpriority, [libc::PRIO_PROCESS as usize, core, 19, 0, 0, 0]),
        ("load a program into the kernel", libc::SYS_bpf, [0, 0, 0, 0, 0, 0]),
        ("load a module", libc::SYS_finit_module, [3, 0, 0, 0, 0, 0]),
        ("use keys", libc::SYS_keyctl, [0, 0, 0, 0, 0, 0]),
        ("use a ring", libc::SYS_io_uring_setup, [1, 0, 0, 0, 0, 0]),
        ("make a file in memory", libc::SYS_memfd_create, [text(c"x"), 0, 0, 0, 0, 0]),
        ("reboot", libc::SYS_reboot, [0, 0, 0, 0, 0, 0]),
        ("set the clock", libc::SYS_settimeofday, [0, 0, 0, 0, 0, 0]),
        ("type at a terminal", libc::SYS_ioctl, [0, libc::TIOCSTI as usize, root, 0, 0, 0]),
        ("make a descriptor last", libc::SYS_fcntl, [3, libc::F_SETFD as usize, 0, 0, 0, 0]),
        ("make code", libc::SYS_mmap, [0, 4096, exec, anonymous, usize::MAX, 0]),
        ("make memory code", libc::SYS_mprotect, [root & !4095, 4096, exec, 0, 0, 0]),
    ];
    for (what, number, args) in ended {
        let end = taken_over(&shown, watchd::door::confine, || call(*number, *args));
        assert!(matches!(end, WaitStatus::Signaled(_, Signal::SIGSYS, _)), "{what}: {end:?}");
    }
    let write_map = (libc::PROT_READ | libc::PROT_WRITE) as usize;
    let shared = libc::MAP_SHARED as usize;
    let any = |work: &dyn Fn(usize) -> bool| (3..40).any(work);
    let refused: [(&str, Deed); 6] = [
        ("open a file", Box::new(|| std::fs::File::open("/etc/passwd").is_ok())),
        ("open its root", Box::new(move || call(libc::SYS_openat, [here, root, 0, 0, 0, 0]))),
        ("make a file", Box::new(|| std::fs::write("/x", "x").is_ok())),
        (
            "map the board for writing",
            Box::new(move || any(&|fd| call(libc::SYS_mmap, [0, 4096, write_map, shared, fd, 0]))),
        ),
        ("write into what it reads", Box::new(move || any(&|fd| call(libc::SYS_write, [fd, root, 1, 0, 0, 0])))),
        ("take a gigabyte", Box::new(move || call(libc::SYS_mmap, [0, 1 << 30, write_map, anonymous, usize::MAX, 0]))),
    ];
    for (what, deed) in refused {
        let end = taken_over(&shown, watchd::door::confine, deed);
        assert!(matches!(end, WaitStatus::Exited(_, 0)), "{what}: {end:?}");
    }
}

#[test]
fn the_other_walls_hold_without_the_list_of_system_calls() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: only root can give the door an account of its own");
        return;
    }
    let shown = Shown::new("vm", "walls");
    let parent = nix::unistd::getpid();
    let (listener, address) = listener();
    let version = watchd::sys::landlock::version().unwrap_or(0);
    let deeds: [(&str, i64, Deed); 8] = [
        ("signal core", 0, Box::new(move || nix::sys::signal::kill(parent, None).is_ok())),
        ("trace core", 0, Box::new(move || std::fs::File::open(format!("/proc/{parent}/mem")).is_ok())),
        ("become root", 0, Box::new(|| nix::unistd::setuid(nix::unistd::Uid::from_raw(0)).is_ok())),
        ("fork", 0, Box::new(|| fork::split(|| {}).is_ok())),
        ("write a file", 0, Box::new(|| std::fs::write("/x", "x").is_ok())),
        ("mount", 0, Box::new(|| call(libc::SYS_mount, [0, c"/".as_ptr().addr(), 0, libc::MS_BIND as usize, 0, 0]))),
        // What only Landlock is in the way of.
        ("list its root", 1, Box::new(|| std::fs::read_dir("/").is_ok())),
        ("connect", 4, Box::new(move || TcpStream::connect(address).is_ok())),
    ];
    for (what, from, deed) in deeds {
        if version < from {
            eprintln!("SKIPPED: {what}: Landlock {version} does not know it");
            continue;
        }
        let end = taken_over(&shown, watchd::door::give_up, deed);
        assert!(matches!(end, WaitStatus::Exited(_, 0)), "{what}: {end:?}");
    }
    drop(listener);
}
