//! Overlays: the ways to make one on every kernel since 6.1, with the layers' ids shown as they are or mapped.
//!
//! A root for `--userns=auto` has [`Overlay::idmap`]: the layers, which belong to the host's ids 0.. on disk, are cloned, shown
//! by the mapping, and given to overlayfs by descriptor. Nothing is copied or chowned, one set of layers serves all containers.
//! Ways, best first, the first that the kernel takes:
//! `lowerdir+` by path (Linux 6.7) or, mapped, by descriptor of a detached mount (6.15); the option string of mount(2) before,
//! which for mapped layers needs them attached: in a mount namespace that ends with its thread.
//! Source: kernel `overlayfs.rst`; fsmount(2): the mount is attached nowhere and goes with its descriptor; mount_setattr(2).

use crate::error::{Error, InitError, OrInit};
use crate::init::copy_up;
use crate::request::{CopyUp, Overlay};
use rustix::fs::OFlags;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use sys::mount::{Attributes, Flags, FsContext, Propagation, Recursion};
use sys::userns::IdMap;

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
        let root = sys::layer::open(layer).because(refused)?;
        return Ok(part(root.as_fd(), subpath)?);
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

fn configure(context: &mut FsContext, overlay: &Overlay) -> io::Result<()> {
    for layer in overlay.lower.iter().rev() {
        context.add_layer(layer)?;
    }
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
    let threads = sys::process::thread_count().because(refused)?;
    let made = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            sys::namespace::unshare(sys::namespace::flags::NEWNS).because(refused)?;
            sys::mount::set_root_propagation(Propagation::Private).because(refused)?;
            make()
        });
        let gone = || failed(vec!["the thread for it ended".to_owned()], crate::Errno(11));
        thread.join().unwrap_or_else(|_| Err(gone()))
    });
    // The thread is joined a moment before the kernel takes it off the list, and who clones next must be alone.
    while threads == 1 && sys::process::thread_count().is_ok_and(|count| count > 1) {
        std::thread::yield_now();
    }
    made
}

/// The layers as a user namespace maps them.
#[derive(Debug)]
struct Mapped {
    /// Detached clones and where they are from.
    trees: Vec<(OwnedFd, PathBuf)>,
    lower: Vec<OwnedFd>,
    upper: Option<(OwnedFd, OwnedFd)>,
}

/// An overlay, attached nowhere, over layers shown by the mapping of a user namespace.
pub(crate) fn idmapped(overlay: &Overlay, userns: BorrowedFd<'_>) -> Result<OwnedFd, InitError> {
    let mut mapped = Mapped::open(overlay, userns)?;
    // A lone layer that nobody writes to needs no overlay, which wants at least two directories.
    if mapped.upper.is_none() && mapped.lower.len() == 1 {
        return Ok(mapped.trees.remove(0).0);
    }
    let context = FsContext::open("overlay").because(refused)?;
    let made = mapped
        .configure(&context, overlay)
        .and_then(|()| as_root_of(overlay, || context.create(Flags::empty()))?);
    match made {
        Ok(root) => Ok(root),
        Err(e) if lacks_detached_layers(&e) => aside(|| copy(&mapped.mount_attached(overlay)?)),
        Err(e) => Err(failed(explain(&context, overlay), e.into())),
    }
}

/// An overlay works with the ids of its maker. Through a mapped upper directory the host's root is nobody, who can make nothing:
/// the work directory would fail, and the overlay be read-only without a word.
fn as_root_of<T>(overlay: &Overlay, action: impl FnOnce() -> T) -> io::Result<T> {
    let map = overlay.idmap.as_ref();
    let uid = map.and_then(IdMap::first_user).unwrap_or(0);
    let gid = map.and_then(IdMap::first_group).unwrap_or(0);
    sys::capability::with_fs_identity(uid, gid, action)
}

/// Before Linux 6.5 an overlay takes no parameter by descriptor; before 6.13 fsconfig(2) calls one bad that was opened as a path
/// only; then `lowerdir+` takes it, but before 6.15 not if it is on a detached mount.
fn lacks_detached_layers(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::OPNOTSUPP | Errno::BADF | Errno::INVAL)
    )
}

impl Mapped {
    fn open(overlay: &Overlay, userns: BorrowedFd<'_>) -> Result<Self, InitError> {
        let missing = |cause| failed(explain_missing(overlay), cause);
        place(overlay)?;
        let mut mapped = Self {
            trees: Vec::new(),
            lower: Vec::new(),
            upper: None,
        };
        for layer in &overlay.lower {
            let tree = layer_mapped(layer, userns, missing)?;
            mapped
                .lower
                .push(reopen(&tree, Path::new("")).because(missing)?);
            mapped.trees.push((tree, layer.clone()));
        }
        if let Some((upper, work)) = &overlay.upper {
            forget_volatile(work);
            // Both must be on one mount: the clone is of the directory that holds the two.
            let above = common_parent(upper, work);
            let tree = clone_mapped(above, Recursion::None, userns, missing)?;
            let open = |path: &Path| reopen(&tree, path.strip_prefix(above).unwrap_or(path));
            let opened = (open(upper).because(missing)?, open(work).because(missing)?);
            mapped.upper = Some(opened);
            mapped.trees.push((tree, above.to_owned()));
        }
        Ok(mapped)
    }

