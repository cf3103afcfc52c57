//! The networks of the paper's MNIST part, and how each is trained (sections 2 and 3, table 1).

use std::fmt;

use blindspot_data::{ErrorKind, suggest};
use blindspot_net::Network;
use serde::{Deserialize, Serialize};

use super::dense::{dense, layers};
use crate::architectures::conv;

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
    /// L-BFGS iterations at most, at least 1.
    pub iterations: usize,
}

/// The layers of a network.
#[derive(Debug, Clone, PartialEq)]
pub enum Architecture {
    /// Fully connected layers: sigmoids, and a linear one on top, which gives the logits.
    Dense {
        /// Units of each hidden layer, the lowest first; none makes a linear classifier.
        hidden: Vec<usize>,
        /// Whether the layers have biases.
        bias: bool,
    },
    /// The convolutional network of [`architectures::conv`](crate::architectures::conv).
    Conv,
}

/// How a network's weights are found.
#[derive(Debug, Clone, PartialEq)]
pub enum Training {
    /// Full-batch L-BFGS until convergence, as the paper has it.
    Lbfgs {
        /// The lambda of each layer that is trained with the classifier, the lowest first.
        lambda: Vec<f64>,
        /// What lambda means.
        decay: Decay,
        /// Makes the hidden layer that of a sparse autoencoder, trained first and then frozen.
        sparsity: Option<Sparsity>,
        /// L-BFGS iterations of the classifier at most, at least 1.
        iterations: usize,
    },
    /// Mini-batches with Adam, in the usual size and rate ([`MiniBatch::new`](super::MiniBatch::new)).
    MiniBatch {
        /// Passes over the training set, at least 1.
        epochs: usize,
        /// The value whose numbers are dropped while training, by its name, and the probability of that,
        /// in [0, 1).
        dropout: (String, f64),
    },
}

/// A network of the paper's MNIST part and how it is trained.
///
/// ```
/// use blindspot_paper::train::{Architecture, Recipe};
///
/// let recipe = Recipe::named("fc100-100-10")?;
/// assert_eq!(recipe.name, "FC100-100-10");
/// let hidden = vec![100, 100];
/// assert_eq!(recipe.architecture, Architecture::Dense { hidden, bias: true });
/// # Ok::<(), blindspot_paper::train::UnknownModel>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(into = "RecipeRecord")]
pub struct Recipe {
    /// The network's name in the tables. Random weights depend on it.
    pub name: String,
    /// The network's layers.
    pub architecture: Architecture,
    /// How its weights are found.
    pub training: Training,
}

/// A recipe as checkpoints and model files name it: one flat object, in this order.
#[derive(Serialize)]
struct RecipeRecord {
    name: String,
    hidden: Vec<usize>,
    lambda: Vec<f64>,
    decay: Decay,
    bias: bool,
    sparsity: Option<Sparsity>,
    /// Iterations of L-BFGS; passes of mini-batches.
    iterations: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropout: Option<(String, f64)>,
}

impl From<Recipe> for RecipeRecord {
    fn from(recipe: Recipe) -> RecipeRecord {
        let (hidden, bias) = match recipe.architecture {
            Architecture::Dense { hidden, bias } => (hidden, bias),
            Architecture::Conv => (Vec::new(), true),
        };
        let record = RecipeRecord {
            name: recipe.name,
            hidden,
            lambda: Vec::new(),
            decay: Decay::Half,
            bias,
            sparsity: None,
            iterations: 0,
            dropout: None,
        };
        match recipe.training {
            Training::Lbfgs {
                lambda,
                decay,
                sparsity,
                iterations,
            } => RecipeRecord {
                lambda,
                decay,
                sparsity,
                iterations,
                ..record
            },
            Training::MiniBatch { epochs, dropout } => RecipeRecord {
                iterations: epochs,
                dropout: Some(dropout),
                ..record
            },
        }
    }
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
            "unknown model `{name}`; did you mean `{suggestion}`? Models: {known}"
        )
    }
}

impl std::error::Error for UnknownModel {}

