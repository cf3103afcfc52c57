//! The whole numbers and categories that a row of a table may have, and examples that consist of them. They are
//! searched for in a [`tree`](super::tree).
//!
//! What is kept has been judged by the classifier as it is, whole numbers and categories and all.

use blindspot_data::{ColumnKind, Columns, Direction};
use blindspot_model::classifier::ClassifierError;

use super::moves::Moves;
use super::tree::Tree;
use super::{changes, norm_of};
use crate::search::block::Searcher;
use crate::search::task::StopCondition;
use crate::search::{Block, Example, SearchOptions};

/// The whole numbers and categories that a row may have.
pub(in crate::search) struct Lattice<'a> {
    pub(super) columns: &'a Columns,
    pub(super) moves: &'a Moves,
    /// Evaluations for one row at most.
    pub(super) max_evaluations: u64,
}

impl Lattice<'_> {
    /// Puts in the place of each example, found between whole numbers, the nearest with whole numbers and categories.
    /// Examples that there was no time for are left out.
    pub(in crate::search) fn settle(
        &self,
        searcher: &Searcher<'_>,
        block: &mut Block,
        stop: StopCondition<'_>,
    ) -> Result<(), ClassifierError> {
        let mut unfinished = Vec::new();
        for example in &mut block.examples {
            if example.already_misclassified {
                continue;
            }
            let mut tree = Tree::new(self, searcher, example, stop)?;
            tree.search(example)?;
            if tree.best.is_none() {
                tree.enumerate()?;
            }
            tree.polish()?;
            if stop.monitor.cancelled() {
                unfinished.push(example.position);
            }
            let (best, effort) = (tree.best, tree.effort);
            match best {
                Some((_, best)) => *example = best,
                None => give_up(example),
            }
            example.evaluations += effort.evaluations;
            example.gradients += effort.gradients;
        }
        block.leave_out(&unfinished);
        Ok(())
    }

    /// How far a point is from the row.
    pub(super) fn distance(&self, options: &SearchOptions, point: &[f32]) -> f64 {
        let original = self.moves.original();
        let changes = changes(self.columns, original, &self.moves.row(point));
        norm_of(options.norm, &changes)
    }

    /// The places of the columns of categories that may change.
    pub(super) fn groups(&self) -> Vec<&[usize]> {
        let groups = self.columns.iter().filter(|column| {
            let is_category = matches!(column.kind, ColumnKind::Category { .. });
            is_category && column.direction == Direction::Any && column.inputs.len() > 1
        });
        groups.map(|column| &*column.inputs).collect()
    }

    /// The inputs that are whole numbers.
    pub(super) fn integers(&self) -> impl Iterator<Item = usize> {
        let integers = self.columns.iter();
        let integers = integers.filter(|column| matches!(column.kind, ColumnKind::Integer { .. }));
        integers.map(|column| column.inputs[0])
    }

    /// The category of a group at a point, by its place.
    pub(super) fn chosen(&self, group: &[usize], point: &[f32]) -> usize {
        let original = self.moves.original();
        let value = |place: usize| original[group[place]] + point[group[place]];
        let places = 0..group.len();
        let largest = places.max_by(|&a, &b| value(a).total_cmp(&value(b)));
        largest.unwrap_or(0)
    }

    /// Gives a group another category.
    pub(super) fn choose(&self, group: &[usize], category: usize, point: &mut [f32]) {
        for (place, &input) in group.iter().enumerate() {
            let value = if place == category { 1.0 } else { 0.0 };
            point[input] = value - self.moves.original()[input];
        }
    }
}

/// Makes an example with fractions of whole numbers one of which nothing was found.
fn give_up(example: &mut Example) {
    example.adversarial.fill(0.0);
    example.success = false;
    example.prediction = example.prediction_before;
    example.kkt_residual = 0.0;
}
