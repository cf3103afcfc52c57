//! Recurrent layers, one step after the other.

use super::{Operator, Outputs};
use crate::graph::Operand;
use crate::onnx::OnnxError;
use crate::onnx::import::builder::{Binding, Value};
use crate::onnx::import::reader::Reader;
use crate::ops::{Binary, Concat, Gemm, Op, Unary};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::with_outputs("GRU", |r| layer(r, &GRU)),
    Operator::with_outputs("LSTM", |r| layer(r, &LSTM)),
    Operator::with_outputs("RNN", |r| layer(r, &RNN)),
];

/// The most steps: each adds its own operators to the network.
const MAX_STEPS: usize = 1 << 12;

/// What one kind of layer does.
struct Kind {
    /// How many gates there are: blocks of rows of the weights.
    gates: usize,
    /// The activation functions of a direction, unless the node names others.
    activations: &'static [&'static str],
    step: fn(&mut Reader<'_>, &Direction, Value, State) -> Result<State, OnnxError>,
}

const GRU: Kind = Kind {
    gates: 3,
    activations: &["Sigmoid", "Tanh"],
    step: gru_step,
};
const LSTM: Kind = Kind {
    gates: 4,
    activations: &["Sigmoid", "Tanh", "Tanh"],
    step: lstm_step,
};
const RNN: Kind = Kind {
    gates: 1,
    activations: &["Tanh"],
    step: rnn_step,
};

/// What a step leaves to the next one, [sequences, units] each; nothing before the first.
#[derive(Clone, Copy, Default)]
struct State {
    hidden: Option<Value>,
    cell: Option<Value>,
}

/// Parameters of one direction.
struct Direction {
    units: usize,
    activations: Vec<Unary>,
    clip: Option<f64>,
    /// [gates x units, units].
    recurrence: Operand,
    /// What GRU adds to the product of its last gate before that is reset.
    late_bias: Option<Operand>,
    /// The recurrence of the last gate alone, for a GRU that resets before the product.
    last: Option<Operand>,
    /// The weights of an LSTM's peepholes, `[units]` each, of the gates i, o and f.
    peepholes: Option<[Operand; 3]>,
}

/// All rows of a value times a matrix [outputs, inputs].
fn times(
    r: &mut Reader<'_>,
    value: Value,
    matrix: Operand,
    bias: Option<Operand>,
) -> Result<Value, OnnxError> {
    let mut operands = vec![Operand::Value(value.id), matrix];
    operands.extend(bias);
    r.push_node(Op::Gemm(Gemm { trans_b: true }), &operands, value.batched)
}

impl Direction {
    /// An activation function of what is cut to the clip's range.
    fn activate(&self, r: &mut Reader<'_>, i: usize, sum: Value) -> Result<Value, OnnxError> {
        let sum = match self.clip {
            Some(clip) => {
                let (min, max) = (-clip, clip);
                r.unary(Unary::Clip { min, max }, sum)?
            }
            None => sum,
        };
        r.unary(self.activations[i], sum)
    }

    /// The part of one gate, or of several after each other.
    fn gates(
        &self,
        r: &mut Reader<'_>,
        all: Value,
        first: usize,
        count: usize,
    ) -> Result<Value, OnnxError> {
        r.part(all, 1, first * self.units, count * self.units)
    }

    /// What comes from the last step is added to what comes from below.
    fn sum(&self, r: &mut Reader<'_>, below: Value, state: State) -> Result<Value, OnnxError> {
        match state.hidden {
            Some(hidden) => {
                let before = times(r, hidden, self.recurrence, None)?;
                r.both(Binary::Add, below, before)
            }
            None => Ok(below),
        }
    }
}

fn rnn_step(
    r: &mut Reader<'_>,
    direction: &Direction,
    below: Value,
    state: State,
) -> Result<State, OnnxError> {
    let sum = direction.sum(r, below, state)?;
    let hidden = direction.activate(r, 0, sum)?;
    Ok(State {
        hidden: Some(hidden),
        cell: None,
    })
}

