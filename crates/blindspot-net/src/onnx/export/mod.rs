//! What each operator of a network is in ONNX.
//!
//! The batch's axis is written in front of all others, so an axis of an image is one more in ONNX.
//! Where ONNX has no such operator, or not for these operands, it is several nodes.

mod file;

use std::collections::{HashMap, HashSet};

pub use file::write;

use super::proto::*;
use crate::graph::{Graph, Node, Operand};
use crate::ops::{
    Binary, Concat, Conv, Gemm, Local, Normalize, Op, Pad, PadMode, Pool, PoolKind, Reduce,
    ReduceKind, Slice, Unary, Window,
};

/// The version of ONNX's operators that is written: one that every runtime of the last years has.
const OPSET: i64 = 17;
/// The first version in which the windows of AveragePool may have dilations.
const OPSET_OF_DILATED_AVERAGES: i64 = 19;

/// The nodes of a network, and the constants that they take besides its weights.
pub(super) struct Export<'a> {
    graph: &'a Graph,
    /// The names that are taken.
    names: HashSet<String>,
    /// How many nodes had each name so far: a node of a file that was read may be several here.
    node_names: HashMap<String, usize>,
    pub(super) nodes: Vec<NodeProto>,
    pub(super) constants: Vec<TensorProto>,
    pub(super) opset: i64,
}

impl<'a> Export<'a> {
    pub(super) fn new(graph: &'a Graph) -> Self {
        let values = graph.values().iter().map(|value| &value.name);
        let weights = graph.weights().iter().map(|weight| &weight.name);
        let dilated = |node: &Node| match &node.op {
            Op::Pool(Pool { kind, window, .. }) => {
                *kind != PoolKind::Max && window.dilations.iter().any(|&dilation| dilation > 1)
            }
            _ => false,
        };
        let mut export = Export {
            graph,
            names: values.chain(weights).cloned().collect(),
            node_names: HashMap::new(),
            nodes: Vec::new(),
            constants: Vec::new(),
            opset: if graph.nodes().iter().any(dilated) {
                OPSET_OF_DILATED_AVERAGES
            } else {
                OPSET
            },
        };
        for node in graph.nodes() {
            export.node(node);
        }
        export
    }

    fn node(&mut self, node: &Node) {
        let inputs: Vec<String> = node.inputs.iter().map(|input| self.name(input)).collect();
        let plain = |attributes| (node.op.name(), inputs.clone(), attributes);
        let with = |input: String| [&inputs[..], &[input]].concat();
        let shape = self.shape(&node.inputs[0]);
        let axis = |axis: usize| integer("axis", axis as i64 + 1);
        let (op_type, inputs, attributes) = match &node.op {
            Op::Unary(op) => return self.unary(node, *op, &inputs[0]),
            Op::Binary(op) => return self.binary(node, *op),
            Op::Where(_) => return self.choose(node),
            Op::Normalize(op) => return self.normalize(node, *op, inputs, &shape),
            Op::Gemm(op) => return self.gemm(node, *op, inputs),
            Op::Concat(op) => return self.concat(node, *op, inputs),
            Op::MatMul(_) => ("MatMul", self.aligned(node), Vec::new()),
            Op::Local(op) => return self.local(node, op, inputs),
            Op::Conv(Conv { window, groups }) => {
                let mut attributes = windows(window);
                attributes.push(integer("group", *groups as i64));
                plain(attributes)
            }
            Op::Pool(Pool { kind, window, ceil }) => {
                let mut attributes = windows(window);
                attributes.push(integer("ceil_mode", i64::from(*ceil)));
                if let PoolKind::Average { count_padding } = *kind {
                    attributes.push(integer("count_include_pad", i64::from(count_padding)));
                    if self.opset < OPSET_OF_DILATED_AVERAGES {
                        attributes.retain(|attribute| attribute.name != "dilations");
                    }
                }
                plain(attributes)
            }
            Op::Lrn(op) => plain(vec![
                integer("size", op.size as i64),
                float("alpha", op.alpha),
                float("beta", op.beta),
                float("bias", op.bias),
            ]),
            Op::Softmax(op) => plain(vec![axis(op.axis)]),
            Op::Reduce(op) => return self.reduce(node, op, inputs),
            Op::TopK(op) => {
                let k = self.whole(node, "k", vec![op.k as i64]);
                let attributes = vec![axis(op.axis), integer("largest", i64::from(op.largest))];
                self.emit(node, "TopK", with(k), attributes);
                // Their positions, which nothing uses.
                let positions = self.fresh(node, "positions");
                let last = self.nodes.last_mut();
                return last
                    .into_iter()
                    .for_each(|node| node.output.push(positions.clone()));
            }
            Op::Reshape(op) => {
                let shape = self.shape_with_batch(node, &op.shape);
                ("Reshape", with(shape), Vec::new())
            }
            Op::Transpose(op) => {
                let axes = op.permutation.iter().map(|&axis| axis as i64 + 1);
                plain(vec![integers(
                    "perm",
                    std::iter::once(0).chain(axes).collect(),
                )])
            }
            Op::Slice(op) => return self.slice(node, op, inputs, &shape),
            Op::Gather(op) => {
                let positions = op
                    .positions
                    .iter()
                    .map(|&position| position as i64)
                    .collect();
                let positions = self.whole(node, "positions", positions);
                ("Gather", with(positions), vec![axis(op.axis)])
            }
            Op::Pad(op) => return self.pad(node, op, inputs),
            Op::Dropout(op) => {
                let ratio = self.number(node, "ratio", op.ratio);
                ("Dropout", with(ratio), Vec::new())
            }
        };
        self.emit(node, op_type, inputs, attributes);
    }

