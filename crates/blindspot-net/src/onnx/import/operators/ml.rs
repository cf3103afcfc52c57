//! The operators of classical models, as scikit-learn's converter writes them (domain `ai.onnx.ml`).
//! Where one gives a label and scores, only the scores are read: labels have no gradient.

use super::{OnConstants, Operator};
use crate::graph::Operand;
use crate::onnx::OnnxError;
use crate::onnx::import::builder::Value;
use crate::onnx::import::reader::Reader;
use crate::ops::{Binary, Concat, Gather, Gemm, Op, ReduceKind, Softmax, Unary, Where};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("ai.onnx.ml.ArrayFeatureExtractor", pick),
    Operator::new("ai.onnx.ml.Binarizer", |r| {
        let value = r.value(0)?;
        let threshold = r.attr_f64("threshold", 0.0);
        r.with_number(Binary::Greater, value, threshold)
    }),
    Operator::new("ai.onnx.ml.FeatureVectorizer", join),
    Operator::new("ai.onnx.ml.Imputer", impute),
    Operator::scores("ai.onnx.ml.LinearClassifier", linear_classifier),
    Operator::new("ai.onnx.ml.LinearRegressor", linear_regressor),
    Operator::new("ai.onnx.ml.Normalizer", normalize),
    Operator::scores("ai.onnx.ml.SVMClassifier", svm_classifier),
    Operator::new("ai.onnx.ml.SVMRegressor", svm_regressor),
    Operator::new("ai.onnx.ml.Scaler", scale),
    // The same scores with their classes' names.
    Operator::with_outputs("ai.onnx.ml.ZipMap", |r| Ok(vec![r.required(0)?]))
        .on_constants(OnConstants::Import),
];

/// A row of features for each image, and how many.
fn features(r: &mut Reader<'_>) -> Result<(Value, usize), OnnxError> {
    let value = r.value(0)?;
    let value = r.batched(value)?;
    match *r.shape(value) {
        [count] => Ok((value, count)),
        ref shape => Err(r.fail(format!(
            "its input has shape {shape:?}, and is no row of features"
        ))),
    }
}

/// Numbers of an attribute, all finite, as a weight of a shape; one number may stand for all.
fn numbers(r: &mut Reader<'_>, name: &str, shape: &[usize]) -> Result<Operand, OnnxError> {
    let given = r.attr_floats(name);
    let count = shape.iter().product();
    if given.len() != count && given.len() != 1 || given.iter().any(|x| !x.is_finite()) {
        let why = format!(
            "its {name} are {} numbers, not {shape:?} finite ones",
            given.len()
        );
        return Err(r.fail(why));
    }
    let all = given
        .iter()
        .map(|&x| x.into())
        .cycle()
        .take(count)
        .collect();
    r.own_weight(name, shape, all)
}

/// ArrayFeatureExtractor: chosen features.
fn pick(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let value = r.value(0)?;
    let axis = r.shape(value).len().checked_sub(1);
    let axis = axis.ok_or_else(|| r.fail("its input has no features"))?;
    let length = r.shape(value)[axis];
    let indices = r.ints(1)?.unwrap_or_default();
    let positions = indices.iter().map(|&index| r.position(index, length));
    let positions = positions.collect::<Result<Vec<_>, _>>()?;
    r.apply(Op::Gather(Gather { axis, positions }), value)
}

/// FeatureVectorizer: rows of features after each other.
fn join(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let mut operands = Vec::with_capacity(r.node.input.len());
    for position in 0..r.node.input.len() {
        let value = r.value(position)?;
        operands.push(Operand::Value(r.batched(value)?.id));
    }
    r.push_node(Op::Concat(Concat { axis: 0 }), &operands, true)
}

