//! The backquoted operators.

use super::tree::Tree;
use crate::model::python::{Substitution, decimal_digit, is_space};

/// The tree of an operator; why it is none.
pub(super) fn named_operator(text: &str) -> Result<Tree, String> {
    match text {
        "this" => Ok(Tree::This),
        "parent" => Ok(Tree::Parent),
        "len" => Ok(Tree::Len),
        "sorted" => Ok(Tree::Sorted(Box::default())),
        _ if text.starts_with("split(") => split(text).ok_or_else(|| {
            "`split(c, segment, max)` needs one character, a number, a number or -1, and a space after each comma"
                .to_owned()
        }),
        _ if text.starts_with("sub(") => {
            let (pattern, replacement) = sub(text)
                .ok_or("`sub(/regular expression/, replacement)` needs its slashes and a space after the comma")?;
            let substitution = Substitution::new(pattern, replacement).map_err(|raised| raised.text.into_owned())?;
            Ok(Tree::Sub(Box::new(substitution)))
        }
        _ => Err(format!("no operator is called `{text}`")),
    }
}

/// `split\((.),\s+(\d+),\s+(\d+|-1)\)`; what follows is of no account.
fn split(text: &str) -> Option<Tree> {
    let arguments = text.strip_prefix("split(")?;
    let separator = arguments.chars().next().filter(|c| *c != '\n')?;
    let (segment, rest) = number(after_comma(&arguments[separator.len_utf8()..])?)?;
    let rest = after_comma(rest)?;
    let (max, rest) = match rest.strip_prefix("-1") {
        Some(rest) => (None, rest),
        None => number(rest).map(|(max, rest)| (Some(max), rest))?,
    };
    // Python cannot count as far as this, and finds nothing.
    let segment = if max.is_some_and(|max| i64::try_from(max).is_err()) { usize::MAX } else { segment };
    rest.starts_with(')').then_some(Tree::Split { separator, segment, max })
}

fn after_comma(text: &str) -> Option<&str> {
    text.strip_prefix(',').filter(|rest| rest.starts_with(is_space)).map(|rest| rest.trim_start_matches(is_space))
}

/// Digits of any script. A number past all sizes is as good as the largest.
fn number(text: &str) -> Option<(usize, &str)> {
    let end = text.find(|c| decimal_digit(c).is_none()).unwrap_or(text.len());
    let digits: String = text[..end].chars().filter_map(decimal_digit).collect();
    (end > 0).then(|| (digits.parse().unwrap_or(usize::MAX), &text[end..]))
}

/// `sub\(/(.*)/,\s+(.*)\)`, greedy: the last `/,` that a space follows and the last `)` after it, all on one line but
/// for that space. Both parts are trimmed.
fn sub(text: &str) -> Option<(&str, &str)> {
    let arguments = text.strip_prefix("sub(/")?;
    let line = &arguments[..arguments.find('\n').unwrap_or(arguments.len())];
    line.rmatch_indices('/').find_map(|(at, _)| {
        let spaced = after_comma(&arguments[at + 1..])?;
        let replacement = &spaced[..spaced.find('\n').unwrap_or(spaced.len())];
        let end = replacement.rfind(')')?;
        Some((arguments[..at].trim_matches(is_space), replacement[..end].trim_matches(is_space)))
    })
}
