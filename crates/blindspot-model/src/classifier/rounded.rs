//! A network whose values are rounded to fewer bits.

use blindspot_net::{Evaluator, Network, Precision};

use super::{Classifier, Evaluate};

/// A network whose input and values, each as soon as it is computed, are rounded to the numbers of
/// the [format](blindspot_net::Value::precision) that its graph has for them: as runtimes give them
/// that keep values in half precision and sum them up in single.
///
/// This has no double precision: it is what a network in that is compared with.
#[derive(Debug, Clone, Copy)]
pub struct RoundedNetwork<'n> {
    network: &'n Network<f32>,
}

impl<'n> RoundedNetwork<'n> {
    /// The network in the formats of its values.
    pub fn new(network: &'n Network<f32>) -> Self {
        RoundedNetwork { network }
    }
}

impl Classifier for RoundedNetwork<'_> {
    fn input_shape(&self) -> &[usize] {
        self.network.input_shape()
    }

    fn classes(&self) -> usize {
        self.network.output_len()
    }

    fn evaluator(&self) -> Box<dyn Evaluate + '_> {
        Box::new(Evaluator::new(self.network).rounding())
    }

    fn input_precision(&self) -> Precision {
        let graph = self.network.graph();
        graph.value(graph.input()).precision
    }

    fn values_per_input(&self) -> usize {
        Classifier::values_per_input(self.network)
    }
}
