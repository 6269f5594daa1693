//! The binary `dockless`: chooses a role by `argv[0]` and `argv[1]` before anything else runs.
//!
//! Internal roles (the monitor of a container, the sandbox of a build step), the OCI runtime command line and `--version`
//! touch neither the command line parser nor the engine. Then exactly one command's parser is built; all of them only for help.

// Tests are a program of their own, with the standard library's entry.
#![cfg_attr(not(test), no_main)]

mod args;
mod argv;
mod boot;
mod build;
mod catalog;
mod compose;
mod container;
mod failure;
mod globals;
mod help;
mod image;
mod inspect;
mod interactive;
mod job;
mod network;
mod oci;
mod output;
mod registry;
mod serve;
mod session;
mod stored;
mod swarm;
mod system;
mod verb;
mod volume;

use failure::{Failure, Outcome};
use globals::{Globals, Start};
use session::{Program, Session};
use std::ffi::OsString;

/// What `--version` and `docker version` say we are.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

#[cfg(not(test))]
sys::entry!(run);

#[cfg_attr(
    test,
    allow(dead_code, reason = "the entry of the program, which tests have not")
)]
fn run(argv: Vec<OsString>) -> u8 {
    let mut argv = argv.into_iter();
    let name = argv.next().unwrap_or_default();
    let args: Vec<OsString> = argv.collect();
    let first = args
        .first()
        .and_then(|arg| arg.to_str())
        .unwrap_or_default();
    if let Some(code) = internal_role(first, &args) {
        return code;
    }
    let base = std::path::Path::new(&name)
        .file_name()
        .and_then(|base| base.to_str())
        .unwrap_or("dockless");
    let runtime = oci::NAMES.contains(&base);
    if let Err(e) = seal_if_it_starts_processes(runtime || first == "oci", &args) {
        let failure = Failure::system("start from a file that no container can write")(e);
        let program = Program::from_name(base);
        return finish(Err(failure), &Session::new(program, Globals::default()));
    }
    if runtime {
        return oci::main(base, &args);
    }
    if first == "oci" {
        return oci::main("dockless oci", &args[1..]);
    }
    let program = Program::from_name(base);
    if program != Program::DockerCompose && matches!(first, "--version" | "-v") {
        return finish(
            output::line(version_line(program)).map(|()| 0),
            &Session::new(program, Globals::default()),
        );
    }
    command_line(program, args)
}

/// What starts a container's process itself is executed anew from a sealed file (CVE-2019-5736). Before anything is read from the
/// standard input: it would be gone for the program that takes this one's place. The engine's other verbs start a role.
fn seal_if_it_starts_processes(runtime: bool, args: &[OsString]) -> std::io::Result<()> {
    let verbs: &[&str] = if runtime {
        &["create", "run", "exec"]
    } else {
        &["exec"]
    };
    if args
        .iter()
        .any(|word| verbs.iter().any(|verb| word == verb))
    {
        sys::role::seal()?;
    }
    Ok(())
}

/// The roles the engine starts by executing this binary again.
fn internal_role(role: &str, args: &[OsString]) -> Option<u8> {
    match role {
        engine::container::launch::ROLE => Some(monitor::role_main(args)),
        engine::jobs::ROLE if names_a_root(args) => Some(engine::jobs::role_main(args)),
        engine::jobs::scheduler::ROLE => Some(engine::jobs::scheduler::role_main(args)),
        engine::container::api_socket::ROLE => Some(serve::role_main(args)),
        engine::container::exec_session::ROLE => {
            Some(engine::container::exec_session::role_main(args))
        }
        engine::trash::ROLE if names_a_root(args) => Some(engine::trash::role_main(args)),
        engine::sandbox::ROLE => Some(engine::sandbox::role_main(args)),
        _ => None,
    }
}

/// A role has the data root for its first word, a noun like `job` a verb.
fn names_a_root(args: &[OsString]) -> bool {
    args.get(1)
        .is_some_and(|word| std::path::Path::new(word).is_absolute())
}

