//! The tables of a pipeline, as a type that a sink is made for.
//!
//! What is done to them is each store's; whose rows they hold is the same in all.

use telemetra_core::{chat::Chat, commerce::Commerce, logic::Logic};

/// Tables that hold the rows of one pipeline.
pub trait Keeps: 'static {
    /// The pipeline.
    type Logic: Logic;
}

/// `chat_summary_minute` and `moments`.
#[derive(Debug)]
pub struct ChatTables;

impl Keeps for ChatTables {
    type Logic = Chat;
}

/// `user_events` and `rejected_events`.
#[derive(Debug)]
pub struct CommerceTables;

impl Keeps for CommerceTables {
    type Logic = Commerce;
}
