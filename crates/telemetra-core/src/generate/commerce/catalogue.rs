//! What the shop sells: categories, products and what they cost.

use crate::generate::random::{Random, scramble};

/// A product's name with its lowest and highest price, hundredths.
type Line = (&'static str, i64, i64);

/// Names hold what CSV must quote and what is more than one byte a character.
const CATALOGUE: [(&str, [Line; 6]); 8] = [
    (
        "Electronics",
        [
            ("Wireless Headphones", 3_999, 34_999),
            ("Monitor 27\"", 14_900, 89_900),
            ("USB-C Charger", 1_299, 7_999),
            ("Mechanical Keyboard", 4_900, 21_900),
            ("Smart Speaker", 2_999, 19_999),
            ("Laptop 14\"", 49_900, 249_900),
        ],
    ),
    (
        "Clothing",
        [
            ("Winter Jacket", 5_999, 39_999),
            ("Cotton T-Shirt", 799, 3_999),
            ("Running Socks, 3 pairs", 699, 2_499),
            ("Rain Coat", 3_499, 15_999),
            ("Denim Jeans", 2_999, 12_999),
            ("Wool Scarf", 1_499, 8_999),
        ],
    ),
    (
        "Home",
        [
            ("Desk Lamp", 1_499, 12_999),
            ("Crème brûlée set", 1_999, 5_999),
            ("Knife Set, 5 pieces", 2_999, 29_999),
            ("Bed Linen", 1_999, 14_999),
            ("Espresso Maker", 2_499, 59_999),
            ("Storage Box", 499, 3_999),
        ],
    ),
    (
        "Books",
        [
            ("Novel", 599, 2_999),
            ("Cookbook", 1_299, 4_999),
            ("Atlas of the Oceans", 2_999, 9_999),
            ("Comic", 399, 2_499),
            ("Textbook", 2_999, 12_999),
            ("Poems", 499, 1_999),
        ],
    ),
    (
        "Sports",
        [
            ("Yoga Mat", 999, 8_999),
            ("Running Shoes", 4_999, 22_999),
            ("Tennis Racket", 2_999, 29_999),
            ("Dumbbells, pair", 1_499, 19_999),
            ("Bicycle Helmet", 1_999, 17_999),
            ("Water Bottle", 399, 3_999),
        ],
    ),
    (
        "Beauty",
        [
            ("Face Cream", 499, 9_999),
            ("Shampoo", 199, 2_999),
            ("Perfume", 1_999, 19_999),
            ("Lip Balm", 99, 999),
            ("Hair Dryer", 1_499, 39_999),
            ("Soap, hand-made", 149, 1_299),
        ],
    ),
    (
        "Toys",
        [
            ("Building Bricks", 999, 24_999),
            ("Puzzle", 499, 3_999),
            ("Board Game", 1_499, 8_999),
            ("Teddy Bear", 799, 5_999),
            ("Kite", 599, 4_999),
            ("Toy Train", 1_299, 15_999),
        ],
    ),
    (
        "Groceries",
        [
            ("Coffee Beans", 499, 3_999),
            ("日本茶 ☕", 399, 5_999),
            ("Olive Oil", 399, 2_999),
            ("Dark Chocolate", 99, 799),
            ("Muesli", 199, 1_299),
            ("Honey", 299, 2_499),
        ],
    ),
];

/// One product.
#[derive(Clone, Copy, Debug)]
pub(super) struct Product {
    pub(super) number: u32,
    pub(super) name: &'static str,
    pub(super) category: &'static str,
    /// What it costs when it is not on sale.
    pub(super) cents: u64,
}

/// The products `1..=products`.
#[derive(Clone, Debug)]
pub(super) struct Catalogue {
    seed: u64,
    products: u32,
}

impl Catalogue {
    pub(super) fn new(seed: u64, products: u32) -> Self {
        Self { seed, products }
    }

    /// A product as people choose: those with low numbers more often.
    pub(super) fn choose(&self, random: &mut Random) -> Product {
        self.product(skewed(self.products, random))
    }

    fn product(&self, number: u32) -> Product {
        let mut random = Random::new(scramble(self.seed) ^ 0x000c_a7a1_0600, number.into());
        let (category, lines) = random.pick(&CATALOGUE);
        let (name, from, to) = random.pick(&lines);
        // Shops like prices that end in 9.
        let cents = (random.between(from, to) / 10 * 10 + 9).unsigned_abs();
        Product { number, name, category, cents }
    }
}

/// A number in `1..=end`, the lower ones more often.
pub(super) fn skewed(end: u32, random: &mut Random) -> u32 {
    1 + random.below(end).min(random.below(end)).min(random.below(end))
}
