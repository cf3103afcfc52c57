//! Searches on classifiers that are no networks, and by methods of one's own.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use blindspot::classifier::{Classifier, ClassifierError, Evaluate, FnClassifier};
use blindspot::inputs::InMemory;
use blindspot::net::ops::{Gemm, Unary};
use blindspot::net::{Graph, Network, Op, Operand, Real};
use blindspot::run::monitor::Unwatched;
use blindspot::run::random::Stream;
use blindspot::search::attacks::{Ddn, DdnOptions};
use blindspot::search::{
    Attack, AttackMethod, Iterate, Method, Norm, SearchError, SearchOptions, Target, eight_bit,
    search,
};

// Narrow enough for plain loops, whose order of sums is easy to follow.
const INPUTS: usize = 6;
const HIDDEN: usize = 8;
const CLASSES: usize = 4;

/// Weights of a network with one hidden layer of ReLUs: two matrices, each with its bias.
fn weights() -> Vec<Vec<f32>> {
    let mut stream = Stream::new(3, "weights", 0);
    let lengths = [INPUTS * HIDDEN, HIDDEN, HIDDEN * CLASSES, CLASSES];
    let normal = |length| (0..length).map(|_| stream.normal() as f32).collect();
    lengths.into_iter().map(normal).collect()
}

fn network() -> Network<f32> {
    let mut graph = Graph::new("x", &[INPUTS]).unwrap();
    let mut layer = |name: &str, below, [k, m]: [usize; 2]| {
        let weight = graph.weight(&format!("{name}.w"), &[k, m]).unwrap();
        let bias = graph.weight(&format!("{name}.b"), &[m]).unwrap();
        let operands = [
            Operand::Value(below),
            Operand::Weight(weight),
            Operand::Weight(bias),
        ];
        let gemm = Op::Gemm(Gemm { trans_b: false });
        let sum = graph.node(name, gemm, &operands, name).unwrap();
        if m == CLASSES {
            return sum;
        }
        let relu = Op::Unary(Unary::Relu);
        graph
            .node("relu", relu, &[Operand::Value(sum)], "relu")
            .unwrap()
    };
    let input = Graph::new("x", &[INPUTS]).unwrap().input();
    let hidden = layer("hidden", input, [INPUTS, HIDDEN]);
    layer("logits", hidden, [HIDDEN, CLASSES]);
    Network::new(graph, weights()).unwrap()
}

/// The same network as two functions.
fn by_hand<T: Real>() -> FnClassifier<'static, T> {
    let weights: Vec<Vec<T>> = weights()
        .iter()
        .map(|weights| weights.iter().map(|&w| T::of(f64::from(w))).collect())
        .collect();
    let for_gradients = weights.clone();
    let outputs = move |inputs: &[T]| {
        let hidden = inputs.chunks_exact(INPUTS).map(|x| hidden(x, &weights));
        let outputs = hidden.flat_map(|hidden| layer(&hidden, &weights[2], &weights[3]));
        Ok(outputs.collect())
    };
    let pull_back = move |inputs: &[T], output_gradients: &[T]| {
        let rows = inputs.chunks_exact(INPUTS);
        let rows = rows.zip(output_gradients.chunks_exact(CLASSES));
        let gradients = rows.flat_map(|(x, gradient)| {
            let hidden = hidden(x, &for_gradients);
            let mut below = back(gradient, &for_gradients[2], HIDDEN);
            for (gradient, hidden) in below.iter_mut().zip(&hidden) {
                if *hidden <= T::zero() {
                    *gradient = T::zero();
                }
            }
            back(&below, &for_gradients[0], INPUTS)
        });
        Ok(gradients.collect())
    };
    FnClassifier::new(&[INPUTS], CLASSES, outputs, pull_back)
}

/// x w + b, w one row for each value of x.
fn layer<T: Real>(x: &[T], w: &[T], b: &[T]) -> Vec<T> {
    let sum = |j: usize| {
        let terms = x.iter().enumerate();
        terms.fold(T::zero(), |sum, (i, x)| x.mul_add(w[i * b.len() + j], sum))
    };
    (0..b.len()).map(|j| b[j] + sum(j)).collect()
}

