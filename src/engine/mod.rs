//! The loop: joins the rooms, owns the descriptors and the deadlines, holds no policy.

pub mod config_watch;
pub mod control;
pub mod control_socket;
pub mod errands;
pub mod mounts;
pub mod notes;
pub mod policy;
pub mod sight;
pub mod tokens;
