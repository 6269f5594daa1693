//! Overlays: the ways to make one on every kernel since 6.1, with the layers' ids shown as they are or mapped.
//!
//! A root for `--userns=auto` has [`Overlay::idmap`]: the layers, which belong to the host's ids 0.. on disk, are cloned, shown
//! by the mapping, and given to overlayfs by descriptor. Nothing is copied or chowned, one set of layers serves all containers.
//! Ways, best first, the first that the kernel takes:
//! `lowerdir+` by path (Linux 6.7) or, mapped, by descriptor of a detached mount (6.15); the option string of mount(2) before,
//! which for mapped layers needs them attached: in a mount namespace that ends with its thread. Layers that are files are on mounts
//! that are attached nowhere, which the ways by path take from 6.15 on; before, they are attached like mapped ones (`sys::layer`).
//! Source: kernel `overlayfs.rst`; fsmount(2): the mount is attached nowhere and goes with its descriptor; mount_setattr(2).

mod mapped;

use crate::error::{Error, InitError, OrInit};
use crate::init::copy_up;
use crate::request::{CopyUp, Overlay};
pub(crate) use mapped::{idmapped, map_tree};
use rustix::fs::OFlags;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use sys::mount::{Attributes, Flags, FsContext, Propagation, Recursion};

/// Whether the kernel takes layers one by one; it is asked with two directories beside each other.
pub(crate) fn takes_lowerdir_plus([one, other]: [&Path; 2]) -> bool {
    let overlay = Overlay {
        lower: vec![one.into(), other.into()],
        ..Overlay::default()
    };
    let made = FsContext::open("overlay").and_then(|mut context| {
        configure(&mut context, &overlay).and_then(|()| context.create(Flags::empty()))
    });
    made.is_ok()
}

/// An image's files or a part of them, to be mounted in a container; links of the image lead nowhere else.
pub fn image_tree(layers: &[PathBuf], subpath: Option<&Path>) -> Result<OwnedFd, Error> {
    // A lone layer needs no overlay, which wants at least two directories.
    if let [layer] = layers {
        return Ok(part_of_layer(layer, subpath)?);
    }
    let overlay = Overlay {
        lower: layers.to_vec(),
        ..Overlay::default()
    };
    match subpath {
        None => mount_detached(&overlay),
        Some(_) => Ok(aside(|| part(mount_attached(&overlay)?.as_fd(), subpath))?),
    }
}

fn part_of_layer(layer: &Path, subpath: Option<&Path>) -> Result<OwnedFd, InitError> {
    let root = sys::layer::open(layer).because(refused)?;
    let is_image = sys::layer::is_image(layer);
    if is_image && subpath.is_none() {
        return Ok(root); // a mount of its own already
    }
    match part(root.as_fd(), subpath) {
        // Before Linux 6.15 what is attached nowhere cannot be cloned.
        Err(InitError::Root { cause, .. }) if is_image && cause == crate::Errno::INVAL => {
            aside(|| {
                attach_over(&root, Path::new("/")).because(refused)?;
                part(root.as_fd(), subpath)
            })
        }
        other => other,
    }
}

fn part(root: BorrowedFd<'_>, subpath: Option<&Path>) -> Result<OwnedFd, InitError> {
    let path = subpath.unwrap_or(Path::new("."));
    let missing = |cause| failed(vec![format!("{} in the image", path.display())], cause);
    let found = sys::path::open_in_root(root, path, OFlags::PATH).because(missing)?;
    sys::mount::clone_tree(found.as_fd(), c"", Recursion::None).because(refused)
}

/// What init does for new volumes, for a root that another runtime will start in.
pub fn populate(root: BorrowedFd<'_>, volumes: &[CopyUp]) -> Result<(), Error> {
    Ok(copy_up::run(root, volumes, &[])?)
}

/// A container's root without a container: mounts an overlay in no namespace at all.
pub fn mount_detached(overlay: &Overlay) -> Result<OwnedFd, Error> {
    match &overlay.idmap {
        None => Ok(detached(overlay)?),
        Some(map) => {
            let userns = sys::userns::new(map).map_err(Error::WriteMaps)?;
            Ok(idmapped(overlay, userns.as_fd())?)
        }
    }
}

fn failed(messages: Vec<String>, cause: crate::Errno) -> InitError {
    InitError::Root { messages, cause }
}

fn refused(cause: crate::Errno) -> InitError {
    failed(Vec::new(), cause)
}

pub(crate) fn detached(overlay: &Overlay) -> Result<OwnedFd, InitError> {
    let mut context = FsContext::open("overlay").because(refused)?;
    match configure(&mut context, overlay).and_then(|()| context.create(Flags::empty())) {
        Err(e) if wants_attached(&e, overlay) => {
            // Nothing is looked up in that namespace afterwards.
            aside(|| on_attached(overlay, Path::new("/")))
        }
        Err(e) if lacks_lowerdir_plus(&e) => aside(|| copy(&by_string(overlay, place(overlay)?)?)),
        other => other.because(|cause| failed(explain(&context, overlay), cause)),
    }
}

/// Mounts it in this namespace, at a place that exists and where nothing is looked up later.
pub(crate) fn mount_attached(overlay: &Overlay) -> Result<OwnedFd, InitError> {
    let place = place(overlay)?;
    let mut context = FsContext::open("overlay").because(refused)?;
    match configure(&mut context, overlay).and_then(|()| context.create(Flags::empty())) {
        Ok(root) => {
            attach_over(&root, place).because(|cause| failed(explain(&context, overlay), cause))?;
            Ok(root)
        }
        Err(e) if wants_attached(&e, overlay) => {
            let root = on_attached(overlay, place)?;
            attach_over(&root, place).because(refused)?;
            Ok(root)
        }
        Err(e) if lacks_lowerdir_plus(&e) => by_string(overlay, place),
        Err(e) => Err(failed(explain(&context, overlay), e.into())),
    }
}

