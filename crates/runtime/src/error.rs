//! What can go wrong, on the caller's side and in init; init's error crosses the socket whole.

use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;
use sys::userns::IdMap;
use thiserror::Error;

/// A refusal of the kernel, in a form that can travel.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errno(pub i32);

impl Errno {
    pub const NOENT: Self = Self(2);
    pub const ACCES: Self = Self(13);
    pub const INVAL: Self = Self(22);
}

impl std::fmt::Display for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = io::Error::from_raw_os_error(self.0).to_string();
        let text = text.split(" (os error").next().unwrap_or(&text);
        // The texts of the C library start with a capital; inside a chain they do not.
        let mut characters = text.chars();
        match characters.next() {
            Some(first) => write!(f, "{}{}", first.to_lowercase(), characters.as_str()),
            None => write!(f, "error {}", self.0),
        }
    }
}

impl std::fmt::Debug for Errno {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Errno({}: {self})", self.0)
    }
}

impl std::error::Error for Errno {}

impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(match error.kind() {
            io::ErrorKind::WriteZero => 5,
            _ => 22,
        }))
    }
}

impl From<rustix::io::Errno> for Errno {
    fn from(error: rustix::io::Errno) -> Self {
        Self(error.raw_os_error())
    }
}

/// What init could not do.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum InitError {
    #[error("exec: \"{program}\": executable file not found in $PATH")]
    NotInPath { program: String },
    #[error("exec: \"{program}\": stat {program}: no such file or directory")]
    NoSuchProgram { program: String },
    #[error("exec: \"{program}\": permission denied")]
    ProgramDenied { program: String },
    #[error("exec: \"{program}\": is a directory: permission denied")]
    ProgramIsDirectory { program: String },
    #[error("exec {program}: {cause}")]
    Execute { program: String, cause: Errno },
    #[error("exec: \"{program}\": refusing to execute the runtime itself")]
    OwnExecutable { program: String },
    #[error("no command specified")]
    NoCommand,
    #[error("cannot join the cgroup")]
    JoinCgroup {
        #[source]
        cause: Errno,
    },
    #[error("cannot join the {kind} namespace {of}")]
    JoinNamespace {
        kind: String,
        of: String,
        #[source]
        cause: Errno,
    },
    #[error("cannot make a new {kind} namespace")]
    NewNamespace {
        kind: String,
        #[source]
        cause: Errno,
    },
    #[error("cannot mount {origin} at {target}: source {origin} does not exist")]
    SourceMissing { origin: String, target: String },
    #[error("cannot open {origin} to mount it at {target}")]
    OpenSource {
        origin: String,
        target: String,
        #[source]
        cause: Errno,
    },
    #[error("cannot make the root file system{}", detail(messages))]
    Root {
        messages: Vec<String>,
        #[source]
        cause: Errno,
    },
    #[error(
        "cannot show the ids of {path} as the container has them: its file system or this kernel has no id-mapped mounts; \
         run in the host's user namespace instead (--userns=host)"
    )]
    IdMap {
        path: String,
        #[source]
        cause: Errno,
    },
    #[error("{path} is to be shown id-mapped, but {problem}")]
    WrongIdMap { path: String, problem: String },
    #[error("cannot bring up the container's loopback interface")]
    Loopback {
        #[source]
        cause: Errno,
    },
    #[error("/dev of the root file system is a link, and nothing is mounted there")]
    LinkedDev,
    #[error("cannot become root of the user namespace")]
    BecomeRoot {
        #[source]
        cause: Errno,
    },
    #[error("cannot mount {kind} at {target}{}", detail(messages))]
    Mount {
        kind: String,
        target: String,
        messages: Vec<String>,
        #[source]
        cause: Errno,
    },
    #[error("cannot make the mount point {target}")]
    MountPoint {
        target: String,
        #[source]
        cause: Errno,
    },
    #[error(
        "cannot mount {kind} at {target}: it must be mounted on ordinary directory, not through a link"
    )]
    MountThroughLink { kind: String, target: String },
    #[error("cannot mount at {target}: it is inside /proc")]
    InsideProc { target: String },
    #[error("unknown mount option {option:?} for {target}")]
    MountOption { option: String, target: String },
    #[error("cannot copy the image's content of {target} to its new volume")]
    CopyUp {
        target: String,
        #[source]
        cause: Errno,
    },
    #[error("cannot make the device {path}")]
    Device {
        path: String,
        #[source]
        cause: Errno,
    },
    #[error("cannot make a terminal in /dev/pts")]
    Terminal {
        #[source]
        cause: Errno,
    },
    #[error("cannot mask {path}")]
    Mask {
        path: String,
        #[source]
        cause: Errno,
    },
    #[error("cannot make {path} read-only")]
    ReadOnly {
        path: String,
        #[source]
        cause: Errno,
    },
    #[error("cannot set the sysctl {key}={value}")]
    Sysctl {
        key: String,
        value: String,
        #[source]
        cause: Errno,
    },
    #[error("cannot set the host name {name:?}")]
    Hostname {
        name: String,
        #[source]
        cause: Errno,
    },
    #[error("cannot enter the new root")]
    Pivot {
        #[source]
        cause: Errno,
    },
    #[error("cannot chdir to the working directory {path}")]
    WorkingDirectory {
        path: String,
        #[source]
        cause: Errno,
    },
    #[error("the working directory {path} is outside of the container's root")]
    WorkingDirectoryOutside { path: String },
    #[error("cannot set the limit {name}")]
    Limit {
        name: String,
        #[source]
        cause: Errno,
    },
    #[error(transparent)]
    User(#[from] crate::users::Error),
    #[error("cannot become user {uid}, group {gid}")]
    Identity {
        uid: u32,
        gid: u32,
        #[source]
        cause: Errno,
    },
    #[error("unknown capability {name}")]
    UnknownCapability { name: String },
    #[error("cannot set the capabilities")]
    Capabilities {
        #[source]
        cause: Errno,
    },
    #[error("cannot load the seccomp filter")]
    Seccomp {
        #[source]
        cause: Errno,
    },
    #[error("cannot apply the {module} profile {profile:?}")]
    Label {
        module: String,
        profile: String,
        #[source]
        cause: Errno,
    },
    #[error("{what} holds a zero byte")]
    ZeroByte { what: String },
    #[error("cannot connect the standard streams")]
    Stdio {
        #[source]
        cause: Errno,
    },
    #[error("cannot start the command under init")]
    Reaper {
        #[source]
        cause: Errno,
    },
    #[error("cannot get ready to execute")]
    Prepare {
        #[source]
        cause: Errno,
    },
    #[error("cannot set {what}")]
    Scheduling {
        what: String,
        #[source]
        cause: Errno,
    },
    #[error(transparent)]
    Hook(#[from] crate::hooks::Error),
    #[error("the caller went away before the start")]
    Abandoned,
    #[error("cannot wait to be started")]
    Gate {
        #[source]
        cause: Errno,
    },
}

fn detail(messages: &[String]) -> String {
    if messages.is_empty() {
        String::new()
    } else {
        format!(" ({})", messages.join("; "))
    }
}

impl InitError {
    /// Docker's exit code: 127 for a command that is not there, 126 for one that cannot run, 125 for everything before.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::NotInPath { .. } | Self::NoSuchProgram { .. } => 127,
            Self::Execute { cause, .. } if *cause == Errno::NOENT => 127,
            Self::ProgramDenied { .. }
            | Self::ProgramIsDirectory { .. }
            | Self::OwnExecutable { .. }
            | Self::Execute { .. } => 126,
            _ => 125,
        }
    }
}

