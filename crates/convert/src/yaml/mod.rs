//! YAML files as PyYAML's `safe_load` reads them (YAML 1.1), every node with its file and line.
//!
//! The event parser is `saphyr-parser`; anchors, merges, keys and the typing of scalars are ours, because their exact
//! outcome shows in the order of traits and in signatures (Ceilometer reference, Appendix D.2).
//!
//! Different from PyYAML on purpose: a timestamp stays the string that was written (PyYAML makes a date object, which
//! no definition file has a use for), and every tag that makes something else than JSON has is refused.

mod scalar;

use crate::model::{Complaint, Data, Node, Place, Value};
use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The deepest nesting read, aliases expanded, in levels.
pub const DEPTH_MAX: usize = 64;
/// The largest document read, aliases expanded, in nodes; text counts as one node per [`TEXT_PER_NODE`].
pub const NODES_MAX: usize = 250_000;
/// How much text weighs as much as a node, in bytes.
pub const TEXT_PER_NODE: usize = 64;

/// Reads one YAML document. An empty file is `null`, as PyYAML has it.
///
/// A key that is written twice keeps its first place and takes its last value, silently; [`read_with_warnings`] tells.
pub fn read(file: &str, text: &str) -> Result<Node, Complaint> {
    read_with_warnings(file, text).map(|(node, _)| node)
}

