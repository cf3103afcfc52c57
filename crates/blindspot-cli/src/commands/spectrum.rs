//! `blindspot spectrum`.

use blindspot::model::Interface;
use blindspot::provenance::versions;
use blindspot::spectrum::Spectrum;
use blindspot_data::files;
use blindspot_report::{SpectrumIdentity, SpectrumRecord};

use super::load;
use super::out::refuse_other_results;
use super::page;
use crate::args::{self, Common};
use crate::print::{json, say};
use crate::progress::Progress;

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
    let identity = SpectrumIdentity {
        options: spectrum.options().clone(),
        seed: command.seed,
        model_sha256,
        versions: versions(),
    };
    let written = ["spectrum.json", "spectrum.csv", "spectrum.md"].map(|name| out.join(name));
    refuse_other_results(&written, &identity, command.replace.overwrite)?;
    files::check_writable(&written[0])?;
    let record = SpectrumRecord {
        spectra: spectrum.measure_with(progress)?,
        model: command.model.display().to_string(),
        identity,
    };
    let table = blindspot_report::spectrum_table(&record.spectra);
    let written = blindspot_report::spectrum_files(&record)?;
    blindspot_report::write(out, &written)?;
    if let Some(report) = &command.report {
        let made = record.made()?.by(page::command());
        let page = blindspot_report::spectrum_page(&record.model, &record.spectra, &made)?;
        page::write(report, &page)?;
    }
    say(common, &table.text())?;
    json(common, &record)
}
