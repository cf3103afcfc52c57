//! Stored examples against the arrays as another reader reads them.

use blindspot_data::numpy::NpzReader;

use super::*;
use crate::search::{EightBit, Example};

#[test]
fn arrays_hold_what_the_examples_are() {
    let shape = [3, 2];
    let count = 5;
    let examples: Vec<Example> = (0..count)
        .map(|i| Example {
            position: i,
            index: 10 + i,
            label: i,
            target: i + 1,
            prediction_before: i + 2,
            prediction: i + 3,
            already_misclassified: i % 2 == 0,
            success: i % 3 == 0,
            adversarial: (0..6).map(|j| (i * 6 + j) as f32 / 100.0).collect(),
            l2: i as f64 / 7.0,
            evaluations: 1 << (40 + i),
            gradients: 3,
            no_gradient: i % 3 == 2,
            kkt_residual: 1e-9 * i as f64,
            noise: 1e-6 * i as f64,
        })
        .collect();
    let originals: Vec<f32> = (0..6 * count).map(|i| i as f32).collect();
    let eight_bit: Vec<EightBit> = (0..count)
        .map(|i| EightBit {
            levels: (0..6).map(|j| (40 * j + i) as u8).collect(),
            prediction: 20 + i,
            success: i % 2 == 1,
            rounded: i == 1,
            l2: 2.0 * i as f64,
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("examples.npz");
    write_arrays(&path, &examples, &originals, Some(&eight_bit), &shape).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

    let mut archive = NpzReader::new(std::fs::File::open(&path).unwrap()).unwrap();
    macro_rules! read {
        ($name:literal, $kind:ty, $shape:expr) => {{
            let array = archive.by_name($name).unwrap().unwrap();
            assert_eq!(array.shape(), $shape);
            array.into_vec::<$kind>().unwrap()
        }};
    }
    macro_rules! is {
        ($name:literal, $kind:ty, $of:expr, $value:expr) => {
            let expected: Vec<$kind> = $of.iter().map($value).collect();
            assert_eq!(read!($name, $kind, &[5]), expected, $name);
        };
    }
    is!("index", i64, examples, |e| e.index as i64);
    is!("label", i64, examples, |e| e.label as i64);
    is!("target", i64, examples, |e| e.target as i64);
    is!("prediction_before", i64, examples, |e| e.prediction_before
        as i64);
    is!("prediction_after", i64, examples, |e| e.prediction as i64);
    is!("evaluations", i64, examples, |e| e.evaluations as i64);
    is!("gradients", i64, examples, |e| e.gradients as i64);
    is!("success", bool, examples, |e| e.success);
    is!("l2", f64, examples, |e| e.l2);
    is!("distortion", f64, examples, |e| e.distortion());
    is!("kkt", f64, examples, |e| e.kkt_residual);
    is!("prediction_8bit", i64, eight_bit, |e| e.prediction as i64);
    is!("success_8bit", bool, eight_bit, |e| e.success);
    is!("l2_8bit", f64, eight_bit, |e| e.l2);
    assert_eq!(read!("original", f32, &[5, 3, 2]), originals);
    let adversarial: Vec<f32> = examples
        .iter()
        .flat_map(|e| e.adversarial.clone())
        .collect();
    assert_eq!(read!("adversarial", f32, &[5, 3, 2]), adversarial);
    let levels: Vec<u8> = eight_bit.iter().flat_map(|e| e.levels.clone()).collect();
    assert_eq!(read!("adversarial_8bit", u8, &[5, 3, 2]), levels);
}

#[test]
fn a_file_named_like_a_journal_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("examples.npz");
    let own = folder.path().join("examples.npz.journal");
    std::fs::write(&own, "a diary").unwrap();
    write_arrays(&path, &[], &[], None, &[4]).unwrap();
    assert_eq!(std::fs::read_to_string(&own).unwrap(), "a diary");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}
