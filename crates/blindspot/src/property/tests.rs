use std::fmt::Write;

use blindspot_model::{Model, Outputs};
use blindspot_net::ops::Unary;
use blindspot_net::{Evaluator, Network};
use blindspot_run::monitor::Unwatched;
use blindspot_run::random::Stream;
use blindspot_testing::Stack;

use super::{Case, Property, Region, Undecided, Verdict, Verification, VerifyOptions, verify};
use crate::certify::Arithmetic;

fn model(network: &Network<f32>) -> Model {
    let options = Model::options().outputs(Outputs::Numbers);
    options.from_network(network.clone()).unwrap()
}

/// A dense network of so many layers with units of a kind between them.
fn dense(widths: &[usize], unary: Unary, seed: usize) -> Network<f32> {
    let mut stack = Stack::new(&widths[..1], seed);
    for (i, pair) in widths.windows(2).enumerate() {
        stack = stack.dense(pair[0], pair[1]);
        if i + 2 < widths.len() {
            stack = stack.activation(unary);
        }
    }
    stack.network()
}

fn declared(inputs: usize, outputs: usize) -> String {
    let mut text = String::new();
    for (letter, count) in [("X", inputs), ("Y", outputs)] {
        for i in 0..count {
            let _ = writeln!(text, "(declare-const {letter}_{i} Real)");
        }
    }
    text
}

/// The conditions that inputs lie in a box.
fn inside(lower: &[f64], upper: &[f64]) -> String {
    let ends = lower.iter().zip(upper).enumerate();
    ends.map(|(i, (lower, upper))| format!("(>= X_{i} {lower:?}) (<= X_{i} {upper:?}) "))
        .collect()
}

