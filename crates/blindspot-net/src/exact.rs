//! A network with the numbers that its file gives it, not rounded to single precision.

use std::borrow::Cow;

use crate::graph::{GraphError, Operand, ValueId};
use crate::network::{Network, WeightError, check_weights};
use crate::precision::Precision;

/// A network in double precision, with how far each of its weights can be from the number that a
/// runtime computes with.
///
/// Some weights are computed from several numbers of a file: the shift of a batch normalisation less
/// the mean times the scale, say. Where these nearly cancel, a runtime that computes them in single
/// precision has another weight than one in double precision. A weight's **magnitude** is the sum of
/// the absolute values of all that it was added up from, and what any runtime computes differs from
/// the weight by at most [`ROUNDINGS`](ExactNetwork::ROUNDINGS) unit roundoffs of its arithmetic
/// times the magnitude. That of a number of the file itself is its absolute value; that of any other
/// number is larger.
#[derive(Debug, Clone, PartialEq)]
pub struct ExactNetwork {
    network: Network<f64>,
    /// The magnitudes of each weight; `None` of numbers of the file itself.
    magnitudes: Vec<Option<Vec<f64>>>,
}

impl ExactNetwork {
    /// The roundings on the way from the file's numbers to a weight, at most.
    pub const ROUNDINGS: usize = 8;

    /// A network with the magnitudes of its weights, in its order.
    ///
    /// # Errors
    /// [`WeightError`] where the magnitudes are not as many as the weights, or not finite.
    pub fn new(
        network: Network<f64>,
        magnitudes: Vec<Vec<f64>>,
    ) -> Result<ExactNetwork, WeightError> {
        check_weights(network.graph(), &magnitudes)?;
        ExactNetwork::of_parts(network, magnitudes.into_iter().map(Some).collect())
    }

    /// A network with the magnitudes of those of its weights that are computed.
    pub(crate) fn of_parts(
        network: Network<f64>,
        magnitudes: Vec<Option<Vec<f64>>>,
    ) -> Result<ExactNetwork, WeightError> {
        let pairs = network.weights().iter().zip(magnitudes);
        let magnitudes = pairs.map(|(weight, magnitudes)| {
            magnitudes.filter(|magnitudes| {
                let mut numbers = weight.iter().zip(magnitudes);
                !numbers.all(|(w, magnitude)| w.abs() == *magnitude)
            })
        });
        Ok(ExactNetwork {
            magnitudes: magnitudes.collect(),
            network,
        })
    }

    /// The network.
    pub fn network(&self) -> &Network<f64> {
        &self.network
    }

    /// The magnitudes of a weight, one of the graph's by its position.
    pub fn magnitudes(&self, weight: usize) -> Cow<'_, [f64]> {
        match &self.magnitudes[weight] {
            Some(magnitudes) => Cow::Borrowed(magnitudes),
            None => {
                let numbers = self.network.weights()[weight].iter();
                Cow::Owned(numbers.map(|w| w.abs()).collect())
            }
        }
    }

    /// Whether a weight, one of the graph's by its position, holds numbers of the file itself.
    pub fn is_of_file(&self, weight: usize) -> bool {
        self.magnitudes[weight].is_none()
    }

    /// The network in single precision as another runtime may have it: each weight that is computed
    /// from numbers of the file is off by two roundings of its magnitude, in the format of the values that are made with
    /// it, up or down by chance. The same chance each time. `None` where all weights are numbers of the file.
    pub fn refolded(&self) -> Option<Network<f32>> {
        const ROUNDINGS: f64 = 2.0;
        if self.magnitudes.iter().all(Option::is_none) {
            return None;
        }
        let graph = self.network.graph();
        let mut formats = vec![Precision::Single; self.magnitudes.len()];
        for node in graph.nodes() {
            for operand in &node.inputs {
                if let Operand::Weight(id) = operand {
                    formats[id.0] = formats[id.0].max(graph.value(node.output).precision);
                }
            }
        }
        let mut chance = 0u64;
        let mut refolded = Vec::with_capacity(self.network.parameters());
        let weights = self.network.weights().iter().zip(&self.magnitudes);
        for ((weight, magnitudes), format) in weights.zip(formats) {
            let step = ROUNDINGS * format.unit_roundoff();
            for (i, &w) in weight.iter().enumerate() {
                let error = magnitudes
                    .as_ref()
                    .map_or(0.0, |magnitudes| step * magnitudes[i]);
                // The bits of a Weyl sequence, mixed.
                chance = chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mixed = (chance ^ (chance >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let moved = if mixed >> 63 == 0 {
                    w + error
                } else {
                    w - error
                };
                refolded.push(moved as f32);
            }
        }
        let mut network = self.network.cast::<f32>();
        network.set_weights(refolded);
        Some(network)
    }

    /// The part below and including `value`, which becomes the output.
    pub fn up_to(&self, value: ValueId) -> ExactNetwork {
        ExactNetwork {
            magnitudes: {
                let (_, kept) = self.network.graph().up_to(value);
                let kept = kept.into_iter().map(|id| self.magnitudes[id.0].clone());
                kept.collect()
            },
            network: self.network.up_to(value),
        }
    }

    /// This network after `first`, whose output becomes this network's input.
    ///
    /// # Errors
    /// [`GraphError::Join`] where the shapes differ.
    pub fn after(self, first: ExactNetwork) -> Result<ExactNetwork, GraphError> {
        Ok(ExactNetwork {
            network: self.network.after(first.network)?,
            magnitudes: first
                .magnitudes
                .into_iter()
                .chain(self.magnitudes)
                .collect(),
        })
    }
}

impl From<&Network<f32>> for ExactNetwork {
    /// The network with the numbers that it has.
    fn from(network: &Network<f32>) -> ExactNetwork {
        ExactNetwork::from(network.cast::<f64>())
    }
}

impl From<Network<f64>> for ExactNetwork {
    /// The network with the numbers that it has.
    fn from(network: Network<f64>) -> ExactNetwork {
        ExactNetwork {
            magnitudes: vec![None; network.weights().len()],
            network,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Graph, Op, ops::Gemm};

    #[test]
    fn computed_weights_are_off_by_roundings_of_the_format_they_are_used_in() {
        for format in [Precision::Single, Precision::Half, Precision::Brain] {
            let mut graph = Graph::new("x", &[1]).unwrap();
            let x = Operand::Value(graph.input());
            let weight = Operand::Weight(graph.weight("w", &[1, 1]).unwrap());
            let bias = Operand::Weight(graph.weight("b", &[1]).unwrap());
            let gemm = Op::Gemm(Gemm { trans_b: false });
            graph.node("y", gemm, &[x, weight, bias], "y").unwrap();
            let network = Network::new(graph, vec![vec![0.5], vec![0.25]]).unwrap();
            let network = network.kept_in(format);
            // The shift is what is left of numbers of 100 together.
            let exact = ExactNetwork::new(network, vec![vec![0.5], vec![100.0]]).unwrap();
            let refolded = exact.refolded().unwrap();
            assert_eq!(refolded.weights()[0], [0.5]);
            let error = f64::from(refolded.weights()[1][0]) - 0.25;
            let wanted = 2.0 * format.unit_roundoff() * 100.0;
            assert!((error.abs() - wanted).abs() < 1e-6, "{format:?}: {error}");
        }
    }
}
