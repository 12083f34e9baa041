//! What a single value may look like: times, shares, limits, addresses, paths, words.
//!
//! A [`Scalar`] is written as a TOML string. Its name and form are all that a message about it needs.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Limit, Network, OnExit, OnPressure, Regex, StopStep};

/// A value written as one string.
pub trait Scalar: Sized {
    /// With its article: `a time`.
    const NAME: &'static str;
    /// How to write it, for `write …`.
    const FORM: &'static str;
    /// Whether messages about it count columns within the text.
    const COUNTED: bool = false;

    /// None when the text is anything else.
    fn parse(text: &str) -> Option<Self>;
}

impl Scalar for String {
    const NAME: &'static str = "a text";
    const FORM: &'static str = "it in quotes, with something in it";

    fn parse(text: &str) -> Option<Self> {
        (!text.trim().is_empty()).then(|| text.to_owned())
    }
}

/// A text with names in braces; they are checked where they are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub String);

impl Scalar for Text {
    const NAME: &'static str = String::NAME;
    const FORM: &'static str = String::FORM;
    const COUNTED: bool = true;

    fn parse(text: &str) -> Option<Self> {
        String::parse(text).map(Self)
    }
}

impl Scalar for Duration {
    const NAME: &'static str = "a time";
    const FORM: &'static str = "a number and ms, s, m, h or d: \"500ms\", \"30s\", \"5m\", \"2h\", \"7d\"";

    fn parse(text: &str) -> Option<Self> {
        let end = text.find(|letter: char| !letter.is_ascii_digit())?;
        let (number, unit) = text.split_at(end);
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(millis).map(Self::from_millis)
    }
}

/// A part of a whole, in percent.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Share(pub f32);

impl Scalar for Share {
    const NAME: &'static str = "a share";
    const FORM: &'static str = "a number above 0 and up to 100 with %: \"90%\"";

    fn parse(text: &str) -> Option<Self> {
        let number = text.strip_suffix('%')?;
        if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return None;
        }
        number.parse::<f32>().ok().filter(|share| *share > 0.0 && *share <= 100.0).map(Self)
    }
}

impl Scalar for Limit {
    const NAME: &'static str = "a limit";
    const FORM: &'static str = "how many in which time: \"3/10m\"";

    fn parse(text: &str) -> Option<Self> {
        let (count, window) = text.split_once('/')?;
        let plain = count.bytes().all(|byte| byte.is_ascii_digit());
        let count = count.parse().ok().filter(|count| plain && (1..=1000).contains(count))?;
        let window = Duration::parse(window).filter(|window| (1_000..=2_592_000_000).contains(&window.as_millis()))?;
        Some(Self { count, window })
    }
}

impl Scalar for SocketAddr {
    const NAME: &'static str = "an address with a port";
    const FORM: &'static str = "it in numbers: \"127.0.0.1:4949\" or \"[::1]:4949\"";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// Who may ask: a network, or an expression for whole addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    Network(Network),
    Pattern(String),
}

impl Scalar for Allowed {
    const NAME: &'static str = "a network";
    const FORM: &'static str =
        "it in numbers, nothing set behind its length: \"10.0.0.0/8\", \"::1\"; or like '^192\\.0\\.2\\.'";

    fn parse(text: &str) -> Option<Self> {
        if text.starts_with('^') {
            return Regex::whole(text).ok().map(|_| Self::Pattern(text.to_owned()));
        }
        text.parse().ok().map(Self::Network)
    }
}

/// A page at a numeric address; nothing has to be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub address: SocketAddr,
    /// Path and query, beginning with /.
    pub path: String,
}

impl Scalar for Url {
    const NAME: &'static str = "a page at a numeric address";
    const FORM: &'static str = "it like \"http://127.0.0.1:8080/health\" or \"http://[::1]/\"; for https take `exec`";

    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("http://")?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let plain = path.len() <= 256 && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let address =
            host.parse().ok().or_else(|| bare.parse().ok().map(|ip: std::net::IpAddr| SocketAddr::new(ip, 80)))?;
        let path = if path.is_empty() { "/".to_owned() } else { path.to_owned() };
        plain.then_some(Self { address, path })
    }
}

/// The lowest and the highest status that pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statuses(pub u16, pub u16);

impl Statuses {
    pub const NAME: &'static str = "a status of HTTP";
    pub const FORM: &'static str = "one from 100 to 599, or a range: 200 or \"200-299\"";

