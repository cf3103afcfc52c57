//! Interval bounds of a classifier as a network of its own, so that what evaluates networks and their
//! gradients does the same for bounds (Gowal et al., "On the effectiveness of interval bound propagation for
//! training verifiably robust models", 2018).
//!
//! It takes the two ends of a box of inputs and the label as a row of zeros with a one, and gives for each
//! class what the logits are at worst: all of them less the label's, up to a number that is the same for all.
//! An affine layer takes an interval with the ends l and u to
//!
//! ```text
//! (W / 2) (u + l) + b  -+  |W / 2| (u - l)
//! ```
//!
//! and a function that does not decrease takes each end by itself. The last layer's rows w are taken less the
//! label's first, so that what both have in common is not counted twice: its upper ends are those of
//! (w - w_label) x.

use blindspot_net::ops::{Binary, Dropout, Gemm, MatMul, Reshape, Slice, SliceAxis, Unary};
use blindspot_net::{Graph, GraphError, Network, Node, Op, Operand, ValueId, WeightId};

use super::TrainError;

/// The worst logits of a classifier over boxes of inputs.
pub(super) struct IntervalNetwork {
    graph: Graph,
    sources: Vec<Source>,
}

/// What one of its weights is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Source {
    /// The position of the classifier's weight.
    weight: usize,
    form: Form,
}

/// What is made of a weight.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    Same,
    Half,
    HalfMagnitude,
}

impl Form {
    fn of(self, weight: f32) -> f32 {
        match self {
            Form::Same => weight,
            Form::Half => 0.5 * weight,
            Form::HalfMagnitude => 0.5 * weight.abs(),
        }
    }

    /// The derivative of [`Form::of`]; 0 at the corner.
    fn slope(self, weight: f32) -> f32 {
        match self {
            Form::Same => 1.0,
            Form::Half => 0.5,
            Form::HalfMagnitude if weight == 0.0 => 0.0,
            Form::HalfMagnitude => 0.5 * weight.signum(),
        }
    }
}

impl IntervalNetwork {
    /// The bounds of a classifier that gives logits.
    ///
    /// # Errors
    /// [`TrainError::Options`] where one of its operators has no interval here, or it does not end in a fully
    /// connected layer; [`TrainError::Graph`] where its bounds are too large to build.
    pub(super) fn of(classifier: &Graph) -> Result<IntervalNetwork, TrainError> {
        let mut builder = Builder::new(classifier)?;
        let (last, below) = classifier
            .nodes()
            .split_last()
            .ok_or_else(|| no_end("no operator"))?;
        for node in below {
            let ends = builder.interval(node)?;
            builder.ends.push(ends);
        }
        builder.worst_logits(last)?;
        Ok(IntervalNetwork {
            graph: builder.graph,
            sources: builder.sources,
        })
    }

    /// The network for a classifier with these weights.
    pub(super) fn with(&self, weights: &[Vec<f32>]) -> Network<f32> {
        let made = self.weights(weights);
        Network::new(self.graph.clone(), made).expect("the classifier's weights have its shapes")
    }

    /// Its weights for a classifier with these.
    pub(super) fn weights(&self, weights: &[Vec<f32>]) -> Vec<Vec<f32>> {
        let made = |source: &Source| {
            let weight = weights[source.weight].iter();
            weight.map(|&weight| source.form.of(weight)).collect()
        };
        self.sources.iter().map(made).collect()
    }

    /// Adds `share` times the gradient by the classifier's weights to `sum`, of that by the weights made of them.
    pub(super) fn pull_back(
        &self,
        gradient: &[Vec<f32>],
        weights: &[Vec<f32>],
        share: f32,
        sum: &mut [Vec<f32>],
    ) {
        for (source, gradient) in self.sources.iter().zip(gradient) {
            let own = sum[source.weight].iter_mut().zip(&weights[source.weight]);
            for ((sum, &weight), gradient) in own.zip(gradient) {
                *sum += share * source.form.slope(weight) * gradient;
            }
        }
    }

