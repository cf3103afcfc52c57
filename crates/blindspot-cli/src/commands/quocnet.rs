//! `blindspot train quocnet`.

use std::path::{Path, PathBuf};

use blindspot::run::monitor::Monitor;
use blindspot_data::{Fit, ImageSet, Resize, files};
use blindspot_paper::Session;
use blindspot_paper::experiments::figure6::costs_table;
use blindspot_paper::quocnet::{
    Plan, Point, StageRecord, costs, filters, history_plot, ladder, learn_and_save,
    seconds_an_image, trial,
};
use blindspot_paper::train::TrainError;
use schemars::JsonSchema;
use serde::Serialize;

use super::load;
use super::out::listing;
use crate::args::{Common, Train};
use crate::errors::Usage;
use crate::print::{self, json, say};
use crate::progress::Progress;
use crate::ranks;

/// The model's name on the command line.
pub(super) const NAME: &str = "quocnet";
/// Images that the paper's network was trained on.
const FRAMES: f64 = 1e7;
const DAY: f64 = 86_400.0;

/// What the training of QuocNet left.
#[derive(Serialize, JsonSchema)]
pub(super) struct Summary {
    /// `quocnet`.
    model: &'static str,
    /// The ONNX file.
    file: String,
    /// The picture of the filters.
    filters: String,
    /// The JSON file of how the loss fell.
    history: String,
    /// Images that it was trained on.
    images: usize,
    /// How the training of each stage went, the first first.
    stages: Vec<StageRecord>,
    /// Seed of all that is random.
    seed: u64,
}

/// How the loss fell, in a file of its own: times are never the same twice.
#[derive(Serialize, JsonSchema)]
pub(super) struct History<'a> {
    /// Processes that trained together.
    ranks: usize,
    /// Mini-batches of a step, whose gradients were added up.
    replicas: usize,
    /// Whether a step waited for no other than its own replica.
    asynchronous: bool,
    /// Images of a mini-batch.
    batch: usize,
    /// The losses, up to a hundred for each stage.
    points: &'a [Point],
}

pub(super) fn run(command: &Train, common: &Common, progress: &Progress) -> anyhow::Result<()> {
    let plan = command.quocnet.plan()?;
    let ranks = ranks::here();
    if command.quocnet.costs || command.quocnet.trial {
        return match (ranks.is_root(), command.quocnet.trial) {
            (false, _) => Ok(()),
            (true, false) => print_costs(command, common),
            (true, true) => try_size(command, common),
        };
    }
    if command.harden.harden || command.iterations.is_some() {
        let why = "quocnet is trained by --passes, without labels: it takes neither --harden nor \
                   --iterations";
        return Err(Usage(why.into()).into());
    }
    // Before the training: a file that can't be written is found out now.
    if ranks.is_root() {
        super::train::keeping(command)?;
    }
    let images = images(command, common, progress)?;
    ranks::agree_on([("images", format!("{:?}", images.hashes()))])?;
    let (seed, out) = (command.seed, command.out());
    let session = Session::new(seed)
        .with_monitor(progress)
        .with_ranks(ranks)
        .with_overwrite(command.replace.overwrite);
    let learned = learn_and_save(&plan, &images, out, &session)?;
    if !ranks.is_root() {
        return Ok(());
    }
    let picture = out.with_extension("filters.png");
    let png = blindspot_report::filters_png(&filters(&learned.network));
    files::write_atomically(&picture, |writer| writer.write_all(&png))?;
    let [history, plot] = write_history(out, &plan, &learned.history)?;
    let summary = Summary {
        model: NAME,
        file: command.out().display().to_string(),
        filters: picture.display().to_string(),
        history: history.display().to_string(),
        images: images.len(),
        stages: learned.stages,
        seed: command.seed,
    };
    let files = [out.to_owned(), picture, history, plot];
    let mut lines: Vec<String> = summary.stages.iter().enumerate().map(line).collect();
    if plan.asynchronous {
        lines.push("Asynchronous: the same seed may give other weights next time".into());
    }
    say(
        common,
        &format!("{}\n{}", lines.join("\n"), listing(&files, None)),
    )?;
    json(common, &summary)
}

