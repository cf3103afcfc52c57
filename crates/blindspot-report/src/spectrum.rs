//! Frame bounds of each layer.

use std::collections::BTreeMap;

use blindspot::spectrum::{LayerSpectrum, Spectra, SpectrumOptions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::Artifact;
use crate::names::file_names;
use crate::page::{Made, Section, StudyPage, study_page};
use crate::plot::{bounds_plot, spectrum_plot};
use crate::table::{Cell, Table, digits};

/// The columns of [`spectrum_table`].
pub const SPECTRUM_HEADS: [&str; 11] = [
    "layer",
    "size",
    "stride",
    "lower",
    "smallest non-zero",
    "upper",
    "error",
    "lower, circular",
    "smallest non-zero, circular",
    "upper, circular",
    "computed by",
];

/// What must be known to read [`spectrum_table`].
pub const SPECTRUM_NOTE: &str = "Lower and upper: the smallest and largest singular values of the layer as it runs \
                    (zero padding, the input's size); error: how far upper can be from a singular \
                    value. Circular: the paper's reading of convolutions. Lower is 0 where a layer \
                    loses dimensions. A bound that is not known is left out.";

/// The frame bounds of a network's layers.
pub fn spectrum_table(spectra: &Spectra) -> Table {
    let mut note = SPECTRUM_NOTE.to_owned();
    for node in &spectra.unsupported {
        note += &format!(
            " Not measured: {} ({}): {}.",
            node.layer, node.kind, node.why
        );
    }
    Table {
        title: "Frame bounds of each layer".into(),
        note,
        heads: SPECTRUM_HEADS.map(str::to_owned).to_vec(),
        rows: spectra
            .layers
            .iter()
            .map(|layer| spectrum_row(layer, None))
            .collect(),
    }
}

/// A layer's row of [`spectrum_table`]. The lower and the upper bound of a reference, if given, stand beside
/// those of the circular reading.
pub fn spectrum_row(layer: &LayerSpectrum, reference: Option<[f64; 2]>) -> Vec<Cell> {
    let sizes = |sizes: &[usize]| {
        let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
        sizes.join("x")
    };
    let (as_run, circular) = (&layer.as_run, &layer.circular);
    let own = |value| Cell::Figure(value, None);
    vec![
        Cell::Text(layer.layer.clone()),
        Cell::Text(sizes(&layer.shape)),
        Cell::Text(sizes(&layer.stride)),
        own(as_run.lower),
        own(as_run.lower_nonzero),
        own(as_run.upper),
        own(as_run.error_bound),
        own(circular.lower),
        Cell::Figure(circular.lower_nonzero, reference.map(|[lower, _]| lower)),
        Cell::Figure(circular.upper, reference.map(|[_, upper]| upper)),
        Cell::Text(layer.method.clone()),
    ]
}

/// The content of spectrum.json.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SpectrumRecord {
    /// What was measured.
    #[serde(flatten)]
    pub spectra: Spectra,
    /// What the model is called.
    pub model: String,
    /// What tells it from others.
    #[serde(flatten)]
    pub identity: SpectrumIdentity,
}

/// What tells a measurement from others.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SpectrumIdentity {
    /// How it was measured.
    pub options: SpectrumOptions,
    /// Where approaches began.
    pub seed: u64,
    /// SHA-256 of the model's file.
    pub model_sha256: String,
    /// Versions of the program, by name.
    pub versions: BTreeMap<String, String>,
}

impl SpectrumRecord {
    /// How it was made, without a command.
    ///
    /// # Errors
    /// [`serde_json::Error`] where the options are none that JSON has.
    pub fn made(&self) -> serde_json::Result<Made> {
        let SpectrumIdentity {
            options,
            seed,
            model_sha256,
            versions,
        } = &self.identity;
        let facts = vec![
            ("SHA-256 of the model".to_owned(), model_sha256.clone()),
            ("options".into(), serde_json::to_string(options)?),
            ("seed".into(), seed.to_string()),
        ];
        Ok(Made::of_facts(facts, &BTreeMap::new(), versions))
    }
}

/// What is written of a network's spectra: the record as spectrum.json, the table as spectrum.csv and spectrum.md, and of
/// each layer whose singular values are known a plot, `spectrum-LAYER.svg`.
///
/// # Errors
/// [`serde_json::Error`] where the record is none that JSON has.
pub fn spectrum_files(record: &SpectrumRecord) -> serde_json::Result<Vec<Artifact>> {
    let spectra = &record.spectra;
    let mut files = vec![Artifact {
        name: "spectrum.json".into(),
        bytes: serde_json::to_vec_pretty(record)?,
    }];
    files.extend(Artifact::of_table("spectrum", &spectrum_table(spectra)));
    let names = file_names(spectra.layers.iter().map(|layer| &*layer.layer));
    let plots = spectra.layers.iter().zip(names);
    files.extend(plots.filter_map(|(layer, name)| {
        Some(Artifact {
            name: format!("spectrum-{name}.svg"),
            bytes: spectrum_plot(layer)?.into_bytes(),
        })
    }));
    Ok(files)
}

/// The page of a network's spectra: which layer can amplify the most, the table, the plots.
///
/// # Errors
/// [`askama::Error`] where it can't be put together.
pub fn spectrum_page(model: &str, spectra: &Spectra, made: &Made) -> Result<String, askama::Error> {
    let known = spectra.layers.iter();
    let known: Vec<(&LayerSpectrum, f64)> = known
        .filter_map(|layer| Some((layer, layer.as_run.upper?)))
        .collect();
    let most = known.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    let answer = most.map_or("No layer's singular values are known.".to_owned(), |(layer, upper)| {
        format!(
            "The layer that can amplify a perturbation the most is {}, {} times; the product of the {} layers measured is {}.",
            layer.layer,
            digits(*upper),
            known.len(),
            digits(known.iter().map(|(_, upper)| upper).product())
        )
    });
    let remarks = [
        "The product bounds what the linear layers together can do to a perturbation's L2 norm, as far as the layers \
         between them amplify nothing; no input needs to reach it."
            .to_owned(),
    ];
    let table = Section {
        id: "bounds".into(),
        title: "Frame bounds of each layer".into(),
        plots: bounds_plot(spectra).into_iter().collect(),
        tables: vec![spectrum_table(spectra)],
        ..Section::default()
    };
    let plots = Section {
        id: "spectra".into(),
        title: "Singular values of each layer".into(),
        plots: spectra.layers.iter().filter_map(spectrum_plot).collect(),
        ..Section::default()
    };
    study_page(&StudyPage {
        title: &format!("Spectrum of {model}"),
        answer: &answer,
        warning: "",
        remarks: &remarks,
        sections: &[table, plots],
        words: &["perturbation", "L2 norm", "singular value"],
        made,
    })
}
