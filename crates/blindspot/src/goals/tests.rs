//! Goals of linear models, whose smallest perturbations are known in closed form.

use blindspot_model::inputs::InMemory;
use blindspot_model::{InputBox, Model, Norm};
use blindspot_net::{Graph, Network, Op, Operand, ops};
use blindspot_run::random::Stream;

use super::*;
use crate::search::{Attack, Example, SearchError};

const INPUTS: usize = 6;
const OUTPUTS: usize = 3;
/// No perturbation comes to its ends.
const BOX: InputBox = InputBox {
    lower: -100.0,
    upper: 100.0,
};

/// A linear map with its weights as rows, one an output.
struct Linear {
    rows: Vec<Vec<f64>>,
    offsets: Vec<f64>,
    input: Vec<f32>,
}

impl Linear {
    fn random(seed: usize) -> Linear {
        let mut stream = Stream::new(11, "linear", seed);
        let mut normal =
            |count: usize| -> Vec<f32> { (0..count).map(|_| stream.normal() as f32).collect() };
        let wide = |row: Vec<f32>| row.into_iter().map(f64::from).collect();
        Linear {
            rows: (0..OUTPUTS).map(|_| wide(normal(INPUTS))).collect(),
            offsets: wide(normal(OUTPUTS)),
            input: normal(INPUTS),
        }
    }

    fn network(&self, sigmoid: bool) -> Network<f32> {
        let mut graph = Graph::new("x", &[INPUTS]).unwrap();
        let weight = graph.weight("w", &[OUTPUTS, INPUTS]).unwrap();
        let bias = graph.weight("b", &[OUTPUTS]).unwrap();
        let operands = [
            Operand::Value(graph.input()),
            Operand::Weight(weight),
            Operand::Weight(bias),
        ];
        let gemm = Op::Gemm(ops::Gemm { trans_b: true });
        let sums = graph.node("sums", gemm, &operands, "sums").unwrap();
        if sigmoid {
            let sigmoid = Op::Unary(ops::Unary::Sigmoid);
            let sums = [Operand::Value(sums)];
            graph.node("p", sigmoid, &sums, "p").unwrap();
        }
        let narrow = |row: &[f64]| row.iter().map(|&w| w as f32).collect::<Vec<f32>>();
        Network::new(
            graph,
            vec![narrow(&self.rows.concat()), narrow(&self.offsets)],
        )
        .unwrap()
    }

    fn model(&self, outputs: Outputs, sigmoid: bool) -> Model {
        let options = Model::options().outputs(outputs).input_box(BOX);
        options.from_network(self.network(sigmoid)).unwrap()
    }

    fn output(&self, i: usize) -> f64 {
        let input = self.input.iter().map(|&x| f64::from(x));
        self.offsets[i] + dot(&self.rows[i], &input.collect::<Vec<f64>>())
    }

