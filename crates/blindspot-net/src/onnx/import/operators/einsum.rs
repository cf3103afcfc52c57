//! Einsum, as matrix products of two factors at a time.

use super::Operator;
use crate::graph::Operand;
use crate::onnx::OnnxError;
use crate::onnx::import::builder::{Batch, Binding, Value};
use crate::onnx::import::reader::Reader;
use crate::ops::{Binary, Gemm, MatMul, Op, Reduce, ReduceKind};

pub(super) const OPERATORS: &[Operator] = &[Operator::new("Einsum", einsum)];

/// The name of an axis: a letter, or one of those that an ellipsis stands for.
type Label = u32;

/// The first label of an ellipsis.
const ELLIPSIS: Label = 1 << 16;

/// A factor of the product.
#[derive(Clone)]
struct Factor {
    numbers: Numbers,
    shape: Vec<usize>,
    /// The axes' names.
    labels: Vec<Label>,
}

#[derive(Clone)]
enum Numbers {
    /// They depend on the image.
    Value(Value),
    /// They don't.
    Constant(Vec<f64>),
}

fn einsum(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let equation: String = r.attr_str("equation").split_whitespace().collect();
    let (terms, output) = match equation.split_once("->") {
        Some((terms, output)) => (terms, Some(output)),
        None => (&equation[..], None),
    };
    let terms: Vec<&str> = terms.split(',').collect();
    if terms.len() != r.node.input.len() {
        let why = format!("its equation {equation:?} has {} factors", terms.len());
        return Err(r.fail(why));
    }
    let mut inputs = Vec::with_capacity(terms.len());
    let mut longest = 0;
    for (position, term) in terms.iter().enumerate() {
        let input = r.required(position)?;
        let letters = term.replace("...", "").chars().count();
        let ellipsis = term
            .contains("...")
            .then(|| r.rank(&input).checked_sub(letters));
        let fits = match ellipsis {
            Some(length) => length.is_some(),
            None => letters == r.rank(&input),
        };
        if !fits {
            return Err(r.fail(format!(
                "{term:?} does not fit a shape of {} axes",
                r.rank(&input)
            )));
        }
        longest = longest.max(ellipsis.flatten().unwrap_or(0));
        inputs.push((input, ellipsis.flatten().unwrap_or(0)));
    }
    let labelled: Vec<Vec<Label>> = (terms.iter().zip(&inputs))
        .map(|(term, &(_, ellipsis))| labels(term, longest - ellipsis..longest))
        .collect();
    let output = match output {
        Some(output) => labels(output, 0..longest),
        None => implicit(&labelled, longest),
    };
    let letter = |label: &Label| *label >= ELLIPSIS || (*label as u8 as char).is_ascii_alphabetic();
    if !labelled.iter().flatten().chain(&output).all(letter) {
        return Err(r.fail(format!("its equation is {equation:?}")));
    }
    let (mut factors, output, batched) = factors(r, inputs, labelled, output)?;
    drop_repeated(r, &mut factors)?;
    // Factors that depend on the image first, so that each product has one that does.
    factors.sort_by_key(|factor| matches!(factor.numbers, Numbers::Constant(_)));
    let mut factors = factors.into_iter();
    let mut result = factors.next().ok_or_else(|| r.fail("it has no factor"))?;
    while let Some(next) = factors.next() {
        let later = factors.as_slice();
        let needed = |label: &Label| {
            output.contains(label) || later.iter().any(|factor| factor.labels.contains(label))
        };
        result = multiply(r, result, next, needed, batched)?;
    }
    let result = sum_but(r, result, |label| output.contains(label))?;
    let result = arrange(r, result, &output)?;
    match result.numbers {
        Numbers::Value(value) => Ok(value),
        Numbers::Constant(_) => Err(r.fail("none of its factors depends on the image")),
    }
}

