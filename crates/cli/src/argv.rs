//! From argv to what one clap parser takes, by pflag's rules, which are Docker's.
//!
//! Differences to clap that scripts rely on: a boolean flag takes `=true` and `=false`; a flag may be given twice and
//! the last one wins; `run` and `exec` stop looking for flags at the first argument that is none; errors read
//! `unknown flag: --x`. So the flags are read here by the parser's own table and handed on in one canonical form.
//!
//! Source: github.com/spf13/pflag, `flag.go`.

use clap::{Arg, ArgAction, Command};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Whether flags may stand after the first argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flags {
    Anywhere,
    /// Everything from the first argument on belongs to the command that is run.
    First,
}

/// What argv came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// `--help` was among the flags.
    Help,
    Arguments {
        flags: Vec<OsString>,
        positionals: Vec<OsString>,
    },
}

/// Cuts `args` into canonical flags and positional arguments.
pub(crate) fn split(command: &Command, args: &[OsString], order: Flags) -> Result<Parsed, String> {
    let mut flags = Vec::new();
    let mut positionals = Vec::new();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let bytes = arg.as_bytes();
        if bytes == b"--" {
            positionals.extend(rest.cloned());
            break;
        }
        let mut reader = Reader {
            command,
            flags: &mut flags,
            rest: &mut rest,
        };
        let help = match bytes {
            [b'-', b'-', name @ ..] => reader.long(name)?,
            [b'-', letters @ ..] if !letters.is_empty() => reader.short(letters)?,
            _ => {
                positionals.push(arg.clone());
                if order == Flags::First {
                    positionals.extend(rest.cloned());
                    break;
                }
                false
            }
        };
        if help {
            return Ok(Parsed::Help);
        }
    }
    Ok(Parsed::Arguments { flags, positionals })
}

struct Reader<'a, 'b> {
    command: &'a Command,
    flags: &'a mut Vec<OsString>,
    rest: &'a mut std::slice::Iter<'b, OsString>,
}

/// How a flag takes its value.
#[derive(PartialEq)]
enum Takes {
    /// `--flag`, `--flag=true`.
    Switch,
    /// `--flag[=value]`, never a separate word.
    Optional,
    Value,
}

fn takes(arg: &Arg) -> Takes {
    match arg.get_action() {
        ArgAction::SetTrue | ArgAction::Count => Takes::Switch,
        _ if arg
            .get_num_args()
            .is_some_and(|range| range.min_values() == 0) =>
        {
            Takes::Optional
        }
        _ => Takes::Value,
    }
}

fn by_long<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|arg| {
        arg.get_long() == Some(name)
            || arg
                .get_all_aliases()
                .is_some_and(|aliases| aliases.contains(&name))
    })
}

fn by_short(command: &Command, letter: char) -> Option<&Arg> {
    command.get_arguments().find(|arg| {
        arg.get_short() == Some(letter)
            || arg
                .get_all_short_aliases()
                .is_some_and(|all| all.contains(&letter))
    })
}

