//! The networks of the paper's MNIST part, and how each is trained (sections 2 and 3, table 1).

use std::fmt;

use blindspot_net::{Graph, Network, Op, Operand, ops};
use serde::{Deserialize, Serialize};

use crate::architectures::conv;
use blindspot::run::random::Stream;

/// How a layer's weight decay enters the loss.
///
/// The paper says `lambda * sum(w^2) / k`, k the units of the layer; its linear models come out
/// right with `lambda / 2 * sum(w^2)` only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// `lambda / k * sum(w^2)`, k the units of the layer.
    PerUnit,
    /// `lambda / 2 * sum(w^2)`.
    Half,
}

/// The sparse autoencoder below a classifier: squared error, a Kullback-Leibler penalty that keeps
/// each unit's mean activation near `activity`, and weight decay.
///
/// The paper names no figures for it; these are those of the usual recipe (A. Ng, "Sparse
/// autoencoder", 2011), tuned until the filters look like strokes of a pen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sparsity {
    /// The mean activation of a unit that is asked for, in (0, 1).
    pub activity: f64,
    /// Weight of the penalty.
    pub weight: f64,
    /// Coefficient of half the sum of squares of the weights.
    pub decay: f64,
    /// L-BFGS iterations at most.
    pub iterations: usize,
}

/// A network of the paper's MNIST part and how it is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Its name in the tables.
    pub name: String,
    /// Units of each hidden layer, sigmoids.
    pub hidden: Vec<usize>,
    /// The lambda of each layer, the hidden layers first.
    pub lambda: Vec<f64>,
    /// What lambda means.
    pub decay: Decay,
    /// Whether the layers have biases.
    pub bias: bool,
    /// Where the hidden layer is that of a sparse autoencoder, trained first and then frozen.
    pub sparsity: Option<Sparsity>,
    /// L-BFGS iterations of the classifier at most; passes over the training set, of a network that
    /// is trained by mini-batches.
    pub iterations: usize,
    /// The probability that a number of a value is dropped, by the value's name, of the
    /// convolutional network, which is trained by mini-batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropout: Option<(String, f64)>,
}

/// No model has the name asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownModel {
    /// The name asked for.
    pub name: String,
    /// The known name that is most like it.
    pub suggestion: &'static str,
}

impl fmt::Display for UnknownModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let UnknownModel { name, suggestion } = self;
        let known = Recipe::NAMES.join(", ");
        write!(
            f,
            "no model is named `{name}`; did you mean `{suggestion}`? Models: {known}"
        )
    }
}

impl std::error::Error for UnknownModel {}

impl Recipe {
    /// The models that can be trained by name.
    pub const NAMES: [&'static str; 8] = [
        "softmax1",
        "softmax2",
        "softmax3",
        "FC100-100-10",
        "FC200-200-10",
        "FC123-456-10",
        "AE400-10",
        "conv",
    ];

    /// The recipe of one of [`Recipe::NAMES`], in any case.
    ///
    /// # Errors
    /// [`UnknownModel`], with the name that was probably meant.
    pub fn named(name: &str) -> Result<Recipe, UnknownModel> {
        let known = Self::NAMES
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(name));
        Ok(match known {
            Some("softmax1") => Self::linear("softmax1", 1e-4),
            Some("softmax2") => Self::linear("softmax2", 1e-2),
            Some("softmax3") => Self::linear("softmax3", 1.0),
            Some("FC100-100-10") => Self::fully_connected("FC100-100-10", [100, 100]),
            Some("FC200-200-10") => Self::fully_connected("FC200-200-10", [200, 200]),
            Some("FC123-456-10") => Self::fully_connected("FC123-456-10", [123, 456]),
            Some("conv") => Recipe {
                name: "conv".into(),
                hidden: Vec::new(),
                lambda: Vec::new(),
                decay: Decay::Half,
                bias: true,
                sparsity: None,
                iterations: 12,
                dropout: Some(("hidden1".into(), 0.5)),
            },
            Some(_) => Recipe {
                name: "AE400-10".into(),
                hidden: vec![400],
                lambda: vec![1e-6],
                decay: Decay::PerUnit,
                bias: true,
                sparsity: Some(Sparsity {
                    activity: 0.1,
                    weight: 3.0,
                    decay: 3e-3,
                    iterations: 400,
                }),
                iterations: 2_000,
                dropout: None,
            },
            None => {
                let likeness = |known: &&str| {
                    strsim::jaro_winkler(&known.to_lowercase(), &name.to_lowercase())
                };
                let suggestion = Self::NAMES
                    .into_iter()
                    .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
                    .unwrap_or("softmax1");
                return Err(UnknownModel {
                    name: name.to_owned(),
                    suggestion,
                });
            }
        })
    }

    /// FC10(lambda): one linear layer without biases, and decay as the paper's figures have it.
    fn linear(name: &str, lambda: f64) -> Recipe {
        Recipe {
            name: name.to_owned(),
            hidden: Vec::new(),
            lambda: vec![lambda],
            decay: Decay::Half,
            bias: false,
            sparsity: None,
            iterations: 1_000,
            dropout: None,
        }
    }

    fn fully_connected(name: &str, hidden: [usize; 2]) -> Recipe {
        Recipe {
            name: name.to_owned(),
            hidden: hidden.to_vec(),
            lambda: vec![1e-5, 1e-5, 1e-6],
            decay: Decay::PerUnit,
            bias: true,
            sparsity: None,
            iterations: 1_500,
            dropout: None,
        }
    }

    /// The network at the start of training: weights normal with standard deviation
    /// 1 / sqrt(inputs of the layer), biases 0; the convolutional network as
    /// [`architectures::conv`](crate::architectures::conv) has it, whatever the inputs are.
    pub fn start(&self, inputs: usize, classes: usize, seed: u64) -> Network<f32> {
        if self.dropout.is_some() {
            return conv(seed);
        }
        let layers = layers(&self.hidden, classes, "logits");
        dense(inputs, &layers, self.bias, seed, &self.name)
    }

    /// The coefficient of the sum of squares of each weight tensor of [`Recipe::start`].
    pub fn decay_coefficients(&self, classes: usize) -> Vec<f64> {
        if self.lambda.is_empty() {
            return Vec::new();
        }
        let units = self.hidden.iter().copied().chain([classes]);
        // A frozen layer has no lambda: the last ones are those of the layers trained.
        let frozen = self.hidden.len() + 1 - self.lambda.len();
        let lambda = std::iter::repeat_n(0.0, frozen).chain(self.lambda.iter().copied());
        let coefficient = |(lambda, units): (f64, usize)| match self.decay {
            Decay::PerUnit => lambda / units as f64,
            Decay::Half => lambda / 2.0,
        };
        let with_bias = |weight: f64| std::iter::once(weight).chain(self.bias.then_some(0.0));
        lambda
            .zip(units)
            .map(coefficient)
            .flat_map(with_bias)
            .collect()
    }
}

