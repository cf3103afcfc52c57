//! The weights of the network under construction.

use std::collections::HashMap;
use std::rc::Rc;

use super::constant::Constant;
use crate::graph::WeightId;
use crate::real::Real;

/// Numbers that are computed from those of the file, and their
/// [magnitudes](crate::ExactNetwork).
pub(super) struct Computed {
    pub(super) values: Vec<f64>,
    pub(super) magnitudes: Vec<f64>,
}

impl Computed {
    /// Numbers that no operator but the node's own has rounded.
    pub(super) fn own(values: Vec<f64>) -> Computed {
        Computed {
            magnitudes: values.iter().map(|x| x.abs()).collect(),
            values,
        }
    }

    /// How many bytes of memory they take.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.values[..]) + size_of_val(&self.magnitudes[..])
    }

    /// More than the magnitude of any number of the file that has the same absolute value.
    fn magnitude(&self, i: usize) -> f64 {
        (self.magnitudes[i].max(self.values[i].abs()) * (1.0 + 1e-6)).min(f64::MAX)
    }
}

/// The numbers of a weight.
pub(super) enum Weight {
    /// A constant's, as they are.
    Shared(Rc<Constant>),
    /// Numbers that the reader makes.
    Own(Computed),
}

impl Weight {
    /// Its numbers, rounded to nearest.
    pub(super) fn cast<T: Real>(&self) -> Vec<T> {
        match self {
            Weight::Own(numbers) => numbers.values.iter().map(|&x| T::of(x)).collect(),
            Weight::Shared(constant) => constant.reals().map_or_else(Vec::new, |x| x.cast()),
        }
    }

    /// The magnitudes of numbers that are computed; `None` of numbers of the file itself.
    pub(super) fn computed_magnitudes(&self) -> Option<Vec<f64>> {
        match self {
            Weight::Own(numbers) => {
                let magnitudes = (0..numbers.values.len()).map(|i| numbers.magnitude(i));
                Some(magnitudes.collect())
            }
            Weight::Shared(constant) => constant.magnitudes.clone(),
        }
    }
}

/// The weights of a network, in its order.
#[derive(Default)]
pub(super) struct Weights {
    list: Vec<Weight>,
    /// Constants that are weights already, by address and shape.
    known: HashMap<(*const Constant, Vec<usize>), WeightId>,
}

impl Weights {
    pub(super) fn push(&mut self, weight: Weight) {
        self.list.push(weight);
    }

    pub(super) fn get(&self, id: WeightId) -> &Weight {
        &self.list[id.0]
    }

    /// The weight that a constant is already in a shape.
    pub(super) fn known(&self, constant: &Rc<Constant>, shape: &[usize]) -> Option<WeightId> {
        let key = (Rc::as_ptr(constant), shape.to_vec());
        self.known.get(&key).copied()
    }

    /// Takes note that a constant has become a weight.
    pub(super) fn share(&mut self, id: WeightId, constant: &Rc<Constant>, shape: &[usize]) {
        self.list.push(Weight::Shared(constant.clone()));
        let key = (Rc::as_ptr(constant), shape.to_vec());
        self.known.insert(key, id);
    }

    /// Some of the weights in single precision; the memory of each is given back as soon as it is
    /// converted, unless something else holds it.
    pub(super) fn into_singles(self, kept: &[WeightId]) -> Vec<Vec<f32>> {
        let mut weights: Vec<Option<Weight>> = self.list.into_iter().map(Some).collect();
        let kept: Vec<Weight> = kept.iter().filter_map(|id| weights[id.0].take()).collect();
        drop(weights);
        kept.into_iter().map(|weight| weight.cast()).collect()
    }
}
