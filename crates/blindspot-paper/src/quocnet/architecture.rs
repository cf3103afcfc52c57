//! The network as a graph: whitening, then stages of local filtering, L2 pooling and local contrast
//! normalisation.

use blindspot_net::ops::{
    Binary, Conv, Gemm, Local, Pad, PadMode, Reshape, Transpose, Unary, Window,
};
use blindspot_net::{Graph, GraphError, Network, Op, Operand, ValueId};

use super::plan::{Size, Stage};
use super::pooling::EPSILON;
use super::whitening::Whitening;

/// Side of the window of local contrast normalisation.
const WINDOW: usize = 5;
/// Standard deviation of its Gaussian, in positions.
const SPREAD: f64 = 1.0;
/// The least that it divides by (c).
const FLOOR: f64 = 0.01;

/// A network that grows at its top.
#[derive(Debug, Clone)]
pub(crate) struct Builder {
    graph: Graph,
    weights: Vec<Vec<f32>>,
    top: ValueId,
}

impl Builder {
    /// Nothing but an input of a shape (channels, height, width).
    pub(crate) fn new(shape: &[usize]) -> Result<Builder, GraphError> {
        let graph = Graph::new("image", shape)?;
        Ok(Builder {
            top: graph.input(),
            graph,
            weights: Vec::new(),
        })
    }

    /// What is there so far.
    pub(crate) fn network(&self) -> Network<f32> {
        self.clone().into_network()
    }

    /// The network, if nothing is added any more: large weights are not copied.
    pub(crate) fn into_network(self) -> Network<f32> {
        let network = Network::new(self.graph, self.weights);
        network.expect("as many finite numbers as each weight has")
    }

    fn shape(&self) -> [usize; 3] {
        let shape = &self.graph.value(self.top).shape[..];
        shape.try_into().expect("all values of the stages are maps")
    }

    fn weight(
        &mut self,
        name: String,
        shape: &[usize],
        numbers: Vec<f32>,
    ) -> Result<Operand, GraphError> {
        let id = self.graph.weight(&name, shape)?;
        self.weights.push(numbers);
        Ok(Operand::Weight(id))
    }

    /// An operator on the top and others; its output is the new top.
    fn add(&mut self, name: String, op: Op, others: &[Operand]) -> Result<ValueId, GraphError> {
        let operands = [&[Operand::Value(self.top)], others].concat();
        self.top = self.graph.node(&name, op, &operands, &name)?;
        Ok(self.top)
    }

    /// One filter for all positions; beyond the image's edges its outermost pixels go on.
    pub(crate) fn whiten(&mut self, name: &str, whitening: Whitening) -> Result<(), GraphError> {
        let Whitening { mean, kernel, side } = whitening;
        let channels = self.shape()[0];
        let mean = self.weight(format!("{name}.mean"), &[channels, 1, 1], mean)?;
        self.add(format!("{name}.centred"), Op::Binary(Binary::Sub), &[mean])?;
        let half = (side / 2) as i64;
        let pad = Pad {
            before: vec![0, half, half],
            after: vec![0, half, half],
            mode: PadMode::Edge,
        };
        self.add(format!("{name}.padded"), Op::Pad(pad), &[])?;
        let shape = [channels, channels, side, side];
        let kernel = self.weight(format!("{name}.kernel"), &shape, kernel)?;
        let window = Window::dense(&[side, side]);
        self.add(
            name.to_owned(),
            Op::Conv(Conv { window, groups: 1 }),
            &[kernel],
        )?;
        Ok(())
    }

    /// A whole stage; the value of its name is what it gives, `NAME.pool` what pooling gives.
    pub(crate) fn stage(
        &mut self,
        name: &str,
        stage: Stage,
        size: &Size,
        weights: Vec<f32>,
        normalise: bool,
    ) -> Result<(), GraphError> {
        self.filter(&format!("{name}.filters"), stage, size, weights)?;
        if normalise {
            self.pool(&format!("{name}.pool"), stage.pool)?;
            self.normalise(name)
        } else {
            self.pool(name, stage.pool)
        }
    }

    /// Local filtering: [maps, positions down, positions across].
    fn filter(
        &mut self,
        name: &str,
        stage: Stage,
        size: &Size,
        weights: Vec<f32>,
    ) -> Result<(), GraphError> {
        let (fields, maps) = (size.fields(stage), size.maps);
        let shape = [fields.count(), fields.field_len(), maps];
        let weight = self.weight(format!("{name}.weight"), &shape, weights)?;
        let local = Op::Local(Local { fields });
        self.add(format!("{name}.positions"), local, &[weight])?;
        let permutation = vec![1, 0];
        let transpose = Op::Transpose(Transpose { permutation });
        self.add(format!("{name}.maps"), transpose, &[])?;
        let shape = vec![maps, size.grid[0], size.grid[1]];
        self.add(name.to_owned(), Op::Reshape(Reshape { shape }), &[])?;
        Ok(())
    }

