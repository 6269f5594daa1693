//! One stage from FROM to its last instruction.

use super::Solver;
use crate::cache::{self, KeyParts, StepRecord};
use crate::dockerfile::{self, Instruction, Placed};
use crate::error::{Cause, Error};
use crate::graph::{Node, Origin};
use crate::options::NamedContext;
use crate::progress::{Event, Step};
use crate::stage::{Action, StageState, WorkdirStep};
use crate::workspace::Upper;
use engine::Timestamp;
use image::Layer;
use oci::{Descriptor, Digest};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// The results a stage may build on, by stage.
pub(super) type Done = BTreeMap<usize, Arc<Finished>>;

/// A stage at some point: its configuration and its layers, lowest first.
#[derive(Debug, Clone)]
pub(super) struct Finished {
    pub(super) state: StageState,
    pub(super) layers: Vec<Layer>,
    pub(super) dirs: Vec<PathBuf>,
    /// When the newest layer was made: what history and configuration say, so that a build that finds everything
    /// in the cache makes the same image again.
    pub(super) created: Timestamp,
}

impl Finished {
    pub(super) fn top(&self) -> Option<&Digest> {
        self.layers.last().map(|layer| &layer.chain_id)
    }
}

/// A step that makes a layer, and what its key is made of.
pub(super) struct LayerStep<'a, S> {
    pub(super) step: &'a Step,
    /// Goes into the key.
    pub(super) parts: &'a S,
    pub(super) inputs: &'a [Digest],
}

