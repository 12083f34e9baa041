//! What can come out of a promise.

super::words! {
    /// How a promise came out in one pass.
    Outcome {
        /// Not judged yet, or its guard does not hold.
        Skipped = "skipped",
        /// It held without our doing.
        Kept = "kept",
        /// It did not hold, we acted, and it holds now.
        Repaired = "repaired",
        /// It does not hold, and what we did did not help.
        Failed = "failed",
        /// What we did took too long and was ended.
        Timeout = "timeout",
        /// The system did not let us.
        Denied = "denied",
        /// It does not hold; the mode forbids acting.
        Would = "would",
        /// Work on it goes on.
        Pending = "pending",
        /// Nothing can be said; nothing is done.
        Unknown = "unknown",
    }
}

super::words! {
    /// The types of promise.
    PromiseKind {
        Process = "process",
        Disk = "disk",
        Command = "command",
        Report = "report",
        File = "file",
        Freshness = "freshness",
        Measure = "measure",
    }
}
