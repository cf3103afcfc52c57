//! Examples as arrays that any NumPy reads.

use std::io;
use std::path::Path;

use blindspot_data::files::{self, FileError};
use blindspot_data::numpy::NpzWriter;
use blindspot_run::journal::{Entries, Header, Journal, JournalError, Shard};

use super::stored::{Extra, Layout, Numbers, StoredExamples};
use super::{Origin, Record, write_record};
use crate::search::{EightBit, Example};

/// Writes the arrays to `path`, one entry an example: index, label, target, prediction_before,
/// prediction_after, evaluations, gradients (i64), success, already_wrong, fooled, no_gradient, refuted
/// (bool), original, adversarial (f32, each of the layout's shape), l2, linf, l1, l0, distortion, kkt,
/// noise and, where there are some, certificate (f64). Of the images in 8 bits, where there are some:
/// prediction_8bit (i64), success_8bit (bool), l2_8bit (f64), and adversarial_8bit (u8, 255 standing for
/// 1). Of goals for a model's outputs: outputs_before and outputs_after (f32), a row an example. Memory does not grow with the images but for their numbers.
///
/// # Errors
/// [`JournalError`], also where a journal can't be read to its end.
pub fn write_stored(path: &Path, examples: &StoredExamples<'_>) -> Result<(), JournalError> {
    files::write_atomically(path, |sink| {
        let mut npz = NpzWriter::new(sink);
        let count = [examples.len() as u64];
        let root = (examples.layout().input_len() as f64).sqrt();
        let numbers = examples.numbers().map_err(io::Error::other)?;
        let numbers = numbers.collect::<io::Result<Vec<Numbers>>>()?;
        macro_rules! add {
            ($name:literal, $value:expr) => {
                npz.add($name, &count, numbers.iter().map($value).map(Ok))?
            };
        }
        add!("index", |e| e.index as i64);
        add!("label", |e| i64::from(e.label));
        add!("target", |e| i64::from(e.target));
        add!("prediction_before", |e| i64::from(e.before));
        add!("prediction_after", |e| i64::from(e.after));
        add!("evaluations", |e| e.evaluations as i64);
        add!("gradients", |e| e.gradients as i64);
        add!("success", |e| e.success);
        add!("already_wrong", |e| e.wrong_before);
        add!("fooled", |e| e.success && !e.wrong_before);
        add!("no_gradient", |e| e.no_gradient);
        add!("refuted", |e| e.refuted);
        add!("l2", |e| e.l2);
        add!("linf", |e| e.linf);
        add!("l1", |e| e.l1);
        add!("l0", |e| e.l0);
        add!("distortion", move |e| e.l2 / root);
        add!("kkt", |e| e.kkt);
        add!("noise", |e| e.noise);
        if examples.layout().certificate {
            add!("certificate", |e| e.certificate);
        }
        let axes = examples.layout().shape.iter().map(|&axis| axis as u64);
        let images: Vec<u64> = count.into_iter().chain(axes).collect();
        npz.add(
            "original",
            &images,
            examples.originals().map_err(io::Error::other)?,
        )?;
        npz.add(
            "adversarial",
            &images,
            examples.adversarial().map_err(io::Error::other)?,
        )?;
        if examples.layout().eight_bit {
            let saved = examples.eight_bit_numbers().map_err(io::Error::other)?;
            let saved = saved.collect::<io::Result<Vec<_>>>()?;
            let answers = saved.iter().map(|e| Ok(i64::from(e.after)));
            npz.add("prediction_8bit", &count, answers)?;
            add!("success_8bit", |e| e.eight_bit_success);
            npz.add("l2_8bit", &count, saved.iter().map(|e| Ok(e.l2)))?;
            let levels = examples.levels().map_err(io::Error::other)?;
            let levels = levels.flat_map(|image| match image {
                Ok(levels) => levels.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            });
            npz.add("adversarial_8bit", &images, levels)?;
        }
        if examples.layout().outputs > 0 {
            let axes = [count[0], examples.layout().outputs as u64];
            for (name, adversarial) in [("outputs_before", false), ("outputs_after", true)] {
                let outputs = examples.outputs(adversarial).map_err(io::Error::other)?;
                npz.add(name, &axes, outputs)?;
            }
        }
        npz.finish()
    })
    .map_err(JournalError::from)
}

/// Writes the arrays of examples held in memory to `path`, as [`write_stored`] does. `originals` are
/// the original images, one after the other, of the axes `shape`. What is written goes through a
/// temporary folder beside `path`; no file that is there is touched.
///
/// # Errors
/// [`JournalError`] if a file can't be written.
pub fn write_arrays(
    path: &Path,
    examples: &[Example],
    originals: &[f32],
    eight_bit: Option<&[EightBit]>,
    shape: &[usize],
) -> Result<(), JournalError> {
    let layout = Layout {
        shape: shape.to_vec(),
        eight_bit: eight_bit.is_some(),
        certificate: false,
        outputs: 0,
    };
    let rows = examples
        .iter()
        .zip(originals.chunks_exact(layout.input_len()));
    let rows = rows.enumerate().map(|(i, (example, original))| {
        let eight_bit = eight_bit.map(|images| &images[i]);
        let extra = Extra {
            eight_bit,
            ..Extra::default()
        };
        layout.content(example, original, extra)
    });
    write_found(path, &layout, rows, None)
}

/// Writes the arrays of examples to `path`, as [`write_arrays`] does, from their contents
/// ([`Layout::content`]); and the record of examples from `origin`, if it is given, beside them, as JSON of
/// the same name.
///
/// # Errors
/// [`JournalError`] if a file can't be written.
pub fn write_found(
    path: &Path,
    layout: &Layout,
    contents: impl ExactSizeIterator<Item = Vec<u8>>,
    origin: Option<Origin>,
) -> Result<(), JournalError> {
    with_stored(path, layout, contents, |stored| {
        write_stored(path, stored)?;
        if let Some(origin) = origin {
            let record = Record::of(origin, stored)?;
            write_record(&path.with_extension("json"), &record)?;
        }
        Ok(())
    })
}

/// Does with examples, given by their contents ([`Layout::content`]), what `work` does with stored ones. They are kept
/// in a temporary folder beside `path` meanwhile; no file that is there is touched.
///
/// # Errors
/// [`JournalError`] if they can't be kept, and those of `work`.
pub fn with_stored<R, E: From<JournalError>>(
    path: &Path,
    layout: &Layout,
    contents: impl ExactSizeIterator<Item = Vec<u8>>,
    work: impl FnOnce(&StoredExamples<'_>) -> Result<R, E>,
) -> Result<R, E> {
    let header = Header {
        kind: "examples".into(),
        about: serde_json::Value::Null,
        positions: contents.len(),
        bytes: layout.bytes(),
        shard: Shard::WHOLE,
    };
    let beside = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = tempfile::tempdir_in(beside.unwrap_or(Path::new("."))).map_err(|source| {
        JournalError::from(FileError {
            action: "write",
            path: path.to_owned(),
            source,
        })
    })?;
    let journal_path = folder.path().join("examples.journal");
    let mut journal = Journal::open(&journal_path, header)?;
    journal.append(contents.enumerate())?;
    let entries = Entries::of(&journal_path)?;
    work(&StoredExamples::new(&entries, layout.clone())?)
}
