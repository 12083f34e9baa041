//! What a machine has counted, for the program that takes watchd's place in the same process.
//!
//! The ledger remembers what not even a crash may lose. An upgrade loses nothing else either: how long a limit has been exceeded, what
//! checks have counted, whether it is ready, what it said of itself, who else has a hand in it, since when and why it is as it is. A check
//! or limit that the new program's policy does not have in the same words begins anew.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Identity, ServiceSpec};

use super::Action;
use super::excess::Excess;
use super::fight::Contest;
use super::health::Health;
use super::machine::{Daemon, Machine, Phase, Turn};
use super::text::Text;

/// All that is left about one service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bequest {
    /// The process that it was; none when it was down.
    identity: Option<Identity>,
    settled: bool,
    since: Duration,
    reason: Text,
    status: Text,
    /// What of the host stands in the way of a start, and since when that is waited for.
    obstacle: Option<Text>,
    held: Option<Duration>,
    health: Health,
    /// What each check is called.
    checks: Vec<String>,
    excess: Excess,
    contest: Contest,
}

impl Machine {
    /// What is to be left of it; none while a start or an end is under way, of which the ledger knows enough.
    pub fn bequeath(&self, spec: &ServiceSpec) -> Option<Bequest> {
        let (identity, settled) = match self.phase {
            Phase::Alive { daemon, settled } => (Some(daemon.identity), settled),
            Phase::Down { .. } => (None, false),
            _ => return None,
        };
        Some(Bequest {
            identity,
            settled,
            since: self.since,
            reason: self.reason.clone(),
            status: self.status.clone(),
            obstacle: self.obstacle.clone(),
            held: self.held,
            health: self.health.clone(),
            checks: spec.care.checks.iter().map(|check| check.target.to_string()).collect(),
            excess: self.excess.clone(),
            contest: self.contest.clone(),
        })
    }

    /// What was left of it by the one before; it counts for the first look, and only if that finds what it is about.
    pub fn expect(&mut self, bequest: Option<Box<Bequest>>) {
        self.bequest = bequest;
    }

    /// It runs: takes up what was left about this very process. Whether it had settled, if anything was.
    pub(super) fn inherit(&mut self, daemon: Daemon, turn: &mut Turn<'_>) -> Option<bool> {
        let left = self.bequest.take_if(|left| left.identity == Some(daemon.identity))?;
        self.status = left.status.clone();
        if left.settled {
            (self.level, self.free) = (0, false);
            self.phase = Phase::Alive { daemon, settled: true };
            self.health.rest(turn.now, turn.spec, self.random);
            turn.push(Action::Settled);
        }
        self.health.inherit(&left.health, &left.checks, turn.now, turn.spec);
        self.excess.inherit(&left.excess, turn.spec);
        let settled = left.settled;
        self.go_on_from(*left);
        Some(settled)
    }

    /// It is down, as it was: for the same reason.
    pub(super) fn inherit_absence(&mut self) {
        if let Some(left) = self.bequest.take_if(|left| left.identity.is_none()) {
            self.go_on_from(*left);
        }
    }

    fn go_on_from(&mut self, left: Bequest) {
        (self.since, self.reason, self.contest) = (left.since, left.reason, left.contest);
        (self.obstacle, self.held) = (left.obstacle, left.held);
    }
}
