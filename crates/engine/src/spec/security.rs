//! `--security-opt`, read, and what it comes to: filter, labels, hidden paths.
//!
//! Source: Docker CLI reference (`--security-opt`), moby `daemon/daemon_unix.go` `parseSecurityOpt`; podman-run(1) for `mask`
//! and `unmask`. Capabilities are `capabilities`'.

use super::capabilities;
use crate::error::{Error, Result};
use model::container::ContainerSpec;
use oci_spec::runtime::LinuxSeccomp;
use runtime::defaults;
use std::path::{Path, PathBuf};

/// `--security-opt`, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Security {
    pub no_new_privileges: bool,
    pub seccomp: Seccomp,
    /// A profile asked for by name.
    pub apparmor: Option<String>,
    pub label: Label,
    /// `systempaths=unconfined`, and with `--privileged`: nothing in /proc and /sys is hidden.
    pub system_paths_open: bool,
    /// cgroups may be written: with `--privileged` or `writable-cgroups=true`.
    pub writable_cgroups: bool,
    pub privileged: bool,
    mask: Vec<String>,
    unmask: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seccomp {
    /// Docker's default profile.
    Default,
    Unconfined,
    /// The text of a profile, as records keep it.
    Profile(String),
    File(PathBuf),
}

/// `label=…`: parts of an SELinux context; those not said are the policy's for containers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Label {
    pub disabled: bool,
    pub user: Option<String>,
    pub role: Option<String>,
    pub kind: Option<String>,
    pub file_kind: Option<String>,
    pub level: Option<String>,
}

impl Security {
    pub fn parse(spec: &ContainerSpec) -> Result<Self> {
        let mut security = Self {
            no_new_privileges: false,
            seccomp: if spec.privileged {
                Seccomp::Unconfined
            } else {
                Seccomp::Default
            },
            apparmor: None,
            label: Label::default(),
            system_paths_open: spec.privileged,
            writable_cgroups: spec.privileged,
            privileged: spec.privileged,
            mask: Vec::new(),
            unmask: Vec::new(),
        };
        for option in &spec.security_opt {
            security.take(option)?;
        }
        Ok(security)
    }

    fn take(&mut self, option: &str) -> Result<()> {
        let shown: String = option.chars().take(200).collect();
        let invalid =
            |cause: &str| Error::invalid(format!("invalid --security-opt: {shown:?}"), cause);
        let (key, value) = option.split_once(['=', ':']).unwrap_or((option, ""));
        let switch = || flag(value).ok_or_else(|| invalid("say true or false"));
        match (key, value) {
            ("no-new-privileges", _) => self.no_new_privileges = switch()?,
            ("writable-cgroups", _) => self.writable_cgroups = switch()?,
            ("seccomp", "unconfined") => self.seccomp = Seccomp::Unconfined,
            ("seccomp", "builtin") => self.seccomp = Seccomp::Default,
            ("seccomp", text) if text.starts_with('{') => {
                self.seccomp = Seccomp::Profile(text.to_owned());
            }
            ("seccomp", file) if !file.is_empty() => self.seccomp = Seccomp::File(file.into()),
            ("apparmor", "unconfined") => self.apparmor = None,
            ("apparmor", profile) if !profile.is_empty() => {
                self.apparmor = Some(profile.to_owned());
            }
            ("systempaths", "unconfined") => self.system_paths_open = true,
            ("mask", paths) => self.mask.extend(
                absolute(paths)
                    .ok_or_else(|| invalid("name absolute paths, with : between them"))?,
            ),
            ("unmask", "ALL") => self.system_paths_open = true,
            ("unmask", paths) => {
                self.unmask.extend(absolute(paths).ok_or_else(|| {
                    invalid("say ALL, or name absolute paths with : between them")
                })?)
            }
            ("label", value) => self.label.take(value).ok_or_else(|| {
                invalid("known labels are disable, user:, role:, type:, filetype: and level:")
            })?,
            _ => {
                return Err(invalid(
                    "known are no-new-privileges, seccomp=, apparmor=, label=, systempaths=unconfined, writable-cgroups=, mask= and unmask=",
                ));
            }
        }
        Ok(())
    }