fn place(overlay: &Overlay) -> Result<&Path, InitError> {
    let upper = overlay.upper.as_ref().map(|(upper, _)| upper);
    match upper.or(overlay.lower.first()) {
        // What is attached to a directory is one: a layer that is a file has one around it.
        Some(file) if sys::layer::is_image(file) => Ok(file.parent().unwrap_or(file)),
        Some(path) => Ok(path),
        None => Err(failed(vec!["no layers".to_owned()], crate::Errno::NOENT)),
    }
}

pub(crate) fn attach_over(mount: &OwnedFd, place: &Path) -> io::Result<()> {
    let place = sys::mount::open_root(place)?;
    sys::mount::attach(mount.as_fd(), place.as_fd())
}

/// Before Linux 6.7 there is no `lowerdir+`: said at once, or (before 6.5) only when the mount is made.
fn lacks_lowerdir_plus(error: &io::Error) -> bool {
    error.raw_os_error() == Some(22)
}

fn wants_attached(error: &io::Error, overlay: &Overlay) -> bool {
    sys::layer::wants_attached(error, overlay.lower.iter().map(PathBuf::as_path))
}

/// An overlay, attached nowhere, on layers that are attached in this namespace, over `place`.
fn on_attached(overlay: &Overlay, place: &Path) -> Result<OwnedFd, InitError> {
    let context = FsContext::open("overlay").because(refused)?;
    let layers = overlay.lower.iter().rev().map(PathBuf::as_path);
    // The layers come last: what they are attached over may be the upper directory.
    upper(&context, overlay)
        .and_then(|()| context.add_attached(layers, place))
        .and_then(|()| context.create(Flags::empty()))
        .because(|cause| failed(explain(&context, overlay), cause))
}

fn configure(context: &mut FsContext, overlay: &Overlay) -> io::Result<()> {
    for layer in overlay.lower.iter().rev() {
        context.add_layer(layer)?;
    }
    upper(context, overlay)
}

fn upper(context: &FsContext, overlay: &Overlay) -> io::Result<()> {
    if let Some((upper, work)) = &overlay.upper {
        forget_volatile(work);
        context.set("upperdir", upper.as_path())?;
        context.set("workdir", work.as_path())?;
        configure_upper(context, overlay)?;
    }
    Ok(())
}

fn configure_upper(context: &FsContext, overlay: &Overlay) -> io::Result<()> {
    // An upper directory may become a layer, which must not lean on the ones below by the host's defaults.
    context.set("redirect_dir", "off")?;
    context.set("metacopy", "off")?;
    // Layers that are files are file systems of their own: without this each would show as a device of its own.
    context.set("xino", "auto")?;
    if overlay.volatile {
        context.set_flag("volatile")?;
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
fn by_string(overlay: &Overlay, place: &Path) -> Result<OwnedFd, InitError> {
    let handles = overlay.lower.iter().map(|path| sys::layer::open(path));
    let handles: Vec<OwnedFd> = handles
        .collect::<io::Result<_>>()
        .because(|cause| failed(explain_missing(overlay), cause))?;
    let upper = overlay
        .upper
        .as_ref()
        .map(|(upper, work)| (escape(upper), escape(work)));
    mount_string(&handles, upper, overlay.volatile, place)
}

/// `lower` as images list it, lowest first.
fn mount_string(
    lower: &[OwnedFd],
    upper: Option<(String, String)>,
    volatile: bool,
    place: &Path,
) -> Result<OwnedFd, InitError> {
    let layers: Vec<String> = lower.iter().rev().map(fd_path).collect();
    let mut options = format!("lowerdir={}", layers.join(":"));
    if let Some((upper, work)) = upper {
        options +=
            &format!(",upperdir={upper},workdir={work},redirect_dir=off,metacopy=off,xino=auto");
        if volatile {
            options += ",volatile";
        }
    }
    let options = CString::new(options).map_err(|_| InitError::ZeroByte {
        what: "a layer's path".to_owned(),
    })?;
    sys::mount::mount_legacy("overlay", place, "overlay", &options).because(refused)?;
    let root = sys::mount::open_root(place).because(refused)?;
    let private = Attributes {
        propagation: Some(Propagation::Private),
        ..Attributes::default()
    };
    sys::mount::set_attributes(root.as_fd(), private).because(refused)?;
    Ok(root)
}

fn fd_path(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
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

/// A copy of an attached mount, which stays attachable when the namespace ends.
fn copy(attached: &OwnedFd) -> Result<OwnedFd, InitError> {
    sys::mount::clone_tree(attached.as_fd(), c"", Recursion::None).because(refused)
}

/// Makes what only an attached mount can be made from, in a mount namespace that ends with its thread. What is made must be
/// detached, by [`copy`] for one: before Linux 6.15 a detached mount cannot be cloned, so it is done once.
fn aside(make: impl FnOnce() -> Result<OwnedFd, InitError> + Send) -> Result<OwnedFd, InitError> {
    sys::aside::in_new(make).because(refused)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn option_strings_are_escaped() {
        assert_eq!(escape(Path::new("/a,b:c\\d")), "/a\\,b\\:c\\\\d");
    }
}
