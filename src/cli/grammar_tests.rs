//! Completions and the manual page name every command and option, no hidden one, and are read by what reads them.

use clap::{Arg, Command};
use clap_complete::Shell;
use rstest::rstest;
use std::io::Write as _;
use std::process::{Command as Process, Stdio};

use super::{completions, grammar, man};

/// What must be named: the words of each command, and its long options.
fn named(command: &Command, words: &str, all: &mut Vec<(String, Vec<String>)>) {
    let options = command.get_arguments().filter(|option| !option.is_hide_set());
    all.push((words.to_owned(), options.filter_map(Arg::get_long).map(|long| format!("--{long}")).collect()));
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        named(below, format!("{words} {}", below.get_name()).trim(), all);
    }
}

fn every_command() -> Vec<(String, Vec<String>)> {
    let (mut whole, mut all) = (grammar(), Vec::new());
    whole.build();
    named(&whole, "", &mut all);
    assert!(all.len() > 15 && all.iter().any(|(words, _)| words == "cluster drain"), "{all:?}");
    all
}

#[rstest]
#[case::bash(Shell::Bash)]
#[case::zsh(Shell::Zsh)]
#[case::fish(Shell::Fish)]
#[case::elvish(Shell::Elvish)]
#[case::powershell(Shell::PowerShell)]
fn completions_name_every_command_and_option(#[case] shell: Shell) {
    let script = String::from_utf8(completions::script(shell)).unwrap();
    for (words, options) in every_command() {
        for word in words.split(' ') {
            assert!(script.contains(word), "{shell} does not complete {words}");
        }
        for option in options {
            // fish has them without dashes
            let written = if shell == Shell::Fish { option.replace("--", "-l ") } else { option.clone() };
            assert!(script.contains(&written), "{shell} does not complete {words} {option}");
        }
    }
}

/// The details are in the long help.
#[test]
fn a_short_help_is_one_phrase_that_fits_on_a_line() {
    fn texts(command: &Command, all: &mut Vec<String>) {
        all.extend(command.get_about().map(ToString::to_string));
        let options = command.get_arguments().filter(|option| !option.is_hide_set());
        for option in options {
            all.extend(option.get_help().map(ToString::to_string));
            all.extend(
                option.get_possible_values().iter().filter_map(|value| value.get_help()).map(ToString::to_string),
            );
        }
        command.get_subcommands().for_each(|below| texts(below, all));
    }
    let mut all = Vec::new();
    texts(&grammar(), &mut all);
    assert!(all.len() > 60, "{all:?}");
    // The program's own line is what it is, and JSON shows its keys.
    let is_odd = |text: &&String| {
        text.chars().count() > 80 && !text.starts_with("A clustered") && !text.starts_with("One line per notification")
            || text.ends_with('.')
            || text.starts_with(char::is_lowercase)
    };
    assert_eq!(all.iter().filter(is_odd).collect::<Vec<_>>(), [""; 0]);
}

/// Command by command: a name that two commands share is no excuse for a third.
#[test]
fn the_manual_page_names_every_command_and_option_in_its_section() {
    let page = shown(&man::page(grammar()).unwrap());
    let sections: Vec<&str> = page.split(".SH ").collect();
    for (words, options) in every_command() {
        let title = format!("\"NEPHOSCOPE {}\"", words.to_uppercase());
        let section = if words.is_empty() {
            page.split("\"NEPHOSCOPE ").next()
        } else {
            sections.iter().copied().find(|section| section.starts_with(&title))
        };
        let section = section.unwrap_or_else(|| panic!("the page has no section {title}"));
        for option in options {
            assert!(section.contains(&option), "the page has no {words} {option}");
        }
    }
}

/// clap_complete offers hidden commands and options too: whoever hides the first one finds out here.
#[test]
fn nothing_is_hidden_as_completions_would_show_it() {
    fn hidden(command: &Command) -> Option<String> {
        let option =
            command.get_arguments().find(|option| option.is_hide_set()).map(|option| option.get_id().to_string());
        let mut below = command.get_subcommands();
        option.or_else(|| {
            below.find_map(|below| if below.is_hide_set() { Some(below.get_name().to_owned()) } else { hidden(below) })
        })
    }
    let mut whole = grammar();
    whole.build();
    assert_eq!(hidden(&whole), None, "leave it out of what `completions` is made from");
}

#[test]
fn the_manual_page_hides_what_is_hidden() {
    let secret = Command::new("secretly").hide(true).arg(Arg::new("inner").long("innermost"));
    let with = grammar().subcommand(secret).arg(Arg::new("veiled").long("veiled").hide(true));
    let page = shown(&man::page(with).unwrap());
    for word in ["secretly", "innermost", "veiled"] {
        assert!(!page.contains(word) && !page.contains(&word.to_uppercase()), "{word}");
    }
}

/// As a reader of the page sees it: roff writes a dash as `\-`.
fn shown(page: &[u8]) -> String {
    String::from_utf8_lossy(page).replace("\\-", "-")
}

/// `None` where the program is not installed; otherwise what it printed and complained of.
fn read_by(program: &[&str], text: &[u8]) -> Option<(bool, String, String)> {
    let mut reader = Process::new(program[0]);
    reader.args(&program[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = reader.spawn() else {
        eprintln!("skipped: {} is not installed", program[0]);
        return None;
    };
    let mut input = child.stdin.take().unwrap();
    let whole = text.to_vec();
    // A thread, or a reader that prints before it has read all would wait for us and we for it.
    let writer = std::thread::spawn(move || input.write_all(&whole));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some((output.status.success(), text(&output.stdout), text(&output.stderr)))
}

#[rstest]
#[case::bash(Shell::Bash, &["bash", "-n"])]
#[case::zsh(Shell::Zsh, &["zsh", "-n"])]
#[case::fish(Shell::Fish, &["fish", "--no-execute"])]
fn a_shell_parses_its_completions(#[case] shell: Shell, #[case] program: &[&str]) {
    if let Some((well, _, complaints)) = read_by(program, &completions::script(shell)) {
        assert!(well && complaints.is_empty(), "{complaints}");
    }
}

#[rstest]
#[case::groff(&["groff", "-Kutf8", "-man", "-Tutf8", "-ww"])]
#[case::mandoc(&["mandoc", "-T", "utf8", "-W", "error"])]
fn the_manual_page_renders_without_a_complaint(#[case] program: &[&str]) {
    if let Some((well, page, complaints)) = read_by(program, &man::page(grammar()).unwrap()) {
        assert!(well && complaints.is_empty(), "{complaints}");
        assert!(page.contains("CLUSTER DRAIN") || page.contains("C\u{8}CL"), "{page}");
    }
}
