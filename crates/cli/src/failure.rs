//! What a command can come to when it does not succeed, and how that is told: text, hint and exit code.
//!
//! Exit codes and texts follow Docker where scripts read them: 125 for a bad flag and for a `run` the engine
//! refused, 126 and 127 for a command that cannot be executed or found, 1 for the rest.

pub(crate) use engine::error::chain;
use std::error::Error as StdError;
use std::io;

/// The exit code of a command that went well enough to have one.
pub(crate) type Outcome = Result<u8, Failure>;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A flag or argument that does not fit; the usage line follows.
    #[error("{message}")]
    Usage { message: String, code: u8 },
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The engine refused a `run`, `create` or `exec`; the exit code is finer than 1.
    #[error(transparent)]
    Start(engine::Error),
    /// Our own message.
    #[error("{message}")]
    Said {
        message: String,
        hint: Option<String>,
        code: u8,
    },
    /// The OCI command line.
    #[error(transparent)]
    Bundle(#[from] bundle::Error),
    #[error("cannot {action}")]
    System { action: String, source: io::Error },
    #[error(transparent)]
    Filter(#[from] model::filter::FilterError),
    #[error("template parsing error: {0}")]
    Template(#[from] template::TemplateError),
    /// Everything was printed already.
    #[error("exit code {0}")]
    Silent(u8),
}

impl Failure {
    pub(crate) fn said(message: impl Into<String>) -> Self {
        Self::Said {
            message: message.into(),
            hint: None,
            code: 1,
        }
    }

    /// A library's error with its causes as a message of ours, and the way out where there is one.
    pub(crate) fn of(error: &(dyn StdError + 'static)) -> Self {
        Self::Said {
            message: chain(error),
            hint: engine::error::way_out(error),
            code: 1,
        }
    }

    /// The same with a word before it.
    pub(crate) fn opened(self, opening: &str) -> Self {
        match self {
            Self::Said {
                message,
                hint,
                code,
            } => Self::Said {
                message: format!("{opening}{message}"),
                hint,
                code,
            },
            other => other,
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
            code: 125,
        }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        match self {
            Self::Said { message, code, .. } => Self::Said {
                message,
                code,
                hint: Some(hint.into()),
            },
            other => other,
        }
    }

    pub(crate) fn code(self, code: u8) -> Self {
        match self {
            Self::Said { message, hint, .. } => Self::Said {
                message,
                hint,
                code,
            },
            other => other,
        }
    }

    pub(crate) fn system(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let action = action.into();
        move |source| Self::System { action, source }
    }

    /// What the process exits with. `run`, `create`, `start` and `exec` take the engine's finer codes.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { code, .. } | Self::Said { code, .. } | Self::Silent(code) => *code,
            Self::Start(error) => error.exit_code(),
            // A flag that cannot be read, unlike one that asks for what is not there.
            Self::Filter(model::filter::FilterError::BadFormat(_)) => 125,
            _ => 1,
        }
    }

    pub(crate) fn way_out(&self) -> Option<String> {
        match self {
            Self::Said { hint, .. } => hint.clone(),
            Self::Engine(error) | Self::Start(error) => error.hint(),
            _ => None,
        }
    }

    /// The message with all its causes, outermost first.
    pub(crate) fn chain(&self) -> String {
        chain(self)
    }
}

impl From<model::ParseError> for Failure {
    fn from(error: model::ParseError) -> Self {
        Self::Said {
            message: error.to_string(),
            hint: None,
            code: 125,
        }
    }
}

impl From<io::Error> for Failure {
    /// Only writing to standard output is passed up bare; a reader that went away is no news.
    fn from(source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::BrokenPipe => Self::Silent(141),
            _ => Self::System {
                action: "write to standard output".into(),
                source,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_said_once_and_a_closed_pipe_is_quiet() {
        let failure = Failure::system("read the file /x")(io::Error::new(
            io::ErrorKind::NotFound,
            "no such file",
        ));
        assert_eq!(failure.chain(), "cannot read the file /x: no such file");
        assert!(matches!(
            Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)),
            Failure::Silent(141)
        ));
        assert_eq!(Failure::usage("unknown flag: --x").exit_code(), 125);
        assert_eq!(Failure::said("x").hint("y").way_out().as_deref(), Some("y"));
    }
}
