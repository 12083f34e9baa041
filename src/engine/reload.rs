//! A new config while the daemon runs: read in a child, then the difference is applied. A bad one changes nothing.

use std::path::Path;

use super::config_watch::ConfigWatch;
use super::core::Core;
use super::doorkeeper::{Doorkeeper, Held, Wanted};
use super::guests::Kitchen;
use super::judgement::{Judgement, with_conditions};
use super::reader::{Answer, Loaded, Reading};
use super::start::{Failure, empty_dir, system};
use super::tokens::Token;
use crate::config::Memory;
use crate::model::{EventKind, Now, Places};
use crate::sys::cgroup::Cgroups;
use crate::sys::epoll::Interest;
use crate::sys::{accounts, capabilities, files, memory};

impl Core {
    /// Starts to read the config again. When that goes on already it is done once more afterwards: what is being read now may
    /// be the text before the change.
    pub(super) fn reload(&mut self) {
        if self.reading.is_some() {
            self.reads_again = true;
            return;
        }
        match Reading::start(&self.places, self.now.mono) {
            Ok(reading) => {
                if let Err(error) = self.poller.add(reading.source(), Token::Reading.pack(), Interest::Read) {
                    self.refuse(&[format!("cannot wait for the config: {error}")]);
                    return;
                }
                self.reading = Some(reading);
            }
            Err(error) => self.refuse(&[format!("cannot start a process to read the config: {error}")]),
        }
    }

    pub(super) fn on_reading(&mut self) {
        if let Some(answer) = self.reading.as_mut().and_then(Reading::advance) {
            self.take(answer);
        }
    }

    pub(super) fn expire_reading(&mut self) {
        if let Some(reading) = self.reading.as_ref().filter(|reading| reading.deadline() <= self.now.mono) {
            let answer = reading.give_up();
            self.take(answer);
        }
    }

    fn take(&mut self, answer: Answer) {
        if let Some(reading) = self.reading.take() {
            self.poller.remove(reading.source());
        }
        match answer {
            Answer::Loaded(loaded) => {
                // What the new policy needs may be more; what it does not need is given up when it counts.
                let _ = self.powers.map(|_| capabilities::keep_all());
                if let Err(faults) = self.apply(*loaded) {
                    self.refuse(&faults);
                }
                let _ = self.powers.map(capabilities::keep);
            }
            Answer::Refused(faults) => self.refuse(&faults),
            Answer::Failed(cause) => self.refuse(&[cause]),
        }
        memory::trim_heap();
        if std::mem::take(&mut self.reads_again) {
            self.reload();
        }
    }

    fn refuse(&mut self, faults: &[String]) {
        for fault in faults {
            self.notes.add(EventKind::ConfigRefused, "", fault);
        }
        self.publisher.refused(faults);
        self.is_stirred = true;
    }

    /// Applies the difference. What can fail comes first, so that a failure changes nothing.
    fn apply(&mut self, mut loaded: Loaded) -> Result<(), Vec<String>> {
        self.manner.adapt(&mut loaded.policy);
        if loaded.policy.daemon.run_as != self.run_as {
            return Err(vec!["watchd.run-as: it cannot change while watchd runs; restart watchd".to_owned()]);
        }
        let wanted = wanted(&self.places, &loaded).map_err(|fault| vec![fault])?;
        if wanted != *self.door.wanted() {
            self.change_door(wanted)?;
        }
        for warning in &loaded.warnings {
            self.notes.add(EventKind::ConfigLoaded, "", warning);
        }
        let Loaded { policy, host, .. } = loaded;
        self.publisher.loaded(&policy, self.now);
        let (notes, mut services) = (&mut self.notes, policy.services);
        let mut note = |kind, subject: &str, text: &str| notes.add(kind, subject, text);
        self.ears.tune(&mut services, &self.places, &self.poller, &mut note);
        super::scribe::lend(&mut services, &self.places, &mut note);
        let services = with_conditions(services, &policy.promises);
        self.with_services(|known, world| known.apply(services, world));
        self.learning.follow(policy.classes.quantities(), policy.learn_after, self.now, &mut self.notes);
        let mut judgement = Judgement::new(policy.promises, policy.classes, &host, policy.daemon.cycle);
        judgement.follow(&self.judgement);
        self.turns.recall(&mut judgement.agent, self.now);
        self.errands.adopt(|promise| {
            let old = self.judgement.agent.promises().get(promise)?;
            judgement.agent.find(old.kind(), &old.id)
        });
        self.upkeep.adopt(|promise| {
            let old = self.judgement.agent.promises().get(promise)?;
            judgement.agent.find(old.kind(), &old.id)
        });
        self.crowds.drop_all(&self.poller);
        self.turns.give_up_looks(&self.judgement.agent);
        self.judgement = judgement;
        self.digest.spec = policy.daemon.digest;
        self.alive.follow(policy.daemon.alive.as_deref());
        self.cycle = policy.daemon.cycle;
        self.powers = policy.daemon.powers;
        self.follow_watchdog(policy.daemon.watchdog_device.as_deref());
        if let Err(error) = self.control.let_in(policy.daemon.control_group) {
            let text = format!("cannot open the control socket to its group: {error}");
            self.notes.add(EventKind::Trouble, "", &text);
        }
        memory::keep_text(policy.daemon.memory == Memory::Keep);
        self.cgroups = policy.daemon.cgroup.then(|| Cgroups::find(&self.places.state_dir)).flatten();
        self.bring_cycle_forward();
        self.next_forecast = self.now.mono;
        self.watch_config(policy.file.as_deref());
        self.pidfiles.renew();
        self.follow_feeds();
        self.notes.add(EventKind::ConfigLoaded, "", policy.file.as_deref().unwrap_or("the embedded default"));
        self.is_stirred = true;
        Ok(())
    }

