//! The eBPF program by which cgroup v2 controls devices, assembled by hand.
//!
//! Source: kernel `cgroup-v2.rst` "Device controller", bpf(2), linux/bpf.h. The program gets `struct bpf_cgroup_dev_ctx`
//! (access and type, major, minor) and returns 1 to allow.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceKind {
    Block,
    Char,
}

/// One rule; `None` matches everything. Access bits: 1 mknod, 2 read, 4 write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceRule {
    pub allow: bool,
    pub kind: Option<DeviceKind>,
    pub major: Option<u32>,
    pub minor: Option<u32>,
    pub access: u8,
}

const ALL_ACCESS: u8 = 7;

/// `struct bpf_insn`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    code: u8,
    /// Destination in the low four bits, source in the high.
    registers: u8,
    offset: i16,
    immediate: i32,
}

const LOAD_WORD: u8 = 0x61;
const SHIFT_RIGHT: u8 = 0x77;
const AND: u8 = 0x54;
const MOVE: u8 = 0xb7;
const MOVE_REGISTER: u8 = 0xbf;
const JUMP_EQUAL: u8 = 0x15;
/// Compares 32 bits: numbers above i32::MAX would be sign-extended else.
const JUMP_NOT_EQUAL_32: u8 = 0x56;
const JUMP_NOT_EQUAL_REGISTER: u8 = 0x5d;
const EXIT: u8 = 0x95;

// r1 is the context, then a scratch register; r2 type, r3 access, r4 major, r5 minor.
fn op(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers: destination | source << 4,
        offset,
        immediate,
    }
}

/// Rules in order, the last that matches decides; nothing matching is a refusal.
pub fn device_program(rules: &[DeviceRule]) -> Vec<Instruction> {
    let mut out = vec![
        op(LOAD_WORD, 3, 1, 0, 0),
        op(MOVE_REGISTER, 2, 3, 0, 0),
        op(AND, 2, 0, 0, 0xffff),
        op(SHIFT_RIGHT, 3, 0, 0, 16),
        op(LOAD_WORD, 4, 1, 4, 0),
        op(LOAD_WORD, 5, 1, 8, 0),
    ];
    for rule in rules.iter().rev() {
        let mut block = vec![
            op(MOVE, 0, 0, 0, i32::from(rule.allow)),
            op(EXIT, 0, 0, 0, 0),
        ];
        // Built backwards: each test jumps over what is there already.
        let mut test = |mut instructions: Vec<Instruction>| {
            if let Some(last) = instructions.last_mut() {
                last.offset = block.len() as i16;
            }
            instructions.append(&mut block);
            block = instructions;
        };
        if let Some(minor) = rule.minor {
            test(vec![op(JUMP_NOT_EQUAL_32, 5, 0, 0, minor as i32)]);
        }
        if let Some(major) = rule.major {
            test(vec![op(JUMP_NOT_EQUAL_32, 4, 0, 0, major as i32)]);
        }
        if rule.access & ALL_ACCESS != ALL_ACCESS {
            let masked = [
                op(MOVE_REGISTER, 1, 3, 0, 0),
                op(AND, 1, 0, 0, i32::from(rule.access)),
            ];
            // Allowing needs every wanted right in the rule, refusing only one.
            let last = if rule.allow {
                op(JUMP_NOT_EQUAL_REGISTER, 1, 3, 0, 0)
            } else {
                op(JUMP_EQUAL, 1, 0, 0, 0)
            };
            test(vec![masked[0], masked[1], last]);
        }
        if let Some(kind) = rule.kind {
            test(vec![op(
                JUMP_NOT_EQUAL_32,
                2,
                0,
                0,
                if kind == DeviceKind::Block { 1 } else { 2 },
            )]);
        }
        out.append(&mut block);
        // What follows a rule without any test can never be reached, and the verifier refuses unreachable instructions.
        if rule.kind.is_none()
            && rule.major.is_none()
            && rule.minor.is_none()
            && rule.access & ALL_ACCESS == ALL_ACCESS
        {
            return out;
        }
    }
    out.extend([op(MOVE, 0, 0, 0, 0), op(EXIT, 0, 0, 0, 0)]);
    out
}

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_DETACH: libc::c_int = 9;
const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
const BPF_PROG_QUERY: libc::c_int = 16;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_TYPE_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