    fn outputs(&self) -> Vec<f64> {
        (0..OUTPUTS).map(|i| self.output(i)).collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn length(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// What an attack finds for a goal, by a model of either kind.
fn found(model: &Model, goal: &OutputGoal, input: &[f32], norm: Norm) -> Example {
    let inputs = InMemory::new(input.to_vec(), input.len());
    let attack = Attack::sqp().goal(goal.clone()).norm(norm);
    let found = attack.run_on(model, &inputs, &[0]).unwrap().remove(0);
    assert!(found.success, "{goal}");
    found
}

fn assert_near(found: f64, exact: f64, what: &str) {
    let ratio = found / exact;
    assert!((ratio - 1.0).abs() < 1e-4, "{what}: {found} for {exact}");
}

/// The smallest norm of a change along which one linear margin rises by this much.
fn of_one(row: &[f64], by: f64, norm: Norm) -> f64 {
    let sizes = row.iter().map(|w| w.abs());
    match norm {
        Norm::L2 => by / length(row),
        Norm::Linf => by / sizes.sum::<f64>(),
        Norm::L1 => by / sizes.fold(0.0, f64::max),
        Norm::L0 => unreachable!("is not asked for"),
    }
}

#[test]
fn quantities_move_at_the_exact_optimum_in_each_norm() {
    for seed in 0..4 {
        let linear = Linear::random(seed);
        let model = linear.model(Outputs::Numbers, false);
        for norm in [Norm::L2, Norm::Linf, Norm::L1] {
            for goal in ["rises:0.5:1", "falls:0.5:1", "moves:0.5:1"] {
                let example = found(&model, &goal.parse().unwrap(), &linear.input, norm);
                assert_near(example.norm(norm), of_one(&linear.rows[1], 0.5, norm), goal);
            }
            let own = linear.output(2);
            let goal = format!("enters:{}..{}:2", own + 0.25, own + 1.0);
            let example = found(&model, &goal.parse().unwrap(), &linear.input, norm);
            assert_near(
                example.norm(norm),
                of_one(&linear.rows[2], 0.25, norm),
                &goal,
            );
        }
    }
}

#[test]
fn embeddings_part_along_the_largest_singular_vector() {
    for seed in 0..4 {
        let linear = Linear::random(seed);
        let model = linear.model(Outputs::Numbers, false);
        // The largest singular value, by the power iteration on the rows' products.
        let mut vector = vec![1.0; OUTPUTS];
        let mut largest = 0.0;
        for _ in 0..2000 {
            let pulled: Vec<f64> = (0..INPUTS)
                .map(|i| (0..OUTPUTS).map(|o| vector[o] * linear.rows[o][i]).sum())
                .collect();
            let pushed: Vec<f64> = linear.rows.iter().map(|row| dot(row, &pulled)).collect();
            largest = (length(&pushed) / length(&vector)).sqrt();
            let size = length(&pushed);
            vector = pushed.iter().map(|x| x / size).collect();
        }
        let example = found(
            &model,
            &"moves:0.75".parse().unwrap(),
            &linear.input,
            Norm::L2,
        );
        assert_near(example.l2, 0.75 / largest, "moves");
    }
}

/// The identity in the plane.
fn plane() -> Model {
    let mut graph = Graph::new("x", &[2]).unwrap();
    let same = Op::Reshape(ops::Reshape { shape: vec![2] });
    let input = [Operand::Value(graph.input())];
    graph.node("same", same, &input, "y").unwrap();
    let options = Model::options().outputs(Outputs::Numbers).input_box(BOX);
    options
        .from_network(Network::new(graph, Vec::new()).unwrap())
        .unwrap()
}

#[test]
fn embeddings_turn_and_meet_at_the_exact_optimum() {
    let model = plane();
    let input = [2.0, 1.0];
    let size = 5.0f64.sqrt();
    for below in [0.9, 0.5, 0.1] {
        let goal = OutputGoal::Turns { below };
        let example = found(&model, &goal, &input, Norm::L2);
        // The nearest point on the ray at that angle.
        assert_near(example.l2, size * f64::sin(below.acos()), "turns");
    }
    let template = |outputs: &[f64]| Template {
        image: 0,
        outputs: outputs.into(),
    };
    let near = OutputGoal::Near {
        within: 0.5,
        template: template(&[-1.0, 3.0]),
    };
    let example = found(&model, &near, &input, Norm::L2);
    assert_near(example.l2, 13.0f64.sqrt() - 0.5, "near");
    let aligns = OutputGoal::Aligns {
        above: 0.8,
        template: template(&[-1.0, 1.0]),
    };
    let example = found(&model, &aligns, &input, Norm::L2);
    let between = f64::acos(-1.0 / (size * 2.0f64.sqrt())) - 0.8f64.acos();
    // More than a right angle away from the ray, its end would be nearest: it is not here.
    assert!(between < std::f64::consts::FRAC_PI_2);
    assert_near(example.l2, size * between.sin(), "aligns");
}

/// The smallest L2 norm of a change that makes each of some linear functions, the gradients times the change plus a
/// value, at least 0: by trying which of them are 0.
fn least_norm(gradients: &[Vec<f64>], values: &[f64]) -> f64 {
    let count = gradients.len();
    let mut least = f64::INFINITY;
    for held in 0u32..1 << count {
        let held: Vec<usize> = (0..count).filter(|i| held >> i & 1 == 1).collect();
        let Some(multiples) = solve(&held, gradients, values) else {
            continue;
        };
        let mut change = vec![0.0; INPUTS];
        for (&i, multiple) in held.iter().zip(&multiples) {
            for (change, g) in change.iter_mut().zip(&gradients[i]) {
                *change += multiple * g;
            }
        }
        let feasible = (0..count).all(|i| dot(&gradients[i], &change) + values[i] > -1e-9);
        if feasible {
            least = least.min(length(&change));
        }
    }
    least
}

/// The multiples of some gradients whose sum makes their functions 0.
fn solve(held: &[usize], gradients: &[Vec<f64>], values: &[f64]) -> Option<Vec<f64>> {
    let count = held.len();
    let mut rows: Vec<Vec<f64>> = held
        .iter()
        .map(|&i| {
            let products = held.iter().map(|&j| dot(&gradients[i], &gradients[j]));
            products.chain([-values[i]]).collect()
        })
        .collect();
    for pivot in 0..count {
        if rows[pivot][pivot].abs() < 1e-12 {
            return None;
        }
        for other in (0..count).filter(|&other| other != pivot) {
            let factor = rows[other][pivot] / rows[pivot][pivot];
            for column in 0..=count {
                rows[other][column] -= factor * rows[pivot][column];
            }
        }
    }
    Some((0..count).map(|i| rows[i][count] / rows[i][i]).collect())
}

#[test]
fn labels_flip_at_the_exact_optimum_behind_a_sigmoid_or_not() {
    for seed in 0..6 {
        let linear = Linear::random(seed);
        let logits = linear.outputs();
        for sigmoid in [false, true] {
            let model = linear.model(Outputs::Labels, sigmoid);
            let distance = |i: usize| logits[i].abs() / length(&linear.rows[i]);
            let any = found(&model, &OutputGoal::AnyFlip, &linear.input, Norm::L2);
            let nearest = (0..OUTPUTS).map(distance).fold(f64::INFINITY, f64::min);
            assert_near(any.l2, nearest, "flips");
            let one = found(&model, &OutputGoal::Flip(2), &linear.input, Norm::L2);
            assert_near(one.l2, distance(2), "flips:2");
            // All the labels that are off, and no other.
            let on: Vec<bool> = logits.iter().map(|&logit| logit > 0.0).collect();
            let wanted = (0..OUTPUTS).filter(|&i| !on[i]).collect();
            let all = found(&model, &OutputGoal::Labels(wanted), &linear.input, Norm::L2);
            let sign = |i: usize| if on[i] { -1.0 } else { 1.0 };
            let gradients: Vec<Vec<f64>> = (0..OUTPUTS)
                .map(|i| linear.rows[i].iter().map(|w| sign(i) * w).collect())
                .collect();
            let values: Vec<f64> = (0..OUTPUTS).map(|i| sign(i) * logits[i]).collect();
            assert_near(all.l2, least_norm(&gradients, &values), "labels");
        }
    }
}

#[test]
fn a_formula_of_ones_own_is_a_goal() {
    // Twice the first output less the last is above 3.
    let mut graph = Graph::new("y", &[OUTPUTS]).unwrap();
    let weight = graph.weight("w", &[OUTPUTS, 1]).unwrap();
    let bias = graph.weight("b", &[1]).unwrap();
    let operands = [
        Operand::Value(graph.input()),
        Operand::Weight(weight),
        Operand::Weight(bias),
    ];
    let gemm = Op::Gemm(ops::Gemm { trans_b: false });
    graph.node("margin", gemm, &operands, "margin").unwrap();
    let formula = Network::new(graph, vec![vec![2.0, 0.0, -1.0], vec![-3.0]]).unwrap();
    let goal: OutputGoal = "margin:mine.onnx".parse().unwrap();
    let linear = Linear::random(5);
    let model = linear.model(Outputs::Numbers, false);
    let inputs = InMemory::new(linear.input.clone(), INPUTS);
    let unknown = Attack::sqp()
        .goal(goal.clone())
        .run_on(&model, &inputs, &[0]);
    let unknown = unknown.unwrap_err().to_string();
    assert!(unknown.contains("mine.onnx"), "{unknown}");
    let example = found(&model, &goal.with_formula(formula), &linear.input, Norm::L2);
    let gradient: Vec<f64> = (0..INPUTS)
        .map(|i| 2.0 * linear.rows[0][i] - linear.rows[2][i])
        .collect();
    let value = 2.0 * linear.output(0) - linear.output(2) - 3.0;
    if value > 0.0 {
        assert!(example.already_misclassified);
    } else {
        assert_near(example.l2, -value / length(&gradient), "margin");
    }
}

#[test]
fn certificates_of_linear_models_are_their_distances() {
    for seed in 0..4 {
        let linear = Linear::random(seed);
        for (goal, sigmoid) in [
            ("flips", false),
            ("flips", true),
            ("rises:0.5", false),
            ("moves:0.5:1", false),
        ] {
            let goal: OutputGoal = goal.parse().unwrap();
            let model = linear.model(goal.outputs(), sigmoid);
            let example = found(&model, &goal, &linear.input, Norm::L2);
            let certifier = GoalCertifier::new(&model, &goal, BOX).unwrap();
            let radius = certifier.certify(&linear.input).unwrap();
            assert!(radius <= example.l2, "{goal}: {radius} for {}", example.l2);
            // Of linear models all of it, but for what a Sigmoid's bounds give away.
            let least = if sigmoid { 0.5 } else { 0.99 };
            assert!(
                radius >= least * example.l2,
                "{goal}: {radius} for {}",
                example.l2
            );
        }
    }
}

#[test]
fn what_is_reached_already_is_said_and_not_searched() {
    let linear = Linear::random(1);
    let model = linear.model(Outputs::Labels, false);
    let logits = linear.outputs();
    let on: BTreeSet<usize> = (0..OUTPUTS).filter(|&i| logits[i] > 0.0).collect();
    let example = found(&model, &OutputGoal::Labels(on), &linear.input, Norm::L2);
    assert!(example.already_misclassified && example.l2 == 0.0);
}

#[test]
fn goals_that_do_not_fit_are_errors_with_the_fix() {
    let linear = Linear::random(1);
    let model = linear.model(Outputs::Numbers, false);
    let inputs = InMemory::new(linear.input.clone(), INPUTS);
    let error = |attack: Attack| {
        let error = attack.run_on(&model, &inputs, &[0]).unwrap_err();
        assert!(matches!(error, SearchError::Goal(_)), "{error}");
        error.to_string()
    };
    let goal = |goal: &str| Attack::sqp().goal(goal.parse().unwrap());
    assert!(error(goal("rises:1:3")).contains("0 to 2"));
    assert!(error(goal("near:1:17")).contains("image 17"));
    assert!(error(goal("rises:1").class(1)).contains("target class"));
    assert!(error(goal("rises:1").top_k(2)).contains("top-k"));
    let other = Attack::ddn().goal("rises:1".parse().unwrap());
    assert!(error(other).contains("sqp"));
}

#[test]
fn whole_levels_reach_the_goal_too() {
    let linear = Linear {
        input: [0.5f32; INPUTS]
            .map(|x| (x * 255.0).round() / 255.0)
            .to_vec(),
        ..Linear::random(3)
    };
    let options = Model::options().outputs(Outputs::Numbers);
    let model = options.from_network(linear.network(false)).unwrap();
    let goal: OutputGoal = "rises:0.1:1".parse().unwrap();
    let example = found(&model, &goal, &linear.input, Norm::L2);
    let options = Attack::sqp().goal(goal.clone()).options(&model);
    let eight = crate::search::eight_bit(
        &model,
        &options,
        std::slice::from_ref(&example),
        &linear.input,
        &blindspot_run::monitor::Unwatched,
    );
    let eight = eight.unwrap().remove(0);
    assert!(eight.success);
    let values: Vec<f64> = eight.values().map(f64::from).collect();
    let after = linear.offsets[1] + dot(&linear.rows[1], &values);
    assert!(after > linear.output(1) + 0.1);
}
