//! Docker's default profile: what an unprivileged container may call.
//!
//! Calls not named fail with `EPERM`, calls this runtime does not know with `ENOSYS`; capabilities widen it.
//! Source: moby's default seccomp profile (2026) and its documentation of what is blocked and why.

use oci_spec::runtime::{
    Arch as SpecArch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompBuilder, LinuxSeccompOperator, LinuxSyscall, LinuxSyscallBuilder,
};
use sys::seccomp::{Action, Arch, Compare, Condition, Profile, Rule};

/// Allowed to everybody.
#[rustfmt::skip]
const ALWAYS: &[&str] = &[
    "_llseek", "_newselect", "accept", "accept4", "access", "adjtimex", "alarm", "bind", "brk", "cachestat", "capget", "capset",
    "chdir", "chmod", "chown", "chown32", "clock_adjtime", "clock_adjtime64", "clock_getres", "clock_getres_time64",
    "clock_gettime", "clock_gettime64", "clock_nanosleep", "clock_nanosleep_time64", "close", "close_range", "connect",
    "copy_file_range", "creat", "dup", "dup2", "dup3", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old",
    "epoll_pwait", "epoll_pwait2", "epoll_wait", "epoll_wait_old", "eventfd", "eventfd2", "execve", "execveat", "exit",
    "exit_group", "faccessat", "faccessat2", "fadvise64", "fadvise64_64", "fallocate", "fanotify_mark", "fchdir", "fchmod",
    "fchmodat", "fchmodat2", "fchown", "fchown32", "fchownat", "fcntl", "fcntl64", "fdatasync", "fgetxattr", "flistxattr",
    "flock", "fork", "fremovexattr", "fsetxattr", "fstat", "fstat64", "fstatat64", "fstatfs", "fstatfs64", "fsync", "ftruncate",
    "ftruncate64", "futex", "futex_requeue", "futex_time64", "futex_wait", "futex_waitv", "futex_wake", "futimesat",
    "get_robust_list", "get_thread_area", "getcpu", "getcwd", "getdents", "getdents64", "getegid", "getegid32", "geteuid",
    "geteuid32", "getgid", "getgid32", "getgroups", "getgroups32", "getitimer", "getpeername", "getpgid", "getpgrp", "getpid",
    "getppid", "getpriority", "getrandom", "getresgid", "getresgid32", "getresuid", "getresuid32", "getrlimit", "getrusage",
    "getsid", "getsockname", "getsockopt", "gettid", "gettimeofday", "getuid", "getuid32", "getxattr", "getxattrat",
    "inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch", "io_cancel", "io_destroy", "io_getevents",
    "io_pgetevents", "io_pgetevents_time64", "io_setup", "io_submit", "ioctl", "ioprio_get", "ioprio_set", "ipc", "kill",
    "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "lchown", "lchown32", "lgetxattr", "link", "linkat",
    "listen", "listmount", "listxattr", "listxattrat", "llistxattr", "lremovexattr", "lseek", "lsetxattr", "lstat", "lstat64",
    "madvise", "map_shadow_stack", "membarrier", "memfd_create", "memfd_secret", "mincore", "mkdir", "mkdirat", "mknod",
    "mknodat", "mlock", "mlock2", "mlockall", "mmap", "mmap2", "mprotect", "mq_getsetattr", "mq_notify", "mq_open",
    "mq_timedreceive", "mq_timedreceive_time64", "mq_timedsend", "mq_timedsend_time64", "mq_unlink", "mremap", "mseal", "msgctl",
    "msgget", "msgrcv", "msgsnd", "msync", "munlock", "munlockall", "munmap", "name_to_handle_at", "nanosleep", "newfstatat",
    "open", "openat", "openat2", "pause", "pidfd_open", "pidfd_send_signal", "pipe", "pipe2", "pkey_alloc", "pkey_free",
    "pkey_mprotect", "poll", "ppoll", "ppoll_time64", "prctl", "pread64", "preadv", "preadv2", "prlimit64", "process_mrelease",
    "pselect6", "pselect6_time64", "pwrite64", "pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv",
    "recv", "recvfrom", "recvmmsg", "recvmmsg_time64", "recvmsg", "remap_file_pages", "removexattr", "removexattrat", "rename",
    "renameat", "renameat2", "restart_syscall", "rmdir", "rseq", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",
    "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64", "rt_tgsigqueueinfo",
    "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam",
    "sched_getscheduler", "sched_rr_get_interval", "sched_rr_get_interval_time64", "sched_setaffinity", "sched_setattr",
    "sched_setparam", "sched_setscheduler", "sched_yield", "seccomp", "select", "semctl", "semget", "semop", "semtimedop",
    "semtimedop_time64", "send", "sendfile", "sendfile64", "sendmmsg", "sendmsg", "sendto", "set_robust_list", "set_thread_area",
    "set_tid_address", "setfsgid", "setfsgid32", "setfsuid", "setfsuid32", "setgid", "setgid32", "setgroups", "setgroups32",
    "setitimer", "setpgid", "setpriority", "setregid", "setregid32", "setresgid", "setresgid32", "setresuid", "setresuid32",
    "setreuid", "setreuid32", "setrlimit", "setsid", "setsockopt", "setuid", "setuid32", "setxattr", "setxattrat", "shmat",
    "shmctl", "shmdt", "shmget", "shutdown", "sigaltstack", "signalfd", "signalfd4", "sigprocmask", "sigreturn", "socketcall",
    "socketpair", "splice", "stat", "stat64", "statfs", "statfs64", "statmount", "statx", "symlink", "symlinkat", "sync",
    "sync_file_range", "syncfs", "sysinfo", "tee", "tgkill", "time", "timer_create", "timer_delete", "timer_getoverrun",
    "timer_gettime", "timer_gettime64", "timer_settime", "timer_settime64", "timerfd_create", "timerfd_gettime",
    "timerfd_gettime64", "timerfd_settime", "timerfd_settime64", "times", "tkill", "truncate", "truncate64", "ugetrlimit",
    "umask", "uname", "unlink", "unlinkat", "uretprobe", "utime", "utimensat", "utimensat_time64", "utimes", "vfork", "vmsplice",
    "wait4", "waitid", "waitpid", "write", "writev",
];

