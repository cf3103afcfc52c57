//! What linear bounds of a network take, known before any of them is made.

use blindspot_net::ops::{Binary, PoolKind, ReduceKind};
use blindspot_net::{Budget, BudgetError, Graph, Network, Op, Operand};

use super::affine::MAX_FUNCTIONS;

/// The most steps of one propagation of all margins: some hours on a core.
const MAX_MARGIN_STEPS: u64 = 1 << 43;

/// Numbers that an affine layer keeps of each of its outputs.
const OF_OUTPUT: u64 = 8;

/// Checks that linear bounds of a network take no more time and memory than allowed: each thread has
/// buffers for functions of the values of all layers, and each class a margin that is propagated.
///
/// # Errors
/// [`BudgetError`].
pub(super) fn check_linear(network: &Network<f64>, budget: &Budget) -> Result<(), BudgetError> {
    let (graph, classes) = (network.graph(), network.output_len());
    let steps = graph.steps() * classes as f64;
    if steps > MAX_MARGIN_STEPS as f64 {
        return Err(BudgetError::Steps {
            what: format!("propagating the margins over {classes} classes"),
            steps: steps as u64,
            most: MAX_MARGIN_STEPS,
        });
    }
    let threads = rayon::current_num_threads() as u64;
    let (alive, windows) = sizes(graph);
    let values = graph.values().iter().map(|value| value.len() as u64);
    let values = values.fold(alive, u64::saturating_add);
    // Values and gradients of all functions that are pulled back at once, and weights in two forms.
    let buffers = values.saturating_mul(2 * MAX_FUNCTIONS as u64 * threads);
    let numbers = buffers
        .saturating_add(alive.saturating_mul(OF_OUTPUT))
        .saturating_add(windows)
        .saturating_add(2 * network.parameters() as u64);
    budget.check(numbers.saturating_mul(size_of::<f64>() as u64), || {
        format!("linear bounds, {MAX_FUNCTIONS} functions at once on each of {threads} threads")
    })
}

/// How many numbers are alive at each activation, over all activations; and how many places the windows
/// of all maxima see, and the factors of all products.
fn sizes(graph: &Graph) -> (u64, u64) {
    let nodes = graph.nodes();
    let mut last_use = vec![nodes.len(); graph.values().len()];
    for (at, node) in nodes.iter().enumerate().rev() {
        for operand in &node.inputs {
            if let Operand::Value(id) = operand
                && last_use[id.index()] == nodes.len()
                && *id != graph.output()
            {
                last_use[id.index()] = at;
            }
        }
    }
    let length = |id| graph.value(id).len() as u64;
    let mut alive = length(graph.input());
    let (mut all, mut windows) = (0u64, 0u64);
    for (at, node) in nodes.iter().enumerate() {
        alive = alive.saturating_add(length(node.output));
        let mut operands = node.inputs.clone();
        operands.dedup();
        for operand in operands {
            if let Operand::Value(id) = operand
                && last_use[id.index()] == at
            {
                alive = alive.saturating_sub(length(id));
            }
        }
        match &node.op {
            Op::Unary(_) => all = all.saturating_add(alive),
            // Each number has a function, or a window or product of two numbers.
            Op::Binary(op) if !is_affine(*op, &node.inputs) => {
                windows = windows.saturating_add(length(node.output).saturating_mul(OF_OUTPUT));
                all = all.saturating_add(alive);
            }
            Op::MatMul(_) if !node.inputs.iter().any(is_weight) => {
                let terms = match node.inputs[0] {
                    Operand::Value(id) => graph.value(id).shape.last().copied().unwrap_or(1),
                    Operand::Weight(_) => 0,
                };
                let products = length(node.output).saturating_mul(terms as u64);
                windows = windows.saturating_add(products.saturating_mul(OF_OUTPUT));
                all = all.saturating_add(alive);
            }
            Op::Reduce(reduce) if reduce.kind == ReduceKind::Max => {
                let operands = node.inputs.iter().filter_map(|operand| match operand {
                    Operand::Value(id) => Some(length(*id)),
                    Operand::Weight(_) => None,
                });
                windows = operands.fold(windows, u64::saturating_add);
                all = all.saturating_add(alive);
            }
            Op::Pool(pool) if pool.kind == PoolKind::Max => {
                let kernel = pool.window.kernel.iter().map(|&size| size as u64);
                let kernel = kernel.fold(1, u64::saturating_mul);
                windows = windows.saturating_add(length(node.output).saturating_mul(kernel));
                all = all.saturating_add(alive);
            }
            _ => {}
        }
    }
    (all, windows)
}

fn is_weight(operand: &Operand) -> bool {
    matches!(operand, Operand::Weight(_))
}

/// Whether a function of two operands is an affine one of the values among them.
fn is_affine(op: Binary, operands: &[Operand]) -> bool {
    match op {
        Binary::Add | Binary::Sub => true,
        Binary::Mul | Binary::Div => operands.iter().any(is_weight),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use blindspot_net::ops::Unary;

    use super::*;

    #[test]
    fn what_stays_alive_counts_at_each_activation() {
        // x, relu(x), relu of that, ..., and all of them put together in the end.
        let mut graph = Graph::new("x", &[10]).unwrap();
        let mut values = vec![Operand::Value(graph.input())];
        for i in 0..3 {
            let name = format!("h{i}");
            let relu = Op::Unary(Unary::Relu);
            let value = graph.node(&name, relu, &values[i..=i], &name).unwrap();
            values.push(Operand::Value(value));
        }
        let concat = Op::Concat(blindspot_net::ops::Concat { axis: 0 });
        graph.node("all", concat, &values, "all").unwrap();
        assert_eq!(sizes(&graph), (20 + 30 + 40, 0));
        let network = Network::new(graph, Vec::new()).unwrap();
        let budget = |memory| Budget {
            memory,
            ..Budget::default()
        };
        check_linear(&network, &budget(1 << 30)).unwrap();
        let why = check_linear(&network, &budget(1000)).unwrap_err();
        assert!(why.to_string().contains("linear bounds"), "{why}");
    }
}
