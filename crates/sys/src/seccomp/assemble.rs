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
    if ranges.is_empty() {
        return vec![ins(RET, Action::KillProcess.value())];
    }
    if let Some(cluster) = Cluster::of(ranges) {
        return cluster;
    }
    // More than one: a lone range is a cluster.
    let (low, high) = ranges.split_at(ranges.len() / 2);
    let first = high[0].0;
    let (low, high) = (tree(low), tree(high));
    // Conditional jumps reach 255 instructions; an unconditional one reaches on.
    let mut out = match u8::try_from(low.len()) {
        Ok(over) => vec![jump(JGE, first, over, 0)],
        Err(_) => vec![jump(JGE, first, 0, 1), ins(JA, low.len() as u32)],
    };
    out.extend(low);
    out.extend(high);
    out
}

/// A search small enough for every branch to reach the end of it, where each decision stands once: ranges of the same decision
/// lead to the same place. The kernel's work at loading grows with the number of instructions.
#[derive(Default)]
struct Cluster {
    nodes: Vec<Instruction>,
    /// Branches that lead to a decision: the node, whether its condition holds there, and which decision.
    branches: Vec<(usize, bool, usize)>,
    decisions: Vec<Vec<Instruction>>,
}

impl Cluster {
    fn of(ranges: &[(u32, Decision)]) -> Option<Vec<Instruction>> {
        let mut cluster = Self::default();
        if let [(_, decision)] = ranges {
            return Some(leaf(decision));
        }
        cluster.search(ranges);
        let mut places = Vec::new();
        let mut out = cluster.nodes;
        for decision in cluster.decisions {
            places.push(out.len());
            out.extend(decision);
        }
        for (node, holds, decision) in cluster.branches {
            let over = u8::try_from(places[decision] - node - 1).ok()?;
            let branch = if holds {
                &mut out[node].jt
            } else {
                &mut out[node].jf
            };
            *branch = over;
        }
        Some(out)
    }

    /// At least two ranges.
    fn search(&mut self, ranges: &[(u32, Decision)]) {
        let node = self.nodes.len();
        let (low, high) = ranges.split_at(ranges.len() / 2);
        self.nodes.push(jump(JGE, high[0].0, 0, 0));
        self.branch(node, false, low);
        self.branch(node, true, high);
    }

    fn branch(&mut self, node: usize, holds: bool, ranges: &[(u32, Decision)]) {
        if let [(_, decision)] = ranges {
            let decision = self.place(leaf(decision));
            self.branches.push((node, holds, decision));
            return;
        }
        // Halves are alike: where a subtree is too far away, the decisions behind it are too, and `of` gives up.
        let over = (self.nodes.len() - node - 1).min(usize::from(u8::MAX)) as u8;
        let branch = if holds {
            &mut self.nodes[node].jt
        } else {
            &mut self.nodes[node].jf
        };
        *branch = over;
        self.search(ranges);
    }

    fn place(&mut self, decision: Vec<Instruction>) -> usize {
        match self.decisions.iter().position(|known| *known == decision) {
            Some(known) => known,
            None => {
                self.decisions.push(decision);
                self.decisions.len() - 1
            }
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
