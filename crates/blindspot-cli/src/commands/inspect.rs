//! `blindspot inspect`.

use std::fmt::Write;

use blindspot::inspect::{
    Cost, FileReport, NetworkReport, NodeProfile, PortReport, Profile, Report,
};
use blindspot::model::{Interface, Model};
use blindspot_report::{Cell, Table, digits};

use crate::args::{Common, Inspect};
use crate::errors::hint_for;
use crate::print::{self, json, say};

pub(super) fn run(command: &Inspect, common: &Common) -> anyhow::Result<()> {
    let options = Model::options()
        .interface(Interface::from(&command.model.interface))
        .preprocess(command.model.preprocess.read()?.preprocess)
        .budget(common.budget());
    let mut report = Report::new(&command.model.model, &options)?;
    if command.profile {
        report = report.profiled();
    }
    let mut text = file(&report.file);
    if let Some(problem) = &report.problem {
        text += &line("runs here", &format!("no: {problem}"));
        if let Some(hint) = report.error.as_ref().and_then(|error| hint_for(error)) {
            text += &line("", &format!("see {hint}"));
        }
    }
    if let Some(report) = &report.network {
        text += &network(report);
    }
    if let Some(report) = &report.profile {
        text += &profile(report);
    }
    say(common, text.trim_end())?;
    json(common, &report)
}

/// A line of the report: what it is about, and what is said of it.
fn line(about: &str, said: &str) -> String {
    format!("{about:<16}{said}\n")
}

fn file(file: &FileReport) -> String {
    let mut text = String::new();
    let mut size = bytes(file.bytes);
    if !file.files.is_empty() {
        let _ = write!(size, " in {} files", file.files.len() + 1);
    }
    let _ = write!(size, ", {} stored numbers", file.stored_numbers);
    text += &line("size", &size);
    if !file.producer.is_empty() {
        text += &line("written by", &file.producer);
    }
    let opsets = file.opsets.iter();
    let opsets = opsets.map(|(domain, version)| format!("{domain} {version}"));
    text += &line("operator sets", &listed(opsets));
    if file.functions > 0 {
        text += &line("functions", &file.functions.to_string());
    }
    text += &line("inputs", &listed(file.inputs.iter().map(port)));
    text += &line("outputs", &listed(file.outputs.iter().map(port)));
    let counted = |(name, count): (&String, &usize)| match count {
        1 => name.clone(),
        count => format!("{count} {name}"),
    };
    text += &line("operators", &listed(file.operators.iter().map(counted)));
    for (name, help) in &file.missing {
        text += &line("not supported", &format!("{name}: {help}"));
    }
    text
}

fn network(report: &NetworkReport) -> String {
    let mut text = line("runs here", "yes");
    let shape: Vec<String> = report.input_shape.iter().map(usize::to_string).collect();
    text += &line("an image", &shape.join("x"));
    let answer = format!("{} classes, {}", report.classes, report.answer);
    text += &line("answer", &answer);
    for note in &report.notes {
        text += &line("note", note);
    }
    for guess in &report.preprocessing {
        text += &line("it may want", &format!("{}, as {}", guess.what, guess.why));
    }
    let check = &report.gradient_check;
    let gradients = if check.norm == 0.0 {
        "zero at a random image: no search can follow them".to_owned()
    } else if check.agrees() {
        format!(
            "right: {:.0e} of their norm from finite differences",
            check.relative_difference
        )
    } else {
        format!(
            "differ from finite differences by {:.0e} of their norm",
            check.relative_difference
        )
    };
    text += &line("gradients", &gradients);
    let times = format!(
        "{:.3} ms the outputs of an image, {:.3} ms with a gradient, on one thread",
        report.forward_ms, report.gradient_ms
    );
    text += &line("time", &times);
    for study in &report.studies {
        text += &line(
            study.name,
            &match (&study.problem, &study.limit) {
                (Some(problem), _) => format!("no: {problem}"),
                (None, Some(limit)) => format!("yes, but {limit}"),
                (None, None) => "yes".to_owned(),
            },
        );
    }
    text
}

/// How many of the nodes that take longest are named.
const SLOWEST: usize = 5;

fn profile(profile: &Profile) -> String {
    let row = |name: &str, nodes: usize, cost: &Cost| {
        let speed = (cost.gflop > 0.0).then(|| cost.gflops());
        vec![
            Cell::Text(name.to_owned()),
            Cell::Count(nodes as u64),
            Cell::Figure(Some(cost.forward_ms), None),
            Cell::Figure(Some(cost.backward_ms), None),
            Cell::Rate(cost.milliseconds() / profile.total.milliseconds(), None),
            Cell::Figure(speed, None),
            match speed {
                Some(speed) => Cell::Rate(speed / profile.peak_gflops, None),
                None => Cell::Text(String::new()),
            },
            Cell::Figure(Some(cost.megabytes), None),
        ]
    };
    let heads = [
        "operator",
        "nodes",
        "forward ms",
        "backward ms",
        "of time",
        "GFLOP/s",
        "of peak",
        "MB",
    ];
    let kinds = profile.kinds.iter();
    let mut rows: Vec<Vec<Cell>> = kinds
        .map(|kind| row(&kind.kind, kind.nodes, &kind.cost))
        .collect();
    rows.push(row("all", profile.nodes.len(), &profile.total));
    let mut slowest: Vec<&NodeProfile> = profile.nodes.iter().collect();
    let time = |node: &NodeProfile| node.cost.milliseconds();
    slowest.sort_by(|a, b| time(b).total_cmp(&time(a)));
    let slowest = slowest.into_iter().take(SLOWEST);
    let slowest = slowest.map(|node| format!("{} ({} ms)", node.name, digits(time(node))));
    let table = Table {
        title: format!(
            "Where the time goes: one image on one thread, means of {} runs",
            profile.runs
        ),
        note: format!(
            "Backward: to the gradient by the image. GFLOP/s: operations of products, a multiply-add as two; \
             a core computes {} at most. MB: of operands, output and their gradients. Slowest nodes: {}.",
            digits(profile.peak_gflops),
            listed(slowest)
        ),
        heads: heads.map(str::to_owned).to_vec(),
        rows,
    };
    format!("\n{}", print::table(&table))
}

fn port(port: &PortReport) -> String {
    match &port.shape {
        Some(shape) => format!("{} ({} [{}])", port.name, port.kind, shape.join(", ")),
        None => format!("{} ({})", port.name, port.kind),
    }
}

fn listed(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

/// A number of bytes in a unit that suits it.
fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}
