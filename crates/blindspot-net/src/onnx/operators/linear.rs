//! Matrix products.

use std::rc::Rc;

use super::super::OnnxError;
use super::super::constant::Constant;
use super::super::import::{Given, Import, Value};
use super::super::node::{fail, float, integer};
use super::super::proto::NodeProto;
use crate::graph::Operand;
use crate::ops::{Binary, Fields, Gemm, Local, MatMul, Op, Transpose};

/// alpha A B + beta C, A and B perhaps transposed.
pub(super) fn gemm(to: &mut Import<'_>, node: &NodeProto) -> Result<Value, OnnxError> {
    let (alpha, beta) = (float(node, "alpha", 1.0), float(node, "beta", 1.0));
    let trans_a = integer(node, "transA", 0) != 0;
    let trans_b = integer(node, "transB", 0) != 0;
    let (a, b) = (to.required(node, 0)?, to.required(node, 1)?);
    let c = to.input(node, 2)?;
    for given in [&a, &b] {
        if to.rank(given) != 2 {
            return Err(fail(node, "its factors must have two axes each"));
        }
    }
    if let (Given::Value(a), Some(weight), false) = (&a, b.constant(), trans_a) {
        let op = Gemm { trans_b };
        let units = weight.shape[usize::from(!trans_b)];
        let mut operands = vec![Operand::Value(a.id), scaled(to, node, 1, weight, alpha)?];
        let bias = match &c {
            Some(Given::Constant(bias)) => Some(bias.clone()),
            _ => None,
        };
        if let Some(bias) = bias.filter(|bias| is_row(bias, units)) {
            operands.push(row(to, node, &bias, units, beta)?);
            return to.emit(node, Op::Gemm(op), &operands, a.batched);
        }
        let product = to.emit(node, Op::Gemm(op), &operands, a.batched)?;
        return plus(to, node, product, c, beta);
    }
    let a = factor(to, node, 0, &a, trans_a)?;
    let b = factor(to, node, 1, &b, trans_b)?;
    let mut product = to.emit(node, Op::MatMul(MatMul), &[a, b], false)?;
    if alpha != 1.0 {
        let alpha = to.weight(
            &format!("{}/alpha", node.output[0]),
            &[],
            vec![alpha as f32],
        )?;
        let operands = [Operand::Value(product.id), alpha];
        product = to.emit(node, Op::Binary(Binary::Mul), &operands, false)?;
    }
    plus(to, node, product, c, beta)
}

/// Adds Gemm's C, where there is one.
fn plus(
    to: &mut Import<'_>,
    node: &NodeProto,
    product: Value,
    c: Option<Given>,
    beta: f64,
) -> Result<Value, OnnxError> {
    let c = match c {
        None => return Ok(product),
        Some(c) if beta == 1.0 => c,
        Some(Given::Value(value)) => {
            let beta = to.weight(&format!("{}/beta", node.output[0]), &[], vec![beta as f32])?;
            let operands = [Operand::Value(value.id), beta];
            let scaled = to.emit(node, Op::Binary(Binary::Mul), &operands, value.batched)?;
            Given::Value(scaled)
        }
        Some(Given::Constant(constant)) => {
            let (shape, mut values) = to.finite(node, 2)?.unwrap_or_default();
            for value in &mut values {
                *value = (f64::from(*value) * beta) as f32;
            }
            let shape = match product.batched {
                true => to.without_batch(node, 2, &constant, 2)?,
                false => shape,
            };
            let weight = to.weight(&node.input[2], &shape, values)?;
            let operands = [Operand::Value(product.id), weight];
            return to.emit(node, Op::Binary(Binary::Add), &operands, product.batched);
        }
    };
    let (operands, batched) = to.broadcast(node, &[(0, Given::Value(product)), (2, c)])?;
    to.emit(node, Op::Binary(Binary::Add), &operands, batched)
}

