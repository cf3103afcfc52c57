//! `blindspot spectrum`.

use std::collections::BTreeMap;

use blindspot::model::Interface;
use blindspot::provenance::versions;
use blindspot::spectrum::{Spectra, Spectrum, SpectrumOptions};
use blindspot_data::files;
use serde::Serialize;

use super::load;
use super::out::refuse_other_results;
use super::page;
use crate::args::{self, Common};
use crate::print::{json, say};
use crate::progress::Progress;

/// The content of spectrum.json.
#[derive(Serialize)]
struct Record {
    #[serde(flatten)]
    spectra: Spectra,
    model: String,
    #[serde(flatten)]
    identity: Identity,
}

/// What tells a measurement from others.
#[derive(Serialize)]
struct Identity {
    options: SpectrumOptions,
    seed: u64,
    model_sha256: String,
    versions: BTreeMap<String, String>,
}

pub(super) fn run(
    command: &args::Spectrum,
    common: &Common,
    progress: &Progress,
) -> anyhow::Result<()> {
    let (interface, budget) = (Interface::from(&command.interface), common.budget());
    let (network, model_sha256) = load::network(&command.model, &interface, &budget)?;
    let out = &command.out;
    page::check(command.report.as_deref())?;
    let mut spectrum = Spectrum::new(&network)
        .budget(budget)
        .seed(command.seed)
        .tolerance(command.tolerance);
    if let Some(layer) = &command.layer {
        spectrum = spectrum.layer(layer);
    }
    if let Some(size) = command.input_size {
        spectrum = spectrum.input_size(size);
    }
    let identity = Identity {
        options: spectrum.options().clone(),
        seed: command.seed,
        model_sha256,
        versions: versions(),
    };
    let written = ["spectrum.json", "spectrum.csv", "spectrum.md"].map(|name| out.join(name));
    refuse_other_results(&written, &identity, command.replace.overwrite)?;
    files::check_writable(&written[0])?;
    let record = Record {
        spectra: spectrum.measure_with(progress)?,
        model: command.model.display().to_string(),
        identity,
    };
    let table = blindspot_report::spectrum_table(&record.spectra);
    let file = |name: &str, bytes: &[u8]| {
        files::write_atomically(&out.join(name), |writer| writer.write_all(bytes))
    };
    file("spectrum.json", &serde_json::to_vec_pretty(&record)?)?;
    file("spectrum.csv", table.csv().as_bytes())?;
    file("spectrum.md", table.markdown().as_bytes())?;
    let layers = &record.spectra.layers;
    let names = blindspot_report::file_names(layers.iter().map(|layer| &*layer.layer));
    for (layer, name) in layers.iter().zip(names) {
        if let Some(plot) = blindspot_report::spectrum_plot(layer) {
            file(&format!("spectrum-{name}.svg"), plot.as_bytes())?;
        }
    }
    if let Some(report) = &command.report {
        let Identity {
            options,
            seed,
            model_sha256,
            versions,
        } = &record.identity;
        let facts = vec![
            ("SHA-256 of the model".to_owned(), model_sha256.clone()),
            ("options".into(), serde_json::to_string(options)?),
            ("seed".into(), seed.to_string()),
        ];
        let made = page::made(facts, &BTreeMap::new(), versions);
        let page = blindspot_report::spectrum_page(&record.model, &record.spectra, &made)?;
        page::write(report, &page)?;
    }
    say(common, &table.text())?;
    json(common, &record)
}
