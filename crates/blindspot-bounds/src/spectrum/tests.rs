//! Both readings of convolutions against their explicit matrices, made by an independent loop.

use blindspot_net::ops::{Conv, Gemm, Reshape, Window};
use blindspot_net::{Graph, Network, Op, Operand, WeightId};
use blindspot_run::random::Stream;

use super::lanczos::{Limits, golub_kahan};
use super::layers::{Convolution, Linear, NetworkOperator, layers};
use super::measure::{of_circular, of_padded};
use super::*;

/// A convolution to try, over two axes.
#[derive(Debug, Clone)]
struct Case {
    channels: usize,
    features: usize,
    size: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    before: [usize; 2],
    after: [usize; 2],
    groups: usize,
}

impl Case {
    fn conv(&self) -> Conv {
        Conv {
            window: Window {
                kernel: self.kernel.to_vec(),
                strides: self.stride.to_vec(),
                dilations: self.dilation.to_vec(),
                before: self.before.to_vec(),
                after: self.after.to_vec(),
            },
            groups: self.groups,
        }
    }

    fn shape(&self) -> [usize; 4] {
        [
            self.features,
            self.channels / self.groups,
            self.kernel[0],
            self.kernel[1],
        ]
    }

    fn weight(&self, seed: u64) -> Vec<f32> {
        let mut stream = Stream::new(seed, "weights of a test", 0);
        let count = self.shape().iter().product();
        (0..count).map(|_| stream.normal() as f32).collect()
    }

    /// The matrix on inputs of `size`, entry by entry: padding with zeros, or around the edges.
    fn matrix(&self, weight: &[f32], size: [usize; 2], around: bool) -> Matrix {
        let outputs = [0, 1].map(|axis| {
            if around {
                return size[axis] / self.stride[axis];
            }
            let padded = size[axis] + self.before[axis] + self.after[axis];
            let window = (self.kernel[axis] - 1) * self.dilation[axis] + 1;
            (padded - window) / self.stride[axis] + 1
        });
        let [_, seen, kh, kw] = self.shape();
        let per_group = self.features / self.groups;
        let rows = self.features * outputs[0] * outputs[1];
        let cols = self.channels * size[0] * size[1];
        let mut data = vec![0.0; rows * cols];
        for f in 0..self.features {
            for oy in 0..outputs[0] {
                for ox in 0..outputs[1] {
                    let row = (f * outputs[0] + oy) * outputs[1] + ox;
                    for c in 0..seen {
                        for ky in 0..kh {
                            for kx in 0..kw {
                                let at = |axis: usize, o: usize, k: usize| {
                                    let at = (o * self.stride[axis] + k * self.dilation[axis])
                                        as isize
                                        - self.before[axis] as isize;
                                    if around {
                                        at.rem_euclid(size[axis] as isize)
                                    } else {
                                        at
                                    }
                                };
                                let (y, x) = (at(0, oy, ky), at(1, ox, kx));
                                let inside = (0..size[0] as isize).contains(&y)
                                    && (0..size[1] as isize).contains(&x);
                                if inside {
                                    let channel = f / per_group * seen + c;
                                    let column =
                                        (channel * size[0] + y as usize) * size[1] + x as usize;
                                    let w = weight[((f * seen + c) * kh + ky) * kw + kx];
                                    data[row * cols + column] += f64::from(w);
                                }
                            }
                        }
                    }
                }
            }
        }
        Matrix { rows, cols, data }
    }
}

/// Strides 1 to 4, kernels 1 to 11, dilations, paddings of both sides, groups, odd and even sizes,
/// more and fewer features than channels.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut stream = Stream::new(5, "cases of a test", 0);
    for stride in 1..=4 {
        for kernel in 1..=11usize {
            let groups = [1, 1, 2, 3][stream.below(4)];
            let dilation = if kernel <= 4 { 1 + stream.below(3) } else { 1 };
            let window = (kernel - 1) * dilation + 1;
            let other = 1 + stream.below(kernel);
            cases.push(Case {
                channels: groups * (1 + stream.below(2)),
                features: groups * (1 + stream.below(4)),
                size: [window.max(stride) + stream.below(3), 11 + stream.below(3)],
                kernel: [kernel, other],
                stride: [stride, 1 + stream.below(4)],
                dilation: [dilation, 1],
                before: [stream.below(kernel), stream.below(other)],
                after: [stream.below(kernel), stream.below(other)],
                groups,
            });
        }
    }
    cases
}

