//! Every path under the data root and the run root is named here and nowhere else.
//!
//! ```text
//! /var/lib/dockless/            data root: survives reboot
//!   images/                     a valid OCI image layout: oci-layout, index.json, blobs/sha256
//!   layers/<chain-id>/          an unpacked layer and its record; immutable once there
//!   mount-points/diff/          the lowest layer of every container: where something is mounted in all of them
//!   containers/<id>/            config.json, exit.json, upper/, work/, logs
//!   volumes/<name>/             record.json, _data/
//!   networks/<name>.json        network records
//!   build/                      build cache records
//!   compose/<project>/<hash>    contents of configs and secrets
//!   generations/<project>/<n>/  what a project was: its model, images and contents
//!   jobs/<project>.<job>.json   a job with its schedule and its last runs
//!   secrets/<name>/             a secret kept by name: record.json, data
//!   configs/<name>/             the same of a config
//!   manifests/                  manifest lists that are being put together: one record each
//!   static-addresses            empty file: some container asked for an address by number
//!   trash/                      renamed here, deleted later
//! /run/dockless/                run root: gone at reboot
//!   containers/<id>/            state.json, sockets, fifos
//!   networks/<name>/            leases and names of the running endpoints
//!   names/<name>                symbolic link to a container's id: reserves its name; made anew from the records at boot
//!   registries/<host>           a registry that did not answer lately: until when it is asked last
//!   images/<id>/                an image that `image mount` mounted on the host
//!   locks/                      one file per object
//!   trash/                      renamed here, deleted later
//!   events                      the event log
//! ```

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where the data root is when nobody says otherwise.
pub const DATA_ROOT: &str = "/var/lib/dockless";
/// Where the run root is when nobody says otherwise.
pub const RUN_ROOT: &str = "/run/dockless";

/// Beside the directories for what the kernel shows. `.dockerenv` is what scripts tell a container by.
const MOUNTED_FILES: [&str; 4] = ["etc/hostname", "etc/hosts", "etc/resolv.conf", LAST_MADE];
const LAST_MADE: &str = ".dockerenv";

/// The two roots, and the paths below them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    data: PathBuf,
    run: PathBuf,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            data: DATA_ROOT.into(),
            run: RUN_ROOT.into(),
        }
    }
}

