//! The sections of a policy. One line per key; everything about a key is said here.

use std::net::SocketAddr;
use std::time::Duration;

use super::amount::{Amount, Then};
use super::crowd::{Range, States};
use super::decode::{Count, OneOrMore};
use super::fault::{At, Findings};
use super::filed::{Blanks, Glob, HashName, Level, Line, Manner, Regex, Size};
use super::scalar::{
    Absolute, Account, Allowed, Capabilities, Expression, HeaderLine, Id, Memory, Share, Sink, Statuses, Switch, Text,
    Url,
};
use super::section::{Node, refuse_unknown, section, take};
use super::setting::{self, Bytes, Number, Rlimits, Umask};
use crate::model::{
    self, EnvFile, Ionice, Limit, LogKind, OnExit, OnPressure, Quantity, Selection, StopStep, Terminal,
};

section! {
    /// `[watchd]`
    Watchd {
        /// Sample and judge this often.
        cycle: Duration = "cycle",
        /// What the door runs as.
        user: Account = "user",
        /// What the daemon becomes, where nothing needs root.
        run_as: Account = "run-as",
        memory: Memory = "memory",
        /// Whether own children get a control group each.
        cgroup: bool = "cgroup",
        include: String = "include",
        /// Whether anything is learned.
        learn: bool = "learn",
        /// What takes a mail with its receivers in it.
        sendmail: model::Command = "sendmail",
        /// Whose members may give orders, besides root and the account that runs watchd.
        control_group: Account = "control-group",
        /// The kernel's watchdog, fed while the loop turns.
        watchdog_device: Absolute = "watchdog-device",
        /// What the daemon keeps of root's powers.
        capabilities: Capabilities = "capabilities",
        /// Classes that people set and nothing else makes true.
        switches: Vec<Switch> = "switches",
        /// A file that is touched in each cycle, for whoever watches watchd.
        alive: Absolute = "alive",
        /// One message a day instead of many.
        digest: Digest = "digest",
        /// Cycles of many hosts are spread over so long.
        splay: Duration = "splay",
    }
}

section! {
    /// `digest` of `[watchd]`.
    Digest {
        to: Sink = "to",
        /// It is sent when this begins to hold.
        at: Expression = "at",
    }
}

section! {
    /// `[munin]`
    Munin {
        listen: Vec<SocketAddr> = "listen",
        /// Who may ask.
        allow: Vec<Allowed> = "allow",
        /// A Unix socket as well.
        socket: Absolute = "socket",
        /// The name the node goes by.
        host_name: Account = "host-name",
        /// A directory of plugins that are run as munin-node runs them.
        plugins: Absolute = "plugins",
        /// A directory of settings of plugins.
        plugin_conf: Absolute = "plugin-conf",
        /// Where plugins keep what they remember.
        plugin_state: Absolute = "plugin-state",
        /// Warning and critical come from what was learned.
        learn_limits: bool = "learn-limits",
        /// Values have their time, and a master may ask for those it missed.
        spool: bool = "spool",
    }
}

section! {
    /// `[learn]`
    Learn {
        /// `PROBE.FIELD` or `PROBE.FIELD:OBJECT`; `usual` stands for what is learned without a list.
        quantities: Vec<Text> = "quantities",
        /// Nothing but a gap is found before.
        after: Duration = "after",
    }
}

section! {
    /// `[http]`
    Http {
        listen: Vec<SocketAddr> = "listen",
    }
}

section! {
    /// What every promise may have.
    Common {
        guard: Expression = "if",
        every: Duration = "every",
        mode: Manner = "mode",
        limit: Limit = "limit",
        /// How long it leaves things alone once the limit is spent.
        cooldown: Duration = "cooldown",
        timeout: Duration = "timeout",
        /// Its classes stay true so long after they last held.
        hold: Duration = "hold",
        /// For people; not kept.
        comment: String = "comment",
    }
}

