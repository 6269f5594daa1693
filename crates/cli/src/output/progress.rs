//! Progress of pulls, pushes and loads: bars on a terminal, Docker's lines elsewhere.

use image::{LayerEvent, Progress, Status};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;

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
    bars: Option<MultiProgress>,
    layers: Mutex<BTreeMap<String, Layer>>,
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

    /// For `pull`, `push` and `load`.
    pub(crate) fn on_stdout(quiet: bool) -> Self {
        Self::new(if quiet { To::Nowhere } else { To::Stdout })
    }

    fn new(to: To) -> Self {
        let target = match to {
            To::Stdout if std::io::stdout().is_terminal() => Some(ProgressDrawTarget::stdout()),
            To::Stderr if std::io::stderr().is_terminal() => Some(ProgressDrawTarget::stderr()),
            _ => None,
        };
        Self {
            to,
            bars: target.map(MultiProgress::with_draw_target),
            layers: Mutex::default(),
        }
    }

    /// Leaves the bars as they stand.
    pub(crate) fn finish(&self) {
        let Ok(layers) = self.layers.lock() else {
            return;
        };
        for bar in layers.values().filter_map(|layer| layer.bar.as_ref()) {
            bar.abandon();
        }
    }

    fn say(&self, text: &str) {
        // Progress that nobody reads is no reason to stop.
        let _ = match (&self.bars, self.to) {
            (Some(bars), _) => bars.println(text),
            (None, To::Stdout) => writeln!(std::io::stdout().lock(), "{text}"),
            (None, To::Stderr) => writeln!(std::io::stderr().lock(), "{text}"),
            (None, To::Nowhere) => Ok(()),
        };
    }

    /// Complete before it is drawn for the first time.
    fn bar(&self, event: LayerEvent<'_>) -> Option<ProgressBar> {
        let bar = ProgressBar::new(event.total)
            .with_style(style(event)?)
            .with_prefix(event.id.to_owned())
            .with_message(event.status.text());
        Some(self.bars.as_ref()?.add(bar))
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
        let changed = match layers.get_mut(event.id) {
            Some(layer) => {
                let changed = layer.status.text() != event.status.text();
                layer.status = event.status;
                changed
            }
            None => {
                let bar = self.bar(event);
                layers.insert(
                    event.id.to_owned(),
                    Layer {
                        status: event.status,
                        bar,
                    },
                );
                true
            }
        };
        let Some(layer) = layers.get(event.id) else {
            return;
        };
        match &layer.bar {
            Some(bar) => show(bar, event),
            // Every step once; how many bytes there are is of no use in a file.
            None if changed && tells(event.status) => {
                self.say(&format!("{}: {}", event.id, event.status.text()))
            }
            None => {}
        }
    }

    fn line(&self, text: &str) {
        self.say(text);
    }
}

/// The steps that Docker prints where there is no terminal.
fn tells(status: Status) -> bool {
    !matches!(
        status,
        Status::Downloading
            | Status::Extracting
            | Status::Pushing
            | Status::Waiting
            | Status::Verifying
            | Status::Verified
    )
}

/// As Docker: a bar while bytes move, else the state alone.
fn style(event: LayerEvent<'_>) -> Option<ProgressStyle> {
    let moves = matches!(
        event.status,
        Status::Downloading | Status::Extracting | Status::Pushing | Status::Loading
    );
    let template = match moves && event.total > 0 {
        true => "{prefix}: {msg} [{bar:40}] {bytes}/{total_bytes}",
        false => "{prefix}: {msg}",
    };
    let style = ProgressStyle::with_template(template).ok()?;
    Some(style.progress_chars("=> "))
}

fn show(bar: &ProgressBar, event: LayerEvent<'_>) {
    if let Some(style) = style(event) {
        bar.set_style(style);
    }
    bar.set_message(event.status.text());
    let whole = matches!(
        event.status,
        Status::PullComplete
            | Status::AlreadyExists
            | Status::Pushed
            | Status::LayerAlreadyExists
            | Status::Mounted
            | Status::Verified
    );
    if whole {
        bar.abandon();
        return;
    }
    bar.set_length(event.total);
    bar.set_position(event.current);
}
