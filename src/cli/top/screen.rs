//! From a picture and what the operator chose to the lines of a screen. It knows no terminal.

use super::detail;
use super::lines::{Line, Tone};
use super::summary;
use super::tabs::Tab;
use super::ui::{Mode, Ui};
use crate::coordination::Operation;
use crate::desk::Picture;

/// What the keys do.
const KEYS: &str = "1-5 table  ↑↓ choose  enter look  / filter  s sort  r reverse  p pause  m move  u unpin  q quit";

/// Lines that are not the table's, where all of them find room: tabs, titles, message and keys.
const AROUND: usize = 4;

/// The lines of a screen of this size.
pub(super) fn lines(picture: &Picture, ui: &Ui, width: usize, height: usize) -> Vec<Line> {
    let mut top = summary::lines(picture);
    // A small screen has a table all the same.
    top.truncate(height.saturating_sub(AROUND + 3).max(1));
    top.push(tabs(ui));
    let room = height.saturating_sub(top.len() + AROUND - 1);
    let body = match &ui.mode {
        Mode::Detail(name) => detail::lines(picture, ui.tab, name).into_iter().take(room + 1).collect(),
        _ => table(picture, ui, width, room),
    };
    let mut lines = top;
    lines.extend(body);
    lines.resize_with(height.saturating_sub(2), Line::default);
    lines.push(foot(ui));
    lines.push(Line::of(KEYS, Tone::Dim));
    lines.truncate(height);
    lines.into_iter().map(|line| line.within(width)).collect()
}

fn tabs(ui: &Ui) -> Line {
    let mut line = Line::default();
    for (n, tab) in Tab::ALL.iter().enumerate() {
        let tone = if *tab == ui.tab { Tone::Chosen } else { Tone::Dim };
        line = line.and(&format!(" {} {} ", n + 1, tab.title()), tone).and(" ", Tone::Plain);
    }
    if ui.filter.is_empty() { line } else { line.and(&format!(" filter: {}", ui.filter), Tone::Warn) }
}

fn table(picture: &Picture, ui: &Ui, width: usize, room: usize) -> Vec<Line> {
    let (column, reversed) = ui.order();
    let table = ui.table(picture);
    let (titles, rows) = table.lines(Some(width), Some((column, reversed)));
    let chosen = ui.chosen(&table);
    // The chosen row is always seen.
    let from = (chosen + 1).saturating_sub(room);
    let mut lines = vec![titles];
    for (n, row) in rows.into_iter().enumerate().skip(from).take(room) {
        lines.push(if n == chosen { row.chosen(width) } else { row });
    }
    if lines.len() == 1 {
        lines.push(Line::of(if ui.filter.is_empty() { "none" } else { "none has that" }, Tone::Dim));
    }
    lines
}

/// The last line but one: a question, or what came of the last one.
fn foot(ui: &Ui) -> Line {
    match &ui.mode {
        Mode::Filter => Line::of(&format!("/{}▏", ui.filter), Tone::Warn),
        Mode::Pause(Operation::Resume) => Line::of("resume rebalancing? y or n", Tone::Warn),
        Mode::Pause(_) => Line::of("pause rebalancing: no queue moves until it is resumed? y or n", Tone::Warn),
        Mode::Unpin(queue) => Line::of(&format!("let any member own {queue} again? y or n"), Tone::Warn),
        Mode::Move { queue, members, typed } => {
            let named = members.iter().enumerate().map(|(n, id)| format!("{} {id}", n + 1));
            let named = named.collect::<Vec<_>>().join("  ");
            Line::of(&format!("move {queue} to (number or ID): {typed}▏  {named}"), Tone::Warn)
        }
        Mode::Table | Mode::Detail(_) => Line::of(&ui.said, Tone::Warn),
    }
}

/// Everything at once, for `--once`: as wide and as long as it is.
pub(super) fn whole(picture: &Picture) -> String {
    let mut lines: Vec<String> = summary::lines(picture).iter().map(Line::text).collect();
    for tab in [Tab::Members, Tab::Queues, Tab::Publishers, Tab::Parked, Tab::Moves] {
        let (column, reversed) = tab.order();
        let table = tab.table(picture).sorted(column, reversed);
        lines.extend([String::new(), tab.title().to_owned()]);
        if table.rows.is_empty() {
            lines.push("  none".to_owned());
            continue;
        }
        let (titles, rows) = table.lines(None, None);
        lines.push(format!("  {}", titles.text()));
        lines.extend(rows.iter().map(|row| format!("  {}", row.text())));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
#[path = "screen_tests.rs"]
mod tests;
