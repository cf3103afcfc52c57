//! Searches from the rows of a table whose columns are known.
//!
//! Each row is searched in coordinates of its own: how far each value has moved, in the scale of its column
//! ([`moves`]). There the row is 0, the norm is that of the columns' scales, and what must not change, or only up or
//! down, is a box. Whole numbers and categories are searched for around what is found so ([`lattice`]).

mod certify;
mod lattice;
mod moves;
#[cfg(test)]
mod tests;
mod tree;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use blindspot_data::{Column, ColumnKind, Columns, Direction};
use blindspot_model::classifier::ClassifierError;
use blindspot_run::monitor::Silenced;
use rayon::prelude::*;

use super::block::{Originals, Searcher};
use super::bounds::FeasibleBoxes;
use super::runtime::Runtime;
use super::task::StopCondition;
use super::{Block, Example, Norm, SearchOptions};
pub(crate) use certify::Surroundings;
pub(super) use lattice::Lattice;
use moves::{Moved, Moves};

/// How much each column changes between two rows, in its scale: of a category 0, or 1 / scale.
pub(super) fn changes(columns: &Columns, from: &[f32], to: &[f32]) -> Vec<f64> {
    let changes = columns.iter().map(|column| match column.kind {
        ColumnKind::Category { .. } => {
            f64::from(u8::from(column.chosen(from) != column.chosen(to))) / column.scale
        }
        _ => {
            let input = column.inputs[0];
            (f64::from(to[input]) - f64::from(from[input])).abs() / column.scale
        }
    });
    changes.collect()
}

/// The norm of columns' changes.
pub(super) fn norm_of(norm: Norm, changes: &[f64]) -> f64 {
    let changes = changes.iter();
    match norm {
        Norm::L2 => changes.map(|change| change * change).sum::<f64>().sqrt(),
        Norm::Linf => changes.fold(0.0, |most, &change| most.max(change)),
        Norm::L1 => changes.sum(),
        Norm::L0 => changes.filter(|&&change| change > 0.0).count() as f64,
    }
}

impl Searcher<'_> {
    /// Searches from rows of a table, each by itself.
    pub(super) fn search_columns(
        &self,
        columns: &Columns,
        originals: &Originals<'_>,
        stop: StopCondition<'_>,
    ) -> Result<Block, ClassifierError> {
        let options = SearchOptions {
            columns: None,
            bounds: None,
            ..self.options.clone()
        };
        let length = self.classifier.input_len();
        stop.monitor
            .begin("search", originals.positions.len() as u64);
        let done = AtomicU64::new(0);
        let rows = originals.values.par_chunks_exact(length).enumerate();
        let found = rows.map(|(i, row)| {
            if stop.monitor.cancelled() || stop.timed_out() {
                return Ok(None);
            }
            let one = Originals {
                values: vec![0.0; length],
                positions: &originals.positions[i..=i],
                indices: vec![originals.indices[i]],
                labels: originals.labels,
            };
            let mut example = self.search_row(columns, (row, &one), &options, stop)?;
            if let (Norm::L0, Some(found)) = (options.norm, &mut example) {
                self.shorten(columns, (row, &one), found, stop)?;
            }
            stop.monitor
                .progress(1 + done.fetch_add(1, Ordering::Relaxed), "");
            Ok(example.map(|example| (example, row)))
        });
        let found: Vec<Result<_, ClassifierError>> = found.collect();
        let mut block = Block {
            examples: Vec::with_capacity(found.len()),
            originals: Vec::with_capacity(originals.values.len()),
        };
        for found in found {
            if let Some((example, row)) = found? {
                block.examples.push(example);
                block.originals.extend_from_slice(row);
            }
        }
        Ok(block)
    }

    /// Of a row with as few columns changed as can be, makes these change by less: in L2, with all other columns as they
    /// are.
    fn shorten(
        &self,
        columns: &Columns,
        (row, one): (&[f32], &Originals<'_>),
        found: &mut Example,
        stop: StopCondition<'_>,
    ) -> Result<(), ClassifierError> {
        if !found.success || found.already_misclassified {
            return Ok(());
        }
        let changes = changes(columns, row, &found.adversarial);
        let held = columns.iter().zip(changes).map(|(column, change)| Column {
            direction: if change > 0.0 {
                column.direction
            } else {
                Direction::None
            },
            ..column.clone()
        });
        let options = SearchOptions {
            columns: None,
            bounds: None,
            ..self.options.clone().norm(Norm::L2)
        };
        let shorter = self.search_row(&held.collect(), (row, one), &options, stop)?;
        let Some(shorter) = shorter.filter(|shorter| shorter.success) else {
            return Ok(());
        };
        let evaluations = found.evaluations + shorter.evaluations;
        let gradients = found.gradients + shorter.gradients;
        if shorter.l0 <= found.l0 && shorter.l2 < found.l2 {
            let kkt_residual = found.kkt_residual;
            *found = Example {
                kkt_residual,
                ..shorter
            };
        }
        (found.evaluations, found.gradients) = (evaluations, gradients);
        Ok(())
    }

    /// Searches from one row, which is `one` in its own coordinates; gives no example where the work was cancelled.
    fn search_row(
        &self,
        columns: &Columns,
        (row, one): (&[f32], &Originals<'_>),
        options: &SearchOptions,
        stop: StopCondition<'_>,
    ) -> Result<Option<Example>, ClassifierError> {
        let moves = Moves::new(columns, row, self.classifier.input_precision());
        let moved = Moved::new(self.classifier, &moves);
        let lattice = Lattice {
            columns,
            moves: &moves,
            max_evaluations: options.max_evaluations.unwrap_or(u64::MAX),
        };
        let bounds = moves.bounds();
        let mut options = options.clone();
        if bounds.lower == bounds.upper {
            // Categories alone: nothing is to be found between them.
            options.max_evaluations = Some(1);
        }
        let silenced = Silenced(stop.monitor);
        let searcher = Searcher {
            classifier: &moved,
            runtime: Runtime::of(&moved)?,
            options: &options,
            own_method: self.own_method,
            boxes: FeasibleBoxes::new(Arc::new(bounds)),
            begin: None,
            lattice: columns.are_discrete().then_some(&lattice),
        };
        let stop = StopCondition {
            monitor: &silenced,
            ..stop
        };
        let example = searcher.search(one, stop)?.examples.pop();
        Ok(example.map(|example| {
            let adversarial = moves.row(&example.adversarial);
            let changes = changes(columns, row, &adversarial);
            let of = |norm| norm_of(norm, &changes);
            Example {
                adversarial,
                l2: of(Norm::L2),
                linf: of(Norm::Linf),
                l1: of(Norm::L1),
                l0: of(Norm::L0),
                ..example
            }
        }))
    }
}

/// The smallest and the largest value that a column's input with this value may take.
fn limits(range: [f32; 2], direction: Direction, value: f32) -> [f32; 2] {
    match direction {
        Direction::Any => range,
        Direction::Up => [value, range[1]],
        Direction::Down => [range[0], value],
        Direction::None => [value; 2],
    }
}
