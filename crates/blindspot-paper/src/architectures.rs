//! Section 2: the paper's convolutional networks, with random weights.

use blindspot_net::ops::{Conv, Dropout, Gemm, Lrn, Pool, PoolKind, Reshape, Unary, Window};
use blindspot_net::{Graph, GraphError, Network, Op, Operand, ValueId, WeightId};

use blindspot::run::random::Stream;

/// `conv`, the paper's convolutional network for MNIST: one convolution (5x5, 32 maps, ReLU), max
/// pooling (2x2), a fully connected layer (128 units, ReLU), dropout (a half of it), and the
/// classifier. Takes [1, 28, 28], gives 10 logits. The values to look at are `conv1`, `pool1` and
/// `hidden1`.
pub fn conv(seed: u64) -> Network<f32> {
    let mut build = Builder::new("conv", [1, 28, 28], seed);
    build
        .convolution("conv1", 32, Window::dense(&[5, 5]))
        .pool("pool1", Window::tiles(&[2, 2]))
        .flatten("features")
        .dense("hidden1", 128)
        .dropout("dropout1")
        .logits(10);
    build.network()
}

/// AlexNet as a single tower (Krizhevsky et al. 2012; the sizes of the paper's table 5): five
/// convolutions, local response normalisation after the first two, overlapping max pooling, three
/// fully connected layers with dropout. Takes [3, 227, 227], gives 1000 logits; 62 million weights.
pub fn alexnet(seed: u64) -> Network<f32> {
    let padded = |kernel: usize, padding: usize| Window {
        before: vec![padding; 2],
        after: vec![padding; 2],
        ..Window::dense(&[kernel; 2])
    };
    let strided = |kernel: usize, stride: usize| Window {
        strides: vec![stride; 2],
        ..Window::dense(&[kernel; 2])
    };
    let overlapping = strided(3, 2);
    let mut build = Builder::new("alexnet", [3, 227, 227], seed);
    build
        .convolution("conv1", 96, strided(11, 4))
        .response_normalisation("norm1")
        .pool("pool1", overlapping.clone())
        .convolution("conv2", 256, padded(5, 2))
        .response_normalisation("norm2")
        .pool("pool2", overlapping.clone())
        .convolution("conv3", 384, padded(3, 1))
        .convolution("conv4", 384, padded(3, 1))
        .convolution("conv5", 256, padded(3, 1))
        .pool("pool5", overlapping)
        .flatten("features")
        .dense("fc6", 4096)
        .dropout("dropout6")
        .dense("fc7", 4096)
        .dropout("dropout7")
        .logits(1000);
    build.network()
}

/// Layers stacked on each other; weights normal with variance 2 / inputs of a unit (He et al. 2015)
/// below a ReLU, 1 / inputs for the logits; biases 0.
struct Builder {
    name: &'static str,
    seed: u64,
    graph: Graph,
    weights: Vec<Vec<f32>>,
    top: ValueId,
}

/// What holds for the networks above: their layers fit.
const FIT: &str = "the layers of a published network fit each other";

impl Builder {
    fn new(name: &'static str, input: [usize; 3], seed: u64) -> Builder {
        let graph = Graph::new("image", &input).expect(FIT);
        let top = graph.input();
        Builder {
            name,
            seed,
            graph,
            weights: Vec::new(),
            top,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.graph.value(self.top).shape
    }

    fn add(&mut self, name: &str, op: Op, weights: &[WeightId]) -> &mut Self {
        let operands = weights.iter().map(|&weight| Operand::Weight(weight));
        let operands: Vec<Operand> = std::iter::once(Operand::Value(self.top))
            .chain(operands)
            .collect();
        self.top = self.graph.node(name, op, &operands, name).expect(FIT);
        self
    }

    /// A layer's weight and bias.
    fn weights(
        &mut self,
        layer: &str,
        shape: &[usize],
        inputs: usize,
        units: usize,
        gain: f64,
    ) -> [WeightId; 2] {
        let mut make = || {
            let weight = self.graph.weight(&format!("{layer}.weight"), shape)?;
            let bias = self.graph.weight(&format!("{layer}.bias"), &[units])?;
            Ok::<_, GraphError>([weight, bias])
        };
        let ids = make().expect(FIT);
        let purpose = format!("weights of {} {layer}", self.name);
        let mut stream = Stream::new(self.seed, &purpose, 0);
        let deviation = (gain / inputs as f64).sqrt();
        let count = shape.iter().product();
        let normal = std::iter::repeat_with(|| (stream.normal() * deviation) as f32);
        self.weights.push(normal.take(count).collect());
        self.weights.push(vec![0.0; units]);
        ids
    }

    /// A convolution and a ReLU.
    fn convolution(&mut self, name: &str, features: usize, window: Window) -> &mut Self {
        let channels = self.shape()[0];
        let shape: Vec<usize> = [features, channels]
            .into_iter()
            .chain(window.kernel.clone())
            .collect();
        let inputs = shape[1..].iter().product();
        let weights = self.weights(name, &shape, inputs, features, 2.0);
        let op = Op::Conv(Conv { window, groups: 1 });
        self.add(&format!("{name}.sum"), op, &weights);
        self.add(name, Op::Unary(Unary::Relu), &[])
    }

    fn response_normalisation(&mut self, name: &str) -> &mut Self {
        // The original's k = 2 and alpha = 1e-4 for the sum; ONNX divides alpha by the size.
        let op = Lrn {
            size: 5,
            alpha: 5e-4,
            beta: 0.75,
            bias: 2.0,
        };
        self.add(name, Op::Lrn(op), &[])
    }

    fn pool(&mut self, name: &str, window: Window) -> &mut Self {
        let op = Pool {
            kind: PoolKind::Max,
            window,
            ceil: false,
        };
        self.add(name, Op::Pool(op), &[])
    }

    fn flatten(&mut self, name: &str) -> &mut Self {
        let shape = vec![self.shape().iter().product()];
        self.add(name, Op::Reshape(Reshape { shape }), &[])
    }

    fn linear(&mut self, layer: &str, output: &str, units: usize, gain: f64) -> &mut Self {
        let inputs = self.shape()[0];
        let weights = self.weights(layer, &[inputs, units], inputs, units, gain);
        self.add(output, Op::Gemm(Gemm { trans_b: false }), &weights)
    }

    /// A fully connected layer and a ReLU.
    fn dense(&mut self, name: &str, units: usize) -> &mut Self {
        self.linear(name, &format!("{name}.sum"), units, 2.0)
            .add(name, Op::Unary(Unary::Relu), &[])
    }

    fn dropout(&mut self, name: &str) -> &mut Self {
        self.add(name, Op::Dropout(Dropout { ratio: 0.5 }), &[])
    }

    fn logits(&mut self, classes: usize) -> &mut Self {
        self.linear("classifier", "logits", classes, 1.0)
    }

    fn network(self) -> Network<f32> {
        Network::new(self.graph, self.weights).expect(FIT)
    }
}
