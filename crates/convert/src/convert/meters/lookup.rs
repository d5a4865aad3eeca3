//! Lookup mode: one definition finds the names, volumes and units of many samples at once (Ceilometer reference
//! §4.1.3).

use super::attributes::{Attributes, KEYS, Values, is_constant};
use crate::convert::options::ConvertOptions;
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

/// What a lookup finds in one notification.
pub(super) enum Found<'v> {
    /// The values of each name, in order.
    Rows(Vec<Values<'v>>),
    /// A key has not as many values as there are names.
    Uneven { key: &'static str, names: usize, values: usize },
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

    /// Finds the values of every name.
    pub(super) fn find<'v>(&self, attributes: &'v Attributes, root: &'v Value) -> Result<Found<'v>, Raised> {
        if self.unusable {
            return Err(Raised::new("TypeError", "lookup is no list of attributes"));
        }
        let mut columns = Vec::with_capacity(KEYS.len());
        for at in 0..KEYS.len() {
            columns.push(self.column(at, attributes, root)?);
        }
        let names = columns[NAME].len()?;
        if names == 0 {
            return Ok(Found::Rows(Vec::new()));
        }
        for (at, column) in columns.iter().enumerate() {
            let length = column.len()?;
            if length != names && (length != 1 || self.asked[at]) {
                return column.uneven(KEYS[at], names);
            }
        }
        if let Some(key) = self.asks_for_one.filter(|_| names != 1) {
            return Column::Values(vec![Cow::Owned(Value::Bool(true))]).uneven(key, names);
        }
        let row = |n| Values(std::array::from_fn(|at| columns[at].get(n)));
        Ok(Found::Rows((0..names).map(row).collect()))
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
}

impl<'v> Column<'v> {
    fn len(&self) -> Result<usize, Raised> {
        match self {
            Column::Values(values) => Ok(values.len()),
            Column::Constant(_) => Err(Raised::new("TypeError", "a constant with lookup has no length")),
        }
    }

    /// That these are not as many values as names; a single null is none.
    fn uneven(&self, key: &'static str, names: usize) -> Result<Found<'v>, Raised> {
        let values = match self {
            Column::Values(values) if values.len() == 1 && values[0].is_null() => 0,
            other => other.len()?,
        };
        Ok(Found::Uneven { key, names, values })
    }

    /// The value for the n-th name: a single one is everybody's.
    fn get(&self, n: usize) -> Cow<'v, Value> {
        match self {
            Column::Values(values) => values.get(n).or(values.first()).cloned().unwrap_or(Cow::Owned(Value::Null)),
            Column::Constant(constant) => Cow::Borrowed(constant),
        }
    }
}
