//! A file of a Munin node's plugin-conf.d.
//!
//! ```text
//! [df*]                      # a comment
//! user nobody
//! env.exclude_re ^/run/user
//! ```
//!
//! A line that cannot be understood ends the reading of its file, as it does in munin-node; what came before it counts.

use crate::model::settings::place_of;

/// What one section says. Of a key that stands twice the later counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginSection {
    pub name: String,
    pub user: Option<String>,
    /// Groups; one in parentheses may be missing from the system.
    pub groups: Option<Vec<String>>,
    pub command: Option<Vec<String>>,
    pub timeout: Option<u64>,
    pub host_name: Option<String>,
    pub update_rate: Option<String>,
    pub variables: Vec<(String, String)>,
}

/// The line at which reading ended, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stumble {
    pub line: u32,
    pub what: String,
}

/// Adds what a file says to what other files said.
pub fn read_plugin_conf(text: &str, sections: &mut Vec<PluginSection>) -> Option<Stumble> {
    let mut current = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = uncommented(line);
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let done = match line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(name) => open(name.trim(), sections).map(|place| current = Some(place)),
            None => match current.and_then(|place: usize| sections.get_mut(place)) {
                Some(section) => section.key(line),
                None => Err("it stands before the first section".to_owned()),
            },
        };
        if let Err(what) = done {
            return Some(Stumble { line: number, what });
        }
    }
    None
}

/// Puts sections into the order in which they are laid over each other.
pub fn sort_plugin_sections(sections: &mut Vec<PluginSection>) {
    let mut sorted: Vec<PluginSection> = Vec::new();
    for section in sections.drain(..) {
        let place = place_of(&section.name, sorted.iter().map(|other| other.name.as_str()));
        sorted.insert(place, section);
    }
    *sections = sorted;
}

/// What stands before a `#`; `\#` is one that belongs to the text.
pub(super) fn uncommented(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.peek() == Some(&'#') => text.extend(letters.next()),
            '#' => break,
            _ => text.push(letter),
        }
    }
    text
}

/// The place of a section, made where it is not there yet.
fn open(name: &str, sections: &mut Vec<PluginSection>) -> Result<usize, String> {
    let bare = name.strip_suffix('*').or_else(|| name.strip_prefix('*')).unwrap_or(name);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'@' | b'.' | b':');
    if name.is_empty() || !bare.bytes().all(is_plain) {
        return Err(format!("`[{}]` is not a name of plugins", name.escape_debug()));
    }
    if let Some(place) = sections.iter().position(|section| section.name == name) {
        return Ok(place);
    }
    sections.push(PluginSection { name: name.to_owned(), ..PluginSection::default() });
    Ok(sections.len() - 1)
}

