//! What the host's kernel has switched on beside the ordinary: security modules, resource control.
//!
//! Source: kernel `apparmor.rst`, `resctrl.rst`, selinux(8), statfs(2).

/// Whether AppArmor judges processes.
pub fn has_apparmor() -> bool {
    std::fs::read("/sys/module/apparmor/parameters/enabled")
        .is_ok_and(|text| text.starts_with(b"Y"))
}

/// Whether SELinux does.
pub fn has_selinux() -> bool {
    has_filesystem("/sys/fs/selinux", 0xf97c_ff8c)
}

/// Whether Intel's resource director can be spoken to.
pub fn has_resctrl() -> bool {
    has_filesystem("/sys/fs/resctrl", 0x0765_5821)
}

fn has_filesystem(path: &str, magic: u64) -> bool {
    #[allow(
        clippy::unnecessary_cast,
        reason = "the width of f_type differs between architectures"
    )]
    rustix::fs::statfs(path).is_ok_and(|stat| stat.f_type as u64 == magic)
}
