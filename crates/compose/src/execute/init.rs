//! A container of `pre_start`: made, run to its end, removed.

use super::Cause;
use super::worker::Worker;
use crate::condition::{self, Goal};
use crate::plan::NewContainer;
use engine::container::remove::RemoveOptions;
use engine::container::start::StartOptions;
use engine::container::{names, remove, start};
use engine::logs::{Query, Reader};

impl Worker<'_> {
    pub(super) fn run_init(&self, new: &NewContainer) -> Result<(), Cause> {
        let ctx = self.run.ctx;
        // What a killed command left, or the one that failed the last time.
        self.remove_init(&new.name)?;
        self.create(new)?;
        self.with(&new.name, "start", |c| {
            start::start(ctx, c, StartOptions::default()).map(drop)
        })?;
        match condition::wait(
            ctx,
            &new.name,
            Goal::CompletedSuccessfully,
            None,
            self.run.interrupted,
        ) {
            Ok(()) => self.remove_init(&new.name),
            Err(condition::Error::Interrupted) => {
                self.remove_init(&new.name)?;
                Err(Cause::Interrupted)
            }
            Err(condition::Error::Incomplete { code, .. }) => Err(Cause::Init {
                container: new.name.clone(),
                code,
                output: self.last_line(&new.name),
            }),
            Err(error) => Err(Cause::Dependency(Box::new(error))),
        }
    }

    fn remove_init(&self, name: &str) -> Result<(), Cause> {
        let options = RemoveOptions {
            force: true,
            volumes: true,
        };
        self.if_there(name, "remove", |c| remove::remove(self.run.ctx, c, options))
    }

    /// Empty where there is none or it cannot be read: the status is told in any case.
    fn last_line(&self, name: &str) -> String {
        let ctx = self.run.ctx;
        let read = || -> engine::Result<String> {
            let record = names::resolve(ctx, name)?;
            let last = Query {
                tail: Some(1),
                ..Query::default()
            };
            let line = Reader::open(ctx, &record, last)?.next_line()?;
            Ok(line.map_or_else(String::new, |line| {
                String::from_utf8_lossy(&line.bytes).into_owned()
            }))
        };
        read().unwrap_or_default()
    }
}
