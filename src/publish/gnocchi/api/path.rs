//! Ids of resources, and the paths of Gnocchi's API that they stand in.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::borrow::Cow;

use crate::model::Value;

/// What may stand in a segment of a path as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The room for an id, in characters.
const ID_CHARACTERS_MAX: usize = 255;
/// The longest path that is sent, in bytes: some twenty times the longest that leads to a resource.
pub(in crate::publish::gnocchi) const PATH_BYTES_MAX: usize = 60_000;

/// The id under which Gnocchi knows a resource: it allows no slash. Samples and events are treated alike.
pub(in crate::publish::gnocchi) fn id(text: &str) -> Cow<'_, str> {
    if text.contains('/') { Cow::Owned(text.replace('/', "_")) } else { Cow::Borrowed(text) }
}

/// The id that a record has, as text; nothing if it has none.
pub(in crate::publish::gnocchi) fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Str(text) => Some(Cow::Borrowed(text)),
        Value::Int(number) => Some(Cow::Owned(number.to_string())),
        Value::Big(number) => Some(Cow::Owned(number.to_string())),
        _ => None,
    }
}

/// Why an id is too long, where it is: Gnocchi says so in words that do not tell it (`extra keys not allowed`).
pub(in crate::publish::gnocchi) fn too_long(id: &str) -> Option<String> {
    let characters = id.chars().count();
    (characters > ID_CHARACTERS_MAX).then(|| {
        format!(
            "the id of the resource has {characters} characters, and Gnocchi takes {ID_CHARACTERS_MAX} at most; correct the \
             definition that the id comes from"
        )
    })
}

/// A cause, after what is wrong with the id.
pub(in crate::publish::gnocchi) fn told(id: &str, cause: &str) -> String {
    too_long(id).map_or_else(|| cause.to_owned(), |why| format!("{why}: {cause}"))
}

/// `v1/resource/TYPE`.
pub(in crate::publish::gnocchi) fn resources(resource_type: &str) -> String {
    format!("v1/resource/{}", segment(resource_type))
}

/// `v1/resource/TYPE/ID`. Nothing where no path can lead there: `.` and `..` mean other places, in every spelling.
pub(in crate::publish::gnocchi) fn resource(resource_type: &str, id: &str) -> Option<String> {
    (!matches!(id, "." | "..")).then(|| format!("{}/{}", resources(resource_type), segment(id)))
}

/// `v1/search/resource/TYPE`.
pub(in crate::publish::gnocchi) fn search(resource_type: &str) -> String {
    format!("v1/search/resource/{}", segment(resource_type))
}

/// `v1/resource_type/TYPE`.
pub(in crate::publish::gnocchi) fn resource_type(name: &str) -> String {
    format!("v1/resource_type/{}", segment(name))
}

fn segment(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("a/b", "v1/resource/image/a_b")]
    #[case("a#b", "v1/resource/image/a%23b")]
    #[case("a?b=c", "v1/resource/image/a%3Fb%3Dc")]
    #[case("100%", "v1/resource/image/100%25")]
    #[case("%2f", "v1/resource/image/%252f")]
    #[case("dots..", "v1/resource/image/dots..")]
    #[case("tür", "v1/resource/image/t%C3%BCr")]
    #[case("a\n\0b", "v1/resource/image/a%0A%00b")]
    fn an_id_is_one_segment_of_a_path(#[case] text: &str, #[case] path: &str) {
        let path_of = resource("image", &id(text)).unwrap();
        assert_eq!(path_of, path);
        let url = reqwest::Url::parse("http://h/metric/").unwrap().join(&path_of).unwrap();
        assert_eq!(url.as_str(), format!("http://h/metric/{path}"), "no reader of URLs sees anything else");
    }

    #[rstest]
    #[case(".")]
    #[case("..")]
    fn no_path_leads_to_an_id_of_dots(#[case] id: &str) {
        assert_eq!(resource("image", id), None);
    }
}
