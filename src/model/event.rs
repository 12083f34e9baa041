//! What is worth a line in the journal.

super::words! {
    /// What happened.
    EventKind {
        DaemonStarted = "daemon-started",
        DaemonStopped = "daemon-stopped",
        ConfigLoaded = "config-loaded",
        ConfigRefused = "config-refused",
        ServiceStarting = "service-starting",
        ServiceReady = "service-ready",
        ServiceAdopted = "service-adopted",
        ServiceDied = "service-died",
        ServiceStopped = "service-stopped",
        ServiceFailed = "service-failed",
        ServiceFlapping = "service-flapping",
        ServicePaused = "service-paused",
        ServiceResumed = "service-resumed",
        ServiceUnknown = "service-unknown",
        PromiseChanged = "promise-changed",
        ClassSet = "class-set",
        ClassCleared = "class-cleared",
        Report = "report",
        CommandRan = "command-ran",
        DoorStarted = "door-started",
        DoorDied = "door-died",
        ProbeFailed = "probe-failed",
        ProbeRecovered = "probe-recovered",
        StateDamaged = "state-damaged",
        StateUnwritable = "state-unwritable",
        StateWritable = "state-writable",
        Trouble = "trouble",
        ServiceUnhealthy = "service-unhealthy",
        PromiseWould = "promise-would",
        DaemonUpgraded = "daemon-upgraded",
        UpgradeRefused = "upgrade-refused",
        ServiceExcess = "service-excess",
        ServiceFight = "service-fight",
        ServiceHeld = "service-held",
        ServicePeace = "service-peace",
        FileTended = "file-tended",
        ReportUndelivered = "report-undelivered",
        ReportDelivered = "report-delivered",
        ReportDropped = "report-dropped",
        ProcessTended = "process-tended",
        ServicePressed = "service-pressed",
    }
}

super::words! {
    /// How much an event matters to a person.
    Severity {
        Info = "info",
        Notice = "notice",
        Warning = "warning",
        Error = "error",
    }
}

impl EventKind {
    /// How much this kind matters.
    pub fn severity(self) -> Severity {
        match self {
            Self::ServiceStarting
            | Self::ServiceReady
            | Self::ServiceAdopted
            | Self::ClassSet
            | Self::ClassCleared
            | Self::CommandRan
            | Self::PromiseWould
            | Self::DoorStarted
            | Self::PromiseChanged => Severity::Info,
            Self::DaemonStarted
            | Self::DaemonStopped
            | Self::DaemonUpgraded
            | Self::ConfigLoaded
            | Self::ServiceStopped
            | Self::ServicePaused
            | Self::ServiceResumed
            | Self::ServicePeace
            | Self::ProbeRecovered
            | Self::StateWritable
            | Self::FileTended
            | Self::ProcessTended
            | Self::ReportDelivered
            | Self::Report => Severity::Notice,
            Self::ServiceDied
            | Self::ServiceUnhealthy
            | Self::ServiceExcess
            | Self::ServicePressed
            | Self::ServiceHeld
            | Self::ServiceUnknown
            | Self::ProbeFailed
            | Self::DoorDied
            | Self::StateDamaged => Severity::Warning,
            Self::ConfigRefused
            | Self::UpgradeRefused
            | Self::ServiceFailed
            | Self::ServiceFlapping
            | Self::ServiceFight
            | Self::ReportUndelivered
            | Self::ReportDropped
            | Self::StateUnwritable
            | Self::Trouble => Severity::Error,
        }
    }
}