    pub fn parse(text: &str) -> Option<Self> {
        let (least, most) = text.split_once('-').unwrap_or((text, text));
        let status = |text: &str| text.parse().ok().filter(|status| text.len() == 3 && (100..=599).contains(status));
        let (least, most) = (status(least)?, status(most)?);
        (least <= most).then_some(Self(least, most))
    }
}

/// A header of an answer, and the value it must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderLine(pub String, pub String);

impl Scalar for HeaderLine {
    const NAME: &'static str = "a header";
    const FORM: &'static str = "its name and value, at most 100 letters: \"X-State: good\"";

    fn parse(text: &str) -> Option<Self> {
        let (name, value) = text.split_once(':')?;
        let is_name =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        let value = value.trim();
        let is_value = !value.is_empty() && !value.bytes().any(|byte| byte.is_ascii_control());
        (is_name && is_value && text.len() <= 100).then(|| Self(name.to_owned(), value.to_owned()))
    }
}

/// The id of another table, or a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Id(pub String);

impl Scalar for Id {
    const NAME: &'static str = "an id";
    const FORM: &'static str = "letters, digits, `_` and `-`, at most 32";

    fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        ((1..=32).contains(&text.len()) && text.bytes().all(plain)).then(|| Self(text.to_owned()))
    }
}

/// A path from the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absolute(pub String);

impl Scalar for Absolute {
    const NAME: &'static str = "an absolute path";
    const FORM: &'static str = "the whole path, beginning with /";

    fn parse(text: &str) -> Option<Self> {
        text.starts_with('/').then(|| Self(text.to_owned()))
    }
}

/// The name or number of an account or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account(pub String);

impl AsRef<str> for Account {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Scalar for Account {
    const NAME: &'static str = "an account or group name";
    const FORM: &'static str = "letters, digits, `_`, `.` and `-`, at most 32, or a number";

    fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-$".contains(&byte);
        let whole = !text.is_empty() && text.len() <= 32 && !text.starts_with('-') && text.bytes().all(plain);
        whole.then(|| Self(text.to_owned()))
    }
}

/// A class expression; its syntax is checked where the names are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression(pub String);

impl Scalar for Expression {
    const NAME: &'static str = "a class expression";
    const FORM: &'static str = "names joined by & | ! and parentheses: \"disk_root_full & !night\"";
    const COUNTED: bool = true;

    fn parse(text: &str) -> Option<Self> {
        Some(Self(text.to_owned()))
    }
}

impl Scalar for StopStep {
    const NAME: &'static str = "a signal or a time";
    const FORM: &'static str = "term, int, quit, hup, usr1, usr2, abrt, kill, or a time such as \"10s\" of at most 10m";

    fn parse(text: &str) -> Option<Self> {
        let signal = match text {
            "term" => libc::SIGTERM,
            "int" => libc::SIGINT,
            "quit" => libc::SIGQUIT,
            "hup" => libc::SIGHUP,
            "usr1" => libc::SIGUSR1,
            "usr2" => libc::SIGUSR2,
            "abrt" => libc::SIGABRT,
            "kill" => libc::SIGKILL,
            _ => {
                let wait = Duration::parse(text)?;
                return (wait <= Duration::from_secs(600)).then_some(Self::Wait(wait));
            }
        };
        Some(Self::Signal(signal))
    }
}

/// A scalar that is one of a few words.
macro_rules! choice {
    ($type:ty, $name:literal, $form:literal, { $($word:literal => $value:expr,)* }) => {
        impl Scalar for $type {
            const NAME: &'static str = $name;
            const FORM: &'static str = $form;

            fn parse(text: &str) -> Option<Self> {
                match text {
                    $($word => Some($value),)*
                    _ => None,
                }
            }
        }
    };
}

/// What a promise may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// Judge and act.
    Fix,
    /// Judge and say what would be done.
    Warn,
    /// Do nothing at all.
    Off,
}
choice!(Mode, "a mode", "\"fix\", \"warn\" or \"off\"", { "fix" => Mode::Fix, "warn" => Mode::Warn, "off" => Mode::Off, });

/// What is done with the memory of the program's own text between cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Memory {
    /// Given back after each cycle.
    Trim,
    /// Kept, for the shortest answer.
    Keep,
}
choice!(Memory, "a way with memory", "\"trim\" or \"keep\" (\"lock\" is not in this version)", {
    "trim" => Memory::Trim, "keep" => Memory::Keep,
});