/// Imputer: another number in place of one that stands for a missing one.
fn impute(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let (value, count) = features(r)?;
    let missing = r.attr_f64("replaced_value_float", 0.0);
    let condition = if missing.is_nan() {
        r.unary(Unary::IsNan, value)?
    } else if missing.is_infinite() {
        let [negative, positive] = [missing < 0.0, missing > 0.0];
        r.unary(Unary::IsInf { negative, positive }, value)?
    } else {
        r.with_number(Binary::Equal, value, missing)?
    };
    let other = numbers(r, "imputed_value_floats", &[count])?;
    let operands = [
        Operand::Value(condition.id),
        other,
        Operand::Value(value.id),
    ];
    r.push_node(Op::Where(Where), &operands, value.batched)
}

/// Scaler: less an offset, times a scale.
fn scale(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let (value, count) = features(r)?;
    let offset = numbers(r, "offset", &[count])?;
    let scale = numbers(r, "scale", &[count])?;
    let value = r.with_weight(Binary::Sub, value, offset)?;
    r.with_weight(Binary::Mul, value, scale)
}

/// Normalizer: a row over its norm, or over its largest number.
fn normalize(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let (value, _) = features(r)?;
    let kind = match r.attr_str("norm") {
        "" | "MAX" => ReduceKind::Max,
        "L1" => ReduceKind::L1,
        "L2" => ReduceKind::L2,
        other => return Err(r.fail(format!("its norm is {other:?}"))),
    };
    let norm = r.reduce(kind, value, vec![0])?;
    // Rows without one stay as they are.
    let none = r.with_number(Binary::Equal, norm, 0.0)?;
    let norm = r.both(Binary::Add, norm, none)?;
    r.both(Binary::Div, value, norm)
}

/// A row times the coefficients of each of some outputs, plus the intercepts.
fn linear(r: &mut Reader<'_>, outputs: usize) -> Result<Value, OnnxError> {
    let (value, count) = features(r)?;
    if outputs.saturating_mul(count) != r.attr_floats("coefficients").len() {
        let found = r.attr_floats("coefficients").len();
        let why = format!("it has {found} coefficients for {outputs} outputs of {count} features");
        return Err(r.fail(why));
    }
    let mut operands = vec![
        Operand::Value(value.id),
        numbers(r, "coefficients", &[outputs, count])?,
    ];
    if !r.attr_floats("intercepts").is_empty() {
        operands.push(numbers(r, "intercepts", &[outputs])?);
    }
    r.push_node(Op::Gemm(Gemm { trans_b: true }), &operands, value.batched)
}

fn linear_regressor(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let targets = usize::try_from(r.attr_i64("targets", 1)).unwrap_or(0);
    let sums = linear(r, targets)?;
    transformed(r, sums)
}

/// What `post_transform` makes of scores.
fn transformed(r: &mut Reader<'_>, scores: Value) -> Result<Value, OnnxError> {
    match r.attr_str("post_transform") {
        "" | "NONE" => Ok(scores),
        "LOGISTIC" => r.unary(Unary::Sigmoid, scores),
        "SOFTMAX" => r.apply(
            Op::Softmax(Softmax {
                axis: 0,
                log: false,
            }),
            scores,
        ),
        other => Err(r.fail(format!("its post_transform is {other}; export raw scores"))),
    }
}

/// How many classes there are.
fn classes(r: &Reader<'_>) -> usize {
    let ints = r.attr_ints("classlabels_ints").unwrap_or_default().len();
    let texts = r.attr("classlabels_strings");
    ints.max(texts.map_or(0, |attribute| attribute.strings.len()))
}

/// The scores of both classes, from a number for each of them made of that of the second.
fn both_classes(r: &mut Reader<'_>, first: Value, second: Value) -> Result<Value, OnnxError> {
    let operands = [first, second].map(|value| Operand::Value(value.id));
    r.push_node(Op::Concat(Concat { axis: 0 }), &operands, second.batched)
}

/// 1 - x.
fn complement(r: &mut Reader<'_>, value: Value) -> Result<Value, OnnxError> {
    let negative = r.unary(Unary::Neg, value)?;
    r.with_number(Binary::Add, negative, 1.0)
}

