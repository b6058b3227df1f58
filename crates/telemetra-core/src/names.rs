//! An interner: names from outside to small numbers, in order of first sight.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Names with their numbers `0..len`.
#[derive(Clone, Debug, Default)]
pub struct Names {
    state: RandomState,
    table: HashTable<u32>,
    names: Vec<Box<str>>,
    bytes: usize,
}

impl Names {
    /// The number of `name`, new if it was not seen before. Allocates only for a new name.
    #[inline]
    pub fn intern(&mut self, name: &str) -> u32 {
        let hash = self.state.hash_one(name.as_bytes());
        let names = &self.names;
        if let Some(&found) = self.table.find(hash, |&id| &*names[id as usize] == name) {
            return found;
        }
        self.add(hash, name)
    }

    #[cold]
    fn add(&mut self, hash: u64, name: &str) -> u32 {
        let id = u32::try_from(self.names.len()).expect("fewer than 2^32 names: batches are bounded");
        self.names.push(name.into());
        self.bytes += name.len() + 40;
        let (names, state) = (&self.names, &self.state);
        self.table.insert_unique(hash, id, |&id| state.hash_one(names[id as usize].as_bytes()));
        id
    }

    /// The number of `name` if it is known.
    pub fn get(&self, name: &str) -> Option<u32> {
        let hash = self.state.hash_one(name.as_bytes());
        self.table.find(hash, |&id| &*self.names[id as usize] == name).copied()
    }

    /// The name with number `id`.
    #[inline]
    pub fn name(&self, id: u32) -> &str {
        &self.names[id as usize]
    }

    /// All names in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Memory taken, bytes, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
