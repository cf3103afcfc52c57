//! Well-known networks: the graphs that come with ONNX's own tests, and a classifier of photographs.

use std::path::{Path, PathBuf};

use blindspot_net::{Evaluator, argmax, onnx};
use blindspot_testing::{data_dir, python, run_python, skip};
use prost::Message;

/// The graphs, and the relative difference that ONNX's tests allow (`case/model/__init__.py`).
const LIGHT: [(&str, f32); 9] = [
    ("bvlc_alexnet", 1e-3),
    ("densenet121", 2e-3),
    ("inception_v1", 1e-3),
    ("inception_v2", 1e-3),
    ("resnet50", 1e-3),
    ("shufflenet", 1e-3),
    ("squeezenet", 1e-3),
    ("vgg19", 1e-3),
    ("zfnet512", 1e-3),
];

/// The part of ONNX's `TensorProto` that the outputs use.
#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

fn tensor(path: &Path) -> Vec<f32> {
    let tensor = Tensor::decode(&std::fs::read(path).unwrap()[..]).unwrap();
    let words = tensor.raw_data.chunks_exact(4);
    words
        .map(|word| f32::from_le_bytes(word.try_into().unwrap()))
        .collect()
}

#[test]
fn light_graphs_give_the_outputs_that_come_with_them() {
    let Some(folder) = data_dir().map(|data| data.join("models/onnx-light")) else {
        skip!("there is no data folder");
    };
    if !folder.is_dir() {
        skip!("there is no {}", folder.display());
    }
    for (name, tolerance) in LIGHT {
        let model = onnx::read_file(&folder.join(format!("light_{name}.onnx"))).unwrap();
        let expected = tensor(&folder.join(format!("light_{name}_output_0.pb")));
        let network = model.network;
        assert_eq!(network.input_shape(), [3, 224, 224], "{name}");
        // The input of ONNX's tests (`generate_dummy_data`).
        let count = network.input_len();
        let mut evaluator = Evaluator::new(&network);
        for (i, value) in evaluator.input(1).iter_mut().enumerate() {
            *value = (i as f64 / count as f64) as f32;
        }
        let output = evaluator.forward();
        assert_eq!(output.len(), expected.len(), "{name}");
        for (&ours, &theirs) in output.iter().zip(&expected) {
            let allowed = 1e-7 + tolerance * theirs.abs();
            assert!((ours - theirs).abs() <= allowed, "{name}: {ours} {theirs}");
        }
    }
}

/// The central 224x224 of a photograph, as [3, 224, 224] in [0, 1].
fn crop(path: &Path) -> Vec<f32> {
    let image = image::open(path).unwrap().into_rgb8();
    let (left, top) = ((image.width() - 224) / 2, (image.height() - 224) / 2);
    let pixel = |c: usize, y, x| f32::from(image.get_pixel(left + x, top + y)[c]) / 255.0;
    let places = (0..3).flat_map(|c| (0..224).flat_map(move |y| (0..224).map(move |x| (c, y, x))));
    places.map(|(c, y, x)| pixel(c, y, x)).collect()
}

/// Logits of crops by onnxruntime: `sys.argv` is the model, the crops and where the logits go.
const LOGITS: &str = "import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
x = numpy.fromfile(sys.argv[2], '<f4').reshape(-1, 3, 224, 224)
y = [session.run(None, {session.get_inputs()[0].name: x[i:i+1]})[0] for i in range(len(x))]
numpy.concatenate(y).astype('<f4').tofile(sys.argv[3])";

/// 40 photographs; with `BLINDSPOT_ALL_IMAGES` set, all 1,000 of them.
#[test]
fn efficientnet_gives_the_logits_of_onnxruntime() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let Some(data) = data_dir() else {
        skip!("there is no data folder");
    };
    let (model, samples) = (
        data.join("models/efficientnet_lite0.onnx"),
        data.join("imagenet-samples"),
    );
    if !model.is_file() || !samples.is_dir() {
        skip!("there is no {} or {}", model.display(), samples.display());
    }
    let all = std::env::var_os("BLINDSPOT_ALL_IMAGES").is_some();
    let entries = std::fs::read_dir(&samples).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 1000);
    let step = if all { 1 } else { 25 };
    let chosen: Vec<(usize, &PathBuf)> = files.iter().enumerate().step_by(step).collect();

    let network = onnx::read_file(&model).unwrap().network;
    let crops: Vec<f32> = chosen.iter().flat_map(|(_, path)| crop(path)).collect();
    let folder = tempfile::tempdir().unwrap();
    let (given, answer) = (folder.path().join("crops"), folder.path().join("logits"));
    let bytes: Vec<u8> = crops.iter().flat_map(|x| x.to_le_bytes()).collect();
    std::fs::write(&given, bytes).unwrap();
    run_python(LOGITS, [&model, &given, &answer], "").unwrap();
    let words = std::fs::read(&answer).unwrap();
    let words = words.chunks_exact(4);
    let theirs: Vec<f32> = words
        .map(|word| f32::from_le_bytes(word.try_into().unwrap()))
        .collect();

    let mut evaluator = Evaluator::new(&network);
    let (mut right, mut farthest) = (0, 0f32);
    let images = crops.chunks_exact(network.input_len());
    for ((&(class, path), image), theirs) in
        chosen.iter().zip(images).zip(theirs.chunks_exact(1000))
    {
        evaluator.input(1).copy_from_slice(image);
        let ours = evaluator.forward();
        let difference = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs());
        farthest = difference.fold(farthest, f32::max);
        assert_eq!(argmax(ours), argmax(theirs), "{}", path.display());
        right += usize::from(argmax(ours) == class);
    }
    println!(
        "{right} of {} right, logits differ by at most {farthest:e}",
        chosen.len()
    );
    assert!(farthest < 1e-3, "{farthest}");
    // What onnxruntime gets right of all: 869.
    assert!(
        right * 1000 >= chosen.len() * if all { 869 } else { 800 },
        "{right}"
    );
}
