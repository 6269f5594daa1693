//! Progress as Docker's documents, one a line.
//!
//! What fails before there is anything to tell is an ordinary error; later it is a document in the stream.

use crate::server::activity::Busy;
use crate::server::body::{Download, Outgoing};
use crate::server::error::ApiError;
use crate::server::reply::{Body, Reply};
use crate::server::route::Answer;
use image::{LayerEvent, Progress, Status};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Between two documents about bytes of one layer.
const TICK: Duration = Duration::from_millis(100);

/// Tells a long operation to a client.
#[derive(Debug)]
pub(crate) struct Told {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    out: Download,
    /// Told when there is something, or when it fails before.
    begun: Option<Sender<Result<(), ApiError>>>,
    layers: BTreeMap<String, (Status, Instant)>,
    quiet: bool,
}

impl Told {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn document(&self, value: &Value) {
        self.begin();
        let mut inner = self.inner();
        // A client that has gone does not end what it asked for.
        let _ = inner.out.document(value);
    }

    /// From here on what fails is told in the stream.
    pub(crate) fn begin(&self) {
        if let Some(begun) = self.inner().begun.take() {
            let _ = begun.send(Ok(()));
        }
    }

    fn end(self, result: Result<(), ApiError>) {
        let mut inner = self
            .inner
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        match (result, inner.begun.take()) {
            (result, Some(begun)) => drop(begun.send(result)),
            (Err(error), None) => drop(inner.out.document(&failure(&error))),
            (Ok(()), None) => {}
        }
        let _ = inner.out.flush();
    }
}

fn failure(error: &ApiError) -> Value {
    let mut detail = json!({ "message": error.message });
    if let (Some(code), Some(map)) = (error.code, detail.as_object_mut()) {
        map.insert("code".into(), code.into());
    }
    json!({ "errorDetail": detail, "error": error.message })
}

/// Does something long on a thread of its own and answers with what it tells.
pub(crate) fn tell(
    busy: Busy,
    quiet: bool,
    work: impl FnOnce(&Told) -> Result<(), ApiError> + Send + 'static,
) -> Answer {
    let (out, outgoing) = Download::new();
    let (begun, hear) = channel();
    let told = Told {
        inner: Mutex::new(Inner {
            out,
            begun: Some(begun),
            layers: BTreeMap::new(),
            quiet,
        }),
    };
    std::thread::spawn(move || {
        let result = work(&told);
        told.end(result);
        drop(busy);
    });
    match hear.recv() {
        Ok(Ok(())) => Ok(streamed(outgoing)),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(ApiError::server("it ended without a word")),
    }
}

fn streamed(outgoing: Outgoing) -> Reply {
    Reply::new(Body::Coming(outgoing))
}

/// `[=====>     ]  1.2MB/3.4MB`, as Docker's command shows it.
fn bar(current: u64, total: u64) -> String {
    let size = model::size::format_decimal;
    if total == 0 {
        return size(current);
    }
    let done = usize::try_from(current.min(total) * 50 / total).unwrap_or(50);
    let line = match done {
        50 => "=".repeat(50),
        done => format!("{}>{}", "=".repeat(done), " ".repeat(49 - done)),
    };
    format!("[{line}]  {}/{}", size(current), size(total))
}

impl Progress for Told {
    fn layer(&self, event: LayerEvent<'_>) {
        {
            let mut inner = self.inner();
            if inner.quiet {
                return;
            }
            let now = Instant::now();
            let known = inner.layers.get(event.id).copied();
            let is_more = known.is_some_and(|(status, at)| {
                status == event.status && now.duration_since(at) < TICK
            });
            if is_more {
                return;
            }
            inner
                .layers
                .insert(event.id.to_owned(), (event.status, now));
        }
        let detail = match event.total {
            0 => json!({}),
            total => json!({ "current": event.current, "total": total }),
        };
        let mut value = json!({
            "status": event.status.text(),
            "progressDetail": detail,
            "id": event.id,
        });
        let counts = matches!(
            event.status,
            Status::Downloading | Status::Extracting | Status::Pushing | Status::Loading
        );
        if let Some(map) = value.as_object_mut()
            && counts
            && event.total > 0
        {
            map.insert("progress".into(), bar(event.current, event.total).into());
        }
        self.document(&value);
    }

    fn line(&self, text: &str) {
        self.document(&json!({ "status": text }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_its_code_where_there_is_one() {
        let mut error = ApiError::bad("no");
        let told = json!({ "errorDetail": { "message": "no" }, "error": "no" });
        assert_eq!(failure(&error), told);
        error.code = Some(3);
        assert_eq!(failure(&error)["errorDetail"]["code"], 3);
    }

    #[test]
    fn a_bar_is_fifty_characters_whatever_it_is_told() {
        for (current, total) in [
            (0, 7),
            (3, 7),
            (7, 7),
            (9, 7),
            (u64::MAX / 64, u64::MAX / 64),
        ] {
            let text = bar(current, total);
            assert_eq!(text.split(']').next().unwrap().len(), 51, "{text}");
        }
        assert_eq!(bar(1000, 0), "1kB");
    }
}
