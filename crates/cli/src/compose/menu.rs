//! The keys of an attached `up` on a terminal, and the line at the bottom that names them.
//!
//! Docker's keys: `w` watches the sources, `d` leaves everything running. Its `v` and `o` open a desktop application, which there
//! is none of here: they show in the terminal what that would, the containers' states and the configuration.

use super::Call;
use super::display::Display;
use super::globals::is_true;
use crate::failure::Failure;
use crate::output::{self, terminal};
use anstyle::AnsiColor;
use compose::observe;
use compose_file::Project;
use std::ffi::{CString, OsString};
use std::io::{BufRead, BufReader, IsTerminal, PipeReader};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::sync::{Mutex, PoisonError};
use sys::process::Child;
use sys::role::{Role, Session as RoleSession};
use sys::tty::KeyMode;

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Status,
    Config,
    Watch,
    Detach,
}

impl Key {
    pub(crate) fn of(byte: u8) -> Option<Self> {
        match byte.to_ascii_lowercase() {
            b'v' => Some(Self::Status),
            b'o' => Some(Self::Config),
            b'w' => Some(Self::Watch),
            b'd' => Some(Self::Detach),
            _ => None,
        }
    }
}

/// Whether there is a menu: on a terminal, unless `--menu=false` or COMPOSE_MENU says otherwise.
pub(crate) fn wanted(flag: Option<&str>, variable: Option<&str>) -> bool {
    let terminal = std::io::stdin().is_terminal()
        && std::io::stdout().is_terminal()
        && std::io::stderr().is_terminal();
    terminal && said(flag, variable)
}

fn said(flag: Option<&str>, variable: Option<&str>) -> bool {
    let variable = variable.filter(|text| !text.is_empty());
    flag.or(variable).is_none_or(is_true)
}

/// The menu while it is there: keys are not echoed and come at once.
#[derive(Debug)]
pub(crate) struct Menu<'a> {
    call: &'a Call<'a>,
    project: &'a Project,
    display: &'a Display,
    watch: Mutex<Option<Child>>,
    _keys: KeyMode,
}

impl<'a> Menu<'a> {
    pub(crate) fn open(
        call: &'a Call<'a>,
        project: &'a Project,
        display: &'a Display,
    ) -> Result<Self, Failure> {
        let keys = KeyMode::enter(std::io::stdin()).map_err(Failure::system("read single keys"))?;
        let menu = Self {
            call,
            project,
            display,
            watch: Mutex::default(),
            _keys: keys,
        };
        menu.draw();
        Ok(menu)
    }

