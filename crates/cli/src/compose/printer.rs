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
    tasks: Option<&'a TaskNames>,
}

/// How `service logs` calls containers: `vote_web.1.x7k2…@host`.
#[derive(Debug)]
pub(crate) struct TaskNames {
    pub(crate) service: String,
    pub(crate) node: String,
    /// Number → id; what is not in it came later.
    pub(crate) ids: BTreeMap<u32, String>,
}

impl TaskNames {
    /// From `web-1`, the name between project and end.
    fn of(&self, name: &str) -> String {
        let number = name.rsplit(['-', '_']).next().and_then(|n| n.parse().ok());
        let Some(number) = number else {
            return format!("{}@{}", self.service, self.node);
        };
        let id = self.ids.get(&number);
        let id = id.map(|id| format!(".{id}")).unwrap_or_default();
        format!("{}.{number}{id}@{}", self.service, self.node)
    }
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
            tasks: None,
        }
    }

    /// Writes above what a display draws.
    pub(crate) fn above(self, below: &'a Display) -> Self {
        Self {
            below: Some(below),
            ..self
        }
    }

    /// Calls containers otherwise.
    pub(crate) fn named(self, tasks: Option<&'a TaskNames>) -> Self {
        Self { tasks, ..self }
    }

    /// As it is shown.
    fn shown(&self, name: &str) -> String {
        self.tasks
            .map_or_else(|| name.to_owned(), |tasks| tasks.of(name))
    }

    /// Makes room for a name, so that all lines stand in one column.
    pub(crate) fn introduce(&self, name: &str) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.width = names.width.max(self.shown(name).len());
        let next = COLOURS[names.colours.len() % COLOURS.len()];
        names.colours.entry(name.to_owned()).or_insert(next);
    }

    /// `web-1  | `.
    fn prefix(&self, name: &str) -> String {
        if !self.manner.prefix {
            return String::new();
        }
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let text = format!("{:<width$}  | ", self.shown(name), width = names.width);
        match names.colours.get(name).filter(|_| self.manner.colour) {
            Some(colour) => {
                let style = Style::new().fg_color(Some((*colour).into()));
                format!("{style}{text}{style:#}")
            }
            None => text,
        }
    }

    /// How a container ended, among the lines that containers write.
    pub(crate) fn ended(&self, name: &str, how: &str) -> Result<(), Failure> {
        let write = || writeln!(std::io::stdout().lock(), "{} {how}", self.shown(name));
        match self.below {
            Some(display) => display.above(write)?,
            None => write()?,
        }
        Ok(())
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
        let tasks = TaskNames {
            service: "vote_web".into(),
            node: "box".into(),
            ids: [(1, "x7k2".to_owned())].into(),
        };
        let printer = Printer::new(Manner {
            prefix: true,
            ..Manner::default()
        })
        .named(Some(&tasks));
        printer.introduce("web-1");
        assert_eq!(printer.prefix("web-1"), "vote_web.1.x7k2@box  | ");
        assert_eq!(printer.prefix("web-2"), "vote_web.2@box       | ");
        let plain = Printer::new(Manner::default());
        assert_eq!(plain.prefix("web-1"), "");
    }
}
