//! Recurrent layers, one step after the other.

mod cells;

use self::cells::{Direction, State, gru_step, lstm_step, rnn_step, times};
use super::{Operator, Outputs};
use crate::graph::Operand;
use crate::onnx::OnnxError;
use crate::onnx::import::builder::{Binding, Value};
use crate::onnx::import::reader::Reader;
use crate::ops::{Concat, Op, Unary};

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

impl Kind {
    /// Whether a step leaves a cell beside its output.
    fn has_cell(&self) -> bool {
        self.gates == LSTM.gates
    }
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
    let sequence = Sequence::read(r)?;
    let backwards: &[bool] = match r.attr_str("direction") {
        "" | "forward" => &[false],
        "reverse" => &[true],
        "bidirectional" => &[false, true],
        other => return Err(r.fail(format!("its direction is {other:?}"))),
    };
    let count = backwards.len();
    let parameters = Parameters::read(r, kind, count, sequence.inputs)?;
    let [steps, sequences] = [sequence.steps, sequence.sequences];
    let flat = vec![steps, sequences, sequence.inputs];
    let all = r.reshape(sequence.value, flat, sequence.value.batched)?;
    let mut states = [Vec::new(), Vec::new()];
    let mut outputs = Vec::with_capacity(count);
    for (d, &backwards) in backwards.iter().enumerate() {
        let (hidden, last) = parameters.run(r, d, backwards, (all, [steps, sequences]))?;
        for (states, state) in states.iter_mut().zip([last.hidden, last.cell]) {
            states.extend(state);
        }
        outputs.push(hidden);
    }
    // The batch's axis, where it is one of these, is not among the network's.
    let own = if sequence.batch_first {
        vec![]
    } else {
        vec![sequences]
    };
    let shape = |before: &[usize]| [before, &own, &[parameters.units]].concat();
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

/// What a layer reads, of shape [steps, sequences, inputs]; where the batch is the first axis each image is one
/// sequence.
struct Sequence {
    value: Value,
    batch_first: bool,
    steps: usize,
    sequences: usize,
    inputs: usize,
}

impl Sequence {
    fn read(r: &mut Reader<'_>) -> Result<Sequence, OnnxError> {
        let value = r.value(0)?;
        let batch_first = r.attr_bool("layout", false);
        let value = if batch_first {
            r.batched(value)?
        } else {
            r.unbatched(value)?
        };
        let (steps, sequences, inputs) = match *r.shape(value) {
            [steps, inputs] if batch_first => (steps, 1, inputs),
            [steps, sequences, inputs] if !batch_first => (steps, sequences, inputs),
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
        Ok(Sequence {
            value,
            batch_first,
            steps,
            sequences,
            inputs,
        })
    }
}

/// The numbers of all directions, each direction's after the other.
struct Parameters<'k> {
    kind: &'k Kind,
    count: usize,
    inputs: usize,
    units: usize,
    /// [gates x units, inputs].
    weights: Vec<f64>,
    /// [gates x units, units].
    recurrences: Vec<f64>,
    /// Of the inputs, then of the state, [gates x units] each.
    biases: Option<Vec<f64>>,
    /// Of an LSTM's gates i, o and f, `[units]` each.
    peepholes: Option<Vec<f64>>,
    functions: Vec<Unary>,
}

impl<'k> Parameters<'k> {
    fn read(
        r: &mut Reader<'_>,
        kind: &'k Kind,
        count: usize,
        inputs: usize,
    ) -> Result<Parameters<'k>, OnnxError> {
        let units = usize::try_from(r.attr_i64("hidden_size", 0)).unwrap_or(0);
        let rows = kind.gates.saturating_mul(units);
        let weights = numbers(r, 1, &[count, rows, inputs])?;
        let recurrences = numbers(r, 2, &[count, rows, units])?;
        let (Some(weights), Some(recurrences)) = (weights, recurrences) else {
            return Err(r.fail("it needs constant weights"));
        };
        Ok(Parameters {
            kind,
            count,
            inputs,
            units,
            weights,
            recurrences,
            biases: numbers(r, 3, &[count, 2 * rows])?,
            peepholes: if kind.has_cell() {
                numbers(r, 7, &[count, 3 * units])?
            } else {
                None
            },
            functions: activations(r, kind, count * kind.activations.len())?,
        })
    }