impl Layout {
    pub fn new(data: impl Into<PathBuf>, run: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            run: run.into(),
        }
    }

    /// Makes the directories every command relies on (mode 0700: layers hold set-uid programs), but for that of the names, which
    /// is there once it is whole.
    pub fn prepare(&self) -> io::Result<()> {
        if self.names().is_dir() && self.has_mount_points() {
            return Ok(());
        }
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        for dir in [
            self.images().join("blobs/sha256"),
            self.layers(),
            self.containers(),
            self.volumes(),
            self.networks(),
            self.build(),
            self.run_containers(),
            self.run_networks(),
            self.locks(),
            self.trash(),
            self.run_trash(),
        ] {
            builder.create(dir)?;
        }
        self.make_mount_points()?;
        for root in [&self.data, &self.run] {
            std::fs::set_permissions(root, Permissions::from_mode(0o711))?;
        }
        Ok(())
    }

    /// Whoever was killed in the middle is followed by another who goes on: the last file is there when all is.
    fn make_mount_points(&self) -> io::Result<()> {
        let diff = self.mount_points();
        let mut builder = DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(self.data.join("mount-points"))?;
        for dir in ["", "dev", "etc", "proc", "sys"].map(|dir| diff.join(dir)) {
            builder.create(&dir)?;
            // Whatever the umask: an image without /etc has it from here.
            std::fs::set_permissions(dir, Permissions::from_mode(0o755))?;
        }
        for file in MOUNTED_FILES.map(|file| diff.join(file)) {
            std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&file)?;
            std::fs::set_permissions(&file, Permissions::from_mode(0o644))?;
        }
        Ok(())
    }

    fn has_mount_points(&self) -> bool {
        self.mount_points().join(LAST_MADE).exists()
    }

    /// A word that tells this data root from others on the same host, for names the whole host sees
    /// (interfaces, nft tables): empty for the default one.
    pub fn instance(&self) -> String {
        if self.data == Path::new(DATA_ROOT) {
            return String::new();
        }
        let mut hash: u32 = 0x811c_9dc5; // FNV-1a: stable over versions, which `Hasher` is not
        for byte in self.data.as_os_str().as_encoded_bytes() {
            hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
        format!("{hash:08x}")
    }

    pub fn data_root(&self) -> &Path {
        &self.data
    }

    pub fn run_root(&self) -> &Path {
        &self.run
    }

    pub fn images(&self) -> PathBuf {
        self.data.join("images")
    }

    pub fn layers(&self) -> PathBuf {
        self.data.join("layers")
    }

    /// What images need not have for something to be mounted there, as Docker's init layer: the lowest layer of every container.
    pub fn mount_points(&self) -> PathBuf {
        self.data.join("mount-points/diff")
    }

    pub fn containers(&self) -> PathBuf {
        self.data.join("containers")
    }

    pub fn container(&self, id: &str) -> PathBuf {
        self.containers().join(id)
    }

    /// On the side that dies with the boot, where making and removing a link costs a hundredth: the records have the names too.
    pub fn names(&self) -> PathBuf {
        self.run.join("names")
    }

    pub fn volumes(&self) -> PathBuf {
        self.data.join("volumes")
    }

    pub fn volume(&self, name: &str) -> PathBuf {
        self.volumes().join(name)
    }

    pub fn networks(&self) -> PathBuf {
        self.data.join("networks")
    }

    /// Contents of configs and secrets, by project.
    pub fn compose(&self) -> PathBuf {
        self.data.join("compose")
    }

    /// Compose files that were fetched, by commit or digest.
    pub fn remote(&self) -> PathBuf {
        self.data.join("remote")
    }

    /// What projects were, by project and number.
    pub fn generations(&self) -> PathBuf {
        self.data.join("generations")
    }

    /// Jobs, one record each.
    pub fn jobs(&self) -> PathBuf {
        self.data.join("jobs")
    }

    /// What `service update` and `service scale` changed of a project's services, over its files.
    pub fn service_changes(&self, project: &str) -> PathBuf {
        self.services().join(format!("{project}.json"))
    }

    pub fn services(&self) -> PathBuf {
        self.data.join("services")
    }

    /// What the providers of a project's services said last.
    pub fn provided(&self, project: &str) -> PathBuf {
        self.providers().join(format!("{project}.json"))
    }

    pub fn providers(&self) -> PathBuf {
        self.data.join("providers")
    }

    /// The labels of this host as Swarm's node.
    pub fn node(&self) -> PathBuf {
        self.data.join("node.json")
    }

    /// Secrets kept by name.
    pub fn secrets(&self) -> PathBuf {
        self.data.join("secrets")
    }

    /// Configs kept by name.
    pub fn configs(&self) -> PathBuf {
        self.data.join("configs")
    }

    /// Manifest lists that are being put together.
    pub fn manifests(&self) -> PathBuf {
        self.data.join("manifests")
    }

    /// There once any container asked for an address by number: without it nobody looks for reserved ones.
    pub fn static_addresses(&self) -> PathBuf {
        self.data.join("static-addresses")
    }

    pub fn build(&self) -> PathBuf {
        self.data.join("build")
    }

    /// What was removed is renamed into here first (one step, also after `kill -9`) and deleted later.
    pub fn trash(&self) -> PathBuf {
        self.data.join("trash")
    }

    pub fn run_containers(&self) -> PathBuf {
        self.run.join("containers")
    }

    pub fn run_container(&self, id: &str) -> PathBuf {
        self.run_containers().join(id)
    }

    /// Processes to be executed in containers, and how they ended, for who asks by the API.
    pub fn run_execs(&self) -> PathBuf {
        self.run.join("execs")
    }

    /// As [`Layout::trash`], for what lies in the run root: a rename does not cross filesystems.
    pub fn run_trash(&self) -> PathBuf {
        self.run.join("trash")
    }

    /// Registries that did not answer lately.
    pub fn run_registries(&self) -> PathBuf {
        self.run.join("registries")
    }

    /// Images that are mounted on the host, by id.
    pub fn run_images(&self) -> PathBuf {
        self.run.join("images")
    }

    /// Who holds a layer that is mounted from a file, by the layer's name.
    pub fn run_layers(&self) -> PathBuf {
        self.run.join("layers")
    }

    /// That the kernel takes files as layers.
    pub fn run_layer_form(&self) -> PathBuf {
        self.run.join("layer-form.json")
    }

    pub fn run_networks(&self) -> PathBuf {
        self.run.join("networks")
    }

    pub fn run_network(&self, name: &str) -> PathBuf {
        self.run_networks().join(name)
    }

    pub fn locks(&self) -> PathBuf {
        self.run.join("locks")
    }

    /// The lock file of one object. Order of taking, outermost first: `project`, `network`, `volume`,
    /// `container`, `name`, `userns`, `image`, `layer`, `job`; never two of one kind unless sorted by name.
    pub fn lock(&self, kind: &str, name: &str) -> PathBuf {
        self.locks().join(format!("{kind}-{name}"))
    }

    pub fn events(&self) -> PathBuf {
        self.run.join("events")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_root_has_no_instance_word_and_others_differ() {
        assert_eq!(Layout::default().instance(), "");
        let (a, b) = (Layout::new("/a", "/r"), Layout::new("/b", "/r"));
        assert_eq!(a.instance().len(), 8);
        assert_ne!(a.instance(), b.instance());
    }
}
