//! The loop: joins the rooms, owns the descriptors and the deadlines, holds no policy.

pub mod asking;
pub mod by_hand;
pub mod checks;
pub mod chronicle;
pub mod config_watch;
pub mod control;
pub mod control_socket;
pub mod core;
pub mod doorkeeper;
pub mod ears;
pub mod errands;
pub mod guests;
pub mod hands;
pub mod judgement;
mod learning;
pub mod limits;
pub mod mounts;
pub mod notes;
mod outputs;
pub mod policy;
pub mod publish;
pub mod reader;
pub mod reload;
pub mod requests;
pub mod services;
pub mod sight;
pub mod start;
pub mod system;
pub mod tokens;
pub mod turns;
pub mod upgrade;

pub use start::{Failure, run};