    fn unary(&mut self, node: &Node, op: Unary, x: &str) {
        let x = x.to_owned();
        match op {
            Unary::Gelu { tanh: false } => {
                // x (1 + erf(x / sqrt 2)) / 2
                let scale = std::f64::consts::FRAC_1_SQRT_2;
                let scaled = self.scaled(node, &x, scale);
                let erf = self.helper(node, "Erf", vec![scaled]);
                self.gated(node, x, erf);
            }
            Unary::Gelu { tanh: true } => {
                // x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2
                let scale = std::f64::consts::FRAC_1_SQRT_2 * std::f64::consts::FRAC_2_SQRT_PI;
                let square = self.helper(node, "Mul", vec![x.clone(), x.clone()]);
                let cube = self.helper(node, "Mul", vec![square, x.clone()]);
                let cube = self.scaled(node, &cube, 0.044_715);
                let sum = self.helper(node, "Add", vec![x.clone(), cube]);
                let scaled = self.scaled(node, &sum, scale);
                let tanh = self.helper(node, "Tanh", vec![scaled]);
                self.gated(node, x, tanh);
            }
            Unary::Clip { min, max } => {
                let mut inputs = vec![x];
                for (name, end, open) in
                    [("min", min, f64::NEG_INFINITY), ("max", max, f64::INFINITY)]
                {
                    // An open end is an input left out.
                    inputs.push(if end == open {
                        String::new()
                    } else {
                        self.number(node, name, end)
                    });
                }
                let given = inputs.iter().rposition(|input| !input.is_empty());
                inputs.truncate(given.map_or(1, |last| last + 1));
                self.emit(node, op.name(), inputs, Vec::new());
            }
            Unary::Swish { alpha } => {
                let scaled = self.scaled(node, &x, alpha);
                let gate = self.helper(node, "Sigmoid", vec![scaled]);
                self.emit(node, "Mul", vec![x, gate], Vec::new());
            }
            Unary::Mish => {
                let gate = self.helper(node, "Softplus", vec![x.clone()]);
                let gate = self.helper(node, "Tanh", vec![gate]);
                self.emit(node, "Mul", vec![x, gate], Vec::new());
            }
            Unary::LeakyRelu { alpha }
            | Unary::Elu { alpha }
            | Unary::Celu { alpha }
            | Unary::ThresholdedRelu { alpha } => {
                self.emit(node, op.name(), vec![x], vec![float("alpha", alpha)]);
            }
            Unary::Selu { alpha, gamma } => {
                let attributes = vec![float("alpha", alpha), float("gamma", gamma)];
                self.emit(node, op.name(), vec![x], attributes);
            }
            Unary::Shrink { lambda, bias } => {
                let attributes = vec![float("lambd", lambda), float("bias", bias)];
                self.emit(node, op.name(), vec![x], attributes);
            }
            Unary::Not => {
                let truth = self.cast(node, x, BOOL);
                self.truth(node, op.name(), vec![truth], Vec::new());
            }
            Unary::IsNan => self.truth(node, op.name(), vec![x], Vec::new()),
            Unary::IsInf { negative, positive } => {
                let attributes = vec![
                    integer("detect_negative", i64::from(negative)),
                    integer("detect_positive", i64::from(positive)),
                ];
                self.truth(node, op.name(), vec![x], attributes);
            }
            Unary::HardSigmoid { alpha, beta } => {
                let attributes = vec![float("alpha", alpha), float("beta", beta)];
                self.emit(node, op.name(), vec![x], attributes);
            }
            _ => self.emit(node, op.name(), vec![x], Vec::new()),
        }
    }

