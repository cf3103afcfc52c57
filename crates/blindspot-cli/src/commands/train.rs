//! `blindspot train`.

use blindspot::models;
use blindspot::train::{Recipe, TrainError, error};
use blindspot_data::files;
use serde::Serialize;

use super::{json, load, say};
use crate::args::{Common, Train};
use crate::progress::Progress;

#[derive(Serialize)]
struct Summary {
    model: String,
    file: String,
    iterations: usize,
    stopped: String,
    loss: f64,
    error: f64,
    seed: u64,
}

pub(super) fn run(command: &Train, common: &Common, progress: &Progress) -> anyhow::Result<()> {
    let mut recipe = Recipe::named(&command.model)?;
    if !recipe.hidden.is_empty() {
        recipe.decay = command.decay.into();
    }
    if let Some(iterations) = command.iterations {
        recipe.iterations = iterations as usize;
        if let Some(sparsity) = &mut recipe.sparsity {
            sparsity.iterations = sparsity.iterations.min(iterations as usize);
        }
    }
    // Before the training: a file that can't be written is found out now.
    files::check_writable(&command.out)?;
    let images = load::set(&command.data, common, progress)?;
    let Some(labels) = images.labels() else {
        let why = format!("{} has no labels", command.data);
        return Err(TrainError::Data(why).into());
    };
    let trained = models::train_and_save(&recipe, &images, command.seed, &command.out, progress)?;
    let error = error(&trained.network, &images, labels);
    let summary = Summary {
        model: recipe.name.clone(),
        file: command.out.display().to_string(),
        iterations: trained.iterations,
        stopped: trained.stopped,
        loss: trained.loss,
        error,
        seed: command.seed,
    };
    say(
        common,
        &format!(
            "{}: {} iterations ({}), loss {:.6}, error {:.2}% on {}\nWritten: {}",
            summary.model,
            summary.iterations,
            summary.stopped,
            summary.loss,
            100.0 * error,
            command.data,
            summary.file
        ),
    );
    json(common, &summary)
}
