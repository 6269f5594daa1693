//! What kind of thing output goes to: is it a terminal, how wide, may it be coloured.

use anstyle::{AnsiColor, Style};
use std::io::IsTerminal;
use std::os::fd::AsFd;

/// Columns of the terminal standard output goes to; `None` when it goes elsewhere.
pub(crate) fn width() -> Option<usize> {
    width_of(std::io::stdout())
}

/// The same of another stream.
pub(crate) fn width_of(stream: impl IsTerminal + AsFd) -> Option<usize> {
    if !stream.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&stream).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Whether standard error may be coloured: a terminal, and nobody said <https://no-color.org>.
pub(crate) fn stderr_has_colour() -> bool {
    allows_colour(std::io::stderr().is_terminal())
}

/// Whether standard output may be coloured.
pub(crate) fn stdout_has_colour() -> bool {
    allows_colour(std::io::stdout().is_terminal())
}

fn allows_colour(terminal: bool) -> bool {
    let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    terminal && !forbidden
}

/// Text in a colour, when `on`.
pub(crate) fn paint(text: &str, colour: AnsiColor, on: bool) -> String {
    if !on {
        return text.to_owned();
    }
    let style = Style::new().fg_color(Some(colour.into())).bold();
    format!("{style}{text}{style:#}")
}
