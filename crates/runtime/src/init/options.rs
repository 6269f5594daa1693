//! Mount options of the spec: attributes, propagation, and what is left for the file system.
//!
//! Source: runtime-spec `config.md` "Linux mount options", mount(8), mount_setattr(2); crun(1) for `copy-symlink`, `src-nofollow`
//! and `dest-nofollow`.

use sys::mount::{ATIME_FIELD, Attributes, Flags, Propagation, Recursion};

/// Options sorted by who understands them.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Attributes of this mount.
    here: Change,
    /// Attributes of this mount and all below (`rro`, ...).
    tree: Change,
    /// In the order given; the flag says whether for all below too.
    pub(super) propagation: Vec<(Propagation, bool)>,
    pub(crate) bind: Option<Bind>,
    pub(super) action: Action,
    /// What becomes of a link at the end of the source's path.
    pub(super) source_link: Link,
    /// The same of the target's.
    pub(super) target_link: Link,
    /// `tmpcopyup`: a tmpfs is born with what it covers.
    pub(super) copy_up: bool,
    /// `idmap` or `ridmap`, with what follows the sign of equality.
    pub(crate) idmap: Option<(Recursion, String)>,
    /// Flags that every file system has.
    pub(super) superblock: Vec<&'static str>,
    /// `key=value` and flags for the file system itself.
    pub(super) data: Vec<(String, Option<String>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bind {
    Single,
    Recursive,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    #[default]
    Mount,
    /// Changes what is mounted there already.
    Remount,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    #[default]
    Follow,
    /// The link itself is meant.
    Keep,
    /// A link is made like it, and nothing mounted.
    Copy,
}

/// Bits of `struct mount_attr`. The access time is a number among them, cleared whole when it is set.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Change {
    set: u64,
    clear: u64,
}

#[derive(Debug, Clone, Copy)]
enum Attribute {
    Set(u32),
    Clear(u32),
    Atime(u32),
    /// Back to the kernel's default if it was this.
    NotAtime(u32),
}

use Attribute::{Atime, Clear, NotAtime, Set};

const RELATIME: u32 = 0;
const NOATIME: u32 = Flags::MOUNT_ATTR_NOATIME.bits();
const STRICTATIME: u32 = Flags::MOUNT_ATTR_STRICTATIME.bits();

/// Each also with an `r` before it: for all mounts below as well.
const ATTRIBUTES: [(&str, Attribute); 18] = [
    ("ro", Set(Flags::MOUNT_ATTR_RDONLY.bits())),
    ("rw", Clear(Flags::MOUNT_ATTR_RDONLY.bits())),
    ("nosuid", Set(Flags::MOUNT_ATTR_NOSUID.bits())),
    ("suid", Clear(Flags::MOUNT_ATTR_NOSUID.bits())),
    ("nodev", Set(Flags::MOUNT_ATTR_NODEV.bits())),
    ("dev", Clear(Flags::MOUNT_ATTR_NODEV.bits())),
    ("noexec", Set(Flags::MOUNT_ATTR_NOEXEC.bits())),
    ("exec", Clear(Flags::MOUNT_ATTR_NOEXEC.bits())),
    ("nodiratime", Set(Flags::MOUNT_ATTR_NODIRATIME.bits())),
    ("diratime", Clear(Flags::MOUNT_ATTR_NODIRATIME.bits())),
    ("nosymfollow", Set(Flags::MOUNT_ATTR_NOSYMFOLLOW.bits())),
    ("symfollow", Clear(Flags::MOUNT_ATTR_NOSYMFOLLOW.bits())),
    ("noatime", Atime(NOATIME)),
    ("atime", NotAtime(NOATIME)),
    ("strictatime", Atime(STRICTATIME)),
    ("nostrictatime", NotAtime(STRICTATIME)),
    ("relatime", Atime(RELATIME)),
    // The kernel has no other default to go back to.
    ("norelatime", NotAtime(RELATIME)),
];

