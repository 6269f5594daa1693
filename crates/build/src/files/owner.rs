//! `--chown user[:group]`: numbers as they are, names from the image's own `/etc/passwd` and `/etc/group`.
//!
//! The files are the image's and so hostile: read with a limit, beneath the root, never by getpwnam(3).

use super::Error;
use std::os::fd::BorrowedFd;
use std::path::Path;

const LIMIT: u64 = 4 << 20;

/// User and group of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// Resolves the text in the root `root`. A user without a group has the group of the same number, as Docker does
/// for numbers, and its own group from `/etc/passwd` for names.
pub fn resolve(root: BorrowedFd<'_>, text: &str) -> Result<Owner, Error> {
    let passwd = || read(root, "etc/passwd");
    let group = || read(root, "etc/group");
    lookup(text, &passwd, &group)
}

fn read(root: BorrowedFd<'_>, path: &str) -> String {
    let bytes = sys::path::read_file(root, Path::new(path), LIMIT).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn lookup(
    text: &str,
    passwd: &dyn Fn() -> String,
    group: &dyn Fn() -> String,
) -> Result<Owner, Error> {
    let bad = |cause: String| Error::Owner {
        text: text.to_owned(),
        cause,
    };
    let (user, group_name) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let mut owner = match user.parse::<u32>() {
        Ok(uid) => Owner { uid, gid: uid },
        Err(_) if user.is_empty() => Owner::default(),
        Err(_) => {
            let numbers = find(&passwd(), user)
                .ok_or_else(|| bad(format!("the image's /etc/passwd has no user {user:?}")))?;
            let [uid, gid] = numbers[..] else {
                return Err(bad("the entry in /etc/passwd is damaged".to_owned()));
            };
            Owner { uid, gid }
        }
    };
    if let Some(name) = group_name {
        owner.gid = match name.parse::<u32>() {
            Ok(gid) => gid,
            Err(_) => {
                let numbers = find(&group(), name)
                    .ok_or_else(|| bad(format!("the image's /etc/group has no group {name:?}")))?;
                *numbers
                    .first()
                    .ok_or_else(|| bad("the entry in /etc/group is damaged".to_owned()))?
            }
        };
    }
    Ok(owner)
}

/// The numbers in fields 3 and 4 of the entry that has this name.
fn find(file: &str, name: &str) -> Option<Vec<u32>> {
    let entry = file
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    Some(
        entry
            .split(':')
            .skip(2)
            .take(2)
            .map_while(|number| number.parse().ok())
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        let passwd = || "root:x:0:0::/:/bin/sh\napp:x:1000:1001::/:/bin/sh\nbad:x:x\n".to_owned();
        let group = || "staff:x:50:\n".to_owned();
        let owner = |text: &str| lookup(text, &passwd, &group);
        assert_eq!(
            owner("app").unwrap(),
            Owner {
                uid: 1000,
                gid: 1001
            }
        );
        assert_eq!(owner("app:staff").unwrap(), Owner { uid: 1000, gid: 50 });
        assert_eq!(owner("7").unwrap(), Owner { uid: 7, gid: 7 });
        assert_eq!(owner("7:8").unwrap(), Owner { uid: 7, gid: 8 });
        assert_eq!(owner(":staff").unwrap(), Owner { uid: 0, gid: 50 });
        for bad in ["nobody", "app:none", "bad"] {
            assert!(owner(bad).is_err(), "{bad}");
        }
    }
}
