//! Names of users and groups by the container's own files: `/etc/passwd` and `/etc/group` beneath its root.
//!
//! The files are an image's: read with a limit, links stay in the root, a malformed line is skipped.
//! Source: passwd(5), group(5); the rules and texts are those of moby's `user` package (`docker run --user`).

use crate::request::UserSpec;
use serde::{Deserialize, Serialize};
use std::os::fd::BorrowedFd;
use std::path::Path;
use thiserror::Error;

/// Larger files are cut here.
const LIMIT: u64 = 4 * 1024 * 1024;
/// The kernel's NGROUPS_MAX.
const MAX_ID: u64 = 0xffff_fffe;

/// Who a process is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups, the primary one among them (CVE-2022-36109).
    pub groups: Vec<u32>,
    pub home: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum Error {
    #[error("unable to find user {0}: no matching entries in passwd file")]
    UnknownUser(String),
    #[error("unable to find group {0}: no matching entries in group file")]
    UnknownGroup(String),
    #[error("uids and gids must be in range 0-4294967294: {0}")]
    OutOfRange(String),
}

/// A line of passwd(5), as far as we need it.
struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

fn users(text: &str) -> impl Iterator<Item = User<'_>> {
    text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.trim().split(':').collect();
        let (name, uid, gid) = (
            fields.first()?,
            fields.get(2)?.parse().ok()?,
            fields.get(3)?.parse().ok()?,
        );
        Some(User {
            name,
            uid,
            gid,
            home: fields.get(5).copied().unwrap_or(""),
        })
    })
}

fn groups(text: &str) -> impl Iterator<Item = Group<'_>> {
    text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.trim().split(':').collect();
        Some(Group {
            name: fields.first()?,
            gid: fields.get(2)?.parse().ok()?,
            members: fields.get(3).copied().unwrap_or(""),
        })
    })
}

/// A number is one only as a whole, and within the kernel's range.
fn number(text: &str) -> Result<Option<u32>, Error> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse::<u64>() {
        Ok(id) if id <= MAX_ID => Ok(Some(id as u32)),
        _ => Err(Error::OutOfRange(text.to_owned())),
    }
}

/// `user[:group]` by the texts of the two files.
pub fn resolve(spec: &UserSpec, passwd: &str, group: &str) -> Result<Identity, Error> {
    let (user_part, group_part) = match spec.user.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|g| !g.is_empty())),
        None => (spec.user.as_str(), None),
    };
    let wanted = if user_part.is_empty() { "0" } else { user_part };
    let by_number = number(wanted)?;
    // A name made of digits wins over the number, as in moby.
    let entry = users(passwd)
        .find(|user| user.name == wanted)
        .or_else(|| users(passwd).find(|user| Some(user.uid) == by_number));
    let mut identity = match (&entry, by_number) {
        (Some(user), _) => Identity {
            uid: user.uid,
            gid: user.gid,
            home: user.home.to_owned(),
            ..Identity::default()
        },
        (None, Some(uid)) => Identity {
            uid,
            ..Identity::default()
        },
        (None, None) => return Err(Error::UnknownUser(wanted.to_owned())),
    };
    match group_part {
        Some(name) => identity.gid = find_group(name, group)?,
        None => {
            // Only without an explicit group do the groups that list the user count.
            let name = entry.map_or("", |user| user.name);
            let listed = groups(group).filter(|g| {
                !name.is_empty() && g.members.split(',').any(|member| member.trim() == name)
            });
            identity.groups.extend(listed.map(|g| g.gid));
        }
    }
    for name in &spec.add_groups {
        identity.groups.push(find_group(name, group)?);
    }
    Ok(complete(identity))
}

fn find_group(name: &str, text: &str) -> Result<u32, Error> {
    if let Some(group) = groups(text).find(|group| group.name == name) {
        return Ok(group.gid);
    }
    number(name)?.ok_or_else(|| Error::UnknownGroup(name.to_owned()))
}

fn complete(mut identity: Identity) -> Identity {
    identity.groups.insert(0, identity.gid);
    let mut seen = Vec::new();
    identity.groups.retain(|gid| {
        let new = !seen.contains(gid);
        seen.push(*gid);
        new
    });
    if identity.home.is_empty() {
        identity.home = "/".to_owned();
    }
    identity
}

/// The same by the files beneath a root; a missing file is an empty one.
pub fn resolve_in_root(root: BorrowedFd<'_>, spec: &UserSpec) -> Result<Identity, Error> {
    resolve(spec, &read(root, "/etc/passwd"), &read(root, "/etc/group"))
}

/// For numbers given by the spec: only the home directory is looked up.
pub(crate) fn describe_in_root(
    root: BorrowedFd<'_>,
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
) -> Identity {
    let passwd = read(root, "/etc/passwd");
    let home = users(&passwd)
        .find(|user| user.uid == uid)
        .map_or("/", |user| user.home);
    let home = if home.is_empty() { "/" } else { home };
    Identity {
        uid,
        gid,
        groups,
        home: home.to_owned(),
    }
}

fn read(root: BorrowedFd<'_>, path: &str) -> String {
    let bytes = sys::path::read_file(root, Path::new(path), LIMIT).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbroken\nredis:x:999:1000::/data:/bin/sh\n1234:x:77:77::/odd:\n";
    const GROUP: &str = "root:x:0:\nredis:x:1000:\nstaff:x:50:redis,other\naudio:x:29:redis\n";

    fn resolved(user: &str, add: &[&str]) -> Result<Identity, Error> {
        let spec = UserSpec {
            user: user.to_owned(),
            add_groups: add.iter().map(|s| (*s).to_owned()).collect(),
        };
        resolve(&spec, PASSWD, GROUP)
    }

    #[test]
    fn names_bring_their_groups() {
        let redis = resolved("redis", &[]).unwrap();
        assert_eq!(
            (redis.uid, redis.gid, redis.groups, redis.home.as_str()),
            (999, 1000, vec![1000, 50, 29], "/data")
        );
    }

    #[test]
    fn an_explicit_group_stands_alone() {
        let redis = resolved("redis:staff", &[]).unwrap();
        assert_eq!((redis.gid, redis.groups), (50, vec![50]));
        assert_eq!(
            resolved("999:5", &["audio", "7"]).unwrap().groups,
            [5, 29, 7]
        );
    }

    #[test]
    fn numbers_need_no_entry() {
        let unknown = resolved("4242", &[]).unwrap();
        assert_eq!(
            (unknown.uid, unknown.gid, unknown.home.as_str()),
            (4242, 0, "/")
        );
        assert_eq!(resolved("999", &[]).unwrap().gid, 1000);
        assert_eq!(resolved("1234", &[]).unwrap().uid, 77);
        assert_eq!(resolved("", &[]).unwrap().home, "/root");
    }

    #[test]
    fn unknown_names_say_what_docker_says() {
        assert_eq!(
            resolved("foo", &[]).unwrap_err().to_string(),
            "unable to find user foo: no matching entries in passwd file"
        );
        assert_eq!(
            resolved("root:foo", &[]).unwrap_err().to_string(),
            "unable to find group foo: no matching entries in group file"
        );
        assert!(matches!(
            resolved("4294967295", &[]),
            Err(Error::OutOfRange(_))
        ));
        assert!(matches!(resolved("-1", &[]), Err(Error::UnknownUser(_))));
    }
}
