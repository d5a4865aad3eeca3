//! Lookup mode: one definition finds the names, volumes and units of many samples at once (Ceilometer reference
//! §4.1.3).

use super::attributes::{Attributes, Found, KEYS, is_constant};
use super::definition::MeterDefinition;
use crate::convert::options::ConvertOptions;
use crate::convert::sampling::Sampling;
use crate::model::python::Raised;
use crate::model::{Complaint, Data, Node, Value};
use std::borrow::Cow;

/// The place of the name in [`KEYS`]: it is always looked up, and says how many samples there are.
const NAME: usize = 0;

/// Which attributes must have a value for each name.
pub(super) struct Lookup {
    /// By the attribute's place in [`KEYS`].
    asked: [bool; 8],
    /// `metadata` or `message` are asked for, of which there is only one each.
    asks_for_one: Option<&'static str>,
    /// Ceilometer cannot use what is written here, and says so for every message.
    unusable: bool,
    /// The repair `lookup_constants`.
    repeat_constants: bool,
}

/// What one attribute found.
enum Column<'v> {
    Values(Vec<Cow<'v, Value>>),
    /// A bare constant, which has no length.
    Constant(&'v Value),
}

impl Lookup {
    /// Reads the `lookup` of a definition: an attribute's name or a list of them.
    pub(super) fn load(node: &Node, options: &ConvertOptions) -> Self {
        let one = std::slice::from_ref(node);
        let names = match &node.data {
            Data::List(items) => items.as_slice(),
            _ => one,
        };
        let asks = |key: &str| names.iter().any(|name| name.as_str() == Some(key));
        Lookup {
            asked: KEYS.map(asks),
            asks_for_one: ["message", "metadata"].into_iter().find(|key| asks(key)),
            unusable: matches!(node.data, Data::Map(_)),
            repeat_constants: options.repairs.lookup_constants,
        }
    }

    /// Says what will never work.
    pub(super) fn check(&self, entry: &Node, attributes: &Attributes, complaints: &mut Vec<Complaint>) {
        let mut warn = |key: &str, text: String| {
            let place = &entry.get(key).unwrap_or(entry).place;
            complaints.push(Complaint::warning(place, text));
        };
        if self.unusable {
            warn("lookup", "lookup: expected a name or a list of names; this definition fails on every message".into());
        }
        if attributes.field(NAME).is_some_and(crate::convert::field::Field::is_literal) {
            warn("name", "name: a literal with lookup gives no sample at all; use a path that finds the names".into());
        }
        for key in KEYS.into_iter().filter(|key| is_constant(entry, key)) {
            if !self.repeat_constants {
                let text = format!(
                    "{key}: a constant with lookup fails on every message; use a path, or the repair lookup_constants"
                );
                warn(key, text);
            }
        }
    }

    /// Makes the samples of a definition: as many as names are found. One that cannot be made costs only itself.
    pub(super) fn sample(&self, definition: &MeterDefinition, sampling: &mut Sampling<'_>) -> Result<(), Raised> {
        let root = definition.root_of(sampling.notification());
        let metadata = definition.metadata(sampling.notification())?;
        if self.unusable {
            return Err(Raised::new("TypeError", "lookup is no list of attributes"));
        }
        let mut columns = Vec::with_capacity(KEYS.len());
        for at in 0..KEYS.len() {
            columns.push(self.column(at, &definition.attributes, root)?);
        }
        let total = columns[NAME].len()?;
        if total == 0 {
            return Ok(());
        }
        for (at, column) in columns.iter().enumerate() {
            let length = column.len()?;
            if length != total && (length != 1 || self.asked[at]) {
                return Self::mismatch(definition, KEYS[at], column, total, sampling);
            }
        }
        if let Some(key) = self.asks_for_one.filter(|_| total != 1) {
            let one = Column::Values(vec![Cow::Owned(Value::Bool(true))]);
            return Self::mismatch(definition, key, &one, total, sampling);
        }
        for n in 0..total {
            let found = Found(std::array::from_fn(|at| columns[at].get(n)));
            match found.draft(metadata.clone(), sampling) {
                Ok(draft) => sampling.push(draft),
                Err(raised) => definition.complain(sampling, &raised),
            }
        }
        Ok(())
    }

    /// All values of an attribute. What is asked for stands even if nothing is found; the rest falls back.
    fn column<'v>(&self, at: usize, attributes: &'v Attributes, root: &'v Value) -> Result<Column<'v>, Raised> {
        if let Some(field) = attributes.field(at) {
            let asked = self.asked[at] || at == NAME;
            match field.constant() {
                Some(constant) if self.repeat_constants => return Ok(Column::Values(vec![Cow::Borrowed(constant)])),
                Some(constant) if asked || constant.is_truthy() => return Ok(Column::Constant(constant)),
                Some(_) => {}
                None => {
                    let found = field.all(root)?;
                    if asked || !found.is_empty() {
                        return Ok(Column::Values(found));
                    }
                }
            }
        }
        Ok(Column::Values(vec![attributes.default(at, root)?]))
    }

    /// Too few or too many: Ceilometer warns and makes none.
    fn mismatch(
        definition: &MeterDefinition,
        key: &str,
        column: &Column<'_>,
        total: usize,
        sampling: &mut Sampling<'_>,
    ) -> Result<(), Raised> {
        let found = match column {
            Column::Values(values) if values.len() == 1 && values[0].is_null() => 0,
            other => other.len()?,
        };
        let text = format!("meter {}: {total} names but {found} values of {key}: no sample", definition.shown_name());
        sampling.warn(&definition.place, text);
        Ok(())
    }
}

impl<'v> Column<'v> {
    fn len(&self) -> Result<usize, Raised> {
        match self {
            Column::Values(values) => Ok(values.len()),
            Column::Constant(_) => Err(Raised::new("TypeError", "a constant with lookup has no length")),
        }
    }

    /// The value for the n-th name: a single one is everybody's.
    fn get(&self, n: usize) -> Cow<'v, Value> {
        match self {
            Column::Values(values) => values.get(n).or(values.first()).cloned().unwrap_or(Cow::Owned(Value::Null)),
            Column::Constant(constant) => Cow::Borrowed(constant),
        }
    }
}
