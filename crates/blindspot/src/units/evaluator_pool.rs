//! Evaluators whose memory, which is large for a large network, is used again.

use std::sync::Mutex;

use blindspot_net::{Buffers, Evaluator, Network, ValueId};

/// Memory of finished evaluators, for the next ones to use.
#[derive(Default)]
pub(super) struct EvaluatorPool(Mutex<Vec<Buffers<f32>>>);

impl EvaluatorPool {
    /// Calls `work` with an evaluator of `network` that keeps the values `kept`, and returns its result.
    pub(super) fn evaluate<R>(
        &self,
        network: &Network<f32>,
        kept: &[ValueId],
        work: impl FnOnce(&mut Evaluator<'_, f32>) -> R,
    ) -> R {
        let buffers = self.0.lock().ok().and_then(|mut pool| pool.pop());
        let mut evaluator =
            Evaluator::with_buffers(network, buffers.unwrap_or_default()).keeping(kept);
        let result = work(&mut evaluator);
        if let Ok(mut pool) = self.0.lock() {
            pool.push(evaluator.into_buffers());
        }
        result
    }
}
