//! Sources and sinks: folders, SQLite. Siblings never import each other, and none knows settings or HTTP.

pub mod folder;
pub mod sqlite;
