//! How the loss fell, over time and over images.

use blindspot_report::{COLOURS, Curve, curves_plot};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::tica_loss::TicaLoss;

/// Points for a stage.
const POINTS: u64 = 100;

/// The loss of the images of some steps in a row, on the way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// Which stage, from 1.
    pub stage: usize,
    /// Seconds of training until then, of all stages, without breaks.
    pub seconds: f64,
    /// Images of this stage's steps until then.
    pub images: u64,
    /// Squared error of the reconstruction since the last point, as a part of the images' sum of
    /// squares.
    pub error: f64,
    /// Sum of the pooled responses, over the same.
    pub sparsity: f64,
}

/// The losses since the last point.
pub(super) struct LossCurve {
    stage: usize,
    /// Steps from one point to the next.
    every: u64,
    since: TicaLoss,
    /// The error as a monitor is told it: changes slowly.
    shown: f64,
}

impl LossCurve {
    /// The curve of stage number `stage`, from 0, with this many steps, from the error before the first.
    pub(super) fn new(stage: usize, steps: u64, error: f64) -> LossCurve {
        LossCurve {
            stage,
            every: steps.div_ceil(POINTS).max(1),
            since: TicaLoss::default(),
            shown: error,
        }
    }

    /// The error to be shown, after a step's loss.
    pub(super) fn shown(&mut self, loss: TicaLoss) -> f64 {
        self.shown += 0.2 * (loss.ratio().0 - self.shown);
        self.shown
    }

    /// Takes the loss of a step; gives a point where it is time for one, `steps` having been made, of
    /// `images` each.
    pub(super) fn add(
        &mut self,
        loss: TicaLoss,
        steps: u64,
        images: usize,
        seconds: f64,
    ) -> Option<Point> {
        self.since.add(loss);
        if !steps.is_multiple_of(self.every) {
            return None;
        }
        let (error, sparsity) = std::mem::take(&mut self.since).ratio();
        Some(Point {
            stage: self.stage + 1,
            seconds,
            images: steps * images as u64,
            error,
            sparsity,
        })
    }
}

/// How the reconstruction error of each stage fell over time (SVG).
pub fn history_plot(points: &[Point]) -> String {
    let stages: Vec<(String, Vec<[f64; 2]>)> = points
        .chunk_by(|one, next| one.stage == next.stage)
        .map(|points| {
            let errors = points.iter().map(|point| [point.seconds, point.error]);
            (format!("stage {}", points[0].stage), errors.collect())
        })
        .collect();
    let curves: Vec<Curve<'_>> = stages
        .iter()
        .enumerate()
        .map(|(i, (name, points))| Curve {
            name,
            colour: COLOURS[i % COLOURS.len()],
            points,
        })
        .collect();
    let axes = ["seconds of training", "squared error of the reconstruction"];
    curves_plot("Reconstruction error over time", axes, &curves, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_has_a_curve_of_its_colour() {
        let point = |stage, seconds, error| Point {
            stage,
            seconds,
            images: 0,
            error,
            sparsity: 0.0,
        };
        let svg = history_plot(&[point(1, 1.0, 0.9), point(1, 3.0, 0.5), point(2, 4.0, 0.7)]);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains("stage 2") && svg.contains("seconds of training"));
        assert!(!history_plot(&[]).contains("<polyline"));
    }
}
