//! What carrying out a plan tells while it goes on. How it looks is the caller's business.

/// Receives events; called from several threads at once.
pub trait Progress: Sync {
    fn event(&self, event: Event<'_>);

    /// A warning, told as soon as it is known.
    fn warning(&self, text: &str);
}

/// The state of one thing.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// `Container shop-web-1`, `Network shop_default`, `redis` (an image).
    pub id: &'a str,
    /// `Creating`, `Started`.
    pub text: &'a str,
    pub state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Working,
    Done,
    Warning,
    Failed,
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: Event<'_>) {}
    fn warning(&self, _: &str) {}
}
