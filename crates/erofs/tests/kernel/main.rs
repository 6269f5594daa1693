//! The real kernel's opinion: images are mounted, and what it shows is compared with what the tree says.

mod images;
mod view;

use std::process::ExitCode;

fn main() -> ExitCode {
    testkit::main(&[images::ALL])
}
