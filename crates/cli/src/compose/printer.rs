//! Lines of several containers on one screen: each behind its name, in its colour.

use super::display::Display;
use crate::failure::Failure;
use crate::output::terminal;
use anstyle::{AnsiColor, Style};
use compose::observe::Container;
use engine::logs::{Line, Stream};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

const COLOURS: [AnsiColor; 10] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightCyan,
    AnsiColor::BrightYellow,
    AnsiColor::BrightGreen,
    AnsiColor::BrightMagenta,
    AnsiColor::BrightBlue,
];

/// How lines are shown.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Manner {
    pub(crate) colour: bool,
    pub(crate) prefix: bool,
    pub(crate) timestamps: bool,
}

/// Writes lines, one whole line at a time, from any thread.
#[derive(Debug)]
pub(crate) struct Printer<'a> {
    manner: Manner,
    names: Mutex<Names>,
    /// What is drawn below the lines, if anything is.
    below: Option<&'a Display>,
}

#[derive(Debug, Default)]
struct Names {
    width: usize,
    colours: BTreeMap<String, AnsiColor>,
}

impl<'a> Printer<'a> {
    pub(crate) fn new(manner: Manner) -> Self {
        Self {
            manner,
            names: Mutex::default(),
            below: None,
        }
    }

    /// Writes above what a display draws.
    pub(crate) fn above(self, below: &'a Display) -> Self {
        Self {
            below: Some(below),
            ..self
        }
    }

    /// Makes room for a name, so that all lines stand in one column.
    pub(crate) fn introduce(&self, name: &str) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.width = names.width.max(name.len());
        let next = COLOURS[names.colours.len() % COLOURS.len()];
        names.colours.entry(name.to_owned()).or_insert(next);
    }

    /// `web-1  | `.
    fn prefix(&self, name: &str) -> String {
        if !self.manner.prefix {
            return String::new();
        }
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let text = format!("{name:<width$}  | ", width = names.width);
        match names.colours.get(name).filter(|_| self.manner.colour) {
            Some(colour) => {
                let style = Style::new().fg_color(Some((*colour).into()));
                format!("{style}{text}{style:#}")
            }
            None => text,
        }
    }

    pub(crate) fn line(&self, name: &str, line: &Line) -> Result<(), Failure> {
        let mut out = self.prefix(name).into_bytes();
        if self.manner.timestamps {
            out.extend_from_slice(line.time.to_string().as_bytes());
            out.push(b' ');
        }
        let text = line.bytes.strip_suffix(b"\n").unwrap_or(&line.bytes);
        out.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
        out.push(b'\n');
        let write = || match line.stream {
            Stream::Stdout => std::io::stdout().lock().write_all(&out),
            Stream::Stderr => std::io::stderr().lock().write_all(&out),
        };
        match self.below {
            Some(display) => display.above(write)?,
            None => write()?,
        }
        Ok(())
    }
}

/// What a container is called in front of its lines: `web-1`, or the name the file gave it.
pub(crate) fn short_name(container: &Container, project: &str) -> String {
    let name = &container.name;
    for separator in ["-", "_"] {
        if let Some(rest) = name.strip_prefix(&format!("{project}{separator}")) {
            return rest.to_owned();
        }
    }
    name.clone()
}

/// Whether lines on standard output are coloured.
pub(crate) fn colour(call: &super::Call<'_>, no_color: bool) -> bool {
    !no_color
        && call
            .globals
            .colour
            .unwrap_or_else(terminal::stdout_has_colour)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_in_one_column() {
        let printer = Printer::new(Manner {
            colour: false,
            prefix: true,
            timestamps: false,
        });
        printer.introduce("web-1");
        printer.introduce("database-1");
        assert_eq!(printer.prefix("web-1"), "web-1       | ");
        assert_eq!(printer.prefix("database-1"), "database-1  | ");
        let plain = Printer::new(Manner::default());
        assert_eq!(plain.prefix("web-1"), "");
    }
}
