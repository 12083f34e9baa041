//! The loop's part in checks: takes the questions of the services, lets them be asked, and brings the answers back.

use crate::classes::{Gauge, Level};
use crate::model::Target;
use crate::supervisor::{Strain, Verdict};

use super::checks::judge_program;
use super::core::Core;
use super::errands::{Done, Order, Owner};
use super::services::Ask;

/// From where on the host stalls so much that no answer in time says nothing: where the classes `pressure_…` begin.
const HEAVY: [(Gauge, f64); 3] = [(Gauge::CpuPressure, 60.0), (Gauge::MemoryPressure, 10.0), (Gauge::IoPressure, 40.0)];

impl Core {
    /// Asks all that is due.
    pub(super) fn ask_checks(&mut self) {
        while let Some(ask) = self.services.next_ask() {
            let Some((target, timeout)) = self.services.target(ask) else { continue };
            let verdict = match target {
                Target::Exec(launch) => {
                    let order = Order { owner: Owner::Check(ask), launch, timeout, input: None, is_heard: false };
                    let done = self.errands.start(&order, &self.poller, self.now.mono);
                    done.map(|done| judge_program(done.end, &done.text, Strain::Light))
                }
                _ => self.checks.start(ask, (target, timeout), &self.poller, self.now.mono),
            };
            if let Some(verdict) = verdict {
                self.answer(ask, verdict);
            }
        }
    }

    /// A descriptor of a check is ready.
    pub(super) fn on_check(&mut self, id: u64) {
        let Some(ask) = self.checks.ask(id) else { return };
        let target = self.services.target(ask).map(|(target, _)| target);
        if let Some((ask, verdict)) = self.checks.on_ready(id, target, &self.poller, self.now) {
            self.answer(ask, verdict);
        }
    }

    /// A program that was asked has ended.
    pub(super) fn on_asked(&mut self, ask: Ask, done: &Done) {
        let verdict = judge_program(done.end, &done.text, self.strain());
        self.answer(ask, verdict);
    }

    /// Gives up on answers that are overdue.
    pub(super) fn expire_checks(&mut self) {
        while let Some(ask) = self.checks.expire(self.now.mono, &self.poller) {
            let strain = self.strain();
            self.answer(ask, Verdict::Late(strain));
        }
    }

    fn answer(&mut self, ask: Ask, verdict: Verdict) {
        self.with_services(|services, turn| services.on_checked(ask, verdict, turn));
    }

    /// By the newest look. A host that cannot say counts as calm.
    fn strain(&self) -> Strain {
        let readings = self.sight.readings();
        let is_heavy = |(gauge, least): &(Gauge, f64)| match gauge.read(&readings, &[]) {
            Level::Is(level) => level >= *least,
            Level::Unknown | Level::Absent => false,
        };
        if HEAVY.iter().any(is_heavy) { Strain::Heavy } else { Strain::Light }
    }
}
