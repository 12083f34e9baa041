//! What the Munin node needs beside its listeners: the plugins of others in a directory, and the settings of plugin-conf.d.
//!
//! Read as munin-node reads them, once: a link made later is seen after a SIGHUP. What others than root and ourselves could write to is
//! never run: a directory like that is refused, a plugin like that is left out with a warning.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::assemble::Maker;
use crate::config::{self, Absolute, Allowed, At, Place, PluginSection, read_plugin_conf, sort_plugin_sections};
use crate::model::settings::is_meant;
use crate::model::{GuestSpec, Network, PluginSetting, Regex, Settings};
use crate::sys::{accounts, trust};

/// Where munin-node lets plugins keep what they remember, and whom it runs them as.
const STATE: &str = "/var/lib/munin-node/plugin-state";
const USER: &str = "nobody";
const GROUP: &str = "munin";
const TIMEOUT: u64 = 60;

/// A node has some dozens of plugins; and none says more than this in its settings.
const MOST: usize = 256;
const LARGEST: u64 = 256 << 10;

/// What `Maker::node` finds.
#[derive(Debug, Default)]
pub struct Found {
    pub allow: Vec<Network>,
    pub patterns: Vec<String>,
    pub guests: Vec<GuestSpec>,
    pub settings: Settings,
    pub state: String,
}

impl Maker {
    /// Reads the two directories.
    pub fn node(&mut self, section: &config::Munin) -> Found {
        let mut sections = Vec::new();
        if let Some(dir) = &section.plugin_conf {
            self.plugin_conf(dir, &mut sections);
        }
        sort_plugin_sections(&mut sections);
        let guests = section.plugins.as_ref().map_or_else(Vec::new, |dir| self.guests(dir, &sections));
        let state = section.plugin_state.as_ref().map_or(STATE, |dir| dir.value.0.as_str()).to_owned();
        let (allow, patterns) = allowed(section.allow.as_ref().map(|allow| allow.value.as_slice()));
        Found { allow, patterns, settings: settings(sections), guests, state }
    }

    fn plugin_conf(&mut self, dir: &At<Absolute>, sections: &mut Vec<PluginSection>) {
        const KEY: &str = "munin.plugin-conf";
        for name in self.names_in(dir, KEY) {
            let path = format!("{}/{name}", dir.value.0);
            let text = match text_of(Path::new(&path)) {
                Ok(text) => text,
                Err(what) => {
                    self.findings.warn(dir.place, KEY, format!("{path} {what}"), "it is left out");
                    continue;
                }
            };
            if let Some(stumble) = read_plugin_conf(&text, sections) {
                let what = format!("cannot understand {path}:{}: {}", stumble.line, stumble.what);
                self.findings.warn(dir.place, KEY, what, "the rest of the file is left out, as munin-node does it");
            }
        }
        for section in sections.iter() {
            for (name, value) in &section.variables {
                let expressions = value.split_ascii_whitespace().filter(|_| name.ends_with("clude_re"));
                for (text, error) in expressions.filter_map(|text| Some((text, Regex::new(text).err()?))) {
                    let what = format!("cannot understand env.{name} of [{}]: {text}: {error}", section.name);
                    self.findings.warn(dir.place, KEY, what, "our own df and df_inode ignore it");
                }
            }
        }
    }

    /// The names in a directory that plugins and their settings may have, sorted. Others than root and we must not be able to write to it.
    fn names_in(&mut self, dir: &At<Absolute>, key: &str) -> Vec<String> {
        let path = dir.value.0.as_str();
        match trust::exposure(Path::new(path)).and_then(|exposure| Ok((exposure, fs::read_dir(path)?))) {
            Ok((None, entries)) => {
                let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
                let mut names: Vec<_> = names.filter(|name| is_plain(name)).collect();
                names.sort_unstable();
                names
            }
            Ok((Some(exposure), _)) => {
                let at = exposure.at.display();
                let what = format!("others than root and the account of watchd can write to {at}");
                self.findings.fault(dir.place, key, what, "chown it to root and chmod go-w it");
                Vec::new()
            }
            Err(error) => {
                let what = format!("cannot read {path}: {error}");
                self.findings.warn(dir.place, key, what, "make it, or take the key out");
                Vec::new()
            }
        }
    }

    fn guests(&mut self, dir: &At<Absolute>, sections: &[PluginSection]) -> Vec<GuestSpec> {
        const KEY: &str = "munin.plugins";
        let mut guests = Vec::new();
        for name in self.names_in(dir, KEY).into_iter().filter(|name| !name.ends_with(".conf")) {
            match guest(&dir.value.0, &name, sections) {
                Ok(Some(_)) if guests.len() >= MOST => {
                    let what = format!("{name} is one plugin too many");
                    self.findings.warn(dir.place, KEY, what, format!("there is room for {MOST}; it is left out"));
                    break;
                }
                Ok(guest) => guests.extend(guest),
                Err(what) => self.leave_out(dir.place, &name, &what),
            }
        }
        guests
    }

    fn leave_out(&mut self, place: Place, name: &str, what: &str) {
        self.findings.warn(place, "munin.plugins", format!("cannot run {name}: {what}"), "it is left out");
    }
}

