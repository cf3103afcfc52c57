//! Top lists beside a brute-force computation from onnxruntime's activations.

use std::collections::BTreeMap;

use blindspot::inputs::InMemory;
use blindspot::run::journal::{Entries, Header, Journal, Shard};
use blindspot::run::monitor::Unwatched;
use blindspot::units::{
    ActivationReader, Context, Directions, Layer, LayerEvaluator, Plan, Reduction, TopImages,
    UnitsError, UnitsOptions, random_directions, survey, top_images,
};
use blindspot_net::{Network, onnx};
use blindspot_paper::architectures::conv;
use blindspot_paper::train::Recipe;
use blindspot_testing::{Noise, python, run_python, skip};
use serde::Deserialize;

const IMAGES: usize = 60;
const TOP: usize = 9;

/// Numbers in [0, 1); every seventh image is the one before it again, so that there are ties.
fn images(length: usize) -> InMemory {
    let mut values = Noise::new(12345).units(IMAGES * length);
    for image in (7..IMAGES).step_by(7) {
        let (before, after) = values.split_at_mut(image * length);
        after[..length].copy_from_slice(&before[(image - 1) * length..]);
    }
    InMemory::new(values, length)
}

fn labels() -> Vec<usize> {
    (0..IMAGES).map(|image| image * image % 4).collect()
}

/// Reads the model, images, shape, layer, directions and how to reduce; writes for each unit and
/// direction the first and last images, their projections and positions, and the selectivity.
const SCRIPT: &str = r"
import json, sys
import numpy as np, onnx, onnxruntime
ask = json.load(open(sys.argv[1]))
model = onnx.load(sys.argv[2])
del model.graph.output[:]
model.graph.output.append(onnx.ValueInfoProto(name=ask['layer']))
session = onnxruntime.InferenceSession(model.SerializeToString())
x = np.fromfile(sys.argv[3], '<f4').reshape([-1] + ask['shape'])
name = session.get_inputs()[0].name
# One image at a time: equal images are equal to the bit then.
phi = np.concatenate([session.run(None, {name: x[i:i+1]})[0] for i in range(len(x))])
phi = phi.reshape(len(x), phi.shape[1], -1).astype('f8')
maps = [phi[:, u] for u in range(phi.shape[1])]
for v in ask['directions']:
    v = np.array(v, 'f4').astype('f8')
    maps.append((phi * v[None, :, None]).sum(1))
labels = np.array(ask['labels'])
answers = []
for m in maps:
    value, place = (m.mean(1), 0 * m.argmax(1)) if ask['mean'] else (m.max(1), m.argmax(1))
    # Sums in other orders differ in the last bits; equal images don't.
    value = value.round(9)
    top, low = np.argsort(-value, kind='stable'), np.argsort(value, kind='stable')
    k = ask['top']
    best = None
    if value.max() > value.min():
        best = max(np.corrcoef(value, labels == c)[0, 1] for c in set(ask['labels']))
    answers.append(dict(top=top[:k].tolist(), value=value[top[:k]].tolist(), place=place[top[:k]].tolist(),
        low=low[:k].tolist(), low_value=value[low[:k]].tolist(),
        tied=bool(value[top[k]] == value[top[k-1]]), selectivity=best))
json.dump(answers, sys.stdout)
";

#[derive(Deserialize)]
struct Answer {
    top: Vec<usize>,
    value: Vec<f64>,
    place: Vec<usize>,
    low: Vec<usize>,
    low_value: Vec<f64>,
    tied: bool,
    selectivity: Option<f64>,
}

fn found(
    network: &Network<f32>,
    layer: &Layer,
    directions: &Directions,
    reduce: Reduction,
    top: usize,
) -> Vec<TopImages> {
    let options = UnitsOptions::default().top(top).reduce(reduce);
    let images = images(network.input_len());
    let labels = labels();
    let context = Context::new(network, layer, &images).with_labels(Some(&labels));
    top_images(&context, directions, options, &Unwatched).unwrap()
}

/// All units of a layer, and three directions.
fn directions(layer: &Layer) -> Directions {
    Directions {
        units: (0..layer.units).collect(),
        vectors: random_directions(3, layer.units, 7),
    }
}