    /// Refuses a confinement this host cannot give: better no container than one that is open unawares.
    pub(super) fn check_host(&self) -> Result<()> {
        let Some(profile) = self.apparmor.as_deref().filter(|_| !apparmor_enabled()) else {
            return Ok(());
        };
        Err(Error::invalid(
            format!("apparmor profile {profile:?}"),
            "AppArmor is not enabled on this host; leave the option out, or boot with apparmor=1",
        ))
    }

    /// Paths nothing of which can be read.
    pub fn masked_paths(&self) -> Vec<String> {
        let mut paths = self.closed(&defaults::MASKED_PATHS);
        for path in &self.mask {
            if !paths.contains(path) {
                paths.push(path.clone());
            }
        }
        paths
    }

    /// Paths that cannot be written.
    pub fn readonly_paths(&self) -> Vec<String> {
        self.closed(&defaults::READONLY_PATHS)
    }

    fn closed(&self, paths: &[&str]) -> Vec<String> {
        if self.system_paths_open {
            return Vec::new();
        }
        let opened = |path: &str| self.unmask.iter().any(|open| covers(open, path));
        let closed = paths.iter().filter(|path| !opened(path));
        closed.map(|path| (*path).to_owned()).collect()
    }

    /// The user's own profile; Docker's default one is the runtime's.
    pub(super) fn own_profile(&self, spec: &ContainerSpec) -> Result<Option<LinuxSeccomp>> {
        let (text, name) = match &self.seccomp {
            Seccomp::Profile(text) => (text.clone(), String::new()),
            Seccomp::File(path) => (read_profile(path)?, path.display().to_string()),
            Seccomp::Default | Seccomp::Unconfined => return Ok(None),
        };
        let held = capabilities::held(spec)?;
        let held: Vec<String> = held.iter().map(ToString::to_string).collect();
        runtime::seccomp::parse_docker_profile(text.as_bytes(), &held)
            .map(Some)
            .map_err(|e| invalid_profile(&name, &e))
    }

    /// The SELinux contexts of the process and of its files; none where the host has no SELinux, as in Docker.
    pub(super) fn contexts(&self) -> Option<(String, String)> {
        let asked = self.label != Label::default() && !self.label.disabled && !self.privileged;
        (asked && selinux_enabled()).then(|| self.label.contexts())
    }
}

impl Label {
    fn take(&mut self, text: &str) -> Option<()> {
        if text == "disable" {
            self.disabled = true;
            return Some(());
        }
        let (key, value) = text.split_once(':')?;
        let place = match key {
            "user" => &mut self.user,
            "role" => &mut self.role,
            "type" => &mut self.kind,
            "filetype" => &mut self.file_kind,
            "level" => &mut self.level,
            _ => return None,
        };
        *place = Some(value.to_owned()).filter(|value| !value.is_empty());
        place.is_some().then_some(())
    }

    fn contexts(&self) -> (String, String) {
        fn part<'a>(given: &'a Option<String>, default: &'a str) -> &'a str {
            given.as_deref().unwrap_or(default)
        }
        let (user, level) = (part(&self.user, "system_u"), part(&self.level, "s0"));
        let (role, kind) = (
            part(&self.role, "system_r"),
            part(&self.kind, "container_t"),
        );
        let file = part(&self.file_kind, "container_file_t");
        (
            format!("{user}:{role}:{kind}:{level}"),
            format!("{user}:object_r:{file}:{level}"),
        )
    }
}

