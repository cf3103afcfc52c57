//! What must hold of certificates in a runtime's arithmetic.

use blindspot_model::Norm;
use blindspot_net::{Operand, Precision};

use super::*;
use crate::certify::arithmetic::Rounding;
use crate::certify::propagation::EndRounding;

/// A network with random weights whose logits are scaled and moved: dense layers with an activation
/// between, or one layer.
struct Dense {
    /// Weights (outputs by inputs) and biases of each layer.
    layers: Vec<(Vec<Vec<f32>>, Vec<f32>)>,
}

const INPUTS: usize = 24;
const CLASSES: usize = 5;

impl Dense {
    fn new(seed: usize, hidden: bool, scale: f64, offset: f64) -> Dense {
        let mut stream = Stream::new(21, "dense networks of a test", seed);
        let widths: &[usize] = if hidden {
            &[INPUTS, 16, CLASSES]
        } else {
            &[INPUTS, CLASSES]
        };
        let last = widths.len() - 2;
        let mut layers = Vec::new();
        for (l, pair) in widths.windows(2).enumerate() {
            let (gain, scale, offset) = if l == last {
                (1.0 / (pair[0] as f64).sqrt(), scale, offset)
            } else {
                (2.0 / (pair[0] as f64).sqrt(), 1.0, 0.0)
            };
            let mut row = || {
                (0..pair[0])
                    .map(|_| (stream.normal() * gain * scale) as f32)
                    .collect()
            };
            let weights = (0..pair[1]).map(|_| row()).collect();
            let bias =
                (0..pair[1]).map(|_| (stream.normal() * 0.2 * scale + offset * scale) as f32);
            layers.push((weights, bias.collect()));
        }
        Dense { layers }
    }

    fn network(&self, activation: Unary) -> Network<f32> {
        let mut graph = blindspot_net::Graph::new("x", &[INPUTS]).unwrap();
        let mut top = Operand::Value(graph.input());
        let mut numbers = Vec::new();
        for (l, (weights, bias)) in self.layers.iter().enumerate() {
            if l > 0 {
                let name = format!("a{l}");
                top = Operand::Value(
                    graph
                        .node(&name, Op::Unary(activation), &[top], &name)
                        .unwrap(),
                );
            }
            let shape = [weights.len(), weights[0].len()];
            let w = Operand::Weight(graph.weight(&format!("w{l}"), &shape).unwrap());
            let b = Operand::Weight(graph.weight(&format!("b{l}"), &shape[..1]).unwrap());
            let (name, gemm) = (format!("z{l}"), Op::Gemm(Gemm { trans_b: true }));
            top = Operand::Value(graph.node(&name, gemm, &[top, w, b], &name).unwrap());
            numbers.push(weights.concat());
            numbers.push(bias.clone());
        }
        Network::new(graph, numbers).unwrap()
    }

    /// The answer in single precision, with every sum in one of several orders.
    fn answer(&self, image: &[f32], activation: Unary, order: usize) -> usize {
        let mut values = image.to_vec();
        for (l, (weights, bias)) in self.layers.iter().enumerate() {
            if l > 0 {
                let function = |x: &f32| match activation {
                    Unary::Relu => x.max(0.0),
                    _ => 1.0 / (1.0 + (-x).exp()),
                };
                values = values.iter().map(function).collect();
            }
            let sums = weights.iter().zip(bias).map(|(row, &bias)| {
                let terms: Vec<f32> = row.iter().zip(&values).map(|(w, x)| w * x).collect();
                match order {
                    0 => terms.iter().fold(bias, |sum, term| sum + term),
                    1 => terms.iter().rev().fold(0.0f32, |sum, term| sum + term) + bias,
                    2 => {
                        let odd: f32 = terms.iter().skip(1).step_by(2).sum();
                        terms.iter().step_by(2).sum::<f32>() + odd + bias
                    }
                    _ => row
                        .iter()
                        .zip(&values)
                        .fold(bias, |sum, (w, x)| w.mul_add(*x, sum)),
                }
            });
            values = sums.collect();
        }
        argmax(&values)
    }
}

