//! The far end of a statistic's past, in four numbers, and the alarm line that follows from it.
//!
//! Kept are the value that a small share of samples exceeds, by how much they exceed it on average, the mean of that squared, and
//! the largest value seen. Mean and mean square give the shape of the tail (generalised Pareto, by moments): a normal law ends
//! sooner than an exponential one, counts and latencies end later. No law is assumed, no multiple of sigma.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Tail {
    edge: f32,
    excess: f32,
    square: f32,
    peak: f32,
}

/// Shapes outside are taken for chance: four weeks hold too few extremes to prove them.
const SHAPES: (f32, f32) = (-0.2, 0.3);
impl Tail {
    pub const fn new(guess: f32) -> Self {
        let excess = guess * 0.3;
        Self { edge: guess, excess, square: 2.0 * excess * excess, peak: 0.0 }
    }

    /// The value exceeded for the share `wanted` of all time, when the share `tail` lies beyond the edge.
    pub fn line(&self, tail: f32, wanted: f32) -> f32 {
        let far = (tail / wanted).max(1.0).ln();
        let spread = (self.square - self.excess * self.excess).max(1e-12);
        let shape = (0.5 * (1.0 - self.excess * self.excess / spread)).clamp(SHAPES.0, SHAPES.1);
        let reach = if shape.abs() < 1e-3 { far } else { ((shape * far).exp() - 1.0) / shape };
        self.edge + self.excess * (1.0 - shape) * reach
    }

    /// The line of an anomaly: above the largest value of calm times by the factor `beyond` as well.
    pub fn anomaly(&self, tail: f32, wanted: f32, beyond: f32) -> f32 {
        self.line(tail, wanted).max(self.peak * beyond)
    }

    /// Takes one value in, with the weight `rate` among all: Robbins and Monro's step for the edge, means for the rest.
    pub fn learn(&mut self, value: f32, tail: f32, rate: f32) {
        let step = (rate / tail).min(0.3);
        let size = self.excess.max(1e-6);
        if value > self.edge {
            let excess = value - self.edge;
            self.excess += step * (excess - self.excess);
            self.square += step * (excess * excess - self.square);
            self.edge += step * size * (1.0 - tail);
        } else {
            self.edge -= step * size * tail;
        }
        self.peak -= self.peak * rate * 0.2;
        self.peak = self.peak.max(value);
    }
}
