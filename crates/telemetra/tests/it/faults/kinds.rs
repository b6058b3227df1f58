//! The kinds of faults, and what each of them needs.

/// Something that goes wrong while instances work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Kind {
    /// `kill -9` of an instance at any moment.
    Kill,
    /// `kill -9` of the holder while the server takes its time over its COMMIT.
    KillInSlowCommit,
    /// COMMIT is sent, the connection is cut at once, and the instance dies.
    CommitThenKill,
    /// The same while COMMIT is slow: whoever starts meets a transaction that has not ended.
    SlowCommitThenKill,
    /// COMMIT is done, its reply is lost, and the instance dies.
    ReplyThenKill,
    /// The holder stops for longer than its lease, and wakes up.
    Freeze,
    /// The server crashes and recovers.
    ServerCrash,
    /// An administrator ends all backends of the job.
    KilledBackends,
    /// Both ends of the holder's connection see a reset.
    Reset,
    /// The network forwards nothing for a while and nobody is told.
    Stall,
    /// Messages are late.
    Latency,
    /// A message and its replies go byte by byte.
    Trickle,
    /// COMMIT is lost on its way.
    CutBeforeCommit,
    /// COMMIT is sent on, the connection is cut at once.
    CutAfterCommit,
    /// The same while COMMIT is slow: its outcome is asked for before there is one.
    CutAfterSlowCommit,
    /// COMMIT is done, its reply is lost.
    CutReply,
    /// The server rolls back and says so by a tag alone.
    AbortCommit,
}

impl Kind {
    pub(super) const ALL: [Self; 17] = [
        Self::Kill,
        Self::KillInSlowCommit,
        Self::CommitThenKill,
        Self::SlowCommitThenKill,
        Self::ReplyThenKill,
        Self::Freeze,
        Self::ServerCrash,
        Self::KilledBackends,
        Self::Reset,
        Self::Stall,
        Self::Latency,
        Self::Trickle,
        Self::CutBeforeCommit,
        Self::CutAfterCommit,
        Self::CutAfterSlowCommit,
        Self::CutReply,
        Self::AbortCommit,
    ];

    /// Whether it happens in a proxy.
    pub(super) fn needs_proxy(self) -> bool {
        !matches!(
            self,
            Self::Kill | Self::KillInSlowCommit | Self::Freeze | Self::ServerCrash | Self::KilledBackends
        )
    }

    /// Whether an instance dies of it.
    pub(super) fn kills(self) -> bool {
        matches!(
            self,
            Self::Kill
                | Self::KillInSlowCommit
                | Self::CommitThenKill
                | Self::SlowCommitThenKill
                | Self::ReplyThenKill
        )
    }

    /// Whether another instance, or a new one, must go on.
    pub(super) fn ends_epoch(self) -> bool {
        self.kills() || self == Self::Freeze
    }
}
