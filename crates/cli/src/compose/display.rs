//! Progress of a project: one line for each thing, redrawn in place on a terminal, written once per change elsewhere.
//!
//! ```text
//! [+] Running 2/3
//!  ✔ Network shop_default    Created   0.0s
//!  ✔ Container shop-db-1     Healthy   1.2s
//!  ⠿ Container shop-web-1    Starting  0.1s
//! ```

use super::globals::{Globals, ProgressMode, is_true};
use crate::output::{self, terminal};
use anstyle::AnsiColor;
use compose::progress::{Event, Progress, State};
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use unicode_width::UnicodeWidthStr;

/// Tells how things come along, on standard error. A clone draws the same lines.
#[derive(Debug, Clone)]
pub(crate) struct Display {
    mode: Mode,
    colour: bool,
    /// COMPOSE_STATUS_STDOUT: what is told goes to standard output.
    on_stdout: bool,
    lines: Arc<Mutex<Lines>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Live,
    Plain,
    Json,
    Quiet,
}

#[derive(Debug, Default)]
struct Lines {
    all: Vec<Line>,
    /// How many lines of the terminal are ours.
    drawn: usize,
    /// Below everything: which keys there are.
    menu: Option<String>,
}

#[derive(Debug)]
struct Line {
    id: String,
    text: String,
    state: State,
    begun: Instant,
    took: Option<f64>,
}

impl Display {
    pub(crate) fn new(globals: &Globals, quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let mode = match globals.progress {
            _ if quiet => Mode::Quiet,
            ProgressMode::Quiet => Mode::Quiet,
            ProgressMode::Json => Mode::Json,
            ProgressMode::Tty => Mode::Live,
            ProgressMode::Auto if terminal && globals.colour != Some(false) => Mode::Live,
            ProgressMode::Auto | ProgressMode::Plain => Mode::Plain,
        };
        let colour = globals.colour.unwrap_or_else(terminal::stderr_has_colour);
        Self {
            mode,
            colour,
            on_stdout: std::env::var("COMPOSE_STATUS_STDOUT").is_ok_and(|v| is_true(&v)),
            lines: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves what is drawn as it stands; what comes next begins below it.
    pub(crate) fn finish(&self) {
        let mut lines = self.lock();
        let mut out = String::new();
        if lines.menu.is_some() && lines.drawn > 0 {
            // It stays the last line.
            erase(&mut out, 1);
        }
        lines.all.clear();
        lines.drawn = self.draw(&lines, &mut out);
        self.say(&out);
    }

    /// Shows a line below everything, or takes it away.
    pub(crate) fn set_menu(&self, menu: Option<String>) {
        if self.mode != Mode::Live {
            return;
        }
        let mut lines = self.lock();
        let mut out = String::new();
        erase(&mut out, lines.drawn);
        lines.menu = menu;
        lines.drawn = self.draw(&lines, &mut out);
        self.say(&out);
    }

    /// Writes a line above what is drawn.
    pub(crate) fn note(&self, text: &str) {
        let mut lines = self.lock();
        let mut out = String::new();
        erase(&mut out, lines.drawn);
        lines.drawn = 0;
        let _ = writeln!(out, "{text}");
        if self.mode == Mode::Live {
            lines.drawn = self.draw(&lines, &mut out);
        }
        self.say(&out);
    }

    /// Writes something above what is drawn.
    pub(crate) fn above<R>(&self, write: impl FnOnce() -> R) -> R {
        let mut lines = self.lock();
        let mut out = String::new();
        erase(&mut out, lines.drawn);
        self.say(&out);
        let result = write();
        if self.mode == Mode::Live {
            let _ = std::io::stdout().flush();
            let mut out = String::new();
            lines.drawn = self.draw(&lines, &mut out);
            self.say(&out);
        }
        result
    }

    /// Does some work; meanwhile the times shown go on.
    pub(crate) fn during<R>(&self, work: impl FnOnce() -> R) -> R {
        if self.mode != Mode::Live {
            return work();
        }
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let clock = scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    std::thread::park_timeout(Duration::from_millis(100));
                    self.above(|| ());
                }
            });
            let result = work();
            over.store(true, Ordering::Relaxed);
            clock.thread().unpark();
            result
        })
    }

    /// That nobody watches is no reason to stop.
    fn say(&self, text: &str) {
        let write = |out: &mut dyn Write| out.write_all(text.as_bytes()).and_then(|()| out.flush());
        let _ = match self.on_stdout {
            true => write(&mut std::io::stdout().lock()),
            false => write(&mut std::io::stderr().lock()),
        };
    }

    /// Draws all lines and gives their number.
    fn draw(&self, lines: &Lines, out: &mut String) -> usize {
        let drawn = self.draw_things(lines, out);
        match &lines.menu {
            Some(menu) => {
                let _ = writeln!(out, "{menu}");
                drawn + 1
            }
            None => drawn,
        }
    }

    fn draw_things(&self, lines: &Lines, out: &mut String) -> usize {
        if lines.all.is_empty() {
            return 0;
        }
        let done = lines
            .all
            .iter()
            .filter(|line| line.state == State::Done)
            .count();
        let _ = writeln!(out, "[+] Running {done}/{}", lines.all.len());
        let (rows, columns) = sys::tty::size(std::io::stderr()).unwrap_or((24, 80));
        let room = usize::from(rows).saturating_sub(2).max(1);
        let width = lines
            .all
            .iter()
            .map(|line| line.id.width())
            .max()
            .unwrap_or(0);
        // Where there is no room for all, those that still go on are shown.
        let mut shown: Vec<&Line> = lines.all.iter().collect();
        if shown.len() > room {
            shown.sort_by_key(|line| line.state == State::Done);
            shown.truncate(room);
        }
        for line in &shown {
            let seconds = line
                .took
                .unwrap_or_else(|| line.begun.elapsed().as_secs_f64());
            let time = format!("{seconds:.1}s");
            let fixed = 3 + width + 2 + 2 + time.len();
            let text = output::units::ellipsis(
                &line.text,
                usize::from(columns).saturating_sub(fixed + 1).max(8),
            );
            let (sign, colour) = sign(line.state);
            let sign = terminal::paint(sign, colour, self.colour);
            let _ = writeln!(out, " {sign} {:width$}  {text}  {time}", line.id);
        }
        shown.len() + 1
    }
}

