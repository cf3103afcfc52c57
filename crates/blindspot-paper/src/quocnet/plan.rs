//! The network's shape and how it is trained, and what a shape costs.

use blindspot_net::MAX_WEIGHTS;
use blindspot_net::onnx::MAX_BYTES;
use blindspot_net::ops::Fields;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::train::TrainError;

/// One stage: local filtering, L2 pooling, local contrast normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stage {
    /// Side of a receptive field, in positions of what the stage sees.
    pub field: usize,
    /// From one field to the next.
    pub stride: usize,
    /// Maps: filters at each position.
    pub maps: usize,
    /// Side of a pooling neighbourhood, in positions.
    pub pool: usize,
}

/// What is trained and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// The stages from the input up.
    pub stages: Vec<Stage>,
    /// Local contrast normalisation at the end of each stage; without it, a control.
    pub normalise: bool,
    /// Weight of the pooled responses in the loss.
    pub lambda: f64,
    /// Passes over the images, for each stage; 0 leaves the weights random, a control.
    pub epochs: usize,
    /// Images of a replica's mini-batch.
    pub batch: usize,
    /// Mini-batches of a step, whose gradients are added up: copies of the network that train on different
    /// images. 1 in asynchronous training, where each step is one replica's.
    pub replicas: usize,
    /// Whether a step waits for no other than its own replica (Le et al. 2012). What comes out depends on
    /// which rank is faster.
    pub asynchronous: bool,
    /// The size of the first steps.
    pub rate: f64,
}

impl Plan {
    /// The default: a size for images of 32x32 that a laptop trains.
    pub fn small() -> Plan {
        let stage = |field, stride, pool| Stage {
            field,
            stride,
            maps: 64,
            pool,
        };
        Plan {
            stages: vec![stage(6, 2, 2), stage(2, 1, 1), stage(2, 1, 1)],
            normalise: true,
            lambda: 0.01,
            epochs: 2,
            batch: 100,
            replicas: 1,
            asynchronous: false,
            rate: 1e-3,
        }
    }

    /// A size for a first look: as small, with few maps and one pass.
    pub fn quick() -> Plan {
        let mut plan = Plan::small();
        plan.stages.iter_mut().for_each(|stage| stage.maps = 4);
        plan.epochs = 1;
        plan.batch = 20;
        plan
    }

    /// The paper's own size (Le et al. 2012), for images of 200x200.
    pub fn paper() -> Plan {
        let stage = Stage {
            field: 18,
            stride: 1,
            maps: 8,
            pool: 5,
        };
        Plan {
            stages: vec![stage; 3],
            lambda: 0.1,
            ..Plan::small()
        }
    }