/// Which of root's powers the daemon keeps for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capabilities {
    /// Those that the policy needs.
    Auto,
    All,
}
choice!(Capabilities, "a choice of capabilities", "\"auto\" or \"all\"", {
    "auto" => Capabilities::Auto, "all" => Capabilities::All,
});

choice!(OnExit, "a way to end", "\"leave\" or \"stop\"", { "leave" => OnExit::Leave, "stop" => OnExit::Stop, });

/// The name of a class that people set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch(pub String);

impl Scalar for Switch {
    const NAME: &'static str = "a name of a class";
    const FORM: &'static str = "letters, digits and `_`, at most 54: \"maintenance\"";

    fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let is_name = (1..=54).contains(&text.len()) && text.bytes().all(plain) && !matches!(text, "true" | "false");
        is_name.then(|| Self(text.to_owned()))
    }
}

choice!(OnPressure, "an answer to a stall for memory", "\"leave\" or \"restart\"", {
    "leave" => OnPressure::Leave, "restart" => OnPressure::Restart,
});

/// Where a report goes besides its own program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    Log,
    Syslog,
    /// To this address.
    Mail(String),
    /// Through the program of this table.
    Webhook(String),
}

impl Scalar for Sink {
    const NAME: &'static str = "a receiver";
    const FORM: &'static str = "\"log\", \"syslog\", \"mail:ADDRESS\" or \"webhook:NAME\"; for anything else give a program in `run`, \
                                it gets the text on its standard input";

    fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None if text == "log" => Some(Self::Log),
            None if text == "syslog" => Some(Self::Syslog),
            Some(("mail", to)) => is_address(to).then(|| Self::Mail(to.to_owned())),
            Some(("webhook", name)) if !name.is_empty() => Some(Self::Webhook(name.to_owned())),
            _ => None,
        }
    }
}

/// A plain address or the name of an account: nothing that could end a header or begin another receiver.
fn is_address(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@._+-=%/".contains(&byte);
    text.len() <= 80
        && text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && text.bytes().all(is_plain)
        && text.bytes().filter(|byte| *byte == b'@').count() <= 1
        && !text.ends_with('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_whole_number_and_a_unit() {
        let ms = |count| Some(Duration::from_millis(count));
        for (text, expect) in [
            ("500ms", ms(500)),
            ("30s", ms(30_000)),
            ("5m", ms(300_000)),
            ("2h", ms(7_200_000)),
            ("7d", ms(604_800_000)),
            ("0s", ms(0)),
            ("10", None),
            ("s", None),
            ("", None),
            ("1.5h", None),
            ("-1s", None),
            ("+1s", None),
            ("1 s", None),
            (" 1s", None),
            ("1S", None),
            ("99999999999999999999d", None),
            ("18446744073709551615d", None),
        ] {
            assert_eq!(Duration::parse(text), expect, "{text:?}");
        }
    }

    #[test]
    fn shares_are_above_nothing_and_up_to_all() {
        for (text, expect) in [
            ("90%", Some(90.0)),
            ("0.5%", Some(0.5)),
            ("100%", Some(100.0)),
            ("0%", None),
            ("101%", None),
            ("90", None),
            ("%", None),
            ("-5%", None),
            ("inf%", None),
            ("1e1%", None),
            (".%", None),
        ] {
            assert_eq!(Share::parse(text), expect.map(Share), "{text:?}");
        }
    }

    #[test]
    fn limits_say_how_many_in_which_time() {
        let limit = |count, secs| Some(Limit { count, window: Duration::from_secs(secs) });
        for (text, expect) in [
            ("3/10m", limit(3, 600)),
            ("1/6h", limit(1, 21_600)),
            ("0/1m", None),
            ("1001/1m", None),
            ("+3/1m", None),
            ("3/", None),
            ("/1m", None),
            ("3", None),
            ("3/0s", None),
            ("3/31d", None),
            ("3/10m/2", None),
        ] {
            assert_eq!(Limit::parse(text), expect, "{text:?}");
        }
    }

    #[test]
    fn accounts_and_signals_are_plain_words() {
        for (text, good) in
            [("www-data", true), ("0", true), ("-x", false), ("a b", false), ("", false), ("a:b", false)]
        {
            assert_eq!(Account::parse(text).is_some(), good, "{text:?}");
        }
        for (text, good) in
            [("term", true), ("10s", true), ("TERM", false), ("sigterm", false), ("stop", false), ("11m", false)]
        {
            assert_eq!(StopStep::parse(text).is_some(), good, "{text:?}");
        }
    }
}