/// Every singular value to 1e-8 of itself; what is 0 to the rounding of the largest.
fn agree(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, exact) in found.iter().zip(expected) {
        let error = (found - exact).abs();
        assert!(
            error <= 1e-8 * exact + 1e-13 * expected[0],
            "{what}: {found:e} {exact:e}"
        );
    }
}

#[test]
fn both_readings_are_those_of_the_explicit_matrices() {
    for (seed, case) in cases().iter().enumerate() {
        let weight = case.weight(seed as u64);
        let (conv, shape) = (case.conv(), case.shape());
        let convolution = Convolution::new(&conv, &shape, &weight);
        let what = format!("{case:?}");

        let input = [case.channels, case.size[0], case.size[1]];
        let exact = case.matrix(&weight, case.size, false);
        let expected = exact.singular_values().unwrap();
        let options = SpectrumOptions::default();
        let found = of_padded(&convolution, &input, "test", &options, &Budget::default()).unwrap();
        agree(&found.reading.spectrum, &expected, &what);
        let found = found.reading;
        assert_eq!(found.dimensions_lost, exact.cols.saturating_sub(exact.rows));
        assert!(found.dimensions_lost == 0 || found.lower == Some(0.0));

        let grid = fourier::grid(&convolution, case.size);
        let exact = case.matrix(&weight, grid, true);
        let expected = exact.singular_values().unwrap();
        let found = fourier::circular(&convolution, grid, &Budget::default()).unwrap();
        assert_eq!([found.rows, found.cols], [exact.rows, exact.cols], "{what}");
        agree(&found.values, &expected, &what);
    }
}

#[test]
fn a_convolution_over_one_axis_is_one_over_two() {
    let case = Case {
        channels: 2,
        features: 3,
        size: [1, 13],
        kernel: [1, 5],
        stride: [1, 2],
        dilation: [1, 2],
        before: [0, 3],
        after: [0, 1],
        groups: 1,
    };
    let weight = case.weight(1);
    let line = |list: [usize; 2]| vec![list[1]];
    let conv = Conv {
        window: Window {
            kernel: line(case.kernel),
            strides: line(case.stride),
            dilations: line(case.dilation),
            before: line(case.before),
            after: line(case.after),
        },
        groups: 1,
    };
    let convolution = Convolution::new(&conv, &[3, 2, 5], &weight);
    let options = SpectrumOptions::default();
    let found = of_padded(&convolution, &[2, 13], "test", &options, &Budget::default()).unwrap();
    let exact = case.matrix(&weight, case.size, false);
    agree(
        &found.reading.spectrum,
        &exact.singular_values().unwrap(),
        "padded",
    );
    let found = of_circular(&convolution, &[2, 13], &Budget::default());
    let exact = case.matrix(&weight, [1, 14], true);
    agree(
        &found.reading.spectrum,
        &exact.singular_values().unwrap(),
        "circular",
    );
}

#[test]
fn extreme_singular_values_are_within_their_residuals() {
    for (seed, case) in cases().iter().enumerate().step_by(3) {
        let weight = case.weight(seed as u64);
        let (conv, shape) = (case.conv(), case.shape());
        let convolution = Convolution::new(&conv, &shape, &weight);
        let network = convolution
            .network(&[case.channels, case.size[0], case.size[1]])
            .unwrap();
        let expected = case
            .matrix(&weight, case.size, false)
            .singular_values()
            .unwrap();
        for tolerance in [1e-2, 1e-10] {
            let limits = Limits {
                tolerance,
                steps: 400,
                both: true,
            };
            let mut start = Stream::new(7, "start", seed);
            let found =
                golub_kahan(&mut NetworkOperator::new(&network), &mut start, limits).unwrap();
            let (most, least) = (expected[0], expected[expected.len() - 1]);
            let error = (found.largest.value - most).abs();
            assert!(error <= found.largest.error, "{case:?}: {found:?} {most}");
            assert!(
                found.largest.error <= tolerance * most,
                "{case:?}: {found:?}"
            );
            let error = (found.smallest.value - least).abs();
            // The process may end on a singular value just above the least one.
            assert!(
                error <= found.smallest.error.max(1e-9 * most) || tolerance > 1e-3,
                "{case:?}: {found:?} {least}"
            );
        }
    }
}

