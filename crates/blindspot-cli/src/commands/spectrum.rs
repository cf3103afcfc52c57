//! `blindspot spectrum`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use blindspot::model::Interface;
use blindspot::provenance::versions;
use blindspot::run::journal::Work;
use blindspot::spectrum::{LayerSpectrum, Spectra, Spectrum, SpectrumError};
use blindspot_report::{SpectrumIdentity, SpectrumRecord};
use serde::{Deserialize, Serialize};

use super::out::{listing, refuse_other_results};
use super::part::Part;
use super::{load, page};
use crate::args::{self, Common};
use crate::interrupt::interrupted;
use crate::print::{self, json, say};
use crate::progress::Progress;

/// Bytes of a journal's entry, a layer as JSON with spaces behind it: it has 1,024 numbers of at most 24 bytes, and
/// names.
const ENTRY: usize = 1 << 15;

/// What a journal of layers says in its header.
#[derive(Serialize, Deserialize)]
struct About {
    #[serde(flatten)]
    identity: SpectrumIdentity,
}

impl Work for About {
    const KIND: &'static str = "spectrum";
    const ITEMS: &'static str = "layers";

    fn bytes(&self) -> usize {
        ENTRY
    }
}

pub(super) fn run(
    command: &args::Spectrum,
    common: &Common,
    progress: &Progress,
) -> anyhow::Result<()> {
    let (interface, budget) = (Interface::from(&command.interface), common.budget());
    let (network, model_sha256) = load::network(&command.model, &interface, &budget)?;
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
    let written =
        ["spectrum.json", "spectrum.csv", "spectrum.md"].map(|name| command.out.join(name));
    refuse_other_results(&written, &identity, command.replace.overwrite)?;
    let about = About { identity };
    let layers = spectrum.layers()?.len();
    let mut part = Part::open(&about, layers, None, &written[0], common)?;
    let measured = measure(&spectrum, &mut part, progress)?;
    part.end(Ok(measured.is_some()), common, |_| {
        // Some of the layers are no spectrum of the network.
        let Some(spectra) = measured.filter(|_| !interrupted()) else {
            return Ok(());
        };
        let record = SpectrumRecord {
            spectra,
            model: command.model.display().to_string(),
            identity: about.identity,
        };
        write(&record, command, common)
    })?;
    Ok(())
}

/// Measures the layers, `None` if that is interrupted. Each is kept as it comes, and what an earlier run has kept is not
/// measured again.
fn measure(
    spectrum: &Spectrum<'_>,
    part: &mut Part,
    progress: &Progress,
) -> anyhow::Result<Option<Spectra>> {
    let known = part.entries()?;
    let contents = known.positions().zip(known.bytes(0..ENTRY)?);
    let known = contents
        .map(|(place, content)| Ok((place, serde_json::from_slice(&content?)?)))
        .collect::<anyhow::Result<BTreeMap<usize, LayerSpectrum>>>()?;
    let kept = Mutex::new((part, Ok(())));
    let keep = |place: usize, layer: &LayerSpectrum| {
        let mut entry = serde_json::to_vec(layer).unwrap_or_default();
        // One of endless names is measured again.
        if (1..=ENTRY).contains(&entry.len()) {
            entry.resize(ENTRY, b' ');
            let (part, failed) = &mut *kept.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = part.keep(std::iter::once((place, entry))) {
                *failed = Err(error);
            }
        }
    };
    let measured = spectrum.measure_rest(&known, &keep, progress);
    kept.into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .1?;
    match measured {
        Ok(spectra) => Ok(Some(spectra)),
        Err(SpectrumError::Cancelled) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Writes what was measured.
fn write(record: &SpectrumRecord, command: &args::Spectrum, common: &Common) -> anyhow::Result<()> {
    let table = blindspot_report::spectrum_table(&record.spectra);
    let written = blindspot_report::spectrum_files(record)?;
    let files = blindspot_report::write(&command.out, &written)?;
    if let Some(report) = &command.report {
        let made = record.made()?.by(page::command());
        let page = blindspot_report::spectrum_page(&record.model, &record.spectra, &made)?;
        page::write(report, &page)?;
    }
    say(common, &print::table(&table))?;
    let page = command.report.as_deref().map(page::file);
    say(common, &listing(&files, page.as_deref()))?;
    json(common, record)
}
