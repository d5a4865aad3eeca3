//! The books of this agent: an `account` for each queue that it owns counts what is settled there, and the `writer` notes about once
//! a second what was added, in the stream of the group, `nephoscope.<group>.books`.
//!
//! The `reader` reads the notes of all agents of the group, and says whether they balance.
//!
//! Notes go over a `line` of their own, and no delivery ever waits for one; the opening of a queue waits a moment for its first.
//! What cannot be written yet adds up in the accounts, which are bounded.
//!
//! Never here: what a note looks like and what notes add up to; that is `books` on the pure floor.

mod account;
mod line;
mod reader;
mod writer;

pub(super) use account::Account;
pub use reader::{BooksError, Window, audit_books};
pub(super) use writer::Books;
