//! What is mounted into the container, and how much of its root may be written.

use super::{key_value, parse_all, parse_some};
use crate::failure::Failure;
use model::ContainerSpec;
use model::mount::{self, MountKind};

#[derive(Debug, Default, clap::Args)]
pub(crate) struct MountFlags {
    /// Bind mount a volume
    #[arg(short, long, value_name = "list")]
    volume: Vec<String>,
    /// Attach a filesystem mount to the container
    #[arg(long, value_name = "mount")]
    mount: Vec<String>,
    /// Mount a tmpfs directory
    #[arg(long, value_name = "list")]
    tmpfs: Vec<String>,
    /// Mount volumes from the specified container(s)
    #[arg(long, value_name = "list")]
    volumes_from: Vec<String>,
    /// Optional volume driver for the container
    #[arg(long, value_name = "string")]
    volume_driver: Option<String>,
    /// Mount the container's root filesystem as read only
    #[arg(long)]
    read_only: bool,
    /// Size of /dev/shm
    #[arg(long, value_name = "bytes")]
    shm_size: Option<String>,
    /// Storage driver options for the container
    #[arg(long, value_name = "list")]
    storage_opt: Vec<String>,
}

impl MountFlags {
    pub(super) fn apply(&self, spec: &mut ContainerSpec) -> Result<(), Failure> {
        let here =
            std::env::current_dir().map_err(Failure::system("tell the current directory"))?;
        let mut mounts = parse_all("volume", &self.volume, |text| {
            mount::parse_volume(text, &here)
        })?;
        if let Some(wanted) = &self.volume_driver {
            for mount in &mut mounts {
                if let MountKind::Volume { driver, .. } = &mut mount.kind {
                    *driver = Some(wanted.clone());
                }
            }
        }
        mounts.extend(parse_all("mount", &self.mount, |text| {
            mount::parse_mount(text, &here)
        })?);
        mounts.extend(parse_all("tmpfs", &self.tmpfs, mount::parse_tmpfs)?);
        spec.mounts = mounts;
        spec.volume_driver.clone_from(&self.volume_driver);
        spec.volumes_from = self.volumes_from.clone();
        spec.read_only = self.read_only;
        spec.shm_size = parse_some("shm-size", self.shm_size.as_ref(), model::size::parse)?;
        spec.storage_opt = key_value::strict_map("storage-opt", &self.storage_opt)?;
        Ok(())
    }
}
