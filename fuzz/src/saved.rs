//! What attacks are given as arrays, and what they leave: masks, ranges of values, examples.

use std::io::Cursor;
use std::path::Path;

use blindspot::classifier::FnClassifier;
use blindspot::range_files::{apply_bounds, apply_mask};
use blindspot::search::Bounds;
use blindspot::transfer::{SavedExamples, Transfer};
use blindspot_data::numpy::{NpzWriter, write_array};

/// Values of an input.
const LENGTH: usize = 6;

fn bounds() -> Bounds {
    Bounds::within(blindspot::model::InputBox::default(), LENGTH)
}

/// Masks as NumPy arrays.
pub(crate) fn masks() -> Vec<Vec<u8>> {
    let mut floats = Vec::new();
    let mut bytes = Vec::new();
    write_array(&mut floats, &[2, 3], (0..6).map(|i| Ok(f64::from(i % 2))))
        .and_then(|()| write_array(&mut bytes, &[6], (0..6u8).map(Ok)))
        .expect("memory can be written to");
    vec![floats, bytes]
}

pub(crate) fn read_mask(file: &[u8], _folder: &Path) {
    let _ = apply_mask(&mut bounds(), file, &[2, 3]);
}

/// Ranges of values as NumPy archives.
pub(crate) fn ranges() -> Vec<Vec<u8>> {
    let archive = |names: &[&str]| {
        let mut file = Cursor::new(Vec::new());
        let mut npz = NpzWriter::new(&mut file);
        for (place, name) in names.iter().enumerate() {
            let values = (0..6).map(|i| Ok(place as f32 + i as f32 / 8.0));
            npz.add(name, &[2, 3], values)
                .expect("memory can be written to");
        }
        npz.finish().expect("memory can be written to");
        file.into_inner()
    };
    vec![archive(&["lower", "upper", "change"]), archive(&["change"])]
}

pub(crate) fn read_ranges(file: &[u8], _folder: &Path) {
    let _ = apply_bounds(&mut bounds(), file, &[2, 3]);
}

/// Examples, as far as `transfer` reads them.
pub(crate) fn examples() -> Vec<Vec<u8>> {
    let mut file = Cursor::new(Vec::new());
    let mut npz = NpzWriter::new(&mut file);
    npz.add("label", &[4], (0..4i64).map(|i| Ok(i % 2)))
        .and_then(|()| npz.add("original", &[4, 2], (0..8).map(|i| Ok(i as f32 / 8.0))))
        .and_then(|()| npz.add("adversarial", &[4, 2], (0..8).map(|i| Ok(i as f32 / 7.0))))
        .and_then(|()| npz.finish())
        .expect("memory can be written to");
    vec![file.into_inner()]
}

pub(crate) fn read_examples(file: &[u8], folder: &Path) {
    let path = folder.join("examples.npz");
    std::fs::write(&path, file).expect("the folder can be written to");
    let Ok(examples) = SavedExamples::open(&path) else {
        return;
    };
    let length = examples.image_len();
    if length > 1 << 16 {
        return;
    }
    let first_two = move |inputs: &[f32]| -> Vec<f32> {
        let rows = inputs.chunks_exact(length);
        rows.flat_map(|row| [row[0], row[length - 1]]).collect()
    };
    let classifier = FnClassifier::new(
        &[length],
        2,
        move |inputs: &[f32]| Ok(first_two(inputs)),
        |inputs: &[f32], _output_gradients: &[f32]| Ok(vec![0.0; inputs.len()]),
    );
    let transfer = Transfer::new().examples("made", examples);
    let _ = transfer.model("ends", &classifier).noise(0.1).run();
}
