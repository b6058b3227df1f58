//! Folds the splits of a batch on all cores.
//!
//! Splits are taken in their order; once one of a partition has ended early, later ones of that partition are
//! not begun, and what they brought is dropped: a partition's range stays without a hole.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use telemetra_core::logic::Logic;

use crate::{
    fold::{FoldRules, Folded, fold_split},
    ids::PartitionId,
    source::{Source, SourceError},
    split::Split,
};

/// Reads, decodes and folds `splits`, which are grouped by partition and ascending within each.
///
/// # Errors
/// The first error of any split, in the order of the splits.
pub fn fold_all<L: Logic>(
    logic: &L,
    rules: FoldRules,
    source: &dyn Source,
    splits: &[Split],
    workers: usize,
) -> Result<Vec<Folded<L::Partial>>, SourceError> {
    let next = AtomicUsize::new(0);
    let ended = Mutex::new(BTreeSet::<PartitionId>::new());
    let done = Mutex::new((0..splits.len()).map(|_| None).collect::<Vec<_>>());
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(split) = splits.get(at) else { return };
            let is_over = |set: &BTreeSet<PartitionId>| set.contains(&split.partition);
            if is_over(&ended.lock().expect("no worker panics while it holds the lock")) {
                continue;
            }
            let folded = fold_split(logic, rules, source, split);
            if folded.as_ref().is_ok_and(|folded| folded.ended.is_some()) {
                ended.lock().expect("no worker panics while it holds the lock").insert(split.partition);
            }
            done.lock().expect("no worker panics while it holds the lock")[at] = Some(folded);
        }
    };
    let threads = workers.min(splits.len());
    if threads <= 1 {
        work();
    } else {
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
    }
    contiguous(splits, done.into_inner().expect("no worker panics while it holds the lock"))
}

/// Keeps, of each partition, what lies before the first split that ended early.
fn contiguous<P>(
    splits: &[Split],
    done: Vec<Option<Result<Folded<P>, SourceError>>>,
) -> Result<Vec<Folded<P>>, SourceError> {
    let mut over = BTreeSet::new();
    let mut kept = Vec::with_capacity(done.len());
    for (folded, split) in done.into_iter().zip(splits) {
        let Some(folded) = folded.filter(|_| !over.contains(&split.partition)) else { continue };
        let folded = folded?;
        if folded.ended.is_some() {
            over.insert(folded.partition);
        }
        kept.push(folded);
    }
    Ok(kept)
}