fn hidden<T: Real>(x: &[T], weights: &[Vec<T>]) -> Vec<T> {
    let sums = layer(x, &weights[0], &weights[1]);
    sums.into_iter().map(|sum| sum.max(T::zero())).collect()
}

/// The gradient with respect to the `rows` inputs of a layer.
fn back<T: Real>(gradient: &[T], w: &[T], rows: usize) -> Vec<T> {
    let columns = gradient.len();
    let sum = |i: usize| {
        let terms = gradient.iter().zip(&w[i * columns..]);
        terms.fold(T::zero(), |sum, (g, &w)| g.mul_add(w, sum))
    };
    (0..rows).map(sum).collect()
}

/// Images, and labels that the network agrees with for the most part.
fn images() -> (InMemory, Vec<usize>) {
    let mut stream = Stream::new(4, "images", 0);
    let values: Vec<f32> = (0..80 * INPUTS).map(|_| stream.uniform() as f32).collect();
    let images = InMemory::new(values, INPUTS);
    let mut labels = blindspot::classify::predictions(&network(), &images).unwrap();
    labels[7] = (labels[7] + 1) % CLASSES;
    (images, labels)
}

#[test]
fn functions_that_compute_a_network_have_its_examples_to_the_bit() {
    let (network, functions) = (network(), by_hand::<f32>().with_exact(by_hand::<f64>()));
    let (images, labels) = images();
    let all: Vec<usize> = (0..labels.len()).collect();
    for (method, _) in Method::NAMES {
        for target in [Target::Untargeted, Target::Random, Target::All] {
            let options = SearchOptions::default()
                .method(method)
                .target(target)
                .max_evaluations(500);
            let of = |classifier: &dyn Classifier| {
                let found = search(classifier, &images, &labels, &all, &options, &Unwatched);
                let found = found.unwrap();
                let levels = eight_bit(classifier, &options, &found, images.values(), &Unwatched);
                (found, levels.unwrap())
            };
            let (expected, levels) = of(&network);
            // C&W's attack finds the fewest with so few evaluations.
            assert!(expected.iter().filter(|example| example.success).count() > 10);
            assert_eq!(of(&functions), (expected, levels), "{method} {target}");
        }
    }
}

#[test]
fn a_classifier_without_double_precision_is_verified_by_itself() {
    let (images, labels) = images();
    let attack = Attack::sqp().untargeted();
    let expected = attack.run_on(&network(), &images, &labels).unwrap();
    let found = attack.run_on(&by_hand(), &images, &labels).unwrap();
    for (found, expected) in found.iter().zip(&expected) {
        // It does not know its rounding noise and asks for another lead, so its path is another.
        assert_eq!(found.success, expected.success);
        assert!((found.l2 - expected.l2).abs() <= 0.05 * expected.l2);
        assert!(found.kkt_residual.is_finite());
    }
}