    /// x (1 + gate) / 2.
    fn gated(&mut self, node: &Node, x: String, gate: String) {
        let one = self.number(node, "one", 1.0);
        let gate = self.helper(node, "Add", vec![gate, one]);
        let half = self.scaled(node, &x, 0.5);
        self.emit(node, "Mul", vec![half, gate], Vec::new());
    }

    fn binary(&mut self, node: &Node, op: Binary) {
        let inputs = self.aligned(node);
        let output = &self.graph.value(node.output).shape;
        let own =
            matches!(&node.inputs[0], Operand::Value(id) if self.graph.value(*id).shape == *output);
        if op == Binary::PRelu && !own {
            // ONNX repeats the slopes only: max(a, 0) + min(a, 0) b.
            let [a, b] = &inputs[..] else {
                unreachable!("two operands")
            };
            let zero = self.number(node, "zero", 0.0);
            let above = self.helper(node, "Relu", vec![a.clone()]);
            let below = self.helper(node, "Min", vec![a.clone(), zero]);
            let below = self.helper(node, "Mul", vec![below, b.clone()]);
            return self.emit(node, "Add", vec![above, below], Vec::new());
        }
        if op.is_comparison() {
            return self.truth(node, op.name(), inputs, Vec::new());
        }
        let attributes = (op == Binary::Mod).then(|| integer("fmod", 1));
        self.emit(node, op.name(), inputs, attributes.into_iter().collect());
    }

    /// An operator that gives truth values, as 1 and 0.
    fn truth(
        &mut self,
        node: &Node,
        op_type: &str,
        inputs: Vec<String>,
        attributes: Vec<AttributeProto>,
    ) {
        let truth = self.helper_with(node, op_type, inputs, attributes);
        let to = vec![integer("to", i64::from(FLOAT))];
        self.emit(node, "Cast", vec![truth], to);
    }

    /// A value in another type.
    fn cast(&mut self, node: &Node, x: String, data_type: i32) -> String {
        let to = vec![integer("to", i64::from(data_type))];
        self.helper_with(node, "Cast", vec![x], to)
    }

    fn choose(&mut self, node: &Node) {
        let mut inputs = self.aligned(node);
        inputs[0] = self.cast(node, inputs[0].clone(), BOOL);
        self.emit(node, "Where", inputs, Vec::new());
    }

    fn normalize(&mut self, node: &Node, op: Normalize, inputs: Vec<String>, shape: &[usize]) {
        let row = &shape[op.axis..];
        if op.centred {
            let scale = self.fresh(node, "scale");
            let dims = row.iter().map(|&size| size as i64).collect();
            let ones = vec![1.0; row.iter().product()];
            self.constants.push(tensor(&scale, dims, &ones));
            let attributes = vec![
                integer("axis", op.axis as i64 + 1),
                float("epsilon", op.epsilon),
            ];
            let inputs = vec![inputs[0].clone(), scale];
            return self.emit(node, op.name(), inputs, attributes);
        }
        // x / sqrt(mean of squares + epsilon), which runtimes have for longer.
        let x = inputs[0].clone();
        let square = self.helper(node, "Mul", vec![x.clone(), x.clone()]);
        let axes = (op.axis..shape.len()).collect();
        let (inputs, attributes) = self.over_axes(node, vec![square], axes, true, false);
        let mean = self.helper_with(node, "ReduceMean", inputs, attributes);
        let epsilon = self.number(node, "epsilon", op.epsilon);
        let mean = self.helper(node, "Add", vec![mean, epsilon]);
        let root = self.helper(node, "Sqrt", vec![mean]);
        self.emit(node, "Div", vec![x, root], Vec::new());
    }

