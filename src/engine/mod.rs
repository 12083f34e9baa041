//! The loop: joins the rooms, owns the descriptors and the deadlines, holds no policy.

pub mod config_watch;
pub mod control;
pub mod control_socket;
pub mod hands;
pub mod notes;
pub mod services;
pub mod sight;
pub mod system;