/// Flags of the file system itself, which a bind mount has from its source.
const SUPERBLOCK: [&str; 3] = ["sync", "dirsync", "lazytime"];

/// What says nothing to a mount made once: for fstab(5), about messages, or the opposite of what was never said. `mand` is gone
/// from the kernel (5.15), and `iversion` is each file system's own affair since the new mount calls.
const IGNORED: [&str; 20] = [
    "defaults",
    "async",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "owner",
    "group",
    "nofail",
    "_netdev",
    "loud",
    "silent",
    "nolazytime",
    "mand",
    "nomand",
    "iversion",
    "noiversion",
    "nodirsync",
    "nosync",
];

/// Every name that [`Options::parse`] understands itself, and does not leave to the file system.
pub(crate) fn names() -> Vec<String> {
    const OTHERS: [&str; 9] = [
        "bind",
        "rbind",
        "remount",
        "tmpcopyup",
        "copy-symlink",
        "src-nofollow",
        "dest-nofollow",
        "idmap",
        "ridmap",
    ];
    const PROPAGATIONS: [&str; 4] = ["private", "shared", "slave", "unbindable"];
    let recursive = ATTRIBUTES.iter().map(|(name, _)| *name);
    let recursive = recursive.chain(PROPAGATIONS).map(|name| format!("r{name}"));
    let plain = ATTRIBUTES.iter().map(|(name, _)| *name);
    let plain = plain.chain(PROPAGATIONS).chain(OTHERS);
    let plain = plain.chain(SUPERBLOCK).chain(IGNORED).map(str::to_owned);
    let mut names: Vec<String> = plain.chain(recursive).collect();
    names.sort();
    names
}

impl Change {
    fn take(&mut self, attribute: Attribute) {
        match attribute {
            Set(bit) => self.put(bit.into(), 0),
            Clear(bit) => self.put(0, bit.into()),
            Atime(value) => self.put(value.into(), ATIME_FIELD & !u64::from(value)),
            NotAtime(value) => {
                let now = self.set & ATIME_FIELD;
                if now == 0 || now == u64::from(value) {
                    self.put(0, ATIME_FIELD);
                }
            }
        }
    }

    fn put(&mut self, set: u64, clear: u64) {
        self.set = (self.set & !clear) | set;
        self.clear = (self.clear & !set) | clear;
    }

    fn attributes(self, recursive: bool) -> Attributes {
        Attributes {
            set: self.set,
            // Told that the number changes, the kernel wants the whole field.
            clear: match self.clear & ATIME_FIELD {
                0 => self.clear,
                _ => self.clear | ATIME_FIELD,
            },
            propagation: None,
            recursive,
        }
    }
}

impl Options {
    pub(super) fn parse(options: &[String]) -> Self {
        let mut parsed = Self::default();
        for option in options {
            parsed.take(option);
        }
        parsed
    }

    fn take(&mut self, option: &str) {
        if let Some(attribute) = find(option) {
            return self.here.take(attribute);
        }
        match option {
            "bind" => self.bind = Some(Bind::Single),
            "rbind" => self.bind = Some(Bind::Recursive),
            "remount" => self.action = Action::Remount,
            "tmpcopyup" => self.copy_up = true,
            "copy-symlink" => self.source_link = Link::Copy,
            "src-nofollow" => self.source_link = Link::Keep,
            "dest-nofollow" => self.target_link = Link::Keep,
            // For whoever reads it, by mount(8).
            _ if IGNORED.contains(&option) || option.starts_with("x-") => {}
            _ => self.take_other(option),
        }
    }

