//! Help texts: of one verb, of a group of verbs (`docker network`), of everything.

use crate::catalog;
use crate::session::Session;
use crate::verb::Verb;
use std::fmt::Write;

const GLOBAL_OPTIONS: &str = "\
Global Options:
      --root path         Data root (default /var/lib/dockless; environment DOCKLESS_ROOT)
      --run-root path     Run root (default /run/dockless; environment DOCKLESS_RUN_ROOT)
      --image-dir path    OCI image layout to look for images in, before any registry; may be
                          given several times (environment DOCKLESS_IMAGE_DIR, colon-separated)
      --engine-config f   Engine configuration (default /etc/dockless/config.json;
                          environment DOCKLESS_CONFIG)
      --config path       Location of client config files (registry credentials)
  -D, --debug             Enable debug mode
  -l, --log-level string  Set the logging level (\"debug\", \"info\", \"warn\", \"error\", \"fatal\")
  -H, --host string       Accepted for local sockets
  -v, --version           Print version information and quit
";

/// The help of one verb.
pub(crate) fn of_verb(session: &Session, verb: &Verb) -> String {
    let mut out = usage_line(session, verb);
    let _ = write!(out, "\n\n{}\n", verb.about);
    if verb.names.len() > 1 {
        let aliases: Vec<_> = verb
            .names
            .iter()
            .map(|name| format!("{} {name}", session.program))
            .collect();
        let _ = write!(out, "\nAliases:\n  {}\n", aliases.join(", "));
    }
    let options = options(verb);
    if !options.is_empty() {
        let _ = write!(out, "\nOptions:\n{options}");
    }
    if !verb.examples.is_empty() {
        let examples: String = verb
            .examples
            .trim()
            .lines()
            .map(|line| match line.trim() {
                "" => "\n".to_owned(),
                line if line.starts_with('#') => format!("  {line}\n"),
                line => format!("  {} {line}\n", session.program),
            })
            .collect();
        let _ = write!(out, "\nExamples:\n{examples}");
    }
    out
}

pub(crate) fn usage_line(session: &Session, verb: &Verb) -> String {
    let usage = if verb.usage.is_empty() {
        String::new()
    } else {
        format!(" {}", verb.usage)
    };
    format!("Usage:  {} {}{usage}", session.program, verb.name())
}

/// Two columns: the flag as pflag shows it, what it does.
fn options(verb: &Verb) -> String {
    let parser = verb.parser();
    let mut rows: Vec<(String, String)> = parser
        .get_arguments()
        .filter(|arg| !arg.is_positional() && !arg.is_hide_set())
        .map(|arg| {
            let short = arg
                .get_short()
                .map_or("    ".to_owned(), |letter| format!("-{letter}, "));
            let long = arg.get_long().unwrap_or_default();
            let takes = arg
                .get_num_args()
                .is_some_and(|range| range.min_values() > 0);
            let value = match arg.get_value_names() {
                Some([name, ..]) if takes => format!(" {}", name.to_lowercase()),
                _ => String::new(),
            };
            (
                format!("  {short}--{long}{value}"),
                arg.get_help().map(ToString::to_string).unwrap_or_default(),
            )
        })
        .collect();
    rows.sort_by(|a, b| a.0[6..].cmp(&b.0[6..]));
    let width = rows.iter().map(|(flag, _)| flag.len()).max().unwrap_or(0) + 3;
    rows.iter()
        .map(|(flag, help)| format!("{flag:width$}{help}\n"))
        .collect()
}

/// The help of a group, or `None` when there is none of that name.
pub(crate) fn of_group(session: &Session, group: &str) -> Option<String> {
    let prefix = format!("{group} ");
    // Each by its first spelling in this group: the others stand in its own help.
    let first = |verb: &'static Verb| {
        let mut names = verb.names.iter().filter_map(|n| n.strip_prefix(&prefix));
        names.find(|rest| !rest.contains(' '))
    };
    let mut rows: Vec<(&str, &str)> = catalog::all()
        .filter_map(|verb| Some((first(verb)?, verb.about)))
        .collect();
    if rows.is_empty() {
        return None;
    }
    rows.sort_unstable();
    let mut out = format!("Usage:  {} {group} COMMAND\n", session.program);
    if let Some((_, about)) = catalog::GROUPS.iter().find(|(name, _)| *name == group) {
        let _ = writeln!(out, "\n{about}");
    }
    out.push_str("\nCommands:\n");
    for (name, about) in rows {
        let _ = writeln!(out, "  {name:<12}{about}");
    }
    let _ = write!(
        out,
        "\nRun '{} {group} COMMAND --help' for more information on a command.\n",
        session.program
    );
    Some(out)
}

