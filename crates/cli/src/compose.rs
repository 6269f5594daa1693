//! `compose`: hands argv on to Compose's own command line.

use crate::failure::{Failure, Outcome};
use crate::output;
use crate::session::Session;
use std::ffi::OsString;

/// The Compose release whose command line and file format this is made to match.
pub(crate) const VERSION: &str = "2.38.0";

/// `docker compose …` without the first two words.
pub(crate) fn main(session: &Session, args: Vec<OsString>) -> Outcome {
    let words: Vec<&str> = args.iter().filter_map(|word| word.to_str()).collect();
    match words.as_slice() {
        ["version", "--short"] | ["--version", "--short"] => output::line(VERSION)?,
        ["version", ..] | ["--version" | "-v"] => output::line(format_args!("Docker Compose version v{VERSION}"))?,
        _ => {
            let word = words.first().copied().unwrap_or_default();
            return Err(Failure::said(format!("unknown {} compose command: {word:?}", session.program)));
        }
    }
    Ok(0)
}
