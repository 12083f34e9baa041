//! What people ask over the control socket, and what becomes of children and faults: the loop's small answers.

use std::io;
use std::os::fd::BorrowedFd;

use watchd_probes::PROBES;

use super::control::{Refusal, Reply, Request, Verb};
use super::core::Core;
use super::doorkeeper::Past;
use super::guests::Kitchen;
use super::posted::Posted;
use super::services::{Refusal as Refused, Services, Turn};
use super::system::{Grip, SystemHands, Watch};
use super::tokens::Token;
use crate::model::EventKind;
use crate::supervisor;
use crate::sys::epoll::{Interest, Poller};

impl Core {
    pub(super) fn on_control(&mut self) {
        while let Some((id, source)) = self.control.accept(self.now.mono) {
            if self.poller.add(source, Token::Client(id).pack(), Interest::Read).is_err() {
                return;
            }
        }
        if self.control.rests() {
            let _ = self.poller.modify(self.control.source(), Token::Control.pack(), Interest::Nothing);
            if self.control.is_news() {
                let text = "cannot hear orders: there is no descriptor or memory left for a client";
                self.notes.add(EventKind::Trouble, "", text);
            }
        }
    }

    pub(super) fn on_client(&mut self, id: u64) {
        let Some(line) = self.control.hear(id) else { return };
        let (reply, text) = match Request::parse(&line) {
            _ if Posted::is_one(&line) => self.take_posted(&line),
            // Its answer comes from the program that runs then.
            Ok(Request { verb: Verb::Upgrade, .. }) => return self.try_program(Some(id)),
            Ok(request) => self.obey(&request, self.control.uid(id)),
            Err(Refusal::Incomplete) => (Reply::BadRequest, Refusal::TooLong.to_string()),
            Err(refusal) => (Reply::BadRequest, refusal.to_string()),
        };
        let mut page = Vec::new();
        reply.line(&text, &mut page);
        self.control.answer(id, &page);
    }

    fn obey(&mut self, request: &Request<'_>, uid: Option<u32>) -> (Reply, String) {
        let verb = match request.verb {
            Verb::Shutdown => {
                self.stop();
                return (
                    Reply::Ok,
                    "watchd is ending; services are left as they are unless on-exit says otherwise".to_owned(),
                );
            }
            Verb::ClassSet | Verb::ClassClear => return self.order_class(request, uid),
            Verb::Upgrade => return (Reply::BadRequest, Refusal::UnknownVerb.to_string()),
            Verb::Start => supervisor::Verb::Start,
            Verb::Stop => supervisor::Verb::Stop,
            Verb::Restart => supervisor::Verb::Restart,
            Verb::Reset => supervisor::Verb::Reset,
            Verb::Pause => supervisor::Verb::Pause(request.lasts),
            Verb::Resume => supervisor::Verb::Resume,
        };
        self.is_stirred = true;
        match self.with_services(|services, turn| services.control(verb, request.name, turn)) {
            Ok(text) => (Reply::Ok, text.to_string()),
            Err(refused @ (Refused::NoSuchName(_) | Refused::NoSuchTag(_))) => (Reply::NoSuchName, refused.to_string()),
            Err(refused) => (Reply::Failed, refused.to_string()),
        }
    }

    /// Lets the services work with the rest of the daemon at hand. What they note is news for the judge.
    pub(super) fn with_services<T>(
        &mut self,
        work: impl FnOnce(&mut Services<Grip>, &mut Turn<'_, SystemHands<'_>>) -> T,
    ) -> T {
        let (notes, is_stirred) = (&mut self.notes, &mut self.is_stirred);
        let mut watch = ServiceWatch(&self.poller);
        let mut hands = SystemHands {
            watch: &mut watch,
            host: &self.sight.host,
            buffer: &mut self.sight.buffer,
            now: self.now,
            cgroups: self.cgroups.as_ref(),
            installation: self.installation,
            killed: &self.sight.killed,
            strays: None,
        };
        let mut note = |kind, subject: &str, text: &str| {
            *is_stirred = true;
            notes.add(kind, subject, text);
        };
        work(&mut self.services, &mut Turn { hands: &mut hands, now: self.now, note: &mut note })
    }

    /// A child that is neither service nor errand: the door, a helper, or an orphan of a service.
    pub(super) fn on_helper_end(&mut self, pid: i32) {
        self.mounts.on_child(pid);
        self.slow.on_child(pid);
        if let Some(what) = self.outputs.on_child(pid) {
            self.notes.add(EventKind::Trouble, "", what);
        }
        self.upkeep.on_child(pid);
        self.checks.on_child(pid);
        if self.door.on_child(pid, self.now.mono) {
            let text = "the process that serves Munin and HTTP ended; it is started again";
            self.notes.add(EventKind::DoorDied, "", text);
            self.is_stirred = true;
        }
    }

    /// Ends a door that does not turn any more.
    pub(super) fn mind_door(&mut self) {
        if self.door.mind(self.now.mono) {
            let text = "the process that serves Munin and HTTP gave no answer and was ended";
            self.notes.add(EventKind::Trouble, "", text);
        }
    }

    /// Starts the door when it is due.
    pub(super) fn open_door(&mut self) {
        let past =
            Past { history: self.chronicle.file(), journal: self.notes.journal(), learned: self.learning.file() };
        let (guests, poller, mono) = (&mut self.guests, &self.poller, self.now.mono);
        let line = |kitchen: &Kitchen| guests.open(kitchen, poller, mono);
        match self.door.start((self.publisher.board(), past), line, mono) {
            Ok(true) => {
                self.notes.add(EventKind::DoorStarted, "", "serving Munin and HTTP");
                self.is_stirred = true;
            }
            Ok(false) => {}
            Err(error) => {
                self.notes.add(EventKind::DoorDied, "", &format!("cannot start the door: {error}"));
                self.is_stirred = true;
            }
        }
    }

    /// Notes which probes failed or work again since the last look.
    pub(super) fn note_faults(&mut self) {
        for info in PROBES {
            let fault = self.sight.sample().fault(info.id).filter(|fault| !fault.is_absence());
            let Some(was_down) = self.faults.get_mut(info.id as usize) else { continue };
            match fault {
                Some(fault) if !*was_down => self.notes.add(EventKind::ProbeFailed, info.name, &fault.to_string()),
                None if *was_down => self.notes.add(EventKind::ProbeRecovered, info.name, "it reads again"),
                _ => {}
            }
            *was_down = fault.is_some();
        }
    }
}

/// The part of the poller that services see.
pub(super) struct ServiceWatch<'a>(pub &'a Poller);

impl Watch for ServiceWatch<'_> {
    fn add(&mut self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        self.0.add(fd, Token::Service(token).pack(), Interest::Read)
    }

    fn remove(&mut self, fd: BorrowedFd<'_>) {
        self.0.remove(fd);
    }
}
