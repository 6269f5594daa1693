//! What an entry of a layer's archive asks for, before anything is looked up: whiteouts are told from files, and paths that lead
//! outside are refused. Source: OCI image-spec `layer.md`; Docker `pkg/archive/diff.go`.

use crate::layer::root::{as_path, components};
use crate::layer::unpack::Error;
use crate::tarball::{Entry, Kind};

const WHITEOUT: &[u8] = b".wh.";
const WHITEOUT_META: &[u8] = b".wh..wh.";
const WHITEOUT_OPAQUE: &[u8] = b".wh..wh..opq";

/// One entry's request. Paths are from the layer's root, without `.`, `..` and empty parts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    /// Book-keeping of aufs, or of nobody.
    Nothing,
    /// The attributes of the layer's own root.
    Root,
    /// What layers below have in this directory does not count.
    Opaque { directory: Vec<u8> },
    /// What layers below have under this name does not count.
    Whiteout(Place<'a>),
    /// Something is here.
    Make(Place<'a>),
}

/// A name in a directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    pub(crate) parents: Vec<&'a [u8]>,
    pub(crate) name: &'a [u8],
}

impl Place<'_> {
    pub(crate) fn parent(&self) -> Vec<u8> {
        self.parents.join(&b'/')
    }

    pub(crate) fn path(&self) -> Vec<u8> {
        let mut path = self.parent();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(self.name);
        path
    }
}

impl<'a> Request<'a> {
    pub(crate) fn of(entry: &'a Entry) -> Result<Self, Error> {
        let breakout = || Error::Breakout {
            path: as_path(&entry.path).into(),
        };
        let mut parents = components(&entry.path).ok_or_else(breakout)?;
        let Some(name) = parents.pop() else {
            return match entry.kind {
                Kind::Directory => Ok(Self::Root),
                _ => Err(breakout()),
            };
        };
        // aufs kept its book-keeping in directories of such names; other `.wh.` directories mean nothing, and
        // would turn into whiteouts when the layer is packed again.
        let mut marked = parents
            .iter()
            .filter(|p| p.starts_with(WHITEOUT))
            .peekable();
        if marked.peek().is_some() {
            return match marked.all(|p| p.starts_with(WHITEOUT_META)) {
                true => Ok(Self::Nothing),
                false => Err(whiteout(&entry.path)),
            };
        }
        if name == WHITEOUT_OPAQUE {
            let directory = parents.join(&b'/');
            return Ok(Self::Opaque { directory });
        }
        if name.starts_with(WHITEOUT_META) {
            return Ok(Self::Nothing); // .wh..wh.plnk, .wh..wh.aufs
        }
        match name.strip_prefix(WHITEOUT) {
            Some(b"" | b"." | b"..") => Err(whiteout(&entry.path)),
            Some(name) => Ok(Self::Whiteout(Place { parents, name })),
            None => Ok(Self::Make(Place { parents, name })),
        }
    }
}

fn whiteout(path: &[u8]) -> Error {
    Error::Whiteout {
        path: as_path(path).into(),
    }
}
