//! `blindspot spectrum`.

use std::collections::BTreeMap;

use anyhow::Context;
use blindspot::spectrum::{Spectra, SpectrumOptions, spectra};
use blindspot_data::files::{self, FileError};
use blindspot_net::onnx;
use serde::Serialize;

use super::{json, say};
use crate::args::{Common, Spectrum};
use crate::exit::{Unreadable, Usage};
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

pub(super) fn run(command: &Spectrum, common: &Common, progress: &Progress) -> anyhow::Result<()> {
    if !(command.tolerance > 0.0 && command.tolerance < 1.0) {
        return Err(Usage("--tolerance takes a number between 0 and 1".into()).into());
    }
    let bytes = files::read_limited(&command.model, onnx::MAX_BYTES).map_err(Unreadable)?;
    let name = || command.model.display().to_string();
    let network = onnx::read(&bytes).with_context(name)?.network;
    let out = &command.out;
    std::fs::create_dir_all(out).map_err(|source| FileError {
        action: "make the folder",
        path: out.clone(),
        source,
    })?;
    files::check_writable(&out.join("spectrum.json"))?;
    let options = SpectrumOptions {
        layer: command.layer.clone(),
        input_size: command.input_size,
        seed: command.seed,
        tolerance: command.tolerance,
        ..SpectrumOptions::default()
    };
    let record = Record {
        spectra: spectra(&network, &options, progress)?,
        options,
        seed: command.seed,
        model: name(),
        model_sha256: files::sha256_hex(&bytes),
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
    say(common, &table.text());
    json(common, &record)
}