/// Attaches the object to a refusal of the kernel.
pub(crate) trait OrInit<T> {
    fn because(self, error: impl FnOnce(Errno) -> InitError) -> Result<T, InitError>;
}

impl<T> OrInit<T> for io::Result<T> {
    fn because(self, error: impl FnOnce(Errno) -> InitError) -> Result<T, InitError> {
        self.map_err(|e| error(e.into()))
    }
}

impl<T> OrInit<T> for rustix::io::Result<T> {
    fn because(self, error: impl FnOnce(Errno) -> InitError) -> Result<T, InitError> {
        self.map_err(|e| error(e.into()))
    }
}

/// What went wrong in starting a process, as the caller sees it.
#[derive(Debug, Error)]
pub enum Error {
    #[error(transparent)]
    Init(#[from] InitError),
    #[error("cannot start a container from a process with threads")]
    Threads,
    #[error("cannot clone a process into new namespaces")]
    Clone(#[source] io::Error),
    #[error("cannot open the {kind} namespace {path}")]
    OpenNamespace {
        kind: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is no {kind} namespace", path.display())]
    WrongNamespace { kind: &'static str, path: PathBuf },
    #[error("the spec's mount namespace is the caller's own, which the container would change")]
    OwnMountNamespace,
    #[error("the spec names the {kind} namespace twice")]
    NamespaceTwice { kind: &'static str },
    #[error("the spec maps ids (linux.uidMappings, gidMappings) without a user namespace")]
    MapsWithoutNamespace,
    #[error("wrong mapping of ids for the user namespace: {problem}")]
    WrongMap { map: IdMap, problem: &'static str },
    #[error("the spec has timeOffsets without a new time namespace")]
    OffsetsWithoutNamespace,
    #[error("unknown clock {name:?} in timeOffsets: only monotonic and boottime have offsets")]
    UnknownClock { name: String },
    #[error("cannot look at the interfaces for linux.netDevices")]
    NetDevices(#[source] sys::netlink::Error),
    #[error("there is no interface {name:?} for linux.netDevices")]
    NoSuchInterface { name: String },
    #[error("cannot give the interface {name:?} to the container as {inside:?}")]
    NetDevice {
        name: String,
        inside: String,
        #[source]
        source: sys::netlink::Error,
    },
    #[error("linux.netDevices needs a network namespace of the container's own")]
    DevicesWithoutNamespace,
    #[error("cannot make a time namespace with these offsets")]
    TimeNamespace(#[source] io::Error),
    #[error("cannot give the container's user namespace its ids")]
    WriteMaps(#[source] io::Error),
    #[error("cannot prepare {what} for the container's user namespace")]
    Prepare {
        what: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("cannot join the pid namespace")]
    JoinPidNamespace(#[source] io::Error),
    #[error("cannot talk to init")]
    Socket(#[source] io::Error),
    #[error("init answered with something unknown")]
    Protocol,
    #[error("init was killed by {} before it could start the command", sys::signal::name(*signal))]
    KilledBySignal { signal: i32 },
    #[error("init ended with code {code} before it could start the command")]
    Ended { code: i32 },
    #[error("init ended before it could start the command")]
    EndedUnseen,
    #[error("the process of the container is gone")]
    Gone(#[source] io::Error),
    #[error("cannot read the start time of process {pid}")]
    StartTime {
        pid: i32,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    SeccompListener(#[from] crate::seccomp::DeliveryError),
    #[error("the seccomp profile is wrong")]
    Seccomp(#[from] crate::seccomp::Error),
    #[error(transparent)]
    Hook(#[from] crate::hooks::Error),
}

impl Error {
    /// Docker's exit code for a command that could not be started.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Init(error) => error.exit_code(),
            _ => 125,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_codes_follow_docker() {
        let missing = InitError::NotInPath {
            program: "foo".into(),
        };
        assert_eq!(
            missing.to_string(),
            "exec: \"foo\": executable file not found in $PATH"
        );
        assert_eq!(missing.exit_code(), 127);
        assert_eq!(
            InitError::ProgramDenied {
                program: "/etc/passwd".into()
            }
            .exit_code(),
            126
        );
        assert_eq!(
            InitError::Execute {
                program: "/x".into(),
                cause: Errno(8)
            }
            .to_string(),
            "exec /x: exec format error"
        );
        assert_eq!(InitError::Pivot { cause: Errno(22) }.exit_code(), 125);
    }

    #[test]
    fn errors_survive_the_journey() {
        let error = InitError::Mount {
            kind: "tmpfs".into(),
            target: "/run".into(),
            messages: vec!["bad".into()],
            cause: Errno(22),
        };
        let bytes = serde_json::to_vec(&error).unwrap();
        assert_eq!(serde_json::from_slice::<InitError>(&bytes).unwrap(), error);
    }
}