/// A layer of [`dense`].
pub(super) struct Layer {
    pub(super) units: usize,
    /// The name of its output.
    pub(super) output: String,
    pub(super) sigmoid: bool,
}

/// Sigmoid layers named `hidden1`, `hidden2` and so on, and a linear one on top.
fn layers(hidden: &[usize], outputs: usize, output: &str) -> Vec<Layer> {
    let hidden = hidden.iter().enumerate().map(|(i, &units)| Layer {
        units,
        output: format!("hidden{}", i + 1),
        sigmoid: true,
    });
    let top = Layer {
        units: outputs,
        output: output.to_owned(),
        sigmoid: false,
    };
    hidden.chain([top]).collect()
}

/// A network of fully connected layers, each weight drawn from a stream of its own.
pub(super) fn dense(
    inputs: usize,
    layers: &[Layer],
    bias: bool,
    seed: u64,
    purpose: &str,
) -> Network<f32> {
    let build = || {
        let mut graph = Graph::new("image", &[inputs])?;
        let mut weights = Vec::new();
        let (mut value, mut fan_in) = (graph.input(), inputs);
        for (i, layer) in layers.iter().enumerate() {
            let name = format!("dense{}", i + 1);
            let weight = graph.weight(&format!("{name}.weight"), &[fan_in, layer.units])?;
            let mut operands = vec![Operand::Value(value), Operand::Weight(weight)];
            let mut stream = Stream::new(seed, &format!("weights of {purpose}"), i);
            let deviation = 1.0 / (fan_in as f64).sqrt();
            let count = fan_in * layer.units;
            weights.push(
                (0..count)
                    .map(|_| (stream.normal() * deviation) as f32)
                    .collect(),
            );
            if bias {
                let bias = graph.weight(&format!("{name}.bias"), &[layer.units])?;
                operands.push(Operand::Weight(bias));
                weights.push(vec![0.0; layer.units]);
            }
            let gemm = Op::Gemm(ops::Gemm { trans_b: false });
            let linear = if layer.sigmoid {
                format!("{name}.sum")
            } else {
                layer.output.clone()
            };
            value = graph.node(&name, gemm, &operands, &linear)?;
            if layer.sigmoid {
                let sigmoid = Op::Unary(ops::Unary::Sigmoid);
                let operands = [Operand::Value(value)];
                value = graph.node(&layer.output, sigmoid, &operands, &layer.output)?;
            }
            fan_in = layer.units;
        }
        Ok::<_, blindspot_net::GraphError>((graph, weights))
    };
    let (graph, weights) = build().expect("fully connected layers fit each other");
    Network::new(graph, weights).expect("weights have the graph's shapes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_recipe_and_a_near_miss_a_suggestion() {
        for name in Recipe::NAMES {
            let recipe = Recipe::named(&name.to_lowercase()).unwrap();
            assert_eq!(recipe.name, name);
            let network = recipe.start(784, 10, 0);
            assert_eq!(network.output_len(), 10);
            let decay = recipe.decay_coefficients(10).len();
            let none = recipe.lambda.is_empty();
            assert_eq!(decay, if none { 0 } else { network.weights().len() });
        }
        assert_eq!(Recipe::named("sofmax2").unwrap_err().suggestion, "softmax2");
        assert_eq!(
            Recipe::named("FC100").unwrap_err().suggestion,
            "FC100-100-10"
        );
    }

    #[test]
    fn decay_is_that_of_the_reading() {
        let mut recipe = Recipe::named("FC100-100-10").unwrap();
        let [hidden, top] = [1e-5, 1e-6];
        let per_unit = [hidden / 100.0, 0.0, hidden / 100.0, 0.0, top / 10.0, 0.0];
        assert_eq!(recipe.decay_coefficients(10), per_unit);
        recipe.decay = Decay::Half;
        let half = [hidden / 2.0, 0.0, hidden / 2.0, 0.0, top / 2.0, 0.0];
        assert_eq!(recipe.decay_coefficients(10), half);
        let frozen = Recipe::named("AE400-10").unwrap().decay_coefficients(10);
        assert_eq!(frozen, [0.0, 0.0, top / 10.0, 0.0]);
    }
}
