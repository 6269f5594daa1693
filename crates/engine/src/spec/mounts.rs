//! The mount list, in the order it is made.
//!
//! Source: moby `oci/defaults.go` for the kernel filesystems; parents stand before what lies in them.

use super::{Facts, Security, Source, spec_error};
use crate::container::record::{ContainerRecord, MountRecord};
use crate::error::{Error, Result};
use model::mount::{MountKind, Recursion};
use oci_spec::runtime::{Mount, MountBuilder};
use std::path::{Path, PathBuf};

const SHM_SIZE: u64 = 64 << 20;

pub(super) fn list(
    record: &ContainerRecord,
    facts: &Facts,
    security: &Security,
) -> Result<Vec<Mount>> {
    let mut mounts = kernel(record, facts, security)?;
    // Volumes belong to the container's users also where those have other numbers on the host.
    let idmap = record.userns.map(|_| "idmap");
    let mut own: Vec<(PathBuf, Mount)> = Vec::new();
    for (file, target) in [
        (&facts.resolv_file, "/etc/resolv.conf"),
        (&facts.hostname_file, "/etc/hostname"),
        (&facts.hosts_file, "/etc/hosts"),
    ] {
        let covered = record.mounts.iter().any(|m| m.mount.target == target);
        if !covered && !file.as_os_str().is_empty() {
            // Made for this container, they have its root for owner already.
            own.push((target.into(), bind(file, target, &["rbind", "rprivate"])?));
        }
    }
    for mount in &record.mounts {
        own.push((mount.mount.target.clone().into(), one(mount, facts, idmap)?));
    }
    for (number, file) in record.spec.files.iter().enumerate() {
        // Given to their owner already, as the kernel's ids count.
        let options = ["bind", "rprivate", "ro", "nosuid", "nodev", "noexec"];
        let source = facts.contents.join(number.to_string());
        own.push((
            file.target.clone().into(),
            bind(&source, &file.target, &options)?,
        ));
    }
    let edits = facts.edits.mounts.iter();
    own.extend(edits.map(|mount| (mount.destination().clone(), mount.clone())));
    own.sort_by_key(|(target, _)| target.components().count());
    mounts.extend(own.into_iter().map(|(_, mount)| mount));
    Ok(mounts)
}

