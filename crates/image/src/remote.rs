//! The registries that may have one image, as one source: what one cannot give, or gives wrong, the next is asked for, from the byte
//! on where the one before broke off.

use crate::content;
use crate::error::{Error, Place};
use crate::fetch::Source;
use crate::registry::endpoint::Role;
use crate::registry::memory::Memory;
use crate::registry::{self, Registry, RegistryOptions};
use oci::{Descriptor, Reference};
use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// So many of the places that a manifest names for a layer are asked.
const FOREIGN: usize = 4;

/// Everyone who may have an image, in the order they are asked.
pub(crate) struct Remote {
    registries: Vec<Registry>,
    memory: Memory,
    by_digest: bool,
}

impl Remote {
    pub(crate) fn open(
        options: &RegistryOptions,
        reference: &Reference,
        memory: Memory,
    ) -> Result<Self, Error> {
        let mut registries = Registry::all(options, reference)?;
        // Who failed a short while ago is asked after all others, not left out.
        let is_down =
            |r: &Registry| r.endpoint().role == Role::Mirror && memory.is_down(&r.endpoint().host);
        registries.sort_by_cached_key(is_down);
        Ok(Self {
            registries,
            memory,
            by_digest: reference.digest().is_some(),
        })
    }

    /// Those who are asked for the manifest: a tag is the business of who may say what it stands for.
    pub(crate) fn resolving(&self) -> impl Iterator<Item = usize> {
        let asked = |r: &Registry| {
            if self.by_digest {
                r.endpoint().pull
            } else {
                r.endpoint().resolve
            }
        };
        (0..self.registries.len()).filter(move |at| asked(&self.registries[*at]))
    }

    pub(crate) fn registry(&self, at: usize) -> &Registry {
        &self.registries[at]
    }

    pub(crate) fn place(&self, at: usize, error: &Error) -> Place {
        Place {
            name: self.registries[at].endpoint().describe(),
            answer: chain(error),
        }
    }

    /// Remembers how one did.
    pub(crate) fn remember(&self, at: usize, result: Result<(), &registry::Error>) {
        let endpoint = self.registries[at].endpoint();
        match result {
            Ok(()) => self.memory.clear(&endpoint.host),
            Err(error) => self.memory.note(&endpoint.host, error),
        }
    }

    /// Whether, after `error`, the next may be asked: this one cannot be reached, does not have the image or give it; a mirror may
    /// also have given something wrong.
    pub(crate) fn goes_on(&self, at: usize, error: &Error) -> bool {
        use content::Error::{Digest, Size, TooLarge};
        let is_mirror = self.registries[at].endpoint().role == Role::Mirror;
        match error {
            Error::Registry(_) | Error::Nowhere { .. } => true,
            Error::Content(Digest { .. } | Size { .. } | TooLarge { .. }) => is_mirror,
            Error::Signature(error) => is_mirror && error.is_about_place(),
            Error::Manifest { .. } | Error::Config { .. } | Error::LayerCount { .. } => is_mirror,
            _ => false,
        }
    }

    /// The blobs of the manifest that `at` gave: from those before it that only were not asked, from itself, from those behind it.
    pub(crate) fn blobs(&self, at: usize) -> Blobs<'_> {
        let all = self.registries.iter().enumerate();
        let able = all.filter(|(i, r)| r.endpoint().pull && (*i >= at || !r.endpoint().resolve));
        Blobs {
            remote: self,
            places: able.map(|(i, _)| i).collect(),
            current: AtomicUsize::new(0),
        }
    }
}

/// All causes in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let direct = error.downcast_ref::<registry::Error>();
    let within = error.downcast_ref::<Error>().and_then(|e| match e {
        Error::Registry(e) => Some(e),
        _ => None,
    });
    // Its text is the innermost cause already.
    if let Some(connect @ registry::Error::Connect { .. }) = direct.or(within) {
        return connect.to_string();
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = next.source();
    }
    text
}

