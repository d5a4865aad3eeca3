//! The chain at work.

use super::cell::{Cell, CellChange, CellKey};
use super::definition::{Transformer, Transformers};
use super::options::ChainOptions;
use super::scope::Scope;
use super::store::Keep;
use super::work::Work;
use crate::model::{Complaint, Place, Sample, Value};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The transformers of one sink at work on one queue, with their state.
#[derive(Debug)]
pub struct Chain {
    transformers: Arc<Transformers>,
    /// `sink <name>`, where nothing better can be named.
    sink: Place,
    name: String,
    options: ChainOptions,
    works: Vec<Work>,
    /// Cells that were put in and could not be used: to be removed from where they came.
    dropped: Vec<CellKey>,
    /// Whether it was said that the bound is reached.
    full: bool,
}

impl Chain {
    /// A chain without state. `sink` is named in complaints.
    pub fn new(transformers: Arc<Transformers>, sink: &str, options: ChainOptions) -> Chain {
        let works = transformers.all.iter().map(Work::new).collect();
        let place = Place { file: format!("sink {sink}").into(), line: 0 };
        Chain { transformers, sink: place, name: sink.to_owned(), options, works, dropped: Vec::new(), full: false }
    }

    /// One scope: what one notification yields for one pipeline of this sink, and what comes out for the publishers, the
    /// flush at the end of the scope included. `message_id` and `pipeline` go into the ids of samples made here. A scope
    /// without samples only flushes.
    ///
    /// Total: a sample on which a transformer fails is left out with a complaint.
    pub fn take(
        &mut self,
        pipeline: &str,
        message_id: &Value,
        samples: Vec<Sample>,
        now: DateTime<Utc>,
        complaints: &mut Vec<Complaint>,
    ) -> Vec<Sample> {
        if self.works.is_empty() {
            return samples;
        }
        self.expire(now);
        let Chain { transformers, sink, name, options, works, full, .. } = self;
        let mut scope = Scope::new(pipeline, message_id, now, options, name, sink, complaints);
        let mut out = Vec::with_capacity(samples.len());
        for sample in samples {
            out.extend(pass(&transformers.all, works, sample, 0, &mut scope));
        }
        let early = bound(works, full, &transformers.all, &mut scope);
        for position in 0..works.len() {
            let transformer = &transformers.all[position];
            scope.turn(position, transformer.name, &transformer.place);
            let flushed = match works[position].flush(&transformer.told, early[position], &mut scope) {
                Ok(flushed) => flushed,
                Err(failure) => {
                    scope.complain(&format!("cannot flush: {failure}"));
                    if early[position] {
                        works[position].kept_mut().into_iter().for_each(Keep::remove_all);
                        works[position].recount();
                        scope.complain("it drops what it held, because the state has reached its bound");
                    }
                    Vec::new()
                }
            };
            for sample in flushed {
                out.extend(pass(&transformers.all, works, sample, position + 1, &mut scope));
            }
        }
        out
    }