    /// L2 pooling: sqrt(epsilon + the sum of squares over `side` x `side` positions of each map).
    pub(crate) fn pool(&mut self, name: &str, side: usize) -> Result<(), GraphError> {
        let maps = self.shape()[0];
        let itself = Operand::Value(self.top);
        self.add(
            format!("{name}.squares"),
            Op::Binary(Binary::Mul),
            &[itself],
        )?;
        let ones = vec![1.0; maps * side * side];
        let ones = self.weight(format!("{name}.ones"), &[maps, 1, side, side], ones)?;
        let conv = Conv {
            window: Window::dense(&[side, side]),
            groups: maps,
        };
        self.add(format!("{name}.sums"), Op::Conv(conv), &[ones])?;
        let epsilon = self.weight(format!("{name}.epsilon"), &[1], vec![EPSILON as f32])?;
        self.add(
            format!("{name}.raised"),
            Op::Binary(Binary::Add),
            &[epsilon],
        )?;
        self.add(name.to_owned(), Op::Unary(Unary::Sqrt), &[])?;
        Ok(())
    }

    /// Local contrast normalisation: less the mean over the window and all maps, over the standard
    /// deviation there, or c if that is more; both Gaussian-weighted. At the edges the weights of what
    /// lies inside are raised to sum 1.
    pub(crate) fn normalise(&mut self, name: &str) -> Result<(), GraphError> {
        let [maps, height, width] = self.shape();
        let half = WINDOW / 2;
        let bell = |i: usize| (-((i as f64 - half as f64) / SPREAD).powi(2) / 2.0).exp();
        let total: f64 = (0..WINDOW).map(bell).sum();
        let gauss = |i: usize| bell(i) / total;
        let of_map = (0..WINDOW * WINDOW)
            .map(|i| (gauss(i / WINDOW) * gauss(i % WINDOW) / maps as f64) as f32);
        let kernel: Vec<f32> = of_map.collect::<Vec<_>>().repeat(maps);
        let shape = [1, maps, WINDOW, WINDOW];
        let kernel = self.weight(format!("{name}.window"), &shape, kernel)?;
        let inside = |at: usize, size: usize| -> f64 {
            let inside = (0..WINDOW).filter(|i| (half..size + half).contains(&(at + i)));
            inside.map(gauss).sum()
        };
        let edges = (0..height * width)
            .map(|i| (1.0 / (inside(i / width, height) * inside(i % width, width))) as f32);
        let edges = self.weight(
            format!("{name}.edges"),
            &[1, height, width],
            edges.collect(),
        )?;
        let window = Window {
            before: vec![half; 2],
            after: vec![half; 2],
            ..Window::dense(&[WINDOW, WINDOW])
        };
        let sums = Op::Conv(Conv { window, groups: 1 });
        let [mul, sub, max, div] =
            [Binary::Mul, Binary::Sub, Binary::Max, Binary::Div].map(Op::Binary);
        let x = self.top;
        self.add(format!("{name}.sums"), sums.clone(), &[kernel])?;
        let means = self.add(format!("{name}.means"), mul.clone(), &[edges])?;
        self.top = x;
        let centred = self.add(format!("{name}.centred"), sub, &[Operand::Value(means)])?;
        let itself = [Operand::Value(centred)];
        self.add(format!("{name}.squares"), mul.clone(), &itself)?;
        self.add(format!("{name}.square sums"), sums, &[kernel])?;
        self.add(format!("{name}.variances"), mul, &[edges])?;
        // Under the root, so that its slope stays finite where there is no contrast at all.
        let floor = vec![(FLOOR * FLOOR) as f32];
        let floor = self.weight(format!("{name}.floor"), &[1], floor)?;
        self.add(format!("{name}.raised"), max, &[floor])?;
        let root = Op::Unary(Unary::Sqrt);
        let deviations = self.add(format!("{name}.deviations"), root, &[])?;
        self.top = centred;
        self.add(name.to_owned(), div, &[Operand::Value(deviations)])?;
        Ok(())
    }
}

/// A network with a linear classifier of two classes on what it gives: logits -z / 2 and z / 2, where
/// z = `weights` x + `bias`.
pub(crate) fn with_classifier(
    features: &Network<f32>,
    weights: &[f32],
    bias: f32,
) -> Result<Network<f32>, GraphError> {
    let output = features.graph().value(features.graph().output());
    let mut graph = Graph::new("features", &output.shape)?;
    let shape = vec![weights.len()];
    let flat = [Operand::Value(graph.input())];
    let flat = graph.node("flat", Op::Reshape(Reshape { shape }), &flat, "flat")?;
    let weight = graph.weight("classifier.weight", &[weights.len(), 2])?;
    let half = graph.weight("classifier.bias", &[2])?;
    let operands = [
        Operand::Value(flat),
        Operand::Weight(weight),
        Operand::Weight(half),
    ];
    let gemm = Op::Gemm(Gemm { trans_b: false });
    graph.node("classifier", gemm, &operands, "logits")?;
    let both = |number: f32| [-number / 2.0, number / 2.0];
    let numbers = vec![
        weights.iter().flat_map(|&weight| both(weight)).collect(),
        both(bias).to_vec(),
    ];
    let top = Network::new(graph, numbers).expect("as many finite numbers as each weight has");
    top.after(features.clone())
}