fn property(text: &str) -> Property {
    Property::parse("property", text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn verified(network: &Network<f32>, property: &Property, options: &VerifyOptions) -> Verification {
    verify(&model(network), property, options, &Unwatched).unwrap()
}

/// Whether outputs are unsafe in a box.
fn is_unsafe(region: &Region, outputs: &[f64]) -> bool {
    let holds = |case: &Case| {
        case.iter()
            .all(|inequality| inequality.excess(outputs) <= 0.0)
    };
    region.cases.iter().any(holds)
}

/// Checks a verdict's counterexample: in its box, and unsafe in double precision.
fn check_counterexample(network: &Network<f32>, property: &Property, found: &Verification) {
    let Some(counterexample) = &found.counterexample else {
        assert_ne!(found.verdict, Verdict::Violated);
        return;
    };
    assert_eq!(found.verdict, Verdict::Violated);
    let region = &property.regions()[counterexample.region];
    let ends = region.lower.iter().zip(&region.upper);
    for (x, (lower, upper)) in counterexample.inputs.iter().zip(ends) {
        assert!(
            (*lower..=*upper).contains(&f64::from(*x)),
            "{x} {lower} {upper}"
        );
    }
    let exact = network.cast::<f64>();
    let mut evaluator = Evaluator::new(&exact);
    for (place, &x) in evaluator.input(1).iter_mut().zip(&counterexample.inputs) {
        *place = x.into();
    }
    let outputs = evaluator.forward().to_vec();
    let case = &region.cases[counterexample.case];
    assert!(
        case.iter()
            .all(|inequality| inequality.excess(&outputs) <= 0.0)
    );
    for (own, exact) in counterexample.outputs.iter().zip(&outputs) {
        assert!((f64::from(*own) - exact).abs() < 1e-4 * (1.0 + exact.abs()));
    }
}

/// Of a linear network the extremes over a box are known.
#[test]
fn thresholds_of_linear_networks_are_told_apart() {
    for seed in 0..20 {
        let network = dense(&[6, 2], Unary::Relu, seed);
        let (weights, biases) = (&network.weights()[0], &network.weights()[1]);
        let mut stream = Stream::new(3, "boxes of a test", seed);
        let lower: Vec<f64> = (0..6).map(|_| stream.normal()).collect();
        let upper: Vec<f64> = lower.iter().map(|l| l + stream.uniform()).collect();
        // Y_0 - 2 Y_1.
        let most: f64 = (0..6)
            .map(|i| {
                let slope = f64::from(weights[2 * i]) - 2.0 * f64::from(weights[2 * i + 1]);
                (slope * lower[i]).max(slope * upper[i])
            })
            .sum::<f64>()
            + f64::from(biases[0])
            - 2.0 * f64::from(biases[1]);
        for (threshold, verdict) in [
            (most - 1e-3, Verdict::Violated),
            (most + 1e-3, Verdict::Holds),
        ] {
            let text = format!(
                "{} (assert (and {})) (assert (>= (- Y_0 (* 2 Y_1)) {threshold:?}))",
                declared(6, 2),
                inside(&lower, &upper)
            );
            let property = property(&text);
            let found = verified(&network, &property, &VerifyOptions::default());
            assert_eq!(found.verdict, verdict, "{seed} {threshold}");
            check_counterexample(&network, &property, &found);
            if let Some(counterexample) = &found.counterexample {
                assert!(counterexample.in_any_runtime);
            }
        }
    }
}

/// A random property: some boxes, in each of which one of some conjunctions is unsafe. Thresholds lie around the
/// outputs that there are.
fn random_property(network: &Network<f32>, stream: &mut Stream) -> Property {
    let (inputs, outputs) = (network.input_len(), network.output_len());
    let mut evaluator = Evaluator::new(network);
    let mut cases = String::new();
    for _ in 0..1 + stream.below(3) {
        let middle: Vec<f64> = (0..inputs).map(|_| stream.normal()).collect();
        let half: Vec<f64> = (0..inputs).map(|_| 0.5 * stream.uniform()).collect();
        let ends = |sign: f64| -> Vec<f64> {
            middle
                .iter()
                .zip(&half)
                .map(|(m, h)| m + sign * h)
                .collect()
        };
        let text = inside(&ends(-1.0), &ends(1.0));
        for _ in 0..1 + stream.below(2) {
            let mut conditions = String::new();
            for (place, m) in evaluator.input(1).iter_mut().zip(&middle) {
                *place = *m as f32;
            }
            let values = evaluator.forward().to_vec();
            for _ in 0..1 + stream.below(3) {
                let [a, b] = [0; 2].map(|_| stream.below(outputs));
                let factor = (8.0 * stream.normal()).round() / 8.0;
                let at = f64::from(values[a]) + factor * f64::from(values[b]);
                let bound = at + stream.normal();
                let relation = ["<=", ">="][stream.below(2)];
                let _ = write!(
                    conditions,
                    "({relation} (+ Y_{a} (* {factor:?} Y_{b})) {bound:?}) "
                );
            }
            let _ = writeln!(cases, "(and {text}{conditions})");
        }
    }
    property(&format!(
        "{} (assert (or {cases}))",
        declared(inputs, outputs)
    ))
}

/// Random properties of random networks against dense samples of their boxes: none that holds has an unsafe sample, none
/// that was sampled unsafe is unknown.
#[test]
fn verdicts_agree_with_dense_samples() {
    let kinds = [
        Unary::Relu,
        Unary::Tanh,
        Unary::Sigmoid,
        Unary::LeakyRelu { alpha: 0.2 },
    ];
    let mut counts = [0; 3];
    for seed in 0..80 {
        let mut stream = Stream::new(4, "properties of a test", seed);
        let inputs = 1 + stream.below(3);
        let network = dense(&[inputs, 8, 6, 3], kinds[seed % 4], seed);
        let property = random_property(&network, &mut stream);
        let found = verified(&network, &property, &VerifyOptions::default());
        check_counterexample(&network, &property, &found);
        counts[found.verdict as usize] += 1;
        let exact = network.cast::<f64>();
        let mut evaluator = Evaluator::new(&exact);
        let mut is_violated = false;
        for region in property.regions() {
            let per_axis: usize = [2000, 60, 16][inputs - 1];
            for point in 0..per_axis.pow(inputs as u32) {
                let mut rest = point;
                let values: Vec<f64> = region
                    .lower
                    .iter()
                    .zip(&region.upper)
                    .map(|(lower, upper)| {
                        let part = (rest % per_axis) as f64 / (per_axis - 1) as f64;
                        rest /= per_axis;
                        lower + part * (upper - lower)
                    })
                    .collect();
                evaluator.input(1).copy_from_slice(&values);
                is_violated |= is_unsafe(region, evaluator.forward());
            }
        }
        if is_violated {
            assert_eq!(found.verdict, Verdict::Violated, "{seed}: {found:?}");
        }
        assert_ne!(found.verdict, Verdict::Unknown, "{seed}: {found:?}");
    }
    let [holds, violated, unknown] = counts;
    assert!(holds > 15 && violated > 15 && unknown == 0, "{counts:?}");
}

/// A network of the shape of ACAS Xu's: five inputs, six layers of ReLUs, five outputs, an input of four axes.
#[test]
fn deep_networks_of_five_inputs_are_decided() {
    let network = dense(&[5, 16, 16, 16, 16, 16, 16, 5], Unary::Relu, 2);
    let mut evaluator = Evaluator::new(&network);
    let (lower, upper) = ([-0.3; 5], [0.3; 5]);
    let mut stream = Stream::new(5, "inputs of a test", 0);
    let mut most = f64::NEG_INFINITY;
    for _ in 0..20_000 {
        for x in evaluator.input(1) {
            *x = (0.6 * stream.uniform() - 0.3) as f32;
        }
        most = most.max(f64::from(evaluator.forward()[0]));
    }
    for (threshold, verdict) in [
        (most, Verdict::Violated),
        (most + 0.3 * most.abs(), Verdict::Holds),
    ] {
        let text = format!(
            "{} (assert (and {})) (assert (>= Y_0 {threshold:?}))",
            declared(5, 5),
            inside(&lower, &upper)
        );
        let property = property(&text);
        let found = verified(&network, &property, &VerifyOptions::default());
        check_counterexample(&network, &property, &found);
        assert_eq!(found.verdict, verdict, "{threshold} {found:?}");
        assert!(verdict == Verdict::Violated || found.parts > 1, "{found:?}");
    }
}

/// Too many inputs to cut boxes: the network is branched on at its ReLUs.
#[test]
fn networks_of_many_inputs_are_decided_by_branching_on_relus() {
    let network = dense(&[30, 12, 10, 3], Unary::Relu, 3);
    let mut evaluator = Evaluator::new(&network);
    let mut stream = Stream::new(6, "inputs of a test", 0);
    let middle: Vec<f64> = (0..30).map(|_| stream.normal()).collect();
    let half = 0.15;
    let mut most = [f64::NEG_INFINITY; 2];
    for _ in 0..20_000 {
        for (x, m) in evaluator.input(1).iter_mut().zip(&middle) {
            *x = (m + half * (2.0 * stream.uniform().round() - 1.0)) as f32;
        }
        let y = evaluator.forward();
        for (most, lead) in most.iter_mut().zip([y[1] - y[0], y[2] - y[0]]) {
            *most = most.max(f64::from(lead));
        }
    }
    let ends = |sign: f64| -> Vec<f64> { middle.iter().map(|m| m + sign * half).collect() };
    let branched = [(0.0, Verdict::Violated), (0.5, Verdict::Holds)].map(|(beyond, verdict)| {
        let text = format!(
            "{} (assert (and {})) (assert (or (and (>= (- Y_1 Y_0) {:?})) (and (>= (- Y_2 Y_0) {:?}))))",
            declared(30, 3),
            inside(&ends(-1.0), &ends(1.0)),
            most[0] + beyond * most[0].abs(),
            most[1] + beyond * most[1].abs(),
        );
        let property = property(&text);
        let found = verified(&network, &property, &VerifyOptions::default());
        check_counterexample(&network, &property, &found);
        assert_eq!(found.verdict, verdict, "{found:?}");
        found.parts
    });
    assert!(branched[1] > 0);
}

#[test]
fn what_rounding_decides_is_unknown_but_in_exact_arithmetic() {
    // The sum of ten inputs, times 1/3.
    let graph = |network: &Network<f32>| network.graph().clone();
    let network = dense(&[10, 1], Unary::Relu, 0);
    let third = vec![vec![1.0 / 3.0; 10], vec![0.0]];
    let network = Network::new(graph(&network), third).unwrap();
    let most = 10.0 * f64::from(1.0f32 / 3.0);
    let at = |bound: f64| {
        let text = format!(
            "{} (assert (and {})) (assert (>= Y_0 {bound:?}))",
            declared(10, 1),
            inside(&[0.0; 10], &[1.0; 10])
        );
        property(&text)
    };
    let exact = VerifyOptions {
        arithmetic: Arithmetic::Exact,
        ..VerifyOptions::default()
    };
    let near = at(most + 1e-9);
    let found = verified(&network, &near, &VerifyOptions::default());
    assert_eq!(
        (found.verdict, found.undecided),
        (Verdict::Unknown, Some(Undecided::Rounding))
    );
    assert_eq!(found.result(), "unknown");
    assert_eq!(verified(&network, &near, &exact).verdict, Verdict::Holds);
    let far = at(most + 1e-5);
    assert_eq!(
        verified(&network, &far, &VerifyOptions::default()).verdict,
        Verdict::Holds
    );
    // A counterexample by less than rounding says so.
    let found = verified(&network, &at(most - 3e-7), &VerifyOptions::default());
    assert!(
        found
            .counterexample
            .is_none_or(|found| !found.in_any_runtime)
    );
}

#[test]
fn boxes_without_inputs_hold_and_boxes_without_conditions_are_violated() {
    let network = dense(&[2, 3, 2], Unary::Relu, 1);
    let text = |conditions: &str| format!("{} (assert {conditions})", declared(2, 2));
    let unit = inside(&[0.0; 2], &[1.0; 2]);
    let empty = property(&text(&format!("(and {unit} (>= X_0 2))")));
    assert_eq!(
        verified(&network, &empty, &VerifyOptions::default()).verdict,
        Verdict::Holds
    );
    let all = property(&text(&format!("(and {unit})")));
    let found = verified(&network, &all, &VerifyOptions::default());
    check_counterexample(&network, &all, &found);
    assert_eq!(found.counterexample.unwrap().margin, None);
    // One input alone, which no number of single precision is.
    let point = property(&text(
        "(and (>= X_0 0.1) (<= X_0 0.1) (>= X_1 0) (<= X_1 0) (<= Y_0 1e6))",
    ));
    let found = verified(&network, &point, &VerifyOptions::default());
    assert_eq!(found.counterexample.unwrap().inputs, [0.1, 0.0]);
}

#[test]
fn the_same_bits_come_out_for_any_number_of_threads() {
    for (network, seed) in [
        (dense(&[3, 12, 12, 3], Unary::Relu, 7), 7),
        (dense(&[3, 10, 3], Unary::Tanh, 8), 8),
        (dense(&[20, 10, 10, 3], Unary::Relu, 9), 9),
    ] {
        let mut stream = Stream::new(8, "properties of a test", seed);
        let property = random_property(&network, &mut stream);
        let found = [1, 2, 5].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let found = pool.install(|| verified(&network, &property, &VerifyOptions::default()));
            Verification {
                seconds: 0.0,
                ..found
            }
        });
        assert_eq!(found[0], found[1]);
        assert_eq!(found[0], found[2]);
    }
}