    /// The sizes of each stage over images of a shape (channels, height, width).
    ///
    /// # Errors
    /// [`TrainError::Options`] where a field or a pooling neighbourhood does not fit, or nothing would
    /// be trained.
    pub fn sizes(&self, image: [usize; 3]) -> Result<Vec<Size>, TrainError> {
        let refuse = |why: String| Err(TrainError::Options(why));
        if self.stages.is_empty() || self.batch == 0 || self.replicas == 0 {
            let why = "0 stages, images a step or replicas train nothing; ask for at least 1";
            return refuse(why.into());
        }
        if self.asynchronous && self.replicas > 1 {
            let why = "in asynchronous training each rank but the first is a replica: leave their number \
                       out, or train synchronously";
            return refuse(why.into());
        }
        if !(self.rate > 0.0
            && self.rate.is_finite()
            && self.lambda >= 0.0
            && self.lambda.is_finite())
        {
            let (rate, lambda) = (self.rate, self.lambda);
            return refuse(format!(
                "a rate of {rate} and a lambda of {lambda} train nothing; choose a rate above 0 and a \
                 lambda of at least 0"
            ));
        }
        let mut input = image;
        let mut sizes = Vec::with_capacity(self.stages.len());
        for (i, stage) in self.stages.iter().enumerate() {
            let [channels, height, width] = input;
            let (number, field, pool) = (i + 1, stage.field, stage.pool);
            if stage.maps == 0 || stage.stride == 0 || field == 0 || pool == 0 {
                return refuse(format!(
                    "stage {number}: field, stride, maps and pool must be at least 1"
                ));
            }
            if field > height.min(width) {
                return refuse(format!(
                    "stage {number}: a field of {field}x{field} does not fit the {height}x{width} \
                     positions that it sees; choose smaller fields, fewer stages or larger images"
                ));
            }
            let grid = [height, width].map(|size| (size - field) / stage.stride + 1);
            if pool > grid[0].min(grid[1]) {
                return refuse(format!(
                    "stage {number}: pooling over {pool}x{pool} does not fit its {}x{} positions; \
                     choose smaller fields, fewer stages or larger images",
                    grid[0], grid[1]
                ));
            }
            let output = [stage.maps, grid[0] + 1 - pool, grid[1] + 1 - pool];
            let size = Size {
                input,
                grid,
                output,
                field_len: channels.saturating_mul(field * field),
                maps: stage.maps,
            };
            sizes.push(size);
            input = output;
        }
        Ok(sizes)
    }
}

/// The sizes of one stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// What it sees: maps, height, width.
    pub input: [usize; 3],
    /// Positions of its fields, down and across.
    pub grid: [usize; 2],
    /// What it gives: maps, height, width.
    pub output: [usize; 3],
    /// Numbers in a field.
    pub field_len: usize,
    /// Filters at each position.
    pub maps: usize,
}

impl Size {
    /// Weights of its filters; as many put the image together again while it is trained.
    pub fn weights(&self) -> u64 {
        let [down, across] = self.grid.map(|size| size as u64);
        let filters = (down * across).saturating_mul(self.maps as u64);
        filters.saturating_mul(self.field_len as u64)
    }

    /// Whether its weights can be held as one value of a graph.
    ///
    /// # Errors
    /// [`TrainError::Options`].
    pub(crate) fn check(&self, number: usize) -> Result<(), TrainError> {
        let weights = self.weights();
        if weights > MAX_WEIGHTS as u64 {
            return Err(TrainError::Options(format!(
                "stage {number} has {weights} weights, and {MAX_WEIGHTS} is the most that one can \
                 have; choose smaller fields or images, or fewer maps"
            )));
        }
        Ok(())
    }

    /// Places that its fields are made of: an index each.
    pub(crate) fn places(&self) -> u64 {
        self.weights() / self.maps as u64
    }

    /// Its fields.
    pub(crate) fn fields(&self, stage: Stage) -> Fields {
        let (fields, _) = Fields::windows(self.input, stage.field, stage.stride)
            .expect("checked when the sizes were computed");
        fields
    }
}

/// Whether a network of these sizes fits a file: its weights, and an index for each place of a field.
///
/// # Errors
/// [`TrainError::Options`].
pub(crate) fn check_file(sizes: &[Size]) -> Result<(), TrainError> {
    let bytes = |size: &Size| size.weights().saturating_mul(4) + size.places() * 8;
    let bytes = sizes.iter().map(bytes).fold(0, u64::saturating_add);
    if bytes > MAX_BYTES {
        let gib = bytes as f64 / f64::from(1u32 << 30);
        return Err(TrainError::Options(format!(
            "the network's file would have {gib:.1} GiB, and ONNX's format ends at 2; choose smaller \
             fields or images, or fewer maps"
        )));
    }
    Ok(())
}

