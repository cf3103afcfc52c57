//! Memory of evaluators, which large networks take much of, used again.

use std::sync::Mutex;

use blindspot_net::{Buffers, Evaluator, Network, ValueId};

/// Memory of evaluators that are done.
#[derive(Default)]
pub(super) struct Spare(Mutex<Vec<Buffers<f32>>>);

impl Spare {
    /// Works with an evaluator that keeps the values `kept`.
    pub(super) fn evaluate<R>(
        &self,
        network: &Network<f32>,
        kept: &[ValueId],
        work: impl FnOnce(&mut Evaluator<'_, f32>) -> R,
    ) -> R {
        let buffers = self.0.lock().ok().and_then(|mut spare| spare.pop());
        let mut evaluator =
            Evaluator::with_buffers(network, buffers.unwrap_or_default()).keeping(kept);
        let result = work(&mut evaluator);
        if let Ok(mut spare) = self.0.lock() {
            spare.push(evaluator.into_buffers());
        }
        result
    }
}