/// The labels of a term whose ellipsis stands for some axes.
fn labels(term: &str, ellipsis: std::ops::Range<usize>) -> Vec<Label> {
    let letters = |text: &str| text.chars().map(u32::from).collect::<Vec<_>>();
    match term.split_once("...") {
        Some((before, after)) => {
            let dots = ellipsis.map(|axis| ELLIPSIS + axis as u32).collect();
            [letters(before), dots, letters(after)].concat()
        }
        None => letters(term),
    }
}

/// The labels of an output that the equation leaves out: of the ellipsis, and those that occur once.
fn implicit(terms: &[Vec<Label>], longest: usize) -> Vec<Label> {
    let all: Vec<Label> = terms.concat();
    let once = |label: &Label| all.iter().filter(|other| *other == label).count() == 1;
    let mut letters: Vec<Label> = all.iter().copied().filter(once).collect();
    letters.retain(|&label| label < ELLIPSIS);
    letters.sort_unstable();
    let dots = (0..longest).map(|axis| ELLIPSIS + axis as u32);
    dots.chain(letters).collect()
}

/// The factors and the output's labels without the batch's axis, if that can be left out, and
/// whether it was.
fn factors(
    r: &mut Reader<'_>,
    inputs: Vec<(Binding, usize)>,
    mut labelled: Vec<Vec<Label>>,
    mut output: Vec<Label>,
) -> Result<(Vec<Factor>, Vec<Label>, bool), OnnxError> {
    // The batch's axis must be the first of all that depend on the image, of the output, and none
    // of a constant's unless that has it once.
    let mut batch = None;
    let mut apart = true;
    for ((input, _), labels) in inputs.iter().zip(&labelled) {
        if let Binding::Value(value) = input {
            apart &= value.batched && *batch.get_or_insert(labels.first()) == labels.first();
        }
    }
    let batch = batch.flatten().copied();
    apart &= batch.is_some() && output.first() == batch.as_ref();
    for ((input, _), labels) in inputs.iter().zip(&labelled) {
        let rest = match input {
            Binding::Value(_) => labels.get(1..).unwrap_or_default(),
            Binding::Constant(constant) if constant.shape.first() == Some(&1) => &labels[1..],
            Binding::Constant(_) => labels,
        };
        apart &= batch.is_none_or(|batch| !rest.contains(&batch));
    }
    if !apart && r.builder.batch != Batch::One {
        return Err(r
            .node
            .fail_in_batch("the batch's axis is not the first of its factors and of its result"));
    }
    if apart {
        output.remove(0);
    }
    let mut factors = Vec::with_capacity(inputs.len());
    for (position, ((input, _), mut labels)) in
        inputs.into_iter().zip(labelled.drain(..)).enumerate()
    {
        let (numbers, mut shape) = match input {
            Binding::Value(value) => {
                let value = if apart { value } else { r.unbatched(value)? };
                (Numbers::Value(value), r.shape(value).to_vec())
            }
            Binding::Constant(_) => {
                let (shape, numbers) = r.finite(position)?.unwrap_or_default();
                (Numbers::Constant(numbers), shape)
            }
        };
        if apart && labels.first() == batch.as_ref() {
            labels.remove(0);
            if matches!(numbers, Numbers::Constant(_)) {
                shape.remove(0);
            }
        }
        factors.push(Factor {
            numbers,
            shape,
            labels,
        });
    }
    // An axis of an ellipsis that has length 1 is repeated, so it needs no label.
    for factor in &mut factors {
        let kept = |(&size, &label): (&usize, &Label)| size != 1 || label < ELLIPSIS;
        let places = factor.shape.iter().zip(&factor.labels);
        let (shape, labels) = places.filter(|&place| kept(place)).unzip();
        (factor.shape, factor.labels) = (shape, labels);
        if let Numbers::Value(value) = factor.numbers {
            factor.numbers =
                Numbers::Value(r.reshape(value, factor.shape.clone(), value.batched)?);
        }
    }
    // Nor does the output, where no factor has more; it is put back at the end.
    let mut sizes = std::collections::HashMap::new();
    for (&label, &size) in factors.iter().flat_map(|f| f.labels.iter().zip(&f.shape)) {
        if *sizes.entry(label).or_insert(size) != size {
            return Err(r.fail(format!("an axis has length {size} and another length, too")));
        }
    }
    for (i, label) in output.iter().enumerate() {
        if output[..i].contains(label) || *label < ELLIPSIS && !sizes.contains_key(label) {
            return Err(r.fail("its result has an axis twice, or one that no factor has"));
        }
    }
    Ok((factors, output, apart))
}

