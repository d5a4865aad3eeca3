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
mod tests {
    use super::*;
    use crate::model::json;
    use rstest::rstest;

    /// The document as JSON; keys that are no strings are written as JSON too.
    fn json_of(text: &str) -> String {
        match read("f", text) {
            Ok(node) => json::to_string(&node.to_value()),
            Err(complaint) => complaint.to_string(),
        }
    }

    /// Answers of PyYAML 6.0.
    #[rstest]
    #[case::nothing("", "null")]
    #[case::comments_alone("# nothing\n", "null")]
    #[case::booleans("[yes, No, ON, off, True, y, n, yEs]", r#"[true,false,true,false,true,"y","n","yEs"]"#)]
    #[case::nulls("[~, null, NULL, nULL, ]", r#"[null,null,null,"nULL"]"#)]
    #[case::integers("[010, 0o7, 08, 0x1F, 0b101, 1_000, +5, -0]", r#"[8,"0o7","08",31,5,1000,5,0]"#)]
    #[case::sexagesimal("[1:30, -1:30:05, 1:60, 01:30, 1:30.5]", r#"[90,-5405,"1:60","01:30",90.5]"#)]
    #[case::big("12345678901234567890123", "12345678901234567890123")]
    #[case::floats(
        "[1., .5, 1.5e-7, 1e3, 1.0e3, -.5, .inf, -.INF, .NaN]",
        "[1.0,0.5,1.5e-7,\"1e3\",\"1.0e3\",\"-.5\",Infinity,-Infinity,NaN]"
    )]
    #[case::quoted("['1', \"yes\", '']", r#"["1","yes",""]"#)]
    #[case::tags("[!!str 1, !!int '3', !!float 3, ! 7, ! '7']", r#"["1",3,3.0,7,"7"]"#)]
    #[case::a_date_stays_text("2001-01-01", r#""2001-01-01""#)]
    #[case::repeated_key("{a: 1, b: 2, a: 3}", r#"{"a":3,"b":2}"#)]
    #[case::equal_keys("{1: a, 1.0: b, true: c}", r#"{"1":"c"}"#)]
    #[case::merge("- &a {x: 1, y: 2}\n- {z: 0, <<: *a, y: 3}", r#"[{"x":1,"y":2},{"x":1,"y":3,"z":0}]"#)]
    #[case::merge_list(
        "- &a {x: 1, y: 2}\n- &b {y: 3, w: 4}\n- {z: 0, <<: [*a, *b]}",
        r#"[{"x":1,"y":2},{"y":3,"w":4},{"y":2,"w":4,"x":1,"z":0}]"#
    )]
    #[case::quoted_merge("{'<<': 1}", r#"{"<<":1}"#)]
    #[case::tabs_in_texts("a: \"b\tc\" # d\te\nf: 'g\t#\th'\n", r#"{"a":"b\tc","f":"g\t#\th"}"#)]
    #[case::tabs_in_blocks(
        "a: |\n  b\tc\n   \td\ne: >-\n  f\tg\n  h\ti\nj: k\n",
        r#"{"a":"b\tc\n \td\n","e":"f\tg h\ti","j":"k"}"#
    )]
    #[case::colon_in_front("{a: :b}", r#"{"a":":b"}"#)]
    #[case::an_anchor_twice("[&a 1, &a 2, *a]", "[1,2,2]")]
    #[case::byte_order_mark("\u{feff}a: 1", r#"{"a":1}"#)]
    fn a_text_is_read(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(json_of(text), expected);
    }

    #[rstest]
    #[case::two_documents(
        "a: 1\n---\nb: 1\n",
        "f:2: a second document begins here; one file holds one document, remove this `---`"
    )]
    #[case::list_as_key("? [a]\n: 1", "f:1: a list or mapping cannot be a key; is a `:` or a quote missing?")]
    #[case::merge_of_text(
        "a: 1\n<<: b",
        "f:2: `<<` expects a mapping or a list of mappings, usually an alias: `*name`"
    )]
    #[case::merge_of_texts("<<: [b]", "f:1: `<<` merges mappings, this is none")]
    #[case::itself("a: &a [*a]", "f:1: an alias inside the node that it names; a definition cannot contain itself")]
    #[case::foreign_tag(
        "a: !!python/object:os.system x",
        "f:1: the tag !!python/object:os.system has no meaning here, remove it"
    )]
    #[case::merge_as_a_value(
        "a: 1\nb: <<",
        "f:2: `<<` is a key that merges, and no value; put it in quotes if it is text"
    )]
    #[case::merge_in_a_list("[<<]", "f:1: `<<` is a key that merges, and no value; put it in quotes if it is text")]
    #[case::equals_sign("a: =", "f:1: `=` alone has no meaning here; put it in quotes if it is text")]
    #[case::tab_in_a_plain_text(
        "a: 1\nb: c\td\n",
        "f:2: not YAML: a tab stands where only blanks may; write blanks, or put the text in quotes"
    )]
    #[case::tab_at_the_end(
        "# a\tb\na: b\t\n",
        "f:2: not YAML: a tab stands where only blanks may; write blanks, or put the text in quotes"
    )]
    #[case::empty_bits("0b_", "f:1: \"0b_\" cannot be read as an integer; put it in quotes if it is text")]
    fn a_text_is_refused(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(json_of(text), expected);
    }

    #[test]
    fn a_key_is_written_twice() {
        let (_, warnings) = read_with_warnings("f", "a: 1\nb: 2\na: 3\n").unwrap();
        let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(warnings, ["f:3: the key a is already written in line 1; this one wins"]);
    }

    #[test]
    fn nodes_know_their_lines() {
        let node = read("f", "a:\n  - 1\n  - b:\n      c\n").unwrap();
        let list = node.get("a").unwrap().items().unwrap();
        assert_eq!((list[0].place.line, list[1].place.line, list[1].get("b").unwrap().place.line), (2, 3, 4));
    }

    #[test]
    fn a_document_laughs_a_billion_times() {
        use std::fmt::Write;
        let mut text = String::from("a0: &a0 [lol]\n");
        for n in 1..30 {
            let before = n - 1;
            writeln!(text, "a{n}: &a{n} [{}]", format!("*a{before},").repeat(10)).unwrap();
        }
        assert!(json_of(&text).contains("too large"), "{}", json_of(&text));
        let long = format!("a: &a {}\nb: [{}]", "x".repeat(1_000_000), "*a,".repeat(1000));
        assert!(json_of(&long).contains("too large"));
    }

    #[test]
    fn a_document_is_nested_deeply() {
        use std::fmt::Write;
        assert!(json_of(&"[".repeat(100)).contains("nested too deeply"));
        assert!(json_of(&"- ".repeat(10_000)).contains("nested too deeply"));
        let mut text = String::from("a0: &a0 [lol]\n");
        for n in 1..200 {
            writeln!(text, "a{n}: &a{n} [*a{}]", n - 1).unwrap();
        }
        assert!(json_of(&text).contains("nested too deeply"), "by aliases");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[-a-c0-9:{}\\[\\]&*!|>%@'\"#?,<~. \n\t]{0,60}") {
            let _ = read("f", &text);
        }

        #[test]
        fn any_scalar_is_read_or_refused(text in "[-+0-9_.:eExbnaif]{0,12}") {
            let _ = scalar::resolve(&text);
        }
    }
}
