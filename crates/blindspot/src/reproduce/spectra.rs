//! Table 5 (section 4.3): frame bounds.

use super::{ReproduceError, Run};
use crate::architectures::alexnet;
use crate::monitor::Monitor;
use crate::results::{Table5, Table5Network};
use crate::spectrum::{SpectrumOptions, spectra};

/// The networks for MNIST that stand below AlexNet.
pub(super) const MODELS: &[&str] = &["softmax1", "FC100-100-10"];

/// Matrices with a longer side than this take too long for a quick look.
const QUICK_SIDE: usize = 1024;

/// The frame bounds of AlexNet's layers and of those of the networks for MNIST.
pub(super) fn table5(run: &Run<'_>, monitor: &dyn Monitor) -> Result<Table5, ReproduceError> {
    let mut options = SpectrumOptions {
        seed: run.options.seed,
        ..SpectrumOptions::default()
    };
    if run.options.quick {
        options.dense_side = QUICK_SIDE;
        options.tolerance = 1e-2;
    }
    let mut networks = vec![Table5Network {
        name: "AlexNet".into(),
        weights: "random (normal, variance 2 / inputs; 1 / inputs of the last layer), not trained"
            .into(),
        spectra: spectra(&alexnet(run.options.seed), &options, monitor)?,
    }];
    for name in MODELS {
        let model = run.model(name);
        networks.push(Table5Network {
            name: (*name).to_owned(),
            weights: format!("trained on MNIST, {} iterations", model.record.iterations),
            spectra: spectra(&model.network, &options, monitor)?,
        });
    }
    Ok(Table5 { networks })
}
