//! What one transformer keeps: values by resource and key, oldest first, with what changed since it was last asked.

use super::cell::{Cell, CellChange, CellKey};
use crate::model::{Dict, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Where a value is: resource, key.
pub(super) type Address = Arc<(Box<str>, Box<str>)>;

/// A value of a cell. Its shape is written down in `docs/formats.md`.
pub(super) trait Kept: Sized + std::fmt::Debug {
    /// The members of its object beside `at`.
    fn write(&self) -> Dict;

    /// The value of such an object; `None` if it is none.
    fn read(dict: Dict) -> Option<Self>;
}

/// A value, and since when it is kept: microseconds since 1970, or a little more where the order must be strict.
#[derive(Debug)]
pub(super) struct Entry<V> {
    at: i64,
    pub(super) value: V,
}

/// Values with their addresses.
#[derive(Debug)]
pub(super) struct Store<V> {
    entries: BTreeMap<Address, Entry<V>>,
    ages: BTreeSet<(i64, Address)>,
    /// What was touched since [`Store::changes`]; whether it was there then.
    touched: BTreeMap<Address, bool>,
}

impl<V> Default for Store<V> {
    fn default() -> Self {
        Store { entries: BTreeMap::new(), ages: BTreeSet::new(), touched: BTreeMap::new() }
    }
}

pub(super) fn address(resource: &str, key: &str) -> Address {
    Arc::new((resource.into(), key.into()))
}

impl<V> Store<V> {
    pub(super) fn get(&self, address: &Address) -> Option<&V> {
        self.entries.get(address).map(|entry| &entry.value)
    }

    /// The value for change.
    pub(super) fn get_mut(&mut self, address: &Address) -> Option<&mut V> {
        let entry = self.entries.get_mut(address)?;
        self.touched.entry(Arc::clone(address)).or_insert(true);
        Some(&mut entry.value)
    }

    /// Puts a value in, as of a time.
    pub(super) fn put(&mut self, address: &Address, at: i64, value: V) {
        let former = self.entries.insert(Arc::clone(address), Entry { at, value });
        if let Some(former) = &former {
            self.ages.remove(&(former.at, Arc::clone(address)));
        }
        self.ages.insert((at, Arc::clone(address)));
        self.touched.entry(Arc::clone(address)).or_insert(former.is_some());
    }

    pub(super) fn remove(&mut self, address: &Address) -> Option<V> {
        let entry = self.entries.remove(address)?;
        self.ages.remove(&(entry.at, Arc::clone(address)));
        self.touched.entry(Arc::clone(address)).or_insert(true);
        Some(entry.value)
    }

    /// A time that is later than everything kept: for values whose order is the order of their coming.
    pub(super) fn later(&self, now: i64) -> i64 {
        self.ages.last().map_or(now, |(last, _)| now.max(last.saturating_add(1)))
    }

    /// The addresses, oldest first.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &Address> {
        self.ages.iter().map(|(_, address)| address)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.values().map(|entry| &entry.value)
    }

    /// Takes everything out, oldest first.
    pub(super) fn take_all(&mut self) -> Vec<V> {
        let order: Vec<Address> = self.in_order().map(Arc::clone).collect();
        order.iter().filter_map(|address| self.remove(address)).collect()
    }
}

/// What the chain does with the values of any transformer.
pub(super) trait Keep {
    fn len(&self) -> usize;
    /// Since when the oldest is kept.
    fn oldest(&self) -> Option<i64>;
    fn remove_oldest(&mut self);
    fn remove_all(&mut self);
    fn cells(&self, transformer: &str, out: &mut Vec<Cell>);
    fn changes(&mut self, transformer: &str, out: &mut Vec<CellChange>);
    /// Puts a cell's value in; whether it could be read.
    fn restore(&mut self, resource: &str, key: &str, value: &[u8]) -> bool;
}

impl<V: Kept> Keep for Store<V> {
    fn len(&self) -> usize {
        self.entries.len()
    }

    fn oldest(&self) -> Option<i64> {
        self.ages.first().map(|(at, _)| *at)
    }

    fn remove_oldest(&mut self) {
        if let Some((_, address)) = self.ages.first().cloned() {
            self.remove(&address);
        }
    }

    fn remove_all(&mut self) {
        drop(self.take_all());
    }

    fn cells(&self, transformer: &str, out: &mut Vec<Cell>) {
        let cells =
            self.entries.iter().map(|(address, entry)| Cell { key: key(transformer, address), value: written(entry) });
        out.extend(cells);
    }

    fn changes(&mut self, transformer: &str, out: &mut Vec<CellChange>) {
        for (address, was_there) in std::mem::take(&mut self.touched) {
            let value = self.entries.get(&address).map(written);
            if was_there || value.is_some() {
                out.push(CellChange { key: key(transformer, &address), value });
            }
        }
    }

    fn restore(&mut self, resource: &str, key: &str, value: &[u8]) -> bool {
        let Ok(Value::Dict(mut dict)) = json::read(value) else { return false };
        let Some(Value::Int(at)) = dict.remove("at") else { return false };
        let Some(value) = V::read(dict.detached()) else { return false };
        let address = address(resource, key);
        self.put(&address, at, value);
        self.touched.remove(&address);
        true
    }
}

fn key(transformer: &str, address: &Address) -> CellKey {
    CellKey { transformer: transformer.to_owned(), resource: address.0.to_string(), key: address.1.to_string() }
}

fn written<V: Kept>(entry: &Entry<V>) -> Vec<u8> {
    let mut dict = Dict::from_iter([("at", entry.at)]);
    for (key, value) in entry.value.write() {
        dict.insert(key, value);
    }
    let mut out = Vec::new();
    json::write_dict(&dict, &mut out);
    out
}
