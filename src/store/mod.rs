//! What is remembered: readings and their rates, and the board that shows all there is to know to other processes.

pub mod board;
pub mod history;
pub mod journal;
pub mod ledger;
pub mod locks;
pub mod marker;
pub mod outbox;
mod rates;
mod snapshot;
pub mod twin;

pub use board::{Board, BoardError, ClassRow, EventRow, Header, LearnedRow, PromiseRow, ServiceRow};
pub use rates::{Rates, Readings};
pub use snapshot::{Reader, Snapshot, read_header};
