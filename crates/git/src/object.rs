//! Objects: their names, and what commits, tags and trees say.
//! Source: `gitformat-pack`, Git's `tree-walk.c` and `fsck.c` (which names no tree may have).

use crate::error::Error;
use sha1::Digest as _;
use sha2::Sha256;
use std::fmt;

/// By what objects are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Hash {
    Sha1,
    Sha256,
}

impl Hash {
    /// Bytes of a name.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    pub(crate) fn hasher(self) -> Hasher {
        match self {
            Self::Sha1 => Hasher::Sha1(sha1::Sha1::new()),
            Self::Sha256 => Hasher::Sha256(Sha256::new()),
        }
    }
}

pub(crate) enum Hasher {
    Sha1(sha1::Sha1),
    Sha256(Sha256),
}

impl Hasher {
    /// For an object of this kind and size.
    pub(crate) fn of(hash: Hash, kind: Kind, size: u64) -> Self {
        let mut hasher = hash.hasher();
        hasher.update(kind.header(size).as_bytes());
        hasher
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> Id {
        match self {
            Self::Sha1(hasher) => Id(hasher.finalize().to_vec().into()),
            Self::Sha256(hasher) => Id(hasher.finalize().to_vec().into()),
        }
    }
}

/// An object's name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(Box<[u8]>);

impl Id {
    pub(crate) fn parse(text: &str, hash: Hash) -> Option<Self> {
        if text.len() != hash.len() * 2 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
        let bytes = (0..text.len()).step_by(2).map(byte);
        Some(Self(bytes.collect::<Option<Vec<_>>>()?.into()))
    }

    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Commit,
    Tree,
    Blob,
    Tag,
}

impl Kind {
    /// What stands before an object's content, in its name and in a loose file.
    pub(crate) fn header(self, size: u64) -> String {
        let name = match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        };
        format!("{name} {size}\0")
    }
}

/// One name in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) mode: Mode,
    pub(crate) name: Vec<u8>,
    pub(crate) id: Id,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Tree,
    File,
    Executable,
    Link,
    /// A commit of another repository.
    Submodule,
}

/// A commit's tree, and when it was made, in seconds.
pub(crate) fn commit(content: &[u8]) -> Result<(Id, i64), Error> {
    let tree = header(content, "tree")?;
    let committer = line(content, "committer").unwrap_or_default();
    // `Name <address> seconds zone`
    let mut words = committer.rsplit(' ');
    words.next();
    let time = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    Ok((tree, time))
}

/// What a tag is of.
pub(crate) fn tag(content: &[u8]) -> Result<Id, Error> {
    header(content, "object")
}

fn header(content: &[u8], key: &str) -> Result<Id, Error> {
    let text = line(content, key).unwrap_or_default();
    let hash = if text.len() == 64 {
        Hash::Sha256
    } else {
        Hash::Sha1
    };
    Id::parse(&text, hash).ok_or_else(|| Error::Object {
        id: text,
        what: "a commit or tag names no object",
    })
}

fn line(content: &[u8], key: &str) -> Option<String> {
    let lines = content.split(|byte| *byte == b'\n');
    let mut head = lines.take_while(|line| !line.is_empty());
    head.find_map(|line| {
        let rest = line.strip_prefix(key.as_bytes())?.strip_prefix(b" ")?;
        Some(String::from_utf8_lossy(rest).into_owned())
    })
}

