//! What a question costs its asker, over loopback: one Munin plugin on a connection that stays, and whole pages on new ones.
//!
//!     cargo bench --bench fetch

#![allow(clippy::expect_used, clippy::panic)]

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use criterion::{Criterion, criterion_group, criterion_main};
use harness::{Home, net};

/// One connection to the node.
struct Node(BufReader<TcpStream>);

impl Node {
    fn open(port: u16) -> Self {
        let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).expect("the node listens");
        let mut node = Self(BufReader::new(stream));
        let mut greeting = String::new();
        node.0.read_line(&mut greeting).expect("the node greets");
        node
    }

    /// Asks one thing and reads to the dot.
    fn ask(&mut self, line: &str) -> usize {
        self.0.get_mut().write_all(line.as_bytes()).expect("the node listens");
        let mut answer = String::new();
        while !answer.ends_with("\n.\n") {
            let read = self.0.read_line(&mut answer).expect("the node answers");
            assert!(read > 0, "the node went away after {answer}");
        }
        answer.len()
    }
}

fn fetch(bench: &mut Criterion) {
    let (munin, http) = (net::free_port(), net::free_port());
    let home = Home::new(
        "fetch",
        &format!("[munin]\nlisten = [\"127.0.0.1:{munin}\"]\n[http]\nlisten = [\"127.0.0.1:{http}\"]\n"),
    );
    let _daemon = home.start();
    harness::until("an answer", || (net::get(http, "/healthz").0 == 200).then_some(()));

    let mut group = bench.benchmark_group("fetch");
    let mut node = Node::open(munin);
    for line in ["fetch load\n", "fetch cpu\n", "config cpu\n"] {
        group.bench_function(format!("munin {}", line.trim_end()), |bencher| bencher.iter(|| node.ask(line)));
    }
    for page in ["/metrics", "/api/status", "/"] {
        group.bench_function(format!("http {page}"), |bencher| bencher.iter(|| net::get(http, page).1.len()));
    }
    group.finish();
}

criterion_group!(benches, fetch);
criterion_main!(benches);
