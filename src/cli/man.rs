//! `nephoscope man`: prints the manual page, with every command on it.
//!
//! Never here: a text about a command; the texts are those of `--help`.

use clap::Command;
use clap_mangen::Man;
use std::io::{self, Write as _};

use super::{Failure, grammar, print_whole};

#[derive(clap::Args)]
pub(super) struct Arguments {}

pub(super) fn run(_arguments: &Arguments) -> Result<(), Failure> {
    let page = page(grammar()).map_err(|e| Failure::Other(format!("cannot write the manual page: {e}")))?;
    print_whole(&page)
}

/// One page: first the program, then a section for each command. clap_mangen would make a page for each command, and
/// one page can be read from standard input (`nephoscope man | man -l -`).
pub(super) fn page(mut grammar: Command) -> io::Result<Vec<u8>> {
    grammar.build();
    let man = Man::new(grammar.clone()).manual("User Commands");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    man.render_extra_section(&mut page)?;
    commands(&grammar, &mut page)?;
    Ok(page)
}

fn commands(above: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    for command in above.get_subcommands().filter(|command| !command.is_hide_set()) {
        let man = Man::new(command.clone());
        let mut section = Vec::new();
        man.render_description_section(&mut section)?;
        man.render_synopsis_section(&mut section)?;
        man.render_options_section(&mut section)?;
        let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
        writeln!(page, ".SH \"{}\"", name.to_uppercase())?;
        // Sections of a page of its own are parts of a section here, and the definitions stand at the top already. No
        // text begins with a dot: roff escapes it.
        for line in String::from_utf8_lossy(&section).lines() {
            match line.strip_prefix(".SH ") {
                Some(title) => writeln!(page, ".SS {title}")?,
                None if line.starts_with(".ie ") || line.starts_with(".el ") => {}
                None => writeln!(page, "{line}")?,
            }
        }
        commands(command, page)?;
    }
    Ok(())
}
