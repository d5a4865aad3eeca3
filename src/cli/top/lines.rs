//! Lines of a screen: text in parts, each with its meaning, and tables that fit a width.

use super::text::{cut, fit, plain, width};

/// What a part of a line means: its colour, where there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Tone {
    /// Nothing special.
    #[default]
    Plain,
    /// A title.
    Title,
    /// Beside the point.
    Dim,
    /// Works.
    Good,
    /// To be looked at.
    Warn,
    /// Stands still.
    Bad,
    /// The chosen row.
    Chosen,
}

/// A part of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) text: String,
    pub(super) tone: Tone,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Line(pub(super) Vec<Part>);

impl Line {
    /// A line of one part; what acts in it is shown as text.
    pub(super) fn of(text: &str, tone: Tone) -> Line {
        Line::default().and(text, tone)
    }

    /// The same with a further part.
    pub(super) fn and(mut self, text: &str, tone: Tone) -> Line {
        self.0.push(Part { text: plain(text), tone });
        self
    }

    /// Its text, without blanks at its end.
    pub(super) fn text(&self) -> String {
        self.0.iter().map(|part| part.text.as_str()).collect::<String>().trim_end().to_owned()
    }

    /// The same in so many places at most.
    pub(super) fn within(self, places: usize) -> Line {
        let mut left = places;
        let mut parts = Vec::new();
        for part in self.0 {
            if left == 0 {
                break;
            }
            let text = cut(&part.text, left);
            left -= width(&text).min(left);
            parts.push(Part { text, ..part });
        }
        Line(parts)
    }

    /// The same as the chosen row.
    pub(super) fn chosen(mut self, places: usize) -> Line {
        let taken: usize = self.0.iter().map(|part| width(&part.text)).sum();
        self.0.push(Part { text: " ".repeat(places.saturating_sub(taken)), tone: Tone::Chosen });
        self.0.iter_mut().for_each(|part| part.tone = Tone::Chosen);
        self
    }
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    /// Its title.
    pub(super) title: &'static str,
    /// Whether its cells stand at its right.
    pub(super) right: bool,
    /// The fewest places of a column that may be cut; nothing: it is never cut, and left out where there is no room.
    pub(super) min: Option<usize>,
}

/// A column of text that may be cut to so many places.
pub(super) const fn words(title: &'static str, min: usize) -> Column {
    Column { title, right: false, min: Some(min) }
}

/// A column of numbers.
pub(super) const fn numbers(title: &'static str) -> Column {
    Column { title, right: true, min: None }
}

/// What a column is sorted by.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Key {
    /// The text.
    Text(String),
    /// A number.
    Number(f64),
}

/// A cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) tone: Tone,
    pub(super) key: Key,
}

impl Cell {
    pub(super) fn words(text: &str) -> Cell {
        let text = plain(if text.is_empty() { "-" } else { text });
        Cell { key: Key::Text(text.clone()), text, tone: Tone::Plain }
    }

    pub(super) fn number(text: String, number: f64) -> Cell {
        let tone = if number > 0.0 { Tone::Plain } else { Tone::Dim };
        Cell { text, tone, key: Key::Number(number) }
    }

    pub(super) fn toned(self, tone: Tone) -> Cell {
        Cell { tone, ..self }
    }
}

/// A row, and what it is of.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// The name by which it is found again.
    pub(super) name: String,
    pub(super) cells: Vec<Cell>,
}

/// A table.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) columns: &'static [Column],
    pub(super) rows: Vec<Row>,
}

/// Places between two columns.
const GAP: usize = 2;

impl Table {
    /// Only rows in which the text stands, in whatever case.
    pub(super) fn filtered(mut self, filter: &str) -> Table {
        let wanted = plain(filter).to_lowercase();
        let has = |text: &str| text.to_lowercase().contains(&wanted);
        if !wanted.is_empty() {
            self.rows.retain(|row| has(&row.name) || row.cells.iter().any(|cell| has(&cell.text)));
        }
        self
    }

    /// The rows by a column: numbers from the largest on, text from the first letter on, or the other way round.
    pub(super) fn sorted(mut self, column: usize, reversed: bool) -> Table {
        self.rows.sort_by(|one, other| {
            let order =
                match (one.cells.get(column).map(|cell| &cell.key), other.cells.get(column).map(|cell| &cell.key)) {
                    (Some(Key::Number(a)), Some(Key::Number(b))) => b.total_cmp(a),
                    (Some(Key::Text(a)), Some(Key::Text(b))) => a.cmp(b),
                    _ => std::cmp::Ordering::Equal,
                };
            let order = if reversed { order.reverse() } else { order };
            order.then_with(|| one.name.cmp(&other.name))
        });
        self
    }

