//! Which images fool whatever runtime is asked.

use blindspot_model::classifier::{Classifier, ClassifierError};
use blindspot_model::classify::answers;
use blindspot_model::rounding::MarginNoise;

use super::field::{Field, perturb};

/// Margins above this fraction of the largest output are no rounding noise.
const DOUBTFUL: f64 = 1e-3;

/// Counts images whose answers rounding can't undo.
pub(super) struct Census<'a> {
    field: &'a Field<'a>,
    noise: MarginNoise<'a>,
    /// Whether users see other outputs than the margins are of.
    answering: bool,
}

impl<'a> Census<'a> {
    /// Of a field's images; `exact` is its classifier in double precision, where it has such a form.
    pub(super) fn new(field: &'a Field<'a>, exact: Option<&'a dyn Classifier<f64>>) -> Census<'a> {
        Census {
            field,
            noise: MarginNoise::new(field.classifier, exact),
            answering: field.classifier.answering().is_some()
                || field.classifier.rounded().is_some(),
        }
    }

    /// Whether at least `wanted` images fool, by margins above the rounding noise and by the outputs that users see.
    pub(super) fn at_least(
        &mut self,
        wanted: usize,
        delta: &[f32],
    ) -> Result<bool, ClassifierError> {
        let all: Vec<usize> = (0..self.field.len()).collect();
        let Some(margins) = self.field.margins(&all, delta)? else {
            return Ok(false);
        };
        let mut image = vec![0.0; delta.len()];
        let (mut sure, mut open) = (0, Vec::new());
        for (at, margin) in margins.iter().enumerate() {
            if margin.lead > DOUBTFUL * margin.scale {
                sure += 1;
            } else if margin.lead > 0.0 {
                open.push((at, margin.lead));
            }
        }
        let mut left = open.len();
        for (at, lead) in open {
            if sure >= wanted || sure + left < wanted {
                break;
            }
            perturb(
                self.field.images.input(at),
                delta,
                self.field.input_box,
                &mut image,
            );
            sure += usize::from(lead > self.noise.at(&image)?);
            left -= 1;
        }
        if sure < wanted || !self.answering {
            return Ok(sure >= wanted);
        }
        let mut values = self.field.images.clone();
        for (at, place) in values
            .values_mut()
            .chunks_exact_mut(delta.len())
            .enumerate()
        {
            perturb(
                self.field.images.input(at),
                delta,
                self.field.input_box,
                place,
            );
        }
        let answers = answers(&self.field.classifier, &values)?;
        let fools = |(&answer, &label): (&usize, &usize)| match self.field.target {
            Some(target) => answer == target,
            None => answer != label,
        };
        let fooled = answers
            .iter()
            .zip(self.field.labels)
            .filter(|&pair| fools(pair));
        Ok(fooled.count() >= wanted)
    }
}
