//! Finding the command inside the container's root, and executing it.
//!
//! Source: execvp(3), runc's and Docker's messages for what cannot be found or executed.

use crate::error::{Errno, InitError};
use crate::users::Identity;
use oci_spec::runtime::Process;
use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags};
use std::ffi::CString;
use std::os::fd::{BorrowedFd, OwnedFd};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A handle on the executable we are.
pub(crate) fn own_executable() -> Option<OwnedFd> {
    rustix::fs::open(
        "/proc/self/exe",
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .ok()
}

/// The environment of the spec, with HOME from the passwd file when it names none.
pub(super) fn environment(process: &Process, identity: &Identity) -> Vec<String> {
    let mut env: Vec<String> = process.env().clone().unwrap_or_default();
    // An empty HOME is as good as none, as in Docker.
    env.retain(|variable| variable != "HOME=");
    if !env.iter().any(|variable| variable.starts_with("HOME=")) {
        env.push(format!("HOME={}", identity.home));
    }
    env
}

/// What will be executed.
pub(super) struct Target {
    path: String,
    argv: Vec<CString>,
}

pub(super) fn find(
    process: &Process,
    env: &[String],
    own: Option<BorrowedFd<'_>>,
) -> Result<Target, InitError> {
    let args = process.args().as_deref().unwrap_or_default();
    let program = args
        .first()
        .filter(|program| !program.is_empty())
        .ok_or(InitError::NoCommand)?;
    let path = if program.contains('/') {
        check_path(program)?
    } else {
        search(program, env)?
    };
    refuse_own(&path, own)?;
    Ok(Target {
        path,
        argv: strings(args, "an argument")?,
    })
}

/// Whether there is a chance to find the command at all; asked before its user, directory and start are decided. One that is
/// relative to the working directory is not looked for.
pub(super) fn foresee(process: Option<&Process>) -> Result<(), InitError> {
    let Some(process) = process else {
        return Ok(());
    };
    let args = process.args().as_deref().unwrap_or_default();
    let program = args
        .first()
        .filter(|program| !program.is_empty())
        .ok_or(InitError::NoCommand)?;
    match program.strip_prefix('/') {
        Some(_) => check_path(program)?,
        None if program.contains('/') => return Ok(()),
        None => search(program, process.env().as_deref().unwrap_or_default())?,
    };
    Ok(())
}

fn check_path(program: &str) -> Result<String, InitError> {
    let name = || program.to_owned();
    match examine(program) {
        Ok(()) => Ok(name()),
        Err(Errno::NOENT | Errno(20)) => Err(InitError::NoSuchProgram { program: name() }),
        Err(Errno(21)) => Err(InitError::ProgramIsDirectory { program: name() }),
        Err(_) => Err(InitError::ProgramDenied { program: name() }),
    }
}

/// The first that can be executed counts; one that cannot is remembered, as a better reason than "not found".
fn search(program: &str, env: &[String]) -> Result<String, InitError> {
    let path = env
        .iter()
        .rev()
        .find_map(|variable| variable.strip_prefix("PATH="))
        .unwrap_or(DEFAULT_PATH);
    let mut denied = false;
    for directory in path.split(':') {
        // An empty entry is the working directory.
        let directory = if directory.is_empty() { "." } else { directory };
        let candidate = format!("{directory}/{program}");
        match examine(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(Errno::ACCES) => denied = true,
            Err(_) => {}
        }
    }
    let program = program.to_owned();
    Err(if denied {
        InitError::ProgramDenied { program }
    } else {
        InitError::NotInPath { program }
    })
}

fn examine(path: &str) -> Result<(), Errno> {
    let stat = rustix::fs::stat(path)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => return Err(Errno(21)),
        FileType::RegularFile => {}
        _ => return Err(Errno::ACCES),
    }
    Ok(rustix::fs::accessat(
        CWD,
        path,
        Access::EXEC_OK,
        AtFlags::EACCESS,
    )?)
}

/// An image whose command is a link to `/proc/self/exe` would execute us inside the container, where another process could then
/// open our executable for writing (CVE-2019-5736). Scripts that name it as interpreter meet the read-only mount of `sys::role`.
fn refuse_own(path: &str, own: Option<BorrowedFd<'_>>) -> Result<(), InitError> {
    let Some(own) = own else { return Ok(()) };
    let Ok(target) = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) else {
        return Ok(());
    };
    match sys::path::same_file(own, target) {
        Ok(true) => Err(InitError::OwnExecutable {
            program: path.to_owned(),
        }),
        _ => Ok(()),
    }
}

fn strings(list: &[String], what: &str) -> Result<Vec<CString>, InitError> {
    list.iter()
        .map(|s| {
            CString::new(s.as_str()).map_err(|_| InitError::ZeroByte {
                what: what.to_owned(),
            })
        })
        .collect()
}

impl Target {
    /// Returns only if the kernel refuses.
    pub(super) fn execute(&self, env: &[String]) -> InitError {
        let env = match strings(env, "the environment") {
            Ok(env) => env,
            Err(error) => return error,
        };
        let Ok(path) = CString::new(self.path.as_str()) else {
            return InitError::ZeroByte {
                what: "the command".to_owned(),
            };
        };
        let cause = Errno::from(sys::program::execve(&path, &self.argv, &env));
        InitError::Execute {
            program: self.path.clone(),
            cause,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_apart() {
        let env = vec!["PATH=/nowhere:/bin".to_owned()];
        assert_eq!(search("sh", &env).unwrap(), "/bin/sh");
        assert_eq!(
            search("no-such-thing", &env).err().unwrap().exit_code(),
            127
        );
        assert_eq!(check_path("/no/such").err().unwrap().exit_code(), 127);
        assert!(matches!(
            check_path("/etc"),
            Err(InitError::ProgramIsDirectory { .. })
        ));
        assert!(matches!(
            check_path("/etc/passwd"),
            Err(InitError::ProgramDenied { .. })
        ));
    }

    #[test]
    fn a_missing_command_is_foreseen() {
        let foreseen = |program: &str| {
            let mut process = Process::default();
            process.set_args(Some(vec![program.to_owned()]));
            foresee(Some(&process))
        };
        assert!(foreseen("sh").is_ok() && foreseen("/bin/sh").is_ok());
        assert!(foreseen("./here").is_ok(), "the working directory decides");
        assert!(matches!(
            foreseen("no-such-thing"),
            Err(InitError::NotInPath { .. })
        ));
        assert!(matches!(
            foreseen("/no/such"),
            Err(InitError::NoSuchProgram { .. })
        ));
        assert!(matches!(foreseen(""), Err(InitError::NoCommand)));
    }

    #[test]
    fn home_comes_from_passwd_unless_set() {
        let identity = Identity {
            home: "/root".to_owned(),
            ..Identity::default()
        };
        let mut process = Process::default();
        process.set_env(Some(vec!["A=1".to_owned(), "HOME=".to_owned()]));
        assert_eq!(environment(&process, &identity), ["A=1", "HOME=/root"]);
        process.set_env(Some(vec!["HOME=/x".to_owned()]));
        assert_eq!(environment(&process, &identity), ["HOME=/x"]);
    }

    #[test]
    fn own_executable_is_refused() {
        use std::os::fd::AsFd;
        let own = own_executable().unwrap();
        assert!(matches!(
            refuse_own("/proc/self/exe", Some(own.as_fd())),
            Err(InitError::OwnExecutable { .. })
        ));
        assert!(refuse_own("/bin/sh", Some(own.as_fd())).is_ok());
    }
}