    /// The widths of the columns that find room.
    fn widths(&self, places: Option<usize>) -> Vec<usize> {
        let natural = |n: usize| {
            let cells = self.rows.iter().filter_map(|row| row.cells.get(n)).map(|cell| width(&cell.text));
            // One place for the mark of the sorted column.
            cells.max().unwrap_or(0).max(width(self.columns[n].title) + 1)
        };
        let mut widths: Vec<usize> = (0..self.columns.len()).map(natural).collect();
        let Some(places) = places else { return widths };
        let total = |widths: &[usize]| widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        while total(&widths) > places {
            // The widest that may be cut gives a place; where none may, the last column goes.
            let spare = |n: &usize| self.columns[*n].min.map_or(0, |min| widths[*n].saturating_sub(min));
            match (0..widths.len()).max_by_key(spare).filter(|n| spare(n) > 0) {
                Some(n) => widths[n] -= 1,
                None if widths.len() > 1 => drop(widths.pop()),
                None => {
                    widths[0] = places;
                    break;
                }
            }
        }
        widths
    }

    /// The line of titles and the rows, in so many places; without a bound as wide as they are. The sorted column is marked.
    pub(super) fn lines(&self, places: Option<usize>, sorted: Option<(usize, bool)>) -> (Line, Vec<Line>) {
        let widths = self.widths(places);
        let gap = " ".repeat(GAP);
        let last = widths.len().saturating_sub(1);
        let mut titles = Line::default();
        for (n, places) in widths.iter().enumerate() {
            let Column { title, right, .. } = self.columns[n];
            let mark = match sorted {
                Some((column, reversed)) if column == n => {
                    if reversed {
                        "▴"
                    } else {
                        "▾"
                    }
                }
                _ => "",
            };
            titles = titles.and(&fit(&format!("{title}{mark}"), *places, right), Tone::Title);
            titles = titles.and(if n < last { &gap } else { "" }, Tone::Title);
        }
        let line = |row: &Row| {
            let mut line = Line::default();
            for (n, places) in widths.iter().enumerate() {
                let Some(cell) = row.cells.get(n) else { continue };
                line = line.and(&fit(&cell.text, *places, self.columns[n].right), cell.tone);
                line = line.and(if n < last { &gap } else { "" }, Tone::Plain);
            }
            line
        };
        (titles, self.rows.iter().map(line).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[words("NAME", 6), words("OWNER", 4), numbers("IN/S")];

    fn table() -> Table {
        let row = |name: &str, owner: &str, n: f64| Row {
            name: name.to_owned(),
            cells: vec![Cell::words(name), Cell::words(owner), Cell::number(n.to_string(), n)],
        };
        Table { columns: COLUMNS, rows: vec![row("alpha-queue", "a", 3.0), row("日本\u{202e}", "", 20.0)] }
    }

    fn text(table: &Table, places: Option<usize>) -> Vec<String> {
        let (titles, rows) = table.lines(places, Some((2, false)));
        std::iter::once(titles).chain(rows).map(|line| line.text()).collect()
    }

    #[test]
    fn a_table_fits_its_width() {
        assert_eq!(
            text(&table(), None),
            ["NAME          OWNER   IN/S▾", "alpha-queue   a           3", "日本\\u{202e}  -          20",]
        );
        assert_eq!(
            text(&table(), Some(22)),
            ["NAME      OWNER  IN/S▾", "alpha-q…  a          3", "日本\\u{…  -         20"]
        );
        assert_eq!(text(&table(), Some(12)), ["NAME    OWN…", "alpha…  a", "日本\\…  -"]);
        for places in 1..60 {
            let (titles, rows) = table().lines(Some(places), None);
            for line in std::iter::once(titles).chain(rows) {
                let taken: usize = line.0.iter().map(|part| width(&part.text)).sum();
                assert!(taken <= places, "{places}: {line:?}");
            }
        }
    }

    #[test]
    fn rows_are_sorted_and_filtered() {
        let names = |table: Table| table.rows.into_iter().map(|row| row.cells[1].text.clone()).collect::<Vec<_>>();
        assert_eq!(names(table().sorted(2, false)), ["-", "a"]);
        assert_eq!(names(table().sorted(2, true)), ["a", "-"]);
        assert_eq!(names(table().filtered("ALPHA")), ["a"]);
        assert_eq!(names(table().filtered("\u{202e}")), ["-"]);
        assert_eq!(names(table().filtered("")).len(), 2);
    }
}
