//! The paper's tables out of the results, the paper's figures beside ours.

use blindspot::paper;
use blindspot::results::{ModelRecord, Table1Row, TransferTable};

use crate::table::{Cell, Table};

/// What is said below every table of a quick look.
const QUICK: &str = "A QUICK LOOK (few iterations, few images): no figure of it may be held \
                     against the paper.";

fn note(quick: bool, text: &str) -> String {
    if quick {
        format!("{QUICK} {text}")
    } else {
        text.to_owned()
    }
}

/// Table 1: errors, and the distortion that brings the accuracy to 0.
pub fn table1(rows: &[Table1Row], quick: bool) -> Table {
    let heads = [
        "model",
        "train error",
        "test error",
        "distortion",
        "mean",
        "median",
        "L2 norm",
        "success",
        "samples",
    ];
    let row = |row: &Table1Row| {
        let paper = paper::table1(&row.model);
        vec![
            Cell::Text(row.model.clone()),
            Cell::Rate(row.train_error, paper.map(|paper| paper.train_error)),
            Cell::Rate(row.test_error, paper.map(|paper| paper.test_error)),
            Cell::Size(row.distortion_pooled, paper.map(|paper| paper.distortion)),
            Cell::Size(row.distortion_mean, None),
            Cell::Size(row.distortion_median, None),
            Cell::Size(row.l2_mean, None),
            Cell::Rate(row.success, None),
            Cell::Count(row.samples),
        ]
    };
    Table {
        title: "Table 1: errors, and the smallest distortion that brings the accuracy to 0".into(),
        note: note(
            quick,
            "The paper beside it. Distortion: root mean square of the change over all pixels of \
             all images distorted, random wrong targets; mean, median and L2 norm: over the \
             images. Images already wrong count as 0.",
        ),
        heads: heads.map(str::to_owned).to_vec(),
        rows: rows.iter().map(row).collect(),
    }
}

/// Table 2: the errors of each column's model on each row's images.
pub fn table2(table: &TransferTable, quick: bool) -> Table {
    let mut heads = vec!["images for".to_owned()];
    heads.extend(table.columns.iter().cloned());
    heads.push("distortion".to_owned());
    let row = |i: usize| {
        let name = &table.rows[i];
        let rates = table
            .columns
            .iter()
            .zip(&table.error[i])
            .map(|(column, &error)| Cell::Rate(error, paper::TABLE2.error(name, column)));
        let size = Cell::Size(table.distortion_pooled[i], paper::TABLE2.distortion(name));
        std::iter::once(Cell::Text(name.clone()))
            .chain(rates)
            .chain([size])
            .collect()
    };
    Table {
        title: "Table 2: errors of the columns' models on images distorted for the rows' models"
            .into(),
        note: note(
            quick,
            "The paper beside it. Training images; the noise is Gaussian, by its standard \
             deviation.",
        ),
        heads,
        rows: (0..table.rows.len()).map(row).collect(),
    }
}

/// How each model was trained.
pub fn models(models: &[ModelRecord]) -> Table {
    let heads = [
        "model",
        "lambda",
        "iterations",
        "stopped because",
        "loss",
        "SHA-256 of the file",
    ];
    let row = |model: &ModelRecord| {
        let lambda: Vec<String> = model.decay.iter().map(|l| format!("{l:e}")).collect();
        vec![
            Cell::Text(model.name.clone()),
            Cell::Text(lambda.join(", ")),
            Cell::Count(model.iterations),
            Cell::Text(model.stopped.clone()),
            Cell::Text(format!("{:.6}", model.loss)),
            Cell::Text(model.sha256.chars().take(16).collect()),
        ]
    };
    Table {
        title: "Models".into(),
        note: String::new(),
        heads: heads.map(str::to_owned).to_vec(),
        rows: models.iter().map(row).collect(),
    }
}
