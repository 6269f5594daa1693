//! `boot`: what the restart policies say, once after the host came up; and the hook that calls it.

use crate::failure::{Failure, Outcome, chain};
use crate::output;
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::boot::{self, Action};
use std::path::Path;

/// Every verb of this noun.
pub(crate) const VERBS: &[Verb] = &[
    verb::<Boot>(
        &["boot"],
        "",
        "Start the containers whose restart policies say so",
    )
    .examples("boot enable      # have the host's init call it\nboot status"),
    verb::<Enable>(
        &["boot enable"],
        "",
        "Have the host's init call boot when it starts",
    ),
    verb::<Disable>(&["boot disable"], "", "Take the hook away again"),
    verb::<Status>(&["boot status"], "", "Tell whether the hook is installed"),
];

#[derive(Debug, Args)]
struct Boot {}

impl Run for Boot {
    fn run(self, session: &Session) -> Outcome {
        let mut code = 0;
        for outcome in boot::boot(session.engine()?)? {
            match outcome.result {
                Ok(Action::Started) => output::line(format_args!("started {}", outcome.name))?,
                Ok(Action::Adopted) => output::line(format_args!("adopted {}", outcome.name))?,
                Err(error) => {
                    output::note(format_args!(
                        "cannot start {}: {}",
                        outcome.name,
                        chain(&error)
                    ));
                    code = 1;
                }
            }
        }
        Ok(code)
    }
}

#[derive(Debug, Args)]
struct Enable {}

impl Run for Enable {
    fn run(self, session: &Session) -> Outcome {
        if session.globals.data_root.is_some() {
            return Err(
                Failure::said("boot is enabled for the default data root only")
                    .hint("leave out --root and DOCKLESS_ROOT"),
            );
        }
        let unit = boot::enable(Path::new("/"))?;
        output::line(format_args!("Installed {}", unit.display()))?;
        Ok(0)
    }
}

#[derive(Debug, Args)]
struct Disable {}

impl Run for Disable {
    fn run(self, _: &Session) -> Outcome {
        output::line(if boot::disable(Path::new("/"))? {
            "Removed the hook"
        } else {
            "There was no hook"
        })?;
        Ok(0)
    }
}

#[derive(Debug, Args)]
struct Status {}

impl Run for Status {
    fn run(self, _: &Session) -> Outcome {
        let installed = Path::new(boot::SYSTEMD_UNIT).exists();
        output::line(if installed {
            "enabled (systemd)"
        } else {
            "disabled"
        })?;
        Ok(u8::from(!installed))
    }
}
