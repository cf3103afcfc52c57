//! One step of each kind of recurrent layer.

use crate::graph::Operand;
use crate::onnx::OnnxError;
use crate::onnx::import::builder::Value;
use crate::onnx::import::reader::Reader;
use crate::ops::{Binary, Gemm, Op, Unary};

/// What a step leaves to the next one, [sequences, units] each; nothing before the first.
#[derive(Clone, Copy, Default)]
pub(super) struct State {
    pub(super) hidden: Option<Value>,
    pub(super) cell: Option<Value>,
}

/// Parameters of one direction.
pub(super) struct Direction {
    pub(super) units: usize,
    pub(super) activations: Vec<Unary>,
    pub(super) clip: Option<f64>,
    /// [gates x units, units].
    pub(super) recurrence: Operand,
    /// What GRU adds to the product of its last gate before that is reset.
    pub(super) late_bias: Option<Operand>,
    /// The recurrence of the last gate alone, for a GRU that resets before the product.
    pub(super) last: Option<Operand>,
    /// The weights of an LSTM's peepholes, `[units]` each, of the gates i, o and f.
    pub(super) peepholes: Option<[Operand; 3]>,
}

/// All rows of a value times a matrix [outputs, inputs].
pub(super) fn times(
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

pub(super) fn rnn_step(
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
pub(super) fn lstm_step(
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
pub(super) fn gru_step(
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
