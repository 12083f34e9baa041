//! Where a class comes from.

super::words! {
    /// The kind of a class, which says what makes it true.
    ClassKind {
        /// A fixed fact about the host.
        Hard = "hard",
        /// The local time of day, week or year.
        Time = "time",
        /// A reading beyond a threshold.
        Measured = "measured",
        /// What the learner found.
        Learned = "learned",
        /// How a promise came out.
        Outcome = "outcome",
        /// What state a service is in.
        State = "state",
        /// An expression in the policy.
        Defined = "defined",
        /// Somebody set it, or a command did.
        Set = "set",
    }
}