/// The help of everything.
pub(crate) fn of_everything(session: &Session) -> String {
    let program = session.program;
    let mut out = format!(
        "Usage:  {program} [OPTIONS] COMMAND\n\nContainers, images, networks and Compose projects, without a daemon\n"
    );
    let section = |out: &mut String, title: &str, rows: &mut Vec<(&str, &str)>| {
        rows.sort_unstable();
        let _ = write!(out, "\n{title}:\n");
        for (name, about) in rows {
            let _ = writeln!(out, "  {name:<12}{about}");
        }
    };
    let common = [
        "run", "exec", "ps", "build", "pull", "push", "images", "login", "logout", "search",
        "version", "info",
    ];
    let all: Vec<(&str, &str)> = catalog::all()
        .map(|verb| (verb.name(), verb.about))
        .filter(|(name, _)| !name.contains(' '))
        .collect();
    let mut first: Vec<_> = all
        .iter()
        .copied()
        .filter(|(name, _)| common.contains(name))
        .collect();
    let mut others: Vec<_> = all
        .iter()
        .copied()
        .filter(|(name, _)| !common.contains(name))
        .collect();
    section(&mut out, "Common Commands", &mut first);
    section(
        &mut out,
        "Management Commands",
        &mut catalog::GROUPS.to_vec(),
    );
    section(&mut out, "Commands", &mut others);
    let _ = write!(
        out,
        "\n{GLOBAL_OPTIONS}\nRun '{program} COMMAND --help' for more information on a command.\n"
    );
    let _ = write!(
        out,
        "\nExamples:\n  {program} run --rm -it debian bash         # a shell in a fresh container\n  {program} run -d -p 8080:80 --name web nginx\n  {program} logs -f web\n  {program} compose up -d                   # the project of this folder\n"
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::globals::Globals;
    use crate::session::Program;

    fn session() -> Session {
        Session::new(Program::Docker, Globals::default())
    }

    #[test]
    fn a_verbs_help_teaches_with_examples() {
        let (verb, _) = catalog::find(&["rm"]).unwrap();
        let help = of_verb(&session(), verb);
        assert!(help.starts_with("Usage:  docker rm [OPTIONS] CONTAINER [CONTAINER...]\n\nRemove one or more containers\n"));
        assert!(
            help.contains("Aliases:\n  docker rm, docker container rm, docker container remove\n")
        );
        assert!(help.contains("  -f, --force"), "{help}");
        assert!(help.contains("Examples:\n  docker rm web\n"), "{help}");
    }

    #[test]
    fn every_verb_stands_in_some_help() {
        let (everything, session) = (of_everything(&session()), session());
        for verb in catalog::all() {
            assert!(!verb.about.is_empty(), "{}", verb.name());
            match verb.name().split_once(' ') {
                None => assert!(
                    everything.contains(&format!("  {}", verb.name())),
                    "{}",
                    verb.name()
                ),
                Some((group, name)) => assert!(
                    of_group(&session, group).unwrap().contains(name),
                    "{group} {name}"
                ),
            }
        }
        assert!(of_group(&session, "frobs").is_none());
        let images = of_group(&session, "image").unwrap();
        assert!(
            images.contains("\n\nManage images\n\nCommands:\n"),
            "{images}"
        );
    }
}