    fn take_other(&mut self, option: &str) {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        match key {
            "idmap" => return self.idmap = Some((Recursion::None, value.to_owned())),
            "ridmap" => return self.idmap = Some((Recursion::Subtree, value.to_owned())),
            _ => {}
        }
        let recursive = option.strip_prefix('r');
        if let Some(propagation) = propagation(option) {
            return self.propagation.push((propagation, false));
        }
        if let Some(propagation) = recursive.and_then(propagation) {
            return self.propagation.push((propagation, true));
        }
        if let Some(attribute) = recursive.and_then(find) {
            return self.tree.take(attribute);
        }
        if let Some(known) = SUPERBLOCK.iter().find(|known| **known == option) {
            return self.superblock.push(known);
        }
        self.data.push(match option.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (option.to_owned(), None),
        });
    }

    /// For fsmount, which takes attributes at birth.
    pub(super) fn flags(&self) -> Flags {
        Flags::from_bits_retain((self.here.set | self.tree.set) as u32)
    }

    /// Whether the file system is given this.
    pub(super) fn has(&self, key: &str) -> bool {
        self.data.iter().any(|(known, _)| known == key)
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.flags().contains(Flags::MOUNT_ATTR_RDONLY)
    }

    /// The changes to a clone of a host mount, in order. What is not asked for stays as the host has it.
    pub(super) fn bind_changes(&self) -> Vec<Attributes> {
        // Without an explicit "rrw" nothing becomes writable: a mount the host's administrator made read-only stays so.
        let here = Change {
            clear: self.here.clear & !u64::from(Flags::MOUNT_ATTR_RDONLY.bits()),
            ..self.here
        };
        let mut changes = self.propagations(self.bind != Some(Bind::Single));
        changes.extend([here.attributes(false), self.tree.attributes(true)]);
        changes.retain(|change| !change.is_empty());
        changes
    }

    /// A clone begins as a peer of its source, and so do the mounts below it. What is made of it is made of them too: a peer
    /// that is left would bring the container's mounts to the host.
    fn propagations(&self, whole_tree: bool) -> Vec<Attributes> {
        let change = |propagation, recursive| Attributes {
            propagation: Some(propagation),
            recursive,
            ..Attributes::default()
        };
        if self.propagation.is_empty() {
            return vec![change(Propagation::Private, true)];
        }
        let mut changes = Vec::new();
        for &(propagation, recursive) in &self.propagation {
            if propagation == Propagation::Unbindable && !recursive {
                changes.push(change(Propagation::Private, true));
                changes.push(change(propagation, false));
            } else {
                changes.push(change(propagation, recursive || whole_tree));
            }
        }
        changes
    }

    /// For a new file system, which begins private.
    pub(super) fn propagation_changes(&self) -> Vec<Attributes> {
        match self.propagation.is_empty() {
            true => Vec::new(),
            false => self.propagations(false),
        }
    }

    /// For a mount that is there: all that is said.
    pub(super) fn remount_changes(&self) -> Vec<Attributes> {
        let mut changes = self.propagation_changes();
        changes.extend([self.here.attributes(false), self.tree.attributes(true)]);
        changes.retain(|change| !change.is_empty());
        changes
    }
}

fn find(name: &str) -> Option<Attribute> {
    let found = ATTRIBUTES.iter().find(|(known, _)| *known == name);
    found.map(|(_, attribute)| *attribute)
}