    /// What it takes for labelled inputs in [0, 1] of which each value may move by `epsilon` within that range.
    pub(super) fn boxes(
        inputs: &[f32],
        labels: &[usize],
        classes: usize,
        epsilon: f64,
    ) -> Vec<f32> {
        let (length, epsilon) = (inputs.len() / labels.len(), epsilon as f32);
        let mut boxes = Vec::with_capacity(labels.len() * (2 * length + classes));
        for (input, &label) in inputs.chunks_exact(length).zip(labels) {
            boxes.extend(input.iter().map(|x| (x - epsilon).max(0.0)));
            boxes.extend(input.iter().map(|x| (x + epsilon).min(1.0)));
            boxes.extend((0..classes).map(|class| f32::from(u8::from(class == label))));
        }
        boxes
    }
}

/// A graph of bounds under construction.
struct Builder<'a> {
    classifier: &'a Graph,
    graph: Graph,
    sources: Vec<Source>,
    /// The lower and the upper end of each of the classifier's values so far.
    ends: Vec<[ValueId; 2]>,
    label: ValueId,
}

impl Builder<'_> {
    fn new(classifier: &Graph) -> Result<Builder<'_>, GraphError> {
        let input = classifier.value(classifier.input());
        let (length, classes) = (input.len(), classifier.value(classifier.output()).len());
        let graph = Graph::new("box", &[2 * length + classes])?;
        let mut builder = Builder {
            classifier,
            label: graph.input(),
            graph,
            sources: Vec::new(),
            ends: Vec::new(),
        };
        let lower = builder.part(0, length, &input.shape)?;
        let upper = builder.part(length, length, &input.shape)?;
        builder.label = builder.part(2 * length, classes, &[classes])?;
        builder.ends.push([lower, upper]);
        Ok(builder)
    }

    /// A part of the input, in a shape.
    fn part(
        &mut self,
        start: usize,
        length: usize,
        shape: &[usize],
    ) -> Result<ValueId, GraphError> {
        let axis = SliceAxis {
            axis: 0,
            start,
            step: 1,
            length,
        };
        let part = Op::Slice(Slice { axes: vec![axis] });
        let part = self.add(part, &[Operand::Value(self.graph.input())])?;
        self.reshape(part, shape)
    }

    /// Adds an operator; its place is its name.
    fn add(&mut self, op: Op, operands: &[Operand]) -> Result<ValueId, GraphError> {
        let name = format!("{} {}", op.name(), self.graph.values().len());
        self.graph.node(&name, op, operands, &name)
    }

    fn of_values(&mut self, op: Op, values: &[ValueId]) -> Result<ValueId, GraphError> {
        let operands: Vec<Operand> = values.iter().copied().map(Operand::Value).collect();
        self.add(op, &operands)
    }

    fn reshape(&mut self, value: ValueId, shape: &[usize]) -> Result<ValueId, GraphError> {
        let shape = shape.to_vec();
        self.of_values(Op::Reshape(Reshape { shape }), &[value])
    }

    /// A weight made of one of the classifier's.
    fn weight(&mut self, of: WeightId, form: Form) -> Result<Operand, GraphError> {
        let info = &self.classifier.weights()[of.index()];
        let weight = self
            .graph
            .weight(&format!("{form:?} {}", info.name), &info.shape)?;
        self.sources.push(Source {
            weight: of.index(),
            form,
        });
        Ok(Operand::Weight(weight))
    }

    /// The ends of an operator's output.
    fn interval(&mut self, node: &Node) -> Result<[ValueId; 2], TrainError> {
        let values: Option<Vec<ValueId>> = node.inputs.iter().map(value).collect();
        match (&node.op, values) {
            (Op::Gemm(_) | Op::Conv(_), _) => {
                let [middle, width] = self.middle_and_width(node)?;
                let magnitude = self.weight(weight(node), Form::HalfMagnitude)?;
                let half = self.add(node.op.clone(), &[Operand::Value(width), magnitude])?;
                let middle = self.affine(node, middle)?.0;
                let lower = self.of_values(Op::Binary(Binary::Sub), &[middle, half])?;
                let upper = self.of_values(Op::Binary(Binary::Add), &[middle, half])?;
                Ok([lower, upper])
            }
            (op, Some(values)) if never_decreases(op) => {
                let mut ends = [self.graph.input(); 2];
                for (i, end) in ends.iter_mut().enumerate() {
                    let values: Vec<ValueId> = values
                        .iter()
                        .map(|value| self.ends[value.index()][i])
                        .collect();
                    *end = self.of_values(op.clone(), &values)?;
                }
                Ok(ends)
            }
            (op, _) => Err(TrainError::Options(format!(
                "certified training has no interval for {} (`{}`); it takes convolutions and fully connected \
                 layers, ReLU, sigmoid, tanh, pooling and sums",
                op.name(),
                node.name
            ))),
        }
    }

    /// The sum and the difference of the ends of what an affine layer takes.
    fn middle_and_width(&mut self, node: &Node) -> Result<[ValueId; 2], GraphError> {
        let taken = value(&node.inputs[0]).expect("an affine layer takes a value first");
        let [lower, upper] = self.ends[taken.index()];
        let middle = self.of_values(Op::Binary(Binary::Add), &[upper, lower])?;
        let width = self.of_values(Op::Binary(Binary::Sub), &[upper, lower])?;
        Ok([middle, width])
    }

    /// An affine layer at the middle of an interval, given twice that; and its halved weight.
    fn affine(&mut self, node: &Node, middle: ValueId) -> Result<(ValueId, Operand), GraphError> {
        let half = self.weight(weight(node), Form::Half)?;
        let mut operands = vec![Operand::Value(middle), half];
        if let Some(Operand::Weight(bias)) = node.inputs.get(2) {
            operands.push(self.weight(*bias, Form::Same)?);
        }
        Ok((self.add(node.op.clone(), &operands)?, half))
    }

    /// The worst logits above the last layer: (w_k - w_label) x at most, for each class k.
    fn worst_logits(&mut self, node: &Node) -> Result<ValueId, TrainError> {
        let (Op::Gemm(gemm), [classes]) = (&node.op, &self.classifier.value(node.output).shape[..])
        else {
            return Err(no_end(&format!("{} (`{}`)", node.op.name(), node.name)));
        };
        let [middle, width] = self.middle_and_width(node)?;
        let (middle, half) = self.affine(node, middle)?;
        let inputs = self.graph.value(width).len();
        // The weights have a class in each column, transposed in each row.
        let (column, row) = ([inputs, 1], [1, inputs]);
        let transposed = Op::Gemm(Gemm {
            trans_b: !gemm.trans_b,
        });
        let own = self.add(transposed, &[Operand::Value(self.label), half])?;
        let own = self.reshape(own, if gemm.trans_b { &row } else { &column })?;
        let apart = self.add(Op::Binary(Binary::Sub), &[half, Operand::Value(own)])?;
        let apart = self.of_values(Op::Unary(Unary::Abs), &[apart])?;
        let width = self.reshape(width, if gemm.trans_b { &column } else { &row })?;
        let factors = if gemm.trans_b {
            [apart, width]
        } else {
            [width, apart]
        };
        let spread = self.of_values(Op::MatMul(MatMul), &factors)?;
        let spread = self.reshape(spread, &[*classes])?;
        Ok(self.of_values(Op::Binary(Binary::Add), &[middle, spread])?)
    }
}

