//! Names for what is true now, and expressions over them.
//!
//! ```text
//! policy --Builder--> Table (names, thresholds, compiled expressions; handed over as bytes)
//! Table --Classes::new--> Classes --update(Scene)--> bits --eval(ExprId)--> true or false
//! ```
//!
//! | kind | names | true when |
//! |---|---|---|
//! | hard | `any linux debian debian_12 x86_64 HOSTNAME cpus_2 linux_6 ipv4_192_0_2_2`, `ipv4_192_0` where it is named | always, on this host |
//! | time | `Monday Hr07 Hr22_06 Min00_05 Day01 January Yr2026 Q1 Hr07_Q2 Night`, `GMT_…`; `boot` for ten minutes | the local clock says so |
//! | measured | `load_high memory_low swap_high pressure_cpu pressure_memory pressure_io`, `disk_ID_full _ok _inodes_full _read_only _hung _full_soon` | a level is beyond its threshold, with hysteresis |
//! | learned | `load_five_high_dev1 _high_dev2 _high_anomaly _low_… _shift_high _leak_up _noise_high _missing _flat` | the learner found it; a level includes those below it |
//! | state | `ID_ready ID_starting ID_stopped ID_paused ID_flapping …`, `ID_down` | the service is in that state; down is not running although it should |
//! | state | `ID_rss_high …`, `ID_pressed` | the service exceeds a limit; it gave its memory back in the last ten minutes |
//! | outcome | `ID_kept ID_repaired ID_failed ID_timeout ID_denied ID_would`, `disk_ID_…`, `report_ID_…` | the promise last came out so |
//! | outcome | `ID_flapping`, `report_ID_flapping` | the promise wants to act and its `limit` is spent |
//! | defined | `[class.ID]` | its expression holds |
//! | set | any other | somebody set it by hand |
//!
//! `pressure_memory` is true as well for ten seconds after the kernel's own word that work waits for memory.
//! A measured class whose reading is unknown is false, and `load_unknown`, `memory_unknown`, `swap_unknown`, `pressure_unknown` or
//! `disk_ID_unknown` is true instead: an action may rest on a level, never on the lack of one. What the host does not have
//! (no swap space, no pressure information) is not unknown.
//!
//! Characters of an id that a name cannot have become `_`. All classes of one update see the same scene; defined classes
//! come last, each after those it is made of.

mod builder;
mod expr;
mod forecast;
mod gauge;
mod given;
mod hard;
mod list;
mod live;
mod table;
mod time;
mod written;

pub use builder::{Builder, DiskLevels, Joint, TableError, UnknownName};
pub use expr::{Op, Reason, SyntaxError, compile, eval};
pub use forecast::{POINTS, time_left};
pub use gauge::{Gauge, Level};
pub use given::{Given, GivenClass, Giver, LONGEST_GIVEN, MOST_GIVEN, NotGiven, is_class_name};
pub use hard::canonify;
pub use list::{Prefix, Row};
pub use live::{Bequest, Classes, DiskState, Scene};
pub use table::{ExprId, Table};
pub use time::{Calendar, TimeTest};
