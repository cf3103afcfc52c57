//! What examples do to networks: a table and a picture.

use std::fmt::Display;

use blindspot::transfer::{About, Matrix, Rate};
use serde::Serialize;

use crate::artifact::Artifact;
use crate::colours::{HEAT, INK, ON_HEAT};
use crate::page::{Made, Section, StudyPage, study_page};
use crate::svg::{Canvas, Frame, Style};
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
#[derive(Debug, Clone, Serialize)]
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
        transfer_matrix(&self.matrix, self.about.correct_only)
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

/// The matrix as a picture (SVG): the darker, the more images a network gets wrong.
pub fn heat_map(matrix: &Matrix) -> String {
    const CELL: (usize, usize) = (96, 36);
    let letters = |names: &[String]| {
        names
            .iter()
            .map(|name| name.chars().count())
            .max()
            .unwrap_or(0)
    };
    let (left, top) = (8 * letters(&matrix.rows) + 24, 40);
    let column_width = CELL.0.max(8 * letters(&matrix.columns) + 16);
    let (width, height) = (
        left + column_width * matrix.columns.len() + 8,
        top + CELL.1 * matrix.rows.len() + 8,
    );
    let mut canvas = Canvas::new(0);
    let text = |canvas: &mut Canvas, at: [usize; 2], anchor, fill, words: &str| {
        let style = Style {
            anchor,
            fill,
            size: None,
        };
        canvas.text(at.map(|place| place as f64), style, words);
    };
    for (j, column) in matrix.columns.iter().enumerate() {
        let at = [left + column_width * j + column_width / 2, top - 12];
        text(&mut canvas, at, "middle", INK, column);
    }
    for (i, row) in matrix.rows.iter().enumerate() {
        let at = [left - 8, top + CELL.1 * i + 23];
        text(&mut canvas, at, "end", INK, row);
    }
    for (i, rates) in matrix.rates.iter().enumerate() {
        for (j, rate) in rates.iter().enumerate() {
            let (x, y) = (left + column_width * j, top + CELL.1 * i);
            let [x_shown, y_shown] = [x, y].map(|place| place.to_string());
            let [width, height] = [column_width - 2, CELL.1 - 2].map(|size| size.to_string());
            let opacity = format!("{:.3}", rate.error);
            let attributes: [(&str, &dyn Display); 6] = [
                ("x", &x_shown),
                ("y", &y_shown),
                ("width", &width),
                ("height", &height),
                ("fill", &HEAT),
                ("fill-opacity", &opacity),
            ];
            canvas.element("rect", &attributes, None);
            let fill = if rate.error > 0.5 { ON_HEAT } else { INK };
            let words = format!("{:.1}%", 100.0 * rate.error);
            let at = [x + column_width / 2, y + 23];
            text(&mut canvas, at, "middle", fill, &words);
        }
    }
    canvas.finish(&Frame {
        title: "Errors of the columns' networks on the rows' images",
        width: width as f64,
        height: height as f64,
        fixed: true,
        font_size: Some(13),
    })
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
        notes: vec!["The stronger the colour, the more images a network gets wrong.".into()],
        plots: vec![heat_map(matrix)],
        tables: vec![record.table()],
    }];
    study_page(&StudyPage {
        title: "Transfer of adversarial examples",
        answer: &answer,
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
    fn the_picture_is_xml_with_a_rate_for_each_pair() {
        let rate = |wrong| Rate::of(wrong, 10).unwrap();
        let matrix = Matrix {
            rows: vec!["a <b>".into(), "noise 0.1".into()],
            columns: vec!["x".into(), "y & z".into(), "w".into()],
            rates: vec![vec![rate(5), rate(0), rate(10)]; 2],
            clean: vec![vec![rate(1), rate(0), rate(10)]; 2],
            fooled: vec![vec![Rate::of(4, 9), Rate::of(0, 10), None]; 2],
            distortion: vec![Distortion::of(&[1.0], 4), None],
            norms: Vec::new(),
        };
        let svg = heat_map(&matrix);
        let document = roxmltree::Document::parse(&svg).unwrap();
        let texts = document
            .descendants()
            .filter(|node| node.has_tag_name("text"));
        let texts: Vec<&str> = texts.filter_map(|node| node.text()).collect();
        assert_eq!(texts.iter().filter(|text| text.ends_with('%')).count(), 6);
        assert!(texts.contains(&"a <b>") && texts.contains(&"y & z"));
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