/// A [`Source`] of one image's blobs.
pub(crate) struct Blobs<'a> {
    remote: &'a Remote,
    places: Vec<usize>,
    /// Where in `places` the next blob is asked for.
    current: AtomicUsize,
}

impl Blobs<'_> {
    /// How long to wait for the place that is so many after the current one, and what for is told.
    fn pause(&self, error: &registry::Error, attempt: u32, after: usize) -> Option<Duration> {
        let pause = registry::pause(error, attempt)?;
        let at = (self.current.load(Ordering::SeqCst) + after) % self.places.len().max(1);
        if let Some(place) = self.places.get(at) {
            self.remote.registries[*place].tell_wait(error, pause);
        }
        Some(pause)
    }

    fn go_on_from(&self, current: usize) {
        let next = (current + 1) % self.places.len().max(1);
        // Another layer's thread may have gone on already.
        let _ = self
            .current
            .compare_exchange(current, next, Ordering::SeqCst, Ordering::SeqCst);
    }
}

impl Source for Blobs<'_> {
    fn place(&self) -> String {
        let current = self.current.load(Ordering::SeqCst);
        let at = self.places.get(current).copied().unwrap_or_default();
        self.remote.registries[at].endpoint().describe()
    }

    fn open(&self, blob: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send>, Error> {
        let (start, count) = (self.current.load(Ordering::SeqCst), self.places.len());
        let mut failures: Vec<(usize, registry::Error)> = Vec::new();
        for step in 0..count {
            let current = (start + step) % count;
            let at = self.places[current];
            let registry = &self.remote.registries[at];
            match registry.blob(&registry.endpoint().repository, &blob.digest, offset) {
                Ok(stream) => {
                    // One blob that a mirror lacks does not send the others past it.
                    let is_outage = failures.iter().any(|(_, e)| e.is_outage());
                    if is_outage {
                        self.current.store(current, Ordering::SeqCst);
                    }
                    return Ok(stream);
                }
                Err(error) => {
                    self.remote.remember(at, Err(&error));
                    failures.push((at, error));
                }
            }
        }
        // Layers that may not be handed on lie where their maker keeps them.
        if let Some(&at) = self.places.get(start) {
            let registry = &self.remote.registries[at];
            let away = blob.urls.iter().filter(|url| url.contains("://"));
            for url in away.take(FOREIGN) {
                match registry.foreign(url, &blob.digest, offset) {
                    Ok(stream) => return Ok(stream),
                    Err(error) => failures.push((at, error)),
                }
            }
        }
        let place = |(at, error): &(usize, registry::Error)| Place {
            name: self.remote.registries[*at].endpoint().describe(),
            answer: chain(error),
        };
        let places = failures.iter().map(place).collect();
        match failures.pop() {
            Some((_, error)) if failures.is_empty() => Err(error.into()),
            Some((_, source)) => Err(Error::Nowhere {
                blob: blob.digest.clone(),
                places: crate::error::Places(places),
                last: Box::new(source),
            }),
            None => Err(Error::Fetch {
                blob: blob.digest.clone(),
                place: "any registry".into(),
                source: io::ErrorKind::NotFound.into(),
            }),
        }
    }

    fn again(&self, failure: &Error, attempt: u32) -> Option<Duration> {
        match failure {
            Error::Registry(error) => self.pause(error, attempt, 0),
            Error::Nowhere { last, .. } => {
                self.pause(last, attempt, self.places.len().saturating_sub(1))
            }
            // The body broke off: the connection, not the registry.
            Error::Fetch { source, .. } if attempt < 5 => {
                if attempt > 1 || source.kind() == io::ErrorKind::TimedOut {
                    self.go_on_from(self.current.load(Ordering::SeqCst));
                }
                Some(Duration::from_millis(250 << attempt))
            }
            _ => None,
        }
    }

    fn places(&self) -> usize {
        self.places.len()
    }

    fn was_wrong(&self) {
        self.go_on_from(self.current.load(Ordering::SeqCst));
    }
}
