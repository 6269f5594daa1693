//! Flags of the OCI command line: as runc's and crun's users write them, before or after the container's id.
//!
//! `--flag value`, `--flag=value`, `-f value`, `-fvalue`, `-f=value`; one dash before a long name does as well, as Go's flags have it. Nothing
//! is built for a verb that is not called: its table is a constant.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::str::FromStr;

/// What follows a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    Nothing,
    Value,
}

/// One flag: long name, letter, and whether a value follows.
#[derive(Debug)]
pub(super) struct Flag {
    long: &'static str,
    short: Option<char>,
    takes: Takes,
}

pub(super) const fn switch(long: &'static str) -> Flag {
    Flag {
        long,
        short: None,
        takes: Takes::Nothing,
    }
}

pub(super) const fn value(long: &'static str) -> Flag {
    Flag {
        long,
        short: None,
        takes: Takes::Value,
    }
}

impl Flag {
    pub(super) const fn or(self, short: char) -> Self {
        Self {
            long: self.long,
            short: Some(short),
            takes: self.takes,
        }
    }

    pub(super) fn usage(&self) -> String {
        let letter = self.short.map(|c| format!("-{c}, ")).unwrap_or_default();
        let value = match self.takes {
            Takes::Nothing => "",
            Takes::Value => " VALUE",
        };
        format!("{letter}--{}{value}", self.long)
    }
}

/// What was given: flags in their order, and the other words.
#[derive(Debug, Default)]
pub(super) struct Given {
    flags: Vec<(&'static str, OsString)>,
    pub(super) words: Vec<OsString>,
}

/// Reads flags until so many other words have come; what follows belongs to somebody else.
pub(super) fn read(
    args: &[OsString],
    table: &[&'static [Flag]],
    words: usize,
) -> Result<Given, String> {
    let mut given = Given::default();
    let mut rest = args.iter();
    while given.words.len() < words {
        let Some(arg) = rest.next() else { break };
        match arg.as_bytes() {
            b"--" => break,
            [b'-', b'-', text @ ..] => long(text, table, &mut rest, &mut given)?,
            [b'-', text @ ..] if !text.is_empty() => short(text, table, &mut rest, &mut given)?,
            _ => given.words.push(arg.clone()),
        }
    }
    given.words.extend(rest.cloned());
    Ok(given)
}

type Rest<'a> = std::slice::Iter<'a, OsString>;

fn find(table: &[&'static [Flag]], fits: impl Fn(&Flag) -> bool) -> Option<&'static Flag> {
    table
        .iter()
        .flat_map(|part| part.iter())
        .find(|flag| fits(flag))
}

fn long(
    text: &[u8],
    table: &[&'static [Flag]],
    rest: &mut Rest<'_>,
    given: &mut Given,
) -> Result<(), String> {
    let (name, value) = cut(text);
    let name = String::from_utf8_lossy(name);
    let flag = find(table, |flag| flag.long == name)
        .ok_or_else(|| format!("flag provided but not defined: --{name}"))?;
    given.push(flag, value, rest)
}

fn short(
    text: &[u8],
    table: &[&'static [Flag]],
    rest: &mut Rest<'_>,
    given: &mut Given,
) -> Result<(), String> {
    let (name, value) = cut(text);
    let name = String::from_utf8_lossy(name);
    if let Some(flag) = find(table, |flag| name.len() > 1 && flag.long == name) {
        return given.push(flag, value, rest);
    }
    let mut at = 0;
    while at < text.len() {
        let letter = char::from(text[at]);
        at += 1;
        let flag = find(table, |flag| flag.short == Some(letter)).ok_or_else(|| {
            let all = String::from_utf8_lossy(text);
            format!("flag provided but not defined: -{all}")
        })?;
        if flag.takes == Takes::Nothing {
            given.push(flag, None, rest)?;
            continue;
        }
        let attached = text[at..].strip_prefix(b"=").unwrap_or(&text[at..]);
        let attached = (!text[at..].is_empty()).then_some(attached);
        return given.push(flag, attached, rest);
    }
    Ok(())
}

fn cut(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| *byte == b'=') {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

impl Given {
    fn push(
        &mut self,
        flag: &'static Flag,
        value: Option<&[u8]>,
        rest: &mut Rest<'_>,
    ) -> Result<(), String> {
        let value = match (flag.takes, value) {
            (Takes::Nothing, None) => OsString::from("true"),
            (_, Some(value)) => OsString::from_vec(value.to_vec()),
            (Takes::Value, None) => rest
                .next()
                .cloned()
                .ok_or_else(|| format!("flag needs an argument: --{}", flag.long))?,
        };
        if flag.takes == Takes::Nothing && !matches!(value.as_bytes(), b"true" | b"false") {
            return Err(format!("--{} is true or false, not {value:?}", flag.long));
        }
        self.flags.push((flag.long, value));
        Ok(())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a OsStr> {
        self.flags
            .iter()
            .filter(move |(long, _)| *long == name)
            .map(|(_, value)| value.as_os_str())
    }

    /// The last one counts.
    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        let flag = self.flags.iter().rev().find(|(long, _)| *long == name);
        flag.map(|(_, value)| value.as_os_str())
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(OsStr::to_str)
    }

    pub(super) fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value == "true")
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    }

    pub(super) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        self.get(name).map(|value| number(name, value)).transpose()
    }
}

pub(super) fn number<T: FromStr>(name: &str, value: &OsStr) -> Result<T, String> {
    value
        .to_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| format!("invalid value {value:?} for --{name}: a number is needed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[&[Flag]] = &[
        &[switch("detach").or('d'), switch("all").or('a')],
        &[value("bundle").or('b'), value("env").or('e')],
    ];

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn flags_stand_on_both_sides_of_the_id() {
        let given = read(
            &words("-d --bundle=/b id -e A=1 --env B=2 -eC=3"),
            TABLE,
            usize::MAX,
        )
        .unwrap();
        assert!(given.is_on("detach") && !given.is_on("all"));
        assert_eq!(given.path("bundle"), Some("/b".into()));
        assert_eq!(given.all("env").collect::<Vec<_>>(), ["A=1", "B=2", "C=3"]);
        assert_eq!(given.words, ["id"]);
    }

    #[test]
    fn the_command_keeps_its_own() {
        let given = read(&words("id -d sh -c x --bundle y"), TABLE, 2).unwrap();
        assert_eq!(given.words, ["id", "sh", "-c", "x", "--bundle", "y"]);
        let given = read(&words("-- -d"), TABLE, 2).unwrap();
        assert_eq!(given.words, ["-d"]);
    }

    #[test]
    fn forms() {
        let given = read(&words("-da -bundle x --all=false"), TABLE, 1).unwrap();
        assert!(given.is_on("detach") && !given.is_on("all"));
        assert_eq!(given.path("bundle"), Some("x".into()));
        for wrong in ["--nope", "-x", "--bundle", "--all=maybe", "-b"] {
            assert!(read(&words(wrong), TABLE, 1).is_err(), "{wrong}");
        }
    }
}