/// Go's `ParseBool`, and nothing for "yes".
fn flag(text: &str) -> Option<bool> {
    match text {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn absolute(paths: &str) -> Option<Vec<String>> {
    let clean = |path: &str| path.trim_end_matches('/').to_owned();
    let list: Vec<String> = paths.split(':').map(clean).collect();
    list.iter()
        .all(|path| path.starts_with('/'))
        .then_some(list)
}

/// Whether an `unmask` pattern means a path; `*` stands for anything but a slash.
fn covers(pattern: &str, path: &str) -> bool {
    let (mut patterns, mut parts) = (pattern.split('/'), path.split('/'));
    loop {
        match (patterns.next(), parts.next()) {
            (None, None) => return true,
            (Some(pattern), Some(part)) if like(pattern.as_bytes(), part.as_bytes()) => {}
            _ => return false,
        }
    }
}

/// A shell pattern with `*` alone, in linear time but for backing up to the last star.
fn like(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            (p, t) = (at + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

fn read_profile(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(Error::file("read the seccomp profile", path))
}

fn invalid_profile(name: &str, cause: &dyn std::error::Error) -> Error {
    let mut text = cause.to_string();
    if let Some(source) = cause.source() {
        text = format!("{text}: {source}");
    }
    Error::invalid(
        format!("seccomp profile {name}").trim_end().to_owned(),
        text,
    )
}

/// Profiles are taken into the record, as Docker does: what a file says at the start of a container is what its user read
/// when he made it, and a relative path is one of his.
pub fn embed_profiles(options: &mut [String]) -> Result<()> {
    for option in options {
        let Some(value) = option
            .strip_prefix("seccomp")
            .and_then(|o| o.strip_prefix(['=', ':']))
        else {
            continue;
        };
        if matches!(value, "unconfined" | "builtin" | "") || value.starts_with('{') {
            continue;
        }
        let text = read_profile(Path::new(value))?;
        let profile: serde_json::Value =
            serde_json::from_str(&text).map_err(|e| invalid_profile(value, &e))?;
        if !profile.is_object() {
            return Err(Error::invalid(
                format!("seccomp profile {value}"),
                "it is no JSON object",
            ));
        }
        *option = format!("seccomp={profile}");
    }
    Ok(())
}

/// Whether the kernel confines by AppArmor.
pub fn apparmor_enabled() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|text| text.first() == Some(&b'Y'))
}

/// Whether the kernel confines by SELinux: selinuxfs is mounted only then.
pub fn selinux_enabled() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::refusal;

    fn security(options: &[&str], privileged: bool) -> Result<Security> {
        Security::parse(&ContainerSpec {
            security_opt: options.iter().map(|o| (*o).to_owned()).collect(),
            privileged,
            ..Default::default()
        })
    }

    #[test]
    fn security_options_are_read() {
        let plain = security(&[], false).unwrap();
        assert_eq!(plain.seccomp, Seccomp::Default);
        assert_eq!(plain.masked_paths().len(), defaults::MASKED_PATHS.len());
        assert_eq!(plain.readonly_paths().len(), defaults::READONLY_PATHS.len());
        let both = security(&["no-new-privileges", "seccomp=unconfined"], false).unwrap();
        assert!(both.no_new_privileges);
        assert_eq!(both.seccomp, Seccomp::Unconfined);
        let colon = security(&["no-new-privileges:true", "apparmor:web"], false).unwrap();
        assert!(colon.no_new_privileges);
        assert_eq!(colon.apparmor.as_deref(), Some("web"));
        let off = security(&["no-new-privileges", "no-new-privileges=false"], false).unwrap();
        assert!(!off.no_new_privileges);
        let file = security(&["seccomp=/etc/profile.json"], false).unwrap();
        assert_eq!(file.seccomp, Seccomp::File("/etc/profile.json".into()));
        let text = security(&["seccomp={\"a\": \"b=c:d\"}"], false).unwrap();
        assert_eq!(text.seccomp, Seccomp::Profile("{\"a\": \"b=c:d\"}".into()));
        let open = security(&["systempaths=unconfined"], false).unwrap();
        assert!(open.masked_paths().is_empty() && open.readonly_paths().is_empty());
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        for bad in [
            "nonsense=1",
            "seccomp=",
            "apparmor=",
            "no-new-privileges=maybe",
            "systempaths=confined",
            "writable-cgroups=perhaps",
            "label=colour:red",
            "label=type:",
            "mask=",
            "mask=proc/acpi",
            "unmask=proc",
            "",
        ] {
            let said = refusal(security(&[bad], false));
            assert!(said.starts_with("invalid --security-opt"), "{bad}: {said}");
        }
    }

    #[test]
    fn privileged_hides_nothing_and_filters_nothing_unless_told() {
        let all = security(&[], true).unwrap();
        assert_eq!(all.seccomp, Seccomp::Unconfined);
        assert!(all.masked_paths().is_empty() && all.writable_cgroups);
        let filtered = security(&["seccomp=builtin"], true).unwrap();
        assert_eq!(filtered.seccomp, Seccomp::Default);
    }

    #[test]
    fn paths_are_masked_and_unmasked_by_name() {
        let some = security(
            &["mask=/etc/secret:/srv/", "unmask=/proc/kc*:/proc/sys"],
            false,
        )
        .unwrap();
        let masked = some.masked_paths();
        assert!(masked.contains(&"/etc/secret".to_owned()) && masked.contains(&"/srv".to_owned()));
        assert!(!masked.contains(&"/proc/kcore".to_owned()));
        assert!(masked.contains(&"/proc/keys".to_owned()));
        assert!(!some.readonly_paths().contains(&"/proc/sys".to_owned()));
        let all = security(&["unmask=ALL", "mask=/etc/secret"], false).unwrap();
        assert_eq!(all.masked_paths(), ["/etc/secret"]);
    }

    #[test]
    fn a_star_stays_within_its_component() {
        assert!(covers("/proc/*", "/proc/kcore"));
        assert!(!covers("/proc/*", "/proc/sys/kernel"));
        assert!(!covers("/proc", "/proc/kcore"));
        assert!(like(b"a*b*c", b"axxbyyc") && !like(b"a*b*c", b"axxbyy"));
        let hostile = "*a".repeat(2000);
        assert!(!like(
            hostile.as_bytes(),
            "a".repeat(4000).replace("aa", "ab").as_bytes()
        ));
    }

    #[test]
    fn labels_are_contexts_with_the_policys_parts_where_nothing_was_said() {
        let some = security(&["label=type:web_t", "label:level:s0:c1,c2"], false).unwrap();
        let (process, file) = some.label.contexts();
        assert_eq!(process, "system_u:system_r:web_t:s0:c1,c2");
        assert_eq!(file, "system_u:object_r:container_file_t:s0:c1,c2");
        assert!(security(&["label=disable"], false).unwrap().label.disabled);
        assert_eq!(
            security(&["label=disable"], false).unwrap().contexts(),
            None
        );
    }

    #[test]
    fn a_profile_is_taken_into_the_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("profile.json");
        std::fs::write(&path, "{\n  \"defaultAction\": \"SCMP_ACT_ALLOW\"\n}\n").unwrap();
        let mut options = vec![
            format!("seccomp={}", path.display()),
            "seccomp=unconfined".to_owned(),
            "no-new-privileges".to_owned(),
        ];
        embed_profiles(&mut options).unwrap();
        assert_eq!(options[0], "seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\"}");
        assert_eq!(options[1..], ["seccomp=unconfined", "no-new-privileges"]);
        std::fs::write(&path, "[1]").unwrap();
        let mut options = vec![format!("seccomp={}", path.display())];
        assert!(refusal(embed_profiles(&mut options)).contains("no JSON object"));
        let mut lost = vec!["seccomp=/no/such/file".to_owned()];
        assert!(refusal(embed_profiles(&mut lost)).contains("cannot read the seccomp profile"));
    }
}
