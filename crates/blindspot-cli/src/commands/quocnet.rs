//! `blindspot train quocnet`.

use std::path::{Path, PathBuf};

use blindspot::quocnet::{
    Plan, Point, StageRecord, costs, filters, ladder, learn_and_save, seconds_an_image,
};
use blindspot_data::{Fit, Resize, files};
use serde::Serialize;

use super::{json, load, say};
use crate::args::{Common, Train};
use crate::exit::Usage;
use crate::progress::Progress;
use crate::ranks;

/// The model's name on the command line.
pub(super) const NAME: &str = "quocnet";
/// Images that the paper's network was trained on.
const FRAMES: f64 = 1e7;
const DAY: f64 = 86_400.0;

#[derive(Serialize)]
struct Summary {
    model: &'static str,
    file: String,
    filters: String,
    history: String,
    images: usize,
    stages: Vec<StageRecord>,
    seed: u64,
}

/// How the loss fell, in a file of its own: times are never the same twice.
#[derive(Serialize)]
struct History<'a> {
    ranks: usize,
    replicas: usize,
    asynchronous: bool,
    batch: usize,
    points: &'a [Point],
}

pub(super) fn run(command: &Train, common: &Common, progress: &Progress) -> anyhow::Result<()> {
    let plan = command.quocnet.plan()?;
    let ranks = ranks::here();
    if command.quocnet.costs {
        return match ranks.writes() {
            true => print_costs(command, common),
            false => Ok(()),
        };
    }
    if command.harden.harden || command.iterations.is_some() {
        let why = "quocnet is trained by --passes, without labels: it takes neither --harden nor \
                   --iterations";
        return Err(Usage(why.into()).into());
    }
    // Before the training: a file that can't be written is found out now.
    if ranks.writes() {
        files::check_writable(command.out())?;
    }
    let mut images = load::set(&command.data, common, progress)?;
    if let Some(side) = command.quocnet.input {
        let side = usize::from(side);
        images = images.fitted(&Fit {
            resize: Some(Resize::Shorter(side)),
            crop: Some([side, side]),
            channels: None,
        })?;
    }
    ranks::agree_on([("images", format!("{:?}", images.hashes()))])?;
    let (seed, out) = (command.seed, command.out());
    let learned = learn_and_save(&plan, &images, seed, out, progress, ranks)?;
    if !ranks.writes() {
        return Ok(());
    }
    let picture = out.with_extension("filters.png");
    let png = blindspot_report::filters_png(&filters(&learned.network));
    files::write_atomically(&picture, |writer| writer.write_all(&png))?;
    let history = write_history(out, &plan, &learned.history)?;
    let summary = Summary {
        model: NAME,
        file: command.out().display().to_string(),
        filters: picture.display().to_string(),
        history: history.display().to_string(),
        images: images.len(),
        stages: learned.stages,
        seed: command.seed,
    };
    let mut lines: Vec<String> = summary.stages.iter().enumerate().map(line).collect();
    if plan.asynchronous {
        lines.push("Asynchronous: the same seed may give other weights next time".into());
    }
    say(
        common,
        &format!(
            "{}\nWritten: {}, {}, {}",
            lines.join("\n"),
            summary.file,
            summary.filters,
            summary.history
        ),
    );
    json(common, &summary)
}

/// Writes how the loss fell, as JSON and as a plot beside it; gives the former's path.
fn write_history(out: &Path, plan: &Plan, points: &[Point]) -> anyhow::Result<PathBuf> {
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
    let plot = blindspot_report::history_plot(points);
    let picture = out.with_extension("history.svg");
    files::write_atomically(&picture, |writer| writer.write_all(plot.as_bytes()))?;
    Ok(path)
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

/// What sizes cost, and how long they would take here: measured on the smallest, by operations.
fn print_costs(command: &Train, common: &Common) -> anyhow::Result<()> {
    let plan = command.quocnet.plan()?;
    let side = command.quocnet.input.map_or(32, usize::from);
    let costs = costs(&ladder(side, &plan))?;
    let table = blindspot_report::quocnet_costs(&costs);
    let speed = costs[0].training / seconds_an_image(&plan, [3, side, side])?;
    let days = costs.iter().map(|cost| {
        let days = cost.training * FRAMES / speed / DAY;
        format!("{0}x{0}: {days:.1}", cost.input)
    });
    say(
        common,
        &format!(
            "{}\nDays for one pass over ten million images at this machine's {:.1} GFLOP/s: {}",
            table.text(),
            speed / 1e9,
            days.collect::<Vec<_>>().join(", ")
        ),
    );
    json(common, &costs)
}
