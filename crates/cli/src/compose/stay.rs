//! `up` in the foreground: what is heard of the containers decides when it is over, and with which exit code.

use super::Call;
use super::attached::{Listener, News};
use super::display::Display;
use super::menu::{Key, Menu};
use super::printer::Printer;
use super::up::Up;
use crate::failure::{Failure, Outcome};
use compose::execute;
use compose::observe::{self, Container};
use compose::plan::{hooks, lifecycle};
use compose_file::Project;
use engine::Timestamp;
use engine::logs::Query;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::thread::JoinHandle;
use std::time::Duration;

/// What a stay knows.
#[derive(Debug)]
pub(super) struct Stay<'a> {
    pub(super) flags: &'a Up,
    pub(super) call: &'a Call<'a>,
    pub(super) project: &'a Project,
    pub(super) display: &'a Display,
    pub(super) printer: &'a Printer<'a>,
    /// Keeps the bringing up from beginning anything more.
    pub(super) interrupted: &'a AtomicBool,
    /// When it began: older output is not shown.
    pub(super) since: Timestamp,
    /// On a terminal.
    pub(super) menu: Option<Menu<'a>>,
}

const GRACEFULLY: &str = "Gracefully Stopping... press Ctrl+C again to force";

/// How it stands.
struct Course {
    bringing_up: bool,
    stopping: Stopping,
    code: u8,
    /// The exit code was decided.
    decided: bool,
    /// All are to be stopped because one has ended.
    aborting: bool,
    /// The user leaves, and everything goes on.
    detached: bool,
}

impl Stay<'_> {
    /// Until the containers have ended, or the user has had enough.
    pub(super) fn listen(&self, listener: &mut Listener<'_, '_>) -> Outcome {
        let mut course = Course {
            bringing_up: true,
            stopping: Stopping::No,
            code: 0,
            decided: false,
            aborting: false,
            detached: false,
        };
        // Who watches files may restart or replace everything that runs.
        let watching = |course: &Course| self.flags.watch && course.stopping.is_idle();
        while course.bringing_up
            || listener.active(self.flags.decisive()) > 0
            || course.stopping.goes_on()
            || watching(&course)
        {
            match listener.news.recv_timeout(Duration::from_millis(200)) {
                Ok(news) => self.hear(listener, &mut course, news)?,
                Err(RecvTimeoutError::Timeout) => course.stopping.look(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            // While it is being brought up nothing can be left half-made.
            if course.detached && !course.bringing_up {
                break;
            }
        }
        Ok(course.code)
    }

    fn hear(
        &self,
        listener: &mut Listener<'_, '_>,
        course: &mut Course,
        news: News,
    ) -> Result<(), Failure> {
        match news {
            News::Started(id) => listener.started(&id)?,
            News::Broken(failure) => return Err(failure),
            News::Key(key) => {
                course.detached |= key == Key::Detach;
                if let Some(menu) = &self.menu {
                    menu.press(key);
                }
            }
            News::Signal => {
                course.code = 130;
                course.decided = true;
                let again = self.interrupted.swap(true, Ordering::Relaxed);
                if course.bringing_up && !again {
                    // What is under way is finished first; then all is stopped.
                    self.display.note(GRACEFULLY);
                } else if course.bringing_up {
                    // Enough of waiting: what there is by now is killed.
                    course.stopping.kill(self)?;
                } else {
                    course.stopping.further(self)?;
                }
            }
            News::Restarted { container, code } => {
                let how = format!("exited with code {code} (restarting)");
                self.printer.ended(self.short(&container), &how)?;
            }
            News::Done(outcome) => self.brought_up(listener, course, outcome)?,
            News::Ended {
                container,
                service,
                code,
                seen,
            } => {
                listener.ended(&container, seen)?;
                self.ended(course, &container, &service, code)?;
            }
        }
        Ok(())
    }

    fn brought_up(
        &self,
        listener: &mut Listener<'_, '_>,
        course: &mut Course,
        outcome: Result<(), Failure>,
    ) -> Result<(), Failure> {
        course.bringing_up = false;
        self.display.finish();
        if self.interrupted.load(Ordering::Relaxed) {
            return match course.stopping.is_idle() {
                true => course.stopping.further(self),
                // Killed already, but what was being started then has come since.
                false => course.stopping.kill(self),
            };
        }
        outcome?;
        // Also those that ran before, and were over before they could be heard of.
        let query = Query {
            since: Some(self.since),
            follow: true,
            ..Query::default()
        };
        let names = listener.join_all(query)?;
        if !names.is_empty() {
            self.display
                .note(&format!("Attaching to {}", names.join(", ")));
        }
        if course.aborting {
            return self.abort(course);
        }
        Ok(())
    }

    fn ended(
        &self,
        course: &mut Course,
        container: &str,
        service: &str,
        exit: Option<u8>,
    ) -> Result<(), Failure> {
        if let Some(exit) = exit {
            let how = format!("exited with code {exit}");
            self.printer.ended(self.short(container), &how)?;
        }
        if !self.flags.aborts(exit.is_some_and(|exit| exit != 0)) {
            return Ok(());
        }
        if !course.decided
            && self
                .flags
                .exit_code_from
                .as_ref()
                .is_none_or(|name| name == service)
        {
            course.code = exit.unwrap_or(0);
            course.decided = true;
        }
        course.aborting = true;
        self.abort(course)
    }

    /// Not before all are there that are to be stopped.
    fn abort(&self, course: &mut Course) -> Result<(), Failure> {
        if course.bringing_up || !course.stopping.is_idle() {
            return Ok(());
        }
        self.display.note("Aborting on container exit...");
        course.stopping.further(self)
    }

    fn short<'n>(&self, container: &'n str) -> &'n str {
        let rest = container
            .strip_prefix(&self.project.name)
            .map(|rest| rest.trim_start_matches(['-', '_']));
        rest.filter(|name| !name.is_empty()).unwrap_or(container)
    }
}

