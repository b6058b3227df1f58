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
}

/// All faults, with their names.
pub const ALL: [(&str, Mutant); 5] = [
    ("panes-before-commit", Mutant::PanesBeforeCommit),
    ("replay-judges", Mutant::ReplayJudges),
    ("unseen-holds-nobody", Mutant::UnseenHoldsNobody),
    ("pane-dropped-at-its-end", Mutant::PaneDroppedAtItsEnd),
    ("audit-residual", Mutant::AuditResidual),
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
