//! Decisions as classic BPF: the search tree over call numbers and the comparisons of arguments.
//!
//! Source: linux/filter.h, `struct seccomp_data` in seccomp(2).

use super::{Action, Compare, Condition, Decision, Instruction};

pub(super) const LOAD: u16 = 0x20;
pub(super) const AND: u16 = 0x54;
pub(super) const JA: u16 = 0x05;
pub(super) const JEQ: u16 = 0x15;
pub(super) const JGT: u16 = 0x25;
pub(super) const JGE: u16 = 0x35;
pub(super) const RET: u16 = 0x06;

/// Offsets in `struct seccomp_data`.
pub(super) const NUMBER: u32 = 0;
pub(super) const ARCH: u32 = 4;

pub(super) fn ins(code: u16, k: u32) -> Instruction {
    Instruction {
        code,
        jt: 0,
        jf: 0,
        k,
    }
}

pub(super) fn jump(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code, jt, jf, k }
}

/// Binary search over the ranges; the number is in the accumulator.
pub(super) fn tree(ranges: &[(u32, Decision)]) -> Vec<Instruction> {
    match ranges {
        [] => vec![ins(RET, Action::KillProcess.value())],
        [(_, decision)] => leaf(decision),
        _ => {
            let middle = ranges.len() / 2;
            let low = tree(&ranges[..middle]);
            let high = tree(&ranges[middle..]);
            let mut out = Vec::with_capacity(low.len() + high.len() + 2);
            match u8::try_from(low.len()) {
                Ok(over) => out.push(jump(JGE, ranges[middle].0, over, 0)),
                // Conditional jumps reach 255 instructions; an unconditional one reaches on.
                Err(_) => {
                    out.extend([jump(JGE, ranges[middle].0, 0, 1), ins(JA, low.len() as u32)])
                }
            }
            out.extend(low);
            out.extend(high);
            out
        }
    }
}

fn leaf(decision: &Decision) -> Vec<Instruction> {
    match decision {
        Decision::Return(action) => vec![ins(RET, action.value())],
        Decision::Check(checks, otherwise) => {
            let mut out = Vec::new();
            let mut rest = checks.as_slice();
            while let Some((conditions, action)) = rest.first() {
                let alike = rest
                    .iter()
                    .take_while(|(other, same)| same == action && small(other).is_some())
                    .take_while(|(other, _)| {
                        small(other).map(|c| c.argument) == small(conditions).map(|c| c.argument)
                    })
                    .count();
                if alike > 1 {
                    out.extend(any_of(&rest[..alike.min(MAX_ALIKE)], *action));
                    rest = &rest[alike.min(MAX_ALIKE)..];
                } else {
                    out.extend(check(conditions, *action));
                    rest = &rest[1..];
                }
            }
            out.push(ins(RET, otherwise.value()));
            out
        }
    }
}

/// As many as a conditional jump can reach over.
const MAX_ALIKE: usize = 200;

/// A lone comparison that a 32-bit value decides: `==` or `<`.
fn small(conditions: &[Condition]) -> Option<Condition> {
    match conditions {
        [one] if one.value >> 32 == 0 && matches!(one.compare, Compare::Eq | Compare::Lt) => {
            Some(*one)
        }
        _ => None,
    }
}

/// Alternatives on one argument: it is loaded once, and any hit jumps to the action at the end.
fn any_of(checks: &[(Vec<Condition>, Action)], action: Action) -> Vec<Instruction> {
    let tests: Vec<Condition> = checks
        .iter()
        .filter_map(|(conditions, _)| small(conditions))
        .collect();
    let argument = tests.first().map_or(0, |first| u32::from(first.argument));
    let low_word = 16 + 8 * argument;
    // Over: the load, the tests, and the action.
    let over = (tests.len() + 2) as u8;
    let mut out = vec![
        ins(LOAD, low_word + 4),
        jump(JEQ, 0, 0, over),
        ins(LOAD, low_word),
    ];
    for (at, test) in tests.iter().enumerate() {
        let left = tests.len() - at - 1;
        let last = left == 0;
        out.push(match (test.compare, last) {
            // The last one misses by jumping over the action.
            (Compare::Lt, true) => jump(JGE, test.value as u32, 1, 0),
            (Compare::Lt, false) => jump(JGE, test.value as u32, 0, left as u8),
            (_, true) => jump(JEQ, test.value as u32, 0, 1),
            (_, false) => jump(JEQ, test.value as u32, left as u8, 0),
        });
    }
    out.push(ins(RET, action.value()));
    out
}

/// Falls out of its end unless all conditions hold.
fn check(conditions: &[Condition], action: Action) -> Vec<Instruction> {
    let mut out = vec![ins(RET, action.value())];
    // Built from the last backwards, so that each knows how far the end is.
    for condition in conditions.iter().rev() {
        let mut test = test(*condition, out.len() as u8);
        test.append(&mut out);
        out = test;
    }
    out
}

/// Falls through when the condition holds; else jumps over the `rest` instructions that follow.
fn test(condition: Condition, rest: u8) -> Vec<Instruction> {
    // Little endian: the low word first.
    let low_word = 16 + 8 * u32::from(condition.argument);
    let high_word = low_word + 4;
    let (low, high) = (condition.value as u32, (condition.value >> 32) as u32);
    let (load_high, load_low) = (ins(LOAD, high_word), ins(LOAD, low_word));
    match condition.compare {
        Compare::Eq => vec![
            load_high,
            jump(JEQ, high, 0, rest + 2),
            load_low,
            jump(JEQ, low, 0, rest),
        ],
        Compare::Ne => vec![
            load_high,
            jump(JEQ, high, 0, 2),
            load_low,
            jump(JEQ, low, rest, 0),
        ],
        Compare::Gt => greater(load_high, high, load_low, jump(JGT, low, 0, rest), rest),
        Compare::Ge => greater(load_high, high, load_low, jump(JGE, low, 0, rest), rest),
        Compare::Lt => less(load_high, high, load_low, jump(JGE, low, rest, 0), rest),
        Compare::Le => less(load_high, high, load_low, jump(JGT, low, rest, 0), rest),
        Compare::MaskedEq { mask } => vec![
            load_high,
            ins(AND, (mask >> 32) as u32),
            jump(JEQ, high, 0, rest + 3),
            load_low,
            ins(AND, mask as u32),
            jump(JEQ, low, 0, rest),
        ],
    }
}

/// High word greater: holds. Equal: the low word decides. Else not.
fn greater(
    load_high: Instruction,
    high: u32,
    load_low: Instruction,
    last: Instruction,
    rest: u8,
) -> Vec<Instruction> {
    vec![
        load_high,
        jump(JGT, high, 3, 0),
        jump(JEQ, high, 0, rest + 2),
        load_low,
        last,
    ]
}

/// High word greater: does not hold. Equal: the low word decides. Less: holds.
fn less(
    load_high: Instruction,
    high: u32,
    load_low: Instruction,
    last: Instruction,
    rest: u8,
) -> Vec<Instruction> {
    vec![
        load_high,
        jump(JGT, high, rest + 3, 0),
        jump(JEQ, high, 0, 2),
        load_low,
        last,
    ]
}
