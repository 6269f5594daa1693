//! Running the stages: each as soon as what it needs is finished, two at a time.

use super::Solver;
use super::stage::Finished;
use crate::error::{Cause, Error};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Stages at a time.
const WORKERS: usize = 2;

#[derive(Default)]
struct Board {
    /// Indices into the graph's nodes that nobody has taken yet.
    waiting: Vec<usize>,
    running: usize,
    finished: BTreeMap<usize, Arc<Finished>>,
    failed: Option<Error>,
}

impl Solver<'_> {
    /// Runs all stages of the graph; the target's result.
    pub(super) fn run(&self) -> Result<Arc<Finished>, Error> {
        let waiting = (0..self.graph.nodes.len()).collect();
        let board = Mutex::new(Board {
            waiting,
            ..Board::default()
        });
        let changed = Condvar::new();
        std::thread::scope(|scope| {
            for _ in 1..WORKERS.min(self.graph.nodes.len()) {
                scope.spawn(|| self.work(&board, &changed));
            }
            self.work(&board, &changed);
        });
        let mut board = board.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = board.failed {
            return Err(error);
        }
        board
            .finished
            .remove(&self.graph.target)
            .ok_or_else(|| Cause::Canceled.into())
    }

    fn work(&self, board: &Mutex<Board>, changed: &Condvar) {
        let lock = || board.lock().unwrap_or_else(PoisonError::into_inner);
        let mut guard = lock();
        loop {
            if guard.waiting.is_empty() || guard.failed.is_some() {
                return;
            }
            let Some(position) = self.ready(&guard) else {
                guard = changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let node = &self.graph.nodes[guard.waiting.remove(position)];
            let done = guard.finished.clone();
            guard.running += 1;
            drop(guard);
            let result = self.stage(node, &done);
            guard = lock();
            guard.running -= 1;
            match result {
                Ok(finished) => {
                    guard.finished.insert(node.index, Arc::new(finished));
                }
                Err(error) => self.fail(&mut guard, error),
            }
            changed.notify_all();
        }
    }

    /// The first failure is the one that is told; what others stop with is its consequence.
    fn fail(&self, board: &mut MutexGuard<'_, Board>, error: Error) {
        self.canceled.store(true, Ordering::Relaxed);
        board.failed.get_or_insert(error);
    }

    /// A stage whose needs are all finished.
    fn ready(&self, board: &Board) -> Option<usize> {
        board.waiting.iter().position(|index| {
            self.graph.nodes[*index]
                .needs
                .iter()
                .all(|need| board.finished.contains_key(need))
        })
    }
}
