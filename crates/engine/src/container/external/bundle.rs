//! The bundle another runtime gets: our spec, completed by what our own runtime does without being told.
//!
//! User names become numbers, HOME is set, the default filter is written out, devices are denied before some are allowed,
//! and the place of the control group is named. Source: runtime-spec `config.md`, `bundle.md`.

use super::super::record::ContainerRecord;
use crate::error::{Error, Result};
use crate::spec::{Facts, Seccomp, Security, Source, spec_error};
use oci_spec::runtime::{LinuxDeviceCgroupBuilder, Root, Spec, UserBuilder};
use runtime::UserSpec;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

/// The root, in the bundle.
pub(super) const ROOTFS: &str = "rootfs";

/// What the spec is completed with.
pub(super) struct Surroundings<'a> {
    pub(super) facts: &'a Facts,
    pub(super) cgroups_path: String,
    /// Names or numbers of further groups.
    pub(super) groups: Vec<String>,
}

/// Completes a spec; users are looked up beneath `root`.
pub(super) fn adapt(
    spec: &mut Spec,
    container: &ContainerRecord,
    around: &Surroundings<'_>,
    root: BorrowedFd<'_>,
) -> Result<()> {
    let mut place = Root::default();
    place
        .set_path(PathBuf::from(ROOTFS))
        .set_readonly(Some(container.spec.read_only));
    spec.set_root(Some(place));
    // Nothing here is newer, and there are runtimes that refuse a number they do not know.
    spec.set_version("1.0.2".to_owned());
    if around.facts.uts != Source::New {
        // The names would be the host's, or another container's.
        spec.set_hostname(None).set_domainname(None);
    }
    let user = UserSpec {
        user: container.process.user.clone(),
        add_groups: around.groups.clone(),
    };
    if let Some(process) = spec.process_mut() {
        become_user(process, &user, root)?;
    }
    let security = Security::parse(&container.spec)?;
    let capabilities = held(spec);
    let Some(linux) = spec.linux_mut() else {
        return Ok(());
    };
    linux.set_cgroups_path(Some(around.cgroups_path.clone().into()));
    if security.seccomp == Seccomp::Default {
        linux.set_seccomp(Some(runtime::seccomp::docker_default(&capabilities)));
    }
    let mut resources = linux.resources().clone().unwrap_or_default();
    let mut rules = resources.devices().clone().unwrap_or_default();
    if !security.privileged {
        let nothing = LinuxDeviceCgroupBuilder::default()
            .allow(false)
            .access("rwm")
            .build()
            .map_err(spec_error)?;
        rules.insert(0, nothing);
    }
    resources.set_devices(Some(rules));
    linux.set_resources(Some(resources));
    Ok(())
}

/// A user by number, and HOME as our runtime sets it.
pub(super) fn become_user(
    process: &mut oci_spec::runtime::Process,
    user: &UserSpec,
    root: BorrowedFd<'_>,
) -> Result<()> {
    let identity = runtime::users::resolve_in_root(root, user)
        .map_err(|e| Error::invalid(format!("user {:?}", user.user), e.to_string()))?;
    let numbers = UserBuilder::default()
        .uid(identity.uid)
        .gid(identity.gid)
        .additional_gids(identity.groups)
        .build()
        .map_err(spec_error)?;
    process.set_user(numbers);
    let mut env = process.env().clone().unwrap_or_default();
    env.retain(|variable| variable != "HOME=");
    if !env.iter().any(|variable| variable.starts_with("HOME=")) {
        env.push(format!("HOME={}", identity.home));
    }
    process.set_env(Some(env));
    Ok(())
}

fn held(spec: &Spec) -> Vec<String> {
    let sets = spec
        .process()
        .as_ref()
        .and_then(|p| p.capabilities().as_ref());
    let bounding = sets.and_then(|sets| sets.bounding().as_ref());
    bounding
        .map(|set| set.iter().map(ToString::to_string).collect())
        .unwrap_or_default()
}

/// Writes `config.json`; only its owner reads what is in the environment.
pub(super) fn write(bundle: &Path, spec: &Spec) -> Result<()> {
    write_json(&bundle.join("config.json"), spec)
}

pub(in super::super) fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let text =
        serde_json::to_vec(value).map_err(|e| Error::invalid("runtime spec", e.to_string()))?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
        .open(path)
        .and_then(|mut file| file.write_all(&text))
        .map_err(Error::file("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{record, refusal};
    use model::container::ContainerSpec;
    use std::os::fd::{AsFd, OwnedFd};

    fn root() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(
            dir.path().join("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv/web:/bin/sh\n",
        )
        .unwrap();
        std::fs::write(dir.path().join("etc/group"), "www:x:34:\nlog:x:77:\n").unwrap();
        let fd = sys::mount::open_root(dir.path()).unwrap();
        (dir, fd)
    }

    fn adapted(container: &ContainerRecord) -> Result<Spec> {
        let (_dir, root) = root();
        let facts = crate::spec::tests::facts();
        let mut spec = crate::spec::build(container, &facts).unwrap();
        let around = Surroundings {
            facts: &facts,
            cgroups_path: "/dockless/abc".into(),
            groups: vec!["log".into()],
        };
        adapt(&mut spec, container, &around, root.as_fd())?;
        Ok(spec)
    }

    #[test]
    fn names_become_numbers_and_defaults_are_written_out() {
        let mut web = record(ContainerSpec::default());
        web.process.user = "web".into();
        let spec = adapted(&web).unwrap();
        let process = spec.process().as_ref().unwrap();
        assert_eq!((process.user().uid(), process.user().gid()), (33, 34));
        assert!(
            process
                .user()
                .additional_gids()
                .as_ref()
                .unwrap()
                .contains(&77)
        );
        assert!(
            process
                .env()
                .as_ref()
                .unwrap()
                .contains(&"HOME=/srv/web".to_owned())
        );
        let linux = spec.linux().as_ref().unwrap();
        assert_eq!(
            linux.cgroups_path().as_deref(),
            Some(Path::new("/dockless/abc"))
        );
        assert!(linux.seccomp().is_some());
        let rules = linux
            .resources()
            .as_ref()
            .unwrap()
            .devices()
            .clone()
            .unwrap();
        assert!(!rules[0].allow());
        assert_eq!(spec.root().as_ref().unwrap().path(), Path::new("rootfs"));
    }

    #[test]
    fn privileged_denies_nothing_and_filters_nothing() {
        let all = record(ContainerSpec {
            privileged: true,
            ..Default::default()
        });
        let spec = adapted(&all).unwrap();
        let linux = spec.linux().as_ref().unwrap();
        assert!(linux.seccomp().is_none());
        let rules = linux
            .resources()
            .as_ref()
            .unwrap()
            .devices()
            .clone()
            .unwrap();
        assert!(rules.iter().all(|rule| rule.allow()));
    }

    #[test]
    fn an_unknown_user_is_told_before_anything_is_created() {
        let mut web = record(ContainerSpec::default());
        web.process.user = "nobody-here".into();
        assert!(refusal(adapted(&web)).contains("nobody-here"));
    }
}