fn no_end(found: &str) -> TrainError {
    TrainError::Options(format!(
        "certified training takes a network that ends in a fully connected layer, not in {found}"
    ))
}

fn value(operand: &Operand) -> Option<ValueId> {
    match operand {
        Operand::Value(value) => Some(*value),
        Operand::Weight(_) => None,
    }
}

/// The weight of an affine layer.
fn weight(node: &Node) -> WeightId {
    match node.inputs[1] {
        Operand::Weight(weight) => weight,
        Operand::Value(_) => unreachable!("a layer's second operand is its weight"),
    }
}

/// Whether the outputs of an operator of values alone never decrease where its inputs grow.
fn never_decreases(op: &Op) -> bool {
    matches!(
        op,
        Op::Unary(Unary::Relu | Unary::Sigmoid | Unary::Tanh)
            | Op::Binary(Binary::Add)
            | Op::Pool(_)
            | Op::Reshape(_)
            | Op::Dropout(Dropout { .. })
    )
}

#[cfg(test)]
mod tests {
    use blindspot::run::random::Stream;
    use blindspot_net::ops::{Conv, Pool, PoolKind, Window};
    use blindspot_net::{Evaluator, cross_entropy};
    use blindspot_testing::Stack;

    use super::*;

    const SHAPE: [usize; 3] = [2, 6, 6];
    const INPUTS: usize = 72;
    const CLASSES: usize = 4;