/// A network of a convolution, and a fully connected layer on its flattened output.
fn two_layers() -> Network<f32> {
    let mut graph = Graph::new("image", &[2, 6, 6]).unwrap();
    let conv = Conv {
        window: Window::dense(&[3, 3]),
        groups: 1,
    };
    let first = graph.weight("w1", &[4, 2, 3, 3]).unwrap();
    let second = graph.weight("w2", &[64, 5]).unwrap();
    let mut top = Operand::Value(graph.input());
    let mut add = |op, weight: Option<WeightId>, name: &str| {
        let weight = weight.map(Operand::Weight);
        let operands: Vec<Operand> = [top].into_iter().chain(weight).collect();
        top = Operand::Value(
            graph
                .node(name, op, &operands, &format!("{name}.out"))
                .unwrap(),
        );
    };
    add(Op::Conv(conv), Some(first), "conv");
    add(Op::Reshape(Reshape { shape: vec![64] }), None, "flat");
    add(Op::Gemm(Gemm { trans_b: false }), Some(second), "logits");
    let mut stream = Stream::new(2, "weights of a test", 0);
    let mut numbers = |count: usize| (0..count).map(|_| stream.normal() as f32).collect();
    let weights = vec![numbers(72), numbers(320)];
    Network::new(graph, weights).unwrap()
}

#[test]
fn every_layer_is_found_and_an_input_size_goes_as_far_as_it_can() {
    let network = two_layers();
    let all = Spectrum::new(&network).measure().unwrap();
    let names: Vec<&str> = all
        .layers
        .iter()
        .map(|layer| layer.layer.as_str())
        .collect();
    assert_eq!(names, ["conv", "logits"]);
    let logits = &all.layers[1];
    assert_eq!(
        (logits.as_run.lower, logits.as_run.dimensions_lost),
        (Some(0.0), 59)
    );
    assert!(logits.as_run.lower_nonzero.unwrap() > 0.0);
    assert_eq!(logits.as_run, logits.circular);

    let found = Spectrum::new(&network)
        .input_size([9, 7])
        .measure()
        .unwrap();
    assert_eq!(found.layers[0].input, Some(vec![2, 9, 7]));
    assert!(
        found.layers[0].as_run.upper > all.layers[0].as_run.upper,
        "a larger grid has more frequencies"
    );
    assert_eq!(found.layers[1].as_run.upper, all.layers[1].as_run.upper);

    assert_eq!(
        Spectrum::new(&network)
            .layer("logits")
            .measure()
            .unwrap()
            .layers,
        std::slice::from_ref(logits)
    );
    let error = Spectrum::new(&network)
        .layer("fc9")
        .measure()
        .unwrap_err()
        .to_string();
    assert!(error.contains("conv, logits"), "{error}");
}

#[test]
fn what_is_not_decomposed_is_not_known_at_its_lower_end() {
    let network = two_layers();
    let (found, exact) = (
        Spectrum::new(&network).max_dense_side(0).measure().unwrap(),
        Spectrum::new(&network).measure().unwrap(),
    );
    let (found, exact) = (&found.layers[1], &exact.layers[1]);
    let error = (found.as_run.upper.unwrap() - exact.as_run.upper.unwrap()).abs();
    assert!(error <= found.as_run.error_bound.unwrap() && found.as_run.spectrum.is_empty());
    let (layers, unmeasured) = layers(&network, None);
    assert!(unmeasured.is_empty() && matches!(layers[1].linear, Linear::Matrix { times: 1, .. }));
}

#[test]
fn files_hold_one_flat_object_a_layer() {
    let spectra = Spectrum::new(&two_layers()).measure().unwrap();
    let text = serde_json::to_string(&spectra.layers[0]).unwrap();
    let order = [
        "layer",
        "kind",
        "shape",
        "stride",
        "input",
        "lower",
        "upper",
        "lower_nonzero",
        "lower_circular",
        "upper_circular",
        "lower_nonzero_circular",
        "error_bound",
        "error_bound_lower",
        "error_bound_circular",
        "dimensions_lost",
        "dimensions_lost_circular",
        "method",
        "count",
        "spectrum",
        "spectrum_circular",
    ];
    let places: Vec<usize> = order
        .iter()
        .map(|name| text.find(&format!("\"{name}\":")).unwrap())
        .collect();
    assert!(places.is_sorted(), "{text}");
    assert!(text.contains("\"kind\":\"Conv\""), "{text}");
    let read: Spectra = serde_json::from_str(&serde_json::to_string(&spectra).unwrap()).unwrap();
    assert_eq!(read, spectra);
}

#[test]
fn a_tolerance_is_between_0_and_1() {
    for tolerance in [0.0, 1.0, f64::NAN] {
        let error = Spectrum::new(&two_layers()).tolerance(tolerance).measure();
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Usage);
    }
}