fn propagation(name: &str) -> Option<Propagation> {
    match name {
        "private" => Some(Propagation::Private),
        "slave" => Some(Propagation::Slave),
        "shared" => Some(Propagation::Shared),
        "unbindable" => Some(Propagation::Unbindable),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[&str]) -> Options {
        Options::parse(&options.iter().map(|o| (*o).to_owned()).collect::<Vec<_>>())
    }

    /// Set and cleared by the recursive change of a bind.
    fn recursive(option: &str) -> (u64, u64) {
        let changes = parse(&["rbind", option]).bind_changes();
        let change = changes.last().unwrap();
        assert!(change.recursive, "{option}");
        (change.set, change.clear)
    }

    #[test]
    fn no_name_is_left_to_the_file_system() {
        for name in names() {
            let parsed = Options::parse(std::slice::from_ref(&name));
            assert!(parsed.data.is_empty(), "{name}");
        }
    }

    #[test]
    fn attributes_propagation_and_data() {
        let options = parse(&[
            "rbind", "ro", "nosuid", "rslave", "size=64m", "inode64", "relatime",
        ]);
        assert_eq!(options.bind, Some(Bind::Recursive));
        assert_eq!(options.here.set, 3);
        assert_eq!(options.propagation, [(Propagation::Slave, true)]);
        assert_eq!(
            options.data,
            [
                ("size".to_owned(), Some("64m".to_owned())),
                ("inode64".to_owned(), None)
            ]
        );
    }

    /// Every option of the specification's table is understood here, none is left to a file system.
    #[test]
    fn the_specifications_table() {
        for option in [
            "async",
            "atime",
            "bind",
            "defaults",
            "dev",
            "diratime",
            "dirsync",
            "exec",
            "iversion",
            "lazytime",
            "loud",
            "mand",
            "noatime",
            "nodev",
            "nodiratime",
            "noexec",
            "noiversion",
            "nolazytime",
            "nomand",
            "norelatime",
            "nostrictatime",
            "nosuid",
            "nosymfollow",
            "private",
            "ratime",
            "rbind",
            "rdev",
            "rdiratime",
            "relatime",
            "remount",
            "rexec",
            "rnoatime",
            "rnodev",
            "rnodiratime",
            "rnoexec",
            "rnorelatime",
            "rnostrictatime",
            "rnosuid",
            "rnosymfollow",
            "ro",
            "rprivate",
            "rrelatime",
            "rro",
            "rrw",
            "rshared",
            "rslave",
            "rstrictatime",
            "rsuid",
            "rsymfollow",
            "runbindable",
            "rw",
            "shared",
            "silent",
            "slave",
            "strictatime",
            "suid",
            "symfollow",
            "sync",
            "tmpcopyup",
            "unbindable",
            "idmap",
            "ridmap",
        ] {
            assert!(parse(&[option]).data.is_empty(), "{option}");
        }
        assert_eq!(
            parse(&["sync", "lazytime"]).superblock,
            ["sync", "lazytime"]
        );
        assert_eq!(parse(&["remount"]).action, Action::Remount);
        assert_eq!(parse(&["dest-nofollow"]).target_link, Link::Keep);
        assert_eq!(parse(&["copy-symlink"]).source_link, Link::Copy);
    }

    #[test]
    fn recursive_attributes_set_and_clear() {
        for (option, set, clear) in [
            ("rro", 1, 0),
            ("rrw", 0, 1),
            ("rnosuid", 2, 0),
            ("rsuid", 0, 2),
            ("rnodev", 4, 0),
            ("rdev", 0, 4),
            ("rnoexec", 8, 0),
            ("rexec", 0, 8),
            ("rnodiratime", 0x80, 0),
            ("rdiratime", 0, 0x80),
            ("rnosymfollow", 0x20_0000, 0),
            ("rsymfollow", 0, 0x20_0000),
            ("rnoatime", 0x10, 0x70),
            ("ratime", 0, 0x70),
            ("rstrictatime", 0x20, 0x70),
            ("rnostrictatime", 0, 0x70),
            ("rrelatime", 0, 0x70),
            ("rnorelatime", 0, 0x70),
        ] {
            assert_eq!(recursive(option), (set, clear), "{option}");
        }
    }

    #[test]
    fn the_last_word_counts() {
        assert_eq!(parse(&["ro", "rw"]).here.set, 0);
        assert_eq!(parse(&["rw", "ro"]).here.set, 1);
        assert_eq!(parse(&["rro", "rnosuid"]).tree.set, 3);
        assert_eq!(parse(&["noatime", "strictatime"]).here.set, 0x20);
        assert_eq!(parse(&["noatime", "nostrictatime"]).here.set, 0x10);
        assert_eq!(parse(&["noatime", "atime"]).here.set, 0);
    }

    #[test]
    fn binds_are_private_unless_told() {
        let changes = parse(&["rbind"]).bind_changes();
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].propagation, Some(Propagation::Private));
        // No peer of a mount below is left.
        let changes = parse(&["rbind", "slave"]).bind_changes();
        assert!(changes[0].recursive);
    }
}
