//! A chromium without a window, led through its debugging pipe: two named pipes with JSON in between, each message ended by a NUL.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Scratch, until};

/// Neither looks for updates nor for the network.
const QUIET: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--remote-debugging-pipe",
];

/// The browser, and one page in it.
pub struct Chromium {
    child: Child,
    to: File,
    from: File,
    read: Vec<u8>,
    number: u64,
    session: Option<String>,
    /// What it told without being asked: requests, console, faults.
    pub told: Vec<Value>,
}

impl Chromium {
    pub fn start(program: &str, scratch: &Scratch) -> Self {
        let (to, from) = (scratch.text("to-chromium"), scratch.text("from-chromium"));
        for pipe in [&to, &from] {
            nix::unistd::mkfifo(pipe.as_str(), nix::sys::stat::Mode::S_IRWXU).expect("a pipe can be made");
        }
        // A shell gives it the pipes as descriptors 3 and 4, as it wants them.
        let mut command = Command::new("sh");
        command.args([
            "-c",
            r#"program=$1 to=$2 from=$3; shift 3; exec "$program" "$@" about:blank 3<"$to" 4>"$from""#,
            "sh",
        ]);
        command.args([program, &to, &from]).args(QUIET);
        command.arg(format!("--user-data-dir={}", scratch.text("profile")));
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("there is a shell");
        let to = File::options().write(true).open(to).expect("it is ours");
        let from = File::open(from).expect("it is ours");
        let mut browser = Self { child, to, from, read: Vec::new(), number: 0, session: None, told: Vec::new() };
        let page = browser.ask("Target.createTarget", &json!({"url": "about:blank"}));
        let session = browser.ask("Target.attachToTarget", &json!({"targetId": page["targetId"], "flatten": true}));
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Network", "Runtime", "Log"] {
            browser.ask(&format!("{domain}.enable"), &json!({}));
        }
        browser
    }

    /// One command and its answer; what comes in between is kept.
    pub fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.number += 1;
        let mut message = json!({"id": self.number, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = session.clone().into();
        }
        self.to.write_all(format!("{message}\0").as_bytes()).expect("it reads");
        loop {
            let answer = self.next();
            if answer["id"] == self.number {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.told.push(answer);
        }
    }

    fn next(&mut self) -> Value {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == 0) {
                let message: Vec<u8> = self.read.drain(..=end).collect();
                return serde_json::from_slice(&message[..end]).expect("it speaks JSON");
            }
            let mut piece = [0; 64 << 10];
            let read = self.from.read(&mut piece).expect("it can be read");
            assert!(read > 0, "chromium ended");
            self.read.extend_from_slice(&piece[..read]);
        }
    }

    /// What an expression of the page comes to.
    pub fn value(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.ask("Runtime.evaluate", &params);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Looks until an expression is true.
    pub fn wait(&mut self, what: &str, expression: &str) {
        until(what, || (self.value(expression) == true).then_some(()));
    }

    /// A window of this size and scheme, and the page in it.
    pub fn show(&mut self, url: &str, (width, height): (u32, u32), scheme: &str) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.ask("Emulation.setDeviceMetricsOverride", &size);
        let scheme = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.ask("Emulation.setEmulatedMedia", &scheme);
        self.ask("Page.navigate", &json!({"url": url}));
    }

    /// For people to look at: the whole page as it is now, where `WATCHD_PICTURES` names a directory.
    pub fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("WATCHD_PICTURES") else { return };
        let params = json!({"format": "webp", "quality": 80, "captureBeyondViewport": true});
        let answer = self.ask("Page.captureScreenshot", &params);
        let data = decode(answer["data"].as_str().expect("a picture"));
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.webp")), data).expect("it can be written");
    }

    /// Everything it said about a method.
    pub fn about(&self, method: &str) -> Vec<&Value> {
        self.told.iter().filter(|told| told["method"] == method).map(|told| &told["params"]).collect()
    }
}

/// Base64.
fn decode(text: &str) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_u32, 0);
    for letter in text.bytes().filter_map(|letter| LETTERS.iter().position(|other| *other == letter)) {
        bits = bits << 6 | u32::try_from(letter).expect("it is below 64");
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).expect("it is a byte"));
        }
    }
    bytes
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.to.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
