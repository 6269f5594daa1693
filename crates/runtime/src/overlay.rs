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
    let made = root::configure(&context, overlay).and_then(|()| context.create(Flags::empty()));
    Ok(made.because(failed(context.messages()))?)
}
