//! A file's nodes as they are read: those that the output needs, in an order in which they can run.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use crate::onnx::OnnxError;
use crate::onnx::proto::{NodeProto, OperatorSetIdProto};

/// A node, and the version of ONNX's operators in whose words it is written: a function may have
/// another one than the model.
pub(super) struct Call {
    pub(super) node: NodeProto,
    pub(super) opset: i64,
}

/// The version of ONNX's own operators, if it is among the imported sets.
pub(super) fn opset_of(imports: &[OperatorSetIdProto]) -> Option<i64> {
    let mut imports = imports.iter();
    imports
        .find(|set| matches!(set.domain.as_str(), "" | "ai.onnx"))
        .map(|set| set.version)
}

/// Which node gives each name. A name that two nodes give leads to [`OnnxError::duplicate_name`]
/// when it is asked for.
pub(super) struct Producers<'c> {
    of: HashMap<&'c str, usize>,
    twice: HashSet<&'c str>,
}

impl<'c> Producers<'c> {
    pub(super) fn new(calls: &'c [Call]) -> Producers<'c> {
        let (mut of, mut twice) = (HashMap::new(), HashSet::new());
        for (position, call) in calls.iter().enumerate() {
            for name in call.node.output.iter().filter(|name| !name.is_empty()) {
                if of.insert(name.as_str(), position).is_some() {
                    twice.insert(name.as_str());
                }
            }
        }
        Producers { of, twice }
    }

    /// The position of the node that gives a name, if one does.
    pub(super) fn position(&self, name: &str) -> Result<Option<usize>, OnnxError> {
        if self.twice.contains(name) {
            return Err(OnnxError::duplicate_name(name));
        }
        Ok(self.of.get(name).copied())
    }
}

/// The positions of the nodes that the output needs, each after those whose outputs it takes; nodes
/// that could run in either order keep the file's.
///
/// # Errors
/// [`OnnxError::Node`] where nodes need each other in a circle.
pub(super) fn order(
    calls: &[Call],
    producers: &Producers<'_>,
    output: &str,
) -> Result<Vec<usize>, OnnxError> {
    let mut needed = vec![false; calls.len()];
    // For each node, those that take its outputs, and how many of its own inputs are to come.
    let mut takers: Vec<Vec<usize>> = vec![Vec::new(); calls.len()];
    let mut to_come = vec![0usize; calls.len()];
    let mut waiting: Vec<usize> = producers.position(output)?.into_iter().collect();
    for &position in &waiting {
        needed[position] = true;
    }
    let mut count = 0;
    while let Some(position) = waiting.pop() {
        count += 1;
        for name in &calls[position].node.input {
            let Some(giver) = producers.position(name)? else {
                continue;
            };
            takers[giver].push(position);
            to_come[position] += 1;
            if !std::mem::replace(&mut needed[giver], true) {
                waiting.push(giver);
            }
        }
    }
    let ready = (0..calls.len()).filter(|&position| needed[position] && to_come[position] == 0);
    let mut ready: BinaryHeap<Reverse<usize>> = ready.map(Reverse).collect();
    let mut order = Vec::with_capacity(count);
    while let Some(Reverse(position)) = ready.pop() {
        order.push(position);
        for &taker in &takers[position] {
            to_come[taker] -= 1;
            if to_come[taker] == 0 {
                ready.push(Reverse(taker));
            }
        }
    }
    if order.len() == count {
        return Ok(order);
    }
    let stuck = (0..calls.len()).find(|&position| needed[position] && to_come[position] > 0);
    Err(match stuck {
        Some(position) => calls[position]
            .node
            .fail("it needs its own output, by way of other nodes; such a model can't run"),
        None => OnnxError::Interface("the model's nodes have no order".into()),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn call(inputs: &[usize], output: usize) -> Call {
        let name = |i: &usize| format!("v{i}");
        Call {
            node: NodeProto {
                input: inputs.iter().map(name).collect(),
                output: vec![name(&output)],
                ..NodeProto::default()
            },
            opset: 20,
        }
    }

    #[test]
    fn a_circle_is_an_error() {
        let calls = [call(&[2], 1), call(&[1], 2), call(&[1], 3)];
        let error = order(&calls, &Producers::new(&calls), "v3").unwrap_err();
        assert!(error.to_string().contains("its own output"), "{error}");
        let itself = [call(&[1], 1)];
        assert!(order(&itself, &Producers::new(&itself), "v1").is_err());
    }

    proptest! {
        #[test]
        fn nodes_stand_after_those_that_they_need(
            edges in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 1..4), 1..40),
            shuffle in any::<u64>(),
        ) {
            // Node i gives value i + 1 and takes earlier values; value 0 is the input.
            let mut calls: Vec<Call> = edges
                .iter()
                .enumerate()
                .map(|(i, edges)| {
                    let inputs: Vec<usize> = edges.iter().map(|edge| edge.index(i + 1)).collect();
                    call(&inputs, i + 1)
                })
                .collect();
            let last = format!("v{}", calls.len());
            let sorted = order(&calls, &Producers::new(&calls), &last).unwrap();
            prop_assert!(sorted.is_sorted(), "an order that is right is kept");
            let mut state = shuffle | 1;
            for i in (1..calls.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                calls.swap(i, (state >> 33) as usize % (i + 1));
            }
            let places = order(&calls, &Producers::new(&calls), &last).unwrap();
            prop_assert_eq!(places.len(), sorted.len());
            let mut known = HashSet::from(["v0"]);
            for place in places {
                let node = &calls[place].node;
                prop_assert!(node.input.iter().all(|name| known.contains(name.as_str())));
                known.insert(&node.output[0]);
            }
        }
    }
}
