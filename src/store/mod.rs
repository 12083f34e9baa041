//! What is remembered: the newest readings with their rates, and the board that shows them to other processes.

mod rates;

pub use rates::{Rates, Readings};