    /// A convolution, ReLU, maxima, a skip connection around tanh, sigmoids; the last weight stored both ways.
    fn classifier(trans_b: bool) -> Network<f32> {
        let window = Window::dense(&[3, 3]);
        let conv = Op::Conv(Conv { window, groups: 1 });
        let pool = Op::Pool(Pool {
            kind: PoolKind::Max,
            window: Window::tiles(&[2, 2]),
            ceil: false,
        });
        let flat = Op::Reshape(Reshape { shape: vec![12] });
        let stack = Stack::new(&SHAPE, 4)
            .add(conv, &[&[3, 2, 3, 3], &[3]], 0.3)
            .activation(Unary::Relu)
            .add(pool, &[], 1.0)
            .add(flat, &[], 1.0)
            .dense(12, 6);
        let below = stack.top;
        let last = if trans_b { [CLASSES, 6] } else { [6, CLASSES] };
        stack
            .activation(Unary::Tanh)
            .dense(6, 6)
            .with(Op::Binary(Binary::Add), below)
            .activation(Unary::Sigmoid)
            .add(Op::Gemm(Gemm { trans_b }), &[&last, &[CLASSES]], 1.0)
            .network()
    }

    fn images(count: usize) -> (Vec<f32>, Vec<usize>) {
        let mut stream = Stream::new(1, "images of a test", 0);
        let values = (0..count * INPUTS).map(|_| stream.uniform() as f32);
        (values.collect(), (0..count).map(|i| i % CLASSES).collect())
    }

    fn worst(network: &Network<f32>, images: &[f32], labels: &[usize], epsilon: f64) -> Vec<f32> {
        let intervals = IntervalNetwork::of(network.graph()).unwrap();
        let intervals = intervals.with(network.weights());
        let mut evaluator = Evaluator::new(&intervals);
        let boxes = IntervalNetwork::boxes(images, labels, CLASSES, epsilon);
        evaluator.input(labels.len()).copy_from_slice(&boxes);
        evaluator.forward().to_vec()
    }

    /// How far each class is above the label.
    fn excesses(logits: &[f32], labels: &[usize]) -> Vec<f32> {
        let rows = logits.chunks_exact(CLASSES).zip(labels);
        rows.flat_map(|(row, &label)| row.iter().map(move |z| z - row[label]))
            .collect()
    }

    #[test]
    fn no_change_within_the_box_is_worse_and_without_change_the_logits_are_the_classifiers() {
        let (images, labels) = images(8);
        for network in [classifier(false), classifier(true)] {
            let mut evaluator = Evaluator::new(&network);
            let mut logits = |images: &[f32]| {
                evaluator.input(labels.len()).copy_from_slice(images);
                excesses(evaluator.forward(), &labels)
            };
            let own = excesses(&worst(&network, &images, &labels, 0.0), &labels);
            for (own, plain) in own.iter().zip(logits(&images)) {
                assert!((own - plain).abs() < 1e-5, "{own} {plain}");
            }
            let mut stream = Stream::new(2, "changes of a test", 0);
            for epsilon in [0.01, 0.3] {
                let worst = excesses(&worst(&network, &images, &labels, epsilon), &labels);
                for _ in 0..300 {
                    let moved = images.iter().map(|x| {
                        let change = if stream.uniform() < 0.5 {
                            -epsilon
                        } else {
                            epsilon
                        };
                        (x + change as f32).clamp(0.0, 1.0)
                    });
                    let moved: Vec<f32> = moved.collect();
                    for (found, bound) in logits(&moved).iter().zip(&worst) {
                        assert!(*found <= bound + 1e-5, "{found} {bound}");
                    }
                }
            }
        }
    }

