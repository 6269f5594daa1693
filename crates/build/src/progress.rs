//! What a build tells while it runs. How it looks is the caller's business.

use std::time::Duration;

/// One thing the build does, as BuildKit names it: `[stage 2/5] RUN …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Counts from 1 in the order of the Dockerfile.
    pub number: usize,
    pub name: String,
}

/// Where a line of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    Started(&'a Step),
    /// Taken from the cache: neither started nor finished is told of it.
    Cached(&'a Step),
    /// A line of the command's output, without its line end; the time since the step started.
    Output {
        step: &'a Step,
        stream: Stream,
        line: &'a [u8],
        at: Duration,
    },
    Finished {
        step: &'a Step,
        took: Duration,
    },
    Failed {
        step: &'a Step,
        took: Duration,
    },
    /// Something that is allowed and probably not meant.
    Warning(&'a str),
}

/// Receives events; called from several threads at once.
pub trait Progress: Sync {
    fn event(&self, event: Event<'_>);
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: Event<'_>) {}
}