#[repr(C)]
#[derive(Default)]
struct LoadAttributes {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct AttachAttributes {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct QueryAttributes {
    target: u32,
    kind: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
}

fn bpf<T>(command: libc::c_int, attributes: &mut T) -> io::Result<i32> {
    // SAFETY: `attributes` is the structure of this command, of the size that is passed; every pointer in it refers to memory
    // the caller keeps through the call.
    let done =
        unsafe { libc::syscall(libc::SYS_bpf, command, attributes as *mut T, size_of::<T>()) };
    if done == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(done as i32)
    }
}

fn owned(fd: i32) -> OwnedFd {
    // SAFETY: called only with a descriptor that bpf(2) has just made.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Verifies and loads the program.
pub fn load_device_program(program: &[Instruction]) -> io::Result<OwnedFd> {
    let mut attributes = LoadAttributes {
        kind: PROG_TYPE_CGROUP_DEVICE,
        count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        ..LoadAttributes::default()
    };
    bpf(BPF_PROG_LOAD, &mut attributes).map(owned)
}

/// Attaches a loaded program to a group, beside those of others.
pub fn attach(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = AttachAttributes {
        target: group.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        kind: ATTACH_TYPE_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    bpf(BPF_PROG_ATTACH, &mut attributes).map(drop)
}

/// Loads the program and attaches it in place of those that are there. In between both hold, never none.
pub fn replace_device_program(group: BorrowedFd<'_>, program: &[Instruction]) -> io::Result<()> {
    let program = load_device_program(program)?;
    let before = attached(group)?;
    attach(group, program.as_fd())?;
    for id in before {
        let old = program_of(id)?;
        detach(group, old.as_fd())?;
    }
    Ok(())
}

fn detach(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = AttachAttributes {
        target: group.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        kind: ATTACH_TYPE_CGROUP_DEVICE,
        ..AttachAttributes::default()
    };
    bpf(BPF_PROG_DETACH, &mut attributes).map(drop)
}

/// The numbers of the device programs of a group; the kernel takes no more than 64.
fn attached(group: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut ids = [0_u32; 64];
    let mut query = QueryAttributes {
        target: group.as_raw_fd() as u32,
        kind: ATTACH_TYPE_CGROUP_DEVICE,
        ids: ids.as_mut_ptr() as u64,
        count: ids.len() as u32,
        ..QueryAttributes::default()
    };
    bpf(BPF_PROG_QUERY, &mut query)?;
    Ok(ids[..(query.count as usize).min(ids.len())].to_vec())
}

fn program_of(id: u32) -> io::Result<OwnedFd> {
    let mut by_id = [id, 0, 0];
    bpf(BPF_PROG_GET_FD_BY_ID, &mut by_id).map(owned)
}

/// Attaches the device program that `keeper` has to another group, without loading it again; `false` where there is none to be had.
pub fn attach_kept(keeper: BorrowedFd<'_>, group: BorrowedFd<'_>) -> io::Result<bool> {
    let kept = attached(keeper).ok().and_then(|ids| ids.first().copied());
    let Some((id, program)) = kept.and_then(|id| Some((id, program_of(id).ok()?))) else {
        return Ok(false);
    };
    match attach(group, program.as_fd()) {
        // The kernel refuses a program that is there already, as in a group that its container left behind.
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) && attached(group)?.contains(&id) => {}
        done => done?,
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program on one access, by the few instructions it uses.
    fn run(program: &[Instruction], kind: u64, access: u64, major: u64, minor: u64) -> u64 {
        let context = [access << 16 | kind, major, minor];
        let mut r = [0u64; 11];
        let mut at = 0usize;
        loop {
            let i = program[at];
            let (d, s) = ((i.registers & 15) as usize, (i.registers >> 4) as usize);
            at += 1;
            let mut jump_if = |holds: bool| {
                at = if holds {
                    at.checked_add_signed(i.offset as isize).unwrap()
                } else {
                    at
                }
            };
            match i.code {
                LOAD_WORD => r[d] = context[i.offset as usize / 4],
                SHIFT_RIGHT => r[d] >>= i.immediate,
                AND => r[d] = u64::from(r[d] as u32 & i.immediate as u32),
                MOVE => r[d] = i.immediate as u64,
                MOVE_REGISTER => r[d] = r[s],
                JUMP_EQUAL => jump_if(r[d] == i.immediate as u64),
                JUMP_NOT_EQUAL_32 => jump_if(r[d] as u32 != i.immediate as u32),
                JUMP_NOT_EQUAL_REGISTER => jump_if(r[d] != r[s]),
                EXIT => return r[0],
                other => panic!("{other:#x}"),
            }
        }
    }

    fn rule(
        allow: bool,
        kind: DeviceKind,
        major: Option<u32>,
        minor: Option<u32>,
        access: u8,
    ) -> DeviceRule {
        DeviceRule {
            allow,
            kind: Some(kind),
            major,
            minor,
            access,
        }
    }

    fn rules() -> Vec<DeviceRule> {
        vec![
            rule(true, DeviceKind::Char, None, None, 1),
            rule(true, DeviceKind::Char, Some(1), Some(3), 7),
            rule(true, DeviceKind::Block, Some(8), None, 2),
            rule(false, DeviceKind::Block, Some(8), Some(1), 7),
            rule(true, DeviceKind::Char, Some(0xffff_ffff), Some(0), 7),
        ]
    }

    #[test]
    fn the_last_matching_rule_decides() {
        let program = device_program(&rules());
        assert_eq!(run(&program, 2, 1, 99, 9), 1);
        assert_eq!(run(&program, 2, 2, 99, 9), 0);
        assert_eq!(run(&program, 2, 6, 1, 3), 1);
        assert_eq!(run(&program, 1, 2, 8, 0), 1);
        assert_eq!(run(&program, 1, 6, 8, 0), 0);
        assert_eq!(run(&program, 1, 2, 8, 1), 0);
        assert_eq!(run(&program, 2, 2, 0xffff_ffff, 0), 1);
    }

    #[test]
    fn the_kernel_verifies_it() {
        load_device_program(&device_program(&rules())).unwrap();
        let everything = DeviceRule {
            allow: true,
            kind: None,
            major: None,
            minor: None,
            access: 7,
        };
        load_device_program(&device_program(&[rules()[0], everything])).unwrap();
        load_device_program(&device_program(&[])).unwrap();
    }
}