    fn gemm(&mut self, node: &Node, op: Gemm, mut inputs: Vec<String>) {
        // Gemm is for matrices, a batch of rows; a value with more axes takes MatMul.
        if self.shape(&node.inputs[0]).len() == 1 {
            let attributes = op.trans_b.then(|| integer("transB", 1));
            return self.emit(node, "Gemm", inputs, attributes.into_iter().collect());
        }
        let bias = (inputs.len() > 2).then(|| inputs.remove(2));
        if op.trans_b {
            let weight = inputs.pop().expect("it has a weight");
            inputs.push(self.helper(node, "Transpose", vec![weight]));
        }
        match bias {
            None => self.emit(node, "MatMul", inputs, Vec::new()),
            Some(bias) => {
                let product = self.helper(node, "MatMul", inputs);
                self.emit(node, "Add", vec![product, bias], Vec::new());
            }
        }
    }

    /// Each position's field as a row of its own, times that position's matrix: [batch, positions,
    /// 1, field] by [positions, field, maps].
    fn local(&mut self, node: &Node, op: &Local, inputs: Vec<String>) {
        let flat = self.shape_with_batch(node, &[self.shape(&node.inputs[0]).iter().product()]);
        let flat = self.helper(node, "Reshape", vec![inputs[0].clone(), flat]);
        let (count, length) = (op.fields.count(), op.fields.field_len());
        let places = op.fields.places().iter().map(|&place| place as i64);
        let places = self.whole(node, "fields", places.collect());
        if let Some(constant) = self.constants.last_mut() {
            constant.dims = vec![count as i64, 1, length as i64];
        }
        let rows = self.fresh(node, "gather");
        let along = vec![integer("axis", 1)];
        self.push(
            rows.clone(),
            rows.clone(),
            "Gather",
            vec![flat, places],
            along,
        );
        let product = self.helper(node, "MatMul", vec![rows, inputs[1].clone()]);
        let shape = self.graph.value(node.output).shape.clone();
        let shape = self.shape_with_batch(node, &shape);
        self.emit(node, "Reshape", vec![product, shape], Vec::new());
    }

    fn concat(&mut self, node: &Node, op: Concat, mut inputs: Vec<String>) {
        let value = node
            .inputs
            .iter()
            .position(|operand| matches!(operand, Operand::Value(_)))
            .expect("one depends on the image");
        let value = inputs[value].clone();
        for (input, operand) in inputs.iter_mut().zip(&node.inputs) {
            if let Operand::Weight(_) = operand {
                // A weight is repeated for each image of the batch.
                let shape = self
                    .shape(operand)
                    .iter()
                    .map(|&size| size as i64)
                    .collect();
                let one = self.whole(node, "shape", shape);
                let ends = vec![integer("start", 0), integer("end", 1)];
                let batch = self.fresh(node, "batch");
                self.push(
                    batch.clone(),
                    batch.clone(),
                    "Shape",
                    vec![value.clone()],
                    ends,
                );
                let all = self.fresh(node, "shapes");
                let joined = vec![batch, one];
                self.push(
                    all.clone(),
                    all.clone(),
                    "Concat",
                    joined,
                    vec![integer("axis", 0)],
                );
                *input = self.helper(node, "Expand", vec![input.clone(), all]);
            }
        }
        let axis = integer("axis", op.axis as i64 + 1);
        self.emit(node, "Concat", inputs, vec![axis]);
    }

    fn reduce(&mut self, node: &Node, op: &Reduce, inputs: Vec<String>) {
        if op.axes.is_empty() {
            // ONNX would take all axes.
            return self.emit(node, "Identity", inputs, Vec::new());
        }
        let sum = op.kind == ReduceKind::Sum;
        let (inputs, attributes) = self.over_axes(node, inputs, op.axes.clone(), op.keep_axes, sum);
        self.emit(node, op.name(), inputs, attributes);
    }

