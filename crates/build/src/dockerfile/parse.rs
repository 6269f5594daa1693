//! Logical lines to typed instructions and stages.
//!
//! Source: BuildKit `frontend/dockerfile/instructions/parse.go`.

use super::error::{Mistake, SyntaxError, nearest};
use super::flags::Flags;
use super::health::healthcheck;
use super::instruction::{
    CommandLine, Copy, CopyVerb, From, Instruction, Run, RunNetwork, RunSecurity,
};
use super::line::{self, LogicalLine};
use super::warnings::warnings;
use super::words::{self, Flag};
use super::{Dockerfile, Heredoc, Lines, Placed, Stage, heredoc, mount};

const INSTRUCTIONS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

pub(super) fn file(text: &str) -> Result<Dockerfile, SyntaxError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(at) = text.find('\0') {
        let line = text[..at].matches('\n').count() + 1;
        return Err(SyntaxError::at(Lines::one(line), Mistake::Binary));
    }
    let directives = line::directives(text)?;
    let lines = line::split(text, directives.escape)?;
    let Some(head) = lines.first() else {
        return Err(SyntaxError::at(Lines::one(1), Mistake::Empty));
    };
    let head = head.lines;
    let escape = directives.escape;
    let mut file = Dockerfile {
        directives,
        args: Vec::new(),
        stages: Vec::new(),
        warnings: Vec::new(),
    };
    for line in lines {
        place(&mut file, line, escape)?;
    }
    if file.stages.is_empty() {
        return Err(SyntaxError::at(head, Mistake::NoStages));
    }
    file.warnings.extend(warnings(&file.stages));
    Ok(file)
}

/// Puts one line where it belongs: a new stage, the last stage, or the ARGs before all stages.
fn place(file: &mut Dockerfile, line: LogicalLine, escape: char) -> Result<(), SyntaxError> {
    let (lines, text) = (line.lines, line.text.clone());
    let at = |cause| SyntaxError::at(lines, cause);
    let (word, rest) = words::first(&line.text);
    if word.eq_ignore_ascii_case("from") {
        let what = from(rest, escape).map_err(at)?;
        file.stages.push(Stage {
            from: Placed { what, lines, text },
            instructions: Vec::new(),
        });
        return Ok(());
    }
    let what = instruction(word, rest, &line.heredocs, escape).map_err(at)?;
    match (file.stages.last_mut(), what) {
        (Some(stage), what) => stage.instructions.push(Placed { what, lines, text }),
        (None, Instruction::Arg(args)) => file.args.push(Placed {
            what: args,
            lines,
            text,
        }),
        (None, other) => return Err(at(Mistake::BeforeFrom(other.name().to_owned()))),
    }
    Ok(())
}

pub(super) fn trigger(text: &str, escape: char) -> Result<Placed<Instruction>, SyntaxError> {
    let lines = line::split(text, escape)?;
    let Some(line) = lines.into_iter().next() else {
        return Err(SyntaxError::at(Lines::one(1), Mistake::Empty));
    };
    let (word, rest) = words::first(&line.text);
    let what = instruction(word, rest, &line.heredocs, escape)
        .map_err(|cause| SyntaxError::at(line.lines, cause))?;
    Ok(Placed {
        what,
        lines: line.lines,
        text: line.text,
    })
}

