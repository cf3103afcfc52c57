//! Table 5 (section 4.3): frame bounds.

use super::{Options, Own, ReproduceError, Run};
use crate::architectures::alexnet;
use crate::results::{Table5, Table5Network};
use blindspot::run::monitor::Monitor;
use blindspot::spectrum::Spectrum;
use blindspot_net::Network;

/// The networks for MNIST that stand below AlexNet in any case.
pub(super) const MODELS: &[&str] = &["softmax1", "FC100-100-10"];

/// All that do where this run trains them, or has them from an earlier one.
pub(super) const KNOWN: &[&str] = &[
    "softmax1",
    "softmax2",
    "softmax3",
    "FC100-100-10",
    "FC200-200-10",
    "AE400-10",
    "conv",
];

/// Matrices with a longer side than this take too long for a quick look.
const QUICK_SIDE: usize = 512;
/// Height and width of AlexNet's input in a quick look: the least that leaves its last pooling
/// something to see.
pub const QUICK_INPUT: [usize; 2] = [67, 67];

/// How a network's layers are measured.
fn spectrum<'n>(network: &'n Network<f32>, options: &Options) -> Spectrum<'n> {
    let usual = Spectrum::new(network).seed(options.seed);
    if options.quick {
        usual.max_dense_side(QUICK_SIDE).tolerance(1e-2)
    } else {
        usual
    }
}

/// The frame bounds of AlexNet's layers and of those of the networks for MNIST.
pub(super) fn table5(run: &Run<'_>, monitor: &dyn Monitor) -> Result<Table5, ReproduceError> {
    let alexnet = alexnet(run.options.seed);
    let mut of_alexnet = spectrum(&alexnet, run.options);
    if run.options.quick {
        of_alexnet = of_alexnet.input_size(QUICK_INPUT);
    }
    let mut networks = vec![Table5Network {
        name: "AlexNet".into(),
        weights: "random (normal, variance 2 / inputs; 1 / inputs of the last layer), not trained"
            .into(),
        spectra: of_alexnet.measure_with(monitor)?,
    }];
    for name in KNOWN {
        let Some(model) = run.models.iter().find(|model| model.record.name == *name) else {
            continue;
        };
        networks.push(Table5Network {
            name: (*name).to_owned(),
            weights: format!("trained on MNIST, {} iterations", model.record.iterations),
            spectra: spectrum(&model.network, run.options).measure_with(monitor)?,
        });
    }
    Ok(Table5 { networks })
}

/// A row of table 5 for each layer of a network that was trained elsewhere, batch normalisation
/// folded into them.
///
/// # Errors
/// [`ReproduceError`].
pub fn table5_own(
    own: &Own<'_>,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Table5Network, ReproduceError> {
    Ok(Table5Network {
        name: own.name.clone(),
        weights: format!(
            "those of the file (SHA-256 {}...)",
            &own.sha256[..12.min(own.sha256.len())]
        ),
        spectra: spectrum(own.network, options).measure_with(monitor)?,
    })
}

#[cfg(test)]
mod tests {
    use blindspot_net::ops::Gemm;
    use blindspot_net::{Graph, Network, Op, Operand};

    use super::*;
    use crate::train::Decay;
    use blindspot::run::monitor::Unwatched;

    /// Two layers, each a diagonal, whose singular values are its entries'.
    fn diagonals() -> Network<f32> {
        let mut graph = Graph::new("x", &[3]).unwrap();
        let mut top = graph.input();
        for name in ["first", "second"] {
            let weight = graph.weight(&format!("{name}.weight"), &[3, 3]).unwrap();
            let operands = [Operand::Value(top), Operand::Weight(weight)];
            let gemm = Op::Gemm(Gemm { trans_b: false });
            top = graph.node(name, gemm, &operands, name).unwrap();
        }
        let diagonal = |entries: [f32; 3]| {
            let number = |i: usize| {
                if i.is_multiple_of(4) {
                    entries[i / 4]
                } else {
                    0.0
                }
            };
            (0..9).map(number).collect()
        };
        let weights = vec![diagonal([-3.0, 0.5, 2.0]), diagonal([0.0, 7.0, 1.0])];
        Network::new(graph, weights).unwrap()
    }

    #[test]
    fn a_network_of_ones_own_has_a_row_for_each_layer_and_says_whose_weights_they_are() {
        let network = diagonals();
        for (sha256, said) in [("0123456789abcdef", "0123456789ab..."), ("0f", "0f...")] {
            let own = Own {
                network: &network,
                name: "own.onnx".into(),
                sha256: sha256.into(),
            };
            for quick in [false, true] {
                let options = Options {
                    experiments: Vec::new(),
                    samples: None,
                    quick,
                    seed: 0,
                    clip_noise: false,
                    decay: Decay::PerUnit,
                    seeds: 1,
                };
                let row = table5_own(&own, &options, &Unwatched).unwrap();
                assert_eq!(row.name, "own.onnx");
                assert!(row.weights.contains(said), "{}", row.weights);
                let bounds = row.spectra.layers.iter().map(|layer| {
                    let value = |bound: Option<f64>| bound.expect("small enough to know");
                    let read = &layer.as_run;
                    let all = [read.lower, read.lower_nonzero, read.upper];
                    (layer.layer.as_str(), all.map(value))
                });
                let expected = [("first", [0.5, 0.5, 3.0]), ("second", [0.0, 1.0, 7.0])];
                for ((name, found), (layer, exact)) in bounds.zip(expected) {
                    assert_eq!(name, layer);
                    for (found, exact) in found.into_iter().zip(exact) {
                        assert!((found - exact).abs() < 1e-9, "{name}: {found}, not {exact}");
                    }
                }
                assert_eq!(row.spectra.layers.len(), 2);
            }
        }
    }
}