    /// Inputs and attributes of a reduction over some axes of an image, `sum` if it is ReduceSum.
    fn over_axes(
        &mut self,
        node: &Node,
        mut inputs: Vec<String>,
        axes: Vec<usize>,
        keep_axes: bool,
        sum: bool,
    ) -> (Vec<String>, Vec<AttributeProto>) {
        let axes = axes.into_iter().map(|axis| axis as i64 + 1).collect();
        let mut attributes = vec![integer("keepdims", i64::from(keep_axes))];
        // The sum's axes became an input in version 13, the others' in version 18.
        if sum || self.opset >= 18 {
            inputs.push(self.whole(node, "axes", axes));
        } else {
            attributes.push(integers("axes", axes));
        }
        (inputs, attributes)
    }

    fn slice(&mut self, node: &Node, op: &Slice, mut inputs: Vec<String>, shape: &[usize]) {
        if op.axes.is_empty() {
            return self.emit(node, "Identity", inputs, Vec::new());
        }
        let (mut starts, mut ends) = (Vec::new(), Vec::new());
        let (mut axes, mut steps) = (Vec::new(), Vec::new());
        for part in &op.axes {
            let step = if part.length == 1 { 1 } else { part.step };
            let last = part.start as i64 + step * (part.length as i64 - 1);
            starts.push(part.start as i64);
            // Numbers below 0 count from the end: before the first one is further away than it is
            // long.
            ends.push(match last + step.signum() {
                -1 => -(shape[part.axis] as i64) - 1,
                end => end,
            });
            axes.push(part.axis as i64 + 1);
            steps.push(step);
        }
        for (name, numbers) in [
            ("starts", starts),
            ("ends", ends),
            ("axes", axes),
            ("steps", steps),
        ] {
            inputs.push(self.whole(node, name, numbers));
        }
        self.emit(node, "Slice", inputs, Vec::new());
    }

    fn pad(&mut self, node: &Node, op: &Pad, mut inputs: Vec<String>) {
        let sides = [&[0][..], &op.before, &[0], &op.after].concat();
        inputs.push(self.whole(node, "pads", sides));
        let mode = match op.mode {
            PadMode::Constant(constant) => {
                inputs.push(self.number(node, "constant", constant));
                "constant"
            }
            PadMode::Reflect => "reflect",
            PadMode::Edge => "edge",
        };
        self.emit(node, "Pad", inputs, vec![string("mode", mode)]);
    }

    /// A node's operands, brought to as many axes as the output has where ONNX would align them
    /// another way: it takes the batch's axis for one like the others.
    fn aligned(&mut self, node: &Node) -> Vec<String> {
        let rank = self.graph.value(node.output).shape.len();
        let operands = node.inputs.iter().map(|operand| {
            let (name, shape) = (self.name(operand), self.shape(operand));
            let value = matches!(operand, Operand::Value(_));
            if value && shape.len() < rank {
                let ones = vec![1; rank - shape.len()];
                let shape = self.shape_with_batch(node, &[ones, shape].concat());
                self.helper(node, "Reshape", vec![name, shape])
            } else if !value && shape.len() > rank + 1 {
                // The first ones are of length 1, or the output had them.
                let shape = shape[shape.len() - rank..].iter().map(|&size| size as i64);
                let shape = self.whole(node, "shape", shape.collect());
                self.helper(node, "Reshape", vec![name, shape])
            } else {
                name
            }
        });
        operands.collect()
    }

    /// The shape as a constant for Reshape; 0 keeps the batch's axis as it is.
    fn shape_with_batch(&mut self, node: &Node, shape: &[usize]) -> String {
        let sizes = shape.iter().map(|&size| size as i64);
        self.whole(node, "shape", std::iter::once(0).chain(sizes).collect())
    }

    /// A value times a number.
    fn scaled(&mut self, node: &Node, x: &str, factor: f64) -> String {
        let factor = self.number(node, "factor", factor);
        self.helper(node, "Mul", vec![x.to_owned(), factor])
    }

    /// A constant of whole numbers.
    fn whole(&mut self, node: &Node, what: &str, numbers: Vec<i64>) -> String {
        let name = self.fresh(node, what);
        self.constants.push(TensorProto {
            dims: vec![numbers.len() as i64],
            data_type: INT64,
            name: name.clone(),
            raw_data: numbers
                .iter()
                .flat_map(|number| number.to_le_bytes())
                .collect(),
            ..TensorProto::default()
        });
        name
    }

