//! Where adversarial examples can enter a network: at its input, and at the output of each hidden
//! layer, that of its activation function.

use blindspot::model::InputBox;
use blindspot::search::Bounds;
use blindspot_net::ops::Unary;
use blindspot_net::{Network, Op};

use crate::train::TrainError;

/// The input's name among the layers, whatever the network calls it.
pub const INPUT: &str = "input";

/// A value at which examples enter.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layer {
    /// Its name in the network.
    pub(super) value: String,
    /// The smallest number that it can hold.
    pub(super) lowest: f32,
    /// The largest number that it can hold.
    pub(super) highest: f32,
}

impl Layer {
    /// The bounds of `length` numbers.
    pub(super) fn bounds(&self, length: usize) -> Bounds {
        Bounds {
            lower: vec![self.lowest; length],
            upper: vec![self.highest; length],
            max_perturbation: vec![f32::INFINITY; length],
        }
    }
}

/// The names of the layers of `network` that examples can be made for: `input`, then the outputs
/// of its activation functions that the network can be cut at, from the lowest up.
pub fn layer_names(network: &Network<f32>) -> Vec<String> {
    let hidden = hidden(network).into_iter().map(|layer| layer.value);
    std::iter::once(INPUT.to_owned()).chain(hidden).collect()
}

/// The layers with these names, the lowest first, each once.
///
/// # Errors
/// [`TrainError::Options`] for an unknown name; it lists the known ones.
pub(super) fn find(network: &Network<f32>, names: &[String]) -> Result<Vec<Layer>, TrainError> {
    let graph = network.graph();
    let InputBox { lower, upper } = InputBox::default();
    let mut known = vec![Layer {
        value: graph.value(graph.input()).name.clone(),
        lowest: lower,
        highest: upper,
    }];
    known.extend(hidden(network));
    let position = |name: &String| {
        let named = known.iter().position(|layer| layer.value == *name);
        let position = named.or((name == INPUT).then_some(0));
        position.ok_or_else(|| {
            let names = layer_names(network).join(", ");
            TrainError::Options(format!("unknown layer `{name}`; this network has: {names}"))
        })
    };
    let mut positions = names.iter().map(position).collect::<Result<Vec<_>, _>>()?;
    positions.sort_unstable();
    positions.dedup();
    Ok(positions.into_iter().map(|i| known[i].clone()).collect())
}

/// The hidden layers, the lowest first.
fn hidden(network: &Network<f32>) -> Vec<Layer> {
    let graph = network.graph();
    let layer = |node: &blindspot_net::Node| {
        let Op::Unary(function) = node.op else {
            return None;
        };
        let (lowest, highest) = range(function)?;
        graph.above(node.output).ok()?;
        Some(Layer {
            value: graph.value(node.output).name.clone(),
            lowest,
            highest,
        })
    };
    graph.nodes().iter().filter_map(layer).collect()
}

/// What an activation function can give; `None` for functions that are none.
fn range(function: Unary) -> Option<(f32, f32)> {
    let all = f32::INFINITY;
    Some(match function {
        Unary::Sigmoid | Unary::HardSigmoid { .. } => (0.0, 1.0),
        Unary::Tanh => (-1.0, 1.0),
        Unary::Relu | Unary::Softplus => (0.0, all),
        Unary::Clip { min, max } => (min as f32, max as f32),
        Unary::Elu { alpha } if alpha >= 0.0 => (-alpha as f32, all),
        // Its least value, at -0.75, is -0.16997, that of its approximation -0.17004.
        Unary::Gelu { .. } => (-0.1701, all),
        Unary::LeakyRelu { .. } | Unary::Elu { .. } => (-all, all),
        // Their least values, at -1.5 and -1.1924, are -0.375 and -0.3088.
        Unary::HardSwish => (-0.375, all),
        Unary::Mish => (-0.3089, all),
        Unary::Softsign => (-1.0, 1.0),
        Unary::Celu { alpha } => (-alpha as f32, all),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architectures;
    use crate::train::Recipe;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn layers_are_the_input_and_the_outputs_of_the_activation_functions() {
        let network = Recipe::named("FC100-100-10").unwrap().start(784, 10, 0);
        assert_eq!(layer_names(&network), ["input", "hidden1", "hidden2"]);
        let found = find(&network, &names(&["hidden2", "image", "input", "hidden2"])).unwrap();
        let values: Vec<&str> = found.iter().map(|layer| layer.value.as_str()).collect();
        assert_eq!(values, ["image", "hidden2"]);
        assert_eq!((found[1].lowest, found[1].highest), (0.0, 1.0));

        let conv = architectures::conv(0);
        assert_eq!(layer_names(&conv), ["input", "conv1", "hidden1"]);
        let found = find(&conv, &names(&["conv1"])).unwrap();
        assert_eq!((found[0].lowest, found[0].highest), (0.0, f32::INFINITY));
    }

    #[test]
    fn an_unknown_layer_is_refused_with_the_known_ones() {
        let network = Recipe::named("FC100-100-10").unwrap().start(784, 10, 0);
        let error = find(&network, &names(&["input", "hidden3"])).unwrap_err();
        let said = error.to_string();
        assert!(
            said.contains("hidden3") && said.contains("input, hidden1, hidden2"),
            "{said}"
        );
    }

    /// Numbers that each function gives, from -20 to 20, lie in its range and come near its ends.
    #[test]
    fn ranges_hold_what_the_functions_give() {
        let at = |i: i32| f64::from(i) / 50.0;
        let give =
            |f: &dyn Fn(f64) -> f64| -> Vec<f64> { (-1000..=1000).map(|i| f(at(i))).collect() };
        let normal = |x: f64| {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            0.5 * x * (1.0 + inner.tanh())
        };
        let cases = [
            (Unary::Sigmoid, give(&|x| 1.0 / (1.0 + (-x).exp()))),
            (Unary::Tanh, give(&f64::tanh)),
            (Unary::Softplus, give(&|x| x.exp().ln_1p())),
            (
                Unary::Elu { alpha: 2.0 },
                give(&|x| if x > 0.0 { x } else { 2.0 * x.exp_m1() }),
            ),
            (Unary::Gelu { tanh: true }, give(&normal)),
            (
                Unary::Clip {
                    min: -0.5,
                    max: 6.0,
                },
                give(&|x| x.clamp(-0.5, 6.0)),
            ),
        ];
        for (function, given) in cases {
            let (lowest, highest) = range(function).unwrap();
            let least = given.iter().copied().fold(f64::INFINITY, f64::min);
            let most = given.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let lowest = f64::from(lowest);
            assert!(
                (0.0..1e-3).contains(&(least - lowest)),
                "{function:?}: {least}"
            );
            assert!(
                most <= f64::from(highest)
                    && (highest.is_infinite() || most > f64::from(highest) - 1e-3)
            );
        }
    }
}
