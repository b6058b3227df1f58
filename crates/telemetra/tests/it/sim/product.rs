//! How events become records of a product, and what the rows made of them must hold.

use std::sync::Arc;

use telemetra_core::{logic::Logic, window::WindowSpec};
use telemetra_engine::{
    sim::{
        reference::{Known, RowView},
        sink::Lens,
        source::MemSource,
        sums::Sums,
    },
    source::Input,
};

use super::input::{Item, Kind};

/// A product that scenarios can be run with.
pub(super) struct Product<L: Logic> {
    pub(super) logic: Arc<L>,
    pub(super) lens: Lens<L>,
    /// The bytes of the `nth` item of a partition of this input.
    pub(super) record: fn(u8, &Item, u64) -> Vec<u8>,
    /// What a record is.
    pub(super) known: fn(u8, &[u8]) -> Known,
    /// The data columns of a row.
    pub(super) text: fn(&MemSource, &RowView<'_>) -> String,
    /// How many earlier rows a final row looks back on.
    pub(super) earlier_rows: usize,
}

impl<L: Logic> Clone for Product<L> {
    fn clone(&self) -> Self {
        Self { logic: Arc::clone(&self.logic), ..*self }
    }
}

pub(super) fn window() -> WindowSpec {
    WindowSpec::new(60_000, 10_000).expect("six panes to a window")
}

pub(super) fn inputs() -> Vec<Input> {
    let input = |name, place: &str| Input { name, topic: None, place: place.to_owned() };
    vec![input("chat", "memory/chat"), input("viewer", "memory/viewer")]
}

/// Sums per key: the engine's own second logic.
pub(super) fn sums() -> Product<Sums> {
    Product {
        logic: Arc::new(Sums::new(window())),
        lens: Sums::lens(),
        record: |_, item, nth| match item.kind {
            Kind::Chat | Kind::Viewer => {
                let key = format!("s{}", item.stream);
                Sums::record(item.kind == Kind::Chat, item.time_ms, &key, nth.cast_signed() % 1_000)
            }
            Kind::Refused | Kind::Empty => b"refused".to_vec(),
        },
        known: |_, record| Sums::known(record),
        text: |source, view| {
            let record = |id, offset| source.log(id).and_then(|log| log.get(offset));
            let records = view.members.iter().filter_map(|member| record(member.partition, member.offset));
            Sums::text(records, view.earlier)
        },
        earlier_rows: 1,
    }
}
