//! The commented sample file and the reference page, printed from the rows.

use super::super::values::{defaults, expectation};
use super::{Effect, Kind, Opt, foreign, rows};
use std::fmt::Write;

/// The width of comments in the sample, in characters.
const WIDTH: usize = 100;

/// `config/ceilometer.conf.sample`: every honoured option, commented out, with its default.
pub fn sample() -> String {
    let mut out = String::from(
        "# Every option that nephoscope honours, with its default. To change a value, remove the `#` before it.\n\
         # nephoscope reads ceilometer.conf as it is: this file is for reference only. Printed from src/config/options.\n",
    );
    for (section, rows) in sections() {
        let _ = write!(out, "\n[{section}]\n");
        for row in rows.iter().filter(|row| row.effect == Effect::Honoured) {
            out.push('\n');
            let unit = if row.unit.is_empty() { String::new() } else { format!(" Unit: {}.", row.unit) };
            for line in wrapped(&format!("{}.{unit} Expected: {}.", sentence(row), expectation(row.kind))) {
                let _ = writeln!(out, "# {line}");
            }
            let values: Vec<&str> = match row.kind {
                Kind::Multi | Kind::MultiSecret if !row.default.is_empty() => defaults(row).collect(),
                _ => vec![row.default],
            };
            for value in values {
                let _ = writeln!(out, "{}", format!("#{} = {value}", row.name).trim_end());
            }
        }
    }
    out
}

/// `docs/options.md`: every option, the ones without effect too.
pub fn page() -> String {
    let mut out = String::from(
        "# Options\n\n\
         The program prints this page from `src/config/options`; do not edit it.\n\
         nephoscope reads `ceilometer.conf` as it is.\n\
         The options that it honours come first, by section.\n\
         The options without effect come last, each with the reason; nephoscope warns of them at start if they are written.\n",
    );
    for (section, rows) in sections() {
        let honoured: Vec<_> = rows.iter().filter(|row| row.effect == Effect::Honoured).collect();
        if honoured.is_empty() {
            continue;
        }
        let _ = write!(
            out,
            "\n## [{section}]\n\n| option | default | unit | expected | meaning |\n|---|---|---|---|---|\n"
        );
        for row in honoured {
            let mut names = format!("`{}`", row.name);
            for (section, old) in row.old {
                let _ = write!(names, "<br>was `[{section}] {old}`");
            }
            let default = if row.default.is_empty() { String::new() } else { format!("`{}`", row.default) };
            let _ =
                writeln!(out, "| {names} | {default} | {} | {} | {} |", row.unit, expectation(row.kind), sentence(row));
        }
    }
    out.push_str("\n## Without effect\n\n| option | why |\n|---|---|\n");
    for row in rows() {
        if let Effect::None(why) = row.effect {
            let _ = writeln!(out, "| `[{}] {}` | {why} |", row.section, row.name);
        }
    }
    for other in foreign() {
        let names: Vec<String> = other.names.iter().map(|name| format!("`{name}`")).collect();
        let names = if other.names == ["*"] { "all of it".to_owned() } else { names.join(", ") };
        let _ = writeln!(out, "| `[{}]` {names} | {} |", other.section, other.why);
    }
    out
}

fn sentence(row: &Opt) -> String {
    let flags: Vec<String> = row.only_with.iter().map(|(section, name)| format!("[{section}] {name}")).collect();
    let only = if flags.is_empty() { String::new() } else { format!("; only with {}", flags.join(" or ")) };
    format!("{}{only}", row.what)
}

/// Rows by section, sections in the order in which they first appear.
fn sections() -> Vec<(&'static str, Vec<&'static Opt>)> {
    let mut sections: Vec<(&str, Vec<&Opt>)> = Vec::new();
    for row in rows() {
        match sections.iter_mut().find(|(section, _)| *section == row.section) {
            Some((_, rows)) => rows.push(row),
            None => sections.push((row.section, vec![row])),
        }
    }
    sections
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let full = lines.last().is_some_and(|line| !line.is_empty() && line.len() + word.len() >= WIDTH);
        if full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// `NEPHOSCOPE_REGENERATE=1` writes the files instead of comparing them.
    #[test]
    fn the_printed_files_are_those_of_the_rows() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let regenerate = std::env::var_os("NEPHOSCOPE_REGENERATE").is_some();
        for (file, text) in [("config/ceilometer.conf.sample", super::sample()), ("docs/options.md", super::page())] {
            let path = root.join(file);
            if regenerate {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, &text).unwrap();
            }
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(committed == text, "{file} is old: NEPHOSCOPE_REGENERATE=1 cargo test --lib printed_files");
        }
    }
}
