//! Whether the documents under `/api/` are what `contrib/api/schema.json` says, asked of a real daemon.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use harness::{Home, net, past, until};
use serde_json::Value;
use watchd::model::{Outcome, ServiceState, Severity};

fn schema() -> Value {
    serde_json::from_str(include_str!("../contrib/api/schema.json")).expect("the schema is JSON")
}

/// What is wrong with a value, by those words of JSON Schema that ours uses.
fn faults(root: &Value, rule: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    if let Some(reference) = rule["$ref"].as_str() {
        let name = reference.strip_prefix("#/$defs/").expect("all rules are in one place");
        return faults(root, &root["$defs"][name], value, place, found);
    }
    if let Some(kinds) = rule.get("type") {
        let kinds = kinds.as_array().cloned().unwrap_or_else(|| vec![kinds.clone()]);
        if !kinds.iter().any(|kind| is_a(value, kind.as_str().unwrap_or_default())) {
            found.push(format!("{place}: {value} is none of {kinds:?}"));
        }
    }
    if let Some(words) = rule["enum"].as_array()
        && !words.contains(value)
    {
        found.push(format!("{place}: {value} is not one of {words:?}"));
    }
    if let Some(rules) = rule["oneOf"].as_array() {
        let fits = |rule: &Value| {
            let mut faulty = Vec::new();
            faults(root, rule, value, place, &mut faulty);
            faulty.is_empty()
        };
        if rules.iter().filter(|rule| fits(rule)).count() != 1 {
            found.push(format!("{place}: {value} is not exactly one of the choices"));
        }
    }
    for name in rule["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            found.push(format!("{place}: {name} is missing"));
        }
    }
    for (name, inner) in rule["properties"].as_object().into_iter().flatten() {
        if let Some(value) = value.get(name) {
            faults(root, inner, value, &format!("{place}/{name}"), found);
        }
    }
    let items = value.as_array().into_iter().flatten().enumerate();
    for (number, item) in items.filter(|_| rule.get("items").is_some()) {
        faults(root, &rule["items"], item, &format!("{place}/{number}"), found);
    }
    let least = rule["minItems"].as_u64().unwrap_or(0);
    if value.as_array().is_some_and(|items| (items.len() as u64) < least) {
        found.push(format!("{place}: fewer than {least}"));
    }
}

fn is_a(value: &Value, kind: &str) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        _ => false,
    }
}

#[test]
fn documents_are_what_the_schema_says() {
    let http = net::free_port();
    let home = Home::new(
        "api",
        &format!(
            "[watchd]\ncycle = \"1s\"\n[http]\nlisten = [\"127.0.0.1:{http}\"]\n[disk.root]\npath = \"/\"\n\
             [process.runs]\nrun = [\"@/stamp\", \"@/runs\"]\n[process.broken]\nrun = [\"/bin/false\"]\n"
        ),
    );
    home.scratch.program("stamp.c", "stamp");
    let mut daemon = home.start();
    daemon.wait_state("runs", ServiceState::Ready);
    daemon.wait_for("three cycles", |snapshot| (snapshot.header.cycles > 3).then_some(()));
    until("an answer", || (net::get(http, "/healthz").0 == 200).then_some(()));
    let schema = schema();
    for (path, address, needed) in [
        ("/api/status", "/api/status", "/processes/0/id"),
        ("/api/status", "/api/status?after=1", "/disks/0/mountpoint"),
        ("/api/events", "/api/events?since=1h&last=300", "/events/0/number"),
        ("/api/classes", "/api/classes", "/classes/0/on"),
        ("/api/why", "/api/why?name=runs", "/service/pid"),
        ("/api/why", "/api/why?name=root", "/promises/0/outcome"),
        ("/api/why", "/api/why?name=runs_ready", "/class/on"),
        ("/api/history", "/api/history", "/series/0/metric"),
        ("/api/history", "/api/history?metric=load.one&since=1h", "/points/0/3"),
    ] {
        let (code, body) = net::get(http, address);
        assert_eq!(code, 200, "{address}: {body}");
        let document: Value = serde_json::from_str(&body).expect("it is JSON");
        let mut found = Vec::new();
        faults(&schema, &schema["$defs"][path], &document, address, &mut found);
        assert!(found.is_empty(), "{}\n{body}", found.join("\n"));
        assert!(document.pointer(needed).is_some(), "{address} has {needed}: {body}");
    }
    let known = net::get(http, "/api/events?last=300").1;
    let newest = serde_json::from_str::<Value>(&known).expect("it is JSON")["newest"].as_u64().expect("a number");
    let status: Value = serde_json::from_str(&net::get(http, &format!("/api/status?after={newest}")).1).expect("JSON");
    let told = status["events"].as_array().expect("a list").iter().filter_map(|event| event["number"].as_u64());
    assert!(told.into_iter().all(|number| number > newest), "only what is new is told");
}

