//! Any text is a seccomp profile (Docker's JSON, or that of the OCI spec) that compiles to a program the kernel would take, or an
//! error.
#![no_main]

use sys::seccomp::{Instruction, Program};

/// What the kernel asks of a filter (`bpf_check_classic`, `seccomp_check_filter`): only known instructions, jumps forwards and
/// within, loads within `struct seccomp_data`, and a return at every end.
fn check(program: &Program) {
    let all = program.instructions();
    assert!((1..=4096).contains(&all.len()));
    for (at, Instruction { code, jt, jf, k }) in all.iter().copied().enumerate() {
        let left = all.len() - at - 1;
        match code {
            0x06 => {}
            0x05 => assert!((k as usize) < left, "a jump by {k} with {left} left"),
            0x15 | 0x25 | 0x35 => assert!((jt.max(jf) as usize) < left, "{jt} or {jf} of {left}"),
            0x20 => assert!(k % 4 == 0 && k < 64 && left > 0, "a load at {k}"),
            0x54 => assert!(left > 0),
            other => panic!("no instruction of ours: {other:#x}"),
        }
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    for held in [&[][..], &["CAP_SYS_ADMIN".to_owned()]] {
        if let Ok(profile) = runtime::seccomp::parse_docker_profile(data, held)
            && let Ok(program) = runtime::seccomp::compile(&profile)
        {
            check(&program);
        }
    }
    if let Ok(profile) = serde_json::from_slice(data)
        && let Ok(program) = runtime::seccomp::compile(&profile)
    {
        check(&program);
    }
});
