//! Stories of one file: what was there, what was promised, what came of it.

use std::fs;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::Path;

use super::*;
use crate::model::Edit;
#[cfg(test)]
use crate::scratch::Scratch;

fn line(path: &Path, line: &str) -> FileWork {
    let edit = Edit { lines: vec![line.to_owned()], ..Edit::default() };
    FileWork { path: path.to_string_lossy().into_owned(), content: Content::Edit(edit), ..FileWork::default() }
}

fn tend(scratch: &Scratch, work: &FileWork, is_dry: bool) -> Tended {
    let memory = Memory::new(scratch);
    keep(&Task { id: "x", work, is_dry, memory: &memory, render: &|text| Ok(text.replace("{host}", "h")) })
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("it is there")
}

fn left_beside(scratch: &Scratch) -> Vec<String> {
    let names = fs::read_dir(&**scratch).expect("it is there").map(|entry| entry.expect("an entry").file_name());
    names.map(|name| name.to_string_lossy().into_owned()).filter(|name| name.contains("watchd-new")).collect()
}

#[test]
fn a_line_comes_once_and_the_rest_stays_as_it_was() {
    let scratch = Scratch::new();
    scratch.write("f", "a\n");
    let path = scratch.join("f");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).expect("it is ours");
    let work = line(&path, "x");
    let dry = tend(&scratch, &work, true);
    assert_eq!((dry.outcome, dry.text.as_str()), (Outcome::Would, "1 lines more, 0 less; +x"));
    assert_eq!(read(&path), "a\n");
    assert_eq!(read(&scratch.join("files/x.diff")), "@@ -1,1 +1,2 @@\n a\n+x\n");
    for (expect, said) in [(Outcome::Repaired, "1 lines more, 0 less; +x"), (Outcome::Kept, "")] {
        let tended = tend(&scratch, &work, false);
        assert_eq!((tended.outcome, tended.text.as_str()), (expect, said));
        assert_eq!(
            (read(&path).as_str(), fs::metadata(&path).expect("it is there").mode() & 0o7777),
            ("a\nx\n", 0o664)
        );
    }
    assert_eq!(left_beside(&scratch), Vec::<String>::new());
}

#[test]
fn a_missing_file_is_made_only_when_asked_for() {
    let scratch = Scratch::new();
    let path = scratch.join("new");
    let work = line(&path, "x");
    let refused = tend(&scratch, &work, false);
    assert_eq!(refused.outcome, Outcome::Failed);
    assert!(refused.text.contains("create = true") && !path.exists(), "{}", refused.text);
    let work = FileWork { create: true, bits: Some(0o600), ..work };
    assert_eq!(tend(&scratch, &work, true).outcome, Outcome::Would);
    assert!(!path.exists());
    assert_eq!(tend(&scratch, &work, false).outcome, Outcome::Repaired);
    assert_eq!((read(&path).as_str(), fs::metadata(&path).expect("it is there").mode() & 0o7777), ("x\n", 0o600));
    let empty =
        FileWork { path: scratch.join("empty").to_string_lossy().into_owned(), create: true, ..FileWork::default() };
    assert_eq!(
        [tend(&scratch, &empty, false), tend(&scratch, &empty, false)].map(|it| it.outcome),
        [Outcome::Repaired, Outcome::Kept]
    );
}

#[test]
fn lines_that_not_all_may_read_are_told_to_nobody() {
    for (dir_mode, mode, bits, shown) in [
        (0o755, 0o644, None, true),
        (0o755, 0o640, None, false),
        (0o755, 0o640, Some(0o644), false),
        (0o755, 0o644, Some(0o600), false),
        (0o700, 0o644, None, false),
    ] {
        let scratch = Scratch::new();
        scratch.write("dir/f", "old secret\n");
        let path = scratch.join("dir/f");
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
        set(&path, mode).and_then(|()| set(&scratch.join("dir"), dir_mode)).expect("they are ours");
        let content = Content::Template("new secret\n".into());
        let kept = FileWork { content, bits, ..line(&path, "") };
        let watched = FileWork { content: Content::Any, watch: true, ..line(&path, "") };
        let dry = tend(&scratch, &kept, true).text;
        tend(&scratch, &watched, false);
        let done = tend(&scratch, &kept, false).text;
        let seen = tend(&scratch, &watched, false).text;
        for text in [dry, done, seen] {
            assert!(text.contains("1 lines more, 1 less"), "{text}");
            assert_eq!(text.contains("secret"), shown, "{dir_mode:o} {mode:o} {bits:?}: {text}");
        }
    }
}

