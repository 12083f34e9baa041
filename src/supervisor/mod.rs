//! What to do about a service, decided without touching anything.
//!
//! A [`Machine`] takes what happened and gives back what should be done; `engine::services` does it and says how it went.
//! The same machine runs under the engine and under the simulator in `tests/`.
//!
//! ```text
//!   unsure --found--> alive --died--> down --(budget, back-off, guard)--> checking --> starting --found--> alive
//!     ^ cannot tell     |                ^                                   |
//!     +-----------------+-- stop --> stopping --died--+     cannot tell <----+   (then nothing is done)
//! ```

#![forbid(unsafe_code)]

mod attending;
mod bequest;
mod bonds;
mod budget;
mod event;
mod excess;
mod fight;
mod health;
mod host;
mod machine;
mod notice;
mod orders;
mod pressure;
mod recall;
mod recognise;
mod starting;
mod stopping;
mod table;
mod text;
mod told;

#[cfg(test)]
mod stories;

pub use bequest::Bequest;
pub use bonds::{Bond, Standing};
pub use event::{Action, Actions, Event, Reach, Sighting, Verb};
pub use fight::Rival;
pub use health::{Asked, Strain, Verdict, Which};
pub use machine::Machine;
pub use notice::{Notice, Word};
pub use pressure::Relief;
pub use recognise::{Known, Mark, Pidfile, Process, Search, judge_pidfile, parse_pidfile};
pub use text::{Span, Text, text};
