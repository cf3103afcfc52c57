//! `blindspot spectrum`.

use std::collections::BTreeMap;

use blindspot::model::Interface;
use blindspot::spectrum::{Spectra, Spectrum, SpectrumOptions};
use blindspot_data::files;
use serde::Serialize;

use super::load;
use super::page;
use crate::args::{self, Common};
use crate::print::{json, say};
use crate::progress::Progress;

/// The content of spectrum.json.
#[derive(Serialize)]
struct Record {
    #[serde(flatten)]
    spectra: Spectra,
    options: SpectrumOptions,
    seed: u64,
    model: String,
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
    files::make_folder(out)?;
    files::check_writable(&out.join("spectrum.json"))?;
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
    let record = Record {
        spectra: spectrum.measure_with(progress)?,
        options: spectrum.options().clone(),
        seed: command.seed,
        model: command.model.display().to_string(),
        model_sha256,
        versions: BTreeMap::from([("blindspot".into(), env!("CARGO_PKG_VERSION").into())]),
    };
    let table = blindspot_report::spectrum_table(&record.spectra);
    let file = |name: &str, bytes: &[u8]| {
        files::write_atomically(&out.join(name), |writer| writer.write_all(bytes))
    };
    file("spectrum.json", &serde_json::to_vec_pretty(&record)?)?;
    file("spectrum.csv", table.csv().as_bytes())?;
    file("spectrum.md", table.markdown().as_bytes())?;
    for layer in &record.spectra.layers {
        if let Some(plot) = blindspot_report::spectrum_plot(layer) {
            let name = blindspot_report::file_name(&layer.layer);
            file(&format!("spectrum-{name}.svg"), plot.as_bytes())?;
        }
    }
    if let Some(report) = &command.report {
        let facts = vec![
            (
                "SHA-256 of the model".to_owned(),
                record.model_sha256.clone(),
            ),
            ("options".into(), serde_json::to_string(&record.options)?),
            ("seed".into(), record.seed.to_string()),
        ];
        let made = page::made(facts, &BTreeMap::new(), &record.versions);
        let page = blindspot_report::spectrum_page(&record.model, &record.spectra, &made)?;
        page::write(report, &page)?;
    }
    say(common, &table.text())?;
    json(common, &record)
}