impl PluginSection {
    fn key(&mut self, line: &str) -> Result<(), String> {
        let (key, value) = line.split_once(|letter: char| letter.is_ascii_whitespace()).unwrap_or((line, ""));
        let value = value.trim_start();
        let words = || value.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
        if let Some(name) = key.strip_prefix("env.") {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err("it is not a variable".to_owned());
            }
            self.variables.retain(|(known, _)| known != name);
            self.variables.push((name.to_owned(), value.to_owned()));
            return Ok(());
        }
        if value.is_empty() || value.contains('\0') {
            return Err(format!("`{}` has no value", key.escape_debug()));
        }
        match key {
            "user" => self.user = Some(value.to_owned()),
            "group" => {
                let names = value.split(|letter: char| letter == ',' || letter.is_ascii_whitespace());
                self.groups = Some(names.filter(|name| !name.is_empty()).map(str::to_owned).collect());
            }
            "command" => self.command = Some(words()),
            "timeout" => {
                self.timeout = Some(value.parse().map_err(|_| format!("`{value}` is not a number of seconds"))?);
            }
            "host_name" => self.host_name = Some(value.to_owned()),
            "update_rate" => self.update_rate = Some(value.to_owned()),
            _ => return Err(format!("`{}` is not a key", key.escape_debug())),
        }
        Ok(())
    }

    /// Lays another section over this one.
    pub fn overlay(&mut self, over: &Self) {
        fn lay<T: Clone>(under: &mut Option<T>, over: &Option<T>) {
            if over.is_some() {
                under.clone_from(over);
            }
        }
        lay(&mut self.user, &over.user);
        lay(&mut self.groups, &over.groups);
        lay(&mut self.command, &over.command);
        lay(&mut self.timeout, &over.timeout);
        lay(&mut self.host_name, &over.host_name);
        lay(&mut self.update_rate, &over.update_rate);
        for (name, value) in &over.variables {
            self.variables.retain(|(known, _)| known != name);
            self.variables.push((name.clone(), value.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "# all\n[df*]\nenv.warning 92 # percent\nenv.exclude_re ^/run/user\n\n[ if_* ]\nuser root\n\
                          group adm, (proxy) www\n[x]\ncommand sudo -u x %c\ntimeout 7\nhost_name v.example\n\
                          env.tag a\\#b 'c'\nenv.empty\n";

    #[test]
    fn a_file_is_read_as_munin_node_reads_it() {
        let mut sections = Vec::new();
        assert_eq!(read_plugin_conf(SAMPLE, &mut sections), None);
        assert_eq!(read_plugin_conf("[df*]\nenv.warning 80\n", &mut sections), None);
        let [df, interfaces, x] = sections.as_slice() else { panic!("{sections:?}") };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(df.variables, [pair("exclude_re", "^/run/user"), pair("warning", "80")]);
        assert_eq!((interfaces.name.as_str(), interfaces.user.as_deref()), ("if_*", Some("root")));
        assert_eq!(interfaces.groups.as_deref(), Some(&["adm", "(proxy)", "www"].map(str::to_owned)[..]));
        assert_eq!(x.command.as_deref(), Some(&["sudo", "-u", "x", "%c"].map(str::to_owned)[..]));
        assert_eq!((x.timeout, x.host_name.as_deref()), (Some(7), Some("v.example")));
        assert_eq!(x.variables, [pair("tag", "a#b 'c'"), pair("empty", "")]);
    }

    #[test]
    fn a_line_that_is_not_understood_ends_the_file() {
        for (text, line, what) in [
            ("user root\n", 1, "before the first section"),
            ("[a]\nenv X=1\n", 2, "`env` is not a key"),
            ("[a]\nuser\n", 2, "`user` has no value"),
            ("[a]\ntimeout soon\n", 2, "not a number"),
            ("[a]\ntimeout -1\n", 2, "not a number"),
            ("[a b]\n", 1, "not a name of plugins"),
            ("[]\n", 1, "not a name of plugins"),
            ("[../x]\n", 1, "not a name of plugins"),
            ("[a*b]\n", 1, "not a name of plugins"),
            ("[a]\nenv.=x\n", 2, "not a variable"),
            ("[a\n", 1, "before the first section"),
            ("[a]\nenv.x 1\nnonsense\nenv.y 2\n", 3, "`nonsense` has no value"),
        ] {
            let mut sections = Vec::new();
            let stumble = read_plugin_conf(text, &mut sections).expect("it is refused");
            assert!(stumble.line == line && stumble.what.contains(what), "{text:?}: {stumble:?}");
            assert!(sections.iter().all(|section| section.variables.iter().all(|(name, _)| name != "y")), "{text:?}");
        }
    }

    #[test]
    fn a_cut_file_is_no_panic() {
        for end in 0..SAMPLE.len() {
            let _ = read_plugin_conf(&SAMPLE[..end], &mut Vec::new());
        }
    }

    #[test]
    fn the_exact_section_is_laid_over_the_others() {
        let mut sections = Vec::new();
        read_plugin_conf("[a]\nuser one\n[a*]\nuser two\nenv.x 1\n[ab*]\nuser three\n", &mut sections);
        sort_plugin_sections(&mut sections);
        assert_eq!(sections.iter().map(|section| section.name.as_str()).collect::<Vec<_>>(), ["a*", "ab*", "a"]);
        let mut all = PluginSection::default();
        sections.iter().for_each(|section| all.overlay(section));
        assert_eq!((all.user.as_deref(), all.variables.len()), (Some("one"), 1));
    }
}