/// Gates in the order input, output, forget, cell.
fn lstm_step(
    r: &mut Reader<'_>,
    direction: &Direction,
    below: Value,
    state: State,
) -> Result<State, OnnxError> {
    let sums = direction.sum(r, below, state)?;
    let look = |r: &mut Reader<'_>, sum: Value, cell: Option<Value>, gate: usize| match (
        cell,
        direction.peepholes,
    ) {
        (Some(cell), Some(weights)) => {
            let seen = r.with_weight(Binary::Mul, cell, weights[gate])?;
            r.both(Binary::Add, sum, seen)
        }
        _ => Ok(sum),
    };
    let input = direction.gates(r, sums, 0, 1)?;
    let input = look(r, input, state.cell, 0)?;
    let input = direction.activate(r, 0, input)?;
    let new = direction.gates(r, sums, 3, 1)?;
    let new = direction.activate(r, 1, new)?;
    let mut cell = r.both(Binary::Mul, input, new)?;
    if let Some(before) = state.cell {
        let forget = direction.gates(r, sums, 2, 1)?;
        let forget = look(r, forget, state.cell, 2)?;
        let forget = direction.activate(r, 0, forget)?;
        let kept = r.both(Binary::Mul, forget, before)?;
        cell = r.both(Binary::Add, kept, cell)?;
    }
    let output = direction.gates(r, sums, 1, 1)?;
    let output = look(r, output, Some(cell), 1)?;
    let output = direction.activate(r, 0, output)?;
    let shown = r.unary(direction.activations[2], cell)?;
    let hidden = r.both(Binary::Mul, output, shown)?;
    Ok(State {
        hidden: Some(hidden),
        cell: Some(cell),
    })
}

/// Gates in the order update, reset, hidden.
fn gru_step(
    r: &mut Reader<'_>,
    direction: &Direction,
    below: Value,
    state: State,
) -> Result<State, OnnxError> {
    let units = direction.units;
    let from_below = direction.gates(r, below, 2, 1)?;
    let both = direction.gates(r, below, 0, 2)?;
    let before = match state.hidden {
        Some(hidden) => Some((hidden, times(r, hidden, direction.recurrence, None)?)),
        None => None,
    };
    let both = match before {
        Some((_, product)) => {
            let product = direction.gates(r, product, 0, 2)?;
            r.both(Binary::Add, both, product)?
        }
        None => both,
    };
    let both = direction.activate(r, 0, both)?;
    let update = r.part(both, 1, 0, units)?;
    let reset = r.part(both, 1, units, units)?;
    let mut sum = from_below;
    match (before, direction.last) {
        (Some((hidden, _)), Some(last)) => {
            let kept = r.both(Binary::Mul, reset, hidden)?;
            let kept = times(r, kept, last, None)?;
            sum = r.both(Binary::Add, sum, kept)?;
        }
        (Some((_, product)), None) => {
            let mut kept = direction.gates(r, product, 2, 1)?;
            if let Some(bias) = direction.late_bias {
                kept = r.with_weight(Binary::Add, kept, bias)?;
            }
            let kept = r.both(Binary::Mul, reset, kept)?;
            sum = r.both(Binary::Add, sum, kept)?;
        }
        (None, _) => {
            if let Some(bias) = direction.late_bias {
                let kept = r.with_weight(Binary::Mul, reset, bias)?;
                sum = r.both(Binary::Add, sum, kept)?;
            }
        }
    }
    let new = direction.activate(r, 1, sum)?;
    // (1 - z) new + z before = new + z (before - new)
    let change = match before {
        Some((hidden, _)) => r.both(Binary::Sub, hidden, new)?,
        None => r.unary(Unary::Neg, new)?,
    };
    let change = r.both(Binary::Mul, update, change)?;
    let hidden = r.both(Binary::Add, new, change)?;
    Ok(State {
        hidden: Some(hidden),
        cell: None,
    })
}

/// An activation function by its name; `alpha` and `beta` give what the node says, if anything.
fn activation(
    r: &Reader<'_>,
    name: &str,
    mut alpha: impl FnMut(f64) -> f64,
    mut beta: impl FnMut(f64) -> f64,
) -> Result<Unary, OnnxError> {
    Ok(match name {
        "Relu" => Unary::Relu,
        "Tanh" => Unary::Tanh,
        "Sigmoid" => Unary::Sigmoid,
        "Softsign" => Unary::Softsign,
        "Softplus" => Unary::Softplus,
        "LeakyRelu" => Unary::LeakyRelu { alpha: alpha(0.01) },
        "ThresholdedRelu" => Unary::ThresholdedRelu { alpha: alpha(1.0) },
        "Elu" => Unary::Elu { alpha: alpha(1.0) },
        "HardSigmoid" => Unary::HardSigmoid {
            alpha: alpha(0.2),
            beta: beta(0.5),
        },
        other => return Err(r.fail(format!("its activation {other:?} is not supported"))),
    })
}

