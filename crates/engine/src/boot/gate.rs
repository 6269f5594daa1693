//! Waiting for dependencies at boot, in `depends_on`'s three ways, and how far the starting of everybody is.

use crate::container::record::{ContainerRecord, Lifecycle};
use crate::container::state::{HealthStatus, State};
use crate::context::Context;
use crate::error::Result;
use crate::watch::{self, Watch};
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a dependency may take to be ready before who needs it is started without. Longer than any sensible `start_period`.
const PATIENCE: Duration = Duration::from_secs(300);

/// One entry of `depends_on`, or a container whose namespace is joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dependency {
    pub(super) name: String,
    /// A service of the same project; else the name or id of a container.
    pub(super) is_service: bool,
    pub(super) condition: Condition,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Started,
    Healthy,
    Completed,
}

impl Condition {
    pub(super) fn parse(text: &str) -> Self {
        match text {
            "service_healthy" => Self::Healthy,
            "service_completed_successfully" => Self::Completed,
            _ => Self::Started,
        }
    }
}

impl Dependency {
    /// Whether it is `other` that `container` needs.
    pub(super) fn is(&self, container: &ContainerRecord, other: &ContainerRecord) -> bool {
        if container.id == other.id {
            return false;
        }
        if !self.is_service {
            return other.name == self.name || other.id.as_str().starts_with(&self.name);
        }
        let label = |record: &ContainerRecord, key: &str| record.labels.get(key).cloned();
        let project = "com.docker.compose.project";
        // What `run` made stands for no service.
        let oneoff = label(other, "com.docker.compose.oneoff")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"));
        !oneoff
            && label(other, project) == label(container, project)
            && label(other, "com.docker.compose.service").as_ref() == Some(&self.name)
    }
}

/// Who has been started by now, and how many are at it.
#[derive(Debug)]
pub(super) struct Course {
    state: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Debug)]
struct Progress {
    /// `None`: not yet; else whether it could be started.
    started: BTreeMap<String, Option<bool>>,
    free: usize,
}

