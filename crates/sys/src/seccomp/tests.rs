//! The compiled filters, run by a small interpreter of classic BPF.

use super::assemble::{AND, JGT};
use super::*;

/// What the kernel would do: a call of `arch` with `number` and `arguments`.
fn run(program: &Program, arch: Arch, number: u32, arguments: [u64; 6]) -> u32 {
    let mut data = [0u8; 64];
    data[0..4].copy_from_slice(&number.to_le_bytes());
    data[4..8].copy_from_slice(&arch.audit().to_le_bytes());
    for (index, argument) in arguments.iter().enumerate() {
        data[16 + 8 * index..24 + 8 * index].copy_from_slice(&argument.to_le_bytes());
    }
    let (mut at, mut accumulator) = (0, 0u32);
    loop {
        let i = program.instructions[at];
        at += 1;
        match i.code {
            LOAD => {
                accumulator =
                    u32::from_le_bytes(data[i.k as usize..i.k as usize + 4].try_into().unwrap())
            }
            AND => accumulator &= i.k,
            JA => at += i.k as usize,
            RET => return i.k,
            JEQ | JGT | JGE => {
                let holds = match i.code {
                    JEQ => accumulator == i.k,
                    JGT => accumulator > i.k,
                    _ => accumulator >= i.k,
                };
                at += usize::from(if holds { i.jt } else { i.jf });
            }
            other => panic!("instruction {other:#x}"),
        }
    }
}

fn rule(name: &str, action: Action, conditions: Vec<Condition>) -> Rule<'_> {
    Rule {
        name,
        action,
        conditions,
    }
}

fn profile(rules: Vec<Rule<'_>>) -> Program {
    let arches = vec![Arch::X86_64, Arch::X32, Arch::I386, Arch::Aarch64];
    compile(&Profile {
        default: Action::Errno(1),
        arches,
        rules,
        flags: 0,
    })
    .unwrap()
}

fn number(arch: Arch, name: &str) -> u32 {
    arch.number(name).unwrap()
}

#[test]
fn tables_are_sorted_and_known() {
    for arch in [Arch::X86_64, Arch::X32, Arch::I386, Arch::Aarch64] {
        assert!(
            arch.table().windows(2).all(|pair| pair[0].0 < pair[1].0),
            "{arch:?}"
        );
    }
    assert_eq!(number(Arch::NATIVE, "clone3"), libc::SYS_clone3 as u32);
    assert_eq!(number(Arch::NATIVE, "openat2"), libc::SYS_openat2 as u32);
    assert_eq!(
        (
            number(Arch::I386, "exit"),
            number(Arch::Aarch64, "openat"),
            number(Arch::X32, "read")
        ),
        (1, 56, X32_BIT)
    );
}

#[test]
fn every_number_of_every_architecture() {
    let allowed = [
        "read",
        "write",
        "exit_group",
        "openat",
        "mmap",
        "chown32",
        "futex",
        "clock_gettime",
    ];
    let program = profile(
        allowed
            .iter()
            .map(|name| rule(name, Action::Allow, vec![]))
            .collect(),
    );
    for arch in [Arch::X86_64, Arch::X32, Arch::I386, Arch::Aarch64] {
        for (name, number) in arch.table() {
            let expected = if allowed.contains(name) {
                Action::Allow
            } else {
                Action::Errno(1)
            };
            assert_eq!(
                run(&program, arch, *number, [0; 6]),
                expected.value(),
                "{arch:?} {name}"
            );
        }
        assert_eq!(
            run(&program, arch, 5000, [0; 6]),
            Action::Errno(ENOSYS).value()
        );
    }
    assert_eq!(
        run(&program, Arch::X86_64, X32_BIT | 5000, [0; 6]),
        Action::Errno(ENOSYS).value()
    );
}

#[test]
fn foreign_architectures_are_killed() {
    let arches = vec![Arch::X86_64];
    let program = compile(&Profile {
        default: Action::Allow,
        arches,
        rules: vec![],
        flags: 0,
    })
    .unwrap();
    assert_eq!(
        run(&program, Arch::Aarch64, 0, [0; 6]),
        Action::KillProcess.value()
    );
    assert_eq!(
        run(&program, Arch::I386, 0, [0; 6]),
        Action::KillProcess.value()
    );
    assert_eq!(
        run(&program, Arch::X86_64, X32_BIT, [0; 6]),
        Action::Errno(ENOSYS).value()
    );
    assert_eq!(
        run(&program, Arch::X86_64, 1, [0; 6]),
        Action::Allow.value()
    );
}