/// The activation functions of all directions.
fn activations(r: &Reader<'_>, kind: &Kind, count: usize) -> Result<Vec<Unary>, OnnxError> {
    let given = r
        .attr("activations")
        .map(|attribute| &attribute.strings[..]);
    let names: Vec<String> = match given {
        Some(names) if !names.is_empty() => {
            let texts = names
                .iter()
                .map(|name| String::from_utf8_lossy(name).into_owned());
            texts.collect()
        }
        _ => kind
            .activations
            .iter()
            .map(|&name| name.to_owned())
            .cycle()
            .take(count)
            .collect(),
    };
    if names.len() != count {
        return Err(r.fail(format!("it has {} activations, not {count}", names.len())));
    }
    let floats = |name: &str| r.attr(name).map_or(&[][..], |attribute| &attribute.floats);
    let mut alphas = floats("activation_alpha").iter();
    let mut betas = floats("activation_beta").iter();
    let mut functions = Vec::with_capacity(count);
    for name in names {
        functions.push(activation(
            r,
            &name,
            |default| alphas.next().map_or(default, |&alpha| f64::from(alpha)),
            |default| betas.next().map_or(default, |&beta| f64::from(beta)),
        )?);
    }
    Ok(functions)
}

/// A layer of one or two directions: all its outputs, and the last state.
fn layer(r: &mut Reader<'_>, kind: &Kind) -> Outputs {
    let value = r.value(0)?;
    // [steps, sequences, inputs]; where the batch is the first axis each image is one sequence.
    let first = r.attr_bool("layout", false);
    let value = if first {
        r.batched(value)?
    } else {
        r.unbatched(value)?
    };
    let (steps, sequences, inputs) = match *r.shape(value) {
        [steps, inputs] if first => (steps, 1, inputs),
        [steps, sequences, inputs] if !first => (steps, sequences, inputs),
        ref shape => return Err(r.fail(format!("its input has shape {shape:?}"))),
    };
    if steps > MAX_STEPS {
        return Err(r.fail(format!(
            "it has {steps} steps; at most {MAX_STEPS} are supported"
        )));
    }
    if r.attr_bool("input_forget", false) {
        return Err(r.fail("its input_forget is not supported"));
    }
    let lengths = r.ints(4)?.unwrap_or_default();
    if lengths.iter().any(|&length| length != steps as i64) {
        return Err(r.fail(format!("its sequences have {lengths:?} steps of {steps}")));
    }
    let backwards: &[bool] = match r.attr_str("direction") {
        "" | "forward" => &[false],
        "reverse" => &[true],
        "bidirectional" => &[false, true],
        other => return Err(r.fail(format!("its direction is {other:?}"))),
    };
    let units = usize::try_from(r.attr_i64("hidden_size", 0)).unwrap_or(0);
    let count = backwards.len();
    let rows = kind.gates.saturating_mul(units);
    let numbers = |r: &Reader<'_>, position: usize, shape: [usize; 3]| {
        let given = r.finite(position)?;
        let own: Vec<usize> = shape.into_iter().filter(|&size| size > 0).collect();
        match given {
            Some((shape, _)) if shape != own || own.contains(&0) => Err(r.fail(format!(
                "`{}` has shape {shape:?}, not {own:?}",
                r.input_name(position)
            ))),
            given => Ok(given.map(|(_, numbers)| numbers)),
        }
    };
    let weights = numbers(r, 1, [count, rows, inputs])?;
    let recurrences = numbers(r, 2, [count, rows, units])?;
    let (Some(weights), Some(recurrences)) = (weights, recurrences) else {
        return Err(r.fail("it needs constant weights"));
    };
    let biases = numbers(r, 3, [count, 2 * rows, 0])?;
    let peepholes = match kind.gates {
        4 => numbers(r, 7, [count, 3 * units, 0])?,
        _ => None,
    };
    let functions = activations(r, kind, count * kind.activations.len())?;
    let all = r.reshape(value, vec![steps, sequences, inputs], value.batched)?;
    let mut states = [Vec::new(), Vec::new()];
    let mut outputs = Vec::with_capacity(count);
    for (d, &backwards) in backwards.iter().enumerate() {
        let own = |numbers: &[f64]| {
            let length = numbers.len() / count;
            numbers[d * length..(d + 1) * length].to_vec()
        };
        // GRU that resets after its product has a bias inside of what is reset.
        let late = kind.gates == 3 && r.attr_bool("linear_before_reset", false);
        let mut late_bias = None;
        let mut bias = None;
        if let Some(numbers) = &biases {
            let numbers = own(numbers);
            let (below, before) = numbers.split_at(rows);
            let early = if late { 2 * units } else { rows };
            let sums = (below.iter().zip(before).enumerate())
                .map(|(i, (a, b))| if i < early { a + b } else { *a });
            bias = Some(r.own_weight("bias", &[rows], sums.collect())?);
            if late {
                let numbers = before[early..].to_vec();
                late_bias = Some(r.own_weight("late bias", &[units], numbers)?);
            }
        }
        let recurrence = own(&recurrences);
        let last = match kind.gates {
            3 if !late => {
                let numbers = recurrence[2 * units * units..].to_vec();
                Some(r.own_weight("last recurrence", &[units, units], numbers)?)
            }
            _ => None,
        };
        let peepholes = match &peepholes {
            Some(numbers) => {
                let numbers = own(numbers);
                let mut gate = |i: usize| {
                    let numbers = numbers[i * units..(i + 1) * units].to_vec();
                    r.own_weight("peephole", &[units], numbers)
                };
                Some([gate(0)?, gate(1)?, gate(2)?])
            }
            None => None,
        };
        let length = kind.activations.len();
        let direction = Direction {
            units,
            activations: functions[d * length..(d + 1) * length].to_vec(),
            clip: r
                .attr("clip")
                .map(|clip| f64::from(clip.f))
                .filter(|&clip| clip > 0.0),
            recurrence: r.own_weight("recurrence", &[rows, units], recurrence)?,
            late_bias,
            last,
            peepholes,
        };
        let matrix = r.own_weight("weights", &[rows, inputs], own(&weights))?;
        let below = times(r, all, matrix, bias)?;
        let mut state = State {
            hidden: initial(r, 5, all, [d, count], [sequences, units])?,
            cell: match kind.gates {
                4 => initial(r, 6, all, [d, count], [sequences, units])?,
                _ => None,
            },
        };
        let mut hidden = vec![None; steps];
        for step in 0..steps {
            let step = if backwards { steps - 1 - step } else { step };
            let part = r.part(below, 0, step, 1)?;
            let part = r.reshape(part, vec![sequences, rows], all.batched)?;
            state = (kind.step)(r, &direction, part, state)?;
            hidden[step] = state.hidden;
        }
        for (states, state) in states.iter_mut().zip([state.hidden, state.cell]) {
            states.extend(state);
        }
        outputs.push(hidden.into_iter().flatten().collect::<Vec<Value>>());
    }
    // The batch's axis, where it is one of these, is not among the network's.
    let own = if first { vec![] } else { vec![sequences] };
    let shape = |before: &[usize]| [before, &own, &[units]].concat();
    let mut results = Vec::with_capacity(3);
    let steps_and_directions: Vec<Value> = (0..steps)
        .flat_map(|step| outputs.iter().map(move |output| output[step]))
        .collect();
    let lists = [&steps_and_directions, &states[0], &states[1]];
    let shapes = [shape(&[steps, count]), shape(&[count]), shape(&[count])];
    for (list, shape) in lists.into_iter().zip(shapes) {
        if list.is_empty() {
            break;
        }
        // In rows of one sequence each, the directions of a step after each other.
        let joined = side_by_side(r, list)?;
        results.push(Binding::Value(r.reshape(joined, shape, all.batched)?));
    }
    Ok(results)
}

