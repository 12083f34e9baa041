//! What led to the state of one service, promise or class, as JSON, schema 1: `/api/why?name=NAME`. The same facts that `watchd why` tells in sentences.
//!
//! ```text
//! {"schema":1,"name":"web","service":{"id":"web","state":"ready",…},"promises":[{"id":"web","type":"process",…}],"class":null,
//!  "classes":["web_ready"],"events":[…]}
//! ```

use serde::Serialize;

use super::events::{Past, Query};
use super::json::{self, Class, Process, Promise, Rows};
use super::origin::Origin;
use super::{Page, history};
use crate::model::Now;
use crate::store::board::text;
use crate::store::{ClassRow, Snapshot};

/// How many events are told.
const EVENTS: usize = 20;

#[derive(Serialize)]
struct Why<'a, P: Serialize, C: Serialize> {
    schema: u32,
    name: &'a str,
    service: Option<Process<'a>>,
    promises: P,
    class: Option<Known<'a>>,
    classes: C,
}

/// A class, true or not.
#[derive(Serialize)]
struct Known<'a> {
    #[serde(flatten)]
    class: Class<'a>,
    on: bool,
    from: Origin<'a>,
}

impl<'a> Known<'a> {
    fn new(row: &'a ClassRow, snapshot: &'a Snapshot) -> Self {
        Self { class: Class::new(row), on: row.is_on(), from: Origin::new(row, snapshot) }
    }
}

/// The name that is asked about; none when it is not said, or not said well.
pub fn name(query: &[u8]) -> Option<String> {
    let mut parts = history::parts(query);
    match (parts.next()?, parts.next()) {
        ((b"name", Some(name)), None) => String::from_utf8(name).ok(),
        _ => None,
    }
}

/// Tells what is known of a name; false when nothing is called that.
pub fn write(past: Past<'_>, name: &str, now: Now, page: &mut Page) -> bool {
    let snapshot = past.snapshot;
    let service = snapshot.service(name);
    let class = snapshot.classes.iter().find(|row| text(&row.name) == name);
    let promises = || snapshot.promises.iter().filter(|row| text(&row.id) == name);
    if service.is_none() && class.is_none() && promises().next().is_none() {
        return false;
    }
    let is_own = |row: &&ClassRow| class.is_none() && row.is_on() && belongs(text(&row.name), name);
    let document = Why {
        schema: 1,
        name,
        service: service.map(|row| Process::new(row, snapshot.readings())),
        promises: Rows(|| promises().map(Promise::new)),
        class: class.map(|row| Known::new(row, snapshot)),
        classes: Rows(|| snapshot.classes.iter().filter(is_own).map(|row| text(&row.name))),
    };
    let _ = serde_json::to_writer(&mut *page, &document);
    // The events are read while they are written: the document is opened again for them.
    page.truncate(page.len().saturating_sub(1));
    page.text(",\"events\":[");
    past.list(&Query { last: EVENTS, about: Some(name.to_owned()), ..Query::default() }, now, page);
    page.text("]}\n");
    true
}

/// Whether a class is made by a service or promise: `web_ready` by web, `disk_root_full` by root.
fn belongs(class: &str, name: &str) -> bool {
    let prefix: String = name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect();
    let rest = class.strip_prefix(&prefix).or_else(|| class.strip_prefix("disk_")?.strip_prefix(&prefix));
    rest.is_some_and(|rest| rest.starts_with('_'))
}

/// All classes, true or not: `/api/classes`.
pub fn classes(past: Past<'_>, page: &mut Page) {
    #[derive(Serialize)]
    struct Classes<C: Serialize> {
        schema: u32,
        classes: C,
    }
    let snapshot = past.snapshot;
    json::write(
        &Classes { schema: 1, classes: Rows(|| snapshot.classes.iter().map(|row| Known::new(row, snapshot))) },
        page,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_name_is_asked_about() {
        for (query, expect) in [
            ("name=web", Some("web")),
            ("name=a%20b", Some("a b")),
            ("name=", Some("")),
            ("", None),
            ("name=%f", None),
            ("name=%ff", None),
            ("nom=web", None),
            ("name=web&name=db", None),
        ] {
            assert_eq!(name(query.as_bytes()).as_deref(), expect, "{query}");
        }
    }

    #[test]
    fn classes_belong_to_what_makes_them() {
        for (class, name, expect) in [
            ("web_ready", "web", true),
            ("web_app_ready", "web-app", true),
            ("disk_root_full", "root", true),
            ("webber_ready", "web", false),
            ("web", "web", false),
        ] {
            assert_eq!(belongs(class, name), expect, "{class} {name}");
        }
    }
}
