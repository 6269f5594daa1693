//! The same archive without a file being made: a tree in memory of what each entry would have made, and where in the stream its data
//! is. Order, duplicates, whiteouts and links mean what they mean in [`unpack`](super::unpack): tests hold the two together.

use crate::layer::request::{Place, Request};
use crate::layer::root::{self, OPAQUE, as_path, components};
use crate::layer::unpack::{Error, Unpacked, failed};
use crate::tarball::{Entry, Kind, Limits, Reader};
use erofs::{Attributes, Body, Content, LookupError, NAME_MAX, Node, NodeId, Tree};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io::BufRead;

/// The files of an archive.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) tree: Tree,
    pub(crate) sparse: Vec<Pieces>,
    pub(crate) unpacked: Unpacked,
}

/// The data of a sparse file, which stands in the stream without its holes.
#[derive(Debug)]
pub(crate) struct Pieces {
    pub(crate) node: NodeId,
    pub(crate) size: u64,
    /// Where the first piece is in the image.
    pub(crate) start: u64,
    /// Where in the file each piece goes, and its length.
    pub(crate) map: Vec<(u64, u64)>,
}

/// Reads the stream up to the archive's end. Its first byte stands at byte `base` of the image.
pub(crate) fn index(stream: impl BufRead, base: u64, limits: Limits) -> Result<Index, Error> {
    let mut reader = Reader::new(stream, limits);
    let mut indexer = Indexer {
        base,
        implied: BTreeMap::new(),
        parent: None,
        done: Index {
            // 0755: the default for a root no entry describes.
            tree: Tree::new(implied()),
            sparse: Vec::new(),
            unpacked: Unpacked::default(),
        },
    };
    while let Some(entry) = reader.next()? {
        indexer.apply(&entry, reader.position())?;
    }
    indexer.done.unpacked.implied = indexer.implied.into_keys().collect();
    Ok(indexer.done)
}

struct Indexer {
    base: u64,
    implied: BTreeMap<Vec<u8>, ()>,
    /// The directory the last entry was in: archives list a directory's files one after the other.
    parent: Option<(Vec<u8>, NodeId)>,
    done: Index,
}

/// A directory that nothing described.
fn implied() -> Attributes {
    Attributes {
        mode: 0o755,
        ..Attributes::default()
    }
}

const WHITEOUT: Body = Body::CharDevice { major: 0, minor: 0 };

/// As many bits of a device's number as the kernel takes.
fn number((major, minor): (u32, u32)) -> (u32, u32) {
    (major & 0xfff, minor & 0xf_ffff)
}

fn errno(error: LookupError) -> Errno {
    match error {
        LookupError::NoEntry => Errno::NOENT,
        LookupError::NotDirectory => Errno::NOTDIR,
        LookupError::Loop => Errno::LOOP,
    }
}

impl Indexer {
    fn apply(&mut self, entry: &Entry, position: u64) -> Result<(), Error> {
        match Request::of(entry)? {
            Request::Nothing => Ok(()),
            Request::Root => {
                self.describe(Tree::ROOT, entry);
                Ok(())
            }
            Request::Opaque { directory } => {
                let at = self.enter(&components(&directory).unwrap_or_default())?;
                self.set_opaque(at);
                Ok(())
            }
            Request::Whiteout(place) => self.whiteout(&place),
            Request::Make(place) => {
                let parent = self.enter(&place.parents)?;
                self.make(entry, position, parent, &place)
            }
        }
    }

    fn tree(&mut self) -> &mut Tree {
        &mut self.done.tree
    }

