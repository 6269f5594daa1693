//! `compose`: the command line of Docker Compose, as `docker compose`, `docker-compose` and `dockless compose`.
//!
//! Options before the command say which project is meant ([`globals`]); then one verb's parser is built. What is
//! done is decided and done in the crate `compose`; here it is asked for and shown.

mod attached;
mod bundle;
mod config;
mod copy;
mod delegated;
mod display;
mod down;
mod embedded;
mod events;
mod globals;
mod history;
mod images;
mod lifecycle;
mod listing;
mod logs;
mod make;
mod menu;
mod printer;
mod project;
mod ps;
mod publish;
mod run;
mod scale;
mod stay;
mod top;
mod up;
mod verb;
mod viz;
mod wait;
mod watch;

pub(crate) use embedded::Origin;
pub(crate) use logs::{ShowLogs, tail};
pub(crate) use printer::TaskNames;

use crate::argv;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::session::{Program, Session};
use globals::{Globals, Start};
use std::ffi::OsString;
use verb::Verb;

/// The Compose release whose command line and file format this is made to match.
pub(crate) const VERSION: &str = "2.38.0";

/// One call of `compose`.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) session: &'a Session,
    pub(crate) globals: Globals,
}

fn verbs() -> impl Iterator<Item = &'static Verb> {
    [
        up::VERBS,
        down::VERBS,
        lifecycle::VERBS,
        wait::VERBS,
        ps::VERBS,
        listing::VERBS,
        top::VERBS,
        copy::VERBS,
        viz::VERBS,
        publish::VERBS,
        bundle::VERBS,
        logs::VERBS,
        events::VERBS,
        run::VERBS,
        delegated::VERBS,
        images::VERBS,
        config::VERBS,
        scale::VERBS,
        history::VERBS,
        watch::VERBS,
        VERBS,
    ]
    .into_iter()
    .flatten()
}

const VERBS: &[Verb] = &[verb::verb::<Version>(
    &["version"],
    "[OPTIONS]",
    "Show the Docker Compose version information",
)];

/// `docker compose …` without the first two words.
pub(crate) fn main(session: &Session, args: Vec<OsString>) -> Outcome {
    let env = |name: &str| std::env::var_os(name);
    let (globals, words) = match globals::read(&args, env)? {
        Start::Command(globals, words) => (globals, words),
        Start::Version => return version(false, None),
        Start::Help => return help(session),
    };
    let (globals, words) = without_alpha(globals, words);
    let name = words
        .first()
        .and_then(|word| word.to_str())
        .unwrap_or_default()
        .to_owned();
    match (name.as_str(), words.get(1).and_then(|word| word.to_str())) {
        ("" | "help", None) => return help(session),
        ("help", Some(about)) => {
            let verb = find(about).ok_or_else(|| unknown(session, about))?;
            output::text(&verb.help(session))?;
            return Ok(0);
        }
        _ => {}
    }
    let verb = find(&name).ok_or_else(|| unknown(session, &name))?;
    if globals.dry_run && acts_without_a_plan(&name) {
        return Err(Failure::said(format!(
            "--dry-run: {name} cannot be shown without doing it"
        ))
        .hint("what makes, changes and removes containers can: up, create, down, rm and so on"));
    }
    let call = Call { session, globals };
    verb.execute(&call, &words[1..])
}

/// `alpha VERB`: what was tried there has its own name here; `alpha dry-run -- VERB …` is the option before the verb.
fn without_alpha(mut globals: Globals, mut words: Vec<OsString>) -> (Globals, Vec<OsString>) {
    if words.len() > 1 && words[0] == "alpha" {
        words.remove(0);
        if words[0] == "dry-run" {
            globals.dry_run = true;
            words.remove(0);
            if words.first().is_some_and(|word| word == "--") {
                words.remove(0);
            }
        }
    }
    (globals, words)
}

