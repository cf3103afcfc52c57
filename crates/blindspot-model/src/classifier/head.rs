//! A classifier with a small network behind its outputs.

use blindspot_net::{Evaluator, Network, Precision, Real};

use super::{Classifier, ClassifierError, Evaluate};
use crate::InputBox;

/// A classifier whose outputs go through a small network, its **head**: what they amount to is searched for in the
/// place of the outputs themselves.
///
/// All forms of the classifier ([`exact`](Classifier::exact) and so on) get the head, too, so what is true of its
/// examples in the user's runtime is true of those of the whole.
///
/// ```
/// use blindspot_model::classifier::{CheckedEvaluator, FnClassifier, WithHead};
/// use blindspot_net::{Graph, Network, Op, Operand, ops::Gemm};
///
/// // One output, twice the input.
/// let double = FnClassifier::new(
///     &[1],
///     1,
///     |inputs: &[f32]| Ok(inputs.iter().map(|x| 2.0 * x).collect()),
///     |_inputs: &[f32], gradients: &[f32]| Ok(gradients.iter().map(|g| 2.0 * g).collect()),
/// );
/// // Two classes: 0, and by how much the output is above 1.
/// let mut graph = Graph::new("output", &[1])?;
/// let output = Operand::Value(graph.input());
/// let weight = Operand::Weight(graph.weight("weight", &[1, 2])?);
/// let bias = Operand::Weight(graph.weight("bias", &[2])?);
/// graph.node("above", Op::Gemm(Gemm { trans_b: false }), &[output, weight, bias], "margins")?;
/// let head = Network::new(graph, vec![vec![0.0, 1.0], vec![0.0, -1.0]])?;
///
/// let whole = WithHead::new(&double, head.clone(), head);
/// let mut evaluator = CheckedEvaluator::new(&whole);
/// evaluator.input(1)?[0] = 0.75;
/// assert_eq!(evaluator.outputs()?, [0.0, 0.5]);
/// assert_eq!(evaluator.pull_back(&[0.0, 1.0])?, [2.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct WithHead<'c> {
    body: &'c dyn Classifier,
    exact_head: Network<f64>,
    head: Network<f32>,
    /// Behind the outputs that users see.
    answering_head: Network<f32>,
}

impl<'c> WithHead<'c> {
    /// A classifier with a head behind its outputs, and one behind the outputs that its users see where these are
    /// others ([`Classifier::answering`]).
    ///
    /// # Panics
    /// If a head does not take as many numbers as the classifier gives.
    pub fn new(
        body: &'c dyn Classifier,
        head: Network<f64>,
        answering_head: Network<f64>,
    ) -> WithHead<'c> {
        for head in [&head, &answering_head] {
            assert_eq!(head.input_len(), body.classes(), "the head fits");
        }
        WithHead {
            body,
            head: head.cast(),
            exact_head: head,
            answering_head: answering_head.cast(),
        }
    }

    fn behind<'s>(
        form: Option<Box<dyn Classifier + 's>>,
        head: &'s Network<f32>,
    ) -> Option<Box<dyn Classifier + 's>> {
        Some(Box::new(Behind { body: form?, head }))
    }
}

impl Classifier for WithHead<'_> {
    fn input_shape(&self) -> &[usize] {
        self.body.input_shape()
    }

    fn prepare(&self) -> Result<(), ClassifierError> {
        self.body.prepare()
    }

    fn classes(&self) -> usize {
        self.head.output_len()
    }

    fn evaluator(&self) -> Box<dyn Evaluate + '_> {
        evaluator(self.body.evaluator(), &self.head)
    }

    fn exact(&self) -> Option<Box<dyn Classifier<f64> + '_>> {
        let body = self.body.exact()?;
        let head = &self.exact_head;
        Some(Box::new(Behind { body, head }))
    }

    fn refolded(&self) -> Option<Box<dyn Classifier + '_>> {
        WithHead::behind(self.body.refolded(), &self.head)
    }

    fn rounded(&self) -> Option<Box<dyn Classifier + '_>> {
        WithHead::behind(self.body.rounded(), &self.head)
    }

    fn answering(&self) -> Option<Box<dyn Classifier + '_>> {
        WithHead::behind(self.body.answering(), &self.answering_head)
    }

    fn answering_refolded(&self) -> Option<Box<dyn Classifier + '_>> {
        WithHead::behind(self.body.answering_refolded(), &self.answering_head)
    }

    fn answering_unit(&self) -> f64 {
        self.body.answering_unit()
    }

    fn answering_precision(&self) -> Precision {
        self.body.answering_precision()
    }

    fn input_precision(&self) -> Precision {
        self.body.input_precision()
    }

    fn input_box(&self) -> InputBox {
        self.body.input_box()
    }

    fn values_per_input(&self) -> usize {
        self.body.values_per_input() + Classifier::values_per_input(&self.head)
    }

    fn one_batch(&self) -> Option<usize> {
        self.body.one_batch()
    }
}

/// One form of a classifier with a head behind its outputs.
struct Behind<'c, T> {
    body: Box<dyn Classifier<T> + 'c>,
    head: &'c Network<T>,
}

impl<T: Real> Classifier<T> for Behind<'_, T> {
    fn input_shape(&self) -> &[usize] {
        self.body.input_shape()
    }

    fn classes(&self) -> usize {
        self.head.output_len()
    }

    fn evaluator(&self) -> Box<dyn Evaluate<T> + '_> {
        evaluator(self.body.evaluator(), self.head)
    }

    fn input_precision(&self) -> Precision {
        self.body.input_precision()
    }

    fn values_per_input(&self) -> usize {
        self.body.values_per_input() + Classifier::values_per_input(self.head)
    }

    fn one_batch(&self) -> Option<usize> {
        self.body.one_batch()
    }
}

/// Evaluates a batch with one evaluator, then its outputs with another.
struct Both<'c, T: Real> {
    body: Box<dyn Evaluate<T> + 'c>,
    head: Evaluator<'c, T>,
    head_inputs: usize,
}

fn evaluator<'c, T: Real>(
    body: Box<dyn Evaluate<T> + 'c>,
    head: &'c Network<T>,
) -> Box<dyn Evaluate<T> + 'c> {
    Box::new(Both {
        body,
        head: Evaluator::new(head),
        head_inputs: head.input_len(),
    })
}

impl<T: Real> Evaluate<T> for Both<'_, T> {
    fn input(&mut self, count: usize) -> &mut [T] {
        self.head.input(count);
        self.body.input(count)
    }

    fn outputs(&mut self) -> Result<&[T], ClassifierError> {
        let outputs = self.body.outputs()?;
        let inputs = self.head.input(outputs.len() / self.head_inputs);
        let expected = inputs.len();
        if outputs.len() != expected {
            return Err(ClassifierError::Length {
                what: "outputs",
                found: outputs.len(),
                expected,
            });
        }
        inputs.copy_from_slice(outputs);
        Ok(self.head.forward())
    }

    fn pull_back(&mut self, output_gradients: &[T]) -> Result<&[T], ClassifierError> {
        self.body.pull_back(self.head.backward(output_gradients))
    }
}
