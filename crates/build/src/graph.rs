//! Which stages a build needs and in which order: names, `--target`, `COPY --from`, cycles.
//!
//! Source: BuildKit `dockerfile2llb` (stage look-up: FROM sees only earlier stages, the last of a name wins;
//! COPY --from and mounts see all).

use crate::dockerfile::{self, Dockerfile, Instruction, Lines, Stage, nearest};
use crate::expand;
use crate::scope::Globals;
use std::collections::BTreeSet;

/// Where a stage's filesystem, a COPY source or a mount comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Scratch,
    /// Another stage, by its index.
    Stage(usize),
    /// A named context (`--build-context`).
    Context(String),
    /// An image.
    Image(String),
}

/// One stage, resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub index: usize,
    pub base: Origin,
    /// The stages that must be built before, the base among them.
    pub needs: BTreeSet<usize>,
    /// What progress calls it: its name, or `stage-N`.
    pub title: String,
}

/// The stages that are needed for the target, in an order in which they can be built.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    pub nodes: Vec<Node>,
    pub target: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("target stage {name:?} could not be found{}", known(.names))]
    Target { name: String, names: Vec<String> },
    #[error("invalid stage index {index}: the file has {count} stages")]
    Index {
        index: usize,
        count: usize,
        lines: Lines,
    },
    #[error("circular dependency detected on stage: {name}")]
    Cycle { name: String, lines: Lines },
    #[error("base name ({written}) should not be blank")]
    BlankBase { written: String, lines: Lines },
    #[error("{cause}")]
    Substitution { cause: expand::Error, lines: Lines },
}

impl Error {
    /// Where in the Dockerfile, if anywhere.
    pub fn lines(&self) -> Option<Lines> {
        match self {
            Self::Target { .. } => None,
            Self::Index { lines, .. }
            | Self::Cycle { lines, .. }
            | Self::BlankBase { lines, .. } => Some(*lines),
            Self::Substitution { lines, .. } => Some(*lines),
        }
    }
}

fn known(names: &[String]) -> String {
    match names {
        [] => ": no stage has a name (FROM image AS name)".to_owned(),
        names => format!(": the stages are {}", names.join(", ")),
    }
}

/// Resolves names against stages and named contexts.
#[derive(Debug)]
pub struct Resolver<'a> {
    pub stages: &'a [Stage],
    /// Names of `--build-context`, which win over stages and images.
    pub contexts: &'a BTreeSet<String>,
}

impl Resolver<'_> {
    /// What `--from=name` means. An index or name of a stage, a context, else an image.
    pub fn from(&self, name: &str, lines: Lines) -> Result<Origin, Error> {
        if self.contexts.contains(name) {
            return Ok(Origin::Context(name.to_owned()));
        }
        if let Ok(index) = name.parse::<usize>() {
            let count = self.stages.len();
            return if index < count {
                Ok(Origin::Stage(index))
            } else {
                Err(Error::Index {
                    index,
                    count,
                    lines,
                })
            };
        }
        match self.named(name, self.stages.len()) {
            Some(index) => Ok(Origin::Stage(index)),
            None if name == "scratch" => Ok(Origin::Scratch),
            None => Ok(Origin::Image(name.to_owned())),
        }
    }

    /// The last stage of that name among the first `before`.
    fn named(&self, name: &str, before: usize) -> Option<usize> {
        let lower = name.to_ascii_lowercase();
        self.stages[..before]
            .iter()
            .rposition(|stage| stage.from.what.name.as_deref() == Some(&lower))
    }

    fn base(&self, index: usize, globals: &Globals) -> Result<Origin, Error> {
        let from = &self.stages[index].from;
        let lines = from.lines;
        let name = expand::word(&from.what.image, globals.escape, &|name| globals.get(name))
            .map_err(|cause| Error::Substitution { cause, lines })?;
        if name.trim().is_empty() {
            return Err(Error::BlankBase {
                written: from.what.image.clone(),
                lines,
            });
        }
        Ok(match self.named(&name, index) {
            _ if self.contexts.contains(&name) => Origin::Context(name),
            Some(stage) => Origin::Stage(stage),
            None if name == "scratch" => Origin::Scratch,
            None => Origin::Image(name),
        })
    }

    fn node(&self, index: usize, globals: &Globals) -> Result<Node, Error> {
        let base = self.base(index, globals)?;
        let mut needs = BTreeSet::new();
        if let Origin::Stage(stage) = base {
            needs.insert(stage);
        }
        for placed in &self.stages[index].instructions {
            for name in sources(&placed.what) {
                if let Origin::Stage(stage) = self.from(&name, placed.lines)? {
                    if stage == index {
                        return Err(Error::Cycle {
                            name: self.title(index),
                            lines: placed.lines,
                        });
                    }
                    needs.insert(stage);
                }
            }
        }
        Ok(Node {
            index,
            base,
            needs,
            title: self.title(index),
        })
    }

    fn title(&self, index: usize) -> String {
        self.stages[index]
            .from
            .what
            .name
            .clone()
            .unwrap_or_else(|| format!("stage-{index}"))
    }
}

