//! `kill -9` in the middle: the next build succeeds, and nothing stays.

use crate::Test;
use crate::site::{Site, context, describe};
use build::{ContextSource, DockerfileSource, Options, Silent};
use std::ffi::CString;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// `argv[1]` of the process that is killed.
pub(crate) const ROLE: &str = "slow-build";

pub(crate) const TESTS: &[Test] = &[
    (
        "a_killed_build_leaves_nothing",
        a_killed_build_leaves_nothing,
    ),
    (
        "a_killed_sandbox_is_an_error_and_leaves_nothing",
        a_killed_sandbox_is_an_error_and_leaves_nothing,
    ),
];

const FILE: &str = "FROM busybox\nRUN echo first > /first\nRUN echo second > /second; sleep 1000\n";

/// `e2e slow-build DIR`: a build that does not end by itself.
pub(crate) fn slow_build() -> ExitCode {
    let dir = PathBuf::from(std::env::args_os().nth(2).unwrap());
    let mut options = Options::new(ContextSource::Empty);
    options.dockerfile = DockerfileSource::Text(FILE.to_owned());
    match build::build(&context(&dir), options, &Silent) {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn eventually(what: &str, test: impl Fn() -> bool) {
    let since = Instant::now();
    while !test() {
        assert!(
            since.elapsed() < Duration::from_secs(60),
            "{what} did not happen"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn entries(dir: &PathBuf) -> Vec<String> {
    let list = fs::read_dir(dir)
        .map(|list| list.flatten().collect::<Vec<_>>())
        .unwrap_or_default();
    list.iter()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// Upper directories of steps under way.
fn second_runs(site: &Site) -> bool {
    let build = site.ctx.layout.build();
    let works = entries(&build)
        .into_iter()
        .filter(|name| name.starts_with("work-"));
    works.into_iter().any(|work| {
        let layers = entries(&build.join(&work));
        layers
            .iter()
            .any(|layer| build.join(&work).join(layer).join("upper/second").exists())
    })
}

fn a_killed_build_leaves_nothing() {
    let site = Site::new();
    let word = |text: &str| CString::new(text).unwrap();
    let argv = vec![word("e2e"), word(ROLE), word(site.dir.to_str().unwrap())];
    let role = sys::role::Role {
        argv,
        env: sys::role::inherited_env(),
        ..Default::default()
    };
    let child = sys::role::spawn(&role).unwrap();
    eventually("the second step", || second_runs(&site));
    let sandboxes = site.ctx.layout.run_root().join("sandboxes");
    let id = entries(&sandboxes).pop().expect("a living sandbox");
    assert!(engine::sandbox::is_alive(&site.ctx, &id));
    sys::process::pidfd_send_signal(&child.pidfd, 9).unwrap();
    sys::process::wait(&child.pidfd).unwrap();
    // Its sandbox notices by itself.
    eventually("the end of the sandbox", || entries(&sandboxes).is_empty());
    assert!(
        network::leases(&site.ctx.layout, "bridge")
            .unwrap()
            .is_empty()
    );
    let (image, told) = site.build(&FILE.replace("; sleep 1000", ""));
    assert_eq!(image.read("/second"), "second\n");
    assert_eq!(
        told.count("cached"),
        1,
        "what was finished before is kept: {:#?}",
        told.lines()
    );
    let left: Vec<String> = entries(&site.ctx.layout.build())
        .into_iter()
        .filter(|name| name.starts_with("work-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Our child that plays the role `sandbox`.
fn sandbox_pid() -> Option<i32> {
    let own = std::process::id().to_string();
    let pids = entries(&PathBuf::from("/proc"));
    let pids = pids.iter().filter_map(|name| name.parse::<i32>().ok());
    pids.into_iter().find(|pid| {
        let read =
            |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let parent = read("stat")
            .rsplit(") ")
            .next()
            .and_then(|rest| rest.split(' ').nth(1).map(str::to_owned));
        parent.as_deref() == Some(&own) && read("cmdline").contains("\0sandbox\0")
    })
}

fn a_killed_sandbox_is_an_error_and_leaves_nothing() {
    let site = Site::new();
    let sandboxes = site.ctx.layout.run_root().join("sandboxes");
    let failed = std::thread::scope(|scope| {
        let build = scope.spawn(|| site.failure(site.options(FILE)).0);
        eventually("the second step", || second_runs(&site));
        sys::process::kill(sandbox_pid().expect("a sandbox"), 9).unwrap();
        build.join().unwrap()
    });
    assert!(
        describe(&failed).contains("the sandbox was killed"),
        "{}",
        describe(&failed)
    );
    assert!(entries(&sandboxes).is_empty());
    assert!(
        network::leases(&site.ctx.layout, "bridge")
            .unwrap()
            .is_empty()
    );
}
