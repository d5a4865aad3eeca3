//! A field of a definition: where in a notification a value is found (Ceilometer reference §4.0).
//!
//! Never here: what a found value becomes, a sample's volume or a trait.

use super::path::{Path, PathError};
use super::plugins::{self, Plugin};
use crate::model::python;
pub use crate::model::python::Raised;
use crate::model::{ContextMembers, Data, Node, Value, did_you_mean};
use std::borrow::Cow;

/// A field as the operator wrote it, compiled once: a constant, or paths and perhaps a trait plugin.
#[derive(Debug, Clone)]
pub struct Field {
    getter: Getter,
    text: Box<str>,
}

#[derive(Debug, Clone)]
enum Getter {
    Constant(Value),
    Path(Path),
    Plugged { path: Path, plugin: Plugin, several: SeveralRefused },
}

/// What a plugin that gives one value raises where several are asked for. Ceilometer means a
/// `DefinitionException`, but stumbles over a plugin that is written as its mere name.
#[derive(Debug, Clone)]
struct SeveralRefused(Raised);

/// Why a field cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// Ceilometer skips the definition and goes on (its `DefinitionException`).
    #[error("{0}")]
    Definition(String),
    /// Ceilometer loses the whole file here, because a plugin is written so that even its constructor fails; we
    /// refuse to start.
    #[error("cannot set up the plugin: {0}")]
    Plugin(Raised),
}

impl From<PathError> for FieldError {
    fn from(error: PathError) -> Self {
        FieldError::Definition(error.to_string())
    }
}

/// The members that every notification has; nothing else is at its root.
const ROOT_MEMBERS: [&str; 5] = ["ctxt", "publisher_id", "event_type", "payload", "metadata"];

impl Field {
    /// Compiles what stands at a key of a definition: a path, a list of paths, an integer, or a mapping of `fields` to
    /// one of these and `plugin` to a name or to `{name, parameters}`.
    pub fn compile(node: &Node) -> Result<Field, FieldError> {
        if !matches!(node.data, Data::Map(_)) {
            let (getter, text) = compile_fields(node)?;
            return Ok(Field { getter: getter.map_or_else(Getter::Constant, Getter::Path), text });
        }
        let Some(fields) = node.get("fields") else {
            return Err(FieldError::Definition("the key 'fields' is missing beside 'plugin'".to_owned()));
        };
        // The plugin first: what its constructor raises comes before a path that cannot be read.
        let plugin = node.get("plugin").map(compile_plugin).transpose()?;
        let (getter, text) = compile_fields(fields)?;
        let getter = match (getter, plugin) {
            (Err(constant), _) => Getter::Constant(constant),
            (Ok(path), None) => Getter::Path(path),
            (Ok(path), Some((plugin, several))) => Getter::Plugged { path, plugin, several },
        };
        Ok(Field { getter, text })
    }

    /// Compiles one path, for the defaults that stand in code.
    pub fn path(text: &str) -> Result<Field, FieldError> {
        Ok(Field { getter: Getter::Path(Path::parse(text)?), text: text.into() })
    }

    /// The first value found that is not null ("first" mode).
    pub fn first<'a>(&'a self, root: &'a Value) -> Result<Option<Cow<'a, Value>>, Raised> {
        match &self.getter {
            Getter::Constant(constant) => Ok(Some(Cow::Borrowed(constant))),
            Getter::Path(path) => path.first(root),
            Getter::Plugged { path, plugin, .. } => {
                let found = path.present(root, plugin.looks_at_places())?;
                Ok(plugin.values(&found)?.into_iter().next().map(Cow::Owned))
            }
        }
    }

    /// Every value found, nulls included ("all" mode). A constant is one value here; Ceilometer returns it bare,
    /// so ask [`constant`](Field::constant) first where that matters. A `DefinitionException` or `TypeError` for a
    /// plugin that cannot give several.
    pub fn all<'a>(&'a self, root: &'a Value) -> Result<Vec<Cow<'a, Value>>, Raised> {
        match &self.getter {
            Getter::Constant(constant) => Ok(vec![Cow::Borrowed(constant)]),
            Getter::Path(path) => path.all(root),
            Getter::Plugged { path, plugin, several } if !plugin.gives_all_values() => {
                // What the path raises comes first.
                path.all(root)?;
                Err(several.0.clone())
            }
            Getter::Plugged { path, plugin, .. } => {
                Ok(plugin.values(&path.placed(root)?)?.into_iter().map(Cow::Owned).collect())
            }
        }
    }

