//! How a build is told: BuildKit's plain lines, or on a terminal one moving line per running step.

use crate::failure::Failure;
use crate::output::{self, terminal};
use anstyle::AnsiColor;
use build::{Error, Event, Progress, Step};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Terminal,
    Quiet,
}

/// Lines of a failed step's output that are shown again.
const KEPT: usize = 40;

impl Style {
    /// What suits standard error.
    pub(crate) fn auto() -> Self {
        if std::io::stderr().is_terminal() {
            Self::Terminal
        } else {
            Self::Plain
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        Ok(match text {
            "auto" | "" => Self::auto(),
            "plain" => Self::Plain,
            "tty" => Self::Terminal,
            "quiet" | "none" => Self::Quiet,
            other => {
                return Err(Failure::said(format!("unknown progress {other:?}"))
                    .hint("use auto, plain, tty or quiet"));
            }
        })
    }
}

/// Tells a build on standard error.
#[derive(Debug)]
pub(crate) struct Teller {
    style: Style,
    bars: Option<MultiProgress>,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    running: BTreeMap<usize, ProgressBar>,
    /// The last lines of each running step.
    output: BTreeMap<usize, Vec<String>>,
    failed: Option<(String, Vec<String>)>,
    last_number: usize,
}

impl Teller {
    pub(crate) fn new(style: Style) -> Self {
        let bars = (style == Style::Terminal)
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        Self {
            style,
            bars,
            told: Mutex::default(),
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, text: &str) {
        match (&self.bars, self.style) {
            // What nobody reads is no reason to stop.
            (Some(bars), _) => drop(bars.println(text)),
            (None, Style::Quiet) => {}
            (None, _) => output::note(text),
        }
    }

    /// The end of a build that succeeded.
    pub(crate) fn done(&self, id: &str, names: &[String]) {
        let number = self.told().last_number + 1;
        match self.style {
            Style::Quiet => {}
            Style::Plain => {
                self.say(&format!(
                    "#{number} exporting to image\n#{number} writing image {id} done"
                ));
                for name in names {
                    self.say(&format!("#{number} naming to {name} done"));
                }
                self.say(&format!("#{number} DONE"));
            }
            Style::Terminal => {
                self.say(&format!(" => => writing image {id}"));
                for name in names {
                    self.say(&format!(" => => naming to {name}"));
                }
            }
        }
    }

    /// The step that failed with its last output, and the lines of the Dockerfile it stands in.
    pub(crate) fn failed(&self, error: &Error) {
        let failed = self.told().failed.take();
        if let Some((name, lines)) = failed {
            output::note(format_args!("------\n > {name}:"));
            for line in lines {
                output::note(line);
            }
            output::note("------");
        }
        let Some(excerpt) = &error.excerpt else {
            return;
        };
        let first = excerpt
            .shown
            .iter()
            .find(|(_, _, marked)| *marked)
            .map_or(1, |(number, ..)| *number);
        output::note(format_args!(
            "{}:{first}\n--------------------",
            excerpt.file
        ));
        for (number, text, marked) in &excerpt.shown {
            let mark = if *marked { ">>>" } else { "   " };
            output::note(
                format_args!("{number:4} | {mark} {text}")
                    .to_string()
                    .trim_end(),
            );
        }
        output::note("--------------------");
    }

    fn start(&self, step: &Step) {
        if let Some(bars) = &self.bars {
            let style = ProgressStyle::with_template(" => {prefix} {msg:.dim} {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = bars.add(ProgressBar::new_spinner().with_style(style));
            bar.set_prefix(step.name.clone());
            bar.enable_steady_tick(Duration::from_millis(200));
            self.told().running.insert(step.number, bar);
            return;
        }
        self.say(&format!("#{} {}", step.number, step.name));
    }

    fn end(&self, step: &Step, what: &str, colour: AnsiColor) {
        let bar = self.told().running.remove(&step.number);
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        match self.style {
            Style::Terminal => {
                let what = terminal::paint(what, colour, terminal::stderr_has_colour());
                self.say(&format!(" => {} {what}", step.name));
            }
            _ => self.say(&format!("#{} {what}\n", step.number)),
        }
    }

    fn output(&self, step: &Step, line: &[u8], at: Duration) {
        let text = String::from_utf8_lossy(line).into_owned();
        {
            let mut told = self.told();
            if let Some(bar) = told.running.get(&step.number) {
                bar.set_message(output::units::ellipsis(text.trim(), 60));
            }
            let kept = told.output.entry(step.number).or_default();
            if kept.len() == KEPT {
                kept.remove(0);
            }
            kept.push(format!("{:.3} {text}", at.as_secs_f64()));
        }
        if self.style == Style::Plain {
            self.say(&format!("#{} {:.3} {text}", step.number, at.as_secs_f64()));
        }
    }
}

impl Progress for Teller {
    fn event(&self, event: Event<'_>) {
        if let Event::Started(step) | Event::Cached(step) = event {
            let mut told = self.told();
            told.last_number = told.last_number.max(step.number);
        }
        match event {
            Event::Started(step) => self.start(step),
            Event::Cached(step) => {
                if self.style == Style::Plain {
                    self.say(&format!("#{} {}", step.number, step.name));
                }
                self.end(step, "CACHED", AnsiColor::Blue);
            }
            Event::Output { step, line, at, .. } => self.output(step, line, at),
            Event::Finished { step, took } => {
                self.told().output.remove(&step.number);
                self.end(
                    step,
                    &format!("DONE {:.1}s", took.as_secs_f64()),
                    AnsiColor::Green,
                );
            }
            Event::Failed { step, .. } => {
                {
                    let mut told = self.told();
                    let lines = told.output.remove(&step.number).unwrap_or_default();
                    told.failed = Some((step.name.clone(), lines));
                }
                self.end(step, "ERROR", AnsiColor::Red);
            }
            Event::Warning(text) => self.say(&format!("WARN: {text}")),
        }
    }
}