#[test]
fn without_time_nothing_is_begun() {
    let network = dense(&[5, 30, 30, 2], Unary::Relu, 4);
    let text = format!(
        "{} (assert (and {})) (assert (>= Y_0 0.5))",
        declared(5, 2),
        inside(&[-1.0; 5], &[1.0; 5])
    );
    let options = VerifyOptions {
        time_limit: Some(1e-9),
        ..VerifyOptions::default()
    };
    let found = verified(&network, &property(&text), &options);
    assert_eq!((found.undecided, found.parts), (Some(Undecided::Time), 0));
    assert_eq!(found.result(), "timeout");
}

#[test]
fn properties_of_other_models_are_refused() {
    let network = dense(&[2, 3, 2], Unary::Relu, 1);
    let bounds = "(assert (and (>= X_0 0) (<= X_0 1)))";
    let other = property(&format!("{} {bounds}", declared(1, 2)));
    let error = verify(
        &model(&network),
        &other,
        &VerifyOptions::default(),
        &Unwatched,
    )
    .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("declares 1 inputs, the model has 2"),
        "{error}"
    );
    let classes = Model::from_network(network).unwrap();
    let error = verify(&classes, &other, &VerifyOptions::default(), &Unwatched).unwrap_err();
    assert!(error.to_string().contains("as they are"), "{error}");
}

#[test]
fn gzipped_files_are_the_same_and_damaged_ones_are_refused() {
    use std::io::Write as _;
    let text = format!("{} (assert (and (>= X_0 0) (<= X_0 1)))", declared(1, 1));
    let packed = |text: &[u8]| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text).unwrap();
        packed.finish().unwrap()
    };
    let bytes = packed(text.as_bytes());
    assert_eq!(
        Property::parse("p", &bytes).unwrap().regions(),
        property(&text).regions()
    );
    let why = |bytes: &[u8]| Property::parse("p", bytes).unwrap_err().to_string();
    assert!(why(&bytes[..bytes.len() - 9]).contains("gzip data is damaged"));
    assert!(why(&packed(&vec![b' '; (1 << 26) + 1])).contains("67108864 bytes allowed"));
    assert!(why(&[0xff, 0xfe]).contains("no text"));
    assert!(why(b"(assert)").starts_with("p, line 1: "));
}
