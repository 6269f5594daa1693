//! Files that are handed to a container by their content (configs and secrets): copied for every run into its run directory, which
//! is in memory, with the owner and mode they are to have inside, and mounted from there.
//!
//! Source: moby `daemon/container_operations_unix.go` (`setupSecretDir`), which copies them into a tmpfs too.

use super::record::ContainerRecord;
use crate::context::Context;
use crate::error::{Error, Result};
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

/// Below the container's run directory; each file by its number.
pub(super) const DIRECTORY: &str = "files";

/// Copies all of them. Those of the last run are replaced.
pub(super) fn place(ctx: &Context, container: &ContainerRecord) -> Result<()> {
    if container.spec.files.is_empty() {
        return Ok(());
    }
    let dir = ctx
        .layout
        .run_container(container.id.as_str())
        .join(DIRECTORY);
    match DirBuilder::new().mode(0o700).create(&dir) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => {
            return Err(Error::file("create", &dir)(e));
        }
        _ => {}
    }
    for (number, file) in container.spec.files.iter().enumerate() {
        let source = Path::new(&file.source);
        let content = std::fs::read(source).map_err(Error::file("read", source))?;
        // With ids of its own the container sees these as the ones that were asked for.
        let owner = match &container.userns {
            None => (file.uid, file.gid),
            Some(ids) => ids.outside(file.uid, file.gid).ok_or_else(|| {
                Error::invalid(
                    format!("owner {}:{} of {}", file.uid, file.gid, file.target),
                    "the container's user namespace has no such ids",
                )
            })?,
        };
        let path = dir.join(number.to_string());
        write(&path, &content, owner, file.mode).map_err(Error::file("write", &path))?;
    }
    Ok(())
}

fn write(path: &Path, content: &[u8], owner: (u32, u32), mode: u32) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    fchown(&file, Some(owner.0), Some(owner.1))?;
    // After chown(2), which takes set-id bits away.
    file.set_permissions(Permissions::from_mode(mode & 0o7777))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{container, context};
    use model::container::ContainerSpec;
    use model::mount::FileMount;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn every_run_gets_the_content_as_it_is_then() {
        let (dir, ctx) = context();
        let source = dir.path().join("secret");
        std::fs::write(&source, "one").unwrap();
        let spec = ContainerSpec {
            files: vec![FileMount {
                source: source.display().to_string(),
                target: "/run/secrets/s".into(),
                uid: 0,
                gid: 0,
                mode: 0o440,
            }],
            ..Default::default()
        };
        let web = container(&ctx, "web", spec);
        let run = ctx.layout.run_container(web.id.as_str());
        std::fs::create_dir_all(&run).unwrap();
        place(&ctx, &web).unwrap();
        std::fs::write(&source, "two").unwrap();
        place(&ctx, &web).unwrap();
        let placed = run.join(DIRECTORY).join("0");
        assert_eq!(std::fs::read(&placed).unwrap(), b"two");
        assert_eq!(placed.metadata().unwrap().mode() & 0o7777, 0o440);
        std::fs::remove_file(&source).unwrap();
        assert!(place(&ctx, &web).unwrap_err().to_string().contains("read"));
    }
}