    /// The part of one direction.
    fn own<'n, T>(&self, d: usize, numbers: &'n [T]) -> &'n [T] {
        let length = numbers.len() / self.count;
        &numbers[d * length..(d + 1) * length]
    }

    /// The states of one direction after each step, in the order of the steps, and the last one.
    fn run(
        &self,
        r: &mut Reader<'_>,
        d: usize,
        backwards: bool,
        (all, [steps, sequences]): (Value, [usize; 2]),
    ) -> Result<(Vec<Value>, State), OnnxError> {
        let rows = self.kind.gates * self.units;
        let (direction, bias) = self.direction(r, d)?;
        let weights = self.own(d, &self.weights).to_vec();
        let matrix = r.own_weight("weights", &[rows, self.inputs], weights)?;
        let below = times(r, all, matrix, bias)?;
        let at = ([d, self.count], [sequences, self.units]);
        let mut state = State {
            hidden: initial(r, 5, all, at)?,
            cell: if self.kind.has_cell() {
                initial(r, 6, all, at)?
            } else {
                None
            },
        };
        let mut hidden = Vec::with_capacity(steps);
        for step in 0..steps {
            let step = if backwards { steps - 1 - step } else { step };
            let part = r.part(below, 0, step, 1)?;
            let part = r.reshape(part, vec![sequences, rows], all.batched)?;
            state = (self.kind.step)(r, &direction, part, state)?;
            hidden.extend(state.hidden);
        }
        if backwards {
            hidden.reverse();
        }
        Ok((hidden, state))
    }

    /// One direction, and what is added to the products of its inputs.
    fn direction(
        &self,
        r: &mut Reader<'_>,
        d: usize,
    ) -> Result<(Direction, Option<Operand>), OnnxError> {
        let units = self.units;
        let rows = self.kind.gates * units;
        // GRU that resets after its product has a bias inside of what is reset.
        let is_gru = self.kind.gates == GRU.gates;
        let late = is_gru && r.attr_bool("linear_before_reset", false);
        let (mut bias, mut late_bias) = (None, None);
        if let Some(numbers) = &self.biases {
            let (below, before) = self.own(d, numbers).split_at(rows);
            let early = if late { 2 * units } else { rows };
            let sums = (below.iter().zip(before).enumerate())
                .map(|(i, (a, b))| if i < early { a + b } else { *a });
            bias = Some(r.own_weight("bias", &[rows], sums.collect())?);
            if late {
                let numbers = before[early..].to_vec();
                late_bias = Some(r.own_weight("late bias", &[units], numbers)?);
            }
        }
        let recurrence = self.own(d, &self.recurrences);
        let mut last = None;
        if is_gru && !late {
            let numbers = recurrence[2 * units * units..].to_vec();
            last = Some(r.own_weight("last recurrence", &[units, units], numbers)?);
        }
        let mut peepholes = None;
        if let Some(numbers) = &self.peepholes {
            let numbers = self.own(d, numbers);
            let mut gate = |i: usize| {
                let numbers = numbers[i * units..(i + 1) * units].to_vec();
                r.own_weight("peephole", &[units], numbers)
            };
            peepholes = Some([gate(0)?, gate(1)?, gate(2)?]);
        }
        let clip = r.attr("clip").map(|clip| f64::from(clip.f));
        let direction = Direction {
            units,
            activations: self.own(d, &self.functions).to_vec(),
            clip: clip.filter(|&clip| clip > 0.0),
            recurrence: r.own_weight("recurrence", &[rows, units], recurrence.to_vec())?,
            late_bias,
            last,
            peepholes,
        };
        Ok((direction, bias))
    }
}

/// The numbers of an input of this shape, if the node has it.
fn numbers(
    r: &mut Reader<'_>,
    position: usize,
    own: &[usize],
) -> Result<Option<Vec<f64>>, OnnxError> {
    match r.finite(position)? {
        Some((shape, _)) if shape != own || own.contains(&0) => Err(r.fail(format!(
            "`{}` has shape {shape:?}, not {own:?}",
            r.input_name(position)
        ))),
        given => Ok(given.map(|(_, numbers)| numbers)),
    }
}

/// The state before the first step, if the node has one.
fn initial(
    r: &mut Reader<'_>,
    position: usize,
    beside: Value,
    ([d, count], shape): ([usize; 2], [usize; 2]),
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
