//! What a number of evaluations is made of: the best answer for that number, and no search cut off.

use blindspot_model::inputs::InMemory;
use blindspot_net::ops::Unary;
use blindspot_net::{Graph, Network, Op, Operand, ops::Gemm};
use blindspot_run::random::Stream;
use blindspot_testing::{RandomNetwork, Stack};

use super::against_attacks::{convolutional, examples_by, images};
use super::*;

const BASELINES: [Method; 3] = [Method::DeepFool, Method::Ddn, Method::Pgd];

/// Images of uniform noise, and what the network answers to them.
fn noise(network: &Network<f32>, count: usize) -> Labelled {
    let mut stream = Stream::new(12, "images", 0);
    let length = network.input_len();
    let values = (0..count * length).map(|_| stream.uniform() as f32);
    let images = InMemory::new(values.collect(), length);
    let labels = blindspot_model::classify::predictions(network, &images).unwrap();
    (images, labels)
}

/// Images and their labels.
type Labelled = (InMemory, Vec<usize>);

/// Networks of several kinds, each with images.
fn networks() -> Vec<(Network<f32>, Labelled)> {
    let sigmoid = |seed| {
        let below = Stack::new(&[30], seed).dense(30, 20);
        let below = below.activation(Unary::Sigmoid).dense(20, 20);
        below.activation(Unary::Sigmoid).dense(20, 10).network()
    };
    let dense = (0..3).map(|seed| {
        let network = sigmoid(seed);
        let images = noise(&network, 12);
        (network, images)
    });
    let convolutional = (0..4).map(|seed| {
        let network = convolutional(seed, seed % 2 == 0, 1.0);
        let images = images(&network, 12);
        (network, images)
    });
    let random = (0..18).map(|number| {
        let random = RandomNetwork::new(number, 4);
        let length = random.network.input_len();
        let images = (InMemory::new(random.images, length), random.labels);
        (random.network, images)
    });
    dense.chain(convolutional).chain(random).collect()
}

#[test]
fn with_any_number_of_evaluations_what_a_simple_attack_finds_with_as_many_is_found() {
    let networks = networks();
    for budget in [20, 30, 50, 100, 200, 500] {
        for method in BASELINES {
            let (mut ours, mut theirs, mut missed) = (0.0, 0.0, 0);
            for (network, images) in &networks {
                let of = |method| {
                    let options = SearchOptions::default().target(Target::Untargeted);
                    let options = options.method(method).max_evaluations(budget);
                    examples_by(network, images, &options)
                };
                let (found, other) = (of(Method::Sqp), of(method));
                for (found, other) in found.iter().zip(&other) {
                    if other.success && found.success {
                        ours += found.l2;
                        theirs += other.l2;
                    }
                    missed += usize::from(other.success && !found.success);
                }
            }
            println!("{budget} {method}: {:.4}, {missed} missed", ours / theirs);
            assert_eq!(missed, 0, "{budget} evaluations, {method}");
            assert!(ours <= theirs, "{budget}, {method}: {ours} {theirs}");
        }
    }
}

#[test]
fn with_evaluations_left_no_simple_attack_ends_nearer() {
    for number in 0..18 {
        let random = RandomNetwork::new(number, 4);
        let length = random.network.input_len();
        let images = (InMemory::new(random.images, length), random.labels);
        let of = |method| {
            let options = SearchOptions::default().target(Target::Untargeted);
            examples_by(
                &random.network,
                &images,
                &options.method(method).max_evaluations(3_000),
            )
        };
        let ours = of(Method::Sqp);
        for method in BASELINES.into_iter().chain([Method::Fgsm]) {
            for (ours, theirs) in ours
                .iter()
                .zip(of(method))
                .filter(|(_, other)| other.success)
            {
                assert!(ours.success, "{} {method}", random.kind);
                let ratio = ours.l2 / theirs.l2;
                assert!(ratio <= 1.01, "{} {method}: {ratio}", random.kind);
            }
        }
    }
}

