//! watchd watches one Linux host: it looks, remembers, names, judges, acts and tells.
//!
//! ```text
//!  /proc /sys                                               munin   http   status
//!      |                                                       ^      ^      ^
//!      v                                                       |      |      |
//!   probes --> store --> classes --> agent --> supervisor      +--- export --+
//!    look     remember    name       judge       act          (reads the board)
//! ```
//!
//! `engine` turns the crank, `sys` is the only door to the kernel, `model` is the vocabulary, `cli` is what people type.
//! Who may import whom is kept by `tests/layering.rs`.

#![deny(unsafe_code)]

pub mod agent;
pub mod classes;
pub mod cli;
pub mod config;
pub mod door;
pub mod engine;
pub mod export;
pub mod files;
pub mod learn;
pub mod log;
pub mod model;
#[cfg(test)]
mod scratch;
pub mod store;
pub mod supervisor;
#[allow(unsafe_code)]
pub mod sys;
