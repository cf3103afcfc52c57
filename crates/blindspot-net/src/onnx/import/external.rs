//! Numbers of tensors that are kept in files beside the model.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path};

use crate::onnx::proto::StringStringEntryProto;

/// The `length` bytes that the entries name: `location`, a file in `folder`, and in it `offset` and
/// `length` in bytes.
///
/// A model is a stranger's file; what it names is read only if it stands in its own folder, links
/// followed.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn read(
    entries: &[StringStringEntryProto],
    length: usize,
    folder: Option<&Path>,
) -> Result<Vec<u8>, String> {
    let entry = |key: &str| {
        let entry = entries.iter().find(|entry| entry.key == key);
        entry.map(|entry| entry.value.as_str())
    };
    let number = |key: &str| match entry(key) {
        Some(text) => match text.trim().parse::<u64>() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(format!("its {key} in another file is {text:?}, no number")),
        },
        None => Ok(None),
    };
    let location = entry("location").ok_or("its numbers are in another file, without a name")?;
    let folder = folder.ok_or_else(|| {
        format!("its numbers are in another file, {location:?}; read the model from its own file")
    })?;
    let relative = Path::new(location);
    let plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if !relative.components().all(plain) {
        return Err(format!(
            "its numbers are in {location:?}, which is outside of the model's folder"
        ));
    }
    let unread = |error: std::io::Error| format!("its numbers in {location:?}: {error}");
    let home = folder.canonicalize().map_err(unread)?;
    let path = folder.join(relative).canonicalize().map_err(unread)?;
    if !path.starts_with(&home) {
        return Err(format!(
            "its numbers are in {location:?}, a link that leads out of the model's folder"
        ));
    }
    if !path.is_file() {
        return Err(format!("its numbers are in {location:?}, which is no file"));
    }
    let offset = number("offset")?.unwrap_or(0);
    let mut file = File::open(&path).map_err(unread)?;
    let size = file.metadata().map_err(unread)?.len();
    let rest = size.saturating_sub(offset);
    let given = number("length")?.unwrap_or(rest);
    if given != length as u64 || rest < given {
        return Err(format!(
            "it has {length} bytes, but {location:?} holds {} of them from byte {offset}",
            given.min(rest)
        ));
    }
    file.seek(SeekFrom::Start(offset)).map_err(unread)?;
    let mut bytes = vec![0; length];
    file.read_exact(&mut bytes).map_err(unread)?;
    Ok(bytes)
}
