//! Stored examples against the arrays as another reader reads them.

use blindspot_data::numpy::NpzReader;
use blindspot_model::preprocess::Preprocess;
use blindspot_run::journal::{Entries, Journal, Shard};

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
            linf: i as f64 / 11.0,
            l1: i as f64 / 3.0,
            l0: i as f64,
            evaluations: 1 << (40 + i),
            gradients: 3,
            no_gradient: i % 3 == 2,
            refuted: i % 4 == 3,
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
    is!("already_wrong", bool, examples, |e| e.already_misclassified);
    is!("fooled", bool, examples, |e| e.success
        && !e.already_misclassified);
    is!("l2", f64, examples, |e| e.l2);
    is!("linf", f64, examples, |e| e.linf);
    is!("l1", f64, examples, |e| e.l1);
    is!("l0", f64, examples, |e| e.l0);
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

/// The record of examples that a journal keeps; of each whether it was wrong already, whether it succeeds,
/// its L2 norm and its certificate.
fn record(examples: &[(bool, bool, f64, f64)]) -> Record {
    let layout = Layout {
        shape: vec![4],
        eight_bit: true,
        certificate: true,
        outputs: 2,
    };
    let about = About {
        origin: Origin {
            options: SearchOptions::default(),
            provenance: Provenance {
                preprocess: Preprocess::default(),
                data: "test".into(),
                data_sha256: BTreeMap::new(),
                selection_sha256: String::new(),
                right_of: None,
                model_sha256: String::new(),
                versions: BTreeMap::new(),
            },
            answers_as_labels: false,
            ranges_sha256: BTreeMap::new(),
            epsilons: Vec::new(),
        },
        layout: layout.clone(),
        image_shape: [1, 2, 2],
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("examples.journal");
    let header = about.header(examples.len(), Shard::WHOLE);
    let mut journal = Journal::open(&path, header).unwrap();
    for (position, &(wrong, success, l2, certificate)) in examples.iter().enumerate() {
        let example = Example {
            position,
            index: position,
            label: 1,
            target: 2,
            prediction_before: if wrong { 0 } else { 1 },
            prediction: if wrong || !success { 1 } else { 2 },
            already_misclassified: wrong,
            success,
            adversarial: vec![0.0; 4],
            l2,
            linf: l2,
            l1: l2,
            l0: 1.0,
            evaluations: if wrong { 0 } else { 10 },
            gradients: if wrong { 0 } else { 5 },
            no_gradient: false,
            refuted: false,
            kkt_residual: 0.0,
            noise: 0.0,
        };
        let eight_bit = EightBit {
            levels: vec![0; 4],
            prediction: 0,
            success,
            rounded: true,
            l2: 2.0 * l2,
        };
        let content = layout.content(
            &example,
            &[0.0; 4],
            Extra {
                eight_bit: Some(&eight_bit),
                certificate: Some(certificate),
                outputs: [&[1.0, 2.0], &[3.0, 4.0]],
            },
        );
        journal.append([(position, content)].into_iter()).unwrap();
    }
    journal.close().unwrap();
    let entries = Entries::of(&path).unwrap();
    let stored = StoredExamples::new(&entries, layout).unwrap();
    Record::of(about.origin, &stored).unwrap()
}

#[test]
fn means_are_over_the_images_fooled_and_counts_say_so() {
    let examples = [
        (true, true, 0.0, 0.0),
        (false, true, 2.0, 1.0),
        (false, false, 0.0, 4.0),
        (false, true, 6.0, 1.0),
    ];
    let Record {
        summary,
        eight_bit,
        certificate,
        ..
    } = record(&examples);
    assert_eq!(
        (summary.samples, summary.right, summary.already_wrong),
        (4, 3, 1)
    );
    assert_eq!((summary.searched, summary.fooled), (3, 2));
    assert_eq!(summary.answers_target, Some(2));
    let distortion = summary.distortion.unwrap();
    assert_eq!(
        (distortion.images, distortion.l2_mean, distortion.mean),
        (2, 4.0, 2.0)
    );
    assert_eq!(
        (summary.evaluations_mean, summary.gradients_mean),
        (Some(10.0), Some(5.0))
    );
    let eight_bit = eight_bit.unwrap();
    assert_eq!((eight_bit.fooled, eight_bit.rounded), (2, 2));
    assert_eq!(eight_bit.distortion_mean, Some(4.0));
    let certificate = certificate.unwrap();
    assert_eq!(
        (certificate.mean, certificate.ratio),
        (Some(2.0), Some(0.25))
    );
}

#[test]
fn a_mean_over_nothing_is_none() {
    for examples in [
        &[][..],
        &[(true, true, 0.0, 0.0); 3],
        &[(false, false, 0.0, 1.0); 3],
    ] {
        let record = record(examples);
        let summary = record.summary;
        let searched = examples.iter().filter(|(wrong, ..)| !wrong).count();
        assert_eq!((summary.fooled, summary.searched), (0, searched));
        assert_eq!(summary.distortion, None);
        assert_eq!(summary.evaluations_mean.is_some(), searched > 0);
        assert_eq!(record.eight_bit.unwrap().distortion_mean, None);
        let certificate = record.certificate.unwrap();
        assert_eq!(certificate.mean, (searched > 0).then_some(1.0));
        assert_eq!(certificate.ratio, None);
        let json = serde_json::to_value(&record).unwrap();
        assert!(json["summary"]["distortion"].is_null(), "{json}");
        assert_eq!(serde_json::from_value::<Record>(json).unwrap(), record);
    }
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