section! {
    /// Who a program runs as, and where.
    Surroundings {
        user: Account = "user",
        group: Account = "group",
        cwd: Absolute = "cwd",
        env: Vec<(String, String)> = "env",
        /// Variables out of a file, which those of `env` outdo.
        env_file: EnvFile = "env-file",
        umask: Umask = "umask",
        nice: Number<-20, 19> = "nice",
        ionice: Ionice = "ionice",
        oom_score_adj: Number<-1000, 1000> = "oom-score-adj",
        rlimits: Rlimits = "rlimits",
        chroot: Absolute = "chroot",
    }
}

section! {
    /// `[process.ID]`
    Process with common: Common, surroundings: Surroundings {
        run: model::Command = "run",
        pidfile: Absolute = "pidfile",
        pattern: Selection = "match",
        /// Its whole command line.
        regex: Regex = "regex",
        /// How many of them there are to be.
        count: Range = "count",
        start: model::Command = "start",
        stop: model::Command = "stop",
        signals: Vec<StopStep> = "signals",
        backoff: (Duration, Duration) = "backoff",
        settle: Duration = "settle",
        on_exit: OnExit = "on-exit",
        /// What becomes of it when its table is taken out while watchd runs.
        on_remove: OnExit = "on-remove",
        /// Where what `run` writes goes.
        output: setting::Sink = "output",
        /// What has to pass before it counts as ready.
        ready: Ready = "ready",
        check: Vec<Check> = "check",
        /// Not started again into a full disk or a heavy stall.
        wait_for_host: bool = "wait-for-host",
        /// Restarted, to give its memory back, while work waits for memory.
        on_pressure: OnPressure = "on-pressure",
        rss: Limited = "rss",
        cpu: Limited = "cpu",
        fds: Limited = "fds",
        threads: Limited = "threads",
        /// Processes below the main one.
        children: Limited = "children",
        age: Limited = "age",
        /// It says WATCHDOG=1 at least this often.
        watchdog: Duration = "watchdog",
        needs: Vec<Id> = "needs",
        after: Vec<Id> = "after",
        /// What `@NAME` calls it.
        tags: Vec<Id> = "tags",
    }
}

section! {
    /// What a check asks: one of tcp, unix, http, exec and fresh.
    Aim {
        tcp: SocketAddr = "tcp",
        unix: Absolute = "unix",
        http: Url = "http",
        /// The statuses of `http` that pass.
        status: Statuses = "status",
        /// A text in the body of `http`.
        contains: String = "contains",
        /// A header of `http` and its value.
        header: HeaderLine = "header",
        exec: model::Command = "exec",
        fresh: Fresh = "fresh",
    }
}

section! {
    /// One item of `check`.
    Check with aim: Aim {
        every: Duration = "every",
        timeout: Duration = "timeout",
        fails: Count = "fails",
        passes: Count = "passes",
    }
}

section! {
    /// `rss` and the other limits; an amount alone is its `max`.
    Limited {
        max: Amount = "max",
        lasts: Duration = "for",
        then: Then = "do",
    }
}

section! {
    /// The table form of `do`.
    Deed {
        run: model::Command = "run",
    }
}

section! {
    /// `ready`
    Ready with aim: Aim {
        /// It says READY=1 by itself.
        notify: bool = "notify",
        within: Duration = "within",
    }
}

section! {
    /// `fresh`
    Fresh {
        path: Absolute = "path",
        within: Duration = "within",
    }
}

section! {
    /// The table form of `output`.
    OutputFile {
        file: Absolute = "file",
        /// It is cut when it is larger.
        max: Bytes = "max",
        /// Older parts that stay.
        keep: Number<0, 99> = "keep",
    }
}

section! {
    /// The table form of `match`.
    Match {
        name: String = "name",
        regex: Regex = "regex",
        user: Account = "user",
        /// Letters of the kernel.
        state: States = "state",
        tty: Terminal = "tty",
        older: Duration = "older",
        larger: Size = "larger",
    }
}

section! {
    /// `[disk.ID]`
    Disk with common: Common {
        path: Absolute = "path",
        full: Share = "full",
        ok: Share = "ok",
        inodes: Share = "inodes",
        /// Full within this time is full soon.
        forecast: Duration = "forecast",
    }
}