fn version_line(program: Program) -> String {
    match program {
        // What scripts parse is `Docker version X, build Y`.
        Program::Docker => format!(
            "Docker version {}, build dockless-{VERSION}",
            system::DOCKER_VERSION
        ),
        _ => format!("dockless version {VERSION}"),
    }
}

fn command_line(program: Program, args: Vec<OsString>) -> u8 {
    let env = |name: &str| std::env::var_os(name);
    if program == Program::DockerCompose {
        let (globals, read) = match globals::read(&[], env) {
            Ok(Start::Command(globals, _)) => (globals, Ok(())),
            Ok(Start::Help | Start::Version) => (Globals::default(), Ok(())),
            Err(failure) => (Globals::default(), Err(failure)),
        };
        let session = Session::new(program, globals);
        return finish(read.and_then(|()| compose::main(&session, args)), &session);
    }
    let (globals, words) = match globals::read(&args, env) {
        Ok(Start::Command(globals, words)) => (globals, words),
        Ok(Start::Help) => (Globals::default(), Vec::new()),
        Ok(Start::Version) => {
            return finish(
                output::line(version_line(program)).map(|()| 0),
                &Session::new(program, Globals::default()),
            );
        }
        Err(failure) => return finish(Err(failure), &Session::new(program, Globals::default())),
    };
    let session = Session::new(program, globals);
    finish(dispatch(&session, &words), &session)
}

/// Finds the command and runs it.
fn dispatch(session: &Session, words: &[OsString]) -> Outcome {
    let text: Vec<&str> = words
        .iter()
        .take(3)
        .map(|word| word.to_str().unwrap_or("\u{fffd}"))
        .collect();
    match text.as_slice() {
        [] | ["help"] => {
            output::text(&help::of_everything(session))?;
            return Ok(0);
        }
        ["compose", ..] => return compose::main(session, words[1..].to_vec()),
        ["help", ..] => return help_about(session, &text[1..]),
        _ => {}
    }
    if let Some((verb, used)) = catalog::find(&text) {
        verb.begin(session, &words[used..]);
        let outcome = verb.execute(session, &words[used..]);
        if let Err(failure @ Failure::Usage { code, .. }) = &outcome {
            session.report(failure);
            let program = session.program;
            output::note(format_args!(
                "\n{}\n\nRun '{program} {} --help' for more information",
                help::usage_line(session, verb),
                verb.name()
            ));
            return Err(Failure::Silent(*code));
        }
        return outcome;
    }
    group_or_unknown(session, &text)
}

fn help_about(session: &Session, names: &[&str]) -> Outcome {
    let text = match catalog::find(names) {
        Some((verb, _)) => help::of_verb(session, verb),
        None => help::of_group(session, names[0]).ok_or_else(|| unknown(session, names))?,
    };
    output::text(&text)?;
    Ok(0)
}

fn group_or_unknown(session: &Session, names: &[&str]) -> Outcome {
    let only_help = names
        .get(1)
        .is_none_or(|second| matches!(*second, "--help" | "-h" | "help"));
    match help::of_group(session, names[0]) {
        Some(text) if only_help => {
            output::text(&text)?;
            Ok(0)
        }
        _ => Err(unknown(session, names)),
    }
}

fn unknown(session: &Session, names: &[&str]) -> Failure {
    let program = session.program;
    let grouped = names.len() > 1 && help::of_group(session, names[0]).is_some();
    let wanted = if grouped {
        names[..2].join(" ")
    } else {
        names[0].to_owned()
    };
    let near = catalog::nearest(&wanted)
        .map(|near| format!("\nDid you mean '{program} {near}'?"))
        .unwrap_or_default();
    let help = match grouped {
        true => format!("{program} {} --help", names[0]),
        false => format!("{program} --help"),
    };
    Failure::Usage {
        message: format!("{program}: '{wanted}' is not a {program} command.{near}\nSee '{help}'"),
        code: 1,
    }
}

/// Tells the failure, if there is one, and makes the exit code.
fn finish(outcome: Outcome, session: &Session) -> u8 {
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            session.report(&failure);
            failure.exit_code()
        }
    }
}
