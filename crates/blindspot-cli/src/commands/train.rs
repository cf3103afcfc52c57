//! `blindspot train`.

use std::path::PathBuf;
use std::slice;

use blindspot::classify::error;
use blindspot_data::{DataSpec, files};
use blindspot_paper::harden::{Plan, PoolCount, layer_names};
use blindspot_paper::models::{self, checkpoint_beside};
use blindspot_paper::train::{Certified, Recipe, TrainError, certified_share};
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
    /// Of a network trained for certificates: the part of these images that interval bounds certify.
    #[serde(skip_serializing_if = "Option::is_none")]
    certified: Option<CertifiedShare>,
    /// Seed of all that is random.
    seed: u64,
    /// What the pools of a hardening took.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pools: Vec<PoolCount>,
}

/// How many images are certified.
#[derive(Serialize, JsonSchema)]
struct CertifiedShare {
    /// The largest change of a value.
    epsilon: f64,
    /// The images that are right whatever such a change is, by interval bounds, a fraction.
    share: f64,
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
    let data = LabelledData::new(&images, labels);
    let plan = plan(command, &recipe, &data, images.image_len());
    let (trained, pools) = if let Some(plan) = &plan {
        one_process(command)?;
        models::harden_and_save(&recipe, plan, &images, out, &session)?
    } else {
        let trained = models::train_and_save(&recipe, &images, out, &session)?;
        (trained, Vec::new())
    };
    if !ranks.is_root() {
        return Ok(());
    }
    let error = error(&trained.network, &images, labels)?;
    let certified = plan.and_then(|plan| plan.training.certified);
    let share = |certified: Certified| -> anyhow::Result<CertifiedShare> {
        Ok(CertifiedShare {
            epsilon: certified.epsilon,
            share: certified_share(&trained.network, &data, certified.epsilon)?,
        })
    };
    let certified = certified.map(share).transpose()?;
    let summary = Summary {
        model: recipe.name.clone(),
        file: command.out().display().to_string(),
        iterations: trained.iterations,
        stopped: trained.stopped,
        loss: trained.loss,
        error,
        certified,
        seed,
        pools,
    };
    say(
        common,
        &format!(
            "{}: {} iterations ({}), loss {}, error {:.2}% on {}{}{}\nWritten: {}",
            summary.model,
            summary.iterations,
            summary.stopped,
            digits(summary.loss),
            100.0 * error,
            command.data,
            certified_line(summary.certified.as_ref()),
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

/// How the network is trained by mini-batches, where that is asked for in place of the recipe's own way.
fn plan(command: &Train, recipe: &Recipe, data: &LabelledData<'_>, length: usize) -> Option<Plan> {
    let decay = recipe.decay_coefficients(data.classes());
    if command.certified.certified {
        Some(command.certified.plan(command.iterations, decay))
    } else if command.harden.harden {
        let start = recipe.start(length, data.classes(), command.seed);
        Some(command.harden.plan(layer_names(&start), decay))
    } else {
        None
    }
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

/// How many of the images are certified, a line.
fn certified_line(certified: Option<&CertifiedShare>) -> String {
    certified.map_or(String::new(), |&CertifiedShare { epsilon, share }| {
        let percent = 100.0 * share;
        format!("\nCertified by interval bounds, changes of at most {epsilon}: {percent:.2}%")
    })
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
