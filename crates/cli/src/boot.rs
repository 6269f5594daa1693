//! `boot`: what the restart policies say, once after the host came up; and the hook that calls it.

use crate::failure::{Failure, Outcome, chain};
use crate::output;
use crate::session::Session;
use crate::verb::{Run, Verb, verb};
use clap::Args;
use engine::boot::hook::{self, Hook, Init, Presence, Running};
use engine::boot::{self, Action};
use std::path::{Path, PathBuf};

/// Every verb of this noun.
pub(crate) const VERBS: &[Verb] = &[
    verb::<Boot>(
        &["boot"],
        "",
        "Start the containers whose restart policies say so, dependencies first",
    )
    .examples("boot enable      # have the host's init call it\nboot status"),
    verb::<Enable>(
        &["boot enable"],
        "[OPTIONS]",
        "Have the host's init call boot when it starts",
    )
    .examples("boot enable\nboot enable --init runit --root /mnt/image     # for a host that is being made"),
    verb::<Disable>(&["boot disable"], "[OPTIONS]", "Take the hook away again"),
    verb::<Status>(
        &["boot status"],
        "[OPTIONS]",
        "Tell whether the hook is installed",
    ),
];

#[derive(Debug, Args)]
struct Boot {}

impl Run for Boot {
    fn run(self, session: &Session) -> Outcome {
        let mut code = 0;
        let outcomes = boot::boot(session.engine()?, &|outcome| {
            for late in &outcome.in_spite_of {
                output::note(format_args!(
                    "{} does not wait longer: {late}",
                    outcome.name
                ));
            }
            if let Err(error) = &outcome.result {
                let why = chain(error);
                output::note(format_args!("cannot start {}: {why}", outcome.name));
            }
        })?;
        engine::jobs::scheduler::ensure(session.engine()?)?;
        for outcome in outcomes {
            match outcome.result {
                Ok(Action::Started) => output::line(format_args!("started {}", outcome.name))?,
                Ok(Action::Adopted) => output::line(format_args!("adopted {}", outcome.name))?,
                Err(_) => code = 1,
            }
        }
        Ok(code)
    }
}

/// Which host and which init is meant.
#[derive(Debug, Args)]
struct Which {
    /// The init, where it cannot be told or another one is meant: systemd, openrc, sysvinit, runit, s6, dinit, procd or busybox
    #[arg(long, value_name = "name")]
    init: Option<String>,
    /// Root directory of the host, as when an image is made (default /)
    #[arg(long, value_name = "dir")]
    root: Option<PathBuf>,
}

/// The hook of the host that is meant.
struct Found {
    root: PathBuf,
    init: Init,
    hook: Hook,
}

impl Which {
    fn find(&self) -> Result<Found, Failure> {
        let root = self.root.clone().unwrap_or_else(|| "/".into());
        if !root.is_dir() {
            return Err(Failure::said(format!(
                "--root {}: no such directory",
                root.display()
            )));
        }
        let init = match &self.init {
            Some(name) => Init::parse(name).ok_or_else(|| {
                Failure::said(format!("--init {name:?} is not known"))
                    .hint(format!("one of {}", Init::ALL.map(Init::name).join(", ")))
            })?,
            None => {
                let running = Running::read();
                // What runs here says nothing about another host.
                let running = self.root.is_none().then_some(&running);
                hook::detect(&root, running).ok_or_else(|| {
                    Failure::said("cannot tell which init this host has").hint(
                        "name it with --init, or call `dockless boot` from its start-up script",
                    )
                })?
            }
        };
        let exe = match &self.root {
            None => std::env::current_exe().map_err(Failure::system("find own executable"))?,
            Some(_) => in_root(&root)?,
        };
        let has = |path: &str| {
            root.join(path.trim_start_matches('/'))
                .symlink_metadata()
                .is_ok()
        };
        let hook = hook::hook(init, &exe, &has);
        Ok(Found { root, init, hook })
    }
}

/// Where the program lies on a host that does not run.
fn in_root(root: &Path) -> Result<PathBuf, Failure> {
    let places = ["usr/local/bin/dockless", "usr/bin/dockless", "bin/dockless"];
    match places.iter().find(|place| root.join(place).exists()) {
        Some(place) => Ok(Path::new("/").join(place)),
        None => Ok(PathBuf::from("/usr/local/bin/dockless")),
    }
}

#[derive(Debug, Args)]
struct Enable {
    #[command(flatten)]
    which: Which,
}

impl Run for Enable {
    fn run(self, session: &Session) -> Outcome {
        if session.globals.data_root.is_some() && self.which.root.is_none() {
            return Err(
                Failure::said("boot is enabled for the default data root only")
                    .hint("leave out --root before boot, and DOCKLESS_ROOT"),
            );
        }
        let found = self.which.find()?;
        for path in found.hook.install(&found.root)? {
            output::line(format_args!("Installed {}", path.display()))?;
        }
        if let Some(then) = found.hook.then {
            output::line(format_args!("Then {then}"))?;
        }
        Ok(0)
    }
}

#[derive(Debug, Args)]
struct Disable {
    #[command(flatten)]
    which: Which,
}

impl Run for Disable {
    fn run(self, _: &Session) -> Outcome {
        let found = self.which.find()?;
        output::line(match found.hook.remove(&found.root)? {
            true => "Removed the hook",
            false => "There was no hook",
        })?;
        Ok(0)
    }
}

#[derive(Debug, Args)]
struct Status {
    #[command(flatten)]
    which: Which,
}

impl Run for Status {
    fn run(self, _: &Session) -> Outcome {
        let found = self.which.find()?;
        let presence = found.hook.presence(&found.root)?;
        let init = found.init.name();
        match presence {
            Presence::Present => output::line(format_args!("enabled ({init})"))?,
            Presence::Outdated => output::line(format_args!(
                "outdated ({init}): `boot enable` brings it up to date"
            ))?,
            Presence::Absent => output::line(format_args!("disabled ({init})"))?,
        }
        Ok(u8::from(presence != Presence::Present))
    }
}
