//! `/etc/hostname`, `/etc/hosts` and `/etc/resolv.conf` of a container: made anew for every run, in its run directory, and mounted
//! over the image's.
//!
//! They are there before init looks for its mounts, and filled while it works: what they say is known only with the network.
//! Source: Docker Engine, `/var/lib/docker/containers/<id>` (`HostnamePath`, `HostsPath`, `ResolvConfPath`).

use super::record::ContainerRecord;
use crate::context::Context;
use crate::error::{Error, Result};
use model::network::NetworkMode;
use network::Attached;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

pub const HOSTNAME: &str = "hostname";
pub const HOSTS: &str = "hosts";
pub const RESOLV_CONF: &str = "resolv.conf";

/// The files, open and still as they were after the last run.
#[derive(Debug)]
pub(super) struct Files {
    hostname: Opened,
    /// Of the container whose network this one shares, if it shares one: then that one's monitor writes them.
    names: Option<(Opened, Opened)>,
}

#[derive(Debug)]
struct Opened {
    file: File,
    path: PathBuf,
}

impl Files {
    pub(super) fn make(ctx: &Context, container: &ContainerRecord) -> Result<Self> {
        let dir = ctx.layout.run_container(container.id.as_str());
        let shared = matches!(container.spec.network_mode, NetworkMode::Container(_));
        // Given to the container's root and not mapped: a file system in memory can be mapped from Linux 6.3 on only.
        let owner = container.userns.and_then(|ids| ids.outside(0, 0));
        let names = if shared {
            None
        } else {
            let hosts = Opened::make(&dir, HOSTS, owner)?;
            Some((hosts, Opened::make(&dir, RESOLV_CONF, owner)?))
        };
        Ok(Self {
            hostname: Opened::make(&dir, HOSTNAME, owner)?,
            names,
        })
    }

    pub(super) fn fill(
        mut self,
        container: &ContainerRecord,
        hosts: &str,
        resolv_conf: &str,
    ) -> Result<()> {
        self.hostname.fill(&format!("{}\n", container.hostname))?;
        if let Some((hosts_file, resolv_file)) = &mut self.names {
            hosts_file.fill(hosts)?;
            resolv_file.fill(resolv_conf)?;
        }
        Ok(())
    }
}

impl Opened {
    fn make(dir: &Path, name: &str, owner: Option<(u32, u32)>) -> Result<Self> {
        let path = dir.join(name);
        // Not truncated: a container that runs would see them empty for a moment.
        let options = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let file = options.map_err(Error::file("create", &path))?;
        if let Some((uid, gid)) = owner {
            std::os::unix::fs::fchown(&file, Some(uid), Some(gid))
                .map_err(Error::file("give to the container", &path))?;
        }
        Ok(Self { file, path })
    }

    /// In place, because it is mounted.
    fn fill(&mut self, text: &str) -> Result<()> {
        let length = text.len() as u64;
        let written = self
            .file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.set_len(length));
        written.map_err(Error::file("write", &self.path))
    }
}

/// Writes all of them for a container that runs, whose networks may have changed.
pub fn write(
    ctx: &Context,
    container: &ContainerRecord,
    attached: Option<&Attached>,
) -> Result<()> {
    fill(ctx, container, attached, Files::make(ctx, container)?)
}

pub(super) fn fill(
    ctx: &Context,
    container: &ContainerRecord,
    attached: Option<&Attached>,
    files: Files,
) -> Result<()> {
    if files.names.is_none() {
        return files.fill(container, "", "");
    }
    let hosts = crate::name_service::hosts_text(ctx, container, attached);
    let resolv = crate::name_service::resolv_conf(container, attached);
    files.fill(container, &hosts, &resolv.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{container, context};
    use model::container::ContainerSpec;

    #[test]
    fn a_shorter_text_leaves_nothing_of_the_longer_one() {
        let (_dir, ctx) = context();
        let web = container(&ctx, "web", ContainerSpec::default());
        let dir = ctx.layout.run_container(web.id.as_str());
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(
            dir.join(HOSTNAME),
            "a name much longer than the one that comes\n",
        )
        .unwrap();
        write(&ctx, &web, None).unwrap();
        let text = std::fs::read_to_string(dir.join(HOSTNAME)).unwrap();
        assert_eq!(text, format!("{}\n", web.hostname));
        let hosts = std::fs::read_to_string(dir.join(HOSTS)).unwrap();
        assert!(hosts.contains("localhost"), "{hosts}");
    }
}
