//! The words everyone shares: plain data, no I/O.

mod acts;
mod bound;
mod care;
mod channel;
mod classes;
mod crowd;
mod event;
mod files;
mod guest;
mod learned;
mod limits;
mod network;
mod outcome;
mod places;
mod record;
mod regex;
mod service;
mod setting;
pub mod settings;
mod tone;

pub use acts::Acts;
pub use bound::{Amount, Bound, Deed, Figures, PRESSED, Quantity};
pub use care::{Care, Check, Http, OnPressure, Readiness, Target};
pub use channel::{CHANNEL_NAME, Channel, Way};
pub use classes::ClassKind;
pub use crowd::{CrowdWork, MEMBERS, Member, Selection, Terminal};
pub use event::{EventKind, Severity};
pub use files::{
    Content, Edit, FileWork, FreshPlace, FreshWork, LogKind, Mark, Marks, MeasureWork, Replace, Source, Spot, Tended,
    Threshold, TidyWork, Tidying, Until,
};
pub use guest::{Call, Fortune, GuestAsk, GuestSpec, Word};
pub use learned::{Finding, Findings, QUANTITIES, Quantities, USUAL, class_prefix, is_measure};
pub use limits::{CLASSES, PROMISES, SERVICES};
pub use network::{Network, NetworkError};
pub use outcome::{Outcome, PromiseKind};
pub use places::Places;
pub use record::{Ailment, Errand, Pause, Record, Wish};
pub use regex::Regex;
pub use service::{
    Command, Ending, Form, Identity, Launch, Limit, OnExit, Pattern, ServiceFact, ServiceSpec, ServiceState, StopStep,
};
pub use setting::{EnvFile, Ionice, Output, Setting};
pub use settings::{PluginSetting, Settings};
pub use tone::Tone;
pub use watchd_probes::Now;

/// Whether the head of a file is a beginning of `magic`, the whole or none of it, and zeros: ours, or made by us and the power lost
/// before it was written. Anything else belongs to somebody else, or to another version.
pub fn is_begun(head: &[u8], magic: &[u8]) -> bool {
    let ours = magic.iter().zip(head).take_while(|(magic, byte)| magic == byte).count();
    head.iter().skip(ours).all(|byte| *byte == 0)
}

/// An enum of plain words that also stands as one byte on the board: its names are written once.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[repr(u8)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// All of them, in the order of their bytes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word for people and programs.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The byte that stands for it on the board.
            pub const fn byte(self) -> u8 {
                self as u8
            }

            /// Back from the byte; none for a byte of another build.
            pub fn from_byte(byte: u8) -> Option<Self> {
                Self::ALL.get(usize::from(byte)).copied()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.pad(self.word())
            }
        }
    };
}
pub(crate) use words;