impl Reader<'_, '_> {
    fn long(&mut self, text: &[u8]) -> Result<bool, String> {
        let equals = text.iter().position(|b| *b == b'=');
        let (name, value) = match equals {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        let name = String::from_utf8_lossy(name);
        if name.is_empty() || name.starts_with('-') {
            return Err(format!(
                "bad flag syntax: --{}",
                String::from_utf8_lossy(text)
            ));
        }
        let Some(arg) = by_long(self.command, &name) else {
            if name == "help" {
                return Ok(true);
            }
            let near = nearest(
                &name,
                self.command.get_arguments().filter_map(Arg::get_long),
            );
            let hint = near
                .map(|near| format!(" (did you mean --{near}?)"))
                .unwrap_or_default();
            return Err(format!("unknown flag: --{name}{hint}"));
        };
        let value = match (value, takes(arg)) {
            (None, Takes::Value) => match self.rest.next() {
                Some(next) => Some(next.as_bytes()),
                None => return Err(format!("flag needs an argument: --{name}")),
            },
            (value, _) => value,
        };
        self.push(arg, value)?;
        Ok(false)
    }

    fn short(&mut self, letters: &[u8]) -> Result<bool, String> {
        let all = String::from_utf8_lossy(letters).into_owned();
        let mut at = 0;
        while at < letters.len() {
            let letter = char::from(letters[at]);
            at += 1;
            let Some(arg) = by_short(self.command, letter) else {
                if letter == 'h' {
                    return Ok(true);
                }
                return Err(format!("unknown shorthand flag: {letter:?} in -{all}"));
            };
            let attached = &letters[at..];
            if takes(arg) != Takes::Value {
                if let Some(value) = attached.strip_prefix(b"=") {
                    self.push(arg, Some(value))?;
                    return Ok(false);
                }
                self.push(arg, None)?;
                continue;
            }
            let value = match attached {
                [] => match self.rest.next() {
                    Some(next) => next.as_bytes(),
                    None => return Err(format!("flag needs an argument: {letter:?} in -{all}")),
                },
                [b'=', value @ ..] => value,
                value => value,
            };
            self.push(arg, Some(value))?;
            return Ok(false);
        }
        Ok(false)
    }

    fn push(&mut self, arg: &Arg, value: Option<&[u8]>) -> Result<(), String> {
        let long = arg.get_long().unwrap_or_else(|| arg.get_id().as_str());
        let mut canonical = format!("--{long}").into_bytes();
        match (takes(arg), value) {
            (Takes::Switch, value) => {
                if value.is_none_or(|value| truth(value) == Some(true)) {
                    self.flags.push(OsString::from_vec(canonical));
                    return Ok(());
                }
                let value = value.unwrap_or_default();
                if truth(value).is_none() {
                    let value = String::from_utf8_lossy(value);
                    return Err(format!(
                        "invalid argument {value:?} for \"--{long}\" flag: strconv.ParseBool: parsing {value:?}: invalid syntax"
                    ));
                }
                self.flags.retain(|flag| flag.as_bytes() != canonical);
                return Ok(());
            }
            (Takes::Optional, None) => canonical.extend_from_slice(b"=true"),
            (_, value) => {
                canonical.push(b'=');
                canonical.extend_from_slice(value.unwrap_or_default());
            }
        }
        self.flags.push(OsString::from_vec(canonical));
        Ok(())
    }
}

/// Go's `strconv.ParseBool`.
fn truth(text: &[u8]) -> Option<bool> {
    match text {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Some(true),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Some(false),
        _ => None,
    }
}

/// The known word that is one edit away from `word`, two from a long one.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    let allowed = if length < 6 { 1 } else { 2 };
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(edits, _)| *edits <= allowed && *edits < length)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, a swap of neighbours counting as one edit.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1)
                .min(rows[i][j - 1] + 1)
                .min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        let mut command = Command::new("run").disable_help_flag(true).args([
            Arg::new("interactive")
                .short('i')
                .long("interactive")
                .action(ArgAction::SetTrue),
            Arg::new("tty")
                .short('t')
                .long("tty")
                .action(ArgAction::SetTrue),
            Arg::new("env")
                .short('e')
                .long("env")
                .action(ArgAction::Append),
            Arg::new("publish")
                .short('p')
                .long("publish")
                .action(ArgAction::Append),
            Arg::new("network")
                .long("network")
                .alias("net")
                .action(ArgAction::Append),
            Arg::new("sig")
                .long("sig-proxy")
                .num_args(0..=1)
                .require_equals(true),
        ]);
        command.build();
        command
    }

    fn split_words(words: &[&str], order: Flags) -> Result<(Vec<String>, Vec<String>), String> {
        let args: Vec<OsString> = words.iter().map(OsString::from).collect();
        let text =
            |list: Vec<OsString>| list.into_iter().map(|s| s.into_string().unwrap()).collect();
        match split(&command(), &args, order)? {
            Parsed::Help => Err("help".into()),
            Parsed::Arguments { flags, positionals } => Ok((text(flags), text(positionals))),
        }
    }

    #[test]
    fn pflags_spellings_come_out_canonical() {
        let words = [
            "-it",
            "-e",
            "A=1",
            "-eB=2",
            "-p=80",
            "--net",
            "x",
            "--sig-proxy=false",
            "alpine",
            "sh",
            "-c",
            "-t",
        ];
        let (flags, positionals) = split_words(&words, Flags::First).unwrap();
        assert_eq!(
            flags,
            [
                "--interactive",
                "--tty",
                "--env=A=1",
                "--env=B=2",
                "--publish=80",
                "--network=x",
                "--sig-proxy=false"
            ]
        );
        assert_eq!(positionals, ["alpine", "sh", "-c", "-t"]);
        let (flags, positionals) =
            split_words(&["a", "-i", "b", "--", "-t"], Flags::Anywhere).unwrap();
        assert_eq!(
            (flags, positionals),
            (
                vec!["--interactive".into()],
                vec!["a".into(), "b".into(), "-t".into()]
            )
        );
    }

    #[test]
    fn a_switch_can_be_taken_back() {
        assert_eq!(
            split_words(&["-t", "--tty=false"], Flags::First).unwrap().0,
            Vec::<String>::new()
        );
        assert_eq!(
            split_words(&["--tty=0", "-t=1"], Flags::First).unwrap().0,
            ["--tty"]
        );
        assert!(
            split_words(&["--tty=maybe"], Flags::First)
                .unwrap_err()
                .contains("ParseBool")
        );
    }

    #[test]
    fn errors_are_pflags() {
        assert_eq!(
            split_words(&["--foo"], Flags::First).unwrap_err(),
            "unknown flag: --foo"
        );
        assert_eq!(
            split_words(&["--publsh", "1"], Flags::First).unwrap_err(),
            "unknown flag: --publsh (did you mean --publish?)"
        );
        assert_eq!(
            split_words(&["-ix"], Flags::First).unwrap_err(),
            "unknown shorthand flag: 'x' in -ix"
        );
        assert_eq!(
            split_words(&["--env"], Flags::First).unwrap_err(),
            "flag needs an argument: --env"
        );
        assert_eq!(
            split_words(&["-ie"], Flags::First).unwrap_err(),
            "flag needs an argument: 'e' in -ie"
        );
        assert_eq!(
            split_words(&["---x"], Flags::First).unwrap_err(),
            "bad flag syntax: ---x"
        );
        assert_eq!(split_words(&["-h"], Flags::First).unwrap_err(), "help");
        assert_eq!(
            split_words(&["x", "--help"], Flags::Anywhere).unwrap_err(),
            "help"
        );
    }

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        assert_eq!(nearest("rnu", ["run", "rm"]), Some("run"));
        assert_eq!(nearest("imgaes", ["images", "image"]), Some("images"));
        assert_eq!(nearest("frobnicate", ["run", "rm"]), None);
        assert_eq!(nearest("foo", ["boot"]), None);
    }
}