impl UnknownModel {
    /// What the error is about: another name helps.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }
}

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
        let Some(known) = known else {
            return Err(UnknownModel {
                name: name.to_owned(),
                suggestion: suggest(name, Self::NAMES).unwrap_or_default(),
            });
        };
        Ok(match known {
            "softmax1" => Self::linear(known, 1e-4),
            "softmax2" => Self::linear(known, 1e-2),
            "softmax3" => Self::linear(known, 1.0),
            "FC100-100-10" => Self::fully_connected(known, [100, 100]),
            "FC200-200-10" => Self::fully_connected(known, [200, 200]),
            "FC123-456-10" => Self::fully_connected(known, [123, 456]),
            "conv" => Recipe {
                name: known.to_owned(),
                architecture: Architecture::Conv,
                training: Training::MiniBatch {
                    epochs: 12,
                    dropout: ("hidden1".into(), 0.5),
                },
            },
            _ => Recipe {
                name: known.to_owned(),
                architecture: Architecture::Dense {
                    hidden: vec![400],
                    bias: true,
                },
                training: Training::Lbfgs {
                    lambda: vec![1e-6],
                    decay: Decay::PerUnit,
                    sparsity: Some(Sparsity {
                        activity: 0.1,
                        weight: 3.0,
                        decay: 3e-3,
                        iterations: 400,
                    }),
                    iterations: 2_000,
                },
            },
        })
    }

    /// FC10(lambda): one linear layer without biases, and decay as the paper's figures have it.
    fn linear(name: &str, lambda: f64) -> Recipe {
        Recipe {
            name: name.to_owned(),
            architecture: Architecture::Dense {
                hidden: Vec::new(),
                bias: false,
            },
            training: Training::Lbfgs {
                lambda: vec![lambda],
                decay: Decay::Half,
                sparsity: None,
                iterations: 1_000,
            },
        }
    }

    /// Two hidden layers of sigmoids.
    fn fully_connected(name: &str, hidden: [usize; 2]) -> Recipe {
        Recipe {
            name: name.to_owned(),
            architecture: Architecture::Dense {
                hidden: hidden.to_vec(),
                bias: true,
            },
            training: Training::Lbfgs {
                lambda: vec![1e-5, 1e-5, 1e-6],
                decay: Decay::PerUnit,
                sparsity: None,
                iterations: 1_500,
            },
        }
    }

    /// Reads the lambdas of a network with hidden layers in this way. A linear network keeps its own
    /// reading, with which the paper's figures come out, and conv has no lambda.
    pub fn with_decay(mut self, reading: Decay) -> Recipe {
        let linear = self.hidden().is_empty();
        if let Training::Lbfgs { decay, .. } = &mut self.training
            && !linear
        {
            *decay = reading;
        }
        self
    }

    /// Gives a fully connected network hidden layers of other sizes; conv stays as it is. Its lambdas stay,
    /// so there must be as many layers as before.
    pub fn with_hidden(mut self, units: &[usize]) -> Recipe {
        if let Architecture::Dense { hidden, .. } = &mut self.architecture {
            *hidden = units.to_vec();
        }
        self
    }

    /// Trains for `count` L-BFGS iterations at most, or `count` passes of mini-batches. An autoencoder below
    /// the classifier takes no more than `count` iterations, either.
    pub fn with_iterations(mut self, count: usize) -> Recipe {
        match &mut self.training {
            Training::Lbfgs {
                sparsity,
                iterations,
                ..
            } => {
                *iterations = count;
                if let Some(sparsity) = sparsity {
                    sparsity.iterations = sparsity.iterations.min(count);
                }
            }
            Training::MiniBatch { epochs, .. } => *epochs = count,
        }
        self
    }

    /// Units of each hidden layer of a fully connected network, the lowest first; none of conv.
    pub fn hidden(&self) -> &[usize] {
        match &self.architecture {
            Architecture::Dense { hidden, .. } => hidden,
            Architecture::Conv => &[],
        }
    }

    /// The lambda of each layer that is trained with the classifier; none of conv.
    pub fn lambda(&self) -> &[f64] {
        match &self.training {
            Training::Lbfgs { lambda, .. } => lambda,
            Training::MiniBatch { .. } => &[],
        }
    }

    /// The sparse autoencoder below the classifier, if any.
    pub fn sparsity(&self) -> Option<&Sparsity> {
        match &self.training {
            Training::Lbfgs { sparsity, .. } => sparsity.as_ref(),
            Training::MiniBatch { .. } => None,
        }
    }

    /// Whether the network is trained by mini-batches, which one process does by itself.
    pub fn is_by_mini_batches(&self) -> bool {
        matches!(self.training, Training::MiniBatch { .. })
    }

    /// The network at the start of training: weights normal with standard deviation
    /// 1 / sqrt(inputs of the layer), biases 0; the convolutional network as
    /// [`architectures::conv`](crate::architectures::conv) has it, whatever `inputs` and `classes` are.
    pub fn start(&self, inputs: usize, classes: usize, seed: u64) -> Network<f32> {
        match &self.architecture {
            Architecture::Dense { hidden, bias } => {
                let layers = layers(hidden, classes, "logits");
                dense(inputs, &layers, *bias, seed, &self.name)
            }
            Architecture::Conv => conv(seed),
        }
    }

    /// The coefficient of the sum of squares of each weight tensor of [`Recipe::start`], 0 for biases;
    /// none of a network without weight decay.
    pub fn decay_coefficients(&self, classes: usize) -> Vec<f64> {
        let (Architecture::Dense { hidden, bias }, Training::Lbfgs { lambda, decay, .. }) =
            (&self.architecture, &self.training)
        else {
            return Vec::new();
        };
        let units = hidden.iter().copied().chain([classes]);
        // A frozen layer has no lambda: the last ones are those of the layers trained.
        let frozen = hidden.len() + 1 - lambda.len();
        let lambda = std::iter::repeat_n(0.0, frozen).chain(lambda.iter().copied());
        let coefficient = |(lambda, units): (f64, usize)| match decay {
            Decay::PerUnit => lambda / units as f64,
            Decay::Half => lambda / 2.0,
        };
        let with_bias = |weight: f64| std::iter::once(weight).chain(bias.then_some(0.0));
        lambda
            .zip(units)
            .map(coefficient)
            .flat_map(with_bias)
            .collect()
    }
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
            let none = recipe.lambda().is_empty();
            assert_eq!(decay, if none { 0 } else { network.weights().len() });
        }
        assert_eq!(Recipe::named("sofmax2").unwrap_err().suggestion, "softmax2");
        assert_eq!(
            Recipe::named("FC100").unwrap_err().suggestion,
            "FC100-100-10"
        );
    }

    #[test]
    fn decay_follows_the_reading_of_lambda() {
        let recipe = Recipe::named("FC100-100-10").unwrap();
        let [hidden, top] = [1e-5, 1e-6];
        let per_unit = [hidden / 100.0, 0.0, hidden / 100.0, 0.0, top / 10.0, 0.0];
        assert_eq!(recipe.decay_coefficients(10), per_unit);
        let recipe = recipe.with_decay(Decay::Half);
        let half = [hidden / 2.0, 0.0, hidden / 2.0, 0.0, top / 2.0, 0.0];
        assert_eq!(recipe.decay_coefficients(10), half);
        let frozen = Recipe::named("AE400-10").unwrap().decay_coefficients(10);
        assert_eq!(frozen, [0.0, 0.0, top / 10.0, 0.0]);
    }

    /// Checkpoints and model files of earlier versions are found by these texts.
    #[test]
    fn recipes_are_written_as_they_always_were() {
        let text = |name| serde_json::to_string(&Recipe::named(name).unwrap()).unwrap();
        assert_eq!(
            text("FC100-100-10"),
            r#"{"name":"FC100-100-10","hidden":[100,100],"lambda":[0.00001,0.00001,1e-6],"decay":"per-unit","bias":true,"sparsity":null,"iterations":1500}"#
        );
        assert_eq!(
            text("AE400-10"),
            r#"{"name":"AE400-10","hidden":[400],"lambda":[1e-6],"decay":"per-unit","bias":true,"sparsity":{"activity":0.1,"weight":3.0,"decay":0.003,"iterations":400},"iterations":2000}"#
        );
        assert_eq!(
            text("conv"),
            r#"{"name":"conv","hidden":[],"lambda":[],"decay":"half","bias":true,"sparsity":null,"iterations":12,"dropout":["hidden1",0.5]}"#
        );
    }
}