    /// A constant of one number.
    fn number(&mut self, node: &Node, what: &str, number: f64) -> String {
        let name = self.fresh(node, what);
        self.constants
            .push(tensor(&name, Vec::new(), &[number as f32]));
        name
    }

    /// A node on the way to the output of a node of the network; gives the name of what it gives.
    fn helper(&mut self, node: &Node, op_type: &str, inputs: Vec<String>) -> String {
        self.helper_with(node, op_type, inputs, Vec::new())
    }

    /// The same with attributes.
    fn helper_with(
        &mut self,
        node: &Node,
        op_type: &str,
        inputs: Vec<String>,
        attributes: Vec<AttributeProto>,
    ) -> String {
        let output = self.fresh(node, &op_type.to_lowercase());
        self.push(output.clone(), output.clone(), op_type, inputs, attributes);
        output
    }

    /// The node that gives the output of a node of the network.
    fn emit(
        &mut self,
        node: &Node,
        op_type: &str,
        inputs: Vec<String>,
        attributes: Vec<AttributeProto>,
    ) {
        let output = self.graph.value(node.output).name.clone();
        self.push(node.name.clone(), output, op_type, inputs, attributes);
    }

    fn push(
        &mut self,
        name: String,
        output: String,
        op_type: &str,
        input: Vec<String>,
        attribute: Vec<AttributeProto>,
    ) {
        // Runtimes want each name once.
        let count = self.node_names.entry(name.clone()).or_default();
        *count += 1;
        let name = match *count {
            1 => name,
            copy => format!("{name} ({copy})"),
        };
        self.nodes.push(NodeProto {
            input,
            output: vec![output],
            name,
            op_type: op_type.to_owned(),
            attribute,
            ..NodeProto::default()
        });
    }

    /// A name that nothing has, after a node's output.
    fn fresh(&mut self, node: &Node, what: &str) -> String {
        let output = &self.graph.value(node.output).name;
        let mut name = format!("{output}/{what}");
        let mut copy = 1;
        while !self.names.insert(name.clone()) {
            copy += 1;
            name = format!("{output}/{what} {copy}");
        }
        name
    }

    fn name(&self, operand: &Operand) -> String {
        match *operand {
            Operand::Value(id) => self.graph.value(id).name.clone(),
            Operand::Weight(id) => self.graph.weights()[id.index()].name.clone(),
        }
    }

    fn shape(&self, operand: &Operand) -> Vec<usize> {
        match *operand {
            Operand::Value(id) => self.graph.value(id).shape.clone(),
            Operand::Weight(id) => self.graph.weights()[id.index()].shape.clone(),
        }
    }
}

/// A constant of real numbers.
pub(super) fn tensor(name: &str, dims: Vec<i64>, numbers: &[f32]) -> TensorProto {
    TensorProto {
        dims,
        data_type: FLOAT,
        name: name.to_owned(),
        raw_data: numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect(),
        ..TensorProto::default()
    }
}

/// Where windows stand.
fn windows(window: &Window) -> Vec<AttributeProto> {
    let sizes = |sizes: &[usize]| sizes.iter().map(|&size| size as i64).collect();
    vec![
        integers("kernel_shape", sizes(&window.kernel)),
        integers("strides", sizes(&window.strides)),
        integers("dilations", sizes(&window.dilations)),
        integers("pads", sizes(&[&window.before[..], &window.after].concat())),
    ]
}

fn integer(name: &str, i: i64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        i,
        r#type: ATTRIBUTE_INT,
        ..AttributeProto::default()
    }
}

fn integers(name: &str, ints: Vec<i64>) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        ints,
        r#type: ATTRIBUTE_INTS,
        ..AttributeProto::default()
    }
}

fn float(name: &str, f: f64) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        f: f as f32,
        r#type: ATTRIBUTE_FLOAT,
        ..AttributeProto::default()
    }
}

fn string(name: &str, s: &str) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        s: s.as_bytes().to_vec(),
        r#type: ATTRIBUTE_STRING,
        ..AttributeProto::default()
    }
}
