//! Reading what was written here: members in the order in which the writer writes them, and nothing between. No key is looked
//! up, and no object is built that is taken apart at once. What is written otherwise is not read, and left to [`read`](super::read).

use super::on_demand::{OnDemand, Part};
use super::one_pass::Reader;
use crate::model::text::Text;
use crate::model::value::{Dict, Value};

/// A place in a text. Each reading gives `None` where something else stands; the place is of no use then.
pub struct Exact<'t>(Reader<'t, false>);

impl<'t> Exact<'t> {
    /// The beginning of a text. What is read shares it: see [`Text::detached`].
    pub fn new(text: &'t Text) -> Self {
        Exact(Reader::new(text))
    }

    /// These very bytes.
    pub fn literal(&mut self, bytes: &[u8]) -> Option<()> {
        self.0.literal(bytes)
    }

    /// A string.
    pub fn string(&mut self) -> Option<Text> {
        self.0.string()
    }

    /// Any value.
    pub fn value(&mut self) -> Option<Value> {
        self.0.value(0)
    }

    /// An object.
    pub fn dict(&mut self) -> Option<Dict> {
        self.0.dict(0)
    }

    /// Any value, looked at and not built: its text. Between its tokens stands nothing; a key may be there twice.
    pub fn raw(&mut self) -> Option<&'t str> {
        self.0.raw(0)
    }

    /// An object, which is read when somebody looks into it.
    pub fn dict_on_demand(&mut self) -> Option<OnDemand<Dict>> {
        self.on_demand(|from| from.raw().filter(|raw| raw.starts_with('{')).map(drop))
    }

    /// What `look` looks at, which is read when somebody looks into it: all that is looked at must be such a part.
    pub(in crate::model) fn on_demand<T: Part>(
        &mut self,
        look: impl FnOnce(&mut Self) -> Option<()>,
    ) -> Option<OnDemand<T>> {
        let begin = self.0.at();
        look(self)?;
        self.0.share_from(begin).map(OnDemand::unread)
    }

    /// A list of what `item` reads.
    pub fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        self.literal(b"[")?;
        let mut items = Vec::new();
        if self.literal(b"]").is_some() {
            return Some(items);
        }
        loop {
            items.push(item(self)?);
            if self.literal(b",").is_none() {
                self.literal(b"]")?;
                return Some(items);
            }
        }
    }

    /// The end of the text.
    pub fn end(&mut self) -> Option<()> {
        self.0.end()
    }
}
