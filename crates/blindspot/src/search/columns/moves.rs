//! A row of a table in coordinates of its own, and a classifier in these.

use blindspot_data::{ColumnKind, Columns};
use blindspot_model::InputBox;
use blindspot_model::classifier::{Classifier, ClassifierError, Evaluate};
use blindspot_net::{Precision, Real};

use super::limits;
use crate::search::Bounds;

/// A value is a whole number where it is one up to so much of how far it has moved: rounding in single precision.
const ROUNDING: f64 = 1.0 / (1 << 22) as f64;

/// How far the values of a row may move, each in the scale of its column.
///
/// The value that belongs to a move is rounded once, and all forms of a classifier see that same value: what is true
/// of a move is true of the row that is written.
pub(super) struct Moves {
    row: Vec<f32>,
    scales: Vec<f64>,
    /// Whether a value is a whole number.
    whole: Vec<bool>,
    /// Whether a value is one of a category's.
    category: Vec<bool>,
    lower: Vec<f32>,
    upper: Vec<f32>,
    precision: Precision,
}

impl Moves {
    /// The moves from a row of a classifier that takes numbers of this precision.
    pub(super) fn new(columns: &Columns, row: &[f32], precision: Precision) -> Moves {
        let mut moves = Moves {
            row: row.to_vec(),
            scales: vec![1.0; row.len()],
            whole: vec![false; row.len()],
            category: vec![false; row.len()],
            lower: row.to_vec(),
            upper: row.to_vec(),
            precision,
        };
        for column in columns {
            let is_number = matches!(column.kind, ColumnKind::Number { .. });
            let is_category = matches!(column.kind, ColumnKind::Category { .. });
            for &input in &column.inputs {
                let limits = limits(column.range(), column.direction, row[input]);
                [moves.lower[input], moves.upper[input]] = limits;
                moves.whole[input] = !is_number;
                moves.category[input] = is_category;
                if !is_category {
                    moves.scales[input] = column.scale;
                }
            }
        }
        moves
    }

    /// The value of an input that has moved so far.
    fn value(&self, input: usize, by: f64) -> f32 {
        let from = f64::from(self.row[input]);
        let mut to = from + self.scales[input] * by;
        let nearest = to.round();
        if self.whole[input] && (to - nearest).abs() <= ROUNDING * (to - from).abs() {
            to = nearest;
        }
        let rounded = self.precision.round(to as f32);
        rounded.max(self.lower[input]).min(self.upper[input])
    }

    /// The row that belongs to moves.
    pub(super) fn row(&self, moves: &[f32]) -> Vec<f32> {
        let moves = moves.iter().enumerate();
        moves
            .map(|(input, &by)| self.value(input, by.into()))
            .collect()
    }

    /// The row that is moved from.
    pub(super) fn original(&self) -> &[f32] {
        &self.row
    }

    /// The move of an input to a value.
    pub(super) fn to(&self, input: usize, value: f32) -> f32 {
        let by = f64::from(value) - f64::from(self.row[input]);
        (by / self.scales[input]) as f32
    }

    /// The smallest and the largest value of an input.
    pub(super) fn limits(&self, input: usize) -> [f32; 2] {
        [self.lower[input], self.upper[input]]
    }

    /// How far each input may move, from its category none.
    pub(super) fn bounds(&self) -> Bounds {
        let ends = |ends: &[f32]| {
            let moves = ends.iter().enumerate();
            let moves = moves.map(|(input, &end)| {
                if self.category[input] {
                    0.0
                } else {
                    self.to(input, end)
                }
            });
            moves.collect()
        };
        Bounds {
            lower: ends(&self.lower),
            upper: ends(&self.upper),
            max_perturbation: vec![f32::INFINITY; self.row.len()],
        }
    }
}

/// A classifier of moves from a row.
pub(super) struct Moved<'c> {
    body: &'c dyn Classifier,
    moves: &'c Moves,
}

impl<'c> Moved<'c> {
    /// A classifier of rows as one of moves from a row.
    pub(super) fn new(body: &'c dyn Classifier, moves: &'c Moves) -> Moved<'c> {
        Moved { body, moves }
    }

    fn form<'s>(
        &'s self,
        form: Option<Box<dyn Classifier + 's>>,
    ) -> Option<Box<dyn Classifier + 's>> {
        let (body, moves) = (form?, self.moves);
        Some(Box::new(Form { body, moves }))
    }
}

