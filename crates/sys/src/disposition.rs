//! What a process does with a signal, as the kernel tells it.
//!
//! Source: proc_pid_status(5); pid_namespaces(7): the first process of a namespace gets only signals it has a handler
//! for, the others are dropped, except `SIGKILL` and `SIGSTOP` from an ancestor namespace.

/// Whether the signal is dropped by the kernel: the process is the first of its namespace and has neither a handler for
/// it, nor blocks it (to wait for it), nor has asked to ignore it. `false` when that cannot be told.
pub fn is_lost(pid: i32, signal: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|text| lost(&text, signal))
}

fn lost(status: &str, signal: i32) -> bool {
    let field = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name));
        value.map(str::trim)
    };
    let first = field("NSpid:").and_then(|ids| ids.split_whitespace().last()) == Some("1");
    let Some(bit) = u32::try_from(signal)
        .ok()
        .and_then(|n| n.checked_sub(1))
        .filter(|n| *n < 64)
    else {
        return false;
    };
    let has = |name: &str| {
        let mask = field(name).and_then(|text| u64::from_str_radix(text, 16).ok());
        mask.is_none_or(|mask| mask >> bit & 1 == 1)
    };
    first && !has("SigCgt:") && !has("SigBlk:") && !has("SigIgn:")
}

#[cfg(test)]
mod tests {
    use super::lost;

    const STATUS: &str = "Name:\tsleep\nNSpid:\t4324\t1\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000002\nSigCgt:\t0000000000004000\n";

    #[test]
    fn only_an_unhandled_signal_of_a_first_process_is_lost() {
        assert!(lost(STATUS, 10), "nothing said about SIGUSR1");
        assert!(!lost(STATUS, 15), "SIGTERM has a handler");
        assert!(!lost(STATUS, 2), "SIGINT is ignored on purpose");
        assert!(
            !lost(&STATUS.replace("4324\t1", "4324"), 10),
            "on the host the default action ends it"
        );
        assert!(!lost("", 15) && !lost(STATUS, 0) && !lost(STATUS, 99));
    }
}
