//! Operators of `com.microsoft` that onnxruntime's optimiser leaves in a file, as the ONNX operators
//! that they were made of.
//!
//! Source: ContribOperators.md of the onnxruntime project.

use crate::onnx::proto::{
    ATTRIBUTE_FLOAT, ATTRIBUTE_STRING, AttributeProto, FLOAT, NodeProto, TensorProto,
};

/// The domain of operators that stand in no file.
pub(super) const OWN_DOMAIN: &str = "blindspot";

/// A Transpose of the last two axes, however many stand before them.
pub(super) const SWAP_LAST_AXES: &str = "SwapLastAxes";

/// The operators of `com.microsoft` that are read, in the order of the alphabet; QuickGelu and its
/// kin are what they say, the others what ONNX's own operators give one after the other.
pub const FUSED: [&str; 10] = [
    "BiasGelu",
    "FastGelu",
    "FusedConv",
    "FusedGemm",
    "FusedMatMul",
    "Gelu",
    "QuickGelu",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
    "TransposeMatMul",
];

/// The nodes that one of [`FUSED`] stands for; `None` if it is none, or has an attribute or input
/// that they could not express.
pub(super) fn unfused(node: &NodeProto) -> Option<Vec<NodeProto>> {
    if node.domain != "com.microsoft" {
        return None;
    }
    let mut parts = Parts {
        node,
        nodes: Vec::new(),
    };
    match node.op_type.as_str() {
        "BiasGelu" => {
            let sum = parts.add(node.input.first()?, node.input.get(1)?);
            parts.last("Gelu", &[&sum], vec![]);
        }
        "FastGelu" => {
            let x = match parts.given(1) {
                Some(bias) => parts.add(node.input.first()?, bias),
                None => node.input.first()?.clone(),
            };
            parts.last("Gelu", &[&x], vec![text("approximate", "tanh")]);
        }
        "Gelu" => parts.last("Gelu", &[node.input.first()?], vec![]),
        "QuickGelu" => {
            let x = node.input.first()?;
            let alpha = parts.constant("alpha", parts.float("alpha").unwrap_or(1.702));
            let scaled = parts.step("Mul", &[x, &alpha], vec![]);
            let gate = parts.step("Sigmoid", &[&scaled], vec![]);
            parts.last("Mul", &[x, &gate], vec![]);
        }
        "FusedConv" => {
            let own = ["activation", "activation_params"];
            let inputs: Vec<&str> = node.input.iter().take(3).map(String::as_str).collect();
            let conv = parts.step("Conv", &inputs, parts.attributes_but(&own));
            // A fourth input is added before the activation.
            let sum = match parts.given(3) {
                Some(other) => parts.add(&conv, other),
                None => conv,
            };
            parts.activation(&sum, parts.floats("activation_params"))?;
        }
        "FusedGemm" => {
            let alpha = parts.float("activation_alpha");
            let parameters: Vec<f32> = [alpha, parts.float("activation_beta")]
                .into_iter()
                .map_while(|parameter| parameter)
                .collect();
            let own = [
                "activation",
                "activation_alpha",
                "activation_beta",
                "activation_gamma",
            ];
            let inputs: Vec<&str> = node.input.iter().map(String::as_str).collect();
            let gemm = parts.step("Gemm", &inputs, parts.attributes_but(&own));
            parts.activation(&gemm, &parameters)?;
        }
        "FusedMatMul" | "TransposeMatMul" => parts.matmul()?,
        "SkipLayerNormalization" => {
            let sum = parts.skip_sum(2..4, 4)?;
            let inputs: Vec<&str> = [Some(sum.as_str()), parts.given(2), parts.given(3)]
                .into_iter()
                .map_while(|input| input)
                .collect();
            let epsilon = float("epsilon", parts.float("epsilon").unwrap_or(1e-12));
            parts.last("LayerNormalization", &inputs, vec![epsilon]);
        }
        "SkipSimplifiedLayerNormalization" => {
            let sum = parts.skip_sum(2..3, 3)?;
            let epsilon = float("epsilon", parts.float("epsilon").unwrap_or(1e-12));
            let scale = parts.given(2)?;
            parts.last("RMSNormalization", &[&sum, scale], vec![epsilon]);
        }
        _ => return None,
    }
    Some(parts.nodes)
}

/// The nodes that a fused one becomes.
struct Parts<'n> {
    node: &'n NodeProto,
    nodes: Vec<NodeProto>,
}