impl Classifier for Moved<'_> {
    fn input_shape(&self) -> &[usize] {
        self.body.input_shape()
    }

    fn prepare(&self) -> Result<(), ClassifierError> {
        self.body.prepare()
    }

    fn classes(&self) -> usize {
        self.body.classes()
    }

    fn evaluator(&self) -> Box<dyn Evaluate + '_> {
        MovedEvaluator::boxed(self.body.evaluator(), self.moves)
    }

    fn exact(&self) -> Option<Box<dyn Classifier<f64> + '_>> {
        let (body, moves) = (self.body.exact()?, self.moves);
        Some(Box::new(Form { body, moves }))
    }

    fn refolded(&self) -> Option<Box<dyn Classifier + '_>> {
        self.form(self.body.refolded())
    }

    fn rounded(&self) -> Option<Box<dyn Classifier + '_>> {
        self.form(self.body.rounded())
    }

    fn answering(&self) -> Option<Box<dyn Classifier + '_>> {
        self.form(self.body.answering())
    }

    fn answering_refolded(&self) -> Option<Box<dyn Classifier + '_>> {
        self.form(self.body.answering_refolded())
    }

    fn answering_unit(&self) -> f64 {
        self.body.answering_unit()
    }

    fn answering_precision(&self) -> Precision {
        self.body.answering_precision()
    }

    fn input_box(&self) -> InputBox {
        self.body.input_box()
    }

    fn values_per_input(&self) -> usize {
        self.body.values_per_input() + self.body.input_len()
    }

    fn one_batch(&self) -> Option<usize> {
        self.body.one_batch()
    }
}

/// One form of a classifier, as one of moves.
struct Form<'c, T> {
    body: Box<dyn Classifier<T> + 'c>,
    moves: &'c Moves,
}

impl<T: Real> Classifier<T> for Form<'_, T> {
    fn input_shape(&self) -> &[usize] {
        self.body.input_shape()
    }

    fn classes(&self) -> usize {
        self.body.classes()
    }

    fn evaluator(&self) -> Box<dyn Evaluate<T> + '_> {
        MovedEvaluator::boxed(self.body.evaluator(), self.moves)
    }

    fn values_per_input(&self) -> usize {
        self.body.values_per_input() + self.body.input_len()
    }

    fn one_batch(&self) -> Option<usize> {
        self.body.one_batch()
    }
}

/// Evaluates rows, given by moves.
struct MovedEvaluator<'c, T> {
    body: Box<dyn Evaluate<T> + 'c>,
    moves: &'c Moves,
    input: Vec<T>,
    gradients: Vec<T>,
}

impl<'c, T: Real> MovedEvaluator<'c, T> {
    fn boxed(body: Box<dyn Evaluate<T> + 'c>, moves: &'c Moves) -> Box<dyn Evaluate<T> + 'c> {
        Box::new(MovedEvaluator {
            body,
            moves,
            input: Vec::new(),
            gradients: Vec::new(),
        })
    }
}

impl<T: Real> Evaluate<T> for MovedEvaluator<'_, T> {
    fn input(&mut self, count: usize) -> &mut [T] {
        self.input.resize(count * self.moves.row.len(), T::zero());
        &mut self.input
    }

    fn outputs(&mut self) -> Result<&[T], ClassifierError> {
        let length = self.moves.row.len();
        let rows = self.body.input(self.input.len() / length);
        if rows.len() != self.input.len() {
            return Err(ClassifierError::Length {
                what: "inputs",
                found: rows.len(),
                expected: self.input.len(),
            });
        }
        for (i, (value, by)) in rows.iter_mut().zip(&self.input).enumerate() {
            *value = T::of(self.moves.value(i % length, by.f64()).into());
        }
        self.body.outputs()
    }

    fn pull_back(&mut self, output_gradients: &[T]) -> Result<&[T], ClassifierError> {
        let gradients = self.body.pull_back(output_gradients)?;
        let scales = self.moves.scales.iter().cycle();
        let scaled = gradients.iter().zip(scales);
        self.gradients.clear();
        self.gradients
            .extend(scaled.map(|(g, scale)| T::of(g.f64() * scale)));
        Ok(&self.gradients)
    }
}
