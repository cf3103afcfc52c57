//! What each rank does in the training of a stage: which replicas, and which part of them.

use std::ops::Range;

use super::super::plan::{Plan, Size};
use super::super::tica_loss::TicaLoss;
use crate::train::TrainError;
use blindspot::run::communicator::{Communicator, Group, all_gather, all_to_all};

/// The ranks in groups. Each group has the whole stage, divided into parts, and does some of the replicas,
/// one after the other.
pub(super) struct RankGrid<'a> {
    pub(super) all: &'a dyn Communicator,
    /// The ranks of this one's group, in the order of their parts.
    pub(super) parts: Group<'a>,
    /// The ranks that have this one's part in each group, in the order of the groups.
    pub(super) groups: Group<'a>,
    /// The replicas that this group does.
    pub(super) replicas: Range<usize>,
}

impl<'a> RankGrid<'a> {
    /// The most groups with the same number of ranks and of replicas each. In asynchronous training each
    /// rank is a group by itself.
    pub(super) fn new(plan: &Plan, ranks: &'a dyn Communicator) -> RankGrid<'a> {
        let (rank, count) = (ranks.rank(), ranks.count());
        let (groups, each) = if plan.asynchronous {
            (count, 1)
        } else {
            let groups = common_divisor(count, plan.replicas);
            (groups, plan.replicas / groups)
        };
        let parts = count / groups;
        let (group, part) = (rank / parts, rank % parts);
        RankGrid {
            all: ranks,
            parts: Group::new(ranks, group * parts, 1, parts),
            groups: Group::new(ranks, part, parts, groups),
            replicas: group * each..(group + 1) * each,
        }
    }

    /// Refuses a plan that can't be divided among the ranks.
    ///
    /// # Errors
    /// [`TrainError::Options`].
    pub(super) fn check(&self, plan: &Plan, sizes: &[Size]) -> Result<(), TrainError> {
        let refuse = |why: String| Err(TrainError::Options(why));
        if plan.asynchronous && self.all.count() < 2 {
            return refuse(
                "asynchronous training takes a parameter server and at least one replica: start 2 ranks \
                 or more with mpirun"
                    .into(),
            );
        }
        let parts = self.parts.count();
        for (i, size) in sizes.iter().enumerate() {
            let (stage, rows) = (i + 1, size.grid[0]);
            if parts > rows {
                let ranks = self.all.count();
                return refuse(format!(
                    "stage {stage} has {rows} rows of positions, which {parts} ranks can't share: start \
                     fewer than these {ranks}, or train several replicas"
                ));
            }
        }
        Ok(())
    }

    /// The sum of all replicas' losses, in order; these are this group's.
    pub(super) fn add_losses(&self, own: &[TicaLoss]) -> TicaLoss {
        let numbers: Vec<f64> = own.iter().flat_map(TicaLoss::numbers).collect();
        let mut total = TicaLoss::default();
        for numbers in all_gather(&self.groups, bytemuck::cast_slice(&numbers).to_vec()) {
            let numbers: Vec<f64> = bytemuck::pod_collect_to_vec(&numbers);
            let losses = numbers.as_chunks().0.iter();
            losses.for_each(|&numbers| total.add(TicaLoss::of(numbers)));
        }
        total
    }

    /// Adds the gradients of all replicas up, in order: those of this group's, of which the first becomes
    /// the sum.
    pub(super) fn add_gradients(&self, own: &mut [Vec<Vec<f32>>]) {
        let (count, rank) = (self.groups.count(), self.groups.rank());
        let (sum, others) = own.split_first_mut().expect("a group has a replica");
        for (weight, sum) in sum.iter_mut().enumerate() {
            let others = others.iter().map(|gradient| &gradient[weight][..]);
            if count == 1 {
                others.for_each(|gradient| add(sum, gradient));
                continue;
            }
            // Each adds up its part of the numbers, for which all send it theirs, and tells the others.
            let part = |of: usize| sum.len() * of / count..sum.len() * (of + 1) / count;
            let each: Vec<&[f32]> = std::iter::once(&sum[..]).chain(others).collect();
            let to = |to: usize| -> Vec<u8> {
                let values = each.iter().map(|gradient| &gradient[part(to)]);
                values
                    .flat_map(bytemuck::cast_slice::<f32, u8>)
                    .copied()
                    .collect()
            };
            let sent = all_to_all(&self.groups, (0..count).map(to).collect());
            let length = part(rank).len();
            let mut own: Option<Vec<f32>> = None;
            for message in sent {
                let values: Vec<f32> = bytemuck::pod_collect_to_vec(&message);
                for gradient in values.chunks_exact(length.max(1)) {
                    match &mut own {
                        None => own = Some(gradient.to_vec()),
                        Some(own) => add(own, gradient),
                    }
                }
            }
            let own = own.unwrap_or_default();
            let all = all_gather(&self.groups, bytemuck::cast_slice(&own).to_vec());
            bytemuck::cast_slice_mut(sum).copy_from_slice(&all.concat());
        }
    }
}

fn add(sum: &mut [f32], terms: &[f32]) {
    sum.iter_mut()
        .zip(terms)
        .for_each(|(sum, term)| *sum += term);
}

/// The greatest common divisor (Euclid).
fn common_divisor(a: usize, b: usize) -> usize {
    match b {
        0 => a,
        _ => common_divisor(b, a % b),
    }
}