/// At the ball's edge towards each other class, where margins are the smallest, and nearby.
#[test]
fn no_order_of_sums_answers_otherwise_within_a_certificate() {
    let (mut positive, mut tried) = (0, 0);
    let norms = [Norm::L2, Norm::Linf, Norm::L1];
    for (seed, measure) in (0..36).flat_map(|seed| norms.map(|norm| (seed, norm))) {
        let hidden = seed % 3 > 0;
        let activation = [Unary::Relu, Unary::Sigmoid][seed % 2];
        let scale = [1.0, 1e-6, 1e6][seed / 3 % 3];
        let offset = [0.0, 1e2, 1e4, 1e6][seed / 9];
        let dense = Dense::new(seed, hidden, scale, offset);
        let network = dense.network(activation);
        let (images, labels) = images(&network, 10, 800 + seed);
        let input_box = InputBox {
            lower: -100.0,
            upper: 100.0,
        };
        let certifier = Certifier::for_network(&network, input_box).unwrap();
        let certifier = certifier.norm(measure);
        let all: Vec<usize> = (0..10).collect();
        let strict = certifier
            .certify_inputs(&images, &labels, &all, &Unwatched)
            .unwrap();
        let certifier = certifier.arithmetic(Arithmetic::Exact);
        let exact = certifier
            .certify_inputs(&images, &labels, &all, &Unwatched)
            .unwrap();
        let wide = network.cast::<f64>();
        let mut evaluator = Evaluator::new(&wide);
        for (strict, exact) in strict.iter().zip(&exact) {
            let image = &images.values()[strict.position * INPUTS..][..INPUTS];
            assert!(
                strict.radius <= exact.radius * (1.0 + 1e-2),
                "{strict:?} {exact:?}"
            );
            if strict.radius == 0.0 {
                continue;
            }
            positive += 1;
            for other in (0..CLASSES).filter(|&other| other != strict.label) {
                let x: Vec<f64> = image.iter().map(|&x| f64::from(x)).collect();
                evaluator.input(1).copy_from_slice(&x);
                evaluator.forward();
                let mut direction = vec![0.0; CLASSES];
                (direction[other], direction[strict.label]) = (1.0, -1.0);
                let gradient = evaluator.backward(&direction).to_vec();
                let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
                let mut stream = Stream::new(22, "points of a test", 100 * seed + other);
                for attempt in 0..20 {
                    let far = strict.radius * (1.0 - 1e-6 * f64::from(attempt));
                    let slopes = gradient.iter().map(|g| {
                        let noise = 1e-3 * stream.normal() * norm / 5.0;
                        (g + noise * f64::from(attempt)) / norm
                    });
                    let way = steepest(measure, slopes.collect(), 1 + attempt as usize / 7);
                    let moved = x.iter().zip(&way).map(|(x, d)| (x + far * d) as f32);
                    let point: Vec<f32> = moved.collect();
                    if measure.of(image, &point) >= strict.radius {
                        continue;
                    }
                    for order in 0..4 {
                        let answer = dense.answer(&point, activation, order);
                        assert_eq!(answer, strict.label, "{seed} {measure} {order} {strict:?}");
                        tried += 1;
                    }
                }
            }
        }
    }
    assert!(positive > 300 && tried > 30_000, "{positive} {tried}");
}

/// A perturbation of norm 1, or about that in L2, along which a function with these slopes rises
/// fast: in L1 by its `few` steepest values.
fn steepest(norm: Norm, slopes: Vec<f64>, few: usize) -> Vec<f64> {
    match norm {
        Norm::Linf => slopes.into_iter().map(f64::signum).collect(),
        Norm::L1 => {
            let mut sizes: Vec<f64> = slopes.iter().map(|s| s.abs()).collect();
            sizes.sort_by(|a, b| b.total_cmp(a));
            let part = |s: f64| {
                if s.abs() >= sizes[few - 1] {
                    1.0 / few as f64
                } else {
                    0.0
                }
            };
            slopes.iter().map(|&s| part(s).copysign(s)).collect()
        }
        _ => slopes,
    }
}

/// Half precision between operators moves logits by far more.
#[test]
fn coarser_formats_certify_less_and_overflow_certifies_nothing() {
    let dense = Dense::new(3, true, 1.0, 0.0);
    let network = dense.network(Unary::Relu);
    let (images, labels) = images(&network, 10, 850);
    let all: Vec<usize> = (0..10).collect();
    let mut means = Vec::new();
    for rounding in [
        Rounding::of(Precision::Single),
        Rounding::of(Precision::Half),
        Rounding::of(Precision::Brain),
    ] {
        let exact = blindspot_net::ExactNetwork::from(&network);
        let runtime = EndRounding { rounding, end: 0.0 };
        let budget = blindspot_net::Budget::default();
        let certifier =
            Certifier::with_rounding(&exact, InputBox::default(), runtime, &budget).unwrap();
        let found = certifier
            .certify_inputs(&images, &labels, &all, &Unwatched)
            .unwrap();
        means.push(found.iter().map(|c| c.radius).sum::<f64>() / 10.0);
    }
    assert!(means[0] > means[1] && means[1] > means[2], "{means:?}");
    assert!(means[1] > 0.7 * means[0], "{means:?}");

    // Single precision overflows, exact arithmetic does not.
    let mut huge = network.clone();
    let numbers: Vec<f32> = network
        .weights()
        .iter()
        .flatten()
        .map(|w| w * 3e37)
        .collect();
    huge.set_weights(numbers);
    let certifier = Certifier::for_network(&huge, InputBox::default()).unwrap();
    let found = certifier
        .certify_inputs(&images, &labels, &all, &Unwatched)
        .unwrap();
    assert!(found.iter().all(|c| c.radius == 0.0));
}

