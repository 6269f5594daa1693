//! One command: its spellings, its parser, what it does. Each verb's file offers its own.

use crate::argv::{self, Flags, Parsed};
use crate::failure::{Failure, Outcome};
use crate::session::Session;
use clap::{ArgMatches, Command};
use std::ffi::OsString;

/// What a verb's flags are parsed into.
pub(crate) trait Run: clap::Args {
    fn run(self, session: &Session) -> Outcome;
}

/// A command that can be named on the command line.
#[derive(Debug)]
pub(crate) struct Verb {
    /// Every spelling, the one that help and errors use first: `["ps", "container ls", …]`.
    pub(crate) names: &'static [&'static str],
    /// What follows the name in the usage line.
    pub(crate) usage: &'static str,
    pub(crate) about: &'static str,
    pub(crate) examples: &'static str,
    least: usize,
    most: Option<usize>,
    order: Flags,
    /// What can go on while the flags are read.
    early: Option<fn(&Session)>,
    parser: fn() -> Command,
    run: fn(&Session, &ArgMatches) -> Outcome,
}

/// A verb that takes flags anywhere and no arguments.
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
        least: 0,
        most: Some(0),
        order: Flags::Anywhere,
        early: None,
        parser: || A::augment_args(Command::new("")),
        run: |session, matches| {
            let args = A::from_arg_matches(matches).map_err(|error| clap_failure(&error))?;
            args.run(session)
        },
    }
}

impl Verb {
    /// At least so many arguments.
    pub(crate) const fn at_least(mut self, least: usize) -> Self {
        self.least = least;
        self.most = None;
        self
    }

    /// From so many to so many arguments.
    pub(crate) const fn between(mut self, least: usize, most: usize) -> Self {
        self.least = least;
        self.most = Some(most);
        self
    }

    /// Exactly so many arguments.
    pub(crate) const fn exactly(self, count: usize) -> Self {
        self.between(count, count)
    }

    /// What follows the first argument is not ours to read.
    pub(crate) const fn flags_first(mut self) -> Self {
        self.order = Flags::First;
        self
    }

    pub(crate) const fn examples(mut self, examples: &'static str) -> Self {
        self.examples = examples;
        self
    }

    /// Done before the flags are read, and undone by itself when they turn out wrong.
    pub(crate) const fn early(mut self, early: fn(&Session)) -> Self {
        self.early = Some(early);
        self
    }

    /// Begins what need not wait for the flags, unless only help is asked for.
    pub(crate) fn begin(&self, session: &Session, args: &[OsString]) {
        if let Some(early) = self.early
            && !args.iter().any(|word| word == "--help")
        {
            early(session);
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.names[0]
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
    pub(crate) fn execute(&self, session: &Session, args: &[OsString]) -> Outcome {
        let command = self.parser();
        match argv::split(&command, args, self.order).map_err(Failure::usage)? {
            Parsed::Help => {
                crate::output::text(&crate::help::of_verb(session, self))?;
                Ok(0)
            }
            Parsed::Arguments { flags, positionals } => {
                self.check_count(session, positionals.len())?;
                let words = flags.into_iter().chain(["--".into()]).chain(positionals);
                let matches = command
                    .try_get_matches_from(words)
                    .map_err(|error| clap_failure(&error))?;
                (self.run)(session, &matches)
            }
        }
    }

    /// Docker's texts for too few and too many arguments.
    fn check_count(&self, session: &Session, given: usize) -> Result<(), Failure> {
        let fits = given >= self.least && self.most.is_none_or(|most| given <= most);
        if fits {
            return Ok(());
        }
        let plural = |n: usize| if n == 1 { "argument" } else { "arguments" };
        let (least, most) = (self.least, self.most);
        let wanted = match most {
            Some(0) => "accepts no arguments".to_owned(),
            Some(most) if most == least => format!("requires {least} {}", plural(least)),
            Some(most) if given > most => format!("requires at most {most} {}", plural(most)),
            _ => format!("requires at least {least} {}", plural(least)),
        };
        let message = format!(
            "{}: '{} {}' {wanted}",
            session.program,
            session.program,
            self.name()
        );
        Err(Failure::Usage { message, code: 1 })
    }
}

/// clap's complaint without its decoration: the first paragraph is what is wrong.
fn clap_failure(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let first = text
        .split("\n\n")
        .next()
        .unwrap_or_default()
        .replace('\n', " ");
    Failure::usage(
        first
            .strip_prefix("error: ")
            .unwrap_or(&first)
            .trim()
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use crate::catalog;
    use crate::globals::Globals;
    use crate::session::{Program, Session};
    use std::ffi::OsString;

    /// What a command line that never reaches the engine comes to.
    fn refused(words: &[&str]) -> (String, u8) {
        let session = Session::new(Program::Docker, Globals::default());
        let (verb, used) = catalog::find(words).unwrap();
        let args: Vec<OsString> = words[used..].iter().map(OsString::from).collect();
        let failure = verb.execute(&session, &args).unwrap_err();
        (failure.chain(), failure.exit_code())
    }

    #[test]
    fn misuse_is_told_in_dockers_words_with_its_exit_code() {
        for (words, text, code) in [
            (
                &["run"][..],
                "docker: 'docker run' requires at least 1 argument",
                1,
            ),
            (&["ps", "x"], "docker: 'docker ps' accepts no arguments", 1),
            (
                &["tag", "x"],
                "docker: 'docker tag' requires 2 arguments",
                1,
            ),
            (
                &["port", "a", "b", "c"],
                "docker: 'docker port' requires at most 2 arguments",
                1,
            ),
            (&["run", "--foo", "x"], "unknown flag: --foo", 125),
            (
                &["container", "ls", "--al"],
                "unknown flag: --al (did you mean --all?)",
                125,
            ),
            (
                &["stop", "-t", "soon", "x"],
                "invalid value 'soon' for '--time <int>': invalid digit found in string",
                125,
            ),
            (
                &["run", "-d", "-a", "stdin", "x"],
                "conflicting options: cannot specify both --attach and --detach",
                125,
            ),
            (
                &["run", "--pull", "maybe", "x"],
                "invalid pull option: 'maybe': must be one of \"always\", \"missing\" or \"never\"",
                125,
            ),
            (&["run", "-p", "x", "img"], "", 125),
            (
                &["run", "--detach-keys", "foo", "img"],
                "invalid detach keys: Unknown character: 'foo'",
                125,
            ),
            (&["ps", "--filter", "colour=red"], "", 1),
            (
                &["images", "--format", "{{"],
                "template parsing error: template: :1: unclosed action",
                1,
            ),
            (&["top", "x", "aux"], "", 1),
            (
                &["inspect", "--type", "pod", "x"],
                "\"pod\" is not a valid value for --type",
                1,
            ),
            (
                &["rename", "a", "/"],
                "neither old nor new names may be empty",
                1,
            ),
        ] {
            let (told, exit) = refused(words);
            assert_eq!(exit, code, "{words:?}: {told}");
            assert!(text.is_empty() || told == text, "{words:?}: {told}");
        }
    }
}
