//! The instructions that change the image's configuration alone.
//!
//! Each returns its line for the history, in BuildKit's words.

use crate::dockerfile::{CommandLine, Instruction, Mistake};
use crate::scope::Globals;
use crate::stage::{StageState, Words};
use engine::container::commit::health;
use std::collections::BTreeSet;

pub(crate) fn apply(
    stage: &mut StageState,
    instruction: &Instruction,
    words: &Words,
    globals: &Globals,
) -> Result<String, Mistake> {
    let config = &mut stage.image.config;
    Ok(match instruction {
        Instruction::Arg(args) => return arg(stage, args, words, globals),
        Instruction::Env(pairs) => return env(stage, pairs, words),
        Instruction::Label(pairs) => {
            let pairs = expanded(pairs, words)?;
            let text = joined(&pairs);
            config.labels.extend(pairs);
            format!("LABEL {text}")
        }
        Instruction::Cmd(command) => {
            let argv = argv(stage, command);
            let text = format!("CMD {}", quoted(&argv));
            stage.image.config.args_escaped = matches!(command, CommandLine::Shell(_));
            stage.image.config.cmd = Some(argv);
            stage.own_cmd = true;
            text
        }
        Instruction::Entrypoint(command) => {
            let argv = argv(stage, command);
            let text = format!("ENTRYPOINT {}", quoted(&argv));
            if !stage.own_cmd {
                stage.image.config.cmd = None;
            }
            stage.image.config.entrypoint = Some(argv);
            text
        }
        Instruction::Shell(shell) => {
            config.shell = Some(shell.clone());
            format!("SHELL [{}]", shell.join(" "))
        }
        Instruction::User(user) => {
            config.user = words.word(user)?;
            format!("USER {}", config.user)
        }
        Instruction::Volume(paths) => {
            let paths = paths
                .iter()
                .map(|path| words.word(path))
                .collect::<Result<Vec<_>, _>>()?;
            config.volumes.extend(
                paths
                    .iter()
                    .map(|path| (path.clone(), oci::config::Empty {})),
            );
            format!("VOLUME [{}]", paths.join(" "))
        }
        Instruction::Expose(texts) => {
            let ports = ports(texts, words)?;
            config.exposed_ports.extend(
                ports
                    .iter()
                    .map(|port| (port.clone(), oci::config::Empty {})),
            );
            let shown: Vec<String> = ports.iter().map(|port| format!("{port}:{{}}")).collect();
            format!("EXPOSE map[{}]", shown.join(" "))
        }
        Instruction::StopSignal(signal) => {
            let signal = words.word(signal)?;
            sys::signal::parse(&signal).ok_or_else(|| Mistake::Signal(signal.clone()))?;
            let text = format!("STOPSIGNAL {signal}");
            config.stop_signal = Some(signal);
            text
        }
        Instruction::Maintainer(name) => {
            stage.image.author = Some(name.clone());
            format!("MAINTAINER {name}")
        }
        Instruction::Healthcheck(check) => {
            let check = health(check);
            let text = format!("HEALTHCHECK {}", quoted(&check.test));
            config.healthcheck = Some(check);
            text
        }
        Instruction::Onbuild(trigger) => {
            config.on_build.push(trigger.clone());
            format!("ONBUILD {trigger}")
        }
        // These act on the filesystem and are handled by the stage itself.
        Instruction::Run(_) | Instruction::Copy(_) | Instruction::Workdir(_) => String::new(),
    })
}

fn arg(
    stage: &mut StageState,
    args: &[(String, Option<String>)],
    words: &Words,
    globals: &Globals,
) -> Result<String, Mistake> {
    let mut shown = Vec::new();
    for (name, default) in args {
        let name = words.word(name)?;
        let default = default
            .as_deref()
            .map(|text| words.word(text))
            .transpose()?;
        shown.push(match &default {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        });
        stage.scope.declare(&name, default, globals);
    }
    Ok(format!("ARG {}", shown.join(" ")))
}

fn env(
    stage: &mut StageState,
    pairs: &[(String, String)],
    words: &Words,
) -> Result<String, Mistake> {
    let pairs = expanded(pairs, words)?;
    for (key, value) in &pairs {
        stage.scope.set_env(key, value);
    }
    stage.image.config.env = stage
        .scope
        .env
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    Ok(format!("ENV {}", joined(&pairs)))
}

fn expanded(pairs: &[(String, String)], words: &Words) -> Result<Vec<(String, String)>, Mistake> {
    pairs
        .iter()
        .map(|(key, value)| Ok((words.word(key)?, words.word(value)?)))
        .collect()
}

fn joined(pairs: &[(String, String)]) -> String {
    pairs
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join(" ")
}

fn argv(stage: &StageState, command: &CommandLine) -> Vec<String> {
    match command {
        CommandLine::Exec(words) => words.clone(),
        CommandLine::Shell(text) => {
            let mut argv = stage.shell();
            argv.push(text.clone());
            argv
        }
    }
}

/// As Go's `%q` prints a list.
fn quoted(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    format!("[{}]", words.join(" "))
}

/// Blanks in a variable's value separate ports.
fn ports(texts: &[String], words: &Words) -> Result<BTreeSet<String>, Mistake> {
    let mut ports = BTreeSet::new();
    for text in texts {
        for word in words.words(text)? {
            let parsed =
                model::port::parse_expose(&word).map_err(|_| Mistake::Port(word.clone()))?;
            ports.extend(parsed.iter().map(ToString::to_string));
        }
    }
    Ok(ports)
}