/// Allowed to everybody on the architectures that have them.
const BY_ARCHITECTURE: &[&str] = if cfg!(target_arch = "x86_64") {
    &[
        "arch_prctl",
        "modify_ldt",
        "process_vm_readv",
        "process_vm_writev",
        "ptrace",
    ]
} else {
    &["process_vm_readv", "process_vm_writev", "ptrace"]
};

/// Allowed to those with the capability.
const BY_CAPABILITY: &[(&str, &[&str])] = &[
    ("DAC_READ_SEARCH", &["open_by_handle_at"]),
    ("SYS_ADMIN", SYS_ADMIN),
    ("SYS_BOOT", &["reboot"]),
    ("SYS_CHROOT", &["chroot"]),
    (
        "SYS_MODULE",
        &["delete_module", "init_module", "finit_module"],
    ),
    ("SYS_PACCT", &["acct"]),
    (
        "SYS_PTRACE",
        &[
            "kcmp",
            "pidfd_getfd",
            "process_madvise",
            "process_vm_readv",
            "process_vm_writev",
            "ptrace",
        ],
    ),
    ("SYS_RAWIO", &["iopl", "ioperm"]),
    (
        "SYS_TIME",
        &["settimeofday", "stime", "clock_settime", "clock_settime64"],
    ),
    ("SYS_TTY_CONFIG", &["vhangup"]),
    (
        "SYS_NICE",
        &[
            "get_mempolicy",
            "mbind",
            "set_mempolicy",
            "set_mempolicy_home_node",
        ],
    ),
    ("SYSLOG", &["syslog"]),
    ("BPF", &["bpf"]),
    ("PERFMON", &["perf_event_open"]),
];

