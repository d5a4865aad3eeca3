//! The pages, and what is in them: links, inline code, commands, console blocks.

use std::fs;
use std::path::{Path, PathBuf};

/// One page of the repository.
pub(crate) struct Page {
    /// Its path below the root.
    pub(crate) name: String,
    /// Its path.
    pub(crate) path: PathBuf,
    /// Its text.
    pub(crate) text: String,
}

/// A command of a `console` block, and what it prints.
pub(crate) struct Block {
    /// What stands after `$ `.
    pub(crate) command: String,
    /// The lines after it.
    pub(crate) output: String,
}

/// Every page that a person is led to.
pub(crate) fn pages() -> Vec<Page> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"].map(str::to_owned).to_vec();
    let folders =
        ["docs", "docs/decisions", "docs/measurements", "docs/publishers", ".github", ".github/ISSUE_TEMPLATE"];
    for folder in folders {
        let files = fs::read_dir(root.join(folder)).unwrap();
        let files = files.map(|file| format!("{folder}/{}", file.unwrap().file_name().to_string_lossy()));
        names.extend(files.filter(|name| Path::new(name).extension().is_some_and(|end| end == "md")));
    }
    names.sort();
    let page = |name: String| {
        let path = root.join(&name);
        let text = fs::read_to_string(&path).unwrap();
        Page { name, path, text }
    };
    names.into_iter().map(page).collect()
}

/// All of `src/`, `tests/` and `crates/`, as one text.
pub(crate) fn sources() -> String {
    let mut all = String::new();
    for folder in ["src", "tests", "crates"] {
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut all);
    }
    all
}

/// All of `src/` without the tests in it, as one text.
pub(crate) fn product() -> String {
    let mut all = String::new();
    collect_with(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all, &|path, text| {
        if path.components().any(|part| part.as_os_str().to_string_lossy().contains("tests")) {
            ""
        } else {
            text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
        }
        .to_owned()
    });
    all
}

fn collect(folder: &Path, all: &mut String) {
    collect_with(folder, all, &|_, text| text.to_owned());
}

/// Each file of a folder and those below it, as `part` gives it.
fn collect_with(folder: &Path, all: &mut String, part: &dyn Fn(&Path, &str) -> String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_with(&path, all, part);
        } else if path.extension().is_some_and(|end| end == "rs") {
            all.push_str(&part(&path, &fs::read_to_string(&path).unwrap()));
        }
    }
}

impl Page {
    /// The lines outside fenced blocks.
    pub(crate) fn prose(&self) -> impl Iterator<Item = &str> {
        self.fenced().filter(|(fenced, _)| !fenced).map(|(_, line)| line)
    }

    /// Every line, with whether it stands in a fenced block; the fences are left out.
    fn fenced(&self) -> impl Iterator<Item = (bool, &str)> {
        let mut inside = false;
        self.text.lines().filter_map(move |line| {
            let fence = line.starts_with("```");
            inside ^= fence;
            (!fence).then_some((inside, line))
        })
    }

    /// The targets of links.
    pub(crate) fn links(&self) -> impl Iterator<Item = String> {
        let targets = |line: &str| -> Vec<String> {
            line.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect()
        };
        self.prose().flat_map(targets)
    }

    /// Inline code.
    pub(crate) fn code(&self) -> impl Iterator<Item = &str> {
        self.prose().flat_map(|line| line.split('`').skip(1).step_by(2))
    }

    /// The words of inline code and of fenced blocks.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        let fenced = self.fenced().filter(|(fenced, _)| *fenced).map(|(_, line)| line);
        self.code().chain(fenced).flat_map(str::split_whitespace)
    }

    /// Commands that begin so, inline or after `$ ` or at the beginning of a fenced line.
    pub(crate) fn commands(&self, begin: &str) -> Vec<String> {
        let fenced = self.fenced().filter(|(fenced, _)| *fenced).map(|(_, line)| line.trim_start_matches("$ "));
        let commands = self.code().chain(fenced).filter(|code| code.starts_with(begin));
        // A comment or the next command does not belong to it.
        commands.map(|code| code.split(" # ").next().unwrap().split(" | ").next().unwrap().to_owned()).collect()
    }

    /// The commands of fenced blocks, each with its output.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut open = false;
        for (fenced, line) in self.fenced() {
            if let Some(command) = line.strip_prefix("$ ").filter(|_| fenced) {
                blocks.push(Block { command: command.to_owned(), output: String::new() });
                open = true;
            } else if !fenced {
                open = false;
            } else if let Some(block) = blocks.last_mut().filter(|_| open) {
                block.output.push_str(line);
                block.output.push('\n');
            }
        }
        blocks
    }
}

/// The anchors of a page's headings, as GitHub makes them.
pub(crate) fn anchors(text: &str) -> impl Iterator<Item = String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    headings.map(|heading| {
        let kept = heading.to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
    })
}

/// Whether the shown lines are those that came, in order; a line `…` stands for any number of lines, one that ends in `…`
/// for any that begins so. The error is the first line that did not come.
pub(crate) fn is_elided(shown: &str, came: &str, form: impl Fn(&str) -> String) -> Result<(), String> {
    let mut came = came.lines().map(&form).filter(|line| !line.is_empty());
    let mut skipping = false;
    for line in shown.lines().map(&form).filter(|line| !line.is_empty()) {
        if line == "…" {
            skipping = true;
            continue;
        }
        let is_it = |found: &String| match line.strip_suffix('…') {
            Some(begin) => found.starts_with(begin),
            None => *found == line,
        };
        let found = if skipping { came.find(is_it) } else { came.next().filter(is_it) };
        found.ok_or(line)?;
        skipping = false;
    }
    Ok(())
}

/// A line whose numbers, and whose width, do not matter.
pub(crate) fn without_numbers(line: &str) -> String {
    let word = |word: &str| {
        if word == "killed" {
            return "#".to_owned();
        }
        let mut out = String::new();
        for c in word.chars() {
            if !c.is_ascii_digit() {
                out.push(c);
            } else if !out.ends_with('#') {
                out.push('#');
            }
        }
        out
    };
    line.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}