#[test]
fn what_a_classifier_does_wrong_is_an_error_of_the_search() {
    // Equal outputs answer class 0.
    let (images, labels) = (images().0, vec![0; 80]);
    let error = |classifier: &FnClassifier<'_>| {
        let found = Attack::sqp().run_on(classifier, &images, &labels);
        found.unwrap_err()
    };
    let zeros = |inputs: &[f32], _: &[f32]| Ok(vec![0.0; inputs.len()]);
    let outputs = |inputs: &[f32]| Ok(vec![0.0; inputs.len() / INPUTS * CLASSES]);

    let short = FnClassifier::new(&[INPUTS], CLASSES, |_: &[f32]| Ok(vec![0.0; 3]), zeros);
    assert!(matches!(
        error(&short),
        SearchError::Classifier(ClassifierError::Length {
            what: "outputs",
            found: 3,
            ..
        })
    ));
    let short = |_: &[f32], _: &[f32]| Ok(vec![0.0; 3]);
    let short = FnClassifier::new(&[INPUTS], CLASSES, outputs, short);
    assert!(error(&short).to_string().contains("returned 3 gradients"));

    let nan = |inputs: &[f32]| Ok(vec![f32::NAN; inputs.len() / INPUTS * CLASSES]);
    let nan = FnClassifier::new(&[INPUTS], CLASSES, nan, zeros);
    assert!(error(&nan).to_string().contains("gives NaN for image 0"));
    let infinite = |inputs: &[f32]| Ok(vec![f32::INFINITY; inputs.len() / INPUTS * CLASSES]);
    let infinite = FnClassifier::new(&[INPUTS], CLASSES, infinite, zeros);
    assert!(
        error(&infinite)
            .to_string()
            .contains("gives inf for image 0")
    );
    let nan = |inputs: &[f32], _: &[f32]| Ok(vec![f32::NAN; inputs.len()]);
    let nan = FnClassifier::new(&[INPUTS], CLASSES, outputs, nan);
    assert!(error(&nan).to_string().contains("NaN among its gradients"));

    // In the middle of the work, on one of the threads.
    let calls = AtomicU32::new(0);
    let tired = |inputs: &[f32], _: &[f32]| {
        if calls.fetch_add(1, Ordering::Relaxed) > 3 {
            return Err("out of memory".into());
        }
        Ok(vec![1e-3; inputs.len()])
    };
    let tired = FnClassifier::new(&[INPUTS], CLASSES, outputs, tired);
    let error = error(&tired);
    assert_eq!(error.to_string(), "the classifier failed: out of memory");
    assert_eq!(error.kind(), blindspot::ErrorKind::Model);
}

/// Steps of one length against the gradient's sign.
struct Signs {
    left: u32,
}

impl AttackMethod for Signs {
    fn step(&mut self, iterate: &Iterate<'_>, point: &mut [f32]) -> bool {
        for (point, gradient) in point.iter_mut().zip(iterate.gradient) {
            // The search moves what leaves the box back into it.
            *point -= 0.05 * gradient.signum();
        }
        self.left -= 1;
        self.left > 0 && !iterate.success
    }
}

#[test]
fn a_method_of_ones_own_has_the_same_goals_bounds_and_checks() {
    let (images, labels) = images();
    let signs = Attack::custom(|| Signs { left: 40 });
    let found = signs.untargeted().run_on(&network(), &images, &labels);
    let found = found.unwrap();
    assert_eq!(found.len(), labels.len());
    assert!(found[7].already_misclassified && found[7].l2 == 0.0);
    assert!(found.iter().filter(|example| example.success).count() > 40);
    for example in found.iter().filter(|example| example.success) {
        assert!(example.adversarial.iter().all(|x| (0.0..=1.0).contains(x)));
        assert_ne!(example.prediction, example.label);
    }
}

#[test]
fn a_baseline_with_its_published_options_is_the_method_of_its_name() {
    let (images, labels) = images();
    let run = |attack: Attack| {
        let found = attack.untargeted().run_on(&network(), &images, &labels);
        found.unwrap()
    };
    let named = run(Attack::ddn());
    assert_eq!(run(Attack::custom(Ddn::default)), named);
    let long = || Ddn::new(DdnOptions::default().steps(1_000).gamma(0.01));
    let long = run(Attack::custom(long));
    let evaluations = |examples: &[blindspot::search::Example]| {
        let most = examples.iter().map(|example| example.evaluations).max();
        most.unwrap()
    };
    assert!(evaluations(&long) > 5 * evaluations(&named));
}

#[test]
fn an_attack_takes_the_box_of_its_classifier_unless_it_has_its_own() {
    let (images, labels) = images();
    let narrow = by_hand::<f32>().with_input_box(-0.5, 1.25);
    let attack = Attack::sqp().untargeted();
    assert_eq!(attack.options(&narrow).input_box.lower, -0.5);
    let found = attack.run_on(&narrow, &images, &labels).unwrap();
    let values = |found: &[blindspot::search::Example]| {
        let values = found.iter().flat_map(|example| example.adversarial.clone());
        values.fold(0.5f32, f32::min)
    };
    assert!(values(&found) < 0.0);
    let own = attack.input_box(0.0, 1.0);
    assert!(values(&own.run_on(&narrow, &images, &labels).unwrap()) >= 0.0);
}