    /// The directory an entry stands in, made where it is missing.
    fn enter(&mut self, parents: &[&[u8]]) -> Result<NodeId, Error> {
        let path = parents.join(&b'/');
        match &self.parent {
            Some((known, id)) if *known == path => return Ok(*id),
            _ => {}
        }
        match self.tree().directory(&path) {
            Ok(id) => {
                self.parent = Some((path, id));
                return Ok(id);
            }
            Err(LookupError::NoEntry | LookupError::NotDirectory) => {}
            Err(LookupError::Loop) => {
                return Err(Error::Breakout {
                    path: as_path(&path).into(),
                });
            }
        }
        let mut dir = Tree::ROOT;
        for depth in 1..=parents.len() {
            dir = self.enter_one(dir, parents[depth - 1], &parents[..depth].join(&b'/'))?;
        }
        Ok(dir)
    }

    fn enter_one(&mut self, dir: NodeId, name: &[u8], path: &[u8]) -> Result<NodeId, Error> {
        match self.tree().directory(path) {
            Ok(id) => return Ok(id),
            Err(LookupError::NoEntry | LookupError::NotDirectory) => {}
            Err(e) => return Err(failed("open", path, errno(e))),
        }
        // A dangling link or a file in the way gives way, as it does when an entry of that name comes.
        let id = self.new_directory(dir, name, path)?;
        self.tree().node_mut(id).attributes.mode = 0o755;
        self.implied.insert(path.to_vec(), ());
        Ok(id)
    }

    /// A directory in place of what is there; if that was a whiteout, the directory carries its effect on.
    fn new_directory(&mut self, dir: NodeId, name: &[u8], path: &[u8]) -> Result<NodeId, Error> {
        let hid_lower = self.is_whiteout(dir, name);
        let node = Node {
            attributes: implied(),
            body: Body::Directory(BTreeMap::new()),
        };
        let id = self.put(dir, name, path, node)?;
        if hid_lower {
            self.set_opaque(id);
        }
        Ok(id)
    }

    fn put(&mut self, dir: NodeId, name: &[u8], path: &[u8], node: Node) -> Result<NodeId, Error> {
        if name.len() > NAME_MAX {
            return Err(failed("make", path, Errno::NAMETOOLONG));
        }
        self.clear(dir, name, path);
        Ok(self.tree().insert(dir, name, node))
    }

    /// Forgets what was known of a path that another thing will have.
    fn clear(&mut self, dir: NodeId, name: &[u8], path: &[u8]) {
        if self.tree().child(dir, name).is_some() {
            self.parent = None;
            root::forget(&mut self.implied, path);
        }
    }

    fn is_whiteout(&mut self, dir: NodeId, name: &[u8]) -> bool {
        let there = self.tree().child(dir, name);
        there.is_some_and(|id| self.tree().node(id).body == WHITEOUT)
    }

    fn make(
        &mut self,
        entry: &Entry,
        position: u64,
        dir: NodeId,
        place: &Place<'_>,
    ) -> Result<(), Error> {
        let (name, path) = (place.name, place.path());
        let (major, minor) = number(entry.device);
        let body = match entry.kind {
            Kind::Directory => return self.make_directory(entry, dir, name, &path),
            Kind::HardLink => return self.make_link(entry, dir, name, &path),
            Kind::File => return self.make_file(entry, position, dir, name, &path),
            Kind::Symlink if entry.link.is_empty() => {
                return Err(failed("make link", &path, Errno::NOENT));
            }
            Kind::Symlink if entry.link.len() > erofs::LINK_MAX => {
                return Err(failed("make link", &path, Errno::NAMETOOLONG));
            }
            Kind::Symlink => Body::Symlink(entry.link.as_slice().into()),
            Kind::Fifo => Body::Fifo,
            Kind::CharDevice => Body::CharDevice { major, minor },
            Kind::BlockDevice => Body::BlockDevice { major, minor },
        };
        let attributes = implied();
        let id = self.put(dir, name, &path, Node { attributes, body })?;
        self.describe(id, entry);
        Ok(())
    }

    fn make_directory(
        &mut self,
        entry: &Entry,
        dir: NodeId,
        name: &[u8],
        path: &[u8],
    ) -> Result<(), Error> {
        let id = match self.tree().child(dir, name) {
            Some(id) if self.tree().is_directory(id) => id,
            _ => self.new_directory(dir, name, path)?,
        };
        self.describe(id, entry);
        self.implied.remove(path);
        Ok(())
    }