    /// `v Status   o Config   w Enable Watch   d Detach`.
    fn draw(&self) {
        let colour = self
            .call
            .globals
            .colour
            .unwrap_or_else(terminal::stderr_has_colour);
        let watching = self.lock().is_some();
        let watch = if watching {
            "Disable Watch"
        } else {
            "Enable Watch"
        };
        let items = [
            ("v", "Status"),
            ("o", "Config"),
            ("w", watch),
            ("d", "Detach"),
        ];
        let shown = items
            .map(|(key, what)| format!("{} {what}", terminal::paint(key, AnsiColor::Cyan, colour)));
        self.display.set_menu(Some(shown.join("   ")));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what a key asks for; leaving is for the caller.
    pub(crate) fn press(&self, key: Key) {
        let done = match key {
            Key::Status => self.status(),
            Key::Config => self.config(),
            Key::Watch => self.toggle_watch(),
            Key::Detach => Ok(()),
        };
        if let Err(failure) = done {
            self.display.note(&failure.chain());
        }
        self.draw();
    }

    fn status(&self) -> Result<(), Failure> {
        let mut rows = vec![["NAME", "SERVICE", "STATUS"].map(str::to_owned).to_vec()];
        for listed in observe::listed(self.call.ctx()?, &self.project.name)? {
            let service = listed.record.labels.get(compose::labels::SERVICE);
            let health = listed.state.health();
            let health = health.map(|h| format!(" ({})", h.status.as_str()));
            rows.push(vec![
                listed.record.name.clone(),
                service.cloned().unwrap_or_default(),
                format!("{}{}", listed.state.status(), health.unwrap_or_default()),
            ]);
        }
        rows[1..].sort();
        self.display
            .note(output::table::layout(rows, &[], None).trim_end());
        Ok(())
    }

    fn config(&self) -> Result<(), Failure> {
        let text = compose_file::to_yaml(self.project).map_err(super::failed)?;
        self.display.note(text.trim_end());
        Ok(())
    }

    /// Watching is a command of its own, which ends with us.
    fn toggle_watch(&self) -> Result<(), Failure> {
        let mut watch = self.lock();
        if let Some(child) = watch.take() {
            end(&child);
            self.display.note("Watch disabled");
            return Ok(());
        }
        let watched = |service: &compose_file::Service| service.develop.is_some();
        if !self.project.services.iter().any(watched) || super::find("watch").is_none() {
            return Err(Failure::said(
                "none of the services has a develop.watch section to go by",
            ));
        }
        let (told, pipe) = std::io::pipe().map_err(Failure::system("make a pipe"))?;
        let role = Role {
            argv: self.watching()?,
            env: sys::role::inherited_env(),
            fds: vec![(pipe.as_fd(), 2)],
            // Ctrl-C ends it, too.
            session: RoleSession::Inherited,
        };
        *watch = Some(sys::role::spawn(&role).map_err(Failure::system("start watching"))?);
        drop((watch, role));
        // Our copy of its end: the reader ends when the command does.
        drop(pipe);
        self.pass_on(told);
        self.display.note("Watch enabled");
        Ok(())
    }

    /// `compose … watch --no-up` of the same project.
    fn watching(&self) -> Result<Vec<CString>, Failure> {
        let project = self.project;
        let words = [
            "dockless",
            "compose",
            "-p",
            &project.name,
            "--project-directory",
        ];
        let mut argv: Vec<OsString> = words.iter().map(OsString::from).collect();
        argv.push(project.working_dir.clone().into());
        for (flag, files) in [("-f", &project.files), ("--env-file", &project.env_files)] {
            for file in files {
                argv.push(flag.into());
                argv.push(file.clone().into());
            }
        }
        argv.extend(["watch", "--no-up"].map(OsString::from));
        let words = argv.into_iter().map(|word| CString::new(word.into_vec()));
        words
            .collect::<Result<_, _>>()
            .map_err(|_| Failure::said("a path with a NUL byte in it"))
    }

    /// What the watching command says stands above the menu; its reader ends with it.
    fn pass_on(&self, told: PipeReader) {
        let display = self.display.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(told).lines().map_while(Result::ok) {
                display.note(&line);
            }
        });
    }
}

impl Drop for Menu<'_> {
    fn drop(&mut self) {
        self.display.set_menu(None);
        if let Some(child) = self.lock().take() {
            end(&child);
        }
    }
}

/// It may have ended by itself.
fn end(child: &Child) {
    if let Some(kill) = sys::signal::parse("KILL") {
        let _ = sys::process::pidfd_send_signal(&child.pidfd, kill);
    }
    let _ = sys::process::wait(&child.pidfd);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_is_asked_before_the_variable_and_a_menu_is_the_default() {
        assert!(said(None, None) && said(None, Some("")) && said(None, Some("1")));
        assert!(!said(None, Some("false")) && !said(Some("false"), Some("1")));
        assert!(said(Some("true"), Some("false")));
    }

    #[test]
    fn keys_are_dockers() {
        assert_eq!(Key::of(b'w'), Some(Key::Watch));
        assert_eq!(Key::of(b'D'), Some(Key::Detach));
        assert_eq!(Key::of(b'x'), None);
    }
}
