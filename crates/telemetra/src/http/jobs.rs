//! The jobs that a page shows: one, or a second one beside it, as in the demo.

use std::sync::Arc;

use serde::Serialize;

use crate::snapshot::{Latest, Snapshot};

/// Where the snapshots come from. A clone shares the same.
#[derive(Clone, Debug, Default)]
pub struct Jobs {
    /// The job that the page is about.
    pub main: Latest,
    /// Another one of the same process.
    pub beside: Option<Latest>,
}

impl From<Latest> for Jobs {
    fn from(main: Latest) -> Self {
        Self { main, beside: None }
    }
}

/// How the jobs stand at one moment; as JSON the main job's snapshot, the other one in its `beside`.
#[derive(Clone, Debug)]
pub(super) struct JobsNow {
    main: Arc<Snapshot>,
    beside: Option<Arc<Snapshot>>,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    main: &'a Snapshot,
    #[serde(skip_serializing_if = "Option::is_none")]
    beside: Option<&'a Snapshot>,
}

impl Jobs {
    /// How they stand now.
    pub(super) fn now(&self) -> JobsNow {
        JobsNow { main: self.main.get(), beside: self.beside.as_ref().map(Latest::get) }
    }
}

impl JobsNow {
    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Snapshot> {
        [Some(&self.main), self.beside.as_ref()].into_iter().flatten().map(AsRef::as_ref)
    }

    /// As the page reads them.
    pub(super) fn json(&self) -> String {
        let shown = Shown { main: &self.main, beside: self.beside.as_deref() };
        serde_json::to_string(&shown).expect("a snapshot is plain data")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::run::Pipeline;

    #[test]
    fn the_second_job_stands_beside_the_first() {
        let jobs = Jobs { main: Latest::default(), beside: Some(Latest::default()) };
        let numbers = Pipeline::Commerce.numbers();
        jobs.beside.as_ref().expect("it was given").publish(Snapshot { numbers, ..Snapshot::default() });
        let json: serde_json::Value = serde_json::from_str(&jobs.now().json()).expect("JSON");
        assert_eq!((&json["pipeline"], &json["beside"]["pipeline"]), (&"chat".into(), &"commerce".into()));
        assert_eq!(jobs.now().all().count(), 2);
        let alone: serde_json::Value =
            serde_json::from_str(&Jobs::from(Latest::default()).now().json()).expect("JSON");
        assert!(alone.get("beside").is_none());
    }
}
