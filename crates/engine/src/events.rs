//! Events: one JSON line each, appended to `<run>/events`; readers follow the file.
//!
//! The line is Docker's event message (Engine API `SystemEvents`). One `write(2)` with `O_APPEND` per event,
//! so lines of several processes never mix. Past 4 MiB the file becomes `events.1`.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::timestamp::Timestamp;
use model::filter::Filters;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The keys of `events --filter`.
pub const FILTERS: &[&str] = &[
    "container",
    "event",
    "image",
    "label",
    "network",
    "volume",
    "type",
    "scope",
    "daemon",
    "plugin",
    "node",
];

const ROTATE_AT: u64 = 4 << 20;

/// One event, in Docker's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    #[serde(rename = "Type")]
    pub kind: String,
    #[serde(rename = "Action")]
    pub action: String,
    #[serde(rename = "Actor")]
    pub actor: Actor,
    pub scope: String,
    pub time: i64,
    #[serde(rename = "timeNano")]
    pub time_nano: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(rename = "Attributes")]
    pub attributes: BTreeMap<String, String>,
}

impl Event {
    /// Whether the filters let it through.
    pub fn fits(&self, filters: &Filters) -> bool {
        let name = self.actor.attributes.get("name").map_or("", String::as_str);
        let of_kind = |kind: &str| {
            filters.any(kind, |wanted| {
                self.kind == kind && (self.actor.id.starts_with(wanted) || name == wanted)
            })
        };
        let image = |wanted: &str| {
            let from = self
                .actor
                .attributes
                .get("image")
                .map_or("", String::as_str);
            let own = if self.kind == "image" { name } else { from };
            let tagless = |text: &str| text.split(':').next().unwrap_or_default().to_owned();
            own == wanted || tagless(own) == wanted
        };
        // `exec_start: ls` is the event `exec_start`.
        let action = self.action.split(": ").next().unwrap_or_default();
        filters.any("event", |wanted| wanted == self.action || wanted == action)
            && filters.matches_exact("type", &self.kind)
            && filters.matches_exact("scope", &self.scope)
            && filters.any("image", image)
            && filters.matches_labels(&self.actor.attributes)
            && ["container", "network", "volume", "daemon", "plugin", "node"]
                .into_iter()
                .all(of_kind)
    }
}

/// Appends an event. What cannot be written is lost: an event is news, never state.
pub fn emit(
    ctx: &Context,
    kind: &str,
    action: &str,
    id: &str,
    attributes: BTreeMap<String, String>,
) {
    let now = Timestamp::now();
    let event = Event {
        kind: kind.to_owned(),
        action: action.to_owned(),
        actor: Actor {
            id: id.to_owned(),
            attributes,
        },
        scope: "local".to_owned(),
        time: now.seconds(),
        time_nano: now.0,
    };
    let Ok(mut line) = serde_json::to_vec(&event) else {
        return;
    };
    line.push(b'\n');
    let path = ctx.layout.events();
    let Ok(mut file) = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&path)
    else {
        return;
    };
    let _ = file.write_all(&line);
    if file.metadata().is_ok_and(|m| m.len() > ROTATE_AT) {
        let _ = std::fs::rename(&path, rotated(&path));
    }
}

/// A container's event with Docker's attributes: image, name and all labels.
pub fn emit_container(
    ctx: &Context,
    action: &str,
    container: &crate::container::record::ContainerRecord,
    more: &[(&str, String)],
) {
    let mut attributes = container.labels.clone();
    attributes.insert("image".into(), container.spec.image.clone());
    attributes.insert("name".into(), container.name.clone());
    attributes.extend(more.iter().map(|(k, v)| ((*k).to_owned(), v.clone())));
    emit(ctx, "container", action, container.id.as_str(), attributes);
}

fn rotated(path: &Path) -> PathBuf {
    path.with_extension("1")
}

/// Reads events in order, from the oldest kept; then, asked again, those that came since.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    file: Option<BufReader<File>>,
    partial: String,
    watch: rustix::fd::OwnedFd,
}

impl Reader {
    /// Starts with the oldest event kept.
    pub fn from_start(ctx: &Context) -> Result<Self> {
        let mut reader = Self::new(ctx)?;
        reader.file = File::open(rotated(&reader.path)).ok().map(BufReader::new);
        Ok(reader)
    }

    /// Starts with the next event.
    pub fn from_now(ctx: &Context) -> Result<Self> {
        let mut reader = Self::new(ctx)?;
        if let Ok(mut file) = File::open(&reader.path) {
            use std::io::Seek;
            file.seek(std::io::SeekFrom::End(0))
                .map_err(Error::file("read", &reader.path))?;
            reader.file = Some(BufReader::new(file));
        }
        Ok(reader)
    }