#[test]
fn what_was_secret_before_it_was_gone_stays_so() {
    let scratch = Scratch::new();
    scratch.write("f", "old secret\n");
    let path = scratch.join("f");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let work = FileWork { content: Content::Any, watch: true, ..line(&path, "") };
    tend(&scratch, &work, false);
    fs::remove_file(&path).expect("it is ours");
    tend(&scratch, &work, false);
    scratch.write("f", "fine\n");
    let back = tend(&scratch, &work, false).text;
    assert!(back.contains("it is there") && !back.contains("secret"), "{back}");
}

#[test]
fn nobody_writes_a_program_that_runs_as_another() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    for content in [Content::Any, Content::Template("mine\n".into())] {
        let scratch = Scratch::new();
        scratch.write("f", "theirs\n");
        let path = scratch.join("f");
        std::os::unix::fs::chown(&path, Some(65534), Some(65534)).expect("root may");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o6755)).expect("root may");
        let work = FileWork { content, owner: Some("root".into()), group: Some("root".into()), ..line(&path, "") };
        assert_eq!(tend(&scratch, &work, false).outcome, Outcome::Repaired);
        let facts = fs::metadata(&path).expect("it is there");
        assert_eq!((facts.uid(), facts.gid(), facts.mode() & 0o7777), (0, 0, 0o755));
        assert_eq!(tend(&scratch, &work, false).outcome, Outcome::Kept);
    }
}

#[test]
fn a_set_id_bit_is_given_where_nobody_else_has_a_hand_in_it() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let scratch = Scratch::new();
    scratch.write("dir/f", "program\n");
    let (dir, path) = (scratch.join("dir"), scratch.join("dir/f"));
    let work = FileWork { bits: Some(0o4755), content: Content::Any, owner: Some("root".into()), ..line(&path, "") };
    let set = |mode| fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).expect("it is ours");
    for mode in [0o777, 0o1777, 0o775] {
        set(mode);
        // A group that is neither root's nor the owner's own.
        std::os::unix::fs::chown(&dir, None, Some(65534)).expect("root may");
        let said = tend(&scratch, &work, false);
        assert_eq!(said.outcome, Outcome::Failed, "{mode:o}");
        assert!(said.text.contains("others could put their own program there"), "{}", said.text);
    }
    set(0o755);
    std::os::unix::fs::chown(&path, Some(65534), None).expect("root may");
    for _ in 0..2 {
        let said = tend(&scratch, &work, false);
        assert!(said.text.contains("another account wrote it"), "it is not taken over in two steps: {}", said.text);
    }
    assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o7777, 0o644);
    std::os::unix::fs::chown(&path, Some(0), None).expect("root may");
    assert_eq!(tend(&scratch, &work, false).outcome, Outcome::Repaired);
    assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o7777, 0o4755);
    assert_eq!(tend(&scratch, &work, false).outcome, Outcome::Kept);
}

#[test]
fn rights_are_set_and_seen() {
    let scratch = Scratch::new();
    scratch.write("f", "a\n");
    let path = scratch.join("f");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("it is ours");
    let work = FileWork { bits: Some(0o644), content: Content::Any, ..line(&path, "") };
    let said = tend(&scratch, &work, true);
    assert_eq!((said.outcome, said.text.as_str()), (Outcome::Would, "rights 0666 to 0644"));
    assert_eq!(
        [tend(&scratch, &work, false), tend(&scratch, &work, false)].map(|it| it.outcome),
        [Outcome::Repaired, Outcome::Kept]
    );
    let work = FileWork { owner: Some("no-such-user".into()), ..work };
    assert_eq!(tend(&scratch, &work, false).outcome, Outcome::Failed);
}

