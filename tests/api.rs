//! Whether the documents under `/api/` are what `contrib/api/schema.json` says, asked of a real daemon.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

use std::io::{Read, Write};

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
fn numbers_that_the_policy_measures_have_a_history_by_their_own_names() {
    let http = net::free_port();
    let home = Home::new(
        "measured",
        &format!(
            "[watchd]\ncycle = \"1s\"\n[http]\nlisten = [\"127.0.0.1:{http}\"]\n[measure.mailq]\nrun = \"echo 7\"\nevery = \"1s\"\n\
             [measure.other]\nrun = \"echo 8\"\nevery = \"1s\"\n"
        ),
    );
    let _daemon = home.start();
    let ask = |address: &str| net::get(http, address);
    let (_, body) = until("a value", || {
        Some(ask("/api/history?metric=mailq")).filter(|(code, body)| *code == 200 && body.contains(",7,7,7]"))
    });
    let document: Value = serde_json::from_str(&body).expect("it is JSON");
    assert_eq!((&document["metric"], &document["object"]), (&"measure.value".into(), &"mailq".into()), "{body}");
    assert!(ask("/api/history?metric=measure.value&object=other").1.contains(",8,8,8]"));
    assert_eq!(ask("/api/history?metric=measure.value").0, 400, "which of the two?");
    assert_eq!(ask("/api/history?metric=mailq&object=other").0, 404);
    let said = String::from_utf8_lossy(&home.watchd(&["history", "mailqq"]).stderr).into_owned();
    assert!(said.contains("the nearest is `mailq`"), "{said}");
    let (code, picture) = ask("/graph/mailq.svg");
    assert!(code == 200 && picture.contains("<desc>newest 7.00, least 7.00, most 7.00</desc>"), "{picture}");
    let (code, csv) = home.ask(&["history", "mailq", "--csv"]);
    assert!(code == 0 && csv.lines().nth(1).is_some_and(|line| line.ends_with(",7,7,7")), "{csv}");
    let (code, said) = home.ask(&["check", &home.scratch.text("watchd.toml")]);
    let series = |text: &str| -> usize {
        let (_, rest) = text.split_once("history: ").expect("it is told");
        rest.split(' ').next().and_then(|count| count.parse().ok()).expect("a number")
    };
    let plain = home.scratch.write("plain.toml", "[watchd]\n");
    let (_, without) = home.ask(&["check", &plain.to_string_lossy()]);
    assert_eq!((code, series(&said)), (0, series(&without) + 2), "{said}{without}");
}

/// Head and body as they came.
fn raw(http: u16, words: &str) -> (String, Vec<u8>) {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", http)).expect("it listens");
    stream.write_all(words.as_bytes()).expect("it takes bytes");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it ends");
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n").expect("an answer has a head") + 4;
    let body = answer.split_off(end);
    (String::from_utf8(answer).expect("heads are text"), body)
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn every_document_is_told_whole_packed_by_its_head_and_not_twice() {
    let http = net::free_port();
    let home = Home::new(
        "forms",
        &format!(
            "[watchd]\ncycle = \"1s\"\n[http]\nlisten = [\"127.0.0.1:{http}\"]\n[process.runs]\nrun = [\"/bin/sleep\", \"1000\"]\n"
        ),
    );
    past::write(&home.scratch.path("state"), 15);
    let mut daemon = home.start();
    daemon.wait_state("runs", ServiceState::Ready);
    until("a history", || (net::get(http, "/api/history?metric=load.five").0 == 200).then_some(()));
    let end = watchd::sys::clock::now().wall.as_secs() - 3600;
    let stretch = format!("from={}&to={end}", end - 86_400);
    for (address, kind) in [
        ("/api/status".to_owned(), "application/json"),
        ("/api/history".to_owned(), "application/json"),
        (format!("/api/history?metric=load.five&{stretch}"), "application/json"),
        ("/api/events?last=300".to_owned(), "application/json"),
        ("/api/classes".to_owned(), "application/json"),
        ("/api/why?name=runs".to_owned(), "application/json"),
        (format!("/graph/load.five.svg?{stretch}"), "image/svg+xml"),
    ] {
        let ask = |method: &str, more: &str| raw(http, &format!("{method} {address} HTTP/1.0\r\n{more}\r\n"));
        let (head, body) = ask("GET", "");
        assert!(head.starts_with("HTTP/1.1 200 "), "{address}: {head}");
        assert_eq!(header(&head, "Content-Type"), Some(kind), "{address}");
        assert_eq!(header(&head, "Content-Length"), Some(body.len().to_string().as_str()), "{address}");
        assert_eq!(header(&head, "Cache-Control"), Some("no-cache"), "{address}");
        if kind == "application/json" {
            let document: Value = serde_json::from_slice(&body).expect("it is JSON");
            assert_eq!(document["schema"], 1, "{address}");
        }
        // A cycle may go by between two questions; what then has changed is another answer.
        until(&format!("{address} by its head, packed, and known again"), || {
            let (head, body) = ask("GET", "");
            let tag = header(&head, "ETag").expect("a tag").to_owned();
            let (only, nothing) = ask("HEAD", "");
            let (packed_head, packed) = ask("GET", "Accept-Encoding: gzip\r\n");
            let (known, none) = ask("GET", &format!("If-None-Match: {tag}\r\n"));
            assert!(nothing.is_empty() && only.starts_with("HTTP/1.1 200 "), "{address}: {only}");
            if header(&only, "ETag") != Some(&tag)
                || header(&packed_head, "ETag") != Some(&tag)
                || !known.starts_with("HTTP/1.1 304 ")
            {
                return None;
            }
            assert_eq!(header(&only, "Content-Length"), header(&head, "Content-Length"), "{address}");
            assert!(none.is_empty() && header(&known, "ETag") == Some(&tag), "{address}: {known}");
            if header(&packed_head, "Content-Encoding") == Some("gzip") {
                assert!(packed.len() < body.len(), "{address}");
                let inside =
                    miniz_oxide::inflate::decompress_to_vec(&packed[10..packed.len() - 8]).expect("it is deflate");
                assert_eq!(inside, body, "{address}");
            } else {
                assert!(packed == body && body.len() < 2048, "{address}: {} bytes were not packed", body.len());
            }
            Some(())
        });
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
            let (head, body) = ask(method, "");
            assert!(
                head.starts_with("HTTP/1.1 405 ") && header(&head, "Allow") == Some("GET, HEAD"),
                "{method} {address}: {head}"
            );
            assert!(body.starts_with(b"only GET and HEAD"), "{method} {address}");
        }
    }
}

