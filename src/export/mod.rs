//! How others are told: pure functions from a copy of the board to bytes. One file per way of telling.
//!
//! Nothing here opens, waits or asks the time; the door, the commands and the tests hand in a [`crate::store::Snapshot`] and
//! take what stands in the [`Page`] afterwards.

#![forbid(unsafe_code)]

pub mod assets;
pub mod disk;
pub mod events;
pub mod gzip;
pub mod history;
pub mod html;
pub mod json;
pub mod munin;
mod number;
pub mod openmetrics;
pub mod origin;
mod page;
pub mod svg;
pub mod usual;
pub mod verdict;
pub mod why;

pub use number::{General, Rough, Span, Stamp};
pub use page::Page;
