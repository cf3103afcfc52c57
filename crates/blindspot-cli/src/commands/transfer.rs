//! `blindspot transfer`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use blindspot::transfer::{Matrix, SavedExamples, Variant, matrix};
use blindspot_data::files::{self, FileError};
use blindspot_net::{Network, onnx};
use serde::Serialize;

use super::{json, say};
use crate::args::{Common, Transfer};
use crate::exit::{Interrupted, Unreadable, Usage};
use crate::interrupt::interrupted;
use crate::progress::Progress;

/// The content of transfer.json.
#[derive(Serialize)]
struct Record {
    #[serde(flatten)]
    matrix: Matrix,
    variants: Vec<Variant>,
    seed: u64,
    models: Vec<Hashed>,
    versions: BTreeMap<String, String>,
}

/// A model, and the hash of its file.
#[derive(Serialize)]
struct Hashed {
    file: String,
    sha256: String,
}

pub(super) fn run(command: &Transfer, common: &Common, progress: &Progress) -> anyhow::Result<()> {
    let positive =
        |name: &str, values: &[f64]| match values.iter().all(|v| v.is_finite() && *v > 0.0) {
            true => Ok(()),
            false => Err(Usage(format!("{name} takes numbers above 0"))),
        };
    positive("--amplify", &command.amplify)?;
    positive("--amplify-by", &command.amplify_by)?;
    positive("--noise", &command.noise)?;
    let mut variants = vec![Variant::Plain];
    variants.extend(command.amplify.iter().copied().map(Variant::Distortion));
    variants.extend(command.amplify_by.iter().copied().map(Variant::Factor));
    variants.extend(command.noise.iter().copied().map(Variant::Noise));

    let mut examples = Vec::new();
    for (name, path) in named(&command.examples) {
        examples.push((name, SavedExamples::open(path)?));
    }
    let (mut networks, mut models): (Vec<(String, Network<f32>)>, _) = (Vec::new(), Vec::new());
    for (name, path) in named(&command.models) {
        let bytes = files::read_limited(path, onnx::MAX_BYTES).map_err(Unreadable)?;
        let model = onnx::read(&bytes)
            .map_err(|error| anyhow::Error::new(error).context(path.display().to_string()))?;
        networks.push((name.clone(), model.network.without_softmax()));
        models.push(Hashed {
            file: name,
            sha256: files::sha256_hex(&bytes),
        });
    }
    if let Some(out) = &command.out {
        std::fs::create_dir_all(out).map_err(|source| FileError {
            action: "make the folder",
            path: out.clone(),
            source,
        })?;
        files::check_writable(&out.join("transfer.json"))?;
    }
    let matrix = matrix(&examples, &networks, &variants, command.seed, progress)?;
    if interrupted() {
        return Err(Interrupted("interrupted; nothing was written".into()).into());
    }
    let table = blindspot_report::transfer_matrix(&matrix);
    let record = Record {
        matrix,
        variants,
        seed: command.seed,
        models,
        versions: BTreeMap::from([("blindspot".into(), env!("CARGO_PKG_VERSION").into())]),
    };
    if let Some(out) = &command.out {
        let file = |name: &str, bytes: &[u8]| {
            files::write_atomically(&out.join(name), |writer| writer.write_all(bytes))
        };
        file("transfer.json", &serde_json::to_vec_pretty(&record)?)?;
        file("transfer.csv", table.csv().as_bytes())?;
        file("transfer.md", table.markdown().as_bytes())?;
        file(
            "transfer.svg",
            blindspot_report::heat_map(&record.matrix).as_bytes(),
        )?;
    }
    say(common, &table.text());
    json(common, &record)
}

/// Files by their names without folder and ending; by their whole paths where two are the same.
fn named(paths: &[PathBuf]) -> Vec<(String, &Path)> {
    let stem = |path: &Path| {
        path.file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
    };
    let mut stems: Vec<_> = paths.iter().filter_map(|path| stem(path)).collect();
    stems.sort_unstable();
    stems.dedup();
    let distinct = stems.len() == paths.len();
    let name = |path: &Path| match stem(path) {
        Some(stem) if distinct => stem,
        _ => path.display().to_string(),
    };
    paths
        .iter()
        .map(|path| (name(path), path.as_path()))
        .collect()
}