#[rustfmt::skip]
const SYS_ADMIN: &[&str] = &[
    "bpf", "clone", "clone3", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick", "lookup_dcookie", "lsm_get_self_attr",
    "lsm_list_modules", "lsm_set_self_attr", "mount", "mount_setattr", "move_mount", "open_tree", "perf_event_open", "quotactl",
    "quotactl_fd", "setdomainname", "sethostname", "setns", "syslog", "umount", "umount2", "unshare",
];

/// `CLONE_NEW*`: new namespaces need CAP_SYS_ADMIN anyway, except a user namespace, which is the point.
const NAMESPACE_FLAGS: u64 = 0x7e02_0000;
const ENOSYS: u16 = 38;

/// Values of personality(2) that change nothing of security: the default, Linux32, and the query.
const PERSONALITIES: [u64; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Address families that stay closed: DECnet, Econet, ATM, IrDA, PF_LLC's neighbour 25, ISDN, CAIF, AF_ALG and vsock. Written as
/// what is open: (first, last).
const FAMILIES: [(u64, u64); 7] = [
    (0, 11),
    (13, 18),
    (21, 22),
    (24, 24),
    (26, 33),
    (35, 36),
    (39, 39),
];
const LATE_FAMILIES: (u64, u64) = (41, 45);

/// Every single condition of the profile: (call, argument, comparison, value).
fn conditional() -> Vec<(&'static str, Condition)> {
    let on_first = |compare, value| Condition {
        argument: 0,
        compare,
        value,
    };
    let mut out = vec![("socket", on_first(Compare::Lt, FAMILIES[0].1 + 1))];
    for (first, last) in FAMILIES[1..].iter().chain([&LATE_FAMILIES]) {
        out.extend((*first..=*last).map(|family| ("socket", on_first(Compare::Eq, family))));
    }
    out.extend(
        PERSONALITIES
            .iter()
            .map(|persona| ("personality", on_first(Compare::Eq, *persona))),
    );
    out
}

/// Calls allowed without condition for these capabilities, and whether namespaces may be made.
fn unconditional(has: &dyn Fn(&str) -> bool) -> Vec<&'static str> {
    let mut names: Vec<&str> = ALWAYS.to_vec();
    names.extend(BY_ARCHITECTURE);
    for (capability, calls) in BY_CAPABILITY {
        if has(capability) {
            names.extend(*calls);
        }
    }
    names
}

/// Whether these are, as far as the profile asks, Docker's default capabilities.
pub(super) fn is_usual(has: &dyn Fn(&str) -> bool) -> bool {
    BY_CAPABILITY
        .iter()
        .all(|(capability, _)| has(capability) == (*capability == "SYS_CHROOT"))
}

/// The profile for the compiler. `has` is asked for capabilities without their prefix.
pub(super) fn profile(has: &dyn Fn(&str) -> bool) -> Profile<'static> {
    let allow = |name, conditions| Rule {
        name,
        action: Action::Allow,
        conditions,
    };
    let mut rules: Vec<Rule<'_>> = unconditional(has)
        .into_iter()
        .map(|name| allow(name, Vec::new()))
        .collect();
    rules.extend(
        conditional()
            .into_iter()
            .map(|(name, condition)| allow(name, vec![condition])),
    );
    if !has("SYS_ADMIN") {
        let compare = Compare::MaskedEq {
            mask: NAMESPACE_FLAGS,
        };
        rules.push(allow(
            "clone",
            vec![Condition {
                argument: 0,
                compare,
                value: 0,
            }],
        ));
        // Its flags are in memory, out of a filter's sight: "not there" makes the C library use clone.
        rules.push(Rule {
            name: "clone3",
            action: Action::Errno(ENOSYS),
            conditions: Vec::new(),
        });
    }
    let arches = Arch::on_this_machine().to_vec();
    Profile {
        default: Action::Errno(1),
        arches,
        rules,
        flags: sys::seccomp::FLAG_SPEC_ALLOW,
    }
}