    fn make_file(
        &mut self,
        entry: &Entry,
        position: u64,
        dir: NodeId,
        name: &[u8],
        path: &[u8],
    ) -> Result<(), Error> {
        let (offset, size) = (self.base + position, entry.size);
        let node = Node {
            attributes: implied(),
            body: Body::File(Content::Flat { offset, size }),
        };
        let id = self.put(dir, name, path, node)?;
        if let Some(map) = &entry.sparse {
            self.done.sparse.push(Pieces {
                node: id,
                size,
                start: offset,
                map: map.clone(),
            });
        }
        self.done.unpacked.size += size;
        self.describe(id, entry);
        Ok(())
    }

    fn make_link(
        &mut self,
        entry: &Entry,
        dir: NodeId,
        name: &[u8],
        path: &[u8],
    ) -> Result<(), Error> {
        let breakout = || Error::Breakout {
            path: as_path(&entry.link).into(),
        };
        let mut target = components(&entry.link).ok_or_else(breakout)?;
        let target_path = target.join(&b'/');
        let target_name = target.pop().ok_or_else(breakout)?;
        if target_path == path {
            return Ok(());
        }
        let found = match self.tree().directory(&target.join(&b'/')) {
            Ok(directory) => self.tree().child(directory, target_name),
            Err(LookupError::Loop) => return Err(failed("open", &target_path, Errno::LOOP)),
            Err(_) => None,
        };
        match found {
            None => {
                self.clear(dir, name, path);
                self.tree().remove(dir, name);
                let missing = (path.to_vec(), target_path);
                self.done.unpacked.links.push(missing);
            }
            Some(id) if self.tree().is_directory(id) => {
                return Err(failed("link to a directory at", path, Errno::PERM));
            }
            Some(_) if name.len() > NAME_MAX => {
                return Err(failed("make hard link", path, Errno::NAMETOOLONG));
            }
            Some(id) => {
                self.clear(dir, name, path);
                self.tree().link(dir, name, id);
            }
        }
        Ok(())
    }

    fn whiteout(&mut self, place: &Place<'_>) -> Result<(), Error> {
        let dir = self.enter(&place.parents)?;
        match self.tree().child(dir, place.name) {
            None => {
                let node = Node {
                    attributes: Attributes::default(),
                    body: WHITEOUT,
                };
                self.put(dir, place.name, &place.path(), node)?;
            }
            // What this layer brings itself stays, and hides the lower one anyway; a directory would merge.
            Some(id) if self.tree().is_directory(id) => self.set_opaque(id),
            Some(_) => {}
        }
        Ok(())
    }

    fn set_opaque(&mut self, directory: NodeId) {
        let attributes = &mut self.tree().node_mut(directory).attributes;
        attributes.xattrs.insert(OPAQUE.into(), b"y".to_vec());
    }

    /// Owner, mode, times and extended attributes, as the archive has them.
    fn describe(&mut self, id: NodeId, entry: &Entry) {
        let node = self.tree().node_mut(id);
        let attributes = &mut node.attributes;
        attributes.uid = entry.uid;
        attributes.gid = entry.gid;
        attributes.mtime = entry.mtime;
        attributes.mode = match entry.kind {
            Kind::Symlink => 0o777,
            _ => entry.mode as u16,
        };
        for (name, value) in entry.xattrs.iter().filter(|(n, _)| root::xattr_allowed(n)) {
            // xattr(7): the kernel gives links none, and user.* to files and directories only.
            let fits = match entry.kind {
                Kind::File | Kind::Directory => true,
                Kind::Symlink => false,
                _ => !name.starts_with(b"user."),
            };
            if fits {
                attributes.xattrs.insert(name.clone(), value.clone());
            }
        }
    }
}
