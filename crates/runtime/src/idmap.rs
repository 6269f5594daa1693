//! Id-mapped mounts: which mapping a mount of the spec is shown by.
//!
//! Three sources, in this order: `uidMappings` and `gidMappings` of the mount, what follows `idmap=` (crun's way), the container's
//! user namespace. Source: runtime-spec `config.md` "Linux mount options" (`idmap`, `ridmap`), mount_setattr(2); crun(1) "idmap
//! mount options".

use crate::error::{Error, InitError};
use crate::init::options::Options;
use crate::namespaces::{Namespaces, User, ranges};
use crate::overlay;
use oci_spec::runtime::Mount;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use sys::mount::Recursion;
use sys::userns::{IdMap, IdRange};

/// How a mount's ids are shown.
#[derive(Debug)]
pub(crate) struct Mapping {
    recursion: Recursion,
    source: Source,
    target: String,
}

#[derive(Debug)]
enum Source {
    /// The container's user namespace.
    Container,
    /// A mapping of its own; ranges of crun's that begin with `@` have ids of the container outside.
    Own {
        map: IdMap,
        relative: (Vec<bool>, Vec<bool>),
        userns: Option<Rc<OwnedFd>>,
    },
}

impl Mapping {
    pub(crate) fn of(mount: &Mount, options: &Options) -> Result<Option<Self>, InitError> {
        let target = mount.destination().display().to_string();
        let wrong = |problem: &str| InitError::WrongIdMap {
            path: mount.destination().display().to_string(),
            problem: problem.to_owned(),
        };
        let listed = IdMap {
            uids: ranges(mount.uid_mappings().as_deref()),
            gids: ranges(mount.gid_mappings().as_deref()),
        };
        let is_listed = !listed.uids.is_empty() || !listed.gids.is_empty();
        let (recursion, text) = match (&options.idmap, is_listed) {
            (None, false) => return Ok(None),
            (None, true) => (Recursion::None, ""),
            (Some((recursion, text)), _) => (*recursion, text.as_str()),
        };
        if options.bind.is_none() && mount.typ().as_deref() != Some("bind") {
            return Err(wrong("it is not a bind mount"));
        }
        let (map, relative) = match (is_listed, text) {
            (true, _) => (listed, (Vec::new(), Vec::new())),
            (false, "") => {
                let source = Source::Container;
                return Ok(Some(Self {
                    recursion,
                    source,
                    target,
                }));
            }
            (false, text) => parse(text).ok_or_else(|| {
                wrong("idmap= wants uids=FROM-TO-COUNT#...;gids=FROM-TO-COUNT#...")
            })?,
        };
        map.check().map_err(wrong)?;
        Ok(Some(Self {
            recursion,
            source: Source::Own {
                map,
                relative,
                userns: None,
            },
            target,
        }))
    }

    pub(crate) fn apply(
        &self,
        tree: &OwnedFd,
        path: &Path,
        container: Option<BorrowedFd<'_>>,
    ) -> Result<(), InitError> {
        let userns = match &self.source {
            Source::Own {
                userns: Some(userns),
                ..
            } => Some(userns.as_fd()),
            _ => container,
        };
        let userns = userns.ok_or_else(|| self.without_namespace())?;
        overlay::map_tree(tree, path, self.recursion == Recursion::Subtree, userns)
    }

    fn without_namespace(&self) -> InitError {
        InitError::WrongIdMap {
            path: self.target.clone(),
            problem: "it has no mapping and the container no user namespace to take one from"
                .to_owned(),
        }
    }
}

