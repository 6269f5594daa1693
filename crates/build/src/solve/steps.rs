//! What progress calls the steps: BuildKit's `[stage 2/5] RUN …`.

use crate::dockerfile::{Dockerfile, Instruction};
use crate::graph::Graph;
use crate::progress::Step;

/// The names' shared parts, worked out before anything runs.
#[derive(Debug)]
pub(super) struct Numbers {
    stages: Vec<Counted>,
}

#[derive(Debug, Clone)]
struct Counted {
    /// Stage name and a blank; empty when the file has one nameless stage only.
    title: String,
    /// The number of its FROM among all steps of the build.
    first: usize,
    total: usize,
}

/// Instructions that are steps of their own; the others only change the configuration.
fn is_step(instruction: &Instruction) -> bool {
    matches!(
        instruction,
        Instruction::Run(_) | Instruction::Copy(_) | Instruction::Workdir(_)
    )
}

impl Numbers {
    pub(super) fn of(file: &Dockerfile, graph: &Graph) -> Self {
        let alone = file.stages.len() == 1 && file.stages[0].from.what.name.is_none();
        let mut next = 1;
        let stages = file.stages.iter().enumerate().map(|(index, stage)| {
            let total = 1 + stage
                .instructions
                .iter()
                .filter(|placed| is_step(&placed.what))
                .count();
            let needed = graph.nodes.iter().find(|node| node.index == index);
            let title = match needed {
                Some(node) if !alone => format!("{} ", node.title),
                _ => String::new(),
            };
            let counted = Counted {
                title,
                first: next,
                total,
            };
            next += if needed.is_some() { total } else { 0 };
            counted
        });
        Self {
            stages: stages.collect(),
        }
    }

    /// The number of the last step.
    pub(super) fn last(&self) -> usize {
        let last = |counted: &Counted| counted.first + counted.total - 1;
        self.stages.iter().map(last).max().unwrap_or(0)
    }

    /// The step at `position` (0: FROM) of a stage.
    pub(super) fn step(&self, stage: usize, position: usize, text: &str) -> Step {
        let counted = &self.stages[stage];
        let name = format!(
            "[{}{}/{}] {text}",
            counted.title,
            position + 1,
            counted.total.max(position + 1)
        );
        Step {
            number: counted.first + position,
            name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dockerfile, graph, scope::Globals};

    fn names(text: &str) -> Vec<String> {
        let file = dockerfile::parse(text).unwrap();
        let globals = Globals {
            escape: '\\',
            ..Globals::default()
        };
        let graph = graph::plan(&file, None, &globals, &Default::default()).unwrap();
        let numbers = Numbers::of(&file, &graph);
        let step = |node: &graph::Node| {
            let step = numbers.step(node.index, 1, "RUN x");
            format!("{} {}", step.number, step.name)
        };
        graph.nodes.iter().map(step).collect()
    }

    #[test]
    fn steps_are_named_as_buildkit_does() {
        assert_eq!(
            names("FROM a\nRUN x\nENV b=c\nCOPY d e\n"),
            ["2 [2/3] RUN x"]
        );
        let two = "FROM a AS base\nRUN x\nFROM b\nFROM base\nRUN x\n";
        assert_eq!(names(two), ["2 [base 2/2] RUN x", "4 [stage-2 2/2] RUN x"]);
    }
}
