//! Real builds as root, on images of `images-cache`, in a network and mount namespace of their own.
//!
//! This binary is also what the engine executes as role `sandbox`; so it has a `main`, and not the usual harness.
//! `cargo test -p build --test e2e -- WORD` runs the tests whose name has the word in it.

#![expect(clippy::print_stdout, reason = "a test harness reports")]

mod cache;
mod copy;
mod exchange;
mod killed;
mod run;
mod site;
mod stages;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// A test by its name.
type Test = (&'static str, fn());

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(engine::sandbox::ROLE) => {
            let arguments: Vec<_> = std::env::args_os().skip(1).collect();
            return ExitCode::from(engine::sandbox::role_main(&arguments));
        }
        Some(killed::ROLE) => return killed::slow_build(),
        _ => {}
    }
    let word = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'))
        .unwrap_or_default();
    let flags = sys::namespace::flags::NEWNS | sys::namespace::flags::NEWNET;
    sys::namespace::unshare(flags).expect("these tests need root");
    sys::mount::set_root_propagation(sys::mount::Propagation::Slave).unwrap();
    let groups = [
        cache::TESTS,
        copy::TESTS,
        exchange::TESTS,
        killed::TESTS,
        run::TESTS,
        stages::TESTS,
    ];
    let wanted: Vec<&Test> = groups
        .iter()
        .copied()
        .flatten()
        .filter(|(name, _)| name.contains(&word))
        .collect();
    let failed: Vec<&str> = wanted
        .iter()
        .filter(|(name, test)| !passes(name, *test))
        .map(|(name, _)| *name)
        .collect();
    println!(
        "\n{} passed; {} failed: {}",
        wanted.len() - failed.len(),
        failed.len(),
        failed.join(", ")
    );
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn passes(name: &str, test: fn()) -> bool {
    let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
    println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
    passed
}
