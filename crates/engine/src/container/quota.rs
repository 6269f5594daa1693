//! `--storage-opt size=…`: how much a container's own layer may take, by a project quota of the file system it lies on.
//!
//! upper/ and work/ are put into a project of the container's own. Its number is in the container's record and nowhere else; it is
//! free again when the files are deleted. Numbers are taken from a range of ours, and of those only what nobody else has: not in
//! projid(5) or projects(5), without a file and without a limit on the file system.
//! Source: moby `daemon/graphdriver/overlay2` (option and messages), xfs_quota(8), ext4(5) "project quota"; the kernel takes
//! CAP_SYS_RESOURCE, which would pass ext4's limits by, from what an overlay writes with.

use super::record::ContainerRecord;
use crate::context::Context;
use crate::error::{Error, Result};
use model::container::ContainerSpec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use sys::lock::FileLock;
use sys::quota;

/// The limit of one container's layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaRecord {
    /// Its project on the file system of the data root.
    pub project: u32,
    pub bytes: u64,
}

/// Where projects of ours begin, far above what people and other engines number by hand or count from 1.
const FIRST: u32 = 0x5D00_0000;
const COUNT: u32 = 1 << 16;

/// The directories of a container that count.
const PARTS: [&str; 2] = ["upper", "work"];

/// A project that was chosen, and what keeps others from choosing the same until its record is seen.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) record: QuotaRecord,
    _lock: FileLock,
}

/// Refuses what cannot be had, before anything is made.
pub(super) fn check(ctx: &Context, spec: &ContainerSpec) -> Result<()> {
    if wanted(spec)?.is_none() {
        return Ok(());
    }
    let dir = ctx.layout.containers();
    let at = File::open(&dir).map_err(Error::file("open", &dir))?;
    if quota::is_enforced(&at).map_err(Error::file("ask for quotas at", &dir))? {
        return Ok(());
    }
    let way = match sys::path::is_on(&at, sys::path::Magic::Xfs) {
        Ok(true) => {
            "the data root's xfs is mounted without; mount it with pquota (of the root file system: boot with rootflags=pquota)"
        }
        _ => {
            "the data root's file system has no project quotas on; keep it on xfs mounted with pquota, or on ext4 (`tune2fs -O \
             project,quota DEVICE` while it is not mounted) mounted with prjquota"
        }
    };
    Err(Error::invalid(
        "--storage-opt is supported only for overlay over xfs with 'pquota' mount option or ext4 with 'prjquota'",
        way,
    ))
}

/// The bytes that are asked for. 0 is no limit, as in Docker.
fn wanted(spec: &ContainerSpec) -> Result<Option<u64>> {
    let mut bytes = None;
    for (key, value) in &spec.storage_opt {
        if !key.eq_ignore_ascii_case("size") {
            return Err(Error::invalid(
                format!("unknown option {key}"),
                "--storage-opt knows size",
            ));
        }
        bytes = Some(model::size::parse(value)?).filter(|bytes| *bytes > 0);
    }
    Ok(bytes)
}

/// A free project for a container that wants one.
pub(super) fn choose(ctx: &Context, spec: &ContainerSpec) -> Result<Option<Chosen>> {
    let Some(bytes) = wanted(spec)? else {
        return Ok(None);
    };
    let path = ctx.layout.lock("quota", "projects");
    let lock = FileLock::exclusive(&path).map_err(Error::file("lock", path))?;
    let all = ContainerRecord::list(ctx)?;
    let mut taken: BTreeSet<u32> = all
        .iter()
        .filter_map(|container| Some(container.quota?.project))
        .collect();
    // Projects and their directories are `name:number` and `number:path`.
    for file in ["/etc/projid", "/etc/projects"] {
        taken.extend(numbers(&std::fs::read_to_string(file).unwrap_or_default()));
    }
    let dir = ctx.layout.containers();
    let at = File::open(&dir).map_err(Error::file("open", &dir))?;
    for project in candidates(&dir).filter(|project| !taken.contains(project)) {
        let usage = quota::usage(&at, project).map_err(Error::file("ask for quotas at", &dir))?;
        if usage.is_unused() {
            return Ok(Some(Chosen {
                record: QuotaRecord { project, bytes },
                _lock: lock,
            }));
        }
    }
    Err(Error::invalid(
        "no unused project is left for --storage-opt size",
        "remove containers that have one",
    ))
}

