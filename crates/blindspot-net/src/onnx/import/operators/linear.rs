//! Matrix products.

use std::rc::Rc;

use super::Operator;
use crate::graph::Operand;
use crate::onnx::OnnxError;
use crate::onnx::import::builder::{Binding, Value};
use crate::onnx::import::constant::Constant;
use crate::onnx::import::reader::Reader;
use crate::onnx::import::weights::Computed;
use crate::ops::{Binary, Fields, Gemm, Local, MatMul, Op, Transpose};

pub(super) const OPERATORS: &[Operator] =
    &[Operator::new("Gemm", gemm), Operator::new("MatMul", matmul)];

/// alpha A B + beta C, A and B perhaps transposed.
fn gemm(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let (alpha, beta) = (r.attr_f64("alpha", 1.0), r.attr_f64("beta", 1.0));
    let trans_a = r.attr_bool("transA", false);
    let trans_b = r.attr_bool("transB", false);
    let (a, b) = (r.required(0)?, r.required(1)?);
    let c = r.input(2)?;
    for factor in [&a, &b] {
        if r.rank(factor) != 2 {
            return Err(r.fail("its factors must have two axes each"));
        }
    }
    if let (Binding::Value(a), Some(weight), false) = (&a, b.constant(), trans_a) {
        let op = Gemm { trans_b };
        let units = weight.shape[usize::from(!trans_b)];
        let mut operands = vec![Operand::Value(a.id), scaled(r, 1, weight, alpha)?];
        let bias = match &c {
            Some(Binding::Constant(bias)) => Some(bias.clone()),
            _ => None,
        };
        if let Some(bias) = bias.filter(|bias| is_row(bias, units)) {
            operands.push(row(r, &bias, units, beta)?);
            return r.push_node(Op::Gemm(op), &operands, a.batched);
        }
        let product = r.push_node(Op::Gemm(op), &operands, a.batched)?;
        return plus(r, product, c, beta);
    }
    let a = factor(r, 0, &a, trans_a)?;
    let b = factor(r, 1, &b, trans_b)?;
    let mut product = r.push_node(Op::MatMul(MatMul), &[a, b], false)?;
    if alpha != 1.0 {
        let alpha = r.own_weight("alpha", &[], vec![alpha])?;
        let operands = [Operand::Value(product.id), alpha];
        product = r.push_node(Op::Binary(Binary::Mul), &operands, false)?;
    }
    plus(r, product, c, beta)
}

/// Adds Gemm's C, if it has one.
fn plus(
    r: &mut Reader<'_>,
    product: Value,
    c: Option<Binding>,
    beta: f64,
) -> Result<Value, OnnxError> {
    let c = match c {
        None => return Ok(product),
        Some(c) if beta == 1.0 => c,
        Some(Binding::Value(value)) => {
            let beta = r.own_weight("beta", &[], vec![beta])?;
            let operands = [Operand::Value(value.id), beta];
            let scaled = r.push_node(Op::Binary(Binary::Mul), &operands, value.batched)?;
            Binding::Value(scaled)
        }
        Some(Binding::Constant(constant)) => {
            let (shape, numbers) = times(r, 2, beta)?;
            let shape = if product.batched {
                r.without_batch(2, &constant, 2)?
            } else {
                shape
            };
            let weight = r.computed_weight(r.input_name(2), &shape, numbers)?;
            let operands = [Operand::Value(product.id), weight];
            return r.push_node(Op::Binary(Binary::Add), &operands, product.batched);
        }
    };
    let (operands, batched) = r.broadcast(&[(0, Binding::Value(product)), (2, c)])?;
    r.push_node(Op::Binary(Binary::Add), &operands, batched)
}

/// A factor of a product whose axes are none of the batch's.
fn factor(
    r: &mut Reader<'_>,
    position: usize,
    input: &Binding,
    transposed: bool,
) -> Result<Operand, OnnxError> {
    match input {
        Binding::Value(value) => {
            let mut value = r.unbatched(*value)?;
            if transposed {
                let op = Op::Transpose(Transpose {
                    permutation: vec![1, 0],
                });
                value = r.apply(op, value)?;
            }
            Ok(Operand::Value(value.id))
        }
        Binding::Constant(constant) if transposed => {
            let (shape, numbers) = times(r, position, 1.0)?;
            let (rows, cols) = (shape[0], shape[1]);
            let turned = |numbers: Vec<f64>| {
                let places = (0..cols).flat_map(|col| (0..rows).map(move |row| row * cols + col));
                places.map(|place| numbers[place]).collect()
            };
            let turned = Computed {
                values: turned(numbers.values),
                magnitudes: turned(numbers.magnitudes),
            };
            r.computed_weight(r.input_name(position), &[cols, rows], turned)
        }
        Binding::Constant(constant) => r.shared_weight(position, constant, &constant.shape.clone()),
    }
}

/// Whether a bias is one number, or a row of them.
fn is_row(bias: &Constant, units: usize) -> bool {
    let (&last, leading) = match bias.shape.split_last() {
        Some((last, leading)) => (last, leading),
        None => (&1, &[][..]),
    };
    leading.len() < 2 && leading.iter().all(|&n| n == 1) && (last == 1 || last == units)
}

/// A constant as a weight, scaled.
fn scaled(
    r: &mut Reader<'_>,
    position: usize,
    constant: &Rc<Constant>,
    scale: f64,
) -> Result<Operand, OnnxError> {
    if scale == 1.0 {
        return r.shared_weight(position, constant, &constant.shape.clone());
    }
    let (shape, numbers) = times(r, position, scale)?;
    r.computed_weight(r.input_name(position), &shape, numbers)
}

