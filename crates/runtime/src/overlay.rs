//! A container's root without a container: for looking into it while nothing runs.
//!
//! Source: fsmount(2): the mount is attached nowhere and goes with its descriptor.

use crate::error::{Error, InitError, OrInit};
use crate::init::root;
use crate::request::Overlay;
use std::os::fd::OwnedFd;
use sys::mount::{Flags, FsContext};

/// Mounts an overlay in no namespace at all.
pub fn mount_detached(overlay: &Overlay) -> Result<OwnedFd, Error> {
    let failed = |messages: Vec<String>| move |cause| InitError::Root { messages, cause };
    let context = FsContext::open("overlay").because(failed(Vec::new()))?;
    match root::configure(&context, overlay).and_then(|()| context.create(Flags::empty())) {
        Err(e) if root::lacks_lowerdir_plus(&e) => mount_aside(overlay),
        other => Ok(other.because(failed(context.messages()))?),
    }
}

/// Where a mount must be attached to be made (before Linux 6.7): in a mount namespace that ends with its thread. The mount
/// itself lives on by its descriptor.
fn mount_aside(overlay: &Overlay) -> Result<OwnedFd, Error> {
    let place = overlay
        .upper
        .as_ref()
        .map(|(upper, _)| upper)
        .or(overlay.lower.first());
    let place = place.ok_or(Error::Protocol)?;
    std::thread::scope(|scope| {
        let aside = scope.spawn(|| {
            let failed = |cause| InitError::Root {
                messages: Vec::new(),
                cause,
            };
            sys::namespace::unshare(sys::namespace::flags::NEWNS).because(failed)?;
            sys::mount::set_root_propagation(sys::mount::Propagation::Private).because(failed)?;
            root::mount_overlay_by_string(overlay, place)
        });
        match aside.join() {
            Ok(mounted) => Ok(mounted?),
            Err(_) => Err(Error::Protocol),
        }
    })
}
