//! A model's file, with its hash.

use std::path::{Path, PathBuf};

use blindspot_data::files;
use blindspot_net::{Budget, Network, onnx};

use super::{Interface, ModelError};

/// Reads the network of an ONNX file as `interface` says, a Softmax at its end included, and the SHA-256 of
/// the file in hexadecimal digits.
///
/// # Errors
/// [`ModelError`] if the file can't be read or run.
pub fn read_network(
    path: &Path,
    interface: &Interface,
    budget: &Budget,
) -> Result<(Network<f32>, String), ModelError> {
    let mut options = interface.read_options(Some(path))?;
    options.budget = *budget;
    let (read, sha256) = read(path, &options)?;
    Ok((read.network, sha256))
}

/// Reads an ONNX file; gives its SHA-256 beside what is in it, as [`Model::sha256`] has it.
pub(super) fn read(
    path: &Path,
    options: &onnx::ReadOptions,
) -> Result<(onnx::Model, String), ModelError> {
    read_by(path, |bytes| {
        let read = onnx::read_with(bytes, options)?;
        let files = read.files.clone();
        Ok((read, files))
    })
}

/// Reads an ONNX file by a function that gives, beside what is in it, the names of the files beside
/// it; gives the SHA-256 of all.
pub(super) fn read_by<R>(
    path: &Path,
    read: impl FnOnce(Vec<u8>) -> Result<(R, Vec<String>), onnx::OnnxError>,
) -> Result<(R, String), ModelError> {
    if path.join("saved_model.pb").is_file() {
        return Err(unreadable(path, onnx::saved_model()));
    }
    let bytes = files::read_limited(path, onnx::MAX_BYTES)?;
    let own = files::sha256_hex(&bytes);
    let (read, beside) = read(bytes).map_err(|source| unreadable(path, source))?;
    if beside.is_empty() {
        return Ok((read, own));
    }
    let mut list = format!("{own}\n");
    for name in &beside {
        let hash = files::sha256_of(&path.with_file_name("").join(name))?;
        list += &format!("{hash}  {name}\n");
    }
    Ok((read, files::sha256_hex(list.as_bytes())))
}

pub(super) fn unreadable(path: impl Into<PathBuf>, source: onnx::OnnxError) -> ModelError {
    ModelError::Onnx {
        path: path.into(),
        source,
    }
}
