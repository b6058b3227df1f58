//! The page's questions, answered by the store's reader.

use telemetra_connectors::StoreReader;

use crate::http::data::{MomentShown, PageData, RatePoint, StreamNow};

impl PageData for StoreReader {
    fn newest_ms(&mut self) -> anyhow::Result<Option<i64>> {
        Ok(StoreReader::newest_ms(self)?)
    }

    fn rates(&mut self, from_ms: i64, stream: Option<&str>) -> anyhow::Result<Vec<RatePoint>> {
        Ok(StoreReader::rates(self, from_ms, stream)?)
    }

    fn streams(&mut self, from_ms: i64, at_ms: i64, most: usize) -> anyhow::Result<Vec<StreamNow>> {
        Ok(StoreReader::streams(self, from_ms, at_ms, most)?)
    }

    fn moments(&mut self, most: usize) -> anyhow::Result<Vec<MomentShown>> {
        Ok(StoreReader::moments(self, most)?)
    }
}