/// Linear networks whose file has numbers that single precision does not: batch normalisations with
/// large shifts, double weights, alpha and beta, constants that the file computes. Arguments: a
/// folder. Output: a line for each image, with the model's file, the label, the exact distance and the
/// image.
const LINEAR: &str = r#"
import sys, numpy as np
from onnx import helper as h, numpy_helper as nh, TensorProto as T, save
D, r, d, c = sys.argv[1], np.random.default_rng(5), 16, 4
W, b = (r.standard_normal((c, d)) * .3).astype(np.float32), (r.standard_normal(c) * .3).astype(np.float32)
x = r.random((12, d)).astype(np.float32)
def write(name, nodes, weights, A, B, kind=T.FLOAT):
    info = lambda n, m: h.make_tensor_value_info(n, kind, ['n', m])
    g = h.make_graph(nodes, 'g', [info('x', d)], [info('y', c)], [nh.from_array(np.asarray(v), k) for k, v in weights.items()])
    save(h.make_model(g, opset_imports=[h.make_opsetid('', 13)], ir_version=8), f'{D}/{name}.onnx')
    A, B = A.astype(np.longdouble), B.astype(np.longdouble)
    z = x.astype(np.longdouble) @ A.T + B
    for i, y in enumerate(z.argmax(1)):
        far = min((z[i, y] - z[i, k]) / np.sqrt(((A[y] - A[k]) ** 2).sum()) for k in range(c) if k != y)
        print(name, y, repr(float(far)), *x[i].tolist())
gemm = h.make_node('Gemm', ['x', 'W', 'b'], ['l'], transB=1)
for shift in (0, 1e2, 1e4, 1e6):
    s, v = (np.abs(r.standard_normal((2, c))) + .5).astype(np.float32)
    m, t = (r.standard_normal((2, c)) * .3 + [[0], [shift]]).astype(np.float32)
    f = s.astype(np.longdouble) / np.sqrt(v.astype(np.longdouble) + np.float32(1e-5))
    parts = dict(W=W, b=b, s=s, t=t, m=m, v=v)
    normal = h.make_node('BatchNormalization', ['l', 's', 't', 'm', 'v'], ['y'])
    write(f'batchnorm{shift:g}', [gemm, normal], parts, W * f[:, None], (b - m.astype(np.longdouble)) * f + t)
Wd, bd = r.standard_normal((c, d)) * .3, r.standard_normal(c) * .3 + 1e4
write('double', [h.make_node('Gemm', ['x', 'W', 'b'], ['y'], transB=1)], dict(W=Wd, b=bd), Wd, bd, T.DOUBLE)
al, be = np.float64(np.float32(.1)), np.float64(np.float32(1e4 / 3))
write('gemm', [h.make_node('Gemm', ['x', 'W', 'b'], ['y'], transB=1, alpha=.1, beta=1e4 / 3)], dict(W=W, b=b), W * al, b * be)
p, q = (r.standard_normal((2, c)) + 1e5).astype(np.float32)
fold = [h.make_node('Sub', ['p', 'q'], ['u']), h.make_node('Mul', ['W', 'k'], ['V']), h.make_node('Gemm', ['x', 'V', 'u'], ['y'], transB=1)]
k = np.float32(1 / 3)
write('folded', fold, dict(W=W, p=p, q=q, k=k), W.astype(np.longdouble) * k, p.astype(np.longdouble) - q)
"#;

#[test]
fn a_certificate_is_below_the_exact_distance_of_the_files_own_numbers() {
    if let Err(why) = blindspot_testing::python() {
        blindspot_testing::skip!("no Python: {why}");
    }
    let folder = tempfile::tempdir().unwrap();
    let output = blindspot_testing::run_python(LINEAR, [folder.path()], "").unwrap();
    let input_box = InputBox {
        lower: -100.0,
        upper: 100.0,
    };
    let (mut seen, mut certifiers) = (0, std::collections::HashMap::new());
    for line in output.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, label, distance, image @ ..] = &words[..] else {
            panic!("{line}");
        };
        let of = |arithmetic| {
            let model = Model::open(folder.path().join(format!("{name}.onnx"))).unwrap();
            Certifier::in_box(&model, input_box)
                .unwrap()
                .arithmetic(arithmetic)
        };
        let pair = certifiers
            .entry(name.to_string())
            .or_insert_with(|| [of(Arithmetic::Exact), of(Arithmetic::Runtime)]);
        let image: Vec<f32> = image.iter().map(|x| x.parse().unwrap()).collect();
        let (label, distance): (usize, f64) = (label.parse().unwrap(), distance.parse().unwrap());
        let images = InMemory::new(image, 16);
        let [exact, runtime] = pair.each_ref().map(|certifier| {
            let found = certifier.certify_inputs(&images, &[label], &[0], &Unwatched);
            found.unwrap()[0].radius
        });
        assert!(
            exact <= distance && runtime <= exact,
            "{name}: {exact} {distance}"
        );
        // Where a runtime may answer otherwise to the image itself, nothing is certified.
        assert!(
            exact == 0.0 || exact > distance * (1.0 - 1e-4),
            "{name}: {exact} {distance}"
        );
        seen += usize::from(exact > 0.0);
    }
    assert!(seen > 50, "{seen}");
}