fn sign(state: State) -> (&'static str, AnsiColor) {
    match state {
        State::Working => ("⠿", AnsiColor::Blue),
        State::Done => ("✔", AnsiColor::Green),
        State::Warning => ("!", AnsiColor::Yellow),
        State::Failed => ("✘", AnsiColor::Red),
    }
}

/// Goes up over the lines that are ours and clears them.
fn erase(out: &mut String, drawn: usize) {
    if drawn > 0 {
        let _ = write!(out, "\x1b[{drawn}A\x1b[J");
    }
}

impl Lines {
    /// Enters a change; gives whether the words are new.
    fn enter(&mut self, event: Event<'_>) -> bool {
        let finished = event.state != State::Working;
        match self.all.iter_mut().find(|line| line.id == event.id) {
            Some(line) => {
                let new = line.text != event.text || line.state != event.state;
                line.text = event.text.to_owned();
                line.state = event.state;
                line.took = finished.then(|| line.begun.elapsed().as_secs_f64());
                new
            }
            None => {
                let took = finished.then_some(0.0);
                self.all.push(Line {
                    id: event.id.to_owned(),
                    text: event.text.to_owned(),
                    state: event.state,
                    begun: Instant::now(),
                    took,
                });
                true
            }
        }
    }
}

impl Progress for Display {
    fn event(&self, event: Event<'_>) {
        if self.mode == Mode::Quiet {
            return;
        }
        let mut lines = self.lock();
        if !lines.enter(event) {
            return;
        }
        let mut out = String::new();
        match self.mode {
            Mode::Live => {
                erase(&mut out, lines.drawn);
                lines.drawn = self.draw(&lines, &mut out);
            }
            // Percentages are for who watches.
            Mode::Plain if event.text.ends_with('%') => return,
            Mode::Plain => _ = writeln!(out, " {}  {}", event.id, event.text),
            Mode::Json => {
                let status = match event.state {
                    State::Working => "Working",
                    State::Done => "Done",
                    State::Warning => "Warning",
                    State::Failed => "Error",
                };
                let _ = writeln!(
                    out,
                    "{}",
                    serde_json::json!({"id": event.id, "status": status, "text": event.text})
                );
            }
            Mode::Quiet => {}
        }
        self.say(&out);
    }

    fn warning(&self, text: &str) {
        self.note(&format!(
            "{} {text}",
            terminal::paint("Warning:", AnsiColor::Yellow, self.colour)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_words_is_told_once() {
        let mut lines = Lines::default();
        let event = |text, state| Event {
            id: "Container a",
            text,
            state,
        };
        assert!(lines.enter(event("Starting", State::Working)));
        assert!(!lines.enter(event("Starting", State::Working)));
        assert!(lines.enter(event("Started", State::Done)));
        assert_eq!(lines.all.len(), 1);
        assert!(lines.all[0].took.is_some());
    }

    #[test]
    fn the_menu_is_the_last_line() {
        let display = Display {
            mode: Mode::Live,
            colour: false,
            on_stdout: false,
            lines: Arc::default(),
        };
        let mut lines = Lines {
            menu: Some("d Detach".into()),
            ..Lines::default()
        };
        let mut out = String::new();
        assert_eq!(display.draw(&lines, &mut out), 1);
        assert_eq!(out, "d Detach\n");
        lines.enter(Event {
            id: "Container a",
            text: "Started",
            state: State::Done,
        });
        out.clear();
        assert_eq!(display.draw(&lines, &mut out), 3);
        assert!(out.ends_with("d Detach\n"), "{out}");
    }
}
