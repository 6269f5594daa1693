//! The root file system: an overlay or a directory, attached in this mount namespace only.
//!
//! Source: kernel `overlayfs.rst`, pivot_root(2): the new root must be a mount of its own.

use crate::error::{InitError, OrInit};
use crate::request::{Overlay, Rootfs};
use oci_spec::runtime::Spec;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use sys::mount::{Attributes, Flags, FsContext, Propagation, Recursion};

/// Mounts the root and attaches it; the handle is its root directory.
pub(super) fn mount(rootfs: &Rootfs) -> Result<OwnedFd, InitError> {
    match rootfs {
        Rootfs::Directory(path) => {
            let error = |cause| InitError::Root {
                messages: vec![path.display().to_string()],
                cause,
            };
            let tree = sys::mount::clone_path(path, Recursion::Subtree).because(error)?;
            let private = Attributes {
                propagation: Some(Propagation::Private),
                recursive: true,
                ..Attributes::default()
            };
            sys::mount::set_attributes(tree.as_fd(), private).because(error)?;
            attach_over(&tree, path).because(error)?;
            Ok(tree)
        }
        Rootfs::Overlay(overlay) => mount_overlay(overlay),
    }
}

fn mount_overlay(overlay: &Overlay) -> Result<OwnedFd, InitError> {
    let Some(lowest) = overlay.lower.first() else {
        return Err(InitError::Root {
            messages: vec!["no layers".to_owned()],
            cause: crate::Errno::NOENT,
        });
    };
    // A lone layer that nobody writes to needs no overlay, which wants at least two directories.
    if overlay.upper.is_none() && overlay.lower.len() == 1 {
        return mount(&Rootfs::Directory(lowest.clone()));
    }
    // The place does not matter, as long as it exists and nothing is looked up there later: nobody sees it after the pivot.
    let place = overlay
        .upper
        .as_ref()
        .map_or(lowest.as_path(), |(upper, _)| upper.as_path());
    let context = FsContext::open("overlay").because(|cause| InitError::Root {
        messages: Vec::new(),
        cause,
    })?;
    let failed = |cause| InitError::Root {
        messages: explain(&context, overlay),
        cause,
    };
    match configure(&context, overlay).and_then(|()| context.create(Flags::empty())) {
        Ok(root) => {
            attach_over(&root, place).because(failed)?;
            Ok(root)
        }
        Err(e) if lacks_lowerdir_plus(&e) => mount_overlay_by_string(overlay, place),
        Err(e) => Err(failed(e.into())),
    }
}

/// Before Linux 6.7 there is no `lowerdir+`: said at once, or (before 6.5) only when the mount is made.
pub(crate) fn lacks_lowerdir_plus(error: &io::Error) -> bool {
    error.raw_os_error() == Some(22)
}

pub(crate) fn configure(context: &FsContext, overlay: &Overlay) -> io::Result<()> {
    for layer in overlay.lower.iter().rev() {
        context.set("lowerdir+", layer.as_path())?;
    }
    if let Some((upper, work)) = &overlay.upper {
        forget_volatile(work);
        context.set("upperdir", upper.as_path())?;
        context.set("workdir", work.as_path())?;
        // An upper directory may become a layer, which must not lean on the ones below by the host's defaults.
        context.set("redirect_dir", "off")?;
        context.set("metacopy", "off")?;
        if overlay.volatile {
            context.set_flag("volatile")?;
        }
    }
    Ok(())
}

/// A volatile mount leaves a mark that forbids the next one, because a crash may have lost writes. What is thrown away after a
/// crash anyway need not fear that; a durable mount after a volatile one is refused all the same.
fn forget_volatile(work: &Path) {
    let mark = work.join("work/incompat/volatile");
    // Not there, as a rule.
    if std::fs::remove_file(mark.join("dirty")).is_ok() {
        let _ = std::fs::remove_dir(mark);
    }
}