    fn configure(&self, context: &FsContext, overlay: &Overlay) -> io::Result<()> {
        for layer in self.lower.iter().rev() {
            context.set_fd("lowerdir+", layer.as_fd())?;
        }
        if let Some((upper, work)) = &self.upper {
            context.set_fd("upperdir", upper.as_fd())?;
            context.set_fd("workdir", work.as_fd())?;
            configure_upper(context, overlay)?;
        }
        Ok(())
    }

    fn mount_attached(&self, overlay: &Overlay) -> Result<OwnedFd, InitError> {
        for (tree, place) in &self.trees {
            attach_over(tree, place).because(|cause| failed(explain_missing(overlay), cause))?;
        }
        let upper = self
            .upper
            .as_ref()
            .map(|(upper, work)| (fd_path(upper), fd_path(work)));
        let place = place(overlay)?;
        let mount = || mount_string(&self.lower, upper, overlay.volatile, place);
        as_root_of(overlay, mount).because(refused)?
    }
}

/// A layer, shown by the mapping of a user namespace. A file is mounted for this alone and need not be cloned.
fn layer_mapped(
    layer: &Path,
    userns: BorrowedFd<'_>,
    error: impl FnOnce(crate::Errno) -> InitError,
) -> Result<OwnedFd, InitError> {
    if !sys::layer::is_image(layer) {
        return clone_mapped(layer, Recursion::None, userns, error);
    }
    let tree = sys::layer::open(layer).because(error)?;
    map_tree(&tree, layer, false, userns)?;
    Ok(tree)
}

fn reopen(tree: &OwnedFd, beneath: &Path) -> io::Result<OwnedFd> {
    sys::path::open_without_links(
        tree.as_fd(),
        beneath,
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY,
    )
}

fn common_parent<'a>(a: &'a Path, b: &Path) -> &'a Path {
    a.ancestors()
        .skip(1)
        .find(|above| b.starts_with(above))
        .unwrap_or(Path::new("/"))
}

/// A detached clone of a host's tree, shown by the mapping of a user namespace.
pub(crate) fn clone_mapped(
    path: &Path,
    recursion: Recursion,
    userns: BorrowedFd<'_>,
    error: impl FnOnce(crate::Errno) -> InitError,
) -> Result<OwnedFd, InitError> {
    let tree = sys::mount::clone_path(path, recursion).because(error)?;
    map_tree(&tree, path, recursion == Recursion::Subtree, userns)?;
    Ok(tree)
}

/// Shows a clone's ids by the mapping of a user namespace.
pub(crate) fn map_tree(
    tree: &OwnedFd,
    path: &Path,
    recursive: bool,
    userns: BorrowedFd<'_>,
) -> Result<(), InitError> {
    sys::mount::set_idmap(tree.as_fd(), userns, recursive).because(|cause| InitError::IdMap {
        path: path.display().to_string(),
        cause,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn option_strings_are_escaped() {
        assert_eq!(escape(Path::new("/a,b:c\\d")), "/a\\,b\\:c\\\\d");
    }

    /// The way of kernels before 6.15, which newer ones can go as well.
    #[test]
    fn mapped_layers_by_the_option_string() {
        use std::os::unix::fs::MetadataExt;
        let dir = std::env::temp_dir().join(format!("dockless-overlay-{}", std::process::id()));
        for name in ["a", "b", "upper", "work"] {
            std::fs::create_dir_all(dir.join(name)).unwrap();
        }
        std::fs::write(dir.join("a/old"), "x").unwrap();
        let map = IdMap::range(400_000, 1000);
        let overlay = Overlay {
            lower: vec![dir.join("a"), dir.join("b")],
            upper: Some((dir.join("upper"), dir.join("work"))),
            volatile: false,
            idmap: Some(map.clone()),
        };
        let userns = sys::userns::new(&map).unwrap();
        let mapped = Mapped::open(&overlay, userns.as_fd()).unwrap();
        let root = aside(|| copy(&mapped.mount_attached(&overlay)?)).unwrap();
        let stat = rustix::fs::statat(&root, "old", rustix::fs::AtFlags::empty()).unwrap();
        assert_eq!((stat.st_uid, stat.st_gid), (400_000, 400_000));
        sys::capability::with_fs_identity(400_007, 400_000, || {
            rustix::fs::mkdirat(&root, "new", rustix::fs::Mode::from_raw_mode(0o755))
        })
        .unwrap()
        .unwrap();
        assert_eq!(std::fs::metadata(dir.join("upper/new")).unwrap().uid(), 7);
        drop(root);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    /// What Linux 6.1, 6.12 and 6.13 answer to the better way.
    #[test]
    fn a_kernel_without_detached_layers_goes_the_other_way() {
        for (number, other_way) in [(95, true), (9, true), (22, true), (2, false)] {
            let answer = io::Error::from_raw_os_error(number);
            assert_eq!(lacks_detached_layers(&answer), other_way, "{answer}");
        }
    }

    #[test]
    fn upper_and_work_are_reached_by_one_mount() {
        let parent = |a, b| {
            common_parent(Path::new(a), Path::new(b))
                .display()
                .to_string()
        };
        assert_eq!(parent("/x/c/upper", "/x/c/work"), "/x/c");
        assert_eq!(parent("/x/u", "/y/w"), "/");
        assert_eq!(parent("/x/u", "/x/u/work"), "/x");
    }
}