/// Reads one YAML document, and says what is probably not meant: keys written twice.
pub fn read_with_warnings(file: &str, text: &str) -> Result<(Node, Vec<Complaint>), Complaint> {
    let mut composer = Composer {
        file: file.into(),
        open: Vec::new(),
        root: None,
        documents: 0,
        anchors: BTreeMap::new(),
        weight: 0,
        warnings: Vec::new(),
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser::new_from_str(text);
    let mut quoted = Vec::new();
    while let Some(event) = parser.next_event() {
        let (event, span) = event
            .map_err(|e| Complaint::error(&composer.place(e.marker().line()), format!("not YAML: {}", e.info())))?;
        if matches!(&event, Event::Scalar(_, style, ..) if *style != ScalarStyle::Plain) {
            quoted.push(span.start.index()..span.end.index());
        }
        composer.take(event, span.start.line())?;
    }
    if let Some(line) = bare_tab(text, &quoted) {
        let why = "not YAML: a tab stands where only blanks may; write blanks, or put the text in quotes";
        return Err(Complaint::error(&composer.place(line), why));
    }
    let root = composer.root.unwrap_or_else(|| Node {
        place: Place { file: composer.file.clone(), line: 0 },
        data: Data::Scalar(Value::Null),
    });
    Ok((root, composer.warnings))
}

/// The line of the first tab that is in neither a comment nor a text in quotes or a block: PyYAML refuses it, and with
/// it the file. `quoted` are those texts, in characters, in order.
fn bare_tab(text: &str, quoted: &[std::ops::Range<usize>]) -> Option<usize> {
    let mut quoted = quoted.iter().peekable();
    let (mut line, mut before, mut in_comment) = (1, '\n', false);
    for (at, letter) in text.chars().enumerate() {
        while quoted.next_if(|span| span.end <= at).is_some() {}
        let free = quoted.peek().is_none_or(|span| at < span.start);
        match letter {
            '\n' => {
                line += 1;
                in_comment = false;
            }
            '#' if free && before.is_ascii_whitespace() => in_comment = true,
            '\t' if free && !in_comment => return Some(line),
            _ => {}
        }
        before = letter;
    }
    None
}

/// A node whose end has been seen.
#[derive(Clone)]
struct Composed {
    node: Node,
    /// Whether it is `<<` as a key has to be for a merge: plain, or tagged `!!merge`.
    merges: bool,
    /// Levels below and including this node.
    height: usize,
    /// Nodes and text in it, in nodes.
    weight: usize,
}

/// A list or mapping whose end has not been seen.
struct Open {
    place: Place,
    anchor: usize,
    kind: Kind,
    height: usize,
    weight: usize,
}

enum Kind {
    List(Vec<Node>),
    Map { pairs: Vec<(Node, Node)>, merged: Vec<(Node, Node)>, key: Option<Composed> },
}

struct Composer {
    file: Arc<str>,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    anchors: BTreeMap<usize, Composed>,
    /// Everything made so far, aliases expanded and anchors kept.
    weight: usize,
    warnings: Vec<Complaint>,
}

impl Composer {
    fn place(&self, line: usize) -> Place {
        Place { file: self.file.clone(), line }
    }

    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Complaint> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    let text = "a second document begins here; one file holds one document, remove this `---`";
                    return Err(Complaint::error(&self.place(line), text));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let composed = self.scalar(&text, style, tag.as_deref(), line)?;
                self.remember(anchor, &composed)?;
                self.put(composed)?;
            }
            Event::Alias(anchor) => {
                let Some(named) = self.anchors.get(&anchor) else {
                    let text = "an alias inside the node that it names; a definition cannot contain itself";
                    return Err(Complaint::error(&self.place(line), text));
                };
                let mut composed = named.clone();
                composed.node.place.line = line;
                self.grow(composed.weight, line)?;
                self.put(composed)?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.container_tag(tag, "seq", line)?;
                self.open(Kind::List(Vec::new()), anchor, line)?;
            }
            Event::MappingStart(anchor, tag) => {
                self.container_tag(tag, "map", line)?;
                self.open(Kind::Map { pairs: Vec::new(), merged: Vec::new(), key: None }, anchor, line)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close()?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    /// Lists and mappings are what they are; `!!set`, `!!omap` and tags of applications are refused.
    fn container_tag(&self, tag: Option<Cow<'_, Tag>>, own: &str, line: usize) -> Result<(), Complaint> {
        match tag {
            Some(tag) if !(is_plain_tag(&tag) || tag.is_yaml_core_schema() && tag.suffix == own) => {
                Err(Complaint::error(&self.place(line), format!("the tag {tag} has no meaning here, remove it")))
            }
            _ => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        line: usize,
    ) -> Result<Composed, Complaint> {
        let wrong = |why: String| Complaint::error(&Place { file: self.file.clone(), line }, why);
        let mut merges = false;
        let value = match tag {
            // PyYAML takes a lone `!` before a plain scalar for no tag at all.
            tag if style == ScalarStyle::Plain && tag.is_none_or(is_plain_tag) => {
                if text == "=" {
                    return Err(wrong("`=` alone has no meaning here; put it in quotes if it is text".to_owned()));
                }
                merges = text == "<<";
                scalar::resolve(text).map_err(wrong)?
            }
            None => Value::from(text),
            Some(tag) if is_plain_tag(tag) => Value::from(text),
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "merge" => {
                merges = true;
                Value::from(text)
            }
            Some(tag) if tag.is_yaml_core_schema() => scalar::construct(&tag.suffix, text).map_err(wrong)?,
            Some(tag) => return Err(wrong(format!("the tag {tag} has no meaning here, remove it"))),
        };
        let weight = 1 + text.len() / TEXT_PER_NODE;
        self.grow(weight, line)?;
        Ok(Composed { node: Node { place: self.place(line), data: Data::Scalar(value) }, merges, height: 1, weight })
    }

    fn open(&mut self, kind: Kind, anchor: usize, line: usize) -> Result<(), Complaint> {
        self.grow(1, line)?;
        if self.open.len() >= DEPTH_MAX {
            return Err(self.too_deep(line));
        }
        self.open.push(Open { place: self.place(line), anchor, kind, height: 0, weight: 1 });
        Ok(())
    }

    /// The end of the innermost open list or mapping.
    fn close(&mut self) -> Result<(), Complaint> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let data = match open.kind {
            Kind::List(items) => Data::List(items),
            Kind::Map { pairs, merged, .. } => Data::Map(self.unite(merged, pairs)?),
        };
        let composed = Composed {
            node: Node { place: open.place, data },
            merges: false,
            height: open.height + 1,
            weight: open.weight,
        };
        self.remember(open.anchor, &composed)?;
        self.put(composed)
    }

    /// Puts a finished node where it belongs: the root, the next item, the next key or the value of that key.
    fn put(&mut self, composed: Composed) -> Result<(), Complaint> {
        let line = composed.node.place.line;
        if self.open.len() + composed.height > DEPTH_MAX {
            return Err(self.too_deep(line));
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(composed.node);
            return Ok(());
        };
        parent.height = parent.height.max(composed.height);
        parent.weight += composed.weight;
        let no_value = || {
            let text = "`<<` is a key that merges, and no value; put it in quotes if it is text";
            Err(Complaint::error(&Place { file: self.file.clone(), line }, text))
        };
        match &mut parent.kind {
            Kind::List(_) if composed.merges => return no_value(),
            Kind::List(items) => items.push(composed.node),
            Kind::Map { pairs, merged, key } => match key.take() {
                None => *key = Some(composed),
                Some(_) if composed.merges => return no_value(),
                Some(key) if key.merges => merge(composed.node, merged)?,
                Some(key) => pairs.push((key.node, composed.node)),
            },
        }
        Ok(())
    }

    /// One mapping of what was merged into it, in front, and its own pairs. A repeated key keeps its first place and
    /// takes its last value, as in a Python dict; two own keys that are equal are worth a warning.
    fn unite(&mut self, merged: Vec<(Node, Node)>, own: Vec<(Node, Node)>) -> Result<Vec<(Node, Node)>, Complaint> {
        let inherited = merged.len();
        let mut places: BTreeMap<Key, (usize, Option<usize>)> = BTreeMap::new();
        let mut united: Vec<(Node, Node)> = Vec::with_capacity(inherited + own.len());
        for (n, (key, value)) in merged.into_iter().chain(own).enumerate() {
            let Some(identity) = Key::of(&key) else {
                let text = "a list or mapping cannot be a key; is a `:` or a quote missing?";
                return Err(Complaint::error(&key.place, text));
            };
            let line = (n >= inherited).then_some(key.place.line);
            if let Some((at, first)) = places.get_mut(&identity) {
                if let (Some(line), Some(first)) = (line, *first) {
                    let text = format!("the key {} is already written in line {first}; this one wins", key.key_shown());
                    self.warnings.push(Complaint::warning(&self.place(line), text));
                }
                *first = line;
                united[*at].1 = value;
            } else {
                places.insert(identity, (united.len(), line));
                united.push((key, value));
            }
        }
        Ok(united)
    }

    fn remember(&mut self, anchor: usize, composed: &Composed) -> Result<(), Complaint> {
        if anchor > 0 {
            self.grow(composed.weight, composed.node.place.line)?;
            self.anchors.insert(anchor, composed.clone());
        }
        Ok(())
    }

    fn grow(&mut self, weight: usize, line: usize) -> Result<(), Complaint> {
        self.weight = self.weight.saturating_add(weight);
        if self.weight > NODES_MAX {
            let text = format!("the document is too large: over {NODES_MAX} nodes with its aliases expanded");
            return Err(Complaint::error(&self.place(line), text));
        }
        Ok(())
    }

    fn too_deep(&self, line: usize) -> Complaint {
        Complaint::error(&self.place(line), format!("nested too deeply: over {DEPTH_MAX} levels"))
    }
}

/// The tag `!` alone.
fn is_plain_tag(tag: &Tag) -> bool {
    (tag.handle.is_empty() && tag.suffix == "!") || (tag.handle == "!" && tag.suffix.is_empty())
}

/// What `<<` brings in: the pairs of a mapping, or of a list of mappings from the last to the first, so that the first
/// one wins.
fn merge(from: Node, merged: &mut Vec<(Node, Node)>) -> Result<(), Complaint> {
    let place = from.place;
    match from.data {
        Data::Map(pairs) => merged.extend(pairs),
        Data::List(items) => {
            for item in items.into_iter().rev() {
                match item.data {
                    Data::Map(pairs) => merged.extend(pairs),
                    _ => return Err(Complaint::error(&item.place, "`<<` merges mappings, this is none")),
                }
            }
        }
        Data::Scalar(_) => {
            return Err(Complaint::error(
                &place,
                "`<<` expects a mapping or a list of mappings, usually an alias: `*name`",
            ));
        }
    }
    Ok(())
}

/// What makes two keys the same key of a Python dict: `1`, `1.0` and `true` do.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Null,
    Text(String),
    Number(String),
}

impl Key {
    fn of(node: &Node) -> Option<Key> {
        Some(match node.scalar()? {
            Value::Null => Key::Null,
            Value::Str(text) => Key::Text(text.to_string()),
            Value::Bool(yes) => Key::Number(u8::from(*yes).to_string()),
            Value::Int(i) => Key::Number(i.to_string()),
            Value::Big(big) => Key::Number(big.to_string()),
            // `-0.0 == 0`; whole floats print without a fraction, as integers do.
            Value::Float(f) => Key::Number((f + 0.0).to_string()),
            Value::List(_) | Value::Dict(_) => return None,
        })
    }
}

#[cfg(test)]
mod tests;
