//! `spec`: a specification to start from, as runc writes it.

use oci_spec::runtime::Spec;

/// A shell with a terminal in `rootfs`; `rootless` for a user without privileges.
pub fn specification(rootless: bool) -> Spec {
    if rootless {
        Spec::rootless(
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        )
    } else {
        Spec::default()
    }
}
