//! Certificates for goals: how far an input must move at least before its goal can be reached.

use blindspot_bounds::certify::{Certifier, CertifyError, Ends};
use blindspot_data::Columns;
use blindspot_model::inputs::InMemory;
use blindspot_model::{Grouping, InputBox, Model, Norm};
use blindspot_net::{Evaluator, Network};
use blindspot_run::monitor::Unwatched;

use super::aim::Original;
use super::{GoalError, OutputGoal};
use crate::search::Surroundings;

/// Certifies that a goal can't be reached near an input.
///
/// Each input has margins of its own, and so bounds of its own: their preparation is part of each certificate.
pub struct GoalCertifier<'m> {
    model: &'m Model,
    goal: &'m OutputGoal,
    exact: Network<f64>,
    input_box: InputBox,
    norm: Norm,
    grouping: Grouping,
    columns: Option<&'m Columns>,
}

impl<'m> GoalCertifier<'m> {
    /// Prepares certificates for a model, opened for the goal's [outputs](OutputGoal::outputs), and inputs in a box.
    ///
    /// # Errors
    /// [`CertifyError::Model`] if the model's file can't be read again, or the goal doesn't fit it.
    pub fn new(
        model: &'m Model,
        goal: &'m OutputGoal,
        input_box: InputBox,
    ) -> Result<GoalCertifier<'m>, CertifyError> {
        let unfit = |error: GoalError| CertifyError::Model(error.to_string());
        goal.check(model.network().output_len()).map_err(unfit)?;
        let exact = model.exact();
        let exact = exact.map_err(|error| CertifyError::Model(error.to_string()))?;
        Ok(GoalCertifier {
            model,
            goal,
            exact: exact.network.network().clone(),
            input_box,
            norm: Norm::default(),
            grouping: Grouping::default(),
            columns: None,
        })
    }

    /// The norm of the radii; L2 by default.
    #[must_use]
    pub fn norm(self, norm: Norm) -> Self {
        GoalCertifier { norm, ..self }
    }

    /// What L0 counts; values by default.
    #[must_use]
    pub fn grouping(self, grouping: Grouping) -> Self {
        GoalCertifier { grouping, ..self }
    }

    /// The columns of the table whose rows are certified: then radii are in their scales, for rows that there may be.
    #[must_use]
    pub fn columns(self, columns: Option<&'m Columns>) -> Self {
        GoalCertifier { columns, ..self }
    }

    /// The radius, in the norm, within which no perturbation of an input reaches the goal; 0 where it is reached
    /// already.
    ///
    /// # Errors
    /// [`CertifyError`] where nothing is known of the model with the goal behind it.
    pub fn certify(&self, input: &[f32]) -> Result<f64, CertifyError> {
        let mut evaluator = Evaluator::new(&self.exact);
        for (place, &value) in evaluator.input(1).iter_mut().zip(input) {
            *place = value.into();
        }
        let outputs = evaluator.forward().to_vec();
        let mut rounded = Evaluator::new(self.model.own_end().unwrap_or(self.model.network()));
        rounded.input(1).copy_from_slice(input);
        let rounded = rounded.forward().to_vec();
        let threshold = self.goal.threshold(self.model);
        let original = Original {
            index: 0,
            exact: &outputs,
            rounded: &rounded,
            threshold,
            answering_threshold: threshold,
        };
        let graph = self.exact.graph();
        let aim = self
            .goal
            .aim(&original, &graph.value(graph.output()).shape)
            .map_err(|error| CertifyError::Model(error.to_string()))?;
        let label = aim.label(&outputs);
        if let Some(columns) = self.columns {
            let around = Surroundings::new(columns, input, self.norm);
            return around.certify(self.model, Some(aim.head), label);
        }
        let ends = Ends {
            behind: Some(aim.head),
            ..Ends::default()
        };
        let certifier = Certifier::with_ends(self.model, ends, self.input_box)?;
        let certifier = certifier.norm(self.norm).grouping(self.grouping);
        let inputs = InMemory::new(input.to_vec(), input.len());
        let found = certifier.certify_inputs(&inputs, &[label], &[0], &Unwatched)?;
        Ok(found[0].radius)
    }
}
