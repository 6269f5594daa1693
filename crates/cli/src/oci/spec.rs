//! `spec` and `features`: a configuration to start from, and what one may say.

use super::argv::{Given, switch, value};
use super::display::pretty;
use super::{Call, Verb, at_most};
use crate::failure::{Failure, Outcome};
use crate::output;
use bundle::template::specification;
use std::io::Write;

pub(super) const SPEC: Verb = Verb {
    name: "spec",
    usage: "[--bundle DIR] [--rootless]",
    flags: &[value("bundle").or('b'), switch("rootless")],
    words: usize::MAX,
    run: write,
};

pub(super) const FEATURES: Verb = Verb {
    name: "features",
    usage: "",
    flags: &[],
    words: usize::MAX,
    run: |_, given| {
        at_most(given, 0)?;
        output::line(pretty(&runtime::features()))?;
        Ok(0)
    },
};

fn write(_: &Call<'_>, given: &Given) -> Outcome {
    at_most(given, 0)?;
    let directory = given.path("bundle").unwrap_or_else(|| ".".into());
    let path = directory.join("config.json");
    let text = pretty(&specification(given.is_on("rootless"))) + "\n";
    let written =
        std::fs::File::create_new(&path).and_then(|mut file| file.write_all(text.as_bytes()));
    match written {
        Ok(()) => Ok(0),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Err(Failure::said(format!(
            "File {} exists. Remove it first",
            path.display()
        ))),
        Err(e) => Err(Failure::system(format!("write {}", path.display()))(e)),
    }
}