/// What a size costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// Side of the images, in pixels.
    pub input: u64,
    /// Side of the fields.
    pub field: u64,
    /// Maps.
    pub maps: u64,
    /// Weights of the filters of all stages.
    pub weights: u64,
    /// With those that put the images together again, which only training needs.
    pub trained: u64,
    /// Bytes to train them, one stage at a time: the weights of the largest stage, their gradients
    /// and the two moving means of Adam, in single precision.
    pub training_bytes: u64,
    /// Floating-point operations of one image forward.
    pub forward: f64,
    /// Floating-point operations of one image in a training step, all stages.
    pub training: f64,
}

/// Products by the weights in a training step: filtering, the way back, its gradient, and the gradients
/// by the two weights.
const PRODUCTS: f64 = 5.0;
/// Numbers kept for each weight that is trained: itself, its gradient, Adam's two means.
const KEPT: u64 = 4;

/// What each of these plans costs over images with three channels of a side.
///
/// # Errors
/// [`TrainError::Options`] where one does not fit.
pub fn costs(plans: &[(usize, Plan)]) -> Result<Vec<Cost>, TrainError> {
    let cost = |(input, plan): &(usize, Plan)| {
        let sizes = plan.sizes([3, *input, *input])?;
        let weights: Vec<u64> = sizes.iter().map(Size::weights).collect();
        let total: u64 = weights.iter().sum();
        // Each stage's training takes what the stages below make of the images, too.
        let below = weights.iter().scan(0, |below, weights| {
            *below += weights;
            Some(*below - weights)
        });
        Ok(Cost {
            input: *input as u64,
            field: plan.stages[0].field as u64,
            maps: plan.stages[0].maps as u64,
            weights: total,
            trained: 2 * total,
            training_bytes: weights.iter().max().map_or(0, |most| 2 * KEPT * 4 * most),
            forward: 2.0 * total as f64,
            training: 2.0 * (PRODUCTS * total as f64 + below.sum::<u64>() as f64),
        })
    };
    plans.iter().map(cost).collect()
}

/// Sizes on the way to the paper's: that of a plan, then larger ones.
pub fn ladder(image: usize, plan: &Plan) -> Vec<(usize, Plan)> {
    let scaled = |field: usize, maps: usize, pool: usize| Plan {
        stages: Plan::paper()
            .stages
            .iter()
            .map(|stage| Stage {
                field,
                maps,
                pool,
                ..*stage
            })
            .collect(),
        ..Plan::paper()
    };
    vec![
        (image, plan.clone()),
        (64, scaled(8, 8, 3)),
        (96, scaled(10, 8, 3)),
        (128, scaled(12, 8, 4)),
        (200, Plan::paper()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paper_has_its_billion_weights() {
        let sizes = Plan::paper().sizes([3, 200, 200]).unwrap();
        // 183 positions each way, less 4 by pooling, and so on.
        let grids: Vec<_> = sizes.iter().map(|size| size.grid[0]).collect();
        assert_eq!(grids, [183, 162, 141]);
        assert_eq!(sizes[0].weights(), 183 * 183 * 3 * 18 * 18 * 8);
        assert_eq!(sizes[1].weights(), 162 * 162 * 8 * 18 * 18 * 8);
        let cost = &costs(&[(200, Plan::paper())]).unwrap()[0];
        assert!(
            (1_100_000_000..1_300_000_000).contains(&cost.weights),
            "{}",
            cost.weights
        );
    }

    #[test]
    fn what_does_not_fit_is_said_in_a_line() {
        let error = |plan: Plan, side| plan.sizes([3, side, side]).unwrap_err().to_string();
        let why = error(Plan::small(), 5);
        assert!(
            why.contains("a field of 6x6 does not fit the 5x5 positions"),
            "{why}"
        );
        let why = error(Plan::small(), 10);
        assert!(why.starts_with("stage 3: "), "{why}");
        let mut plan = Plan::small();
        plan.stages[0].pool = 40;
        assert!(error(plan, 32).contains("pooling over 40x40"));
        let empty = Plan {
            stages: Vec::new(),
            ..Plan::small()
        };
        assert!(error(empty, 32).contains("0 stages"));
    }
}