/// Commands that change something and have no plan to print: `--dry-run` must not let them.
fn acts_without_a_plan(name: &str) -> bool {
    const ACTING: [&str; 8] = [
        "attach", "commit", "cp", "exec", "export", "run", "update", "watch",
    ];
    ACTING.contains(&name)
}

fn find(name: &str) -> Option<&'static Verb> {
    verbs().find(|verb| verb.names.contains(&name))
}

/// What stands before the command's name in usage lines.
pub(crate) fn called(session: &Session) -> String {
    match session.program {
        Program::DockerCompose => "docker-compose".to_owned(),
        program => format!("{program} compose"),
    }
}

fn unknown(session: &Session, name: &str) -> Failure {
    let called = called(session);
    let near = argv::nearest(name, verbs().flat_map(|verb| verb.names.iter().copied()));
    let near = near
        .map(|near| format!(" (did you mean '{near}'?)"))
        .unwrap_or_default();
    Failure::Usage {
        message: format!("unknown {called} command: {name:?}{near}\nSee '{called} --help'"),
        code: 1,
    }
}

fn help(session: &Session) -> Outcome {
    use std::fmt::Write;
    let called = called(session);
    let mut text = format!(
        "Usage:  {called} [OPTIONS] COMMAND\n\nDefine and run multi-container applications\n\n{}\nCommands:\n",
        globals::HELP
    );
    let mut rows: Vec<(&str, &str)> = verbs().map(|verb| (verb.names[0], verb.about)).collect();
    rows.sort_unstable();
    for (name, about) in rows {
        let _ = writeln!(text, "  {name:<10}{about}");
    }
    let _ = writeln!(
        text,
        "\nRun '{called} COMMAND --help' for more information on a command."
    );
    output::text(&text)?;
    Ok(0)
}

#[derive(Debug, clap::Args)]
struct Version {
    /// Format the output. Values: [pretty | json]
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    /// Shows only Compose's version number
    #[arg(long)]
    short: bool,
}

impl verb::Run for Version {
    fn run(self, _: &Call<'_>) -> Outcome {
        version(self.short, self.format.as_deref())
    }
}

fn version(short: bool, format: Option<&str>) -> Outcome {
    match (short, format) {
        (true, _) => output::line(VERSION)?,
        (false, Some("json")) => {
            output::line(serde_json::json!({ "version": format!("v{VERSION}") }))?
        }
        _ => output::line(format_args!("Docker Compose version v{VERSION}"))?,
    }
    Ok(0)
}

/// A library's error with its causes as a message of ours.
pub(crate) fn failed(error: impl std::error::Error + 'static) -> Failure {
    Failure::of(&error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn what_was_alpha_is_found_by_its_name() {
        let of = |line: &str| {
            let words = line.split(' ').map(OsString::from).collect();
            let (globals, words) = without_alpha(Globals::default(), words);
            let words: Vec<String> = words.iter().map(|w| w.to_string_lossy().into()).collect();
            (globals.dry_run, words.join(" "))
        };
        assert_eq!(of("alpha viz --ports"), (false, "viz --ports".into()));
        assert_eq!(of("alpha dry-run -- up -d"), (true, "up -d".into()));
        assert_eq!(of("up alpha"), (false, "up alpha".into()));
    }

    #[test]
    fn no_spelling_is_taken_twice_and_every_parser_builds() {
        let mut seen = BTreeSet::new();
        for verb in verbs() {
            assert!(
                verb.names.iter().all(|name| seen.insert(*name)),
                "{:?}",
                verb.names
            );
            verb.parser().debug_assert();
        }
        for wanted in [
            "up", "down", "ps", "logs", "exec", "run", "build", "pull", "push", "create", "start",
            "stop", "restart", "kill", "rm", "pause", "unpause", "top", "port", "images", "config",
            "events", "ls", "version", "scale", "cp", "wait", "stats", "volumes", "attach",
            "commit", "export",
        ] {
            assert!(find(wanted).is_some(), "{wanted}");
        }
    }
}
