//! `[report.ID]`, `[webhook.NAME]` and `sendmail` into what the agent tells and how it gets there.

use std::path::Path;
use std::time::Duration;

use super::Digest;
use super::assemble::Maker;
use super::existence;
use super::promises::LONGEST;
use super::services::launch;
use crate::agent::{Names, Promise, ReportWork, Work};
use crate::config::{At, Document, Named, OneOrMore, Report, Sink, nearest};
use crate::model::{CHANNEL_NAME, Channel, Command, Launch, Way};

/// Where the program for mail is on the systems there are.
const SENDMAIL: [&str; 3] = ["/usr/sbin/sendmail", "/usr/lib/sendmail", "/usr/bin/sendmail"];
/// Receivers of one report.
const RECEIVERS: usize = 8;

impl Maker {
    pub fn report(&mut self, named: &Named<Report>, names: &Names<'_>, document: &Document) -> Promise {
        let section = &named.section;
        let key = format!("report.{}", named.id);
        self.required(section.text.is_some(), (named.place, &key), "text");
        let text = section.text.as_ref().map(|text| self.template(text, &format!("{key}.text"), names));
        self.surroundings(&section.surroundings, &key);
        self.programs(&key, &section.surroundings, &[("run", &section.run)]);
        if section.run.is_none() {
            self.idle(&section.surroundings, &key);
        }
        if section.common.guard.is_none() {
            self.findings.warn(named.place, &key, "has no condition", "say with `if` when it is to be told");
        }
        let changes = section.changes.as_ref().is_some_and(|changes| changes.value);
        if let (true, Some(quiet)) = (changes, &section.quiet) {
            let what = "is of no use with `changes`";
            self.findings.fault(quiet.place, &format!("{key}.quiet"), what, "take one of them out");
        }
        let is_plain = !changes && section.common.every.is_none();
        let often = if is_plain { Duration::from_secs(3_600) } else { Duration::ZERO };
        let range = (Duration::ZERO, LONGEST);
        if let (Some(remind), false) = (&section.remind, changes) {
            let remedy = "write changes = true, or `quiet` instead";
            self.findings.fault(remind.place, &format!("{key}.remind"), "is of no use without `changes`", remedy);
        }
        let listed = |to: &At<OneOrMore<At<Sink>>>| to.value.0.iter().any(|sink| sink.value == Sink::Log);
        let work = ReportWork {
            text: text.unwrap_or_default(),
            log: section.to.as_ref().map_or(section.run.is_none(), listed),
            channels: self.channels(section, &key, document),
            timeout: self.timeout(&section.common, &key, Duration::from_secs(30)),
            changes,
            quiet: self.time(section.quiet.as_ref(), &format!("{key}.quiet"), range).unwrap_or(often),
            is_lightly_quiet: is_plain && section.quiet.is_none(),
            remind: self
                .time(section.remind.as_ref(), &format!("{key}.remind"), (Duration::from_secs(1), LONGEST))
                .unwrap_or_default(),
            differs: section.differs.as_ref().is_some_and(|differs| differs.value),
            digest: self.digests(section, &key, document),
        };
        self.promise((&named.id, &key), &section.common, Work::Report(work))
    }

    /// Whether it goes into a digest, of which there has to be one.
    fn digests(&mut self, section: &Report, key: &str, document: &Document) -> bool {
        let Some(digest) = &section.digest else { return false };
        let has_one = document.watchd.as_ref().is_some_and(|(_, watchd)| watchd.digest.is_some());
        if digest.value && !has_one && !self.findings.mentions("watchd.digest") {
            let remedy = "write digest = { to = \"mail:root\", at = \"Hr07 & Min00_05\" } below [watchd]";
            self.findings.fault(digest.place, &format!("{key}.digest"), "there is no digest", remedy);
        }
        digest.value
    }

