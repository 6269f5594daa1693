//! `/containers/{id}/archive`: files of a container as a tar, read and written beneath its root.

use crate::server::Server;
use crate::server::error::ApiError;
use crate::server::reply::Reply;
use crate::server::request::Asked;
use crate::server::route::Answer;
use base64::Engine as _;
use engine::container::names::resolve;
use engine::container::record::ContainerRecord;
use engine::copy::{Kind, Owner, Stat, View, normal, pack, unpack};
use hyper::StatusCode;
use serde_json::json;
use std::path::PathBuf;

const STAT: &str = "x-docker-container-path-stat";

/// What a path of a container is, and the name it has in an archive.
struct Found {
    view: View,
    path: PathBuf,
    stat: Stat,
    name: String,
    /// A link at its end stands for what it leads to.
    follow: bool,
}

fn find(server: &Server, asked: &Asked, record: &ContainerRecord) -> Result<Found, ApiError> {
    let text = asked.query.need("path")?;
    let follow = text.ends_with('/') || text.ends_with("/.");
    let path = normal(text);
    let view = View::container(&server.ctx, record)?;
    let missing = || {
        ApiError::not_found(format!(
            "Could not find the file {text} in container {}",
            record.name
        ))
    };
    let stat = view.stat(&path, follow)?.ok_or_else(missing)?;
    let name = path.file_name().map_or_else(
        || ".".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    );
    Ok(Found {
        view,
        path,
        stat,
        name,
        follow,
    })
}

impl Found {
    fn header(&self) -> String {
        let name = match self.name.as_str() {
            "." => "/",
            name => name,
        };
        let mtime = engine::Timestamp(self.stat.mtime.saturating_mul(1_000_000_000));
        let value = json!({
            "name": name,
            "size": self.stat.size,
            "mode": go_mode(&self.stat),
            "mtime": mtime.to_string(),
            "linkTarget": "",
        });
        base64::engine::general_purpose::STANDARD.encode(value.to_string())
    }
}

/// Go's `os.FileMode`, in which the kinds of files are the upper bits.
fn go_mode(stat: &Stat) -> u32 {
    let mut mode = stat.mode & 0o777;
    mode |= match stat.mode & 0o170_000 {
        0o040_000 => 1 << 31,
        0o120_000 => 1 << 27,
        0o060_000 => 1 << 26,
        0o020_000 => (1 << 26) | (1 << 21),
        0o010_000 => 1 << 25,
        0o140_000 => 1 << 24,
        _ => 0,
    };
    for (bit, go) in [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)] {
        if stat.mode & bit != 0 {
            mode |= go;
        }
    }
    mode
}

pub(super) fn stat(server: &Server, asked: &Asked, id: &str) -> Answer {
    let record = resolve(&server.ctx, id)?;
    let found = find(server, asked, &record)?;
    let mut reply = Reply::empty(StatusCode::OK);
    reply.headers.push((STAT, found.header()));
    Ok(reply)
}

pub(super) fn get(server: &Server, asked: &Asked, record: &ContainerRecord) -> Answer {
    let found = find(server, asked, record)?;
    let header = found.header();
    let mut reply = Reply::stream("application/x-tar", move |out| {
        pack(&found.view, &found.path, &found.name, found.follow, out)
            .map_err(std::io::Error::other)
    });
    reply.headers.push((STAT, header));
    Ok(reply)
}

pub(super) fn put(server: &Server, mut asked: Asked, id: &str) -> Answer {
    let record = resolve(&server.ctx, id)?;
    let found = find(server, &asked, &record)?;
    let kind = found.view.stat(&found.path, true)?.map(|stat| stat.kind);
    if kind != Some(Kind::Directory) {
        return Err(ApiError::bad("extraction point is not a directory"));
    }
    unpack(&found.view, &found.path, Owner::Keep, &mut asked.body)?;
    // What comes after the archive's end is read, so that the connection can go on.
    let _ = std::io::copy(&mut asked.body, &mut std::io::sink());
    Ok(Reply::empty(StatusCode::OK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_gos() {
        let of = |mode| {
            go_mode(&Stat {
                kind: Kind::Other,
                mode,
                size: 0,
                mtime: 0,
            })
        };
        assert_eq!(of(0o100_644), 0o644);
        assert_eq!(of(0o040_755), 0x8000_01ed);
        assert_eq!(of(0o104_755), 0o755 | 1 << 23);
        assert_eq!(of(0o041_777), 0o777 | 1 << 31 | 1 << 20);
    }
}
