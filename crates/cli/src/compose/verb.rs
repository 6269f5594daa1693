//! One verb of Compose: its spellings, its parser, what it does.

use super::{Call, called};
use crate::argv::{self, Flags, Parsed};
use crate::failure::{Failure, Outcome};
use crate::session::Session;
use clap::{ArgMatches, Command};
use std::ffi::OsString;
use std::fmt::Write;

/// What a verb's flags are parsed into.
pub(crate) trait Run: clap::Args {
    fn run(self, call: &Call<'_>) -> Outcome;
}

#[derive(Debug)]
pub(crate) struct Verb {
    pub(crate) names: &'static [&'static str],
    pub(crate) usage: &'static str,
    pub(crate) about: &'static str,
    examples: &'static str,
    order: Flags,
    parser: fn() -> Command,
    run: fn(&Call<'_>, &ArgMatches) -> Outcome,
}

/// A verb that takes flags anywhere.
pub(crate) const fn verb<A: Run>(
    names: &'static [&'static str],
    usage: &'static str,
    about: &'static str,
) -> Verb {
    Verb {
        names,
        usage,
        about,
        examples: "",
        order: Flags::Anywhere,
        parser: || A::augment_args(Command::new("")),
        run: |call, matches| {
            let args = A::from_arg_matches(matches).map_err(|error| complaint(&error))?;
            args.run(call)
        },
    }
}

impl Verb {
    /// What follows the first argument is not ours to read.
    pub(crate) const fn flags_first(mut self) -> Self {
        self.order = Flags::First;
        self
    }

    pub(crate) const fn examples(mut self, examples: &'static str) -> Self {
        self.examples = examples;
        self
    }

    pub(crate) fn parser(&self) -> Command {
        let mut command = (self.parser)()
            .no_binary_name(true)
            .disable_help_flag(true)
            .disable_version_flag(true)
            .args_override_self(true);
        command.build();
        command
    }

    /// Parses and runs.
    pub(crate) fn execute(&self, call: &Call<'_>, args: &[OsString]) -> Outcome {
        let command = self.parser();
        let outcome = match argv::split(&command, args, self.order).map_err(usage) {
            Ok(Parsed::Help) => {
                crate::output::text(&self.help(call.session))?;
                return Ok(0);
            }
            Ok(Parsed::Arguments { flags, positionals }) => {
                let words = flags.into_iter().chain(["--".into()]).chain(positionals);
                command
                    .try_get_matches_from(words)
                    .map_err(|error| complaint(&error))
                    .and_then(|matches| (self.run)(call, &matches))
            }
            Err(failure) => Err(failure),
        };
        match outcome {
            Err(Failure::Usage { message, code }) => {
                let name = format!("{} {}", called(call.session), self.names[0]);
                let message = format!(
                    "{message}\n\n{}\n\nRun '{name} --help' for more information",
                    self.usage_line(call.session)
                );
                Err(Failure::Usage { message, code })
            }
            other => other,
        }
    }

    fn usage_line(&self, session: &Session) -> String {
        format!(
            "Usage:  {} {} {}",
            called(session),
            self.names[0],
            self.usage
        )
    }

    pub(crate) fn help(&self, session: &Session) -> String {
        let mut out = format!("{}\n\n{}\n", self.usage_line(session), self.about);
        let parser = self.parser();
        let mut rows: Vec<(String, String)> = parser
            .get_arguments()
            .filter(|arg| !arg.is_positional() && !arg.is_hide_set())
            .map(|arg| {
                let short = arg
                    .get_short()
                    .map_or("    ".to_owned(), |letter| format!("-{letter}, "));
                let takes = arg
                    .get_num_args()
                    .is_some_and(|range| range.min_values() > 0);
                let value = match arg.get_value_names() {
                    Some([name, ..]) if takes => format!(" {}", name.to_lowercase()),
                    _ => String::new(),
                };
                let long = arg.get_long().unwrap_or_default();
                (
                    format!("  {short}--{long}{value}"),
                    arg.get_help().map(ToString::to_string).unwrap_or_default(),
                )
            })
            .collect();
        rows.sort_by(|a, b| a.0[6..].cmp(&b.0[6..]));
        if !rows.is_empty() {
            let width = rows.iter().map(|(flag, _)| flag.len()).max().unwrap_or(0) + 3;
            out.push_str("\nOptions:\n");
            for (flag, help) in rows {
                let _ = writeln!(out, "{flag:width$}{help}");
            }
        }
        if !self.examples.is_empty() {
            out.push_str("\nExamples:\n");
            for line in self.examples.lines() {
                let _ = writeln!(out, "  {} {line}", called(session));
            }
        }
        out
    }
}

pub(crate) fn usage(message: impl Into<String>) -> Failure {
    Failure::Usage {
        message: message.into(),
        code: 1,
    }
}

/// clap's complaint without its decoration.
fn complaint(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let first = text
        .split("\n\n")
        .next()
        .unwrap_or_default()
        .replace('\n', " ");
    usage(first.strip_prefix("error: ").unwrap_or(&first).trim())
}
