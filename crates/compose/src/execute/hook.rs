//! A hook's command in its container.
//!
//! A process of a container is started by a process without threads, and a plan is carried out by many: so our own
//! binary is executed again as `exec`. What the command says goes nowhere; how it ends decides. Its variables go by the
//! environment and not by the command line, which everybody on the host can read.

use compose_file::project::Hook;
use engine::Context;
use state::Layout;
use std::ffi::{CString, OsStr};
use std::io;
use sys::role::{Role, Session};

/// Runs the hook and gives its exit status.
pub(crate) fn run(ctx: &Context, container: &str, hook: &Hook) -> io::Result<i32> {
    let variables = crate::spec::environment(&hook.environment);
    let role = Role {
        argv: argv(&ctx.layout, container, hook)?,
        env: variables
            .into_iter()
            .filter(|entry| entry.contains('='))
            .map(CString::new)
            .collect::<Result<_, _>>()?,
        fds: Vec::new(),
        session: Session::Own,
    };
    let child = sys::role::spawn(&role)?;
    Ok(sys::process::wait(&child.pidfd)?.code())
}

fn argv(layout: &Layout, container: &str, hook: &Hook) -> io::Result<Vec<CString>> {
    let mut words: Vec<&OsStr> = Vec::new();
    words.extend(["dockless", "--root"].map(OsStr::new));
    words.push(layout.data_root().as_os_str());
    words.push(OsStr::new("--run-root"));
    words.push(layout.run_root().as_os_str());
    words.push(OsStr::new("exec"));
    for (flag, value) in [("-u", &hook.user), ("-w", &hook.working_dir)] {
        if let Some(value) = value {
            words.extend([flag, value].map(OsStr::new));
        }
    }
    for name in hook.environment.keys() {
        words.extend(["-e", name].map(OsStr::new));
    }
    if hook.privileged {
        words.push(OsStr::new("--privileged"));
    }
    words.push(OsStr::new(container));
    words.extend(hook.command.iter().map(OsStr::new));
    let word = |word: &OsStr| CString::new(word.as_encoded_bytes()).map_err(io::Error::from);
    words.into_iter().map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_is_an_exec_in_the_same_data_root_and_tells_nobody_its_variables() {
        let layout = state::Layout::new("/d", "/r");
        let hook = Hook {
            command: vec!["sh".into(), "-c".into(), "true".into()],
            user: Some("1".into()),
            environment: [("A".to_owned(), Some("secret".to_owned()))].into(),
            ..Hook::default()
        };
        let words = argv(&layout, "shop-db-1", &hook).unwrap();
        let words: Vec<&str> = words.iter().map(|w| w.to_str().unwrap()).collect();
        assert_eq!(
            words.join(" "),
            "dockless --root /d --run-root /r exec -u 1 -e A shop-db-1 sh -c true"
        );
    }
}