fn kernel(record: &ContainerRecord, facts: &Facts, security: &Security) -> Result<Vec<Mount>> {
    let spec = &record.spec;
    let shm = spec.shm_size.unwrap_or(SHM_SIZE);
    let sys = if security.privileged { "rw" } else { "ro" };
    let cgroup = if security.writable_cgroups {
        "rw"
    } else {
        "ro"
    };
    let mut mounts = vec![
        make("proc", "proc", "/proc", &["nosuid", "noexec", "nodev"])?,
        make(
            "tmpfs",
            "tmpfs",
            "/dev",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        )?,
        make(
            "devpts",
            "devpts",
            "/dev/pts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        )?,
    ];
    if facts.ipc == Source::Host {
        mounts.push(bind(
            Path::new("/dev/mqueue"),
            "/dev/mqueue",
            &["rbind", "rprivate"],
        )?);
        mounts.push(bind(
            Path::new("/dev/shm"),
            "/dev/shm",
            &["rbind", "rprivate"],
        )?);
        mounts.retain(|m| {
            m.source()
                .as_ref()
                .is_none_or(|s| !s.starts_with("/dev") || s.exists())
        });
    } else {
        mounts.push(make(
            "mqueue",
            "mqueue",
            "/dev/mqueue",
            &["nosuid", "noexec", "nodev"],
        )?);
        let covered = record.mounts.iter().any(|m| m.mount.target == "/dev/shm");
        if matches!(facts.ipc, Source::Process(_)) && !covered {
            // The other container's: attached in place of this source.
            let options = ["rbind", "rprivate", "nosuid", "noexec", "nodev"];
            mounts.push(bind(Path::new("/dev/shm"), "/dev/shm", &options)?);
        } else if spec.ipc_mode != model::container::NamespaceMode::None && !covered {
            let size = format!("size={shm}");
            mounts.push(make(
                "tmpfs",
                "shm",
                "/dev/shm",
                &["nosuid", "noexec", "nodev", "mode=1777", &size],
            )?);
        }
    }
    // Last: sysfs shows the network namespace it is mounted in, and that one is made while the others are mounted.
    mounts.push(make(
        "sysfs",
        "sysfs",
        "/sys",
        &["nosuid", "noexec", "nodev", sys],
    )?);
    mounts.push(make(
        "cgroup",
        "cgroup",
        "/sys/fs/cgroup",
        &[cgroup, "nosuid", "noexec", "nodev"],
    )?);
    Ok(mounts)
}

fn make(kind: &str, source: &str, target: &str, options: &[&str]) -> Result<Mount> {
    let options: Vec<String> = options.iter().map(|o| (*o).to_owned()).collect();
    MountBuilder::default()
        .typ(kind)
        .source(source)
        .destination(target)
        .options(options)
        .build()
        .map_err(spec_error)
}

fn bind(source: &Path, target: &str, options: &[&str]) -> Result<Mount> {
    let options: Vec<String> = options.iter().map(|o| (*o).to_owned()).collect();
    MountBuilder::default()
        .typ("bind")
        .source(source)
        .destination(target)
        .options(options)
        .build()
        .map_err(spec_error)
}

fn one(record: &MountRecord, facts: &Facts, idmap: Option<&str>) -> Result<Mount> {
    let mount = &record.mount;
    let access = if mount.read_only { "ro" } else { "rw" };
    match &mount.kind {
        MountKind::Bind {
            source,
            propagation,
            recursion,
            ..
        } => {
            let kind = match recursion {
                Recursion::Disabled => "bind",
                _ => "rbind",
            };
            // What lies below is read-only with it, unless it is asked not to be.
            let access = match recursion {
                Recursion::Enabled | Recursion::Readonly if mount.read_only => "rro",
                _ => access,
            };
            bind(
                Path::new(source),
                &mount.target,
                &[kind, propagation.as_deref().unwrap_or("rprivate"), access],
            )
        }
        MountKind::Volume { subpath, .. } => {
            let name = record.volume.as_deref().unwrap_or_default();
            let missing = || Error::NoSuchVolume(name.to_owned());
            let volume = facts.volumes.get(name).ok_or_else(missing)?;
            let mut source = volume.directory.clone();
            if let Some(subpath) = subpath {
                source = beneath(&source, subpath)?;
            }
            let mut options = vec!["rbind", "rprivate", access];
            options.extend(volume.flags.iter().map(String::as_str));
            options.extend(idmap);
            bind(&source, &mount.target, &options)
        }
        MountKind::Tmpfs {
            size,
            mode,
            options,
        } => {
            let mut all = vec!["nosuid".to_owned(), "nodev".to_owned()];
            if !options.iter().any(|o| o == "exec") {
                all.push("noexec".to_owned());
            }
            all.extend(options.iter().filter(|o| *o != "exec").cloned());
            all.extend(size.map(|s| format!("size={s}")));
            all.push(format!("mode={:o}", mode.unwrap_or(0o1777)));
            if mount.read_only {
                all.push("ro".to_owned());
            }
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            make("tmpfs", "tmpfs", &mount.target, &all)
        }
        // The tree is made by the engine and attached in place of this source.
        MountKind::Image { reference, .. } => bind(
            Path::new(reference),
            &mount.target,
            &["rbind", "rprivate", "ro"],
        ),
    }
}

/// A directory within a volume; the volume's content is a container's, so no link in it leads out.
fn beneath(volume: &Path, subpath: &str) -> Result<PathBuf> {
    use std::path::Component;
    let path = Path::new(subpath);
    if path
        .components()
        .any(|c| !matches!(c, Component::Normal(_) | Component::CurDir))
    {
        return Err(Error::invalid(
            format!("volume subpath {subpath:?}"),
            "must be a relative path below the volume",
        ));
    }
    let whole = volume.join(path);
    let real =
        std::fs::canonicalize(&whole).map_err(Error::file("find the volume subpath", &whole))?;
    let root = std::fs::canonicalize(volume).map_err(Error::file("find the volume", volume))?;
    if !real.starts_with(&root) {
        return Err(Error::invalid(
            format!("volume subpath {subpath:?}"),
            "leads out of the volume",
        ));
    }
    Ok(real)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{record, refusal};
    use crate::spec::build;
    use crate::spec::tests::facts;
    use model::container::ContainerSpec;
    use model::mount::Mount as Asked;
    use oci_spec::runtime::Spec;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|s| (*s).to_owned()).collect()
    }

    fn mount(kind: Wanted<'_>, target: &str, read_only: bool) -> MountRecord {
        let (kind, volume) = match kind {
            Wanted::Bind(source) => (
                MountKind::Bind {
                    source: source.into(),
                    create_source: true,
                    propagation: None,
                    recursion: Recursion::Enabled,
                },
                None,
            ),
            Wanted::Volume(name) => (
                MountKind::Volume {
                    name: Some(name.into()),
                    no_copy: false,
                    subpath: None,
                    driver: None,
                    driver_opts: Default::default(),
                    labels: Default::default(),
                },
                Some(name.to_owned()),
            ),
            Wanted::Tmpfs(options) => (
                MountKind::Tmpfs {
                    size: Some(4096),
                    mode: Some(0o700),
                    options: strings(options),
                },
                None,
            ),
        };
        MountRecord {
            mount: Asked {
                kind,
                target: target.into(),
                read_only,
            },
            volume,
            image: None,
            anonymous: false,
        }
    }

    enum Wanted<'a> {
        Bind(&'a str),
        Volume(&'a str),
        Tmpfs(&'a [&'a str]),
    }

    fn options_at(spec: &Spec, target: &str) -> Vec<String> {
        let mounts = spec.mounts().as_ref().unwrap();
        let found = mounts
            .iter()
            .find(|m| m.destination() == Path::new(target))
            .unwrap();
        found.options().clone().unwrap()
    }

    #[test]
    fn parents_are_mounted_before_what_lies_in_them() {
        let mut web = record(ContainerSpec::default());
        web.mounts = vec![
            mount(Wanted::Bind("/srv/deep"), "/data/a/b", false),
            mount(Wanted::Volume("db"), "/data", true),
            mount(Wanted::Tmpfs(&[]), "/data/a", false),
        ];
        let spec = build(&web, &facts()).unwrap();
        let targets: Vec<String> = spec
            .mounts()
            .as_ref()
            .unwrap()
            .iter()
            .map(|m| m.destination().display().to_string())
            .collect();
        let at = |target: &str| targets.iter().position(|t| t == target).unwrap();
        assert!(at("/proc") < at("/data") && at("/dev") < at("/dev/shm"));
        assert!(at("/data") < at("/data/a") && at("/data/a") < at("/data/a/b"));
        assert_eq!(options_at(&spec, "/data"), ["rbind", "rprivate", "ro"]);
        assert_eq!(options_at(&spec, "/data/a/b"), ["rbind", "rprivate", "rw"]);
        assert!(options_at(&spec, "/sys").contains(&"ro".to_owned()));
    }

    #[test]
    fn a_tmpfs_may_not_execute_unless_told() {
        let mut web = record(ContainerSpec::default());
        web.mounts = vec![
            mount(Wanted::Tmpfs(&["uid=5"]), "/tmp", true),
            mount(Wanted::Tmpfs(&["exec"]), "/run", false),
        ];
        let spec = build(&web, &facts()).unwrap();
        assert_eq!(
            options_at(&spec, "/tmp"),
            [
                "nosuid",
                "nodev",
                "noexec",
                "uid=5",
                "size=4096",
                "mode=700",
                "ro"
            ]
        );
        assert_eq!(
            options_at(&spec, "/run"),
            ["nosuid", "nodev", "size=4096", "mode=700"]
        );
    }

    #[test]
    fn a_mount_of_ones_own_covers_the_engines() {
        let mut web = record(ContainerSpec {
            shm_size: Some(1 << 20),
            ..Default::default()
        });
        let spec = build(&web, &facts()).unwrap();
        assert!(options_at(&spec, "/dev/shm").contains(&"size=1048576".to_owned()));
        web.mounts = vec![
            mount(Wanted::Bind("/srv/hosts"), "/etc/hosts", true),
            mount(Wanted::Tmpfs(&[]), "/dev/shm", false),
        ];
        let spec = build(&web, &facts()).unwrap();
        for target in ["/etc/hosts", "/dev/shm"] {
            let mounts = spec.mounts().as_ref().unwrap();
            let count = mounts
                .iter()
                .filter(|m| m.destination() == Path::new(target))
                .count();
            assert_eq!(count, 1, "{target}");
        }
    }

    #[test]
    fn a_volume_that_is_gone_is_an_error_that_names_it() {
        let mut web = record(ContainerSpec::default());
        web.mounts = vec![mount(Wanted::Volume("lost"), "/data", false)];
        assert!(refusal(build(&web, &facts())).contains("lost: no such volume"));
    }

    #[test]
    fn a_subpath_that_leads_out_of_its_volume_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("volume");
        std::fs::create_dir_all(volume.join("sub")).unwrap();
        std::os::unix::fs::symlink("/etc", volume.join("out")).unwrap();
        assert!(beneath(&volume, "sub").is_ok());
        for bad in ["../x", "/etc", "out"] {
            assert!(beneath(&volume, bad).is_err(), "{bad}");
        }
    }
}
