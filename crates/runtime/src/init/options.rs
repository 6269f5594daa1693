//! Mount options of the spec: attributes, propagation, and what is left for the file system.
//!
//! Source: runtime-spec `config.md` "Linux mount options", mount(8), mount_setattr(2).

use sys::mount::{Attributes, Flags, Propagation, Recursion};

/// Options sorted by who understands them.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Attributes of this mount.
    pub(super) set: u64,
    pub(super) clear: u64,
    /// Attributes of this mount and all below (`rro`, ...).
    pub(super) set_recursive: u64,
    pub(super) propagation: Option<(Propagation, bool)>,
    pub(crate) bind: Option<Bind>,
    /// `idmap` or `ridmap`, with what follows the sign of equality.
    pub(crate) idmap: Option<(Recursion, String)>,
    /// `key=value` and flags for the file system itself.
    pub(super) data: Vec<(String, Option<String>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bind {
    Single,
    Recursive,
}

/// (name, attribute, set or clear)
const ATTRIBUTES: [(&str, u32, bool); 18] = [
    ("ro", Flags::MOUNT_ATTR_RDONLY.bits(), true),
    ("rw", Flags::MOUNT_ATTR_RDONLY.bits(), false),
    ("nosuid", Flags::MOUNT_ATTR_NOSUID.bits(), true),
    ("suid", Flags::MOUNT_ATTR_NOSUID.bits(), false),
    ("nodev", Flags::MOUNT_ATTR_NODEV.bits(), true),
    ("dev", Flags::MOUNT_ATTR_NODEV.bits(), false),
    ("noexec", Flags::MOUNT_ATTR_NOEXEC.bits(), true),
    ("exec", Flags::MOUNT_ATTR_NOEXEC.bits(), false),
    ("noatime", Flags::MOUNT_ATTR_NOATIME.bits(), true),
    ("atime", Flags::MOUNT_ATTR_NOATIME.bits(), false),
    ("strictatime", Flags::MOUNT_ATTR_STRICTATIME.bits(), true),
    ("nostrictatime", Flags::MOUNT_ATTR_STRICTATIME.bits(), false),
    ("nodiratime", Flags::MOUNT_ATTR_NODIRATIME.bits(), true),
    ("diratime", Flags::MOUNT_ATTR_NODIRATIME.bits(), false),
    ("nosymfollow", Flags::MOUNT_ATTR_NOSYMFOLLOW.bits(), true),
    ("symfollow", Flags::MOUNT_ATTR_NOSYMFOLLOW.bits(), false),
    // The kernel's default: its value is no bit at all.
    ("relatime", 0, true),
    ("norelatime", 0, false),
];

/// Options of mount(8) that say nothing to a mount made once.
const IGNORED: [&str; 10] = [
    "defaults", "remount", "async", "auto", "noauto", "user", "nouser", "_netdev", "loud", "silent",
];

impl Options {
    pub(super) fn parse(options: &[String]) -> Self {
        let mut parsed = Self::default();
        for option in options {
            parsed.take(option);
        }
        parsed
    }

    fn take(&mut self, option: &str) {
        if let Some((_, bit, set)) = ATTRIBUTES.iter().find(|(name, ..)| *name == option) {
            let bit = u64::from(*bit);
            let (add, remove) = if *set {
                (&mut self.set, &mut self.clear)
            } else {
                (&mut self.clear, &mut self.set)
            };
            *add |= bit;
            *remove &= !bit;
            return;
        }
        match option {
            "bind" => self.bind = Some(Bind::Single),
            "rbind" => self.bind = Some(Bind::Recursive),
            _ if IGNORED.contains(&option) => {}
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
        let (name, recursive) = match option.strip_prefix('r') {
            Some(rest) if propagation(rest).is_some() => (rest, true),
            _ => (option, false),
        };
        if let Some(propagation) = propagation(name) {
            self.propagation = Some((propagation, recursive));
            return;
        }
        if let Some((_, bit, true)) = option
            .strip_prefix('r')
            .and_then(|rest| ATTRIBUTES.iter().find(|(name, ..)| *name == rest))
        {
            self.set_recursive |= u64::from(*bit);
            return;
        }
        self.data.push(match option.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (option.to_owned(), None),
        });
    }

    /// For fsmount, which takes attributes at birth.
    pub(super) fn flags(&self) -> Flags {
        Flags::from_bits_retain((self.set | self.set_recursive) as u32)
    }

    /// The changes to a clone of a host mount, in order. What is not asked for stays as the host has it.
    pub(super) fn bind_changes(&self) -> Vec<Attributes> {
        let (propagation, recursive) = self.propagation.unwrap_or((Propagation::Private, true));
        // Without an explicit "rw" nothing is cleared: a mount the host's administrator made read-only stays so.
        let changes = [
            Attributes {
                propagation: Some(propagation),
                recursive,
                ..Attributes::default()
            },
            Attributes {
                set: self.set,
                clear: self.clear & !u64::from(Flags::MOUNT_ATTR_RDONLY.bits()),
                ..Attributes::default()
            },
            Attributes {
                set: self.set_recursive,
                recursive: true,
                ..Attributes::default()
            },
        ];
        changes
            .into_iter()
            .filter(|change| !change.is_empty())
            .collect()
    }
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

    #[test]
    fn attributes_propagation_and_data() {
        let options = parse(&[
            "rbind", "ro", "nosuid", "rslave", "size=64m", "inode64", "relatime",
        ]);
        assert_eq!(options.bind, Some(Bind::Recursive));
        assert_eq!(options.set, 3);
        assert_eq!(options.propagation, Some((Propagation::Slave, true)));
        assert_eq!(
            options.data,
            [
                ("size".to_owned(), Some("64m".to_owned())),
                ("inode64".to_owned(), None)
            ]
        );
    }

    #[test]
    fn the_last_word_counts() {
        assert_eq!(parse(&["ro", "rw"]).set, 0);
        assert_eq!(parse(&["rw", "ro"]).set, 1);
        assert_eq!(parse(&["rro", "rnosuid"]).set_recursive, 3);
    }

    #[test]
    fn binds_are_private_unless_told() {
        let changes = parse(&["rbind"]).bind_changes();
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].propagation, Some(Propagation::Private));
    }
}
