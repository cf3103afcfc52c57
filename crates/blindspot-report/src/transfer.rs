//! What examples do to networks: a table and a picture.

use blindspot::transfer::{About, Matrix, Rate};
use schemars::JsonSchema;
use serde::Serialize;

use crate::artifact::Artifact;
use crate::heat_map::heat_map;
use crate::page::{Made, Section, StudyPage, study_page};
use crate::table::{Cell, Table};

/// The matrix as a table: the error of each column's network on each row's images, with its 95%
/// interval; its error on the same images as they are, and what it is fooled by of those that it gets
/// right so. `correct_only` says that the images are those that all the networks get right.
pub fn transfer_matrix(matrix: &Matrix, correct_only: bool) -> Table {
    let mut heads = vec!["images".to_owned()];
    for column in &matrix.columns {
        heads.extend([
            column.clone(),
            "95% interval".to_owned(),
            format!("{column} clean"),
            format!("{column} fooled"),
        ]);
    }
    heads.extend(["distortion".to_owned(), "samples".to_owned()]);
    let row = |i: usize| {
        let rates = matrix.rates[i]
            .iter()
            .zip(&matrix.clean[i])
            .zip(&matrix.fooled[i]);
        let rates = rates.flat_map(|((rate, clean), fooled)| {
            let interval = format!("{:.1}% to {:.1}%", 100.0 * rate.low, 100.0 * rate.high);
            let fooled = match fooled {
                Some(fooled) => format!("{} of {}", fooled.wrong, fooled.images),
                None => "none right".into(),
            };
            [
                Cell::Rate(rate.error, None),
                Cell::Text(interval),
                Cell::Rate(clean.error, None),
                Cell::Text(fooled),
            ]
        });
        let samples = matrix.rates[i].first().map_or(0, |rate| rate.images);
        std::iter::once(Cell::Text(matrix.rows[i].clone()))
            .chain(rates)
            .chain([
                match matrix.distortion[i] {
                    Some(distortion) => Cell::Size(distortion.pooled, None),
                    None => Cell::Text("-".into()),
                },
                Cell::Count(samples),
            ])
            .collect()
    };
    let mut note = "Error: of all images of the row. Clean: the error on the same images as they are. Fooled: of the \
                    images that are right as they are, those that are wrong in the row. Intervals: Wilson's, 95%. \
                    Distortion: pooled over all values of the images that are changed."
        .to_owned();
    if correct_only {
        note += " Only images that all the networks get right as they are.";
    }
    Table {
        title: "Errors of the columns' networks on the rows' images".into(),
        note,
        heads,
        rows: (0..matrix.rows.len()).map(row).collect(),
    }
}

/// The content of transfer.json.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TransferRecord {
    /// What the models answer.
    #[serde(flatten)]
    pub matrix: Matrix,
    /// Which examples and models these are, and what was done to the examples.
    #[serde(flatten)]
    pub about: About,
}

impl TransferRecord {
    /// The matrix as a table.
    pub fn table(&self) -> Table {
        let mut table = transfer_matrix(&self.matrix, self.about.correct_only);
        let sets = self.about.examples.iter();
        let goals = sets.filter_map(|set| Some(format!("{} ({})", set.name, set.goal.as_ref()?)));
        let goals: Vec<String> = goals.collect();
        if !goals.is_empty() {
            let of = goals.join(", ");
            table.note += &format!(
                " Wrong is what reaches the goal for the outputs, from those that the network gives for the image as it \
                 is, of {of}."
            );
        }
        table
    }

    /// How it was made, without a command.
    pub fn made(&self) -> Made {
        let about = &self.about;
        let mut hashes = about.examples_sha256.clone();
        let models = about.models.iter();
        let models = models.filter(|model| !model.sha256.is_empty());
        hashes.extend(models.map(|model| (model.file.clone(), model.sha256.clone())));
        let mut facts = vec![("seed".to_owned(), about.seed.to_string())];
        if about.correct_only {
            let only = "those that all the networks get right as they are";
            facts.push(("images".into(), only.into()));
        }
        Made::of_facts(facts, &hashes, &about.versions)
    }
}

/// What is written of a transfer: the record as transfer.json, the table as transfer.csv and transfer.md, the picture
/// transfer.svg.
///
/// # Errors
/// [`serde_json::Error`] where the record is none that JSON has.
pub fn transfer_files(record: &TransferRecord) -> serde_json::Result<Vec<Artifact>> {
    let file = |name: &str, bytes| Artifact {
        name: name.to_owned(),
        bytes,
    };
    let mut files = vec![file("transfer.json", serde_json::to_vec_pretty(record)?)];
    files.extend(Artifact::of_table("transfer", &record.table()));
    let picture = heat_map(&record.matrix);
    files.push(file("transfer.svg", picture.into_bytes()));
    Ok(files)
}

/// The page of a transfer: which network gets the most of the others' examples wrong, the heat map, the table.
///
/// # Errors
/// [`askama::Error`] where it can't be put together.
pub fn transfer_page(record: &TransferRecord, made: &Made) -> Result<String, askama::Error> {
    let matrix = &record.matrix;
    let pairs = (0..matrix.rows.len()).flat_map(|i| (0..matrix.columns.len()).map(move |j| (i, j)));
    let more = |&(i, j): &(usize, usize)| matrix.rates[i][j].error - matrix.clean[i][j].error;
    let most = pairs.max_by(|a, b| more(a).total_cmp(&more(b)));
    let answer = most.map_or("There are no images to answer.".to_owned(), |(i, j)| {
        let percent = |rate: &Rate| format!("{:.1}%", 100.0 * rate.error);
        format!(
            "Of all pairs the most: {} gets {} of the images of {} wrong, and {} of the same images as they are.",
            matrix.columns[j],
            percent(&matrix.rates[i][j]),
            matrix.rows[i],
            percent(&matrix.clean[i][j])
        )
    });
    let sections = [Section {
        id: "matrix".into(),
        title: "Errors of the columns' networks on the rows' images".into(),
        notes: vec!["In each cell the share of the row's images that the column's network gets wrong, with its 95% interval.".into()],
        plots: vec![heat_map(matrix)],
        tables: vec![record.table()],
        ..Section::default()
    }];
    study_page(&StudyPage {
        title: "Transfer of adversarial examples",
        answer: &answer,
        warning: "",
        remarks: &[],
        sections: &sections,
        words: &["perturbation", "distortion", "transfer", "fooled"],
        made,
    })
}

#[cfg(test)]
mod tests {
    use blindspot::transfer::Distortion;

    use super::*;

    #[test]
    fn the_table_has_each_rate_with_its_interval() {
        let rate = |wrong| Rate::of(wrong, 10).unwrap();
        let matrix = Matrix {
            rows: vec!["a".into(), "noise 0.1".into()],
            columns: vec!["x".into(), "y".into(), "w".into()],
            rates: vec![vec![rate(5), rate(0), rate(10)]; 2],
            clean: vec![vec![rate(1), rate(0), rate(10)]; 2],
            fooled: vec![vec![Rate::of(4, 9), Rate::of(0, 10), None]; 2],
            distortion: vec![Distortion::of(&[1.0], 4), None],
            norms: Vec::new(),
        };
        let table = transfer_matrix(&matrix, false);
        let text = table.markdown();
        for part in [
            "23.7% to 76.3% | 10.0% | 4 of 9",
            "none right | 0.500 | 10",
            "| - | 10",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