/// Two classes whose outputs carry an offset: x and -x of a sum of twenty values.
fn with_offset(offset: f32) -> (Network<f32>, Vec<f64>) {
    let mut graph = Graph::new("x", &[20]).unwrap();
    let weight = graph.weight("w", &[20, 2]).unwrap();
    let bias = graph.weight("b", &[2]).unwrap();
    let operands = [
        Operand::Value(graph.input()),
        Operand::Weight(weight),
        Operand::Weight(bias),
    ];
    let gemm = Op::Gemm(Gemm { trans_b: false });
    graph.node("y", gemm, &operands, "y").unwrap();
    let mut stream = Stream::new(13, "weights", 0);
    let half: Vec<f32> = (0..20).map(|_| stream.normal() as f32).collect();
    let weights = half.iter().flat_map(|&w| [w, -w]).collect();
    let normal = half.iter().map(|&w| 2.0 * f64::from(w)).collect();
    let network = Network::new(graph, vec![weights, vec![offset; 2]]).unwrap();
    (network, normal)
}

#[test]
fn where_rounding_takes_much_of_the_margin_no_more_is_asked_for_than_that() {
    // The margin is some ten times the noise at most; the box does not reach.
    let (network, normal) = with_offset(2e5);
    let images = noise(&network, 24);
    let length = normal.iter().map(|a| a * a).sum::<f64>().sqrt();
    let options = SearchOptions::default().target(Target::Untargeted);
    let options = options.input_box(blindspot_model::InputBox {
        lower: -50.0,
        upper: 50.0,
    });
    let found = examples_by(&network, &images, &options);
    let mut compared = 0;
    for example in found
        .iter()
        .filter(|example| !example.already_misclassified)
    {
        assert!(example.success);
        let image = &images.0.values()[example.position * normal.len()..][..normal.len()];
        let terms = image.iter().zip(&normal);
        let margin = terms.map(|(&x, a)| f64::from(x) * a).sum::<f64>().abs();
        let of = |lead: f64| (margin + lead * example.noise) / length;
        assert!(example.l2 >= 0.99 * of(1.0), "{} {}", example.l2, of(1.0));
        // One and a half times the noise, and what numbers near 2e5 resolve.
        let resolution = 2.0 * f64::from(2e5f32.next_up() - 2e5) / length;
        assert!(
            example.l2 <= 1.005 * of(1.5) + resolution,
            "{} {}",
            example.l2,
            of(1.5)
        );
        compared += 1;
    }
    assert!(compared > 10, "{compared}");
}

/// Class 1 leads where x + y is above 1; below 0.7 the outputs are constant.
#[test]
fn where_the_gradient_is_zero_the_papers_search_begins_elsewhere() {
    let mut graph = Graph::new("x", &[2]).unwrap();
    let layer = |graph: &mut Graph, name: &str, below, shape: [usize; 2]| {
        let weight = graph.weight(&format!("{name}.w"), &shape).unwrap();
        let bias = graph.weight(&format!("{name}.b"), &shape[1..]).unwrap();
        let operands = [below, Operand::Weight(weight), Operand::Weight(bias)];
        let gemm = Op::Gemm(Gemm { trans_b: false });
        Operand::Value(graph.node(name, gemm, &operands, name).unwrap())
    };
    let input = Operand::Value(graph.input());
    let sum = layer(&mut graph, "sum", input, [2, 1]);
    let relu = Op::Unary(Unary::Relu);
    let above = Operand::Value(graph.node("above", relu, &[sum], "above").unwrap());
    layer(&mut graph, "y", above, [1, 2]);
    let weights = [vec![1.0, 1.0], vec![-0.7], vec![0.0, 1.0], vec![0.3, 0.0]];
    let network = Network::new(graph, weights.to_vec()).unwrap();
    let images = (InMemory::new(vec![0.2, 0.3, 0.1, 0.1], 2), vec![0, 0]);
    let options = SearchOptions::default().target(Target::Untargeted);
    for (example, sum) in examples_by(&network, &images, &options)
        .iter()
        .zip([0.5, 0.2])
    {
        assert!(example.success);
        let exact = (1.0 - sum) / 2f64.sqrt();
        assert!(
            (example.l2 / exact - 1.0).abs() < 1e-3,
            "{} {exact}",
            example.l2
        );
    }
}
