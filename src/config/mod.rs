//! Text to typed sections, with the position of every value.
//!
//! ```text
//! file -> bytes -> UTF-8 -> TOML tree with spans -> sections of `Option<At<T>>` -> (engine::policy) Policy
//! ```
//!
//! Reading goes on after a fault: each key is decoded on its own, so one look at the list of faults is enough to mend a file.
//! A section is declared once, by `section!` in `tables.rs`: its fields, their keys and their types; unknown keys and the
//! nearest valid name follow from that list. What a value may look like is said by its type (`Scalar` in `scalar.rs`).
//! Nothing here knows what a promise means, and nothing has a side effect beyond reading the named files: each at most
//! `source::LARGEST` bytes, regular files only, opened without blocking.
//!
//! Every fault has the form `file:line:column: key: what; remedy`. Lines and columns count from 1, columns in characters.

mod amount;
mod crowd;
mod decode;
mod document;
mod fault;
mod filed;
mod include;
mod munin_conf;
mod nearest;
mod plugin_conf;
mod scalar;
mod section;
mod setting;
mod source;
mod tables;

pub use amount::{Amount, Then};
pub use crowd::Range;
pub use decode::{Count, OneOrMore};
pub use document::{Document, Named, read, read_text};
pub use fault::{At, Fault, Findings, Place, excerpt};
pub use filed::{Blanks, Glob, HashName, Level, Line, Manner, Regex, Size};
pub use munin_conf::{MuninConf, read_munin_conf};
pub use nearest::nearest;
pub use plugin_conf::{PluginSection, Stumble, read_plugin_conf, sort_plugin_sections};
pub use scalar::{
    Absolute, Account, Allowed, Capabilities, Expression, HeaderLine, Id, Memory, Mode, Scalar, Share, Sink, Statuses,
    Switch, Text, Url,
};
pub use tables::{
    Aim, Check, Class, Command, Common, Disk, File, Freshness, Http, Learn, Limited, Measure, Munin, Process, Ready,
    Replace, Report, SizeLimit, Surroundings, Watchd, Webhook,
};