impl Course {
    pub(super) fn new<'a>(ids: impl Iterator<Item = &'a str>, at_once: usize) -> Self {
        Self {
            state: Mutex::new(Progress {
                started: ids.map(|id| (id.to_owned(), None)).collect(),
                free: at_once,
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts one when there is room for it, and lets those go on who wait for it.
    pub(super) fn start<T>(&self, id: &str, start: impl FnOnce() -> Result<T>) -> Result<T> {
        let mut progress = self.lock();
        while progress.free == 0 {
            progress = self
                .changed
                .wait(progress)
                .unwrap_or_else(PoisonError::into_inner);
        }
        progress.free -= 1;
        drop(progress);
        let result = start();
        let mut progress = self.lock();
        progress.free += 1;
        progress.started.insert(id.to_owned(), Some(result.is_ok()));
        self.changed.notify_all();
        result
    }

    /// Until a dependency is as it is wanted, or why it will not be. `starts`: it is being started beside.
    pub(super) fn wait_for(
        &self,
        ctx: &Context,
        dependency: &ContainerRecord,
        starts: bool,
        condition: Condition,
    ) -> Result<(), String> {
        if starts && !self.was_started(dependency.id.as_str()) {
            return Err("could not be started".to_owned());
        }
        let ready = match condition {
            Condition::Started => return Ok(()),
            Condition::Healthy => healthy,
            Condition::Completed => completed,
        };
        let id = dependency.id.as_str();
        let waited = Watch::containers(ctx, [id])
            .and_then(|seen| watch::until(&seen, Some(PATIENCE), || ready(ctx, dependency)));
        match waited {
            Ok(Some(verdict)) => verdict,
            Ok(None) => Err(format!("is not ready after {}s", PATIENCE.as_secs())),
            Err(error) => Err(format!("cannot be looked at: {error}")),
        }
    }

    fn was_started(&self, id: &str) -> bool {
        let mut progress = self.lock();
        loop {
            match progress.started.get(id) {
                Some(None) => {
                    progress = self
                        .changed
                        .wait(progress)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                Some(Some(started)) => return *started,
                None => return true,
            }
        }
    }
}

/// `None`: not decided yet.
type Verdict = Result<Option<Result<(), String>>>;

fn healthy(ctx: &Context, container: &ContainerRecord) -> Verdict {
    let state = State::load(ctx, container.id.as_str())?;
    if !state.is_active() {
        return Ok(Some(Err("does not run".to_owned())));
    }
    // Without a check it is as healthy as can be known.
    if container.healthcheck.is_none() {
        return Ok(Some(Ok(())));
    }
    Ok(match state.health().map(|health| health.status) {
        Some(HealthStatus::Healthy) => Some(Ok(())),
        Some(HealthStatus::Unhealthy) => Some(Err("is unhealthy".to_owned())),
        _ => None,
    })
}

/// A task that no policy starts again has done its work at the last `up`.
fn completed(ctx: &Context, container: &ContainerRecord) -> Verdict {
    let id = container.id.as_str();
    let code = match State::load(ctx, id)? {
        State::Exited(last) => last.exit_code,
        state if state.is_active() => return Ok(None),
        _ => match Lifecycle::load(ctx, id)? {
            Some(last) => last.exit_code,
            None => return Ok(Some(Err("has never run".to_owned()))),
        },
    };
    Ok(Some(match code {
        0 => Ok(()),
        code => Err(format!("ended with exit code {code}")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::fixture::{container, context};
    use model::container::ContainerSpec;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn who_needs_another_waits_until_it_was_started_and_hears_when_it_could_not() {
        let (_dir, ctx) = context();
        let db = container(&ctx, "db", ContainerSpec::default());
        let course = Course::new([db.id.as_str()].into_iter(), 1);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| course.wait_for(&ctx, &db, true, Condition::Started));
            assert!(!waiting.is_finished());
            course.start(db.id.as_str(), || Ok(())).unwrap();
            assert_eq!(waiting.join().unwrap(), Ok(()));
        });
        let refused: Result<()> =
            course.start(db.id.as_str(), || Err(Error::NotRunning("db".into())));
        assert!(refused.is_err());
        assert_eq!(
            course.wait_for(&ctx, &db, true, Condition::Started),
            Err("could not be started".into())
        );
        assert_eq!(
            course.wait_for(&ctx, &db, false, Condition::Healthy),
            Err("does not run".into())
        );
        assert_eq!(
            course.wait_for(&ctx, &db, false, Condition::Completed),
            Err("has never run".into())
        );
    }

    #[test]
    fn a_task_that_ended_is_judged_by_its_code() {
        let (_dir, ctx) = context();
        let task = container(&ctx, "task", ContainerSpec::default());
        let course = Course::new(std::iter::empty(), 1);
        for (exit_code, wanted) in [(0, Ok(())), (3, Err("ended with exit code 3".to_owned()))] {
            let last = Lifecycle {
                exit_code,
                ..Default::default()
            };
            last.save(&ctx, task.id.as_str(), ::state::Durability::Volatile)
                .unwrap();
            assert_eq!(
                course.wait_for(&ctx, &task, false, Condition::Completed),
                wanted
            );
        }
    }

    #[test]
    fn no_more_than_allowed_start_at_once() {
        let course = Course::new(std::iter::empty(), 2);
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for number in 0..16 {
                let (course, now, most) = (&course, &now, &most);
                scope.spawn(move || {
                    course
                        .start(&number.to_string(), || {
                            let at_once = now.fetch_add(1, Ordering::SeqCst) + 1;
                            most.fetch_max(at_once, Ordering::SeqCst);
                            std::thread::yield_now();
                            now.fetch_sub(1, Ordering::SeqCst);
                            Ok(())
                        })
                        .unwrap();
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 2);
    }
}