fn linear_classifier(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    let rows = r.attr_floats("intercepts").len();
    let (_, count) = features(r)?;
    let rows = if rows > 0 {
        rows
    } else {
        r.attr_floats("coefficients").len() / count.max(1)
    };
    let scores = linear(r, rows)?;
    if rows == 1 && classes(r) == 2 {
        // As onnxruntime has it, in which a softmax of one score is the score.
        let second = match r.attr_str("post_transform") {
            "LOGISTIC" => r.unary(Unary::Sigmoid, scores)?,
            "" | "NONE" | "SOFTMAX" => scores,
            _ => transformed(r, scores)?,
        };
        let first = complement(r, second)?;
        return both_classes(r, first, second);
    }
    transformed(r, scores)
}

/// The kernel of a row of features with each support vector.
fn kernels(r: &mut Reader<'_>, vectors: usize) -> Result<Value, OnnxError> {
    let (value, count) = features(r)?;
    let support = r.attr_floats("support_vectors");
    if vectors == 0 || vectors.saturating_mul(count) != support.len() {
        let found = support.len();
        let why = format!("it has {found} numbers for {vectors} vectors of {count} features");
        return Err(r.fail(why));
    }
    let parameter = |i: usize| {
        r.attr_floats("kernel_params")
            .get(i)
            .copied()
            .unwrap_or(0.0)
    };
    let [gamma, shift, degree] = [0, 1, 2].map(|i| f64::from(parameter(i)));
    let kind = r.attr_str("kernel_type");
    if kind == "RBF" {
        // exp(-gamma |x - v|^2)
        let matrix = numbers(r, "support_vectors", &[vectors, count])?;
        let row = r.reshape(value, vec![1, count], value.batched)?;
        let differences = r.with_weight(Binary::Sub, row, matrix)?;
        let distances = r.reduce(ReduceKind::SumSquare, differences, vec![1])?;
        let distances = r.reshape(distances, vec![vectors], value.batched)?;
        let exponents = r.with_number(Binary::Mul, distances, -gamma)?;
        return r.unary(Unary::Exp, exponents);
    }
    let matrix = numbers(r, "support_vectors", &[vectors, count])?;
    let operands = [Operand::Value(value.id), matrix];
    let op = Op::Gemm(Gemm { trans_b: true });
    let products = r.push_node(op, &operands, value.batched)?;
    if matches!(kind, "" | "LINEAR") {
        return Ok(products);
    }
    let scaled = r.with_number(Binary::Mul, products, gamma)?;
    let shifted = r.with_number(Binary::Add, scaled, shift)?;
    match kind {
        "POLY" => r.with_number(Binary::Pow, shifted, degree),
        "SIGMOID" => r.unary(Unary::Tanh, shifted),
        other => Err(r.fail(format!("its kernel_type is {other:?}"))),
    }
}

/// Rows of sums of kernels, each with a shift.
fn sums(
    r: &mut Reader<'_>,
    kernels: Value,
    rows: usize,
    coefficients: Vec<f64>,
    shifts: Vec<f64>,
) -> Result<Value, OnnxError> {
    let inputs = r.shape(kernels)[0];
    let operands = [
        Operand::Value(kernels.id),
        r.own_weight("coefficients", &[rows, inputs], coefficients)?,
        r.own_weight("rho", &[rows], shifts)?,
    ];
    r.push_node(Op::Gemm(Gemm { trans_b: true }), &operands, kernels.batched)
}

/// The coefficients of some rows of sums of `inputs` numbers, and their shifts; what is missing of
/// the shifts is the first one.
fn parameters(
    r: &Reader<'_>,
    rows: usize,
    inputs: usize,
) -> Result<(Vec<f64>, Vec<f64>), OnnxError> {
    let (coefficients, rho) = (r.attr_floats("coefficients"), r.attr_floats("rho"));
    let finite = coefficients
        .iter()
        .chain(rho)
        .all(|number| number.is_finite());
    if coefficients.len() != rows.saturating_mul(inputs) || rho.is_empty() || !finite {
        let why = format!(
            "it has {} coefficients and {} shifts for {rows} sums of {inputs} numbers",
            coefficients.len(),
            rho.len()
        );
        return Err(r.fail(why));
    }
    let shifts = (0..rows).map(|row| rho.get(row).copied().unwrap_or(rho[0]).into());
    let coefficients = coefficients.iter().map(|&x| x.into());
    Ok((coefficients.collect(), shifts.collect()))
}