fn instruction(
    word: &str,
    rest: &str,
    heredocs: &[Heredoc],
    escape: char,
) -> Result<Instruction, Mistake> {
    let upper = word.to_ascii_uppercase();
    let Some(name) = INSTRUCTIONS.iter().find(|known| **known == upper).copied() else {
        return Err(Mistake::UnknownInstruction {
            word: word.to_owned(),
            nearest: nearest(&upper, &INSTRUCTIONS),
        });
    };
    let (flags, rest) = match name {
        "RUN" | "COPY" | "ADD" | "HEALTHCHECK" => words::flags(rest, escape),
        _ => (Vec::new(), rest),
    };
    let rest = rest.trim_end();
    match name {
        "ARG" => arg(rest, escape),
        "ENV" => words::pairs(rest, escape, "ENV").map(Instruction::Env),
        "LABEL" => words::pairs(rest, escape, "LABEL").map(Instruction::Label),
        "RUN" => run(&flags, rest, heredocs),
        "COPY" => copy(CopyVerb::Copy, &flags, rest, heredocs, escape),
        "ADD" => copy(CopyVerb::Add, &flags, rest, heredocs, escape),
        "CMD" => command(rest).map(Instruction::Cmd),
        "ENTRYPOINT" => command(rest).map(Instruction::Entrypoint),
        "SHELL" => match words::json(rest)? {
            Some(shell) if !shell.is_empty() => Ok(Instruction::Shell(shell)),
            Some(_) => Err(Mistake::Arguments {
                instruction: "SHELL",
                need: "at least one argument",
            }),
            None => Err(Mistake::ShellNotJson),
        },
        "USER" => single("USER", rest).map(Instruction::User),
        "WORKDIR" => single("WORKDIR", rest).map(Instruction::Workdir),
        "STOPSIGNAL" => single("STOPSIGNAL", rest).map(Instruction::StopSignal),
        "MAINTAINER" => single("MAINTAINER", rest).map(Instruction::Maintainer),
        "VOLUME" => volume(rest, escape),
        "EXPOSE" => match words::raw(rest, escape) {
            ports if ports.is_empty() => Err(Mistake::Arguments {
                instruction: name,
                need: "at least one argument",
            }),
            ports => Ok(Instruction::Expose(ports)),
        },
        "HEALTHCHECK" => healthcheck(&flags, rest).map(Instruction::Healthcheck),
        "ONBUILD" => onbuild(rest, heredocs, escape),
        // FROM is handled by the caller, and is no trigger.
        other => Err(Mistake::OnbuildTrigger(other.to_owned())),
    }
}

fn from(rest: &str, escape: char) -> Result<From, Mistake> {
    let (flags, rest) = words::flags(rest, escape);
    let mut known = Flags::of("FROM", &flags, &["platform"])?;
    let platform = known.take("platform")?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let name = match words.as_slice() {
        [_] => None,
        [_, keyword, name] if keyword.eq_ignore_ascii_case("as") => Some(name.to_ascii_lowercase()),
        _ => return Err(Mistake::From),
    };
    if let Some(name) = &name {
        let symbol = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(symbol) {
            return Err(Mistake::StageName(name.clone()));
        }
    }
    Ok(From {
        image: words[0].to_owned(),
        platform,
        name,
    })
}

fn arg(rest: &str, escape: char) -> Result<Instruction, Mistake> {
    let words = words::raw(rest, escape);
    if words.is_empty() {
        return Err(Mistake::Arguments {
            instruction: "ARG",
            need: "at least one argument",
        });
    }
    let split = |word: &String| match word.split_once('=') {
        Some(("", _)) => Err(Mistake::BlankName("ARG")),
        Some((name, value)) => Ok((name.to_owned(), Some(value.to_owned()))),
        None => Ok((word.clone(), None)),
    };
    words
        .iter()
        .map(split)
        .collect::<Result<_, _>>()
        .map(Instruction::Arg)
}

fn single(instruction: &'static str, rest: &str) -> Result<String, Mistake> {
    match rest {
        "" => Err(Mistake::Arguments {
            instruction,
            need: "exactly one argument",
        }),
        text => Ok(text.to_owned()),
    }
}

pub(super) fn command(rest: &str) -> Result<CommandLine, Mistake> {
    Ok(match words::json(rest)? {
        Some(words) => CommandLine::Exec(words),
        None => CommandLine::Shell(rest.to_owned()),
    })
}

fn run(flags: &[Flag], rest: &str, heredocs: &[Heredoc]) -> Result<Instruction, Mistake> {
    let mut known = Flags::of("RUN", flags, &["mount", "network", "security", "device"])?;
    let mounts = known.take_all("mount")?;
    for text in &mounts {
        if mount::from_of(text).is_some_and(|from| from.contains('$')) {
            return Err(Mistake::FromVariable("RUN --mount"));
        }
        // With variables in it, it is read once they are known.
        if !text.contains('$') {
            mount::parse(text)?;
        }
    }
    let value = |flag, value: &str, cause: &str| Mistake::FlagValue {
        flag,
        value: value.into(),
        cause: cause.into(),
    };
    let network = match known.take("network")?.as_deref() {
        None | Some("default") => RunNetwork::Default,
        Some("none") => RunNetwork::None,
        Some("host") => RunNetwork::Host,
        Some(other) => return Err(value("network", other, "use default, none or host")),
    };
    let security = match known.take("security")?.as_deref() {
        None | Some("sandbox") => RunSecurity::Sandbox,
        Some("insecure") => RunSecurity::Insecure,
        Some(other) => return Err(value("security", other, "use sandbox or insecure")),
    };
    if let Some(device) = known.take("device")? {
        return Err(value(
            "device",
            &device,
            "devices in a build are not supported",
        ));
    }
    let command = command(rest)?;
    if matches!(&command, CommandLine::Shell(text) if text.is_empty())
        || matches!(&command, CommandLine::Exec(words) if words.is_empty())
    {
        return Err(Mistake::Arguments {
            instruction: "RUN",
            need: "at least one argument",
        });
    }
    Ok(Instruction::Run(Run {
        command,
        heredocs: heredocs.to_vec(),
        mounts,
        network,
        security,
    }))
}