/// The names an instruction takes files from.
pub fn sources(instruction: &Instruction) -> Vec<String> {
    match instruction {
        Instruction::Copy(copy) => copy.from.iter().cloned().collect(),
        Instruction::Run(run) => run
            .mounts
            .iter()
            .filter_map(|text| dockerfile::mount_from(text))
            .collect(),
        _ => Vec::new(),
    }
}

/// Finds the target and what it needs.
pub fn plan(
    file: &Dockerfile,
    target: Option<&str>,
    globals: &Globals,
    contexts: &BTreeSet<String>,
) -> Result<Graph, Error> {
    let resolver = Resolver {
        stages: &file.stages,
        contexts,
    };
    let target = find_target(&resolver, target)?;
    let mut walk = Walk {
        resolver: &resolver,
        globals,
        open: Vec::new(),
        done: Vec::new(),
    };
    walk.visit(target, file.stages[target].from.lines)?;
    Ok(Graph {
        nodes: walk.done,
        target,
    })
}

fn find_target(resolver: &Resolver<'_>, target: Option<&str>) -> Result<usize, Error> {
    let count = resolver.stages.len();
    let Some(name) = target.filter(|name| !name.is_empty()) else {
        return Ok(count.saturating_sub(1));
    };
    if let Some(index) = resolver.named(name, count) {
        return Ok(index);
    }
    if let Some(index) = name.parse::<usize>().ok().filter(|index| *index < count) {
        return Ok(index);
    }
    let names = resolver
        .stages
        .iter()
        .filter_map(|stage| stage.from.what.name.clone())
        .collect();
    Err(Error::Target {
        name: name.to_owned(),
        names,
    })
}

/// Depth first, children before parents. The stack is ours: a file may have any number of stages.
struct Walk<'a> {
    resolver: &'a Resolver<'a>,
    globals: &'a Globals,
    open: Vec<(Node, Vec<usize>)>,
    done: Vec<Node>,
}

impl Walk<'_> {
    fn visit(&mut self, target: usize, lines: Lines) -> Result<(), Error> {
        self.enter(target, lines)?;
        while let Some((_, waiting)) = self.open.last_mut() {
            match waiting.pop() {
                Some(next) => {
                    let lines = self.resolver.stages[next].from.lines;
                    self.enter(next, lines)?;
                }
                None => self.done.extend(self.open.pop().map(|(node, _)| node)),
            }
        }
        Ok(())
    }

    fn enter(&mut self, index: usize, lines: Lines) -> Result<(), Error> {
        if self.done.iter().any(|node| node.index == index) {
            return Ok(());
        }
        if self.open.iter().any(|(node, _)| node.index == index) {
            return Err(Error::Cycle {
                name: self.resolver.title(index),
                lines,
            });
        }
        let node = self.resolver.node(index, self.globals)?;
        let waiting = node.needs.iter().rev().copied().collect();
        self.open.push((node, waiting));
        Ok(())
    }
}

