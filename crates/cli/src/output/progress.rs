//! Progress of pulls, pushes and loads: bars on a terminal, Docker's lines elsewhere.

use super::{terminal, units};
use image::{LayerEvent, Progress, Status};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;

/// The widest a bar is, as Docker's.
const BAR: usize = 50;
/// Below this it says nothing.
const NARROWEST: usize = 8;
/// `123.4MB/456.7MB`
const COUNTS: usize = 17;

/// Where progress is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    Stdout,
    Stderr,
    Nowhere,
}

/// Tells how layers come and go.
#[derive(Debug)]
pub(crate) struct PullProgress {
    to: To,
    /// Whether layers come from an archive.
    loads: bool,
    bars: Option<MultiProgress>,
    layers: Mutex<BTreeMap<String, Layer>>,
    /// Lines that come after the last layer: below the bars.
    last: Mutex<Vec<String>>,
}

#[derive(Debug)]
struct Layer {
    status: Status,
    bar: Option<ProgressBar>,
}

impl PullProgress {
    /// For `run` and `create`, whose standard output belongs to the container.
    pub(crate) fn on_stderr(quiet: bool) -> Self {
        Self::new(if quiet { To::Nowhere } else { To::Stderr })
    }

    /// For `pull` and `push`.
    pub(crate) fn on_stdout(quiet: bool) -> Self {
        Self::new(if quiet { To::Nowhere } else { To::Stdout })
    }

    /// For `load`. As Docker's it says nothing of layers where there is no terminal: scripts read what was loaded.
    pub(crate) fn of_load(quiet: bool) -> Self {
        let mut progress = Self::on_stdout(quiet || !std::io::stdout().is_terminal());
        progress.loads = true;
        progress
    }

    fn new(to: To) -> Self {
        let target = match to {
            To::Stdout if std::io::stdout().is_terminal() => Some(ProgressDrawTarget::stdout()),
            To::Stderr if std::io::stderr().is_terminal() => Some(ProgressDrawTarget::stderr()),
            _ => None,
        };
        Self {
            to,
            loads: false,
            bars: target.map(MultiProgress::with_draw_target),
            layers: Mutex::default(),
            last: Mutex::default(),
        }
    }

    /// Leaves the bars as they stand, and tells below them what they came to.
    pub(crate) fn finish(&self) {
        // Once: bars that are drawn again are drawn over what was said below them.
        let layers = self.layers.lock().map(|mut all| std::mem::take(&mut *all));
        for layer in layers.unwrap_or_default().into_values() {
            if let Some(bar) = layer.bar.filter(|bar| !bar.is_finished()) {
                bar.abandon();
            }
        }
        let last = self.last.lock().map(|mut last| std::mem::take(&mut *last));
        for text in last.unwrap_or_default() {
            self.write(&text);
        }
    }

    fn say(&self, text: &str) {
        match &self.bars {
            // Progress that nobody reads is no reason to stop.
            Some(bars) => drop(bars.println(text)),
            None => self.write(text),
        }
    }

    fn write(&self, text: &str) {
        let _ = match self.to {
            To::Stdout => writeln!(std::io::stdout().lock(), "{text}"),
            To::Stderr => writeln!(std::io::stderr().lock(), "{text}"),
            To::Nowhere => Ok(()),
        };
    }

    /// It says something before it is drawn for the first time.
    fn bar(&self, event: LayerEvent<'_>) -> Option<ProgressBar> {
        let prefix = format!("{}: {}", event.id, self.text(event.status));
        let style = ProgressStyle::with_template("{prefix}").ok()?;
        let bar = ProgressBar::hidden().with_style(style).with_prefix(prefix);
        let bar = self.bars.as_ref()?.add(bar);
        self.show(&bar, event);
        Some(bar)
    }