/// Of axes of one name in one factor only the diagonal counts.
fn drop_repeated(r: &mut Reader<'_>, factors: &mut [Factor]) -> Result<(), OnnxError> {
    for factor in factors {
        let mut own: Vec<(Label, usize)> = Vec::new();
        for (&label, &size) in factor.labels.iter().zip(&factor.shape) {
            if !own.iter().any(|&(other, _)| other == label) {
                own.push((label, size));
            }
        }
        if own.len() == factor.labels.len() {
            continue;
        }
        let count: usize = own.iter().map(|(_, size)| size).product();
        let mut positions = Vec::with_capacity(count);
        for i in 0..count {
            // The position of each label, the last fastest.
            let mut rest = i;
            let mut at = vec![0; own.len()];
            for (at, (_, size)) in at.iter_mut().zip(&own).rev() {
                (*at, rest) = (rest % size, rest / size);
            }
            let axes = factor.labels.iter().zip(&factor.shape);
            positions.push(axes.fold(0, |place, (label, size)| {
                let label = own.iter().position(|(other, _)| other == label);
                place * size + label.map_or(0, |label| at[label])
            }));
        }
        (factor.labels, factor.shape) = own.iter().copied().unzip();
        factor.numbers = match &factor.numbers {
            Numbers::Value(value) => {
                Numbers::Value(r.pick(*value, positions, factor.shape.clone())?)
            }
            Numbers::Constant(numbers) => {
                Numbers::Constant(positions.iter().map(|&place| numbers[place]).collect())
            }
        };
    }
    Ok(())
}

/// A factor with the sums over the axes that are not kept.
fn sum_but(
    r: &mut Reader<'_>,
    factor: Factor,
    keep: impl Fn(&Label) -> bool,
) -> Result<Factor, OnnxError> {
    let (kept, summed): (Vec<Label>, Vec<Label>) =
        factor.labels.iter().partition(|label| keep(label));
    if summed.is_empty() {
        return Ok(factor);
    }
    // Those that are summed over stand last.
    let mut factor = arrange(r, factor, &[&kept[..], &summed].concat())?;
    let shape = factor.shape[..kept.len()].to_vec();
    factor.numbers = match factor.numbers {
        Numbers::Value(value) => {
            let op = Reduce {
                kind: ReduceKind::Sum,
                axes: (kept.len()..factor.shape.len()).collect(),
                keep_axes: false,
            };
            Numbers::Value(r.apply(Op::Reduce(op), value)?)
        }
        Numbers::Constant(numbers) => {
            let run: usize = factor.shape[kept.len()..].iter().product();
            let runs = numbers.chunks_exact(run.max(1));
            Numbers::Constant(runs.map(|run| run.iter().sum()).collect())
        }
    };
    Ok(Factor {
        labels: kept,
        shape,
        ..factor
    })
}

/// A factor with its axes in an order; those that it lacks have length 1.
fn arrange(r: &mut Reader<'_>, factor: Factor, labels: &[Label]) -> Result<Factor, OnnxError> {
    let found = |label: &Label| factor.labels.iter().position(|other| other == label);
    let permutation: Vec<usize> = labels.iter().filter_map(found).collect();
    let size = |label: &Label| found(label).map_or(1, |axis| factor.shape[axis]);
    let shape: Vec<usize> = labels.iter().map(size).collect();
    let numbers = match factor.numbers {
        Numbers::Value(value) => {
            let value = r.transpose(value, &permutation)?;
            Numbers::Value(r.reshape(value, shape.clone(), value.batched)?)
        }
        Numbers::Constant(numbers) if permutation.is_sorted() => Numbers::Constant(numbers),
        Numbers::Constant(numbers) => {
            let mut strides = vec![1; factor.shape.len()];
            for axis in (1..strides.len()).rev() {
                strides[axis - 1] = strides[axis] * factor.shape[axis];
            }
            let place = |i: usize| {
                let mut rest = i;
                let axes = permutation.iter().rev();
                axes.fold(0, |place, &axis| {
                    let at = rest % factor.shape[axis];
                    rest /= factor.shape[axis];
                    place + at * strides[axis]
                })
            };
            Numbers::Constant((0..numbers.len()).map(|i| numbers[place(i)]).collect())
        }
    };
    Ok(Factor {
        numbers,
        shape,
        labels: labels.to_vec(),
    })
}