/// A network on a device that holds fewer inputs as time goes by.
struct Device {
    network: Network<f32>,
    holds: AtomicUsize,
    largest: AtomicUsize,
}

struct OnDevice<'d>(&'d Device, Box<dyn Evaluate + 'd>);

impl Classifier for Device {
    fn input_shape(&self) -> &[usize] {
        self.network.input_shape()
    }

    fn classes(&self) -> usize {
        CLASSES
    }

    fn evaluator(&self) -> Box<dyn Evaluate + '_> {
        Box::new(OnDevice(self, self.network.evaluator()))
    }

    fn exact(&self) -> Option<Box<dyn Classifier<f64> + '_>> {
        self.network.exact()
    }

    fn one_batch(&self) -> Option<usize> {
        Some(self.holds.load(Ordering::Relaxed))
    }
}

impl Evaluate for OnDevice<'_> {
    fn input(&mut self, count: usize) -> &mut [f32] {
        assert!(count <= self.0.holds.load(Ordering::Relaxed));
        self.0.largest.fetch_max(count, Ordering::Relaxed);
        self.1.input(count)
    }

    fn outputs(&mut self) -> Result<&[f32], ClassifierError> {
        self.1.outputs()
    }

    fn pull_back(&mut self, output_gradients: &[f32]) -> Result<&[f32], ClassifierError> {
        let less = |holds| Some(std::cmp::max(holds / 2, 7));
        let _ = (self.0.holds).fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        self.1.pull_back(output_gradients)
    }
}

#[test]
fn one_large_batch_for_all_threads_finds_what_a_batch_on_each_does() {
    let (images, labels) = images();
    let device = Device {
        network: network(),
        holds: AtomicUsize::new(1000),
        largest: AtomicUsize::new(0),
    };
    let attack = Attack::sqp().untargeted();
    let alone = attack.run_on(&device, &images, &labels).unwrap();
    let expected = attack.run_on(&network(), &images, &labels).unwrap();
    assert_eq!(alone, expected);
    // All images but the one that is wrong as it is.
    assert_eq!(device.largest.into_inner(), labels.len() - 1);
}

/// A classifier with the answer 0, as sure in all inputs, whose other class rises behind `cliff` of the first value.
fn flat_before(cliff: f32) -> FnClassifier<'static, f32> {
    let outputs = move |inputs: &[f32]| {
        let of = |x: &[f32]| [1.0, 10.0 * (x[0] - cliff).max(0.0)];
        Ok(inputs.chunks_exact(INPUTS).flat_map(of).collect())
    };
    let pull_back = move |inputs: &[f32], gradients: &[f32]| {
        let rows = inputs.chunks_exact(INPUTS).zip(gradients.chunks_exact(2));
        let of = |(x, gradient): (&[f32], &[f32])| {
            let mut slopes = [0.0; INPUTS];
            if x[0] > cliff {
                slopes[0] = 10.0 * gradient[1];
            }
            slopes
        };
        Ok(rows.flat_map(of).collect())
    };
    FnClassifier::new(&[INPUTS], 2, outputs, pull_back)
}

#[test]
fn where_all_is_flat_little_is_tried_and_where_it_is_not_the_rest_is() {
    let images = InMemory::new([0.25; 20 * INPUTS].to_vec(), INPUTS);
    for norm in [Norm::L2, Norm::Linf, Norm::L1, Norm::L0] {
        let attack = Attack::sqp().untargeted().norm(norm);
        let found = |cliff| attack.run_on(&flat_before(cliff), &images, &[0; 20]);
        for example in found(2.0).unwrap() {
            assert!(!example.success && example.no_gradient);
            // What remained would take some 1,300 more.
            assert!(example.evaluations < 600, "{norm}: {}", example.evaluations);
        }
        // The boundary is at 0.6, or 0.35 from all of them; random points lie behind it now and then.
        let far = found(0.5).unwrap();
        let found: Vec<_> = far.iter().filter(|example| example.success).collect();
        assert!(found.len() > 10, "{norm}: {}", found.len());
        let linf = found.iter().map(|example| example.linf);
        assert!(linf.fold(1.0, f64::min) >= 0.35, "{norm}");
    }
}