/// Who may ask: networks and expressions, each by itself; without a list this host alone.
fn allowed(list: Option<&[Allowed]>) -> (Vec<Network>, Vec<String>) {
    let Some(list) = list else { return (Network::LOOPBACK.to_vec(), Vec::new()) };
    let networks = list.iter().filter_map(|allowed| match allowed {
        Allowed::Network(network) => Some(*network),
        Allowed::Pattern(_) => None,
    });
    let patterns = list.iter().filter_map(|allowed| match allowed {
        Allowed::Network(_) => None,
        Allowed::Pattern(pattern) => Some(pattern.clone()),
    });
    (networks.collect(), patterns.collect())
}

/// Makes one plugin of a directory entry; none when it is no plugin at all.
fn guest(dir: &str, name: &str, sections: &[PluginSection]) -> Result<Option<GuestSpec>, String> {
    let path = format!("{dir}/{name}");
    let found = fs::metadata(&path).map_err(|error| error.to_string())?;
    if !found.is_file() || found.permissions().mode() & 0o111 == 0 {
        return Ok(None);
    }
    let target = fs::canonicalize(&path).map_err(|error| error.to_string())?;
    if let Some(exposure) = trust::exposure(Path::new(&path)).map_err(|error| error.to_string())? {
        let at = exposure.at.display();
        return Err(format!("others than root and the account of watchd can change {at}"));
    }
    let mut conf = PluginSection::default();
    sections
        .iter()
        .filter(|section| is_meant(&section.name, name.as_bytes()))
        .for_each(|section| conf.overlay(section));
    if let Some(host) = conf.host_name.as_ref().filter(|host| !is_host(host)) {
        return Err(format!("`{}` is not a host name", host.escape_debug()));
    }
    let words = conf.command.unwrap_or_else(|| shell_of(&target).into_iter().chain(["%c".to_owned()]).collect());
    Ok(Some(GuestSpec {
        name: name.to_owned(),
        words,
        path,
        account: account(conf.user.as_deref(), conf.groups.as_deref())?,
        variables: conf.variables,
        timeout: Duration::from_secs(conf.timeout.unwrap_or(TIMEOUT).clamp(1, 3600)),
        host_name: conf.host_name.map(|host| host.to_ascii_lowercase()),
    }))
}

/// Whom a plugin runs as; none when we are not root and cannot choose.
fn account(user: Option<&str>, groups: Option<&[String]>) -> Result<Option<(String, u32, Vec<u32>)>, String> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(None);
    }
    let user = user.unwrap_or(USER);
    let account = accounts::user(user).map_err(|fault| fault.to_string())?;
    let mut gids = Vec::new();
    for name in groups.unwrap_or_default() {
        let bare = name.strip_prefix('(').and_then(|name| name.strip_suffix(')'));
        match accounts::group(bare.unwrap_or(name)) {
            Ok(gid) => gids.push(gid),
            Err(accounts::Fault::UnknownGroup(_)) if bare.is_some() => {}
            Err(fault) => return Err(fault.to_string()),
        }
    }
    if gids.is_empty() {
        // A host without Munin's packages has no group of that name.
        gids.push(accounts::group(GROUP).unwrap_or(account.gid));
    }
    Ok(Some((account.name, account.uid, gids)))
}

/// A file that does not say what runs it is run by the shell.
fn shell_of(path: &Path) -> Option<String> {
    let mut start = [0; 4];
    let read = fs::File::open(path).and_then(|mut file| file.read(&mut start)).unwrap_or(0);
    let start = start.get(..read).unwrap_or_default();
    (!start.starts_with(b"#!") && start != b"\x7fELF").then(|| "/bin/sh".to_owned())
}

/// What our own plugins may look at; those that are run have theirs already.
fn settings(sections: Vec<PluginSection>) -> Settings {
    let told = sections
        .into_iter()
        .filter(|section| !section.variables.is_empty() || section.host_name.is_some())
        .filter(|section| section.name.contains('*') || is_core(&section.name));
    let setting = |section: PluginSection| PluginSetting {
        section: section.name,
        variables: section.variables,
        host_name: section.host_name.filter(|host| is_host(host)).map(|host| host.to_ascii_lowercase()),
    };
    Settings::new(told.map(setting).collect())
}

/// Whether we have a plugin of this name ourselves.
fn is_core(name: &str) -> bool {
    crate::export::munin::PLUGINS.iter().any(|plugin| match name.strip_prefix(plugin.name) {
        Some(rest) => rest.is_empty() || plugin.name.ends_with('_'),
        None => false,
    })
}

/// Names munin-node takes: neither hidden nor what editors and packages leave behind.
fn is_plain(name: &str) -> bool {
    const LEFT_BEHIND: &[&str] =
        &[".bak", ".dpkg-tmp", ".dpkg-new", ".dpkg-old", ".dpkg-dist", ".rpmsave", ".rpmnew", ".pod", "DEADJOE"];
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'@' | b'.' | b':');
    !name.starts_with('.') && name.bytes().all(plain) && !LEFT_BEHIND.iter().any(|end| name.ends_with(end))
}

fn is_host(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
}

fn text_of(path: &Path) -> Result<String, String> {
    let found = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
    if !found.is_file() || found.len() > LARGEST {
        return Err("is no file of settings".to_owned());
    }
    if trust::exposure(path).map_err(|error| format!("cannot be read: {error}"))?.is_some() {
        return Err("can be written by others than root and the account of watchd".to_owned());
    }
    let bytes = fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