    /// The constant, if this is one: an integer or boolean, which is returned as it is, also where a list is expected.
    pub fn constant(&self) -> Option<&Value> {
        match &self.getter {
            Getter::Constant(constant) => Some(constant),
            Getter::Path(_) | Getter::Plugged { .. } => None,
        }
    }

    /// Whether this is a constant.
    pub fn is_constant(&self) -> bool {
        self.constant().is_some()
    }

    /// The path as compiled (a list of paths is the union `(a)|(b)`); a constant as Python writes it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it must be evaluated on [`Notification::flat_root`](crate::model::Notification::flat_root).
    pub fn reads_priority(&self) -> bool {
        match &self.getter {
            Getter::Constant(_) => false,
            Getter::Path(path) | Getter::Plugged { path, .. } => path.reads_priority(),
        }
    }

    /// Adds what it may look at in the request context.
    pub(crate) fn add_context_members(&self, members: &mut ContextMembers) {
        match &self.getter {
            Getter::Constant(_) => {}
            Getter::Path(path) | Getter::Plugged { path, .. } => path.add_context_members(members),
        }
    }

    /// The same where the text may stand for itself, as a meter's name, unit or type may: a bare word that is a root
    /// member of the older releases only is that word.
    pub(crate) fn into_word(mut self) -> Field {
        if let Getter::Path(path) = &mut self.getter
            && !self.text.starts_with('$')
        {
            path.as_word();
        }
        self
    }

    /// Whether this is a bare dotted name that no notification has a member for, so that a meter's name, unit or type
    /// can only be the literal text: evaluating it is needless.
    pub fn is_literal(&self) -> bool {
        let Getter::Path(path) = &self.getter else { return false };
        path.only_root().is_some_and(|root| !ROOT_MEMBERS.contains(&root))
    }
}

/// A path, or else a constant; and the text.
type Fields = (Result<Path, Value>, Box<str>);

fn compile_fields(node: &Node) -> Result<Fields, FieldError> {
    let node = match node.items() {
        Some([only]) => only,
        Some(paths) => {
            let joined = paths.iter().map(|path| Ok(format!("({})", python::str(&path.to_value())?)));
            let joined: Vec<String> =
                joined.collect::<Result<_, Raised>>().map_err(|raised| FieldError::Definition(raised.to_string()))?;
            return compile_text(&joined.join("|"));
        }
        None => node,
    };
    match &node.data {
        Data::Scalar(constant @ (Value::Bool(_) | Value::Int(_) | Value::Big(_))) => {
            let text = python::str(constant).map_err(|raised| FieldError::Definition(raised.to_string()))?;
            let text = text.into();
            Ok((Err(constant.clone()), text))
        }
        Data::Scalar(Value::Str(text)) => compile_text(text),
        Data::Scalar(Value::Float(_)) => {
            Err(FieldError::Definition("a number with a point is neither a path nor a constant".to_owned()))
        }
        _ => {
            let text = format!("expected a path, a list of paths or a whole number, this is {}", node.described());
            Err(FieldError::Definition(text))
        }
    }
}

fn compile_text(text: &str) -> Result<Fields, FieldError> {
    Ok((Ok(Path::parse(text)?), text.into()))
}

