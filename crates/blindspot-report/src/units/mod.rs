//! What excites units and random directions: pictures, and what numbers say of them.

mod plot;
mod rows;

use askama::Template;
use blindspot::units::{Contrast, DirectionKind, Measure, PictureRow, Study, SurveyRecord};

use crate::artifact::Artifact;
use crate::page::{self, Made};
use crate::table::{Cell, Table};
use crate::{ReportError, picture_png};
use rows::Row;

pub use plot::{distributions, rotation};
pub use rows::{RowHtml, picture_rows_html, rows_drawing};

/// What the template shows.
#[derive(Template)]
#[template(path = "units.html")]
struct Page<'a> {
    page: page::Page<'a>,
    rows: Vec<Row>,
    study: Option<Shown<'a>>,
}

/// A study on the page.
struct Shown<'a> {
    study: &'a Study,
    tables: Vec<Table>,
    distributions: String,
    rotation: Option<String>,
}

/// A page of rows of pictures, the study if there is one, and how it was made; one file of HTML that is XML, too.
///
/// # Errors
/// [`askama::Error`] where it can't be put together.
pub fn units_page(
    layer: &str,
    images: usize,
    rows: &[PictureRow],
    study: Option<&Study>,
    made: &Made,
) -> Result<String, askama::Error> {
    let shown = format!(
        "Of {images} images, those with the largest activation of each unit and the largest projection on each random \
         direction, and those with the smallest. Frames show what the position of the largest activation sees."
    );
    let title = format!("What excites {layer}");
    let answer = study.map_or("", |study| &study.answer);
    let (claim, numbers) = answer.split_once(". ").unwrap_or((answer, ""));
    let page = match study {
        Some(_) => page::Page {
            answer: claim.to_owned(),
            warning: String::new(),
            title,
            remarks: vec![numbers.to_owned(), shown],
            contents: vec![("study".into(), "Units and random directions".into())],
            words: Vec::new(),
            made,
        },
        None => page::Page {
            answer: title,
            warning: String::new(),
            title: "Units".into(),
            remarks: vec![shown],
            contents: Vec::new(),
            words: Vec::new(),
            made,
        },
    };
    let page = Page {
        page,
        rows: rows::rows(rows),
        study: study.map(|study| Shown {
            study,
            tables: vec![means(study), contrasts(study)],
            distributions: distributions(study),
            rotation: rotation(study),
        }),
    };
    page.render()
}

/// What is written of a survey: units.json, the page units.html, the drawing units.svg, the plots of the study if there
/// is one, and a PNG file for each synthesised image.
///
/// # Errors
/// [`ReportError::Page`] where the page can't be put together, [`ReportError::Record`] where the record can't.
pub fn units_files(
    record: &SurveyRecord,
    rows: &[PictureRow],
    made: &Made,
) -> Result<Vec<Artifact>, ReportError> {
    let file = |name: &str, bytes: Vec<u8>| Artifact {
        name: name.to_owned(),
        bytes,
    };
    let synthesised = rows.iter().filter_map(|row| {
        let picture = &row.synthesised.as_ref()?.picture;
        Some(file(&row.file(), picture_png(picture)))
    });
    let mut files: Vec<Artifact> = synthesised.collect();
    let (layer, study) = (&record.identity.layer, record.statistics.as_ref());
    let page = units_page(layer, record.images, rows, study, made)?;
    files.push(file("units.json", serde_json::to_vec(record)?));
    files.push(file("units.html", page.into_bytes()));
    files.push(file("units.svg", units_drawing(layer, rows).into_bytes()));
    if let Some(study) = study {
        files.push(file("distributions.svg", distributions(study).into_bytes()));
        let rotation = rotation(study).map(String::into_bytes);
        files.extend(rotation.map(|plot| file("rotation.svg", plot)));
    }
    Ok(files)
}

/// The top images of all rows as one drawing (SVG), each row below its name.
pub fn units_drawing(layer: &str, rows: &[PictureRow]) -> String {
    rows_drawing(&format!("The images that excite {layer} the most"), rows)
}

/// Measures that some group has.
fn measures(study: &Study) -> Vec<Measure> {
    let has = |measure: &Measure| {
        let mut groups = study.groups.iter();
        groups.any(|group| group.mean.get(*measure).is_some())
    };
    Measure::ALL.into_iter().filter(has).collect()
}

/// The mean of each measure for each kind of directions.
fn means(study: &Study) -> Table {
    let measures = measures(study);
    let mut heads = vec!["directions".to_owned(), "count".into(), "tied".into()];
    heads.extend(measures.iter().map(|measure| measure.name().to_owned()));
    let row = |group: &blindspot::units::Group| {
        let means = measures
            .iter()
            .map(|&measure| match group.mean.get(measure) {
                Some(mean) => Cell::Size(mean, None),
                None => Cell::Text("–".into()),
            });
        let counts = [
            Cell::Count(group.count as u64),
            Cell::Count(group.tied as u64),
        ];
        std::iter::once(Cell::Text(group.kind.to_string()))
            .chain(counts)
            .chain(means)
            .collect()
    };
    Table {
        title: "How alike the top images are".into(),
        note: "Means. Tied: top images chosen among equal projections, left out. Distances are root mean \
               squares."
            .into(),
        heads,
        rows: study.groups.iter().map(row).collect(),
    }
}

/// Units, random directions and controls, two by two.
fn contrasts(study: &Study) -> Table {
    let heads = [
        "comparison",
        "by",
        "probability of more",
        "95% interval",
        "rank-biserial",
        "p",
    ];
    let plain = |contrast: &&Contrast| !matches!(contrast.first, DirectionKind::Rotated(_));
    let row = |contrast: &Contrast| {
        let Contrast {
            measure,
            first,
            second,
            comparison,
        } = contrast;
        let [low, high] = comparison.interval;
        vec![
            Cell::Text(format!("{first} over {second}")),
            Cell::Text(measure.name().into()),
            Cell::Size(comparison.probability, None),
            Cell::Text(format!("{low:.3} to {high:.3}")),
            Cell::Size(comparison.rank_biserial, None),
            Cell::Text(comparison.p.map_or("–".into(), |p| match p {
                p if p < 1e-3 => format!("{p:.0e}"),
                p => format!("{p:.3}"),
            })),
        ]
    };
    Table {
        title: "Two by two".into(),
        note: "Probability that one of the first has more of the measure than one of the second, ties \
               half (0.5 is no difference); Mann-Whitney, two-sided, corrected for ties."
            .into(),
        heads: heads.map(str::to_owned).to_vec(),
        rows: study.contrasts.iter().filter(plain).map(row).collect(),
    }
}
