//! Attention, and the rotation of its queries and keys by their positions.

use super::logic::finite;
use super::{Operator, Outputs};
use crate::graph::Operand;
use crate::onnx::OnnxError;
use crate::onnx::import::builder::{Binding, Value};
use crate::onnx::import::constant::Constant;
use crate::onnx::import::reader::Reader;
use crate::ops::{Binary, Concat, Gather, Op, Softmax, Unary};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::with_outputs("Attention", attention),
    Operator::new("RotaryEmbedding", rotary),
];

/// A number of heads: of [heads, sequence, size], or what an attribute makes of [sequence, heads x
/// size].
fn heads(r: &Reader<'_>, value: Value, name: &str) -> Result<usize, OnnxError> {
    let given = r.attr_i64(name, 0);
    match (r.shape(value), usize::try_from(given)) {
        (&[heads, _, _], _) => Ok(heads),
        (&[_, width], Ok(heads)) if heads > 0 && width.is_multiple_of(heads) => Ok(heads),
        (shape, _) => Err(r.fail(format!("its {name} is {given} for a shape of {shape:?}"))),
    }
}

/// [sequence, heads x size] as [heads, sequence, size].
fn apart(r: &mut Reader<'_>, value: Value, heads: usize) -> Result<Value, OnnxError> {
    let &[length, width] = r.shape(value) else {
        return Ok(value);
    };
    let value = r.reshape(value, vec![length, heads, width / heads], value.batched)?;
    r.transpose(value, &[1, 0, 2])
}

/// Back from that.
fn together(r: &mut Reader<'_>, value: Value) -> Result<Value, OnnxError> {
    let value = r.transpose(value, &[1, 0, 2])?;
    let shape = r.shape(value);
    let shape = vec![shape[0], shape[1] * shape[2]];
    r.reshape(value, shape, value.batched)
}

/// Heads of keys or values repeated for the queries' heads that share them.
fn shared(r: &mut Reader<'_>, value: Value, heads: usize) -> Result<Value, OnnxError> {
    let own = r.shape(value)[0];
    if own == heads {
        return Ok(value);
    }
    if !heads.is_multiple_of(own) {
        return Err(r.fail(format!(
            "{heads} heads of queries can't share {own} of keys"
        )));
    }
    let positions = (0..heads).map(|head| head / (heads / own)).collect();
    r.apply(Op::Gather(Gather { axis: 0, positions }), value)
}