/// Makes the namespaces of mappings of their own, one for all that are equal; the container's own is used where it is the same.
/// Before init is cloned: it inherits the descriptors.
pub(crate) fn make_namespaces<'a>(
    mappings: impl Iterator<Item = &'a mut Mapping>,
    namespaces: &Namespaces,
) -> Result<(), Error> {
    let mut made: Vec<(IdMap, Rc<OwnedFd>)> = Vec::new();
    for mapping in mappings {
        let Source::Own {
            map,
            relative,
            userns,
        } = &mut mapping.source
        else {
            if !namespaces.has_user() {
                return Err(mapping.without_namespace().into());
            }
            continue;
        };
        let container = match &namespaces.user {
            User::New(container) => Some(container),
            _ => None,
        };
        make_absolute(&mut map.uids, &relative.0, container.map(|map| &map.uids));
        make_absolute(&mut map.gids, &relative.1, container.map(|map| &map.gids));
        if container == Some(map) {
            mapping.source = Source::Container;
            continue;
        }
        let known = made.iter().find(|(other, _)| other == map);
        let fd = match known {
            Some((_, fd)) => Rc::clone(fd),
            None => {
                let fd = Rc::new(sys::userns::new(map).map_err(Error::WriteMaps)?);
                made.push((map.clone(), Rc::clone(&fd)));
                fd
            }
        };
        *userns = Some(fd);
    }
    Ok(())
}

fn make_absolute(ranges: &mut [IdRange], relative: &[bool], container: Option<&Vec<IdRange>>) {
    let marked = ranges.iter_mut().zip(relative).filter(|(_, mark)| **mark);
    for (range, _) in marked {
        let at = container.into_iter().flatten().find_map(|outer| {
            let offset = range.outside.checked_sub(outer.inside)?;
            (offset < outer.count).then(|| outer.outside.checked_add(offset))?
        });
        range.outside = at.unwrap_or(range.outside);
    }
}

type Parsed = (IdMap, (Vec<bool>, Vec<bool>));

/// `uids=0-1-10#10-11-10;gids=@0-100-10`: backing file system, shown, count.
fn parse(text: &str) -> Option<Parsed> {
    let mut map = IdMap::default();
    let mut relative = (Vec::new(), Vec::new());
    for part in text.split(';').filter(|part| !part.is_empty()) {
        let (key, list) = part.split_once('=')?;
        let (ranges, marks) = match key {
            "uids" => (&mut map.uids, &mut relative.0),
            "gids" => (&mut map.gids, &mut relative.1),
            _ => return None,
        };
        for range in list.split('#') {
            let plain = range.strip_prefix('@');
            marks.push(plain.is_some());
            ranges.push(parse_range(plain.unwrap_or(range))?);
        }
    }
    Some((map, relative))
}

fn parse_range(text: &str) -> Option<IdRange> {
    let mut numbers = text.split('-').map(|number| number.parse().ok());
    let range = IdRange {
        inside: numbers.next()??,
        outside: numbers.next()??,
        count: numbers.next()??,
    };
    numbers.next().is_none().then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_in_options() {
        let (map, relative) = parse("uids=0-1-10#10-@11-10;gids=0-100-10").unwrap_or_default();
        assert_eq!((map, relative), Parsed::default());
        let (map, relative) = parse("uids=0-1-10#@10-11-10;gids=0-100-10").unwrap();
        assert_eq!(map.user_outside(3), Some(4));
        assert_eq!(map.group_outside(3), Some(103));
        assert_eq!(relative, (vec![false, true], vec![false]));
        for wrong in [
            "uids",
            "uids=1",
            "uids=1-2",
            "uids=1-2-3-4",
            "users=1-2-3",
            "uids=a-b-c",
        ] {
            assert!(parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn relative_ranges_go_through_the_container() {
        let mut ranges = [IdRange {
            inside: 1,
            outside: 3,
            count: 10,
        }];
        let container = vec![
            IdRange {
                inside: 0,
                outside: 0,
                count: 1,
            },
            IdRange {
                inside: 1,
                outside: 2,
                count: 1000,
            },
        ];
        make_absolute(&mut ranges, &[true], Some(&container));
        assert_eq!(ranges[0].outside, 4);
    }
}