/// Every data root begins at a place of its own: two on one file system do not look at the same number at the same time.
fn candidates(dir: &Path) -> impl Iterator<Item = u32> {
    let text = dir.as_os_str().as_encoded_bytes().iter();
    let start = text.fold(0u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add((*byte).into())
    });
    (0..COUNT).map(move |step| FIRST + start.wrapping_add(step) % COUNT)
}

/// All numbers between colons and line ends; more than are projects does no harm.
fn numbers(text: &str) -> impl Iterator<Item = u32> + '_ {
    text.split([':', '\n'])
        .filter_map(|word| word.trim().parse().ok())
}

/// Puts a container that is being made, still empty, into its project, and gives that its limit.
pub(super) fn set(container: &Path, record: QuotaRecord) -> Result<()> {
    for part in PARTS {
        let path = container.join(part);
        let dir = File::open(&path).map_err(Error::file("open", &path))?;
        quota::set_project(&dir, record.project)
            .map_err(Error::file("set the project of", &path))?;
        quota::set_limit(&dir, record.project, record.bytes)
            .map_err(Error::file("set the quota of", &path))?;
    }
    Ok(())
}

/// Takes the limit from the project of a container that is about to be deleted. What the container's files say is not asked: it may
/// have changed them.
pub(crate) fn give_back(container: &Path) {
    #[derive(Deserialize)]
    struct Part {
        quota: Option<QuotaRecord>,
    }
    let Ok(text) = sys::file::read(&container.join("config.json")) else {
        return;
    };
    let Ok(Part {
        quota: Some(record),
    }) = serde_json::from_slice(&text)
    else {
        return;
    };
    let ours = (FIRST..FIRST + COUNT).contains(&record.project);
    if let Ok(at) = File::open(container)
        && ours
    {
        // Without quotas, should they have been switched off since, there is no limit to take away.
        let _ = quota::set_limit(&at, record.project, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{context, refusal};

    fn spec(key: &str, value: &str) -> ContainerSpec {
        ContainerSpec {
            storage_opt: [(key.to_owned(), value.to_owned())].into(),
            ..Default::default()
        }
    }

    #[test]
    fn a_size_is_all_that_is_known() {
        assert_eq!(wanted(&ContainerSpec::default()).unwrap(), None);
        assert_eq!(wanted(&spec("size", "1.5G")).unwrap(), Some(3 << 29));
        assert_eq!(wanted(&spec("Size", "10m")).unwrap(), Some(10 << 20));
        assert_eq!(wanted(&spec("size", "0")).unwrap(), None, "as in Docker");
        let said = refusal(wanted(&spec("inodes", "5")));
        assert!(said.starts_with("unknown option inodes"), "{said}");
        assert!(wanted(&spec("size", "much")).is_err());
    }

    #[test]
    fn without_quotas_the_way_to_them_is_told() {
        let (_dir, ctx) = context();
        let said = match check(&ctx, &spec("size", "1G")) {
            // This file system has them.
            Ok(()) => return,
            Err(e) => e.to_string(),
        };
        assert!(
            said.starts_with("--storage-opt is supported only for overlay over xfs"),
            "{said}"
        );
        assert!(said.contains("pquota") && said.contains("prjquota"));
        assert!(check(&ctx, &ContainerSpec::default()).is_ok());
    }

    #[test]
    fn every_number_of_the_range_is_tried_once() {
        let all: BTreeSet<u32> = candidates(Path::new("/var/lib/dockless/containers")).collect();
        assert_eq!(all.len(), COUNT as usize);
        assert!(all.iter().all(|p| (FIRST..FIRST + COUNT).contains(p)));
        let first = |path: &str| candidates(Path::new(path)).next();
        assert_ne!(first("/a/containers"), first("/b/containers"));
    }

    #[test]
    fn numbers_of_others_are_found_in_their_files() {
        let text = "# comment\nlogs:1560281088\n1560281089:/srv/a\nbad:-1\n::\n";
        assert_eq!(
            numbers(text).collect::<Vec<_>>(),
            [1_560_281_088, 1_560_281_089]
        );
    }

    #[test]
    fn what_is_no_container_gives_nothing_back() {
        let dir = tempfile::tempdir().unwrap();
        give_back(dir.path());
        for text in [
            "",
            "{}",
            "{\"quota\":null}",
            "{\"quota\":{\"project\":7,\"bytes\":1}}",
        ] {
            std::fs::write(dir.path().join("config.json"), text).unwrap();
            give_back(dir.path());
        }
    }
}
