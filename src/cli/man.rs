//! `circlet man`: manual pages, made from the rows that `--help` is made from. Io.
//!
//! One page for Circlet and one per subcommand, as git has them: circlet(1), circlet-serve(1), circlet-node-add(1) and so on. Exit codes and
//! examples stand in them because they stand in the help.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Args, Command, CommandFactory};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

use super::{Cli, Exit, complain, pour};

const EXAMPLES: &str = "\
Examples:
  circlet man | man -l -
  circlet man serve | man -l -
  circlet man --dir /usr/local/share/man/man1";

/// Flags of `circlet man`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Flags {
    /// The subcommand whose page is wanted; none: Circlet's own.
    #[arg(value_name = "SUBCOMMAND", conflicts_with = "dir")]
    subcommand: Option<String>,
    /// Write all pages into this directory, which is made if missing.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints a page, or writes all.
pub(super) fn run(flags: Flags) -> Exit {
    let pages = pages();
    if let Some(dir) = flags.dir {
        return match write(&dir, &pages) {
            Ok(()) => Exit::Ended,
            Err(error) => {
                complain(format_args!("the manual pages cannot be written into {}: {error}", dir.display()));
                Exit::NotStarted
            }
        };
    }
    let wanted = flags.subcommand.map_or_else(|| "circlet".to_owned(), |name| format!("circlet-{name}"));
    match pages.iter().find(|page| page.name == wanted) {
        Some(page) => {
            pour(&page.text);
            Exit::Ended
        }
        None => {
            let names: Vec<&str> = pages.iter().filter_map(|page| page.name.strip_prefix("circlet-")).collect();
            complain(format_args!(
                "there is no manual page {wanted}; there are pages of the subcommands {}",
                names.join(", ")
            ));
            Exit::Misconfigured
        }
    }
}

/// A manual page.
struct Page {
    /// Its name, without the section.
    name: String,
    text: Vec<u8>,
}

fn pages() -> Vec<Page> {
    let mut circlet = Cli::command().disable_help_subcommand(true);
    circlet.build();
    let mut pages = Vec::new();
    add_pages(&mut pages, "circlet", circlet, None);
    pages
}

/// Adds the page of `command`, which is called `name`, then those of its subcommands.
fn add_pages(pages: &mut Vec<Page>, name: &str, command: Command, parent: Option<&str>) {
    let subcommands: Vec<Command> = command.get_subcommands().filter(|one| one.get_name() != "help").cloned().collect();
    let names: Vec<String> = subcommands.iter().map(|one| format!("{name}-{}", one.get_name())).collect();
    let others: Vec<String> = parent.map(str::to_owned).into_iter().chain(names.iter().cloned()).collect();
    pages.push(page(name.to_owned(), command.disable_help_subcommand(true), &others));
    for (subcommand, its_name) in subcommands.into_iter().zip(names) {
        add_pages(pages, &its_name, subcommand, Some(name));
    }
}

/// The page of `command`, which names the pages `others`.
fn page(name: String, command: Command, others: &[String]) -> Page {
    let version = concat!("circlet ", env!("CARGO_PKG_VERSION"));
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let has_subcommands = command.has_subcommands();
    let man = Man::new(command).title(&name).source(version).manual("Circlet");
    let mut text = Vec::new();
    let render = |text: &mut Vec<u8>| -> io::Result<()> {
        man.render_title(text)?;
        man.render_name_section(text)?;
        man.render_synopsis_section(text)?;
        man.render_description_section(text)?;
        man.render_options_section(text)?;
        if has_subcommands {
            man.render_subcommands_section(text)?;
        }
        last_sections(&after, others).to_writer(text)
    };
    // Writing to a vector cannot fail.
    let _ = render(&mut text);
    Page { name, text }
}

/// What stands behind the flags in the help, by its headings and with its lines as they are; then the other pages.
fn last_sections(help: &str, others: &[String]) -> Roff {
    let mut roff = Roff::new();
    for block in help.split("\n\n") {
        match block.split_once(":\n") {
            Some((heading, lines)) if !heading.contains('\n') => {
                roff.control("SH", [heading.to_uppercase().as_str()]).control("nf", []);
                for line in lines.lines() {
                    roff.text([roman(line)]);
                }
                roff.control("fi", []);
            }
            _ if block.is_empty() => {}
            _ => {
                roff.control("SH", ["NOTES"]).text([roman(block)]);
            }
        }
    }
    let others: Vec<String> = others.iter().map(|other| format!("{other}(1)")).collect();
    roff.control("SH", ["SEE ALSO"]).text([roman(others.join(", "))]);
    roff
}

fn write(dir: &Path, pages: &[Page]) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    pages.iter().try_for_each(|page| fs::write(dir.join(format!("{}.1", page.name)), &page.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subcommand_has_its_page_with_its_flags() {
        let pages = pages();
        let text = |name: &str| {
            let page = pages.iter().find(|page| page.name == name).unwrap_or_else(|| panic!("no page {name}"));
            String::from_utf8(page.text.clone()).unwrap().replace("\\-", "-")
        };
        assert!(text("circlet").contains("circlet-serve(1)") && text("circlet").contains(".SH \"EXIT CODES\""));
        assert!(text("circlet-serve").contains(".SH EXAMPLES\n.nf\n  circlet serve --config"));
        for command in Cli::command().get_subcommands() {
            let page = text(&format!("circlet-{}", command.get_name()));
            for flag in command.get_arguments().filter_map(clap::Arg::get_long) {
                assert!(page.contains(&format!("--{flag}")), "{}: --{flag} in {page}", command.get_name());
            }
            assert!(page.contains(".SH \"SEE ALSO\"\ncirclet(1)"), "{page}");
            for subcommand in command.get_subcommands() {
                let name = format!("circlet-{}-{}", command.get_name(), subcommand.get_name());
                assert!(page.contains(&format!("{name}(1)")), "{name} in {page}");
                let flag = subcommand.get_arguments().filter_map(clap::Arg::get_long).last().unwrap();
                assert!(text(&name).contains(&format!("--{flag}")), "{name}: --{flag}");
            }
        }
    }
}
