//! Tables of transfer rates: how networks err on images perturbed for others (tables 2 and 4).

use blindspot::inputs::Inputs as _;
use blindspot::run::monitor::Unwatched;
use blindspot::transfer::{Distortion, MemoryExamples, SavedError, Variant, matrix};
use blindspot_net::Network;
use blindspot_report::{Cell, Table};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::reproduce::Replication;

/// Errors of the columns' models on images made for the rows' models.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, JsonSchema)]
pub struct TransferTable {
    /// Names of the rows: models whose examples these are, then `noise 0.1` and the like.
    pub rows: Vec<String>,
    /// Names of the columns' models.
    pub columns: Vec<String>,
    /// `error[row][column]`, fractions.
    pub error: Vec<Vec<f64>>,
    /// Mean distortion of each row's images.
    pub distortion_mean: Vec<f64>,
    /// Pooled distortion of each row's images.
    pub distortion_pooled: Vec<f64>,
    /// Images in each row.
    pub samples: Vec<u64>,
}

/// The paper's numbers: errors of the columns' models on images perturbed as the row says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TransferEntries {
    /// The columns' models. The first rows are their examples, in the same order.
    pub columns: &'static [&'static str],
    /// What the images of the rows below those are: `noise` and its standard deviation, or a model's
    /// amplified examples.
    pub others: &'static [&'static str],
    /// `error[row][column]`.
    pub error: &'static [&'static [f64]],
    /// The average distortion that the paper gives for each row.
    pub distortion: &'static [f64],
}

impl TransferEntries {
    fn row(&self, name: &str) -> Option<usize> {
        let mut rows = self.columns.iter().chain(self.others);
        rows.position(|row| *row == name)
    }

    /// The paper's error of the model `column` on the images of `row`; `None` where the paper has
    /// no such row or column.
    pub fn error(&self, row: &str, column: &str) -> Option<f64> {
        let column = self.columns.iter().position(|name| *name == column)?;
        Some(self.error[self.row(row)?][column])
    }

    /// The paper's average distortion of the images of `row`; `None` where it has no such row.
    pub fn distortion(&self, row: &str) -> Option<f64> {
        Some(self.distortion[self.row(row)?])
    }
}

/// A row: a model's examples, or what is made of them.
pub(super) struct Row<'n> {
    /// The row's name.
    pub(super) name: String,
    /// The model whose examples these are.
    pub(super) model: &'n str,
    /// What is done to the examples.
    pub(super) variant: Variant,
}

/// The row of a model's examples.
pub(super) fn adversarial(model: &str) -> Row<'_> {
    Row {
        name: model.to_owned(),
        model,
        variant: Variant::Plain,
    }
}

/// The row of the images that a model's examples are made of, with noise of this standard deviation in
/// place of the perturbation.
pub(super) fn noisy<'n>(run: &Replication<'_>, model: &'n str, deviation: f64) -> Row<'n> {
    Row {
        name: format!("noise {deviation}"),
        model,
        variant: if run.options.clip_noise {
            Variant::ClippedNoise(deviation)
        } else {
            Variant::Noise(deviation)
        },
    }
}

/// The errors of the models `names` on all rows.
pub(super) fn errors(
    run: &Replication<'_>,
    names: &[&str],
    rows: Vec<Row<'_>>,
) -> Result<TransferTable, SavedError> {
    let mut table = TransferTable {
        rows: Vec::new(),
        columns: names.iter().map(|&name| name.to_owned()).collect(),
        error: Vec::new(),
        distortion_mean: Vec::new(),
        distortion_pooled: Vec::new(),
        samples: Vec::new(),
    };
    let networks = names.iter();
    let networks: Vec<(String, &Network<f32>)> = networks
        .map(|&name| (name.to_owned(), &run.model(name).network))
        .collect();
    for row in rows {
        let (images, _) = run.distorted(row.model);
        let examples = MemoryExamples::new(run.examples(row.model), images);
        let sets = [(row.name, examples)];
        let found = matrix(
            &sets,
            &networks,
            &[row.variant],
            run.options.seed,
            &Unwatched,
        )?;
        let [(name, _)] = sets;
        let rates = &found.rates[0];
        // Of all images, as in table 1: one that was not perturbed counts 0.
        let Some(distortion) = Distortion::of(&found.norms[0], images.input_len()) else {
            continue;
        };
        table.rows.push(name);
        table
            .error
            .push(rates.iter().map(|rate| rate.error).collect());
        table.distortion_mean.push(distortion.mean);
        table.distortion_pooled.push(distortion.pooled);
        table.samples.push(rates[0].images);
    }
    Ok(table)
}

/// The table with the paper's numbers beside ours.
pub(super) fn table(
    title: &str,
    note: String,
    ours: &TransferTable,
    paper: &TransferEntries,
) -> Table {
    let mut heads = vec!["images for".to_owned()];
    heads.extend(ours.columns.iter().cloned());
    heads.push("distortion".to_owned());
    let row = |i: usize| {
        let name = &ours.rows[i];
        // The paper has one row for both readings of its amplification.
        let papers = name.replace(" each", "");
        let rates = ours
            .columns
            .iter()
            .zip(&ours.error[i])
            .map(|(column, &error)| Cell::Rate(error, paper.error(&papers, column)));
        let size = Cell::Size(ours.distortion_pooled[i], paper.distortion(&papers));
        std::iter::once(Cell::Text(name.clone()))
            .chain(rates)
            .chain([size])
            .collect()
    };
    Table {
        title: title.to_owned(),
        note,
        heads,
        rows: (0..ours.rows.len()).map(row).collect(),
    }
}