fn agrees(network: &Network<f32>, name: &str, reduce: Reduction) {
    let layer = Layer::find(network, name).unwrap();
    let directions = directions(&layer);
    let folder = tempfile::tempdir().unwrap();
    let [ask, model, values] = ["ask", "model", "values"].map(|name| folder.path().join(name));
    let question = serde_json::json!({
        "layer": name, "shape": network.input_shape(), "directions": directions.vectors,
        "labels": labels(), "mean": reduce == Reduction::Mean, "top": TOP,
    });
    std::fs::write(&ask, question.to_string()).unwrap();
    std::fs::write(&model, onnx::write(network, &BTreeMap::new())).unwrap();
    let images = images(network.input_len());
    let bytes: Vec<u8> = images
        .values()
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    std::fs::write(&values, bytes).unwrap();
    let answers = run_python(SCRIPT, [&ask, &model, &values], "").unwrap();
    let answers: Vec<Answer> = serde_json::from_str(&answers).unwrap();

    let ours = found(network, &layer, &directions, reduce, TOP);
    assert_eq!(ours.len(), answers.len());
    let close = |a: &[f32], b: &[f64]| {
        let pairs = a.iter().zip(b);
        pairs.for_each(|(&a, &b)| assert!((f64::from(a) - b).abs() < 1e-5 * (1.0 + b.abs())));
    };
    for (direction, (ours, theirs)) in ours.iter().zip(&answers).enumerate() {
        let at = format!("{name} {reduce:?}, direction {direction}");
        assert_eq!(ours.top.images, theirs.top, "{at}");
        assert_eq!(ours.lowest.images, theirs.low, "{at}");
        assert_eq!(ours.top.positions, theirs.place, "{at}");
        assert_eq!(ours.top.tied, theirs.tied, "{at}");
        close(&ours.top.activations, &theirs.value);
        close(&ours.lowest.activations, &theirs.low_value);
        match (ours.selectivity, theirs.selectivity) {
            (Some(a), Some(b)) => assert!((a - b).abs() < 1e-4, "{at}: {a} {b}"),
            pair => assert_eq!(pair, (None, None), "{at}"),
        }
    }
}

/// A fully connected network that has been trained a little on random numbers.
fn fully_connected() -> Network<f32> {
    let inputs = images(784);
    let labels: Vec<usize> = (0..IMAGES).map(|i| i % 10).collect();
    let recipe = Recipe::named("FC100-100-10").unwrap();
    let trained = recipe.with_iterations(3).train(&inputs, &labels, 0);
    trained.unwrap().network
}

#[test]
fn top_lists_are_numpys_on_a_fully_connected_network() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let network = fully_connected();
    for layer in Layer::all(&network) {
        agrees(&network, &layer.name, Reduction::Max);
    }
}

#[test]
fn top_lists_are_numpys_on_a_convolutional_network() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let network = conv(3);
    for layer in Layer::all(&network) {
        agrees(&network, &layer.name, Reduction::Max);
        if !layer.positions.is_empty() {
            agrees(&network, &layer.name, Reduction::Mean);
        }
    }
}

#[test]
fn bits_depend_neither_on_threads_nor_on_what_else_is_asked() {
    let network = conv(3);
    let layer = Layer::find(&network, "pool1").unwrap();
    let all = directions(&layer);
    let whole = found(&network, &layer, &all, Reduction::Max, 5);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    let alone = pool.install(|| found(&network, &layer, &all, Reduction::Max, 5));
    assert_eq!(whole, alone);
    let units = Directions {
        units: vec![31, 4],
        vectors: Vec::new(),
    };
    let some = found(&network, &layer, &units, Reduction::Max, 5);
    assert_eq!(some, [whole[31].clone(), whole[4].clone()]);
}