#[test]
fn a_history_that_comes_late_is_told_all_the_same() {
    let http = net::free_port();
    let home = Home::new("late", &format!("[watchd]\ncycle = \"1s\"\n[http]\nlisten = [\"127.0.0.1:{http}\"]\n"));
    // Nothing can be opened for writing where a directory stands.
    let obstacle = home.scratch.path("state/history");
    std::fs::create_dir_all(&obstacle).expect("a directory can be made");
    let _daemon = home.start();
    until("no history", || (net::get(http, "/api/history").0 == 503).then_some(()));
    std::fs::remove_dir(&obstacle).expect("it is empty");
    until("a history", || (net::get(http, "/api/history?metric=load.one").0 == 200).then_some(()));
}

#[test]
fn what_is_usual_stands_beside_what_was() {
    let http = net::free_port();
    let home = Home::new("usual", &format!("[watchd]\ncycle = \"1s\"\n[http]\nlisten = [\"127.0.0.1:{http}\"]\n"));
    past::write(&home.scratch.path("state"), 21);
    let _daemon = home.start();
    until("a history", || (net::get(http, "/api/history?metric=load.five").0 == 200).then_some(()));
    let schema = schema();
    for (question, step) in [("since=6h", 900), ("since=7d&points=100", 7200), ("since=2y&points=40", 2_419_200)] {
        let (_, body) = net::get(http, &format!("/api/history?metric=load.five&{question}"));
        let document: Value = serde_json::from_str(&body).expect("it is JSON");
        let mut found = Vec::new();
        faults(&schema, &schema["$defs"]["/api/history"], &document, question, &mut found);
        assert!(found.is_empty(), "{}\n{body}", found.join("\n"));
        assert_eq!(document["usual"]["step"], step, "{question}");
        let usual = document["usual"]["points"].as_array().expect("points");
        assert!(!usual.is_empty() && usual.len() <= 500, "{}", usual.len());
        let numbers = |point: &Value| -> Vec<f64> {
            point.as_array().expect("a point").iter().map(|number| number.as_f64().expect("a number")).collect()
        };
        for point in usual.iter().map(numbers) {
            assert!(point[1] <= point[2] && point[2] <= point[3] && point[3] < 5.0, "{point:?}");
        }
        // Nine of ten points were usual, for nothing else was ever played.
        let points = document["points"].as_array().expect("points");
        let is_usual = |point: &&Value| {
            let point = numbers(point);
            let there = usual.iter().map(numbers).rfind(|usual| usual[0] <= point[0]);
            there.is_none_or(|usual| usual[1] <= point[2] && point[2] <= usual[3])
        };
        let within = points.iter().filter(is_usual).count();
        assert!(within * 10 >= points.len() * 9, "{question}: {within} of {}", points.len());
    }
    assert!(!net::get(http, "/api/history?metric=load.fifteen&since=6h").1.contains("usual"), "it is not learned");
    let (code, picture) = net::get(http, "/graph/load.five.svg?since=7d");
    assert!(code == 200 && picture.contains("class=\"u\"") && picture.contains("; usual then "), "{picture}");
    let (code, csv) = home.ask(&["history", "load.five", "--since", "7d", "--csv"]);
    let mut lines = csv.lines();
    assert_eq!((code, lines.next()), (0, Some("ts,mean,min,max,expected,low,high")));
    assert!(lines.all(|line| line.split(',').filter(|field| !field.is_empty()).count() == 7), "{csv}");
    assert!(home.ask(&["history", "load.five", "--json"]).1.contains("\"usual\":"));
}

#[test]
fn every_word_we_use_stands_in_the_schema() {
    let schema = schema();
    let words = |name: &str| -> Vec<String> {
        let words = schema["$defs"][name]["enum"].as_array().expect("a list of words");
        words.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    for state in ServiceState::ALL {
        assert!(words("state").contains(&state.word().to_owned()), "{state}");
    }
    for outcome in Outcome::ALL {
        assert!(words("outcome").contains(&outcome.word().to_owned()), "{outcome}");
    }
    for severity in Severity::ALL {
        assert!(words("severity").contains(&severity.word().to_owned()), "{severity}");
    }
}

#[test]
fn the_checker_finds_what_is_wrong() {
    let schema = schema();
    for (path, document, fault) in [
        ("/api/classes", r#"{"classes":[]}"#, "schema is missing"),
        ("/api/classes", r#"{"schema":2,"classes":[]}"#, "2 is not one of"),
        ("/api/classes", r#"{"schema":1,"classes":[{"name":7,"kind":null,"since":null}]}"#, "name: 7 is none of"),
        ("/api/history", r#"{"schema":1}"#, "exactly one"),
    ] {
        let mut found = Vec::new();
        let document = serde_json::from_str(document).expect("it is JSON");
        faults(&schema, &schema["$defs"][path], &document, "", &mut found);
        assert!(found.iter().any(|line| line.contains(fault)), "{path} {document}: {found:?}");
    }
}