impl<'n> Parts<'n> {
    /// An input, if it is given.
    fn given(&self, position: usize) -> Option<&'n str> {
        let input = self.node.input.get(position)?;
        (!input.is_empty()).then_some(input)
    }

    fn attribute(&self, name: &str) -> Option<&'n AttributeProto> {
        let mut attributes = self.node.attribute.iter();
        attributes.find(|attribute| attribute.name == name)
    }

    fn float(&self, name: &str) -> Option<f32> {
        self.attribute(name).map(|attribute| attribute.f)
    }

    fn floats(&self, name: &str) -> &'n [f32] {
        self.attribute(name)
            .map_or(&[], |attribute| &attribute.floats)
    }

    fn flag(&self, name: &str) -> bool {
        self.attribute(name)
            .is_some_and(|attribute| attribute.i != 0)
    }

    fn attributes_but(&self, names: &[&str]) -> Vec<AttributeProto> {
        let attributes = self.node.attribute.iter();
        let others = attributes.filter(|attribute| !names.contains(&attribute.name.as_str()));
        others.cloned().collect()
    }

    fn push(
        &mut self,
        operator: &str,
        inputs: &[&str],
        output: String,
        attribute: Vec<AttributeProto>,
    ) {
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output],
            name: self.node.name_or_output().to_owned(),
            op_type: operator.to_owned(),
            attribute,
            ..NodeProto::default()
        });
    }

    /// A node on the way; gives the name of its output.
    fn step(&mut self, operator: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let output = self.node.output.first().map_or("", String::as_str);
        let name = format!("{output}#{}", self.nodes.len());
        self.push(operator, inputs, name.clone(), attributes);
        name
    }

    /// The node that gives the first output.
    fn last(&mut self, operator: &str, inputs: &[&str], attributes: Vec<AttributeProto>) {
        let output = self.node.output.first().cloned().unwrap_or_default();
        self.push(operator, inputs, output, attributes);
    }

    fn add(&mut self, a: &str, b: &str) -> String {
        self.step("Add", &[a, b], vec![])
    }

    fn constant(&mut self, what: &str, number: f32) -> String {
        let value = AttributeProto {
            name: "value".into(),
            t: Some(TensorProto {
                data_type: FLOAT,
                float_data: vec![number],
                name: what.into(),
                ..TensorProto::default()
            }),
            ..AttributeProto::default()
        };
        self.step("Constant", &[], vec![value])
    }

    /// The activation that FusedConv and FusedGemm end in, as the last node.
    fn activation(&mut self, value: &str, parameters: &[f32]) -> Option<()> {
        let names: &[&str] = match self.attribute("activation") {
            None => return self.identity(value),
            Some(attribute) => match attribute.s.as_slice() {
                b"" => return self.identity(value),
                b"Relu" | b"Tanh" | b"Sigmoid" | b"Softplus" | b"HardSwish" => &[],
                b"LeakyRelu" => &["alpha"],
                b"Clip" => &["min", "max"],
                b"HardSigmoid" => &["alpha", "beta"],
                _ => return None,
            },
        };
        let operator = std::str::from_utf8(&self.attribute("activation")?.s).ok()?;
        if operator == "Clip" {
            // Its ends are inputs.
            let low = self.constant("min", parameters.first().copied().unwrap_or(f32::MIN));
            let high = self.constant("max", parameters.get(1).copied().unwrap_or(f32::MAX));
            self.last(operator, &[value, &low, &high], vec![]);
            return Some(());
        }
        let attributes = names.iter().zip(parameters);
        let attributes = attributes.map(|(name, &number)| float(name, number));
        self.last(operator, &[value], attributes.collect());
        Some(())
    }

    fn identity(&mut self, value: &str) -> Option<()> {
        self.last("Identity", &[value], vec![]);
        Some(())
    }

    /// FusedMatMul: alpha A B, both with their last two axes swapped if that is said. (Other axes of
    /// the batch are moved by transBatchA and transBatchB, which are not read.)
    fn matmul(&mut self) -> Option<()> {
        if self.flag("transBatchA") || self.flag("transBatchB") {
            return None;
        }
        let mut factors = Vec::with_capacity(2);
        for (position, swapped) in [(0, "transA"), (1, "transB")] {
            let factor = self.node.input.get(position)?;
            factors.push(if self.flag(swapped) {
                let swapped = self.step(SWAP_LAST_AXES, &[factor], vec![]);
                if let Some(node) = self.nodes.last_mut() {
                    node.domain = OWN_DOMAIN.to_owned();
                }
                swapped
            } else {
                factor.clone()
            });
        }
        let alpha = self.float("alpha").unwrap_or(1.0);
        if alpha == 1.0 {
            self.last("MatMul", &[&factors[0], &factors[1]], vec![]);
            return Some(());
        }
        let product = self.step("MatMul", &[&factors[0], &factors[1]], vec![]);
        let alpha = self.constant("alpha", alpha);
        self.last("Mul", &[&product, &alpha], vec![]);
        Some(())
    }

    /// Input, skip and bias added up; under the name of the fourth output, if that is asked for.
    fn skip_sum(&mut self, parameters: std::ops::Range<usize>, bias: usize) -> Option<String> {
        self.given(parameters.start)?;
        let mut sum = self.add(self.given(0)?, self.given(1)?);
        if let Some(bias) = self.given(bias) {
            sum = self.add(&sum, bias);
        }
        if let Some(name) = self.node.output.get(3).filter(|name| !name.is_empty()) {
            self.push("Identity", &[&sum], name.clone(), vec![]);
        }
        Some(sum)
    }
}

fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        f,
        r#type: ATTRIBUTE_FLOAT,
        ..AttributeProto::default()
    }
}

fn text(name: &str, s: &str) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        s: s.as_bytes().to_vec(),
        r#type: ATTRIBUTE_STRING,
        ..AttributeProto::default()
    }
}