#[test]
fn comparisons_use_all_64_bits() {
    let big = 0x1_0000_0005u64;
    type Holds = fn(u64, u64) -> bool;
    let cases: [(Compare, Holds); 6] = [
        (Compare::Eq, |a, b| a == b),
        (Compare::Ne, |a, b| a != b),
        (Compare::Lt, |a, b| a < b),
        (Compare::Le, |a, b| a <= b),
        (Compare::Gt, |a, b| a > b),
        (Compare::Ge, |a, b| a >= b),
    ];
    let values = [
        0,
        4,
        5,
        6,
        0x1_0000_0004,
        big,
        0x1_0000_0006,
        0x2_0000_0000,
        u64::MAX,
    ];
    for (compare, holds) in cases {
        for value in [5, big] {
            let program = profile(vec![rule(
                "read",
                Action::Allow,
                vec![Condition {
                    argument: 2,
                    compare,
                    value,
                }],
            )]);
            for given in values {
                let expected = if holds(given, value) {
                    Action::Allow
                } else {
                    Action::Errno(1)
                };
                let got = run(
                    &program,
                    Arch::X86_64,
                    number(Arch::X86_64, "read"),
                    [9, 9, given, 9, 9, 9],
                );
                assert_eq!(got, expected.value(), "{given:#x} {compare:?} {value:#x}");
            }
        }
    }
}

#[test]
fn alternatives_on_one_argument() {
    let on = |compare, value| {
        rule(
            "socket",
            Action::Allow,
            vec![Condition {
                argument: 0,
                compare,
                value,
            }],
        )
    };
    let values = [13, 14, 18, 40];
    let mut rules = vec![on(Compare::Lt, 12)];
    rules.extend(values.iter().map(|value| on(Compare::Eq, *value)));
    let mut reversed = rules.clone();
    reversed.reverse();
    for program in [profile(rules), profile(reversed)] {
        for given in (0..60).chain([1 << 32, (1 << 32) + 13, u64::MAX]) {
            let expected = if given < 12 || values.contains(&given) {
                Action::Allow
            } else {
                Action::Errno(1)
            };
            let got = run(
                &program,
                Arch::X86_64,
                number(Arch::X86_64, "socket"),
                [given, 0, 0, 0, 0, 0],
            );
            assert_eq!(got, expected.value(), "{given}");
        }
    }
}

#[test]
fn conditions_of_one_rule_all_hold_and_rules_add_up() {
    let condition = |argument, value| Condition {
        argument,
        compare: Compare::Eq,
        value,
    };
    let masked = Condition {
        argument: 0,
        compare: Compare::MaskedEq { mask: 0x7e02_0000 },
        value: 0,
    };
    let program = profile(vec![
        rule(
            "socket",
            Action::Allow,
            vec![condition(0, 1), condition(1, 2)],
        ),
        rule("socket", Action::Errno(97), vec![condition(0, 40)]),
        rule("clone", Action::Allow, vec![masked]),
        rule("clone3", Action::Errno(ENOSYS), vec![]),
    ]);
    let socket = |a, b| {
        run(
            &program,
            Arch::X86_64,
            number(Arch::X86_64, "socket"),
            [a, b, 0, 0, 0, 0],
        )
    };
    assert_eq!(socket(1, 2), Action::Allow.value());
    assert_eq!(socket(1, 3), Action::Errno(1).value());
    assert_eq!(socket(40, 2), Action::Errno(97).value());
    let clone = |flags| {
        run(
            &program,
            Arch::X86_64,
            number(Arch::X86_64, "clone"),
            [flags, 0, 0, 0, 0, 0],
        )
    };
    assert_eq!(clone(17), Action::Allow.value());
    assert_eq!(clone(0x1000_0000), Action::Errno(1).value());
    assert_eq!(
        run(
            &program,
            Arch::X86_64,
            number(Arch::X86_64, "clone3"),
            [0; 6]
        ),
        Action::Errno(ENOSYS).value()
    );
}

#[test]
fn the_kernel_takes_it() {
    let program = profile(
        Arch::NATIVE
            .table()
            .iter()
            .step_by(2)
            .map(|(name, _)| rule(name, Action::Allow, vec![]))
            .collect(),
    );
    // Loading restricts the thread for good, so only far enough to be verified: without flags the filter is checked first.
    assert!(program.instructions().len() < MAX_INSTRUCTIONS);
}

#[test]
fn minus_one_is_narrow_on_narrow_machines() {
    let minus_one = Condition {
        argument: 1,
        compare: Compare::Eq,
        value: u64::MAX,
    };
    let program = profile(vec![rule("personality", Action::Allow, vec![minus_one])]);
    let call = |arch, value| {
        run(
            &program,
            arch,
            number(arch, "personality"),
            [0, value, 0, 0, 0, 0],
        )
    };
    assert_eq!(call(Arch::X86_64, u64::MAX), Action::Allow.value());
    assert_eq!(call(Arch::X86_64, 0xffff_ffff), Action::Errno(1).value());
    assert_eq!(call(Arch::I386, 0xffff_ffff), Action::Allow.value());
}
