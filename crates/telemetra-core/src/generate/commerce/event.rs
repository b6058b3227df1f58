//! What event number n is: the same for the same seed and number, so that it can come again without being kept.

use super::catalogue::{Catalogue, Product, skewed};
use crate::{
    commerce::rows::EventType,
    generate::random::{Random, scramble},
};

/// One shop event.
#[derive(Clone, Debug)]
pub(super) struct ShopEvent {
    /// The bits of its UUID.
    pub(super) id: u128,
    pub(super) user: u32,
    pub(super) product: Product,
    pub(super) cents: u64,
    pub(super) event_type: EventType,
    /// Stamps are written to the second.
    pub(super) time_ms: i64,
}

impl ShopEvent {
    pub(super) fn new(seed: u64, number: u64, time_ms: i64, users: u32, catalogue: &Catalogue) -> Self {
        let mut random = Random::new(seed, number);
        let event_type = match random.below(10) {
            0..6 => EventType::View,
            6..9 => EventType::AddToCart,
            _ => EventType::Purchase,
        };
        let product = catalogue.choose(&mut random);
        let cents = if random.below(10) == 0 { product.cents * 9 / 10 } else { product.cents };
        Self { id: id(seed, number), user: skewed(users, &mut random), product, cents, event_type, time_ms }
    }

    /// Makes one part of the payload another.
    pub(super) fn change(&mut self, random: &mut Random) {
        match random.below(5) {
            0 => self.cents += 1,
            1 => self.user += 1,
            2 => {
                self.event_type = match self.event_type {
                    EventType::View => EventType::AddToCart,
                    EventType::AddToCart => EventType::Purchase,
                    EventType::Purchase => EventType::View,
                }
            }
            3 => self.product.category = "Clearance",
            _ => self.time_ms += 1_000,
        }
    }
}

/// A UUID of version 4 (RFC 9562); different numbers of one seed have different ones.
fn id(seed: u64, number: u64) -> u128 {
    let high = scramble(number ^ scramble(seed));
    let low = scramble(high ^ 0x1d5_0fe7_e47a);
    let bits = u128::from(high) << 64 | u128::from(low);
    bits & !(0xf << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62
}
