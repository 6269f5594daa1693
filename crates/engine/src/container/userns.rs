//! `--userns auto`: a range of the host's ids for each container, which no other container has.
//!
//! Who has which range is what the containers' records say, so a range is free again when its container is removed, and nothing
//! else has to be kept. The pool is what `/etc/subuid` and `/etc/subgid` give to `dockless` or `containers`; without such a line
//! it is a part of the id space that no distribution gives to users or services.
//! Source: subuid(5), podman-run(1) `--userns=auto`, systemd "Users, Groups, UIDs and GIDs" for what is used by whom.

use super::record::ContainerRecord;
use crate::context::Context;
use crate::error::{Error, Result};
use model::container::{ContainerSpec, NamespaceMode};
use model::network::NetworkMode;
use runtime::{IdMap, IdRange};
use serde::{Deserialize, Serialize};
use std::path::Path;
use sys::lock::FileLock;

/// The ids of one container: 0 to `size` - 1 inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsernsRecord {
    /// What user 0 is on the host.
    pub uid: u32,
    /// What group 0 is on the host.
    pub gid: u32,
    pub size: u32,
}

/// What files belong to whom the container does not know; the kernel's `overflowuid`.
const NOBODY: u32 = 65534;

impl UsernsRecord {
    /// User and group as the container sees them.
    pub fn inside(&self, uid: u32, gid: u32) -> (u32, u32) {
        let of = |id: u32, first: u32| id.checked_sub(first).filter(|id| *id < self.size);
        (
            of(uid, self.uid).unwrap_or(NOBODY),
            of(gid, self.gid).unwrap_or(NOBODY),
        )
    }

    /// User and group of the container as they are on the host; `None` for one it cannot have.
    pub fn outside(&self, uid: u32, gid: u32) -> Option<(u32, u32)> {
        let both = uid < self.size && gid < self.size;
        both.then_some((self.uid.checked_add(uid)?, self.gid.checked_add(gid)?))
    }

    pub fn map(&self) -> IdMap {
        let range = |outside| IdRange {
            inside: 0,
            outside,
            count: self.size,
        };
        IdMap {
            uids: vec![range(self.uid)],
            gids: vec![range(self.gid)],
        }
    }
}

/// First id and number of ids of a pool's part.
type Part = (u32, u32);

/// Without a line in `/etc/subuid`: above what container managers of systemd take and below the reserved half, 4093 ranges.
const DEFAULT_POOL: Part = (0x7000_0000, 0x0FFD_0000);

/// Whose lines of subuid(5) count, the first that has any.
const USERS: [&str; 2] = ["dockless", "containers"];

/// A range that was chosen, and what keeps others from choosing the same until its record is seen.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) record: UsernsRecord,
    _lock: FileLock,
}

/// A free range for a container that wants one.
pub(super) fn choose(ctx: &Context, spec: &ContainerSpec) -> Result<Option<Chosen>> {
    let Some(size) = spec.userns_mode.range_size() else {
        return Ok(None);
    };
    let path = ctx.layout.lock("userns", "pool");
    let lock = FileLock::exclusive(&path).map_err(Error::file("lock", path))?;
    let all = ContainerRecord::list(ctx)?;
    let taken: Vec<UsernsRecord> = all.iter().filter_map(|c| c.userns).collect();
    let pool = |file: &str| parts(&std::fs::read_to_string(Path::new(file)).unwrap_or_default());
    let uids: Vec<Part> = taken.iter().map(|t| (t.uid, t.size)).collect();
    let gids: Vec<Part> = taken.iter().map(|t| (t.gid, t.size)).collect();
    let record = UsernsRecord {
        uid: free(&pool("/etc/subuid"), &uids, size).ok_or_else(|| full("/etc/subuid", size))?,
        gid: free(&pool("/etc/subgid"), &gids, size).ok_or_else(|| full("/etc/subgid", size))?,
        size,
    };
    Ok(Some(Chosen {
        record,
        _lock: lock,
    }))
}

fn full(file: &str, size: u32) -> Error {
    Error::invalid(
        format!("no {size} unused ids in the pool of {file} for --userns=auto"),
        "remove containers, ask for fewer with auto:size=N, or give `dockless` more there",
    )
}

/// The pool by the lines of subuid(5); nonsense is passed over as shadow's own tools do.
fn parts(text: &str) -> Vec<Part> {
    let of = |user: &str| -> Vec<Part> {
        let lines = text.lines().filter_map(|line| {
            let mut fields = line.trim().split(':');
            let (name, start, count) = (fields.next()?, fields.next()?, fields.next()?);
            let (start, count): (u32, u32) = (start.parse().ok()?, count.parse().ok()?);
            // Root of the host is nobody's, and the last id is "none".
            let fits = start > 0 && count > 0 && start.checked_add(count).is_some();
            (name == user && fits && fields.next().is_none()).then_some((start, count))
        });
        lines.collect()
    };
    let lists = USERS.map(of);
    let found = lists.into_iter().find(|list| !list.is_empty());
    found.unwrap_or_else(|| vec![DEFAULT_POOL])
}

/// The lowest free run of that size.
fn free(pool: &[Part], taken: &[Part], size: u32) -> Option<u32> {
    let mut taken: Vec<(u64, u64)> = taken.iter().map(|t| span(*t)).collect();
    taken.sort_unstable();
    pool.iter().find_map(|part| {
        let (mut at, end) = span(*part);
        for (from, to) in &taken {
            if *to > at && *from < at + u64::from(size) {
                at = *to;
            }
        }
        (at + u64::from(size) <= end).then(|| u32::try_from(at).ok())?
    })
}

