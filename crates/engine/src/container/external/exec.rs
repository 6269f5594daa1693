//! A further process in a container of another runtime: that runtime starts it, this process becomes its parent.

use super::super::exec::{ExecProcess, ExecSpec, ExecStdio};
use super::super::record::ContainerRecord;
use super::bundle;
use super::program::{Console, External, started};
use crate::error::{Error, Result};
use runtime::UserSpec;
use rustix::fs::{Mode, OFlags};
use std::os::fd::AsFd;
use std::path::PathBuf;

/// Starts it by `exec --process`; `pid` is the container's first process, in whose root users are looked up.
pub(crate) fn exec(
    external: &External,
    container: &ContainerRecord,
    pid: i32,
    spec: &ExecSpec,
    linked: Vec<String>,
    stdio: ExecStdio<'_>,
) -> Result<ExecProcess> {
    // The runtime's own process ends at once: what it leaves behind is our child only so.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|e| Error::system("become the parent of the executed process")(e.into()))?;
    let mut process = crate::spec::exec_process(container, spec, linked)?;
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(&root, flags, Mode::empty())
        .map_err(|e| Error::file("open the container's root", root)(e.into()))?;
    let user = UserSpec {
        user: spec
            .user
            .clone()
            .unwrap_or_else(|| container.process.user.clone()),
        add_groups: container.spec.group_add.clone(),
    };
    bundle::become_user(&mut process, &user, root.as_fd())?;
    // Its own directory: several may be started at once.
    let own = Scratch(external.file(&format!("exec-{}", std::process::id())));
    std::fs::create_dir_all(&own.0).map_err(Error::file("create", &own.0))?;
    let (file, pid_file) = (own.0.join("process.json"), own.0.join("pid"));
    bundle::write_json(&file, &process)?;
    let mut args = vec![
        "--detach".as_ref(),
        "--process".as_ref(),
        file.as_os_str(),
        "--pid-file".as_ref(),
        pid_file.as_os_str(),
    ];
    let console = spec.terminal.map(|_| Console::listen(&own.0)).transpose()?;
    if let Some(console) = &console {
        args.extend(["--console-socket".as_ref(), console.path.as_os_str()]);
    }
    args.push(container.id.as_str().as_ref());
    let streams = [stdio.stdin, stdio.stdout, stdio.stderr];
    let given = console.is_none().then_some(streams);
    external.run("exec", &args, given)?;
    let terminal = match (console, spec.terminal) {
        (Some(console), Some((rows, columns))) => {
            let master = console.receive()?;
            let _ = sys::tty::set_size(&master, rows, columns);
            Some(master)
        }
        _ => None,
    };
    let started = started(&pid_file, terminal)?;
    Ok(ExecProcess {
        pid: started.pid,
        pidfd: started.pidfd,
        terminal: started.terminal,
    })
}

/// Goes when the process has started, or not.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
