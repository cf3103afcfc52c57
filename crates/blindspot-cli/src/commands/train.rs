//! `blindspot train`.

use std::path::PathBuf;
use std::slice;

use blindspot::classify::error;
use blindspot_data::{DataSpec, files};
use blindspot_paper::harden::{PoolCount, layer_names};
use blindspot_paper::models::{self, checkpoint_beside};
use blindspot_paper::train::{Recipe, TrainError};
use blindspot_paper::{LabelledData, Session};
use blindspot_report::digits;
use schemars::JsonSchema;
use serde::Serialize;

use super::load;
use super::out::refuse_inputs;
use crate::args::{Common, Train};
use crate::errors::Usage;
use crate::print::{json, say};
use crate::progress::Progress;
use crate::{interrupt, ranks};

/// What the training of a network of the paper left.
#[derive(Serialize, JsonSchema)]
pub(super) struct Summary {
    /// The name that the network has in the paper's tables.
    model: String,
    /// The ONNX file.
    file: String,
    /// Iterations of L-BFGS that were run; steps, of mini-batches.
    iterations: usize,
    /// Why training stopped, a phrase.
    stopped: String,
    /// The loss in the end, decay included.
    loss: f64,
    /// Error on the images that it was trained on, a fraction.
    error: f64,
    /// Seed of all that is random.
    seed: u64,
    /// What the pools of a hardening took.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pools: Vec<PoolCount>,
}

pub(super) fn run(command: &Train, common: &Common, progress: &Progress) -> anyhow::Result<()> {
    if command.model == super::quocnet::NAME {
        return super::quocnet::run(command, common, progress);
    }
    command.quocnet.unused(&command.model)?;
    let mut recipe = Recipe::named(&command.model)?.with_decay(command.decay.into());
    if let Some(iterations) = command.iterations {
        recipe = recipe.with_iterations(iterations as usize);
    }
    let ranks = ranks::here();
    // Before the training: a file that can't be written is found out now.
    if ranks.is_root() {
        keeping(command)?;
    }
    let images = load::set(&command.data, common, progress)?;
    ranks::agree_on([("images", format!("{:?}", images.hashes()))])?;
    let Some(labels) = images.labels() else {
        let why = format!("{} has no labels", command.data);
        return Err(TrainError::Data(why).into());
    };
    let (seed, out) = (command.seed, command.out());
    let session = Session::new(seed)
        .with_monitor(progress)
        .with_ranks(ranks)
        .with_overwrite(command.replace.overwrite);
    let (trained, pools) = if command.harden.harden {
        one_process(command)?;
        let classes = LabelledData::new(&images, labels).classes();
        let start = recipe.start(images.image_len(), classes, seed);
        let decay = recipe.decay_coefficients(classes);
        let plan = command.harden.plan(layer_names(&start), decay);
        models::harden_and_save(&recipe, &plan, &images, out, &session)?
    } else {
        let trained = models::train_and_save(&recipe, &images, out, &session)?;
        (trained, Vec::new())
    };
    if !ranks.is_root() {
        return Ok(());
    }
    let error = error(&trained.network, &images, labels)?;
    let summary = Summary {
        model: recipe.name.clone(),
        file: command.out().display().to_string(),
        iterations: trained.iterations,
        stopped: trained.stopped,
        loss: trained.loss,
        error,
        seed,
        pools,
    };
    say(
        common,
        &format!(
            "{}: {} iterations ({}), loss {}, error {:.2}% on {}{}\nWritten: {}",
            summary.model,
            summary.iterations,
            summary.stopped,
            digits(summary.loss),
            100.0 * error,
            command.data,
            pool_lines(&summary.pools),
            summary.file
        ),
    )?;
    json(common, &summary)
}

/// Makes sure that the file can be written and is none that is read, and says from now on what is kept.
pub(super) fn keeping(command: &Train) -> anyhow::Result<()> {
    let out = command.out().to_owned();
    let spec: Option<DataSpec> = command.data.parse().ok();
    let read = spec.iter().flat_map(DataSpec::paths);
    let read: Vec<PathBuf> = read.map(PathBuf::from).collect();
    refuse_inputs(slice::from_ref(&out), &read)?;
    files::check_writable(&out)?;
    let checkpoint = checkpoint_beside(&out);
    interrupt::keeping(move || {
        if checkpoint.exists() {
            let checkpoint = checkpoint.display();
            format!("the training is kept in {checkpoint}; the same command goes on")
        } else {
            "nothing was kept, as the training had just begun".into()
        }
    });
    Ok(())
}

/// Mini-batches are worked on by one process.
fn one_process(command: &Train) -> Result<(), Usage> {
    match ranks::here().count() {
        1 => Ok(()),
        _ => Err(Usage(format!(
            "{} is trained by mini-batches, which one process does: run it without mpirun",
            command.model
        ))),
    }
}

/// What the pools took, a line each.
fn pool_lines(pools: &[PoolCount]) -> String {
    let line = |pool: &PoolCount| {
        let distortion = pool.distortion;
        let distortion =
            distortion.map_or(String::new(), |mean| format!(" (distortion {mean:.4})"));
        format!(
            "\nPool of {}: {} examples made{}, {} searches failed, {} ended too far \
             away, {} images were wrong as they are",
            pool.layer, pool.made, distortion, pool.failed, pool.far, pool.already_misclassified
        )
    };
    pools.iter().map(line).collect()
}
