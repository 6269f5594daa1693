//! The files of an image, in memory, with the kernel's rules for finding one by its path.

use std::collections::BTreeMap;

/// What one file, directory, link or device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub attributes: Attributes,
    pub body: Body,
}

/// What every kind of file has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Permissions with the set-id and sticky bits; the kind of file is in [`Body`].
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    /// Seconds and nanoseconds since 1970.
    pub mtime: (i64, u32),
    /// Extended attributes by their whole names: `user.mime_type`.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    Directory(BTreeMap<Box<[u8]>, NodeId>),
    File(Content),
    Symlink(Box<[u8]>),
    CharDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
    Fifo,
}

/// Where the bytes of a file are in the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// In one piece that begins at a block.
    Flat { offset: u64, size: u64 },
    /// In pieces of equal size, with holes between them.
    Sparse { size: u64, chunks: Chunks },
}

/// The pieces of a sparse file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunks {
    /// The size of a piece is the block's, doubled so many times.
    pub doublings: u8,
    /// The offset of each piece, `None` where there is a hole.
    pub offsets: Vec<Option<u64>>,
}

/// A node of one [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

/// Why a path leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    #[error("no such file or directory")]
    NoEntry,
    #[error("not a directory")]
    NotDirectory,
    #[error("too many levels of symbolic links")]
    Loop,
}

/// A file system's files. A node that no directory names any more is not written.
#[derive(Debug, Clone)]
pub struct Tree {
    nodes: Vec<Node>,
}

/// How many links the kernel follows on one path. Source: path_resolution(7).
const LINKS: usize = 40;

impl Tree {
    pub const ROOT: NodeId = NodeId(0);

    /// Nothing but a root directory.
    pub fn new(root: Attributes) -> Self {
        let body = Body::Directory(BTreeMap::new());
        Self {
            nodes: vec![Node {
                attributes: root,
                body,
            }],
        }
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }

    /// How many nodes were ever made: more than 4 billion are refused by never being read from an archive.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Never: there is a root.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Puts a new node into a directory, in place of what had the name.
    pub fn insert(&mut self, directory: NodeId, name: &[u8], node: Node) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(node);
        self.link(directory, name, id);
        id
    }

    /// Gives a node another name; what had it loses it.
    pub fn link(&mut self, directory: NodeId, name: &[u8], id: NodeId) {
        if let Body::Directory(children) = &mut self.node_mut(directory).body {
            children.insert(name.into(), id);
        }
    }

    /// Takes a name away, with all that lies below it.
    pub fn remove(&mut self, directory: NodeId, name: &[u8]) {
        if let Body::Directory(children) = &mut self.node_mut(directory).body {
            children.remove(name);
        }
    }

    /// What has the name in a directory, links not followed.
    pub fn child(&self, directory: NodeId, name: &[u8]) -> Option<NodeId> {
        match &self.node(directory).body {
            Body::Directory(children) => children.get(name).copied(),
            _ => None,
        }
    }

    pub fn is_directory(&self, id: NodeId) -> bool {
        matches!(self.node(id).body, Body::Directory(_))
    }

    /// The directory at a path from the root: links are followed as if the root were `/`, and `..` does not lead above it.
    pub fn directory(&self, path: &[u8]) -> Result<NodeId, LookupError> {
        let mut trail = vec![Self::ROOT];
        let mut todo: Vec<&[u8]> = path.split(|b| *b == b'/').rev().collect();
        let mut followed = 0;
        while let Some(part) = todo.pop() {
            let here = *trail.last().unwrap_or(&Self::ROOT);
            match part {
                b"" | b"." => continue,
                b".." => {
                    if trail.len() > 1 {
                        trail.pop();
                    }
                    continue;
                }
                _ => {}
            }
            let id = self.child(here, part).ok_or(LookupError::NoEntry)?;
            match &self.node(id).body {
                Body::Directory(_) => trail.push(id),
                Body::Symlink(target) => {
                    followed += 1;
                    if followed > LINKS {
                        return Err(LookupError::Loop);
                    }
                    if target.first() == Some(&b'/') {
                        trail.truncate(1);
                    }
                    todo.extend(target.split(|b| *b == b'/').rev());
                }
                _ => return Err(LookupError::NotDirectory),
            }
        }
        Ok(*trail.last().unwrap_or(&Self::ROOT))
    }

    /// Every node that a path leads to, each once, parents before what is in them.
    pub(crate) fn reachable(&self) -> Vec<NodeId> {
        let mut seen = vec![false; self.nodes.len()];
        let mut order = Vec::new();
        let mut todo = vec![Self::ROOT];
        while let Some(id) = todo.pop() {
            if std::mem::replace(&mut seen[id.0 as usize], true) {
                continue;
            }
            order.push(id);
            if let Body::Directory(children) = &self.node(id).body {
                todo.extend(children.values().rev());
            }
        }
        order
    }
}

impl NodeId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

impl Content {
    pub fn size(&self) -> u64 {
        match self {
            Self::Flat { size, .. } | Self::Sparse { size, .. } => *size,
        }
    }
}
