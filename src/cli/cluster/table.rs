//! A table for reading: columns as wide as their widest cell, two spaces apart.

use std::fmt::Write as _;

use crate::model::shown::on_one_line;

/// A longer cell is cut.
const CELL_CHARS_MAX: usize = 255;

/// The lines of a table under its titles; an empty cell is shown as `-`. What others wrote is text: it moves no cursor.
pub(in crate::cli) fn table<const N: usize>(titles: [&str; N], rows: &[[String; N]]) -> String {
    let shown = |row: &[String; N]| row.each_ref().map(|cell| on_one_line(cell, CELL_CHARS_MAX));
    let rows: Vec<[String; N]> = rows.iter().map(shown).collect();
    let mut widths = titles.map(|title| title.chars().count());
    for (width, cell) in rows.iter().flat_map(|row| (0..N).zip(row)).map(|(n, cell)| (n, cell.chars().count().max(1))) {
        widths[width] = widths[width].max(cell);
    }
    let mut out = String::new();
    let titles = titles.map(str::to_owned);
    for row in std::iter::once(&titles).chain(&rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let cell = if cell.is_empty() { "-" } else { cell };
            // Writing to a string cannot fail.
            let _written = write!(line, "{cell:<width$}  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_text_whatever_is_in_it() {
        let hostile = ["\u{1b}]0;x\u{7}a\nb\u{202e}\u{9b}".to_owned()];
        assert_eq!(table(["QUEUE"], &[hostile]), "QUEUE\n\u{fffd}]0;x\u{fffd}a\u{fffd}b\u{fffd}\u{fffd}\n");
    }

    #[test]
    fn cells_stand_under_their_titles() {
        let rows = [["controller-1".to_owned(), String::new()], ["é".to_owned(), "10".to_owned()]];
        assert_eq!(table(["MEMBER", "QUEUES"], &rows), "MEMBER        QUEUES\ncontroller-1  -\né             10\n");
    }
}