#[test]
fn nothing_but_a_plain_file_is_touched() {
    let scratch = Scratch::new();
    scratch.write("real/f", "a\n");
    fs::hard_link(scratch.join("real/f"), scratch.join("second")).expect("a name can be given");
    scratch.write("alone", "a\n");
    symlink(scratch.join("alone"), scratch.join("link")).expect("a link can be made");
    symlink(scratch.join("real"), scratch.join("way")).expect("a link can be made");
    scratch.write("nul", "a\0\n");
    let large = fs::File::create(scratch.join("large")).expect("it can be made");
    large.set_len(5 << 20).expect("it can grow");
    let fifo = scratch.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).expect("it can be made");
    for (name, why) in [
        ("real/f", "more than one name"),
        ("link", "a symbolic link"),
        ("way/f", "a symbolic link"),
        ("real", "a directory"),
        ("fifo", "no regular file"),
        ("nul", "a NUL"),
        ("large", "larger than 4 MiB"),
        ("none/f", "cannot open the directory"),
        ("..", "names no file"),
    ] {
        for is_dry in [true, false] {
            let tended = tend(&scratch, &line(&scratch.join(name), "x"), is_dry);
            assert_eq!(tended.outcome, Outcome::Failed, "{name}");
            assert!(tended.text.contains(why), "{name}: {}", tended.text);
        }
    }
    assert_eq!((read(&scratch.join("alone")), read(&scratch.join("second"))), ("a\n".to_owned(), "a\n".to_owned()));
}

#[test]
fn a_file_that_is_being_written_is_left_alone() {
    let scratch = Scratch::new();
    scratch.write("f", "a\n");
    let path = scratch.join("f");
    let writer = fs::File::options().append(true).open(&path).expect("it opens");
    let tended = tend(&scratch, &line(&path, "x"), false);
    if tended.outcome != Outcome::Repaired {
        assert!(tended.text.contains("open for writing"), "{}", tended.text);
        assert_eq!(read(&path), "a\n");
        drop(writer);
        assert_eq!(tend(&scratch, &line(&path, "x"), false).outcome, Outcome::Repaired);
    }
    assert_eq!(read(&path), "a\nx\n");
}

#[test]
fn what_a_killed_one_left_is_tidied_and_what_is_in_use_is_not() {
    let scratch = Scratch::new();
    scratch.write("f", "x\n");
    scratch.write(".f.watchd-new", "half of");
    let path = scratch.join("f");
    let held = fs::File::open(scratch.join(".f.watchd-new")).expect("it opens");
    held.lock().expect("it can be locked");
    assert_eq!(tend(&scratch, &line(&path, "x"), false).outcome, Outcome::Failed, "another one is at work");
    drop(held);
    assert_eq!(tend(&scratch, &line(&path, "x"), false).outcome, Outcome::Kept);
    assert_eq!(left_beside(&scratch), Vec::<String>::new());
}

#[test]
fn a_template_is_the_whole_text() {
    let scratch = Scratch::new();
    scratch.write("f", "old\n");
    scratch.write("t.tmpl", "from {host}\n");
    let path = scratch.join("f");
    let template = FileWork { content: Content::Template("on {host}\n".into()), backup: true, ..line(&path, "") };
    assert_eq!(
        [tend(&scratch, &template, false), tend(&scratch, &template, false)].map(|it| it.outcome),
        [Outcome::Repaired, Outcome::Kept]
    );
    assert_eq!((read(&path), read(&scratch.join("f.watchd-backup"))), ("on h\n".to_owned(), "old\n".to_owned()));
    let source = scratch.join("t.tmpl").to_string_lossy().into_owned();
    let from_file = FileWork { content: Content::TemplateFile(source), ..template };
    assert_eq!(tend(&scratch, &from_file, false).outcome, Outcome::Repaired);
    assert_eq!(read(&path), "from h\n");
}