/// What a tree has, each name checked.
pub(crate) fn tree(id: &Id, mut content: &[u8]) -> Result<Vec<Entry>, Error> {
    let bad = |what| Error::Object {
        id: id.to_string(),
        what,
    };
    let length = id.bytes().len();
    let mut entries = Vec::new();
    while !content.is_empty() {
        let space = content.iter().position(|b| *b == b' ');
        let space = space
            .filter(|at| *at <= 6)
            .ok_or_else(|| bad("an entry has no mode"))?;
        let mode = std::str::from_utf8(&content[..space]).unwrap_or_default();
        let octal = mode.bytes().all(|b| b.is_ascii_digit());
        let mode = u32::from_str_radix(mode, 8).ok().filter(|_| octal);
        let mode = mode.ok_or_else(|| bad("an entry has no mode"))?;
        let rest = &content[space + 1..];
        let end = rest.iter().position(|b| *b == 0);
        let end = end.ok_or_else(|| bad("an entry has no name"))?;
        let after = &rest[end + 1..];
        if after.len() < length {
            return Err(bad("an entry names no object"));
        }
        let name = rest[..end].to_vec();
        check_name(&name)?;
        entries.push(Entry {
            mode: kind(mode).ok_or_else(|| bad("an entry is of no known kind"))?,
            name,
            id: Id::of(&after[..length]),
        });
        content = &after[length..];
    }
    Ok(entries)
}

fn kind(mode: u32) -> Option<Mode> {
    match mode & 0o170_000 {
        0o040_000 => Some(Mode::Tree),
        0o100_000 if mode & 0o100 != 0 => Some(Mode::Executable),
        0o100_000 => Some(Mode::File),
        0o120_000 => Some(Mode::Link),
        0o160_000 => Some(Mode::Submodule),
        _ => None,
    }
}

/// Names that would lead elsewhere, or be taken for the repository's own directory.
fn check_name(name: &[u8]) -> Result<(), Error> {
    let why = match name {
        b"" => "it is empty",
        b"." | b".." => "it is a directory that is there",
        _ if name.contains(&b'/') => "it is a path",
        _ if name.len() > 255 => "it has more than 255 bytes",
        _ if is_git_dir(name) => "it is that of git's own directory",
        _ => return Ok(()),
    };
    Err(Error::Name {
        name: String::from_utf8_lossy(name).into_owned(),
        why,
    })
}

/// `.git`, also as file systems that fold names know it.
fn is_git_dir(name: &[u8]) -> bool {
    let text = String::from_utf8_lossy(name);
    // Code points that HFS+ leaves out of names.
    let ignored = |c: char| matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    let folded: String = text.chars().filter(|c| !ignored(*c)).collect();
    let folded = folded.to_lowercase();
    let folded = folded.trim_end_matches([' ', '.']);
    let stream = folded.split(':').next().unwrap_or_default();
    stream == ".git" || stream == "git~1"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(mode: &str, name: &str) -> Vec<u8> {
        [mode.as_bytes(), b" ", name.as_bytes(), b"\0", &[7; 20]].concat()
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let id = Id::of(&[0; 20]);
        for bad in [
            "..",
            ".",
            "",
            "a/b",
            "/etc",
            ".git",
            ".GIT",
            ".Git ",
            "git~1",
            ".git::$INDEX",
            ".g\u{200c}it",
        ] {
            let error = tree(&id, &entry("100644", bad)).unwrap_err();
            assert!(matches!(error, Error::Name { .. }), "{bad}: {error}");
        }
        for good in [".gitignore", ".github", "git", "..a", "a b"] {
            assert_eq!(
                tree(&id, &entry("100644", good)).unwrap().len(),
                1,
                "{good}"
            );
        }
    }

    #[test]
    fn damaged_trees_are_refused() {
        let id = Id::of(&[0; 20]);
        let whole = entry("100755", "x");
        assert_eq!(tree(&id, &whole).unwrap()[0].mode, Mode::Executable);
        for cut in 1..whole.len() {
            assert!(tree(&id, &whole[..cut]).is_err(), "{cut}");
        }
        assert!(
            tree(&id, &entry("010644", "x")).is_err(),
            "a FIFO is no file of a repository"
        );
        assert!(tree(&id, &entry("+00644", "x")).is_err());
    }

    #[test]
    fn what_a_commit_says() {
        let text = format!(
            "tree {}\nauthor A <a> 1 +0000\ncommitter B <b c> 1700000000 +0100\n\ntree x\n",
            "ab".repeat(20)
        );
        let (tree, time) = commit(text.as_bytes()).unwrap();
        assert_eq!((tree.to_string(), time), ("ab".repeat(20), 1_700_000_000));
        assert!(commit(b"\n\ntree x").is_err());
    }
}
