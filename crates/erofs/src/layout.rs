//! Where everything goes: inodes in the order in which they are found, then the blocks of directories and long links.

use crate::tree::{Body, Content, NodeId, Tree};
use crate::{BLOCK, Error, LINK_MAX, NAME_MAX, directory, xattr};

/// Bytes of an inode in its long form, which has 32 bits for owners and links, and times.
pub(crate) const INODE: u64 = 64;
/// Inodes are counted in units of this size.
pub(crate) const SLOT: u64 = 32;

/// One inode that will be written.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) id: NodeId,
    /// From the start of the metadata.
    pub(crate) at: u64,
    pub(crate) xattrs: Vec<u8>,
    /// How many names lead to it; for a directory also `.` and the `..` of its directories.
    pub(crate) links: u32,
    /// The directory it is in; of a file with several names, one of them.
    pub(crate) parent: NodeId,
    /// Whether a link's target stands right behind the inode.
    pub(crate) inline: bool,
    /// Where its own blocks are, from the start of the metadata, if it has any, and how many bytes of them are used.
    pub(crate) blocks: u64,
    pub(crate) size: u64,
}

#[derive(Debug)]
pub(crate) struct Layout {
    /// Parents before what is in them, the root first.
    pub(crate) placed: Vec<Placed>,
    /// By node: its place in `placed`.
    index: Vec<u32>,
    /// Where the inodes end and the blocks begin, and where these end.
    pub(crate) inodes_end: u64,
    pub(crate) end: u64,
}

impl Layout {
    pub(crate) fn of(tree: &Tree) -> Result<Self, Error> {
        let mut layout = Self {
            placed: Vec::new(),
            index: vec![u32::MAX; tree.len()],
            inodes_end: 0,
            end: 0,
        };
        for id in tree.reachable() {
            layout.index[id.index()] = layout.placed.len() as u32;
            layout.placed.push(Placed {
                id,
                at: 0,
                xattrs: Vec::new(),
                links: 0,
                parent: Tree::ROOT,
                inline: false,
                blocks: 0,
                size: 0,
            });
        }
        layout.count_links(tree)?;
        layout.place_inodes(tree)?;
        layout.place_blocks(tree);
        Ok(layout)
    }

    pub(crate) fn of_node(&self, id: NodeId) -> &Placed {
        &self.placed[self.index[id.index()] as usize]
    }

    pub(crate) fn number(&self, id: NodeId) -> u64 {
        self.of_node(id).at / SLOT
    }

    fn of_node_mut(&mut self, id: NodeId) -> &mut Placed {
        &mut self.placed[self.index[id.index()] as usize]
    }

    fn count_links(&mut self, tree: &Tree) -> Result<(), Error> {
        self.of_node_mut(Tree::ROOT).links += 1; // its `..` is itself
        for at in 0..self.placed.len() {
            let id = self.placed[at].id;
            let Body::Directory(children) = &tree.node(id).body else {
                continue;
            };
            self.placed[at].links += 1; // `.`
            for (name, child) in children {
                check_name(name)?;
                check_link(tree, *child, name)?;
                let below = self.of_node_mut(*child);
                below.links += 1;
                below.parent = id;
                if tree.is_directory(*child) {
                    self.placed[at].links += 1; // the `..` in it
                }
            }
        }
        Ok(())
    }

    fn place_inodes(&mut self, tree: &Tree) -> Result<(), Error> {
        let mut at = 0u64;
        for placed in &mut self.placed {
            let node = tree.node(placed.id);
            placed.xattrs = xattr::encode(&node.attributes.xattrs, at)?;
            let fixed = INODE + placed.xattrs.len() as u64;
            let mut behind = 0;
            match &node.body {
                // A target behind its inode must not cross a block.
                Body::Symlink(target) if fixed % BLOCK + target.len() as u64 <= BLOCK => {
                    behind = target.len() as u64;
                    placed.inline = true;
                    if (at + fixed) % BLOCK + behind > BLOCK {
                        at = at.next_multiple_of(BLOCK);
                    }
                }
                Body::File(Content::Sparse { chunks, .. }) => {
                    behind = 4 * chunks.offsets.len() as u64
                }
                _ => {}
            }
            placed.at = at;
            at = (at + fixed + behind).next_multiple_of(SLOT);
        }
        self.inodes_end = at.next_multiple_of(BLOCK);
        Ok(())
    }

    fn place_blocks(&mut self, tree: &Tree) {
        let mut at = self.inodes_end;
        for placed in &mut self.placed {
            let size = match &tree.node(placed.id).body {
                Body::Directory(_) => directory_size(tree, placed.id),
                Body::Symlink(target) if !placed.inline => target.len() as u64,
                _ => continue,
            };
            (placed.blocks, placed.size) = (at, size);
            at += size.next_multiple_of(BLOCK);
        }
        self.end = at;
    }
}

fn check_name(name: &[u8]) -> Result<(), Error> {
    let is_path = matches!(name, b"" | b"." | b"..") || name.iter().any(|b| matches!(b, b'/' | 0));
    match is_path || name.len() > NAME_MAX {
        true => Err(Error::Name(String::from_utf8_lossy(name).into_owned())),
        false => Ok(()),
    }
}

fn check_link(tree: &Tree, id: NodeId, name: &[u8]) -> Result<(), Error> {
    match &tree.node(id).body {
        Body::Symlink(target)
            if target.is_empty() || target.len() > LINK_MAX || target.contains(&0) =>
        {
            Err(Error::Link(String::from_utf8_lossy(name).into_owned()))
        }
        _ => Ok(()),
    }
}

/// The names in a directory, its own two among them, sorted.
pub(crate) fn names(tree: &Tree, id: NodeId) -> Vec<(&[u8], Option<NodeId>)> {
    let mut names: Vec<(&[u8], Option<NodeId>)> = vec![(b".", None), (b"..", None)];
    if let Body::Directory(children) = &tree.node(id).body {
        names.extend(children.iter().map(|(name, id)| (&**name, Some(*id))));
    }
    names.sort_unstable_by_key(|(name, _)| *name);
    names
}

fn directory_size(tree: &Tree, id: NodeId) -> u64 {
    let names = names(tree, id);
    directory::size(names.iter().map(|(name, _)| *name))
}
