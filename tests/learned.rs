//! What is learned of a host: from the daemon's first minute to `why`, and a week of minutes that asks for no memory.

#![allow(clippy::expect_used, clippy::panic)]

#[path = "../probes/tests/counting/mod.rs"]
mod counting;
mod harness;

use counting::ASKED;
use harness::Home;
use serde_json::Value;
use watchd::learn::Settings;
use watchd::learn::book::{Book, GROUP, Minute, key};
use watchd::model::USUAL;

#[test]
fn a_host_is_learned_without_being_asked_for() {
    let home = Home::new("learned", "[watchd]\ncycle = \"1s\"\n");
    let mut daemon = home.start();
    daemon.wait_for("a look", |snapshot| (snapshot.learned.len() == USUAL.len()).then_some(()));
    let (_, status) = home.ask(&["status", "--json"]);
    let status: Value = serde_json::from_str(&status).expect("it is JSON");
    let learned = status.get("learned").and_then(Value::as_array).expect("a list");
    assert_eq!(learned.len(), USUAL.len());
    assert!(learned.iter().all(|row| row.get("ready") == Some(&Value::Bool(false))), "{learned:?}");
    let why = |name: &str| {
        let (code, page) = home.ask(&["why", name]);
        (code, page.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let (code, page) = why("load.five");
    assert!(code == 0 && page.contains("still being learned"), "{page}");
    let (code, page) = why("load_five_high_anomaly");
    assert!(code == 0 && page.contains("class load_five_high_anomaly is not true"), "{page}");
    let file = std::fs::metadata(home.scratch.path("state/learned")).expect("there is a book");
    assert!(file.len() <= 8192 * (USUAL.len() as u64 + 8) + 4096, "{} bytes", file.len());

    home.configure("[watchd]\ncycle = \"1s\"\nlearn = false\n");
    daemon.wait_for("nothing learned", |snapshot| snapshot.learned.is_empty().then_some(()));
    home.configure(
        "[watchd]\ncycle = \"1s\"\n[learn]\nquantities = [\"load.one\"]\n[class.x]\nwhen = \"load_one_flat\"\n",
    );
    daemon.wait_for("one quantity", |snapshot| (snapshot.learned.len() == 1).then_some(()));
}

#[test]
fn a_week_of_minutes_asks_for_no_memory() {
    let dir = std::env::temp_dir().join(format!("watchd-learned-memory-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a temporary directory can be made");
    let (mut book, _) = Book::open(&dir.join("learned")).expect("it opens");
    let keys: Vec<u64> = (0..GROUP).map(|number| key(&number.to_string())).collect();
    book.adopt(&keys).expect("there is room");
    let settings = Settings::default();
    let size = std::fs::metadata(dir.join("learned")).expect("it is there").len();
    let asked = ASKED.get();
    for minute in 0..7 * 1440_u32 {
        let at = i64::from(minute) * 60;
        let when = Minute { at: 1_768_780_800 + at, week_s: minute * 60, settings: &settings };
        let sample = |column: usize| Some((column != 3).then(|| f64::from(minute * 7919 % 101)));
        book.observe(0, when, &sample, &mut |_, _| {}).expect("it can be written");
    }
    assert_eq!(ASKED.get(), asked);
    assert_eq!(std::fs::metadata(dir.join("learned")).expect("it is there").len(), size, "nothing grows");
    std::fs::remove_dir_all(&dir).expect("it was ours");
}
