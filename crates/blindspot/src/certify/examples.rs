//! Certificates beside the perturbations that a search has found.

use blindspot_bounds::certify::{Certifier, CertifyError};
use blindspot_data::Columns;
use blindspot_model::Model;
use blindspot_model::inputs::InMemory;
use blindspot_run::monitor::Monitor;
use rayon::prelude::*;

use crate::goals::GoalCertifier;
use crate::search::{Example, SearchOptions, Surroundings};

/// Certifies the inputs that a search begins from, in its norm: that the answer stays right or, where the search has a
/// goal, that this is not reached. Of rows of a table it is in the scales of the columns, for rows that there may be.
pub struct ExampleCertifier<'m> {
    model: &'m Model,
    options: &'m SearchOptions,
    bounds: Bounds<'m>,
}

/// What certifies an input.
enum Bounds<'m> {
    /// One network for all.
    Shared(Box<Certifier>),
    /// The goal's margins, which are each input's own.
    OfGoal(Box<GoalCertifier<'m>>),
    /// What is around each row of a table.
    OfRow(&'m Columns),
}

impl<'m> ExampleCertifier<'m> {
    /// Prepares the certificates of a model's inputs, for a search with these options.
    ///
    /// # Errors
    /// [`CertifyError`] if nothing is known of the model, or the goal doesn't fit it.
    pub fn new(
        model: &'m Model,
        options: &'m SearchOptions,
    ) -> Result<ExampleCertifier<'m>, CertifyError> {
        let bounds = match (&options.goal, &options.columns) {
            (Some(goal), columns) => {
                let certifier = GoalCertifier::new(model, goal, options.reach())?;
                let certifier = certifier.norm(options.norm).grouping(options.grouping);
                Bounds::OfGoal(Box::new(certifier.columns(columns.as_ref())))
            }
            (None, Some(columns)) => Bounds::OfRow(columns),
            (None, None) => {
                let certifier = Certifier::in_box(model, options.reach())?;
                let certifier = certifier.norm(options.norm).grouping(options.grouping);
                Bounds::Shared(Box::new(certifier))
            }
        };
        Ok(ExampleCertifier {
            model,
            options,
            bounds,
        })
    }

    /// Tries it on an input, so that what is not known of the model is said before a search.
    ///
    /// # Errors
    /// As of [`certify`](ExampleCertifier::certify).
    pub fn check(&self, input: &[f32]) -> Result<(), CertifyError> {
        self.own(input, 0).map(drop)
    }

    /// The radius of each example, whose originals stand one after the other; of the first of them where the monitor
    /// cancels the work.
    ///
    /// # Errors
    /// [`CertifyError`] if nothing is known of the model with what is around it.
    pub fn certify(
        &self,
        examples: &[Example],
        originals: &[f32],
        monitor: &dyn Monitor,
    ) -> Result<Vec<f64>, CertifyError> {
        let length = self.model.input_len();
        let Bounds::Shared(certifier) = &self.bounds else {
            let each = examples.par_iter().zip(originals.par_chunks_exact(length));
            let radii = each.map(|(example, original)| {
                if example.already_misclassified || monitor.cancelled() {
                    Ok(0.0)
                } else {
                    self.own(original, example.label)
                }
            });
            return radii.collect();
        };
        let inputs = InMemory::new(originals.to_vec(), length);
        let labels: Vec<usize> = examples.iter().map(|example| example.label).collect();
        let all: Vec<usize> = (0..examples.len()).collect();
        let found = certifier.certify_inputs(&inputs, &labels, &all, monitor)?;
        let of_answer = found.into_iter().zip(examples);
        let of_answer = of_answer
            .map(|(found, example)| found.of_answer(!example.already_misclassified).radius);
        Ok(of_answer.collect())
    }

    /// The radius of an input whose bounds are its own; 0 where they are not.
    pub(crate) fn own(&self, input: &[f32], label: usize) -> Result<f64, CertifyError> {
        match &self.bounds {
            Bounds::Shared(_) => Ok(0.0),
            Bounds::OfGoal(certifier) => certifier.certify(input),
            Bounds::OfRow(columns) => {
                let around = Surroundings::new(columns, input, self.options.norm);
                around.certify(self.model, None, label)
            }
        }
    }
}