/// A factor of a product whose axes are none of the batch's.
fn factor(
    to: &mut Import<'_>,
    node: &NodeProto,
    position: usize,
    given: &Given,
    transposed: bool,
) -> Result<Operand, OnnxError> {
    match given {
        Given::Value(value) => {
            let value = to.unbatched(node, *value)?;
            let value = match transposed {
                true => {
                    let op = Op::Transpose(Transpose {
                        permutation: vec![1, 0],
                    });
                    to.emit(node, op, &[Operand::Value(value.id)], false)?
                }
                false => value,
            };
            Ok(Operand::Value(value.id))
        }
        Given::Constant(constant) if transposed => {
            let (shape, values) = to.finite(node, position)?.unwrap_or_default();
            let (rows, cols) = (shape[0], shape[1]);
            let turned = (0..cols).flat_map(|col| (0..rows).map(move |row| row * cols + col));
            let turned = turned.map(|place| values[place]).collect();
            to.weight(&node.input[position], &[cols, rows], turned)
        }
        Given::Constant(constant) => {
            to.shared_weight(node, position, constant, &constant.shape.clone())
        }
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
    to: &mut Import<'_>,
    node: &NodeProto,
    position: usize,
    constant: &Rc<Constant>,
    scale: f64,
) -> Result<Operand, OnnxError> {
    if scale == 1.0 {
        return to.shared_weight(node, position, constant, &constant.shape.clone());
    }
    let (shape, mut values) = to.finite(node, position)?.unwrap_or_default();
    for value in &mut values {
        *value = (f64::from(*value) * scale) as f32;
    }
    to.weight(&node.input[position], &shape, values)
}

/// A bias as a weight of shape `[units]`, scaled.
fn row(
    to: &mut Import<'_>,
    node: &NodeProto,
    bias: &Rc<Constant>,
    units: usize,
    beta: f64,
) -> Result<Operand, OnnxError> {
    if beta == 1.0 && bias.numbers.len() == units {
        return to.shared_weight(node, 2, bias, &[units]);
    }
    let (_, values) = to.finite(node, 2)?.unwrap_or_default();
    let scaled = values.iter().map(|&value| (f64::from(value) * beta) as f32);
    to.weight(
        &node.input[2],
        &[units],
        scaled.cycle().take(units).collect(),
    )
}

/// NumPy's matmul: the last two axes, repeated over the axes before them.
pub(super) fn matmul(to: &mut Import<'_>, node: &NodeProto) -> Result<Value, OnnxError> {
    let (a, b) = (to.required(node, 0)?, to.required(node, 1)?);
    let (rank_a, rank_b) = (to.rank(&a), to.rank(&b));
    if rank_a == 0 || rank_b == 0 {
        return Err(fail(node, "one of its factors has no axis"));
    }
    if let (Given::Value(a), Some(weight)) = (&a, b.constant())
        && rank_b <= 2
        && !to.shape(*a).is_empty()
    {
        // A column, where the weight has one axis; its axis of length 1 goes again.
        let shape = [weight.shape[0], weight.shape.get(1).copied().unwrap_or(1)];
        let weight = to.shared_weight(node, 1, weight, &shape)?;
        let operands = [Operand::Value(a.id), weight];
        let product = to.emit(
            node,
            Op::Gemm(Gemm { trans_b: false }),
            &operands,
            a.batched,
        )?;
        return match rank_b {
            1 => {
                let mut shape = to.shape(product).to_vec();
                shape.pop();
                to.reshape(node, product, shape, product.batched)
            }
            _ => Ok(product),
        };
    }
    if let Some(local) = local(to, node, &a, &b)? {
        return Ok(local);
    }
    let a = matrix(to, node, a, true)?;
    let b = matrix(to, node, b, false)?;
    let (operands, batched) = match (&a, &b) {
        // Both with the batch's axis before their matrices, or one a constant.
        (Given::Value(a), Given::Value(b)) if a.batched != b.batched => {
            let (a, b) = (to.unbatched(node, *a)?, to.unbatched(node, *b)?);
            (vec![Operand::Value(a.id), Operand::Value(b.id)], false)
        }
        _ => to.broadcast(node, &[(0, a), (1, b)])?,
    };
    let product = to.emit(node, Op::MatMul(MatMul), &operands, batched)?;
    let mut shape = to.shape(product).to_vec();
    if rank_b == 1 {
        shape.pop();
    }
    if rank_a == 1 {
        // The row's axis, the last but one of the product.
        let row = shape.len() - if rank_b == 1 { 1 } else { 2 };
        shape.remove(row);
    }
    to.reshape(node, product, shape, batched)
}

/// Local filtering: [positions, 1, field], gathered from one axis, by a constant [positions, field,
/// maps].
fn local(
    to: &mut Import<'_>,
    node: &NodeProto,
    a: &Given,
    b: &Given,
) -> Result<Option<Value>, OnnxError> {
    let (&Given::Value(a), Some(weight)) = (a, b.constant()) else {
        return Ok(None);
    };
    let &[positions, field, maps] = &weight.shape[..] else {
        return Ok(None);
    };
    if !a.batched || to.shape(a) != [positions, 1, field] {
        return Ok(None);
    }
    let Some((from, gather)) = to.only_gathered_for(node, 0) else {
        return Ok(None);
    };
    let Ok(fields) = Fields::new(field, gather.positions.clone()) else {
        return Ok(None);
    };
    let weight = to.shared_weight(node, 1, weight, &[positions, field, maps])?;
    let operands = [Operand::Value(from), weight];
    let local = to.emit(node, Op::Local(Local { fields }), &operands, true)?;
    Ok(Some(to.reshape(
        node,
        local,
        vec![positions, 1, maps],
        true,
    )?))
}

/// A factor with at least two axes beside the batch's; one axis is a row of the first factor, a
/// column of the second.
fn matrix(
    to: &mut Import<'_>,
    node: &NodeProto,
    given: Given,
    row: bool,
) -> Result<Given, OnnxError> {
    let rank = to.rank(&given);
    let wide = |shape: &[usize]| match (shape, row) {
        (&[length], true) => vec![1, length],
        (&[length], false) => vec![length, 1],
        (shape, _) => shape.to_vec(),
    };
    match given {
        Given::Value(value) => {
            // A matrix of which the batch is one axis.
            let value = match rank {
                ..=2 => to.unbatched(node, value)?,
                _ => value,
            };
            let shape = wide(to.shape(value));
            Ok(Given::Value(to.reshape(
                node,
                value,
                shape,
                value.batched,
            )?))
        }
        Given::Constant(constant) if constant.shape.len() == 1 => {
            let shape = wide(&constant.shape);
            let numbers = constant.numbers.clone();
            Ok(Given::Constant(Rc::new(Constant { shape, numbers })))
        }
        constant => Ok(constant),
    }
}
