//! New inputs made of old ones: bytes changed anywhere, and pieces moved that mean something to a reader.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// Inputs are cut to this many bytes.
pub(crate) const INPUT_BYTES_MAX: usize = 1 << 20;

/// What readers of JSON, YAML, paths and regular expressions look at.
const PIECES: [&str; 58] = [
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "\"",
    "'",
    ":",
    ",",
    "\\",
    "\n",
    "\n  ",
    "\t",
    "- ",
    "? ",
    "| ",
    "> ",
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    "# ",
    "---\n",
    "$",
    ".",
    "..",
    "*",
    "|",
    "&",
    "@",
    "[*]",
    "[?(",
    "[-1]",
    "[1:2:0]",
    "where",
    "`parent`",
    "`this`",
    "`len`",
    "`sorted`",
    "`split(+, 0, -1)`",
    "`sub(/(.*)+/, \\\\1)`",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "NaN",
    "-Infinity",
    "1e999",
    "99999999999999999999",
    "-0",
    "\"oslo.version\"",
    "(?!",
    "(a*)*",
    "{0,4294967294}",
    "\u{feff}",
    "é",
    "%(x)s",
];

/// An input of one to six changes.
pub(crate) fn mutated(corpus: &[Vec<u8>], rng: &mut StdRng) -> Vec<u8> {
    let Some(first) = corpus.choose(rng) else { return Vec::new() };
    let mut input = first.clone();
    for _ in 0..rng.random_range(1..=6) {
        let at = rng.random_range(0..=input.len());
        let to = rng.random_range(at..=input.len().min(at + 64));
        match rng.random_range(0..9) {
            0 if at < input.len() => input[at] = rng.random(),
            1 if at < input.len() => input[at] ^= 1 << rng.random_range(0..8),
            2 => drop(input.drain(at..to)),
            3 => {
                let piece: Vec<u8> = input[at..to].to_vec();
                let times = if rng.random_ratio(1, 60) { 3_000 } else { rng.random_range(1..4) };
                input.splice(at..at, piece.repeat(times));
            }
            4 | 5 => {
                let piece = PIECES.choose(rng).unwrap_or(&"").as_bytes();
                let times = if rng.random_ratio(1, 60) { 5_000 } else { 1 };
                input.splice(at..at, piece.repeat(times));
            }
            6 => {
                let piece = PIECES.choose(rng).unwrap_or(&"").bytes();
                input.splice(at..to, piece);
            }
            // The end of another.
            7 => {
                let other = corpus.choose(rng).unwrap_or(first);
                let from = rng.random_range(0..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            // A value of another in the place of one of its own.
            _ => {
                let other = corpus.choose(rng).unwrap_or(first);
                let (to, from) = (between(&input, rng), between(other, rng));
                input.splice(to, other[from].iter().copied());
            }
        }
        input.truncate(INPUT_BYTES_MAX);
    }
    input
}

/// From one separator to the next.
fn between(text: &[u8], rng: &mut StdRng) -> std::ops::Range<usize> {
    let separates = |b: &u8| b",:\n[]{}.|".contains(b);
    let at = rng.random_range(0..=text.len());
    let start = text[..at].iter().rposition(separates).map_or(0, |before| before + 1);
    let end = text[at..].iter().position(separates).map_or(text.len(), |after| at + after);
    start..end
}