#[test]
fn a_change_is_told_once_and_survives_a_restart() {
    let scratch = Scratch::new();
    let path = scratch.join("f");
    let work = FileWork { watch: true, content: Content::Any, ..line(&path, "") };
    let is_changed = |tended: &Tended| tended.marks.has(Mark::Changed);
    let step = |expect: Option<&str>| {
        let tended = tend(&scratch, &work, false);
        assert_eq!(is_changed(&tended), expect.is_some(), "{}", tended.text);
        assert!(tended.text.contains(expect.unwrap_or("")), "{}", tended.text);
        assert!(!is_changed(&tend(&scratch, &work, false)), "told once");
    };
    scratch.write("f", "a\nb\n");
    step(None);
    scratch.write("f", "a\nc\n");
    step(Some("the text changed, 1 lines more, 1 less; -b; +c"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
    step(Some("rights 0600, were 0644"));
    fs::remove_file(&path).expect("it is ours");
    step(Some("it is gone"));
    scratch.write("f", "a\n");
    step(Some("it is there"));
    scratch.write("f", &"x\n".repeat(40 << 10));
    step(Some("larger than 64 KiB"));
    // The same bytes written again are no change.
    scratch.write("f", &"x\n".repeat(40 << 10));
    step(None);
    let mixed = FileWork { watch: true, ..line(&path, "y") };
    assert!(!is_changed(&tend(&scratch, &mixed, false)));
    assert!(!is_changed(&tend(&scratch, &mixed, false)), "what we did ourselves is no news");
}

#[test]
fn an_account_that_may_not_is_denied() {
    let scratch = Scratch::new();
    scratch.write("f", "a\n");
    let path = scratch.join("f");
    fs::File::options().read(true).mode(0o644).open(&path).expect("it opens");
    let work = FileWork { path: "/proc/self/mem".into(), ..line(&path, "x") };
    assert!(matches!(tend(&scratch, &work, false).outcome, Outcome::Failed | Outcome::Denied));
}

/// An access list: the owner may read and write, this account and the group and others have these rights, within a mask.
fn list((uid, user): (u32, u16), group: u16, mask: u16, other: u16) -> Vec<u8> {
    let none = u32::MAX;
    let entries = [(1_u16, 6, none), (2, user, uid), (4, group, none), (16, mask, none), (32, other, none)];
    let entry = |(tag, rights, id): (u16, u16, u32)| {
        [tag.to_le_bytes().as_slice(), &rights.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    [2_u32.to_le_bytes().to_vec(), entries.into_iter().flat_map(entry).collect()].concat()
}

fn give(path: &Path, name: &str, value: &[u8]) -> bool {
    rustix::fs::setxattr(path, name, value, rustix::fs::XattrFlags::empty()).is_ok()
}

fn attribute(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 256];
    let length = rustix::fs::getxattr(path, name, value.as_mut_slice()).ok()?;
    value.truncate(length);
    Some(value)
}

#[test]
fn access_lists_and_attributes_outlive_an_edit_and_guard_the_backup() {
    const ACCESS: &str = "system.posix_acl_access";
    let scratch = Scratch::new();
    scratch.write("f", "a\n");
    let (path, backup) = (scratch.join("f"), scratch.join("f.watchd-backup"));
    // The bits of the group show the mask: without its list the group could read what it may not.
    let guarded = list((65_533, 4), 0, 4, 0);
    if !give(&path, ACCESS, &guarded) || !give(&path, "user.note", b"kept") {
        return;
    }
    let mode = fs::metadata(&path).expect("it is there").mode() & 0o7777;
    assert_eq!(mode, 0o640);
    for added in ["x", "y"] {
        let work = FileWork { backup: true, ..line(&path, added) };
        assert_eq!(tend(&scratch, &work, false).outcome, Outcome::Repaired);
        for file in [&path, &backup] {
            assert_eq!(attribute(file, ACCESS).as_ref(), Some(&guarded), "{} after {added}", file.display());
            assert_eq!(attribute(file, "user.note").as_deref(), Some(&b"kept"[..]), "{}", file.display());
            assert_eq!(fs::metadata(file).expect("it is there").mode() & 0o7777, mode);
        }
    }
    assert_eq!((read(&path).as_str(), read(&backup).as_str()), ("a\nx\ny\n", "a\nx\n"));
}

#[test]
fn nobody_gains_rights_by_the_directory_in_which_an_edit_is_made() {
    let scratch = Scratch::new();
    scratch.write("f", "a\n");
    let path = scratch.join("f");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o660)).expect("it is ours");
    if !give(&scratch, "system.posix_acl_default", &list((65_533, 6), 0, 6, 0)) {
        return;
    }
    let work = FileWork { backup: true, ..line(&path, "x") };
    assert_eq!(tend(&scratch, &work, false).outcome, Outcome::Repaired);
    for file in [&path, &scratch.join("f.watchd-backup")] {
        assert_eq!(attribute(file, "system.posix_acl_access"), None, "{} has a list it never had", file.display());
        assert_eq!(fs::metadata(file).expect("it is there").mode() & 0o7777, 0o660);
    }
}