/// How far the stopping of everything is.
#[derive(Debug)]
enum Stopping {
    No,
    Going(JoinHandle<()>),
    Done,
}

impl Stopping {
    fn goes_on(&self) -> bool {
        matches!(self, Self::Going(_))
    }

    fn is_idle(&self) -> bool {
        matches!(self, Self::No)
    }

    fn look(&mut self) {
        if let Self::Going(thread) = self
            && thread.is_finished()
        {
            *self = Self::Done;
        }
    }

    /// The first wish stops gracefully, the second kills.
    fn further(&mut self, stay: &Stay<'_>) -> Result<(), Failure> {
        let gracefully = self.is_idle();
        self.go(stay, gracefully)
    }

    fn kill(&mut self, stay: &Stay<'_>) -> Result<(), Failure> {
        self.go(stay, false)
    }

    fn go(&mut self, stay: &Stay<'_>, gracefully: bool) -> Result<(), Failure> {
        // What is drawn from now on is the stopping's own.
        stay.display.set_menu(None);
        stay.display
            .note(if gracefully { GRACEFULLY } else { "Killing..." });
        let (ctx, display) = (stay.call.ctx()?.clone(), stay.display.clone());
        let flags = stay.flags;
        let stops: Vec<String> = stay
            .project
            .services
            .iter()
            .map(|service| service.name.clone())
            .filter(|name| flags.stops(name))
            .collect();
        let (project, parallel, timeout) = (
            stay.project.clone(),
            stay.call.parallel(),
            stay.flags.timeout,
        );
        // Not in the scope of the stay: a second Ctrl-C must not wait for it.
        *self = Self::Going(std::thread::spawn(move || {
            let Ok(all) = observe::containers(&ctx, &project.name) else {
                return;
            };
            let concerned = |c: &&Container| !c.oneoff && stops.contains(&c.service);
            let containers: Vec<_> = all.iter().filter(concerned).collect();
            let mut plan = match gracefully {
                true => lifecycle::stop(&containers, timeout),
                false => lifecycle::kill(&containers, "SIGKILL"),
            };
            hooks::insert(&mut plan, &project);
            let interrupted = AtomicBool::new(false);
            let run = execute::Run {
                ctx: &ctx,
                progress: &display,
                parallel,
                interrupted: &interrupted,
            };
            // A step that fails is shown by the display; the containers' own ends tell the rest.
            let _ = execute::execute(run, &plan);
        }));
        Ok(())
    }
}