fn span((start, count): Part) -> (u64, u64) {
    (u64::from(start), u64::from(start) + u64::from(count))
}

/// What a container with ids of its own cannot share, in Docker's words.
pub(super) fn check(spec: &ContainerSpec) -> Result<()> {
    if spec.userns_mode.range_size().is_none() {
        return Ok(());
    }
    let refused = |what: &str, cause: &str| Err(Error::invalid(what, cause));
    let host = "leave one of the two out, or use --userns=host";
    if spec.privileged {
        return refused(
            "privileged mode is incompatible with user namespaces",
            "You must run the container in the host namespace when running privileged mode (--userns=host)",
        );
    }
    match &spec.network_mode {
        NetworkMode::Host => {
            return refused(
                "cannot share the host's network namespace when user namespaces are enabled",
                host,
            );
        }
        NetworkMode::Container(_) => {
            return refused(
                "cannot share another container's network namespace with --userns=auto",
                host,
            );
        }
        _ => {}
    }
    for (mode, name) in [
        (&spec.pid_mode, "PID"),
        (&spec.ipc_mode, "IPC"),
        (&spec.uts_mode, "UTS"),
        (&spec.cgroupns_mode, "cgroup"),
    ] {
        match mode {
            NamespaceMode::Host => {
                let what = format!(
                    "cannot share the host {name} namespace when user namespaces are enabled"
                );
                return refused(&what, host);
            }
            NamespaceMode::Container(_) => {
                let what =
                    format!("cannot share another container's {name} namespace with --userns=auto");
                return refused(&what, host);
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{container, context, refusal};
    use model::userns::UsernsMode;

    fn auto(size: Option<u32>) -> ContainerSpec {
        ContainerSpec {
            userns_mode: UsernsMode::Auto { size },
            ..Default::default()
        }
    }

    #[test]
    fn every_container_has_a_range_of_its_own_until_it_is_removed() {
        let (_dir, ctx) = context();
        let one = container(&ctx, "one", auto(None)).userns.unwrap();
        let two = container(&ctx, "two", auto(Some(1000))).userns.unwrap();
        assert!(one.uid > 0 && one.size == 65536 && two.size == 1000);
        let apart =
            |a: UsernsRecord, b: UsernsRecord| a.uid + a.size <= b.uid || b.uid + b.size <= a.uid;
        assert!(apart(one, two));
        let record = crate::container::names::resolve(&ctx, "one").unwrap();
        crate::container::remove::remove(&ctx, &record, Default::default()).unwrap();
        let three = container(&ctx, "three", auto(None)).userns.unwrap();
        assert_eq!(three, one);
        assert_eq!(
            container(&ctx, "host", ContainerSpec::default()).userns,
            None
        );
    }

    #[test]
    fn ids_are_told_as_each_side_knows_them() {
        let ids = UsernsRecord {
            uid: 1000,
            gid: 2000,
            size: 100,
        };
        assert_eq!(ids.outside(5, 6), Some((1005, 2006)));
        assert_eq!(ids.inside(1005, 2006), (5, 6));
        assert_eq!(ids.inside(0, 2100), (NOBODY, NOBODY));
        assert_eq!(ids.outside(100, 0), None);
    }

    #[test]
    fn the_lowest_gap_that_is_wide_enough_is_taken() {
        let pool = [(100, 50), (1000, 200)];
        assert_eq!(free(&pool, &[], 50), Some(100));
        assert_eq!(free(&pool, &[(100, 10)], 40), Some(110));
        assert_eq!(free(&pool, &[(100, 10), (120, 5)], 10), Some(110));
        assert_eq!(free(&pool, &[(120, 5), (100, 20)], 25), Some(125));
        assert_eq!(free(&pool, &[(100, 10)], 41), Some(1000));
        assert_eq!(free(&pool, &[(90, 2000)], 1), None);
        assert_eq!(free(&pool, &[], 201), None);
        assert_eq!(free(&[(u32::MAX - 10, 10)], &[], 11), None);
    }

    #[test]
    fn the_pool_is_what_the_hosts_files_give_to_us() {
        assert_eq!(parts(""), [DEFAULT_POOL]);
        assert_eq!(parts("bob:100000:65536\n"), [DEFAULT_POOL]);
        let both = "containers:200000:65536\ndockless:300000:1000\ndockless:400000:1000\n";
        assert_eq!(parts(both), [(300_000, 1000), (400_000, 1000)]);
        assert_eq!(parts("containers:5:10\n"), [(5, 10)]);
        for bad in [
            "containers:0:10",
            "containers:-1:10",
            "containers:5",
            "containers:5:10:1",
            "containers:4294967290:100",
            "containers:x:y",
        ] {
            assert_eq!(parts(bad), [DEFAULT_POOL], "{bad}");
        }
    }

    #[test]
    fn what_is_the_hosts_cannot_be_shared() {
        let says = |spec: ContainerSpec, text: &str| {
            let said = refusal(check(&spec));
            assert!(said.contains(text), "{said}");
        };
        says(
            ContainerSpec {
                privileged: true,
                ..auto(None)
            },
            "privileged mode is incompatible",
        );
        says(
            ContainerSpec {
                network_mode: NetworkMode::Host,
                ..auto(None)
            },
            "host's network namespace",
        );
        says(
            ContainerSpec {
                pid_mode: NamespaceMode::Host,
                ..auto(None)
            },
            "host PID namespace",
        );
        assert!(check(&auto(None)).is_ok());
    }
}
