//! Faults put in on purpose, to prove that the tests see them.
//!
//! Only a build with the feature `mutants` holds them; in every other build [`is`] is `false` at compile time.
//! The fault is chosen once at run time.

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mutant {
    /// A batch's overlay becomes the state before its commit is known.
    PanesBeforeCommit = 1,
    /// Replay asks rules and clock again.
    ReplayJudges = 2,
    /// A partition with unread records and no event yet does not hold the watermark.
    UnseenHoldsNobody = 3,
    /// A pane is dropped at its own end, not at that of its last window.
    PaneDroppedAtItsEnd = 4,
    /// The audit accepts a residual.
    AuditResidual = 5,
    /// A position is read without the lock: a COMMIT under way is not waited for.
    PlainSelect = 6,
    /// Batch and positions move from wherever they are.
    NoCompareAndSet = 7,
    /// An instance that was overtaken writes on.
    NoEpoch = 8,
    /// Rows are added to what is stored instead of replacing it.
    AdditiveUpsert = 9,
    /// A batch counts as applied whatever COMMIT says.
    AcknowledgedBeforeCommit = 10,
    /// A COMMIT that the server turned into a rollback counts as applied.
    RollbackIgnored = 11,
    /// Dead letters are written in a transaction of their own.
    DeadLettersOutside = 12,
}

/// All faults, with their names.
pub const ALL: [(&str, Mutant); 12] = [
    ("panes-before-commit", Mutant::PanesBeforeCommit),
    ("replay-judges", Mutant::ReplayJudges),
    ("unseen-holds-nobody", Mutant::UnseenHoldsNobody),
    ("pane-dropped-at-its-end", Mutant::PaneDroppedAtItsEnd),
    ("audit-residual", Mutant::AuditResidual),
    ("plain-select", Mutant::PlainSelect),
    ("no-compare-and-set", Mutant::NoCompareAndSet),
    ("no-epoch", Mutant::NoEpoch),
    ("additive-upsert", Mutant::AdditiveUpsert),
    ("acknowledged-before-commit", Mutant::AcknowledgedBeforeCommit),
    ("rollback-ignored", Mutant::RollbackIgnored),
    ("dead-letters-outside", Mutant::DeadLettersOutside),
];

#[cfg(feature = "mutants")]
static CHOSEN: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Whether `mutant` was chosen.
#[inline(always)]
#[cfg(not(feature = "mutants"))]
pub fn is(_mutant: Mutant) -> bool {
    false
}

/// Whether `mutant` was chosen.
#[cfg(feature = "mutants")]
pub fn is(mutant: Mutant) -> bool {
    CHOSEN.load(std::sync::atomic::Ordering::Relaxed) == mutant as u8
}

/// Chooses a fault by its name; `false` if there is none of that name.
#[cfg(feature = "mutants")]
pub fn choose(name: &str) -> bool {
    let found = ALL.iter().find(|(known, _)| *known == name);
    CHOSEN.store(found.map_or(0, |(_, mutant)| *mutant as u8), std::sync::atomic::Ordering::Relaxed);
    found.is_some()
}