/// Attention: softmax(scale Q K' + mask) V for each head.
fn attention(r: &mut Reader<'_>) -> Outputs {
    if r.input(6)?.is_some() {
        return Err(r.fail("its input nonpad_kv_seqlen is not supported"));
    }
    let inputs = [r.required(0)?, r.required(1)?, r.required(2)?];
    let beside = inputs.iter().find_map(|input| match input {
        Binding::Value(value) => Some(*value),
        Binding::Constant(_) => None,
    });
    let beside = beside.ok_or_else(|| r.fail("its queries, keys and values are constants"))?;
    let beside = r.batched(beside)?;
    let mut part = |position: usize| {
        let value = r.as_value(position, beside)?;
        r.batched(value)
    };
    let (queries, mut keys, mut values) = (part(0)?, part(1)?, part(2)?);
    let flat = r.shape(queries).len() == 2;
    let query_heads = heads(r, queries, "q_num_heads")?;
    let queries = apart(r, queries, query_heads)?;
    let mut past_length = 0;
    for (part, position) in [(&mut keys, 4), (&mut values, 5)] {
        let own = heads(r, *part, "kv_num_heads")?;
        *part = apart(r, *part, own)?;
        if r.input(position)?.is_some() {
            let past = r.as_value(position, beside)?;
            let past = r.batched(past)?;
            past_length = r.shape(past).get(1).copied().unwrap_or(0);
            let operands = [Operand::Value(past.id), Operand::Value(part.id)];
            *part = r.push_node(Op::Concat(Concat { axis: 1 }), &operands, true)?;
        }
    }
    let (length, size) = (r.shape(queries)[1], r.shape(queries)[2]);
    let present = [keys, values];
    let keys = shared(r, keys, query_heads)?;
    let values = shared(r, values, query_heads)?;
    let scale = match r.attr("scale") {
        Some(scale) => f64::from(scale.f),
        None => 1.0 / (size as f64).sqrt(),
    };
    let queries = r.with_number(Binary::Mul, queries, scale)?;
    let keys = r.transpose(keys, &[0, 2, 1])?;
    let mut scores = r.product(queries, keys)?;
    let cap = r.attr_f64("softcap", 0.0);
    if cap > 0.0 {
        scores = r.with_number(Binary::Div, scores, cap)?;
        scores = r.unary(Unary::Tanh, scores)?;
        scores = r.with_number(Binary::Mul, scores, cap)?;
    }
    scores = masked(r, scores)?;
    // How far before and behind itself a query may look.
    let causal = r.attr_bool("is_causal", false);
    let window = |name: &str| usize::try_from(r.attr_i64(name, -1)).ok();
    let (left, right) = (window("left_window_size"), window("right_window_size"));
    let right = if causal { Some(0) } else { right };
    if left.is_some() || right.is_some() {
        let keys = r.shape(scores)[2];
        let counts = |i: usize, j: usize| {
            let at = i + past_length;
            let after = right.is_none_or(|right| j <= at.saturating_add(right));
            after && left.is_none_or(|left| at <= j.saturating_add(left))
        };
        let places = (0..length).flat_map(|i| (0..keys).map(move |j| (i, j)));
        let mask = places.map(|(i, j)| bias(counts(i, j))).collect();
        let mask = r.own_weight("window", &[length, keys], mask)?;
        scores = r.with_weight(Binary::Add, scores, mask)?;
    }
    let softmax = Softmax {
        axis: 2,
        log: false,
    };
    let weights = r.apply(Op::Softmax(softmax), scores)?;
    let mut result = r.product(weights, values)?;
    if flat {
        result = together(r, result)?;
    }
    let outputs = [result, present[0], present[1]];
    Ok(outputs.map(Binding::Value).to_vec())
}

/// What is added to a score that counts, or not.
fn bias(counts: bool) -> f64 {
    if counts { 0.0 } else { f32::MIN.into() }
}

/// The scores with the mask: truth values of what counts, or numbers to be added.
fn masked(r: &mut Reader<'_>, scores: Value) -> Result<Value, OnnxError> {
    let Some(mask) = r.input(3)? else {
        return Ok(scores);
    };
    let mask = match mask.constant() {
        Some(constant) => {
            let (shape, numbers) = r.reals(3)?.unwrap_or_default();
            let numbers: Vec<f64> = match constant.ints() {
                Some(_) => numbers.iter().map(|&counts| bias(counts != 0.0)).collect(),
                None => numbers,
            };
            let row = shape.last().copied().unwrap_or(1).max(1);
            let least = f64::from(f32::MIN);
            let nothing = |row: &[f64]| row.iter().all(|&number| number <= least);
            if numbers.chunks(row).any(nothing) {
                return Err(r.fail("its mask leaves a query nothing to attend to"));
            }
            finite(Binding::Constant(Constant::of_reals(shape, numbers).into()))
        }
        None => mask,
    };
    let (operands, batched) = r.broadcast(&[(0, Binding::Value(scores)), (3, mask)])?;
    r.push_node(Op::Binary(Binary::Add), &operands, batched)
}

