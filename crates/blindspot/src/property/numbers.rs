//! A property's inequalities as numbers behind a model's outputs.

use std::collections::HashMap;

use blindspot_net::Network;

use super::{Inequality, Property, PropertyError};
use crate::goals::head::{HeadBuilder, Linear};

/// The most numbers of the matrix of all inequalities.
const MAX_FACTORS: usize = 1 << 24;

/// The inequalities of a property, each once, as numbers that are above 0 where they don't hold.
pub(super) struct Numbers {
    inequalities: Vec<Inequality>,
    outputs: usize,
    /// For each box and each of its cases the positions of its numbers in the head's outputs.
    pub(super) clauses: Vec<Vec<Vec<usize>>>,
}

impl Numbers {
    pub(super) fn new(property: &Property) -> Result<Numbers, PropertyError> {
        let mut numbers = Numbers {
            inequalities: Vec::new(),
            outputs: property.outputs(),
            clauses: Vec::new(),
        };
        let mut known: HashMap<Vec<u64>, usize> = HashMap::new();
        for region in property.regions() {
            let cases = region.cases.iter();
            let clauses = cases.map(|case| {
                let members = case.iter().map(|inequality| {
                    *known.entry(bits(inequality)).or_insert_with(|| {
                        numbers.inequalities.push(inequality.clone());
                        // The head's first output is 0.
                        numbers.inequalities.len()
                    })
                });
                members.collect()
            });
            let clauses = clauses.collect();
            numbers.clauses.push(clauses);
        }
        let factors = numbers.inequalities.len().saturating_mul(numbers.outputs);
        if factors > MAX_FACTORS {
            return Err(PropertyError::Unfit {
                name: property.name().to_owned(),
                why: format!(
                    "{} different inequalities of {} outputs take too much memory; split it into several files",
                    numbers.inequalities.len(),
                    numbers.outputs
                ),
            });
        }
        Ok(numbers)
    }

    /// From a model's outputs, of this shape, to 0 and the numbers.
    pub(super) fn head(&self, shape: &[usize]) -> Network<f64> {
        let excesses = self.inequalities.iter().map(|inequality| Linear {
            factors: inequality.factors.clone(),
            constant: -inequality.bound,
        });
        HeadBuilder::new(shape).margins(&excesses.collect::<Vec<_>>(), false)
    }
}

fn bits(inequality: &Inequality) -> Vec<u64> {
    let factors = inequality.factors.iter();
    let factors = factors.flat_map(|&(output, factor)| [output as u64, factor.to_bits()]);
    factors.chain([inequality.bound.to_bits()]).collect()
}
