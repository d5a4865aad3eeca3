//! The text of the page: markup, style and script in one file, and what the browser is told that it may do.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

const MARKUP: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPTS: [&str; 4] =
    [include_str!("words.js"), include_str!("drawing.js"), include_str!("views.js"), include_str!("page.js")];

static SCRIPT: LazyLock<String> = LazyLock::new(|| SCRIPTS.concat());
static PAGE: LazyLock<String> = LazyLock::new(|| MARKUP.replace("/*style*/", STYLE).replace("/*script*/", &SCRIPT));
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash(&SCRIPT),
        hash(STYLE)
    )
});

/// The page.
pub(super) fn page() -> &'static str {
    &PAGE
}

/// `Content-Security-Policy`: this script and this style, requests to this agent, and nothing else.
pub(super) fn policy() -> &'static str {
    &POLICY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_one_file_that_names_no_other() {
        let page = page();
        assert!(page.contains("<style>") && page.contains("EventSource") && !page.contains("/*script*/"));
        for outside in
            ["src=", "href=\"http", "@import", "url(", "innerHTML", "outerHTML", "insertAdjacentHTML", "eval("]
        {
            assert!(!page.contains(outside), "the page has {outside}");
        }
        // What a browser hashes is all between the tags.
        for (tag, text) in [("style", STYLE), ("script", SCRIPT.as_str())] {
            let between = page.split_once(&format!("<{tag}>")).unwrap().1.split_once(&format!("</{tag}>")).unwrap().0;
            assert_eq!(between, text);
        }
        assert!(page.len() < 100 * 1024, "{} bytes", page.len());
    }
}
