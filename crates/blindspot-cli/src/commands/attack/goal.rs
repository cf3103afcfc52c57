//! A goal for the outputs of a model that is no classifier, and what belongs to it.

use std::path::Path;

use blindspot::goals::OutputGoal;
use blindspot::model::{Model, Outputs};
use blindspot_data::{Choice, ImageRequest};
use blindspot_net::Evaluator;

use crate::args::Common;
use crate::commands::load;
use crate::errors::Usage;
use crate::progress::Progress;

/// A goal with all that it names: the outputs for another image, a network of one's own; and the hash of that network's
/// file.
pub(super) fn known(
    goal: &OutputGoal,
    model: &Model,
    request: &ImageRequest,
    common: &Common,
    progress: &Progress,
) -> anyhow::Result<(OutputGoal, Option<String>)> {
    let mut goal = goal.clone();
    if let Some(index) = goal.template() {
        let outputs = outputs_of(index, model, request, common, progress)?;
        goal = goal.with_template(&outputs);
    }
    let mut hash = None;
    if let Some(file) = goal.formula().map(str::to_owned) {
        let options = Model::options().outputs(Outputs::Numbers);
        let formula = options.budget(common.budget()).open(Path::new(&file))?;
        hash = Some(formula.sha256().to_owned());
        goal = goal.with_formula(formula.network().clone());
    }
    Ok((goal, hash))
}

/// The model's outputs for the image of an index in the data set, in double precision.
fn outputs_of(
    index: usize,
    model: &Model,
    request: &ImageRequest,
    common: &Common,
    progress: &Progress,
) -> anyhow::Result<Vec<f64>> {
    let first = ImageRequest {
        choice: Some(Choice {
            count: index.saturating_add(1),
            seed: None,
        }),
        ..request.clone()
    };
    let images = load::images(&first, Some(model), common, progress)?;
    if index >= images.len() {
        let why = format!(
            "the goal names image {index}, and {} has {}; choose one of 0 to {}",
            images.name(),
            images.len(),
            images.len().saturating_sub(1)
        );
        return Err(Usage(why).into());
    }
    let mut values = vec![0.0; images.image_len()];
    images.read_image(index, &mut values)?;
    let exact = model.exact()?.network;
    let mut evaluator = Evaluator::new(exact.network());
    for (place, value) in evaluator.input(1).iter_mut().zip(values) {
        *place = value.into();
    }
    Ok(evaluator.forward().to_vec())
}