/// RotaryEmbedding: pairs of numbers turned by angles that depend on their position, whose cosines
/// and sines are constants.
fn rotary(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let value = r.value(0)?;
    let value = r.batched(value)?;
    let flat = r.shape(value).len() == 2;
    let heads = heads(r, value, "num_heads")?;
    let rows = apart(r, value, heads)?;
    let (length, size) = (r.shape(rows)[1], r.shape(rows)[2]);
    let turned = match r.attr_i64("rotary_embedding_dim", 0) {
        0 => size,
        turned => usize::try_from(turned).unwrap_or(usize::MAX),
    };
    if turned > size || turned % 2 == 1 {
        return Err(r.fail(format!("it turns {turned} of {size} numbers")));
    }
    let half = turned / 2;
    // Each number's partner, the pair that both are, and the sign with which the partner counts.
    let pairs: Vec<(usize, usize, f64)> = (0..turned)
        .map(|i| match (r.attr_bool("interleaved", false), i < half) {
            (true, _) if i.is_multiple_of(2) => (i + 1, i / 2, -1.0),
            (true, _) => (i - 1, i / 2, 1.0),
            (false, true) => (i + half, i, -1.0),
            (false, false) => (i - half, i - half, 1.0),
        })
        .collect();
    let cosines = angles(r, 1, [length, half], &pairs, false)?;
    let sines = angles(r, 2, [length, half], &pairs, true)?;
    let part = r.part(rows, 2, 0, turned)?;
    let positions = pairs.iter().map(|pair| pair.0).collect();
    let partners = r.apply(Op::Gather(Gather { axis: 2, positions }), part)?;
    let own = r.with_weight(Binary::Mul, part, cosines)?;
    let other = r.with_weight(Binary::Mul, partners, sines)?;
    let mut result = r.both(Binary::Add, own, other)?;
    if turned < size {
        let rest = r.part(rows, 2, turned, size - turned)?;
        let both = [Operand::Value(result.id), Operand::Value(rest.id)];
        result = r.push_node(Op::Concat(Concat { axis: 2 }), &both, true)?;
    }
    if flat {
        together(r, result)
    } else {
        Ok(result)
    }
}

/// The cosines or sines for each number of each position: rows of an input, or those that the
/// positions of input 3 choose; with the partners' signs if they are the partners'.
fn angles(
    r: &mut Reader<'_>,
    position: usize,
    [length, half]: [usize; 2],
    pairs: &[(usize, usize, f64)],
    signed: bool,
) -> Result<Operand, OnnxError> {
    let sign = |pair: &(usize, usize, f64)| if signed { pair.2 } else { 1.0 };
    if let (Binding::Value(table), None) = (r.required(position)?, r.input(3)?) {
        let table = r.batched(table)?;
        let positions = pairs.iter().map(|pair| pair.1).collect();
        let table = r.apply(Op::Gather(Gather { axis: 1, positions }), table)?;
        let signs = r.own_weight("signs", &[pairs.len()], pairs.iter().map(sign).collect())?;
        return Ok(Operand::Value(r.with_weight(Binary::Mul, table, signs)?.id));
    }
    let (_, numbers) = r.finite(position)?.unwrap_or_default();
    let half = half.max(1);
    let rows = match r.ints(3)? {
        Some(positions) => positions,
        None => (0..(numbers.len() / half) as i64).collect(),
    };
    let row = |&row: &i64| numbers.chunks_exact(half).nth(usize::try_from(row).ok()?);
    let rows: Option<Vec<&[f64]>> = rows.iter().map(row).collect();
    let rows = rows.filter(|rows| {
        // The same for every image.
        let mut images = rows.chunks(length);
        rows.len() >= length && images.all(|image| *image == rows[..length])
    });
    let Some(rows) = rows else {
        return Err(r.fail(format!(
            "`{}` has not {half} numbers for each of {length} positions, the same for every image",
            r.input_name(position)
        )));
    };
    let row = |row: &[f64]| {
        pairs
            .iter()
            .map(|pair| sign(pair) * row[pair.1])
            .collect::<Vec<_>>()
    };
    let numbers = rows[..length]
        .iter()
        .flat_map(|numbers| row(numbers))
        .collect();
    r.own_weight("angles", &[length, pairs.len()], numbers)
}