#[test]
fn a_wrong_question_gets_its_status_and_a_line_that_says_why() {
    let http = net::free_port();
    let home = Home::new("wrong", &format!("[watchd]\ncycle = \"1s\"\n[http]\nlisten = [\"127.0.0.1:{http}\"]\n"));
    past::write(&home.scratch.path("state"), 1);
    let _daemon = home.start();
    until("a history", || (net::get(http, "/api/history?metric=load.five").0 == 200).then_some(()));
    let long = format!("/api/why?name={}", "n".repeat(2100));
    for (address, status, why) in [
        ("/api", 404, "there is no such page"),
        ("/api/", 404, "there is no such page"),
        ("/api/strange", 404, "there is no such page"),
        ("/api/status?after=strange", 400, "ask ?after=NUMBER"),
        ("/api/status?after=-1", 400, "ask ?after=NUMBER"),
        ("/api/history?metric=strange", 404, "it has no history"),
        ("/api/history?metric=load.five&object=strange", 404, "it has no history of this metric"),
        ("/api/history?metric=load.five&points=1", 400, "cannot understand the question"),
        ("/api/history?metric=load.five&points=2001", 400, "cannot understand the question"),
        ("/api/history?metric=load.five&since=strange", 400, "cannot understand the question"),
        ("/api/history?metric=load.five&from=9&to=3", 400, "cannot understand the question"),
        ("/api/history?metric=%zz", 400, "cannot understand the question"),
        ("/api/history?strange=1", 400, "cannot understand the question"),
        ("/api/events?last=0", 400, "cannot understand"),
        ("/api/events?last=301", 400, "cannot understand"),
        ("/api/events?since=strange", 400, "cannot understand"),
        ("/api/why", 400, "ask ?name=NAME"),
        ("/api/why?name=", 404, "is called that"),
        ("/api/why?name=%zz", 400, "ask ?name=NAME"),
        ("/api/why?name=strange", 404, "is called that"),
        ("/graph/strange.svg", 404, "it has no history"),
        ("/graph/load.five.svg?width=159", 400, "cannot understand the question"),
        ("/graph/load.five.png", 404, "there is no such page"),
        ("/page.js", 406, "packed"),
        (&long, 414, "too long"),
    ] {
        let more = if status == 406 { "Accept-Encoding: identity\r\n" } else { "" };
        let (head, body) = raw(http, &format!("GET {address} HTTP/1.0\r\n{more}\r\n"));
        let body = String::from_utf8_lossy(&body).into_owned();
        let shown = &address[..address.len().min(60)];
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{shown}: {head}");
        assert!(body.contains(why) && body.ends_with('\n') && body.lines().count() == 1, "{shown}: {body:?}");
        assert_eq!(header(&head, "Content-Type"), Some("text/plain; charset=utf-8"), "{shown}");
        assert_eq!((header(&head, "Cache-Control"), header(&head, "ETag")), (Some("no-store"), None), "{shown}");
        assert!(!body.contains("strange"), "nothing a client sent goes into an answer: {body}");
    }
    let (head, _) = raw(http, &format!("GET /api/status HTTP/1.0\r\nCookie: {}\r\n\r\n", "c".repeat(9000)));
    assert!(head.starts_with("HTTP/1.1 431 "), "{head}");
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