    /// As Docker: a bar while bytes move, else the state alone.
    fn show(&self, bar: &ProgressBar, event: LayerEvent<'_>) {
        let prefix = format!("{}: {}", event.id, self.text(event.status));
        let moves = matches!(
            event.status,
            Status::Downloading | Status::Extracting | Status::Pushing | Status::Loading
        );
        let template = match moves && event.total > 0 {
            true => template(prefix.len(), self.columns()),
            false => "{prefix}".to_owned(),
        };
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.progress_chars("=> "));
        }
        let size = units::size_long;
        bar.set_message(format!("{}/{}", size(event.current), size(event.total)));
        bar.set_prefix(prefix);
        if is_whole(event.status) {
            bar.abandon();
            return;
        }
        bar.set_length(event.total);
        bar.set_position(event.current);
    }

    fn text(&self, status: Status) -> String {
        match status {
            Status::PullingFsLayer | Status::Extracting if self.loads => Status::Loading.text(),
            Status::PullComplete if self.loads => "Loaded".into(),
            other => other.text(),
        }
    }

    /// Asked each time: terminals change their size.
    fn columns(&self) -> usize {
        let columns = match self.to {
            To::Stderr => terminal::width_of(std::io::stderr()),
            _ => terminal::width(),
        };
        columns.unwrap_or(80)
    }
}

impl Drop for PullProgress {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Progress for PullProgress {
    fn layer(&self, event: LayerEvent<'_>) {
        if self.to == To::Nowhere {
            return;
        }
        let Ok(mut layers) = self.layers.lock() else {
            return;
        };
        let Some(layer) = layers.get_mut(event.id) else {
            let (status, bar) = (event.status, self.bar(event));
            if bar.is_none() && tells(status) {
                self.say(&format!("{}: {}", event.id, self.text(status)));
            }
            layers.insert(event.id.to_owned(), Layer { status, bar });
            return;
        };
        let before = std::mem::replace(&mut layer.status, event.status);
        if let Some(bar) = &layer.bar {
            self.show(bar, event);
            return;
        }
        // Every step once; how many bytes there are is of no use in a file.
        if before.text() == event.status.text() {
            return;
        }
        // That one is to come is no news of a layer that is here.
        if before == Status::PullingFsLayer && event.status != Status::AlreadyExists {
            self.say(&format!("{}: {}", event.id, self.text(before)));
        }
        if tells(event.status) {
            self.say(&format!("{}: {}", event.id, self.text(event.status)));
        }
    }

    fn line(&self, text: &str) {
        let done = |layers: &BTreeMap<String, Layer>| {
            !layers.is_empty() && layers.values().all(|layer| is_whole(layer.status))
        };
        let is_last = self.bars.is_some() && self.layers.lock().is_ok_and(|all| done(&all));
        match self.last.lock() {
            Ok(mut last) if is_last => last.push(text.to_owned()),
            _ => self.say(text),
        }
    }
}

/// One line on a terminal of so many columns: the bar takes what the words leave.
fn template(prefix: usize, columns: usize) -> String {
    let beside = prefix + " [] ".len() + COUNTS;
    match columns.saturating_sub(beside).min(BAR) {
        width if width >= NARROWEST => format!("{{prefix}} [{{bar:{width}}}] {{msg}}"),
        _ => "{prefix} {msg}".to_owned(),
    }
}

/// The steps that Docker prints where there is no terminal.
fn tells(status: Status) -> bool {
    !matches!(
        status,
        Status::PullingFsLayer
            | Status::Downloading
            | Status::Extracting
            | Status::Pushing
            | Status::Waiting
            | Status::Verifying
            | Status::Verified
    )
}

/// Nothing more happens to such a layer.
fn is_whole(status: Status) -> bool {
    matches!(
        status,
        Status::PullComplete
            | Status::AlreadyExists
            | Status::Pushed
            | Status::LayerAlreadyExists
            | Status::Mounted
            | Status::Verified
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fits_the_terminal_it_is_on() {
        let words = "db3faa7f3a61: Downloading".len();
        for (columns, bar) in [(200, Some(50)), (80, Some(34)), (60, Some(14)), (45, None)] {
            let template = template(words, columns);
            match bar {
                Some(bar) => {
                    assert!(template.contains(&format!("{{bar:{bar}}}")), "{template}");
                    assert!(words + 4 + bar + COUNTS <= columns);
                }
                None => assert_eq!(template, "{prefix} {msg}"),
            }
        }
    }
}