/// The kernel says ENOENT and not whose: find the directory that is missing.
fn explain(context: &FsContext, overlay: &Overlay) -> Vec<String> {
    let mut messages = context.messages();
    messages.extend(explain_missing(overlay));
    messages
}

fn explain_missing(overlay: &Overlay) -> Vec<String> {
    let mut messages = Vec::new();
    let upper = overlay.upper.iter().flat_map(|(upper, work)| [upper, work]);
    for path in overlay.lower.iter().chain(upper) {
        if let Err(error) = rustix::fs::stat(path) {
            messages.push(format!("{}: {}", path.display(), crate::Errno::from(error)));
        }
    }
    messages
}

/// The way of all kernels since 3.18: one option string of at most a page. Layers are named by descriptors, so that as many
/// fit as the kernel takes.
pub(crate) fn mount_overlay_by_string(
    overlay: &Overlay,
    place: &Path,
) -> Result<OwnedFd, InitError> {
    let error = |cause| InitError::Root {
        messages: Vec::new(),
        cause,
    };
    let handles = overlay
        .lower
        .iter()
        .rev()
        .map(|path| sys::mount::open_root(path));
    let handles: Vec<OwnedFd> =
        handles
            .collect::<io::Result<_>>()
            .because(|cause| InitError::Root {
                messages: explain_missing(overlay),
                cause,
            })?;
    let layers: Vec<String> = handles
        .iter()
        .map(|handle| format!("/proc/self/fd/{}", handle.as_raw_fd()))
        .collect();
    let mut options = format!("lowerdir={}", layers.join(":"));
    if let Some((upper, work)) = &overlay.upper {
        let (upper, work) = (escape(upper), escape(work));
        options += &format!(",upperdir={upper},workdir={work},redirect_dir=off,metacopy=off");
        if overlay.volatile {
            options += ",volatile";
        }
    }
    let options = CString::new(options).map_err(|_| InitError::ZeroByte {
        what: "a layer's path".to_owned(),
    })?;
    sys::mount::mount_legacy("overlay", place, "overlay", &options).because(error)?;
    let root = sys::mount::open_root(place).because(error)?;
    let private = Attributes {
        propagation: Some(Propagation::Private),
        ..Attributes::default()
    };
    sys::mount::set_attributes(root.as_fd(), private).because(error)?;
    Ok(root)
}

/// Commas separate options and colons layers.
fn escape(path: &Path) -> String {
    let mut out = String::new();
    for character in String::from_utf8_lossy(path.as_os_str().as_bytes()).chars() {
        if matches!(character, '\\' | ',' | ':') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

fn attach_over(mount: &OwnedFd, place: &Path) -> io::Result<()> {
    let place = sys::mount::open_root(place)?;
    sys::mount::attach(mount.as_fd(), place.as_fd())
}

/// The last attributes of the root: read-only if asked for, and how mounts made by the host below it travel.
pub(super) fn finish(root: BorrowedFd<'_>, spec: &Spec) -> Result<(), InitError> {
    if spec
        .root()
        .as_ref()
        .and_then(|root| root.readonly())
        .unwrap_or(false)
    {
        let error = |cause| InitError::ReadOnly {
            path: "/".to_owned(),
            cause,
        };
        sys::mount::set_attributes(root, Attributes::read_only()).because(error)?;
    }
    let wanted = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.rootfs_propagation().as_deref());
    let propagation = match wanted {
        Some("shared" | "rshared") => Propagation::Shared,
        Some("slave" | "rslave") => Propagation::Slave,
        Some("unbindable" | "runbindable") => Propagation::Unbindable,
        _ => return Ok(()),
    };
    let change = Attributes {
        propagation: Some(propagation),
        ..Attributes::default()
    };
    sys::mount::set_attributes(root, change).because(|cause| InitError::Root {
        messages: Vec::new(),
        cause,
    })
}

#[cfg(test)]
mod tests {
    use super::escape;
    use std::path::Path;

    #[test]
    fn option_strings_are_escaped() {
        assert_eq!(escape(Path::new("/a,b:c\\d")), "/a\\,b\\:c\\\\d");
    }
}
