//! The paper's tables out of the results, the paper's figures beside ours.

use blindspot_paper::paper;
use blindspot_paper::paper::TransferEntries;
use blindspot_paper::results::{ModelRecord, Table1Row, Table3Row, TransferTable};

use crate::table::{Cell, Table};

/// What is said below every table of a quick look.
const QUICK: &str = "A QUICK LOOK (few iterations, few images): no figure of it may be held \
                     against the paper.";

pub(crate) fn note(quick: bool, text: &str) -> String {
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
    Table {
        title: "Table 2: errors of the columns' models on images distorted for the rows' models"
            .into(),
        note: note(
            quick,
            "The paper beside it. Training images; the noise is Gaussian, by its standard \
             deviation.",
        ),
        ..transfer(table, &paper::TABLE2)
    }
}

/// Table 3: errors of models trained on halves of the training set.
pub fn table3(rows: &[Table3Row], quick: bool) -> Table {
    let heads = [
        "model",
        "trained on",
        "error on P1",
        "error on P2",
        "test error",
        "distortion",
        "mean",
        "success",
        "samples",
    ];
    let row = |row: &Table3Row| {
        let paper = paper::TABLE3.iter().find(|entry| entry.model == row.model);
        vec![
            Cell::Text(row.model.clone()),
            Cell::Text(paper.map_or(String::new(), |paper| paper.description.to_owned())),
            Cell::Rate(row.error_p1, paper.map(|paper| paper.error_p1)),
            Cell::Rate(row.error_p2, paper.map(|paper| paper.error_p2)),
            Cell::Rate(row.error_test, paper.map(|paper| paper.test_error)),
            Cell::Size(row.distortion_pooled, paper.map(|paper| paper.distortion)),
            Cell::Size(row.distortion_mean, None),
            Cell::Rate(row.success, None),
            Cell::Count(row.samples),
        ]
    };
    Table {
        title: "Table 3: models trained on disjoint halves of the training set".into(),
        note: note(
            quick,
            "The paper beside it. P1 and P2: 30,000 training images each. Distortion: of test \
             images, as in table 1.",
        ),
        heads: heads.map(str::to_owned).to_vec(),
        rows: rows.iter().map(row).collect(),
    }
}

/// Table 4: the errors of each column's model on each row's images, across training sets.
pub fn table4(table: &TransferTable, quick: bool) -> Table {
    Table {
        title: "Table 4: the same across training sets".into(),
        note: note(
            quick,
            "The paper beside it. Test images. x0.1: all changes of a set made larger by one \
             factor, so that their mean distortion is 0.1; each x0.1: each change by itself to a \
             distortion of 0.1. The paper's formula can be read in both ways; its figures stand \
             beside both.",
        ),
        ..transfer(table, &paper::TABLE4)
    }
}

/// The rows of a table of transfer rates, with the paper's.
fn transfer(table: &TransferTable, entries: &TransferEntries) -> Table {
    let mut heads = vec!["images for".to_owned()];
    heads.extend(table.columns.iter().cloned());
    heads.push("distortion".to_owned());
    let row = |i: usize| {
        let name = &table.rows[i];
        let papers = name.replace(" each", "");
        let rates = table
            .columns
            .iter()
            .zip(&table.error[i])
            .map(|(column, &error)| Cell::Rate(error, entries.error(&papers, column)));
        let size = Cell::Size(table.distortion_pooled[i], entries.distortion(&papers));
        std::iter::once(Cell::Text(name.clone()))
            .chain(rates)
            .chain([size])
            .collect()
    };
    Table {
        title: String::new(),
        note: String::new(),
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
