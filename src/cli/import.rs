//! `watchd import munin-node [DIR]`: writes the `[munin]` table that does what a munin-node's configuration does, and says what is left.

use std::path::Path;
use std::process::ExitCode;

use super::{Given, failed, say, wrong};
use crate::config::{MuninConf, read_munin_conf};
use crate::export::munin::PLUGINS;
use crate::model::Places;

/// A munin-node.conf has a few kilobytes.
const LARGEST: u64 = 1 << 20;

pub fn run(_: &Places, given: &Given) -> ExitCode {
    let words: Vec<&str> = given.words.iter().map(String::as_str).collect();
    let dir = match words.as_slice() {
        ["munin-node"] => "/etc/munin",
        ["munin-node", dir] => dir,
        _ => return wrong("cannot import that: say `import munin-node`, and the directory when it is not /etc/munin"),
    };
    let Ok(dir) = std::fs::canonicalize(dir) else {
        return failed(&format!("cannot find {dir}"));
    };
    let path = dir.join("munin-node.conf");
    let text = match read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => return failed(&format!("cannot read {}: {error}", path.display())),
    };
    say(&told(&dir, &read_munin_conf(&text), &names(&dir.join("plugins"))));
    ExitCode::SUCCESS
}

/// What could be a configuration: neither a pipe that never ends, nor a film.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let found = std::fs::metadata(path)?;
    if !found.is_file() || found.len() > LARGEST {
        return Err(std::io::Error::other("it is no file of at most a megabyte"));
    }
    std::fs::read(path)
}

/// The links of a directory of plugins, sorted.
fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

fn told(dir: &Path, conf: &MuninConf, plugins: &[String]) -> String {
    let list = |items: &[String]| items.iter().map(|item| format!("'{item}'")).collect::<Vec<_>>().join(", ");
    let mut text = format!("# What {}/munin-node.conf says.\n[munin]\n", dir.to_string_lossy().escape_debug());
    text.push_str(&format!("listen = [{}]\n", list(&conf.listen.iter().map(ToString::to_string).collect::<Vec<_>>())));
    if let Some(name) = &conf.host_name {
        text.push_str(&format!("host-name = '{name}'\n"));
    }
    if conf.allow.is_empty() {
        text.push_str("# Nobody was on its lists, so only this host may ask.\n");
    } else if conf.has_deny {
        text.push_str("# Some of these were denied all the same. Leave them out, and take the # away; until then only this host may ask.\n");
        text.push_str(&format!("# allow = [{}]\n", list(&conf.allow)));
    } else {
        text.push_str(&format!("allow = [{}]\n", list(&conf.allow)));
    }
    for (key, folder) in [("plugins", "plugins"), ("plugin-conf", "plugin-conf.d")] {
        let path = dir.join(folder);
        // A path with a quote in it would need another way of writing.
        let text_of = path.to_str().filter(|text| !text.contains(|letter: char| letter == '\'' || letter.is_control()));
        if path.is_dir() && text_of.is_some() {
            text.push_str(&format!("{key} = '{}'\n", path.display()));
        }
    }
    let (ours, others): (Vec<&String>, Vec<&String>) = plugins.iter().partition(|name| is_ours(name));
    for (what, names) in [("watchd has itself", ours), ("are run from there", others)] {
        if !names.is_empty() {
            let names = names.iter().map(|name| name.escape_debug().to_string()).collect::<Vec<_>>().join(" ");
            text.push_str(&format!("\n# Plugins that {what}: {names}\n"));
        }
    }
    if !conf.left.is_empty() {
        text.push_str("\n# Not carried over:\n");
    }
    for (line, what, why) in &conf.left {
        text.push_str(&format!("#   line {line}: {}: {why}\n", what.escape_debug()));
    }
    text
}

/// Whether a plugin of ours goes by this name.
fn is_ours(name: &str) -> bool {
    PLUGINS.iter().any(|plugin| match name.strip_prefix(plugin.name) {
        Some(rest) => rest.is_empty() != plugin.name.ends_with('_'),
        None => false,
    })
}
