//! What commands and a monitor say to each other, over `SOCK_SEQPACKET` unix sockets.
//!
//! ```text
//! command                              monitor
//!    │ ── executes, hands one socket ──▶ │  (fd 3; answers are also accepted on monitor.sock)
//!    │ ── Launch {attach} + fds ───────▶ │  makes the container
//!    │ ◀───────────── Started | Failed ─ │
//!    │ ── Resize, Detach ─────────────▶ │  while attached
//!    │ ◀──────────────── Exited {code} ─ │  after the last byte of output
//!
//! command ── connect monitor.sock ── Attach | Stop | Kill | Pause | … ──▶ monitor
//!                                    ◀── Done | Refused
//! ```
//!
//! One JSON document per message; file descriptors travel with the message that names them.

use serde::{Deserialize, Serialize};

/// Which of the container's streams a client takes part in. The fds follow in this order: stdin, stdout,
/// stderr; with a terminal only stdin and stdout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streams {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
}

impl Streams {
    pub fn any(self) -> bool {
        self.stdin || self.stdout || self.stderr
    }
}

/// What comes after a stop. A monitor lives on when the binary is replaced: one that knows no `remove` stops and answers, and the
/// command removes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "AfterStop", from = "AfterStop")]
pub enum After {
    /// It stays, or goes with `--rm`.
    #[default]
    AsMade,
    /// It is started again: `--rm` does not remove it.
    Start,
    /// It goes, and its anonymous volumes when that is asked for.
    Remove { volumes: bool },
}

/// [`After`] as it is said.
#[derive(Serialize, Deserialize)]
struct AfterStop {
    restart: bool,
    /// And whether its anonymous volumes go too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    remove: Option<bool>,
}

impl From<After> for AfterStop {
    fn from(after: After) -> Self {
        Self {
            restart: after == After::Start,
            remove: match after {
                After::Remove { volumes } => Some(volumes),
                After::AsMade | After::Start => None,
            },
        }
    }
}

impl From<AfterStop> for After {
    fn from(said: AfterStop) -> Self {
        match (said.remove, said.restart) {
            (Some(volumes), _) => Self::Remove { volumes },
            (None, true) => Self::Start,
            (None, false) => Self::AsMade,
        }
    }
}

/// Command to monitor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// The first message on the inherited socket: start the container.
    Launch {
        streams: Streams,
        size: Option<(u16, u16)>,
    },
    /// Take part in the streams of a running container.
    Attach {
        streams: Streams,
    },
    /// The terminal's size: rows, columns.
    Resize {
        rows: u16,
        columns: u16,
    },
    /// The client leaves; the container goes on.
    Detach,
    /// Send the stop signal, after the grace time `SIGKILL`; answered when the container has exited.
    Stop {
        signal: Option<String>,
        timeout: Option<u64>,
        #[serde(flatten)]
        then: After,
    },
    /// Send a signal. `SIGKILL` and the stop signal keep the restart policy from acting.
    Kill {
        signal: String,
    },
    Pause,
    Unpause,
    /// The container's record was changed on disk (limits, restart policy, name): read it again.
    Reload,
    /// The record names a network more: join it.
    Connect {
        network: String,
    },
    /// The record names a network less: leave it.
    Disconnect {
        network: String,
    },
}

/// Monitor to command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    Started {
        pid: i32,
    },
    /// The container could not be started; the code is Docker's (125, 126, 127).
    Failed {
        message: String,
        code: u8,
    },
    /// The run is over and all its output was passed on.
    Exited {
        code: u8,
    },
    Done,
    Refused {
        message: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_understood_by_monitors_of_an_earlier_binary_and_by_later_ones() {
        let stop = |then| Request::Stop {
            signal: None,
            timeout: Some(1),
            then,
        };
        let said = |then| serde_json::to_string(&stop(then)).unwrap();
        let plain = r#"{"request":"stop","signal":null,"timeout":1,"restart":false}"#;
        assert_eq!(said(After::AsMade), plain);
        let removal = said(After::Remove { volumes: true });
        assert!(removal.contains(r#""restart":false"#), "{removal}");
        for then in [
            After::AsMade,
            After::Start,
            After::Remove { volumes: true },
            After::Remove { volumes: false },
        ] {
            let heard: Request = serde_json::from_str(&said(then)).unwrap();
            assert_eq!(heard, stop(then));
        }
    }
}