    /// Of a linear classifier the bounds are attained, at a corner for each class.
    #[test]
    fn bounds_of_a_linear_classifier_are_exact() {
        let network = Stack::new(&[INPUTS], 3).dense(INPUTS, CLASSES).network();
        let (images, labels) = images(5);
        let epsilon = 0.2;
        let worst = excesses(&worst(&network, &images, &labels, epsilon), &labels);
        let [weights, biases] = network.weights() else {
            panic!("a layer")
        };
        for (i, image) in images.chunks_exact(INPUTS).enumerate() {
            for class in 0..CLASSES {
                let term = |(j, &x): (usize, &f32)| {
                    let slope = weights[j * CLASSES + class] - weights[j * CLASSES + labels[i]];
                    let ends = [x - epsilon as f32, x + epsilon as f32];
                    let ends = ends.map(|end| slope * end.clamp(0.0, 1.0));
                    ends[0].max(ends[1])
                };
                let sum: f32 = image.iter().enumerate().map(term).sum();
                let exact = sum + biases[class] - biases[labels[i]];
                let bound = worst[i * CLASSES + class];
                assert!((bound - exact).abs() < 1e-4, "{bound} {exact}");
            }
        }
    }

    #[test]
    fn gradients_pulled_back_are_those_of_finite_differences() {
        let (images, labels) = images(4);
        let epsilon = 0.05;
        for mut network in [classifier(false), classifier(true)] {
            let intervals = IntervalNetwork::of(network.graph()).unwrap();
            let boxes = IntervalNetwork::boxes(&images, &labels, CLASSES, epsilon);
            let loss = |network: &Network<f32>| {
                // In double precision, so that differences are exact enough.
                let wide = intervals.with(network.weights()).cast::<f64>();
                let mut evaluator = Evaluator::new(&wide);
                let input = evaluator.input(labels.len()).iter_mut();
                input
                    .zip(&boxes)
                    .for_each(|(input, &end)| *input = f64::from(end));
                let logits = evaluator.forward();
                let (mut gradient, mut sum) = (vec![0.0; logits.len()], 0.0);
                cross_entropy(logits, CLASSES, &labels, &mut gradient, |_, loss| {
                    sum += loss
                });
                sum
            };
            let made = intervals.with(network.weights());
            let mut evaluator = Evaluator::new(&made);
            evaluator.input(labels.len()).copy_from_slice(&boxes);
            let logits = evaluator.forward();
            let mut by_logits = vec![0.0; logits.len()];
            cross_entropy(logits, CLASSES, &labels, &mut by_logits, |_, _| {});
            let zeros = |weights: &[Vec<f32>]| -> Vec<Vec<f32>> {
                weights
                    .iter()
                    .map(|weight| vec![0.0; weight.len()])
                    .collect()
            };
            let mut gradient = zeros(made.weights());
            evaluator.backward_weights(&by_logits, &mut gradient);
            let mut pulled = zeros(network.weights());
            intervals.pull_back(&gradient, network.weights(), 0.5, &mut pulled);
            let weights = network.weights().to_vec();
            for tensor in 0..weights.len() {
                for i in 0..weights[tensor].len() {
                    let step = 1.0 / 4096.0;
                    let mut at = |offset: f32| {
                        let mut moved = weights.clone();
                        moved[tensor][i] += offset;
                        network.set_weights(moved.into_iter().flatten());
                        loss(&network)
                    };
                    let difference = (at(step) - at(-step)) / (2.0 * f64::from(step));
                    let found = 2.0 * f64::from(pulled[tensor][i]);
                    assert!(
                        (found - difference).abs() < 2e-3 * (1.0 + difference.abs()),
                        "{tensor} {i}: {found} {difference}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_has_no_bounds_here_is_said() {
        let of = |network: Network<f32>| IntervalNetwork::of(network.graph()).err().unwrap();
        let error = of(Stack::new(&[3], 0)
            .dense(3, 3)
            .activation(Unary::Abs)
            .dense(3, 2)
            .network());
        assert!(error.to_string().contains("no interval for Abs"), "{error}");
        let error = of(Stack::new(&[3], 0)
            .dense(3, 3)
            .activation(Unary::Relu)
            .network());
        assert!(error.to_string().contains("not in Relu"), "{error}");
    }
}