#[test]
fn what_cannot_be_is_said() {
    let network = conv(3);
    let error = Layer::find(&network, "hiden1").unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("did you mean `hidden1`?") && text.contains("pool1"),
        "{text}"
    );

    let layer = Layer::find(&network, "hidden1").unwrap();
    let ask = |units: Vec<usize>, vectors, top, images: &InMemory| {
        let directions = Directions { units, vectors };
        let options = UnitsOptions::default().top(top);
        let context = Context::new(&network, &layer, images);
        top_images(&context, &directions, options, &Unwatched)
    };
    let good = images(784);
    let is = |result: Result<Vec<TopImages>, UnitsError>, words: &str| {
        let text = result.unwrap_err().to_string();
        assert!(text.contains(words), "{text}");
    };
    is(
        ask(vec![128], vec![], 3, &good),
        "has the units 0 to 127, no unit 128",
    );
    is(ask(vec![], vec![vec![1.0; 5]], 3, &good), "5 values");
    is(ask(vec![], vec![], 3, &good), "at least one");
    is(ask(vec![0], vec![], 0, &good), "at least 1");
    is(
        ask(vec![0], vec![], 3, &InMemory::new(vec![], 784)),
        "empty",
    );
    is(
        ask(vec![0], vec![], 3, &InMemory::new(vec![0.0; 20], 10)),
        "an image has 10",
    );
    let mut broken = good.values().to_vec();
    broken[3 * 784..4 * 784].fill(f32::NAN);
    is(
        ask(vec![0], vec![], 3, &InMemory::new(broken, 784)),
        "not finite for image 3",
    );

    // Images that are all the same: nothing leads, and nothing is NaN.
    let same = ask(vec![1], vec![], 3, &InMemory::new(vec![0.5; 784 * 8], 784)).unwrap();
    assert!(same[0].is_constant() && same[0].top.tied && same[0].selectivity.is_none());
    assert_eq!(same[0].top.images, [0, 1, 2]);
    assert_eq!(same[0].leading(), 0);
    assert_eq!(same[0].constant(), Some(same[0].top.activations[0]));
    // Fewer images than asked for.
    let few = ask(
        vec![1],
        vec![],
        30,
        &InMemory::new(good.values()[..784 * 4].to_vec(), 784),
    );
    assert_eq!(few.unwrap()[0].top.images.len(), 4);
}

/// Shards keep a layer's values; the survey of these is the survey of the images, to the bit, whatever the
/// layer's shape.
#[test]
fn a_survey_of_stored_values_is_that_of_the_images() {
    let network = conv(2);
    let inputs = images(network.input_len());
    let labels = labels();
    let folder = tempfile::tempdir().unwrap();
    for (number, (layer, reduce, study)) in [
        ("conv1", Reduction::Max, true),
        ("conv1", Reduction::Mean, false),
        ("hidden1", Reduction::Max, true),
    ]
    .into_iter()
    .enumerate()
    {
        let layer = Layer::find(&network, layer).unwrap();
        let plan = Plan::default()
            .units([1, 3])
            .directions(2)
            .components(2)
            .study(study)
            .options(UnitsOptions::default().top(4).reduce(reduce))
            .seed(5);
        let context = Context::new(&network, &layer, &inputs).with_labels(Some(&labels));
        let survey = |stored| survey(&context, &plan, stored, &Unwatched).unwrap();
        let values = LayerEvaluator::new(&network, &layer, &plan).unwrap();
        let header = Header {
            kind: "test".into(),
            about: serde_json::Value::Null,
            positions: IMAGES,
            bytes: values.bytes(),
            shard: Shard::WHOLE,
        };
        let path = folder.path().join(format!("{number}.journal"));
        let mut journal = Journal::open(&path, header).unwrap();
        // In another order than the images'.
        for range in [30..IMAGES, 0..30] {
            let range: Vec<usize> = range.collect();
            let keep = |found: Vec<(usize, Vec<u8>)>| {
                journal.append(found.into_iter()).unwrap();
                Ok::<(), UnitsError>(())
            };
            values.evaluate(&inputs, &range, &Unwatched, keep).unwrap();
        }
        let entries = Entries::of(&path).unwrap();
        let stored = ActivationReader::new(&entries, &layer).unwrap();
        let (plain, stored_survey) = (survey(None), survey(Some(&stored)));
        assert_eq!(plain, stored_survey);
        assert_eq!(plain.study.is_some(), study);
        let other = Layer::find(&network, "pool1").unwrap();
        assert!(ActivationReader::new(&entries, &other).is_err());
    }
}