/// The same as a part of an OCI spec, for those who want to see it written out.
pub fn docker_default(capabilities: &[String]) -> LinuxSeccomp {
    let has = |name: &str| {
        capabilities
            .iter()
            .any(|known| known.strip_prefix("CAP_").unwrap_or(known) == name)
    };
    let names = unconditional(&has).into_iter().map(str::to_owned).collect();
    let mut syscalls = vec![syscall(
        names,
        LinuxSeccompAction::ScmpActAllow,
        None,
        Vec::new(),
    )];
    for (name, condition) in conditional() {
        let op = if condition.compare == Compare::Lt {
            LinuxSeccompOperator::ScmpCmpLt
        } else {
            LinuxSeccompOperator::ScmpCmpEq
        };
        let args = vec![argument(condition.value, op)];
        syscalls.push(syscall(
            vec![name.to_owned()],
            LinuxSeccompAction::ScmpActAllow,
            None,
            args,
        ));
    }
    if !has("SYS_ADMIN") {
        let args = vec![argument(
            NAMESPACE_FLAGS,
            LinuxSeccompOperator::ScmpCmpMaskedEq,
        )];
        syscalls.push(syscall(
            vec!["clone".to_owned()],
            LinuxSeccompAction::ScmpActAllow,
            None,
            args,
        ));
        syscalls.push(syscall(
            vec!["clone3".to_owned()],
            LinuxSeccompAction::ScmpActErrno,
            Some(ENOSYS.into()),
            Vec::new(),
        ));
    }
    let architectures = if cfg!(target_arch = "x86_64") {
        vec![
            SpecArch::ScmpArchX86_64,
            SpecArch::ScmpArchX86,
            SpecArch::ScmpArchX32,
        ]
    } else {
        vec![SpecArch::ScmpArchAarch64]
    };
    let builder = LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .default_errno_ret(1u32);
    builder
        .architectures(architectures)
        .syscalls(syscalls)
        .build()
        .unwrap_or_default()
}

fn syscall(
    names: Vec<String>,
    action: LinuxSeccompAction,
    errno: Option<u32>,
    args: Vec<LinuxSeccompArg>,
) -> LinuxSyscall {
    let mut builder = LinuxSyscallBuilder::default().names(names).action(action);
    if let Some(errno) = errno {
        builder = builder.errno_ret(errno);
    }
    if !args.is_empty() {
        builder = builder.args(args);
    }
    builder.build().unwrap_or_default()
}

fn argument(value: u64, op: LinuxSeccompOperator) -> LinuxSeccompArg {
    LinuxSeccompArgBuilder::default()
        .index(0usize)
        .value(value)
        .value_two(0u64)
        .op(op)
        .build()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_compile_to_the_same() {
        for capabilities in [
            vec![],
            vec!["CAP_SYS_ADMIN".to_owned()],
            vec!["SYS_TIME".to_owned(), "BPF".to_owned()],
        ] {
            let spec = super::super::compile(&docker_default(&capabilities)).unwrap();
            let direct = super::super::default_program(&capabilities).unwrap();
            assert_eq!(spec.instructions(), direct.instructions());
        }
    }

    #[test]
    fn every_name_is_a_system_call_somewhere() {
        let elsewhere = ["recv", "send", "x86_64"];
        let arches = [Arch::X86_64, Arch::I386, Arch::X32, Arch::Aarch64];
        for name in unconditional(&|_| true) {
            assert!(
                elsewhere.contains(&name) || arches.iter().any(|arch| arch.number(name).is_some()),
                "{name}"
            );
        }
    }

    #[test]
    fn it_stays_small() {
        let program = super::super::default_program(&[]).unwrap();
        assert!(
            program.instructions().len() < 1000,
            "{}",
            program.instructions().len()
        );
    }
}