/// Shape and numbers of a constant input, scaled.
fn times(r: &Reader<'_>, position: usize, scale: f64) -> Result<(Vec<usize>, Computed), OnnxError> {
    let (shape, values) = r.finite(position)?.unwrap_or_default();
    let magnitudes = r.magnitudes(position)?.into_iter();
    let numbers = Computed {
        values: values.into_iter().map(|value| value * scale).collect(),
        magnitudes: magnitudes.map(|size| size * scale.abs()).collect(),
    };
    Ok((shape, numbers))
}

/// A bias as a weight of shape `[units]`, scaled.
fn row(
    r: &mut Reader<'_>,
    bias: &Rc<Constant>,
    units: usize,
    beta: f64,
) -> Result<Operand, OnnxError> {
    if beta == 1.0 && bias.numbers.len() == units {
        return r.shared_weight(2, bias, &[units]);
    }
    let (_, numbers) = times(r, 2, beta)?;
    let repeated = |numbers: Vec<f64>| numbers.iter().copied().cycle().take(units).collect();
    let numbers = Computed {
        values: repeated(numbers.values),
        magnitudes: repeated(numbers.magnitudes),
    };
    r.computed_weight(r.input_name(2), &[units], numbers)
}

/// NumPy's matmul: the last two axes, repeated over the axes before them.
fn matmul(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let (a, b) = (r.required(0)?, r.required(1)?);
    product(r, a, b)
}

/// The matrix product of what the first two inputs are, or what is made of these.
pub(super) fn product(r: &mut Reader<'_>, a: Binding, b: Binding) -> Result<Value, OnnxError> {
    let (rank_a, rank_b) = (r.rank(&a), r.rank(&b));
    if rank_a == 0 || rank_b == 0 {
        return Err(r.fail("one of its factors has no axis"));
    }
    if let (Binding::Value(a), Some(weight)) = (&a, b.constant())
        && rank_b <= 2
        && !r.shape(*a).is_empty()
    {
        // A column, if the weight has one axis; its axis of length 1 goes again.
        let shape = [weight.shape[0], weight.shape.get(1).copied().unwrap_or(1)];
        let weight = r.shared_weight(1, weight, &shape)?;
        let operands = [Operand::Value(a.id), weight];
        let product = r.push_node(Op::Gemm(Gemm { trans_b: false }), &operands, a.batched)?;
        return match rank_b {
            1 => {
                let mut shape = r.shape(product).to_vec();
                shape.pop();
                r.reshape(product, shape, product.batched)
            }
            _ => Ok(product),
        };
    }
    if let Some(local) = local(r, &a, &b)? {
        return Ok(local);
    }
    let a = matrix(r, a, true)?;
    let b = matrix(r, b, false)?;
    let (operands, batched) = match (&a, &b) {
        // Both with the batch's axis before their matrices, or one a constant.
        (Binding::Value(a), Binding::Value(b)) if a.batched != b.batched => {
            let (a, b) = (r.unbatched(*a)?, r.unbatched(*b)?);
            (vec![Operand::Value(a.id), Operand::Value(b.id)], false)
        }
        _ => r.broadcast(&[(0, a), (1, b)])?,
    };
    let product = r.push_node(Op::MatMul(MatMul), &operands, batched)?;
    let mut shape = r.shape(product).to_vec();
    if rank_b == 1 {
        shape.pop();
    }
    if rank_a == 1 {
        // The row's axis, the last but one of the product.
        let row = shape.len() - if rank_b == 1 { 1 } else { 2 };
        shape.remove(row);
    }
    r.reshape(product, shape, batched)
}

/// Local filtering: [positions, 1, field], gathered from one axis, by a constant [positions, field,
/// maps].
fn local(r: &mut Reader<'_>, a: &Binding, b: &Binding) -> Result<Option<Value>, OnnxError> {
    let (&Binding::Value(a), Some(weight)) = (a, b.constant()) else {
        return Ok(None);
    };
    let &[positions, field, maps] = &weight.shape[..] else {
        return Ok(None);
    };
    if !a.batched || r.shape(a) != [positions, 1, field] {
        return Ok(None);
    }
    let Some((from, gather)) = r.builder.single_use_gather(r.input_name(0)) else {
        return Ok(None);
    };
    let Ok(fields) = Fields::new(field, gather.positions.clone()) else {
        return Ok(None);
    };
    let weight = r.shared_weight(1, weight, &[positions, field, maps])?;
    let operands = [Operand::Value(from), weight];
    let local = r.push_node(Op::Local(Local { fields }), &operands, true)?;
    Ok(Some(r.reshape(local, vec![positions, 1, maps], true)?))
}

/// A factor with at least two axes beside the batch's; one axis is a row of the first factor, a
/// column of the second.
fn matrix(r: &mut Reader<'_>, input: Binding, row: bool) -> Result<Binding, OnnxError> {
    let rank = r.rank(&input);
    let wide = |shape: &[usize]| match (shape, row) {
        (&[length], true) => vec![1, length],
        (&[length], false) => vec![length, 1],
        (shape, _) => shape.to_vec(),
    };
    match input {
        Binding::Value(value) => {
            // A matrix of which the batch is one axis.
            let value = match rank {
                ..=2 => r.unbatched(value)?,
                _ => value,
            };
            let shape = wide(r.shape(value));
            Ok(Binding::Value(r.reshape(value, shape, value.batched)?))
        }
        Binding::Constant(constant) if constant.shape.len() == 1 => {
            let constant = Constant {
                shape: wide(&constant.shape),
                ..Constant::clone(&constant)
            };
            Ok(Binding::Constant(Rc::new(constant)))
        }
        constant => Ok(constant),
    }
}