section! {
    /// `[file.ID]`: with `path` what one file is to be like, with `in` which files are put out of the way.
    File with common: Common {
        path: Absolute = "path",
        line: Line = "line",
        lines: Vec<Line> = "lines",
        absent: OneOrMore<Regex> = "absent",
        replace: OneOrMore<Replace> = "replace",
        spot: model::Spot = "where",
        blanks: Blanks = "blanks",
        create: bool = "create",
        owner: Account = "owner",
        group: Account = "group",
        backup: bool = "backup",
        watch: HashName = "watch",
        template: Text = "template",
        template_file: Absolute = "template-file",
        dir: Absolute = "in",
        names: Vec<Glob> = "names",
        older: Duration = "older",
        larger: Size = "larger",
        keep: Count = "keep",
        until: String = "until",
        delete: bool = "delete",
        compress: bool = "compress",
        depth: Count = "depth",
    }
}

section! {
    /// One item of `replace`.
    Replace {
        regex: Regex = "regex",
        with: Line = "with",
    }
}

section! {
    /// `[freshness.ID]`
    Freshness with common: Common {
        path: Absolute = "path",
        dir: Absolute = "in",
        names: Vec<Glob> = "names",
        depth: Count = "depth",
        newest: Duration = "newest",
        size: SizeLimit = "size",
        marker: Absolute = "marker",
    }
}

section! {
    /// `size` of what is fresh.
    SizeLimit {
        min: Size = "min",
        shrink: Share = "shrink",
    }
}

section! {
    /// `[measure.ID]`
    Measure with common: Common, surroundings: Surroundings {
        file: Absolute = "file",
        pattern: Regex = "match",
        kind: LogKind = "kind",
        run: model::Command = "run",
        metric: String = "metric",
        /// The command whose lines `=NAME VALUE` tell it.
        command: Id = "command",
        high: Level = "high",
        /// Where high is over.
        high_ok: Level = "high-ok",
        low: Level = "low",
        low_ok: Level = "low-ok",
        unit: Line = "unit",
        learn: bool = "learn",
    }
}

section! {
    /// `[command.ID]`
    Command with common: Common, surroundings: Surroundings {
        run: model::Command = "run",
        /// Exit statuses that mean: nothing was to be done.
        kept: Vec<u8> = "kept",
        /// Exit statuses that mean: done.
        repaired: Vec<u8> = "repaired",
        /// What lines `+NAME` and `-NAME` of its output give and take.
        classes: Vec<Switch> = "classes",
        /// Many hosts begin within so long after its condition does.
        splay: Duration = "splay",
    }
}

section! {
    /// `[report.ID]`
    Report with common: Common, surroundings: Surroundings {
        text: Text = "text",
        to: OneOrMore<At<Sink>> = "to",
        /// A program that gets the text on its standard input.
        run: model::Command = "run",
        /// Only when the condition begins, and when it ends.
        changes: bool = "changes",
        /// Not again within this time.
        quiet: Duration = "quiet",
        /// With `changes`: told again so often while it lasts.
        remind: Duration = "remind",
        /// Only when the text is not what was told last.
        differs: bool = "differs",
        /// Into the next digest.
        digest: bool = "digest",
    }
}

section! {
    /// `[webhook.NAME]`
    Webhook with surroundings: Surroundings {
        /// It gets an object of JSON on its standard input.
        run: model::Command = "run",
    }
}

section! {
    /// `[class.ID]`
    Class {
        when: Expression = "when",
        /// At least one of them.
        any: Vec<At<Expression>> = "any",
        /// Every one of them.
        all: Vec<At<Expression>> = "all",
        /// It stays true so long after it last held.
        hold: Duration = "hold",
        comment: String = "comment",
    }
}

impl Process {
    /// Whether it is about as many processes as there are, and not about one service.
    pub fn is_crowd(&self) -> bool {
        self.count.is_some() || self.regex.is_some() || self.pattern.as_ref().is_some_and(|at| at.value.is_particular())
    }

    /// Its limits.
    pub fn limits(&self) -> impl Iterator<Item = (Quantity, &At<Limited>)> {
        let all = [&self.rss, &self.cpu, &self.fds, &self.threads, &self.children, &self.age];
        Quantity::ALL.iter().zip(all).filter_map(|(what, limited)| Some((*what, limited.as_ref()?)))
    }
}