fn copy(
    verb: CopyVerb,
    flags: &[Flag],
    rest: &str,
    heredocs: &[Heredoc],
    escape: char,
) -> Result<Instruction, Mistake> {
    let allowed: &[&str] = match verb {
        CopyVerb::Copy => &["from", "chown", "chmod", "link", "parents", "exclude"],
        CopyVerb::Add => &[
            "chown",
            "chmod",
            "link",
            "exclude",
            "checksum",
            "keep-git-dir",
            "unpack",
        ],
    };
    let mut known = Flags::of(verb.name(), flags, allowed)?;
    let mut words = match words::json(rest)? {
        Some(words) => words,
        None => words::raw(rest, escape),
    };
    if words.len() < 2 {
        return Err(Mistake::Arguments {
            instruction: verb.name(),
            need: "at least two arguments",
        });
    }
    let destination = words.pop().unwrap_or_default();
    if heredoc::opening(&destination).is_some() && !heredocs.is_empty() {
        return Err(Mistake::HeredocPlace("the destination"));
    }
    let sources: Vec<String> = words
        .into_iter()
        .filter(|word| !opens(word, heredocs))
        .collect();
    let from = known.take("from")?;
    if from.as_ref().is_some_and(|from| from.contains('$')) {
        return Err(Mistake::FromVariable("COPY"));
    }
    if from.is_some() && !heredocs.is_empty() {
        return Err(Mistake::HeredocPlace("COPY --from"));
    }
    let many = sources.len() + heredocs.len() > 1;
    if many
        && !destination.ends_with('/')
        && !destination.contains('$')
        && !["."].contains(&destination.as_str())
    {
        return Err(Mistake::DestinationNotDirectory(verb.name()));
    }
    Ok(Instruction::Copy(Copy {
        verb,
        sources,
        heredocs: heredocs.to_vec(),
        destination,
        from,
        chown: known.take("chown")?,
        chmod: known.take("chmod")?,
        exclude: known.take_all("exclude")?,
        parents: known.take_bool("parents")?.unwrap_or(false),
        link: known.take_bool("link")?.unwrap_or(false),
        unpack: known.take_bool("unpack")?,
        checksum: known.take("checksum")?,
        keep_git_dir: known.take_bool("keep-git-dir")?.unwrap_or(false),
    }))
}

/// Whether a word of COPY is one of the heredocs the line opened.
fn opens(word: &str, heredocs: &[Heredoc]) -> bool {
    heredoc::opening(word)
        .is_some_and(|opened| heredocs.iter().any(|known| known.name == opened.name))
}

fn volume(rest: &str, escape: char) -> Result<Instruction, Mistake> {
    let paths = match words::json(rest)? {
        Some(paths) => paths,
        None => words::raw(rest, escape),
    };
    if paths.is_empty() {
        return Err(Mistake::Arguments {
            instruction: "VOLUME",
            need: "at least one argument",
        });
    }
    if paths.iter().any(|path| path.trim().is_empty()) {
        return Err(Mistake::Arguments {
            instruction: "VOLUME",
            need: "paths that are not empty",
        });
    }
    Ok(Instruction::Volume(paths))
}

fn onbuild(rest: &str, heredocs: &[Heredoc], escape: char) -> Result<Instruction, Mistake> {
    let (word, arguments) = words::first(rest);
    match word.to_ascii_uppercase().as_str() {
        "" => {
            return Err(Mistake::Arguments {
                instruction: "ONBUILD",
                need: "at least one argument",
            });
        }
        upper @ ("FROM" | "MAINTAINER" | "ONBUILD") => {
            return Err(Mistake::OnbuildTrigger(upper.to_owned()));
        }
        _ => {}
    }
    // Read now for its mistakes; what is kept is the text.
    instruction(word, arguments, heredocs, escape)?;
    let mut text = rest.to_owned();
    for heredoc in heredocs {
        text.push('\n');
        text.push_str(&heredoc.raw);
        text.push_str(&heredoc.name);
    }
    Ok(Instruction::Onbuild(text))
}
