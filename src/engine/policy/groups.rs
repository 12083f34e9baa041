//! `group` of a service: the name by which `@NAME` means it, together with others. Beside `user` it is the group of that account as well.
//!
//! Which of them is meant is said by the policy alone, never by the accounts that a host happens to have.

use crate::config::{At, Document, Findings, Id, Named, Process, Scalar};
use crate::sys::accounts;

/// Sorts the groups of all services out; to be called before anything looks at what they are started with.
pub fn sort(document: &mut Document, findings: &mut Findings) {
    document.processes.iter_mut().for_each(|named| of_service(named, findings));
}

fn of_service(named: &mut Named<Process>, findings: &mut Findings) {
    let (key, section) = (format!("process.{}.group", named.id), &mut named.section);
    let Some(group) = section.surroundings.group.take() else { return };
    let (name, place) = (group.value.0.as_str(), group.place);
    let account = accounts::group(name);
    let callable = Id::parse(name);
    if section.surroundings.user.is_some() {
        if let Err(fault @ accounts::Fault::UnknownGroup(_)) = account {
            let remedy = "make the group, or write it into `tags`, if `@NAME` is all it is for";
            findings.warn(place, &key, fault.to_string(), remedy);
        }
        section.surroundings.group = Some(group.clone());
    } else if callable.is_none() {
        let what = format!("`{name}` is no name that `@` could call");
        let remedy = "write letters, digits, `_` and `-`, at most 32, or beside it the `user` whose group it is";
        findings.fault(place, &key, what, remedy);
    } else if account.is_ok() {
        let what = format!("only makes `@{name}` mean it: without `user` it keeps watchd's own account and group");
        findings.warn(place, &key, what, "write the `user` beside it, or this name into `tags`");
    }
    let Some(id) = callable else { return };
    let tags = section.tags.get_or_insert(At { value: Vec::new(), place });
    if !tags.value.contains(&id) {
        tags.value.push(id);
    }
}

#[cfg(test)]
mod tests {
    use super::super::load_text;
    use watchd_probes::inventory::Inventory;

    /// What `@` calls the service, the group it is started in, and the warnings.
    fn read(keys: &str) -> (Vec<String>, Option<String>, Vec<String>) {
        let text = format!("[process.web]\nrun = \"x\"\n{keys}");
        let (policy, warnings) = load_text("t", &text, &Inventory::default()).expect(keys);
        let spec = policy.services.into_iter().next().expect("there is one");
        let crate::model::Form::Run(launch) = spec.form else { panic!("{keys}") };
        (spec.care.tags, launch.group, warnings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_group_is_what_it_is_called_by_and_beside_a_user_the_account_s() {
        for (keys, called, started, warned) in [
            ("group = \"no-such-group\"", &["no-such-group"][..], None, ""),
            ("group = \"web\"\ntags = [\"front\", \"web\"]", &["front", "web"], None, ""),
            ("group = \"web\"\ntags = [\"front\"]", &["front", "web"], None, ""),
            ("tags = [\"front\"]", &["front"], None, ""),
            // There is a group of this name everywhere.
            ("group = \"root\"", &["root"], None, "t:3:9: process.web.group: only makes `@root` mean it"),
            ("group = \"root\"\nuser = \"root\"", &["root"], Some("root"), ""),
            (
                "group = \"a.b$\"\nuser = \"root\"",
                &[],
                Some("a.b$"),
                "t:3:9: process.web.group: cannot find group 'a.b$'",
            ),
            ("group = \"no-such\"\nuser = \"root\"", &["no-such"], Some("no-such"), "or write it into `tags`"),
        ] {
            let (tags, group, warnings) = read(keys);
            assert_eq!(
                (tags, group.as_deref()),
                (called.iter().map(|it| (*it).to_owned()).collect(), started),
                "{keys}"
            );
            let of_group: Vec<_> = warnings.iter().filter(|line| line.contains("web.group")).collect();
            assert_eq!(of_group.len(), usize::from(!warned.is_empty()), "{keys}: {warnings:?}");
            assert!(of_group.iter().all(|line| line.contains(warned)), "{keys}: {warnings:?}");
        }
    }
}