    /// Forgets what was not touched for too long. What is held to be given out never is too old.
    fn expire(&mut self, now: DateTime<Utc>) {
        let Some(ttl) = self.options.state_ttl else { return };
        let ttl = i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX);
        let oldest_kept = now.timestamp_micros().saturating_sub(ttl);
        for work in self.works.iter_mut().filter(|work| !work.holds_data()) {
            while let Some(kept) = work.kept_mut()
                && kept.oldest().is_some_and(|oldest| oldest < oldest_kept)
            {
                kept.remove_oldest();
            }
        }
    }

    /// What transformers hold to give it out at a later scope: the name of each, and how many.
    pub fn held(&self) -> Vec<(&'static str, usize)> {
        let holding = self.transformers.all.iter().zip(&self.works).filter(|(_, work)| work.holds_data());
        let counted = holding.map(|(transformer, work)| (transformer.name, work.kept().map_or(0, Keep::len)));
        counted.filter(|(_, count)| *count > 0).collect()
    }

    /// The cells that changed since the last call, each once, transformer by transformer, each in the order of keys.
    pub fn changes(&mut self) -> Vec<CellChange> {
        let dropped = std::mem::take(&mut self.dropped);
        let mut changes: Vec<CellChange> = dropped.into_iter().map(|key| CellChange { key, value: None }).collect();
        for (name, work) in names(&self.transformers).zip(&mut self.works) {
            work.kept_mut().into_iter().for_each(|kept| kept.changes(&name, &mut changes));
        }
        changes
    }

    /// All cells, transformer by transformer, each in the order of keys.
    pub fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for (name, work) in names(&self.transformers).zip(&self.works) {
            work.kept().into_iter().for_each(|kept| kept.cells(&name, &mut cells));
        }
        cells
    }

    /// Puts cells in, beside those that are there; one of the same key is replaced. Cells of transformers that are not
    /// in this chain (any more), and cells that cannot be read, are dropped and complained of; `changes()` then removes
    /// them. Cells put in are no change.
    pub fn restore(&mut self, cells: Vec<Cell>) -> Vec<Complaint> {
        let names: BTreeMap<String, usize> = names(&self.transformers).zip(0..).collect();
        let (mut strange, mut unreadable) = (BTreeMap::<String, usize>::new(), BTreeMap::<String, usize>::new());
        for Cell { key, value } in cells {
            let kept = names.get(&key.transformer).and_then(|at| self.works[*at].kept_mut());
            let (restored, counts) = match kept {
                Some(kept) => (kept.restore(&key.resource, &key.key, &value), &mut unreadable),
                None => (false, &mut strange),
            };
            if !restored {
                *counts.entry(key.transformer.clone()).or_default() += 1;
                self.dropped.push(key);
            }
        }
        self.works.iter_mut().for_each(Work::recount);
        let told = |(transformer, count): (&String, &usize), why: &str| {
            let text = format!("{count} cells of the transformer {transformer} are dropped: {why}; it begins anew");
            Complaint::warning(&self.sink, text)
        };
        let strange = strange.iter().map(|of| told(of, "the sink has no such transformer (any more)"));
        strange.chain(unreadable.iter().map(|of| told(of, "they cannot be read"))).collect()
    }
}

/// What the cells of each transformer are found by.
fn names(transformers: &Transformers) -> impl Iterator<Item = String> {
    transformers.all.iter().enumerate().map(|(position, transformer)| format!("{position}:{}", transformer.digest))
}

/// A sample through the chain, from a position on.
fn pass<'a>(
    all: &'a [Transformer],
    works: &mut [Work],
    sample: Sample,
    from: usize,
    scope: &mut Scope<'a>,
) -> Option<Sample> {
    let mut sample = sample;
    for (position, (transformer, work)) in all.iter().zip(works).enumerate().skip(from) {
        scope.turn(position, transformer.name, &transformer.place);
        sample = match work.handle(&transformer.told, sample, scope) {
            Ok(sample) => sample?,
            Err(why) => {
                scope.complain(&why);
                return None;
            }
        };
    }
    Some(sample)
}

/// Keeps the cells within their bound: the oldest memory goes. Where the oldest is data to be given out, it is not
/// forgotten: the answer names the transformers that have to flush early.
fn bound<'a>(works: &mut [Work], full: &mut bool, all: &'a [Transformer], scope: &mut Scope<'a>) -> Vec<bool> {
    let mut early = vec![false; works.len()];
    let most = scope.options.state_cells_max;
    let mut count: usize = works.iter().filter_map(|work| Some(work.kept()?.len())).sum();
    let mut oldest_at = None;
    while count > most {
        let ages = works.iter().enumerate().filter(|(position, _)| !early[*position]);
        let oldest = ages.filter_map(|(position, work)| Some((work.kept()?.oldest()?, position))).min();
        let Some((_, position)) = oldest else { break };
        oldest_at.get_or_insert(position);
        let work = &mut works[position];
        if work.holds_data() {
            early[position] = true;
            count -= work.kept().map_or(0, Keep::len);
        } else {
            work.kept_mut().into_iter().for_each(Keep::remove_oldest);
            count -= 1;
        }
    }
    let Some(position) = oldest_at else { return early };
    if !*full {
        *full = true;
        scope.turn(position, all[position].name, &all[position].place);
        let text = format!(
            "the state of a queue has reached {most} cells: from now on the oldest are forgotten, and what is held is given \
             out early; raise [nephoscope] state_cells_max, or set state_ttl"
        );
        scope.warn(&text);
    }
    early
}