fn svm_regressor(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    if r.attr_bool("one_class", false) {
        return Err(r.fail("it says on which side of a class an input is, which has no gradient"));
    }
    let vectors = usize::try_from(r.attr_i64("n_supports", 0)).unwrap_or(0);
    let inputs = if vectors == 0 {
        features(r)?
    } else {
        (kernels(r, vectors)?, vectors)
    };
    let (coefficients, shifts) = parameters(r, 1, inputs.1)?;
    let sum = sums(r, inputs.0, 1, coefficients, shifts)?;
    transformed(r, sum)
}

/// SVMClassifier without probabilities: for each pair of classes the sum by which it decides, or, of
/// two classes, the scores of both.
fn svm_classifier(r: &mut Reader<'_>) -> Result<Value, OnnxError> {
    if !r.attr_floats("prob_a").is_empty() {
        return Err(r.fail(
            "its probabilities are found by iteration; export it with raw scores, without \
             probabilities",
        ));
    }
    let counts = r.attr_ints("vectors_per_class").unwrap_or_default();
    let counts: Option<Vec<usize>> = counts
        .iter()
        .map(|&count| usize::try_from(count).ok())
        .collect();
    let counts = counts.ok_or_else(|| r.fail("one of its vectors_per_class is below 0"))?;
    if counts.is_empty() {
        // One sum of the features for each class.
        let (value, count) = features(r)?;
        let rows = classes(r);
        let (coefficients, shifts) = parameters(r, rows, count)?;
        let scores = sums(r, value, rows, coefficients, shifts)?;
        return transformed(r, scores);
    }
    let vectors = counts
        .iter()
        .fold(0usize, |sum, &count| sum.saturating_add(count));
    let kernels = kernels(r, vectors)?;
    let (coefficients, _) = parameters(r, counts.len() - 1, vectors)?;
    let mut starts = vec![0];
    for count in &counts {
        starts.push(starts[starts.len() - 1] + count);
    }
    // libsvm's layout: of vector v of class i, the coefficient against class j stands in row j, or
    // j - 1 where j is larger.
    let mut all = Vec::new();
    let mut pairs = 0;
    for i in 0..counts.len() {
        for j in i + 1..counts.len() {
            let mut row = vec![0.0; vectors];
            for (own, other) in [(i, j - 1), (j, i)] {
                let range = starts[own]..starts[own + 1];
                row[range.clone()].copy_from_slice(&coefficients[other * vectors..][range]);
            }
            all.extend(row);
            pairs += 1;
        }
    }
    let rho: Vec<f64> = r.attr_floats("rho").iter().map(|&x| x.into()).collect();
    if rho.len() != pairs {
        return Err(r.fail(format!(
            "it has {} shifts for {pairs} pairs of classes",
            rho.len()
        )));
    }
    let decisions = sums(r, kernels, pairs, all, rho)?;
    let logistic = match r.attr_str("post_transform") {
        "" | "NONE" => false,
        "LOGISTIC" => true,
        other => return Err(r.fail(format!("its post_transform is {other}; export raw scores"))),
    };
    if pairs > 1 {
        return transformed(r, decisions);
    }
    let first = if coefficients.iter().all(|&number| number >= 0.0) && !logistic {
        complement(r, decisions)?
    } else {
        r.unary(Unary::Neg, decisions)?
    };
    let scores = both_classes(r, first, decisions)?;
    if logistic {
        r.unary(Unary::Sigmoid, scores)
    } else {
        Ok(scores)
    }
}