    fn new(ctx: &Context) -> Result<Self> {
        use rustix::fs::inotify;
        let path = ctx.layout.events();
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
            .map_err(|e| Error::system("watch for events")(e.into()))?;
        let flags = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_FROM;
        inotify::add_watch(&watch, ctx.layout.run_root(), flags)
            .map_err(|e| Error::file("watch", ctx.layout.run_root())(e.into()))?;
        Ok(Self {
            path,
            file: None,
            partial: String::new(),
            watch,
        })
    }

    /// The next event that is already there.
    pub fn next_ready(&mut self) -> Result<Option<Event>> {
        loop {
            let Some(file) = &mut self.file else {
                match File::open(&self.path) {
                    Ok(file) => self.file = Some(BufReader::new(file)),
                    Err(_) => return Ok(None),
                }
                continue;
            };
            let read = file
                .read_line(&mut self.partial)
                .map_err(Error::file("read", &self.path))?;
            if read == 0 {
                if !self.moved_on()? {
                    return Ok(None);
                }
                continue;
            }
            if !self.partial.ends_with('\n') {
                continue;
            }
            let line = std::mem::take(&mut self.partial);
            if let Ok(event) = serde_json::from_str(&line) {
                return Ok(Some(event));
            }
        }
    }

    /// At the end of a file: is it no longer the current one? Then the current one comes next.
    fn moved_on(&mut self) -> Result<bool> {
        let Some(file) = &self.file else {
            return Ok(false);
        };
        let ours = file
            .get_ref()
            .metadata()
            .map_err(Error::file("read", &self.path))?;
        let same = std::fs::metadata(&self.path).is_ok_and(|m| m.ino() == ours.ino());
        if same {
            return Ok(false);
        }
        self.file = File::open(&self.path).ok().map(BufReader::new);
        Ok(self.file.is_some())
    }

    /// Waits until something may have happened, at most `timeout` (`None`: for ever).
    pub fn wait(&self, timeout: Option<Duration>) -> Result<()> {
        crate::watch::drain_after_poll(&self.watch, timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::context;

    fn say(ctx: &Context, action: &str) {
        emit(ctx, "container", action, "id", BTreeMap::new());
    }

    fn ready(reader: &mut Reader) -> Vec<String> {
        std::iter::from_fn(|| reader.next_ready().unwrap())
            .map(|e| e.action)
            .collect()
    }

    #[test]
    fn a_reader_sees_all_that_is_kept_and_what_comes() {
        let (_dir, ctx) = context();
        let mut early = Reader::from_start(&ctx).unwrap();
        assert!(ready(&mut early).is_empty());
        say(&ctx, "create");
        say(&ctx, "start");
        assert_eq!(ready(&mut early), ["create", "start"]);
        let mut late = Reader::from_now(&ctx).unwrap();
        say(&ctx, "die");
        assert_eq!(ready(&mut late), ["die"]);
        assert_eq!(ready(&mut early), ["die"]);
        assert_eq!(
            ready(&mut Reader::from_start(&ctx).unwrap()),
            ["create", "start", "die"]
        );
    }

    #[test]
    fn nothing_is_lost_when_the_file_is_changed_for_a_new_one() {
        let (_dir, ctx) = context();
        say(&ctx, "first");
        let mut reader = Reader::from_start(&ctx).unwrap();
        assert_eq!(ready(&mut reader), ["first"]);
        say(&ctx, "second");
        let path = ctx.layout.events();
        std::fs::rename(&path, rotated(&path)).unwrap();
        say(&ctx, "third");
        assert_eq!(ready(&mut reader), ["second", "third"]);
        assert_eq!(
            ready(&mut Reader::from_start(&ctx).unwrap()),
            ["first", "second", "third"]
        );
    }

    #[test]
    fn the_file_is_changed_when_it_is_full() {
        let (_dir, ctx) = context();
        let path = ctx.layout.events();
        let file = File::create(&path).unwrap();
        file.set_len(ROTATE_AT).unwrap();
        say(&ctx, "last");
        assert!(!path.exists() && rotated(&path).exists());
    }

    #[test]
    fn half_a_line_waits_for_its_rest_and_a_damaged_one_is_passed_over() {
        let (_dir, ctx) = context();
        say(&ctx, "one");
        let path = ctx.layout.events();
        let whole = std::fs::read_to_string(&path).unwrap();
        let (head, tail) = whole.split_at(20);
        std::fs::write(&path, format!("damaged\n{head}")).unwrap();
        let mut reader = Reader::from_start(&ctx).unwrap();
        assert!(ready(&mut reader).is_empty());
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(tail.as_bytes()).unwrap();
        assert_eq!(ready(&mut reader), ["one"]);
    }
}