/// The state before the first step, if the node has one.
fn initial(
    r: &mut Reader<'_>,
    position: usize,
    beside: Value,
    [d, count]: [usize; 2],
    shape: [usize; 2],
) -> Result<Option<Value>, OnnxError> {
    let input = match r.input(position)? {
        None => return Ok(None),
        Some(input) => input,
    };
    // Most are zeros.
    if let Some(reals) = input.constant().and_then(|constant| constant.reals())
        && reals.iter().all(|number| number == 0.0)
    {
        return Ok(None);
    }
    let state = r.as_value(position, beside)?;
    let flat = [&[count][..], &shape].concat();
    if r.shape(state).iter().product::<usize>() != flat.iter().product::<usize>() {
        let found = r.shape(state);
        return Err(r.fail(format!(
            "its initial state has shape {found:?}, not {flat:?}"
        )));
    }
    let state = r.reshape(state, flat, beside.batched)?;
    let state = r.part(state, 0, d, 1)?;
    Ok(Some(r.reshape(state, shape.to_vec(), beside.batched)?))
}

/// Values of one shape under each other.
fn side_by_side(r: &mut Reader<'_>, values: &[Value]) -> Result<Value, OnnxError> {
    if let [value] = values {
        return Ok(*value);
    }
    let operands: Vec<Operand> = values
        .iter()
        .map(|value| Operand::Value(value.id))
        .collect();
    r.push_node(Op::Concat(Concat { axis: 0 }), &operands, values[0].batched)
}