    fn change_door(&mut self, wanted: Wanted) -> Result<(), Vec<String>> {
        let missed = self.door.change(wanted, self.now.mono).map_err(|fault| vec![fault])?;
        for line in missed {
            self.notes.add(EventKind::Trouble, "", &line);
        }
        let listening = self.door.listening();
        self.publisher.listening(&listening);
        Ok(())
    }

    /// Watches the file for changes; without inotify a SIGHUP still reads it again.
    pub(super) fn watch_config(&mut self, file: Option<&str>) {
        let Some(file) = file else { return };
        if self.config_watch.as_ref().is_some_and(|watch| watch.config() == Path::new(file) && watch.renew().is_ok()) {
            return;
        }
        if let Some(watch) = self.config_watch.take() {
            self.poller.remove(watch.source());
        }
        let watch = ConfigWatch::new(Path::new(file)).map_err(std::io::Error::from).and_then(|watch| {
            self.poller.add(watch.source(), Token::Config.pack(), Interest::Read)?;
            Ok(watch)
        });
        match watch {
            Ok(watch) => self.config_watch = Some(watch),
            Err(error) => {
                let text = format!("cannot watch {file} for changes: {error}; send SIGHUP after a change");
                self.notes.add(EventKind::Trouble, "", &text);
            }
        }
    }
}

/// Binds what the config wants.
pub fn open_door(places: &Places, loaded: &Loaded, held: Held, now: Now) -> Result<(Doorkeeper, Vec<String>), Failure> {
    let wanted = wanted(places, loaded).map_err(Failure::System)?;
    if let Some(dir) = &wanted.empty_dir {
        files::own_dir(dir).map_err(|error| system("make an empty directory for the door", &error))?;
    }
    Doorkeeper::open(wanted, held, now.mono).map_err(Failure::System)
}

fn wanted(places: &Places, loaded: &Loaded) -> Result<Wanted, String> {
    let policy = &loaded.policy;
    let is_root = nix::unistd::geteuid().is_root();
    let account = if is_root {
        let account = accounts::user(&policy.daemon.user).map_err(|fault| format!("cannot open the door: {fault}"))?;
        Some((account.uid, account.gid))
    } else {
        None
    };
    let munin = policy.munin.as_ref();
    Ok(Wanted {
        munin: munin.map(|munin| munin.listen.clone()).unwrap_or_default(),
        allow: munin.map(|munin| munin.allow.clone()).unwrap_or_default(),
        host: munin.and_then(|munin| munin.host_name.clone()).unwrap_or_else(|| loaded.host.clone()),
        patterns: munin.map(|munin| munin.patterns.clone()).unwrap_or_default(),
        socket: munin.and_then(|munin| munin.socket.clone()).map(Into::into),
        kitchen: munin.map_or_else(Kitchen::default, |munin| Kitchen {
            specs: munin.guests.clone(),
            state: munin.plugin_state.clone(),
            host: munin.host_name.clone().unwrap_or_else(|| loaded.host.clone()),
        }),
        settings: munin.map(|munin| munin.settings.clone()).unwrap_or_default(),
        http: policy.http.as_ref().map(|http| http.listen.clone()).unwrap_or_default(),
        account,
        empty_dir: is_root.then(|| empty_dir(&places.run_dir)),
        may_miss: policy.file.is_none(),
    })
}