/// What is learned from: images as they are, resized to a square, or squares cut out of them.
fn images(command: &Train, common: &Common, progress: &Progress) -> anyhow::Result<ImageSet> {
    let mut images = load::set(&command.data, common, progress)?;
    let side = command.quocnet.input.map(usize::from);
    if let Some(each) = command.quocnet.crops {
        let unknown =
            || Usage("--crops cuts squares: add --input SIDE, their size in pixels".into());
        let side = side.ok_or_else(unknown)?;
        progress.begin("cutting images", images.len() as u64);
        let done = |done| progress.progress(done as u64, "");
        let cut = images.crops(side, each as usize, command.seed, &done);
        progress.end();
        return Ok(cut?);
    }
    if let Some(side) = side {
        images = images.fitted(&Fit {
            resize: Some(Resize::Shorter(side)),
            crop: Some([side, side]),
            ..Fit::default()
        })?;
    }
    if images.is_of_files() {
        load::checked(&images, false, common, progress)
    } else {
        Ok(images)
    }
}

/// Writes how the loss fell, as JSON and as a plot beside it; gives their paths.
fn write_history(out: &Path, plan: &Plan, points: &[Point]) -> anyhow::Result<[PathBuf; 2]> {
    let path = out.with_extension("history.json");
    let history = History {
        ranks: ranks::here().count(),
        replicas: plan.replicas,
        asynchronous: plan.asynchronous,
        batch: plan.batch,
        points,
    };
    files::write_atomically(&path, |writer| {
        serde_json::to_writer_pretty(&mut *writer, &history)?;
        writeln!(writer)
    })?;
    let plot = history_plot(points);
    let picture = out.with_extension("history.svg");
    files::write_atomically(&picture, |writer| writer.write_all(plot.as_bytes()))?;
    Ok([path, picture])
}

/// How a stage's training went.
fn line((i, stage): (usize, &StageRecord)) -> String {
    format!(
        "stage {}: {}x{} fields of {} numbers, {} maps, {} weights; held-out reconstruction error \
         {:.2}% after {} steps ({:.1}% before; {} principal components of each field: {:.2}%)",
        i + 1,
        stage.grid[0],
        stage.grid[1],
        stage.field_len,
        stage.maps,
        stage.weights,
        100.0 * stage.error,
        stage.steps,
        100.0 * stage.error_before,
        stage.maps,
        100.0 * stage.error_pca,
    )
}

/// What sizes cost, and how long they would take here: measured on the default size, by operations.
fn print_costs(command: &Train, common: &Common) -> anyhow::Result<()> {
    let plan = command.quocnet.plan()?;
    let side = command.quocnet.input.map_or(32, usize::from);
    let costs = costs(&ladder(side, &plan))?;
    let table = costs_table(&costs);
    let speed = speed()?;
    let days = costs.iter().map(|cost| {
        let days = cost.training * FRAMES / speed / DAY;
        format!("{0}x{0}: {days:.1}", cost.input)
    });
    say(
        common,
        &format!(
            "{}\nDays for one pass over ten million images at this machine's {:.1} GFLOP/s: {}",
            print::table(&table),
            speed / 1e9,
            days.collect::<Vec<_>>().join(", ")
        ),
    )?;
    json(common, &costs)
}

/// Floating-point operations of training in a second.
fn speed() -> Result<f64, TrainError> {
    const SIDE: usize = 32;
    let small = Plan::small();
    let seconds = seconds_an_image(&small, [3, SIDE, SIDE])?;
    Ok(costs(&[(SIDE, small)])?[0].training / seconds)
}

/// One pass at a size, which may be the paper's.
fn try_size(command: &Train, common: &Common) -> anyhow::Result<()> {
    let plan = command.quocnet.plan()?;
    let side = command.quocnet.input.map_or(32, usize::from);
    let most = command.quocnet.trial_memory * f64::from(1u32 << 30);
    let trial = trial(&plan, [3, side, side], most as u64, command.seed)?;
    let grids = trial
        .grids
        .iter()
        .map(|[down, across]| format!("{down}x{across}"));
    let peak = trial.peak_bytes.map_or_else(String::new, |bytes| {
        format!(", {:.2} GB at the most", bytes as f64 / 1e9)
    });
    say(
        common,
        &format!(
            "{} images of {side}x{side}, positions {}: {} weights, made in {:.1} s\nforward {:.2} s, \
             gradient by images and weights {:.2} s, one thread{peak}\nslope along a random direction: \
             {:.5} by the gradient, {:.5} by differences",
            trial.images,
            grids.collect::<Vec<_>>().join(", "),
            trial.weights,
            trial.making_seconds,
            trial.forward_seconds,
            trial.gradient_seconds,
            trial.slope,
            trial.slope_by_differences,
        ),
    )?;
    json(common, &trial)
}