    /// `digest` of `[watchd]`.
    pub fn digest(&mut self, document: &Document) -> Option<Digest> {
        let digest = document.watchd.as_ref()?.1.digest.as_ref()?;
        let key = "watchd.digest";
        self.required(digest.value.to.is_some(), (digest.place, key), "to");
        self.required(digest.value.at.is_some(), (digest.place, key), "at");
        let (to, at) = (digest.value.to.as_ref()?, digest.value.at.as_ref()?);
        if to.value == Sink::Log {
            let what = "the log has all of it at once";
            self.findings.fault(to.place, "watchd.digest.to", what, "write \"mail:ADDRESS\" or \"webhook:NAME\"");
        }
        let at = self.expression(at, "watchd.digest.at");
        Some(Digest { channel: self.channel(to, "watchd.digest.to", document)?, at: at? })
    }

    /// Everything but the journal.
    fn channels(&mut self, section: &Report, key: &str, document: &Document) -> Vec<Channel> {
        let mut channels = Vec::new();
        let sinks = section.to.as_ref().map_or(&[][..], |to| to.value.0.as_slice());
        if let Some(sink) = sinks.get(RECEIVERS) {
            let what = format!("{} receivers are too many", sinks.len());
            self.findings.fault(sink.place, &format!("{key}.to"), what, format!("write at most {RECEIVERS}"));
        }
        for (number, sink) in sinks.iter().enumerate() {
            let key = format!("{key}.to[{}]", number + 1);
            if sinks.iter().take(number).any(|earlier| earlier.value == sink.value) {
                self.findings.fault(sink.place, &key, "is there twice", "take one of them out");
            }
            channels.extend(self.channel(sink, &key, document));
        }
        let run = section.run.as_ref().map(|run| Way::Plain(launch(&run.value, &section.surroundings)));
        channels.extend(run.map(|way| Channel { name: "run".to_owned(), way }));
        channels
    }

    fn channel(&mut self, sink: &At<Sink>, key: &str, document: &Document) -> Option<Channel> {
        let (name, way) = match &sink.value {
            Sink::Log => return None,
            Sink::Syslog => ("syslog".to_owned(), Way::Syslog),
            Sink::Mail(to) => {
                let launch = self.sendmail(sink, key, document);
                (format!("mail:{to}"), Way::Mail { to: to.clone(), launch })
            }
            Sink::Webhook(name) => {
                let Some(hook) = document.webhooks.iter().find(|hook| hook.id == *name) else {
                    let near = nearest(name, document.webhooks.iter().map(|hook| hook.id.as_str()));
                    let remedy = near.map_or_else(
                        || "write a table [webhook.NAME] with a `run`".to_owned(),
                        |near| format!("the nearest is `webhook:{near}`"),
                    );
                    self.findings.fault(sink.place, key, format!("there is no [webhook.{name}]"), remedy);
                    return None;
                };
                let run = hook.section.run.as_ref()?;
                (format!("webhook:{name}"), Way::Json(launch(&run.value, &hook.section.surroundings)))
            }
        };
        debug_assert!(name.len() <= CHANNEL_NAME);
        Some(Channel { name, way })
    }

    /// The program for mail, as given or where it usually is.
    fn sendmail(&mut self, sink: &At<Sink>, key: &str, document: &Document) -> Launch {
        let given = document.watchd.as_ref().and_then(|(_, watchd)| watchd.sendmail.as_ref());
        if let Some(given) = given {
            return Launch::new(given.value.clone());
        }
        let found = SENDMAIL.into_iter().find(|path| Path::new(path).exists());
        if found.is_none() {
            let remedy = "install a mail program, or name one in [watchd] sendmail";
            self.findings.warn(sink.place, key, "cannot find /usr/sbin/sendmail, nor one elsewhere", remedy);
        }
        let words = [found.unwrap_or("/usr/sbin/sendmail"), "-t", "-i"];
        Launch::new(Command::Exec(words.map(str::to_owned).to_vec()))
    }

    /// Looks at what reports go through, also where none does.
    pub fn carriers(&mut self, document: &Document) {
        for hook in &document.webhooks {
            let key = format!("webhook.{}", hook.id);
            self.required(hook.section.run.is_some(), (hook.place, &key), "run");
            self.surroundings(&hook.section.surroundings, &key);
            self.programs(&key, &hook.section.surroundings, &[("run", &hook.section.run)]);
        }
        if let Some(given) = document.watchd.as_ref().and_then(|(_, watchd)| watchd.sendmail.as_ref()) {
            existence::program(&given.value, given.place, "watchd.sendmail", &mut self.findings);
        }
    }
}