/// The stage whose name is nearest to a mistyped one, for hints.
pub fn similar_stage<'a>(stages: &'a [Stage], name: &str) -> Option<&'a str> {
    let names: Vec<&str> = stages
        .iter()
        .filter_map(|stage| stage.from.what.name.as_deref())
        .collect();
    nearest(&name.to_ascii_lowercase(), &names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(text: &str, target: Option<&str>) -> Result<Graph, Error> {
        let file = dockerfile::parse(text).unwrap();
        let globals =
            Globals::new(&file.args, Default::default(), Default::default(), '\\').unwrap();
        plan(&file, target, &globals, &BTreeSet::from(["ctx".to_owned()]))
    }

    fn order(text: &str, target: Option<&str>) -> Vec<usize> {
        planned(text, target)
            .unwrap()
            .nodes
            .iter()
            .map(|node| node.index)
            .collect()
    }

    const FILE: &str = "ARG base=busybox\nFROM $base AS a\nFROM debian AS unused\nFROM a AS b\n\
                        FROM scratch\nCOPY --from=b /x /y\nCOPY --from=0 /x /y\nCOPY --from=nginx /x /z\n";

    #[test]
    fn unused_stages_are_skipped_and_needed_ones_come_first() {
        assert_eq!(order(FILE, None), [0, 2, 3]);
        assert_eq!(order(FILE, Some("a")), [0]);
        assert_eq!(order(FILE, Some("B")), [0, 2]);
        assert_eq!(order(FILE, Some("1")), [1]);
        let graph = planned(FILE, None).unwrap();
        assert_eq!(graph.nodes[0].base, Origin::Image("busybox".into()));
        assert_eq!(graph.nodes[2].base, Origin::Scratch);
        assert_eq!(graph.nodes[2].title, "stage-3");
    }

    #[test]
    fn later_stages_and_mounts_count_and_contexts_win() {
        let text = "FROM x AS one\nRUN --mount=from=two,target=/t true\nFROM y AS two\nFROM one\nCOPY --from=ctx . .";
        assert_eq!(order(text, None), [1, 0, 2]);
        assert_eq!(
            planned("FROM ctx", None).unwrap().nodes[0].base,
            Origin::Context("ctx".into())
        );
    }

    #[test]
    fn mistakes_are_named() {
        let error = |text: &str, target| planned(text, target).unwrap_err().to_string();
        assert_eq!(
            error(FILE, Some("nope")),
            "target stage \"nope\" could not be found: the stages are a, unused, b"
        );
        let cycle = "FROM x AS a\nCOPY --from=b / /\nFROM y AS b\nCOPY --from=a / /";
        assert_eq!(
            error(cycle, None),
            "circular dependency detected on stage: b"
        );
        assert_eq!(
            error("FROM x AS a\nCOPY --from=a / /", None),
            "circular dependency detected on stage: a"
        );
        assert!(error("FROM x\nCOPY --from=7 / /", None).contains("invalid stage index 7"));
        assert!(error("FROM ${nothing}", None).contains("should not be blank"));
    }

    #[test]
    fn a_name_as_its_own_base_means_the_image() {
        assert_eq!(
            planned("FROM busybox AS busybox", None).unwrap().nodes[0].base,
            Origin::Image("busybox".into())
        );
    }

    #[test]
    fn thousands_of_stages_do_not_overflow_the_stack() {
        let mut text = "FROM x AS s0\n".to_owned();
        for index in 1..3_000 {
            text.push_str(&format!("FROM s{} AS s{index}\n", index - 1));
        }
        assert_eq!(order(&text, None).len(), 3_000);
    }
}