/// The product of a factor that depends on the image and another, summed over the axes that are
/// needed no more.
fn multiply(
    r: &mut Reader<'_>,
    a: Factor,
    b: Factor,
    needed: impl Fn(&Label) -> bool,
    batched: bool,
) -> Result<Factor, OnnxError> {
    // What only one of them has is summed over before.
    let a = sum_but(r, a, |label| needed(label) || b.labels.contains(label))?;
    let b = sum_but(r, b, |label| needed(label) || a.labels.contains(label))?;
    let of = |factor: &Factor, keep: &dyn Fn(&Label) -> bool| -> Vec<Label> {
        factor.labels.iter().copied().filter(keep).collect()
    };
    let both = of(&a, &|label| b.labels.contains(label) && needed(label));
    let summed = of(&a, &|label| b.labels.contains(label) && !needed(label));
    let (first, second) = (
        of(&a, &|label| !b.labels.contains(label)),
        of(&b, &|label| !a.labels.contains(label)),
    );
    let labels = [&both[..], &first, &second].concat();
    let size = |label: &Label| {
        let mut axes = [&a, &b]
            .into_iter()
            .flat_map(|f| f.labels.iter().zip(&f.shape));
        axes.find(|(other, _)| *other == label)
            .map_or(1, |(_, &size)| size)
    };
    let shape: Vec<usize> = labels.iter().map(size).collect();
    let count = |labels: &[Label]| labels.iter().map(size).product::<usize>();
    let [repeats, p, k, m] = [&both, &first, &summed, &second].map(|labels| count(labels));
    let a = arrange(r, a, &[&both[..], &first, &summed].concat())?;
    let b = arrange(r, b, &[&both[..], &summed, &second].concat())?;
    let Numbers::Value(a) = a.numbers else {
        return Err(r.fail("none of its factors depends on the image"));
    };
    let product = if summed.is_empty() && first.is_empty() && second.is_empty() {
        let b = operand(r, b.numbers, &[repeats])?;
        let a = r.reshape(a, vec![repeats], batched)?;
        r.with_weight(Binary::Mul, a, b)?
    } else if repeats == 1 && matches!(b.numbers, Numbers::Constant(_)) {
        let a = r.reshape(a, vec![p, k], batched)?;
        let operands = [Operand::Value(a.id), operand(r, b.numbers, &[k, m])?];
        r.push_node(Op::Gemm(Gemm { trans_b: false }), &operands, batched)?
    } else {
        let a = r.reshape(a, vec![repeats, p, k], batched)?;
        let operands = [
            Operand::Value(a.id),
            operand(r, b.numbers, &[repeats, k, m])?,
        ];
        r.push_node(Op::MatMul(MatMul), &operands, batched)?
    };
    let product = r.reshape(product, shape.clone(), batched)?;
    Ok(Factor {
        numbers: Numbers::Value(product),
        shape,
        labels,
    })
}

/// A factor as an operand of some shape.
fn operand(r: &mut Reader<'_>, numbers: Numbers, shape: &[usize]) -> Result<Operand, OnnxError> {
    match numbers {
        Numbers::Value(value) => {
            let value = r.reshape(value, shape.to_vec(), value.batched)?;
            Ok(Operand::Value(value.id))
        }
        Numbers::Constant(numbers) => r.own_weight("factor", shape, numbers),
    }
}