impl Solver<'_> {
    pub(super) fn stage(&self, node: &Node, done: &Done) -> Result<Finished, Error> {
        let from = &self.file.stages[node.index].from;
        let mut work = self.start(node, done).map_err(self.place(from))?;
        let triggers = std::mem::take(&mut work.state.image.config.on_build);
        let mut position = 0;
        for text in &triggers {
            let trigger = dockerfile::parse_trigger(text)
                .map_err(|error| self.at(Cause::Syntax(error), from.lines))?;
            // Its own lines are those of another file: what can be shown is the FROM that brought it in.
            let trigger = Placed {
                lines: from.lines,
                text: format!("ONBUILD {}", trigger.text),
                what: trigger.what,
            };
            self.instruction(node, &mut work, &trigger, &mut position, done)?;
        }
        for placed in &self.file.stages[node.index].instructions {
            self.instruction(node, &mut work, placed, &mut position, done)?;
        }
        Ok(work)
    }

    /// What FROM gives.
    fn start(&self, node: &Node, done: &Done) -> Result<Finished, Cause> {
        let from = &self.file.stages[node.index].from;
        if let Some(platform) = &from.what.platform {
            let lookup = |name: &str| self.globals.get(name);
            let expanded = crate::expand::word(platform, self.globals.escape, &lookup);
            let platform = expanded.map_err(|error| Cause::Instruction(error.into()))?;
            super::native(&platform.parse().map_err(Cause::BadPlatform)?, &self.store)?;
        }
        match &node.base {
            Origin::Stage(index) => {
                let base = done.get(index).ok_or(Cause::Canceled)?;
                Ok(Finished {
                    state: base.state.clone().on_stage(),
                    ..(**base).clone()
                })
            }
            Origin::Scratch => {
                let state = StageState::on_scratch(&self.store.platform());
                let created = self.epoch().unwrap_or(Timestamp(0));
                Ok(Finished {
                    state,
                    layers: Vec::new(),
                    dirs: Vec::new(),
                    created,
                })
            }
            Origin::Image(name) => self.start_on_image(node, name),
            Origin::Context(name) => match self.named_context(name) {
                Some(NamedContext::Image(image)) => self.start_on_image(node, image),
                _ => {
                    let what = format!("build context {name:?}");
                    Err(Cause::Refused {
                        what,
                        cause: "a directory is no base image: use docker-image://IMAGE",
                    })
                }
            },
        }
    }

    fn start_on_image(&self, node: &Node, name: &str) -> Result<Finished, Cause> {
        let shown = name
            .parse::<oci::Reference>()
            .map_or_else(|_| name.to_owned(), |r| r.or_latest().to_string());
        let step = self.steps.step(node.index, 0, &format!("FROM {shown}"));
        let since = Instant::now();
        self.progress.event(Event::Started(&step));
        let base = match self.base(name, Some(&step)) {
            Ok(base) => base,
            Err(cause) => {
                self.progress.event(Event::Failed {
                    step: &step,
                    took: since.elapsed(),
                });
                return Err(cause);
            }
        };
        self.progress.event(Event::Finished {
            step: &step,
            took: since.elapsed(),
        });
        let config = base.image.config.clone();
        let created = config
            .created
            .as_deref()
            .and_then(Timestamp::parse)
            .unwrap_or(Timestamp(0));
        let state = StageState::on_image(config);
        Ok(Finished {
            state,
            layers: base.image.layers(),
            dirs: base.dirs.clone(),
            created,
        })
    }

    fn instruction(
        &self,
        node: &Node,
        work: &mut Finished,
        placed: &Placed<Instruction>,
        position: &mut usize,
        done: &Done,
    ) -> Result<(), Error> {
        if self.canceled.load(Ordering::Relaxed) {
            return Err(Cause::Canceled.into());
        }
        let created = self.epoch().unwrap_or(work.created).to_string();
        let action = work.state.apply(placed, &self.globals, &created);
        let action =
            action.map_err(|mistake| self.at(Cause::Instruction(mistake), placed.lines))?;
        if action == Action::None {
            return Ok(());
        }
        *position += 1;
        let step = self.steps.step(node.index, *position, &placed.text);
        let made = match &action {
            Action::None => return Ok(()),
            Action::Workdir(workdir) => self.workdir(work, &step, workdir),
            Action::Copy(copy) => self.copy(work, &step, copy, placed, done),
            Action::Run(run) => self.run_step(work, &step, run, placed, done),
        };
        made.map_err(self.place(placed))?;
        // The history entry was made before the layer was.
        if let Some(entry) = work.state.image.history.last_mut() {
            entry.created = Some(self.epoch().unwrap_or(work.created).to_string());
        }
        Ok(())
    }

    fn workdir(
        &self,
        work: &mut Finished,
        step: &Step,
        workdir: &WorkdirStep,
    ) -> Result<(), Cause> {
        let layer_step = LayerStep {
            step,
            parts: workdir,
            inputs: &[],
        };
        self.layer(work, &layer_step, |work, upper| {
            self.make_workdir(work, upper, workdir)
        })
    }

    /// Whether a step is done anew whatever the cache has (`--no-cache`, `--no-cache-filter`).
    fn is_anew(&self, step: &Step) -> bool {
        let of = |stage: &String| {
            let rest = step.name.strip_prefix('[');
            rest.is_some_and(|rest| rest.split(' ').next() == Some(stage))
        };
        self.options.no_cache || self.options.no_cache_filter.iter().any(of)
    }

    /// Takes the layer from the cache, or has it made in a new upper directory and commits that.
    pub(super) fn layer<S: Serialize>(
        &self,
        work: &mut Finished,
        wanted: &LayerStep<'_, S>,
        make: impl FnOnce(&Finished, &Upper) -> Result<(), Cause>,
    ) -> Result<(), Cause> {
        let layout = &self.ctx.layout;
        let parts = KeyParts {
            version: cache::VERSION,
            parent: work.top(),
            step: wanted.parts,
            inputs: wanted.inputs,
        };
        let key = parts.key();
        if !self.is_anew(wanted.step)
            && let Some(found) = self.found(&key, work.top())?
        {
            self.progress.event(Event::Cached(wanted.step));
            self.add(work, found.layer(), found.created);
            self.note(key, found);
            return Ok(());
        }
        let since = Instant::now();
        self.progress.event(Event::Started(wanted.step));
        let made = self.make_layer(work, make);
        let took = since.elapsed();
        match &made {
            Ok(_) => self.progress.event(Event::Finished {
                step: wanted.step,
                took,
            }),
            Err(_) => self.progress.event(Event::Failed {
                step: wanted.step,
                took,
            }),
        }
        let layer = made?;
        let now = Timestamp::now();
        let record = StepRecord {
            blob: Descriptor::clone(&layer.blob),
            diff_id: layer.diff_id.clone(),
            chain_id: layer.chain_id.clone(),
            created: now,
            used: now,
            step: wanted.step.name.clone(),
        };
        self.made.store(layout, &key, &record)?;
        self.add(work, layer, now);
        self.note(key, record);
        Ok(())
    }

    /// What a step made: here, or in a cache of another data root.
    fn found(&self, key: &Digest, parent: Option<&Digest>) -> Result<Option<StepRecord>, Cause> {
        let layout = &self.ctx.layout;
        if let Some(found) = cache::find(layout, &self.store, key)? {
            return Ok(Some(found));
        }
        self.imported(key, parent)
    }

    fn make_layer(
        &self,
        work: &Finished,
        make: impl FnOnce(&Finished, &Upper) -> Result<(), Cause>,
    ) -> Result<Layer, Cause> {
        let upper = self.workspace.upper()?;
        make(work, &upper)?;
        self.store
            .commit_layer_from_upper(&upper.upper(), work.top())
            .map_err(Cause::from)
    }

    fn add(&self, work: &mut Finished, layer: Layer, created: Timestamp) {
        work.dirs.push(self.store.layers().files(&layer.chain_id));
        work.layers.push(layer);
        work.created = created;
    }
}