/// `plugin: name` or `plugin: {name, parameters}`.
fn compile_plugin(node: &Node) -> Result<(Plugin, SeveralRefused), FieldError> {
    let fails = |class, text: &'static str| FieldError::Plugin(Raised::new(class, text));
    let (name, parameters) = match &node.data {
        Data::Scalar(Value::Str(_)) => (node, None),
        Data::Map(_) => {
            let name = node.get("name");
            let name = name.ok_or_else(|| FieldError::Definition("the plugin has no 'name'".to_owned()))?;
            (name, node.get("parameters"))
        }
        _ => return Err(fails("TypeError", "'plugin' must be a name, or a mapping of name and parameters")),
    };
    if !matches!(name.data, Data::Scalar(_)) {
        return Err(fails("TypeError", "the 'name' of a plugin must be a string"));
    }
    let Some(plugin) = name.as_str().and_then(|name| plugins::build(name, parameters)) else {
        let known: Vec<&str> = plugins::names().collect();
        let name = name.key_text();
        let meant = did_you_mean(&name, known.iter().copied());
        let text = format!("no plugin is called {name}{meant}; there are {}", known.join(", "));
        return Err(FieldError::Definition(text));
    };
    let class = if matches!(node.data, Data::Map(_)) { "DefinitionException" } else { "TypeError" };
    let text = "this plugin cannot give several values: leave the key out of 'lookup'";
    Ok((plugin.map_err(FieldError::Plugin)?, SeveralRefused(Raised::new(class, text))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Place, json};
    use rstest::rstest;

    fn node(text: &str) -> Node {
        let place = Place { file: "meters.yaml".into(), line: 1 };
        Node::from_value(&json::read(text.as_bytes()).unwrap(), &place)
    }

    #[rstest]
    #[case(r#""cpu.util""#, true)]
    #[case(r#""B""#, true)]
    #[case(r#""payload.a""#, false)]
    #[case(r#""$.payload.a""#, false)]
    #[case(r#""event_type""#, false)]
    #[case(r#""a + b""#, false)]
    #[case(r#""_context_user_id""#, false)]
    #[case("1", false)]
    fn literals(#[case] field: &str, #[case] expected: bool) {
        assert_eq!(Field::compile(&node(field)).unwrap().is_literal(), expected);
    }

    #[rstest]
    #[case::skipped(r#""%""#, None)]
    #[case::skipped("1.5", None)]
    #[case::skipped("null", None)]
    #[case::skipped("[]", None)]
    #[case::skipped(r#"{"plugin": "split"}"#, None)]
    #[case::skipped(r#"{"fields": "a", "plugin": "upper"}"#, None)]
    #[case::skipped(r#"{"fields": "a", "plugin": {}}"#, None)]
    #[case::fatal(r#"{"fields": "a", "plugin": null}"#, Some("TypeError"))]
    #[case::fatal(r#"{"fields": "%", "plugin": {"name": "map"}}"#, Some("ValueError"))]
    #[case::fatal(r#"{"fields": "a", "plugin": {"name": "map", "parameters": {"values": {}}}}"#, Some("ValueError"))]
    #[case::fatal(r#"{"fields": "a", "plugin": {"name": "map", "parameters": [1]}}"#, Some("TypeError"))]
    fn what_cannot_be_compiled(#[case] field: &str, #[case] fatal: Option<&str>) {
        let class = match Field::compile(&node(field)).unwrap_err() {
            FieldError::Definition(_) => None,
            FieldError::Plugin(raised) => Some(raised.class),
        };
        assert_eq!(class, fatal);
    }

    #[rstest]
    #[case(r#"["payload.a", "payload.b"]"#, "(payload.a)|(payload.b)")]
    #[case(r#"["payload.a"]"#, "payload.a")]
    #[case(r#"{"fields": ["a", "b"], "plugin": "timedelta"}"#, "(a)|(b)")]
    #[case("true", "True")]
    fn texts(#[case] field: &str, #[case] text: &str) {
        assert_eq!(Field::compile(&node(field)).unwrap().text(), text);
    }

    #[test]
    fn a_plugin_s_parameter_of_a_wrong_type_is_found_at_use() {
        let field = r#"{"fields": "a", "plugin": {"name": "split", "parameters": {"segment": "1"}}}"#;
        let field = Field::compile(&node(field)).unwrap();
        assert_eq!(field.first(&json::read(br#"{"a": "b.c"}"#).unwrap()).unwrap_err().class, "TypeError");
        assert_eq!(field.first(&json::read(b"{}").unwrap()), Ok(None));
    }

    #[test]
    fn several_values_of_a_plugin_that_gives_one() {
        let root = json::read(b"{}").unwrap();
        for (plugin, class) in [(r#""bitfield""#, "TypeError"), (r#"{"name": "bitfield"}"#, "DefinitionException")] {
            let field = Field::compile(&node(&format!(r#"{{"fields": "a", "plugin": {plugin}}}"#))).unwrap();
            assert_eq!(field.all(&root).unwrap_err().class, class);
        }
    }
}
