//! Counters into rates: what grew, by how much a second, between the last two samples.
//!
//! A counter that went down, an object that is new, a sample without a predecessor: no rate, never 0.
//! Rates stand beside the rows they belong to, 4 bytes each; NaN is "none".

use std::time::Duration;

use watchd_probes::{Kind, MetricId, ObjectId, PROBES, Row, Sample, Value, View, sample_limits::ROWS};

/// Readings together with their rates.
#[derive(Clone, Copy)]
pub struct Readings<'a> {
    pub view: View<'a>,
    /// One for each row; NaN where there is none.
    pub rates: &'a [f32],
}

impl Readings<'_> {
    /// Growth of a counter per second; none while it is not known.
    pub fn rate(&self, metric: MetricId, object: ObjectId) -> Option<f64> {
        let probe = PROBES.get(metric.probe())?.id;
        let place = self.view.of(probe).iter().position(|row| row.metric() == metric && row.object() == object)?;
        let place = place + usize::try_from(self.view.state(probe).first()).ok()?;
        self.rates.get(place).filter(|rate| rate.is_finite()).map(|rate| f64::from(*rate))
    }

    /// What a person wants to see: the rate of a counter, the level of a gauge.
    pub fn level(&self, metric: MetricId, object: ObjectId) -> Option<f64> {
        match metric.metric()?.kind {
            Kind::Gauge => self.view.get(metric, object).number(),
            Kind::Counter => self.rate(metric, object),
        }
    }
}

/// The rates of the newest sample.
pub struct Rates(Vec<f32>);

impl Default for Rates {
    fn default() -> Self {
        Self(Vec::with_capacity(ROWS))
    }
}

impl Rates {
    /// Computes the rates of `new` from its predecessor, taken `apart` earlier.
    pub fn update(&mut self, old: &Sample, new: &Sample, apart: Duration) {
        let (old, new) = (old.view(), new.view());
        self.0.clear();
        self.0.resize(new.rows.len(), f32::NAN);
        for info in PROBES {
            let (before, after) = (old.of(info.id), new.of(info.id));
            let first = usize::try_from(new.state(info.id).first()).unwrap_or(usize::MAX);
            let Some(rates) = self.0.get_mut(first..) else { continue };
            for (place, (row, rate)) in after.iter().zip(rates).enumerate() {
                if row.metric().metric().is_some_and(|metric| metric.kind == Kind::Counter) {
                    *rate = predecessor(&old, before, &new, (place, row))
                        .and_then(|earlier| growth(earlier.value(), row.value(), apart))
                        .unwrap_or(f32::NAN);
                }
            }
        }
    }

    /// The rates, one for each row of the sample they were computed for.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }
}

/// The same reading one sample earlier: usually at the same place, else looked for by name.
fn predecessor<'a>(old: &View<'_>, before: &'a [Row], new: &View<'_>, (place, row): (usize, &Row)) -> Option<&'a Row> {
    let same =
        |earlier: &&Row| earlier.metric() == row.metric() && old.whole(earlier.object()) == new.whole(row.object());
    before.get(place).filter(same).or_else(|| before.iter().find(same))
}

/// Growth per second; none when the counter went down or either value is unknown.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn growth(before: Value, after: Value, apart: Duration) -> Option<f32> {
    let grown = match (before, after) {
        (Value::Int(before), Value::Int(after)) => after.checked_sub(before)? as f64,
        (before, after) => after.number()? - before.number()?,
    };
    let rate = grown / apart.as_secs_f64();
    (grown >= 0.0 && rate.is_finite()).then_some(rate as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_reset_gives_no_rate() {
        let second = Duration::from_secs(1);
        assert_eq!(growth(Value::Int(10), Value::Int(7), second), None);
        assert_eq!(growth(Value::Int(7), Value::Int(10), second), Some(3.0));
        assert_eq!(growth(Value::Unknown, Value::Int(10), second), None);
        assert_eq!(growth(Value::Int(7), Value::Unknown, second), None);
        assert_eq!(growth(Value::Float(1.0), Value::Float(2.5), second), Some(1.5));
        assert_eq!(growth(Value::Int(7), Value::Int(10), Duration::ZERO), None);
    }

    #[test]
    fn large_counters_keep_their_last_digits() {
        let high = u64::MAX - 5;
        assert_eq!(growth(Value::Int(high), Value::Int(high + 2), Duration::from_secs(2)), Some(1.0));
    }
}
