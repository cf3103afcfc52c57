//! Table 5 (section 4.3): frame bounds of each layer of AlexNet and of the networks for MNIST.

use blindspot::run::monitor::Monitor;
use blindspot::spectrum::{LayerSpectrum, Spectra, Spectrum};
use blindspot_net::Network;
use blindspot_report::{Cell, SPECTRUM_HEADS, SPECTRUM_NOTE, Table, spectrum_row};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Experiment, MODELS, Needs};
use crate::architectures::alexnet;
use crate::reproduce::{Options, OwnNetwork, Replication, ReproduceError};

/// Table 5.
pub static EXPERIMENT: Experiment = Experiment {
    name: "table5",
    summary: "frame bounds of each layer of AlexNet, of networks for MNIST and of one's own",
    needs: Needs::models(&["softmax1", "FC100-100-10"]),
    run: |run, results, _| {
        results.table5 = Some(table5(run)?);
        Ok(())
    },
    tables: |results| {
        let ours = results.table5.iter();
        ours.map(|ours| ("table5", table(ours, results.quick)))
            .collect()
    },
    ..Experiment::NOTHING
};

/// The networks for MNIST that are measured where this run trains them, or has them from an earlier
/// one.
pub(crate) fn known_models() -> impl Iterator<Item = &'static str> {
    MODELS.into_iter().chain(["conv"])
}

/// Matrices with a longer side than this take too long for a quick look.
const QUICK_SIDE: usize = 512;
/// Height and width of AlexNet's input in a quick look: the least that leaves its last pooling
/// something to see.
const QUICK_INPUT: [usize; 2] = [67, 67];

/// Table 5: the frame bounds of each layer of some networks.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, JsonSchema)]
pub struct Table5 {
    /// AlexNet first.
    pub networks: Vec<Table5Network>,
}

/// One network of table 5.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, JsonSchema)]
pub struct Table5Network {
    /// `AlexNet`, the name of one of the run's models, or the file of a network of the user's.
    pub name: String,
    /// Where its weights come from, for people.
    pub weights: String,
    /// The bounds.
    #[serde(flatten)]
    pub spectra: Spectra,
}

/// How a network's layers are measured.
fn spectrum<'n>(network: &'n Network<f32>, options: &Options) -> Spectrum<'n> {
    let usual = Spectrum::new(network).seed(options.seed);
    if options.quick {
        usual.max_dense_side(QUICK_SIDE).tolerance(1e-2)
    } else {
        usual
    }
}

/// The frame bounds of AlexNet's layers, of those of the networks for MNIST, and of a network of the
/// user's.
fn table5(run: &Replication<'_>) -> Result<Table5, ReproduceError> {
    let alexnet = alexnet(run.options.seed);
    let mut of_alexnet = spectrum(&alexnet, run.options);
    if run.options.quick {
        of_alexnet = of_alexnet.input_size(QUICK_INPUT);
    }
    let mut networks = vec![Table5Network {
        name: "AlexNet".into(),
        weights: "random (normal, variance 2 / inputs; 1 / inputs of the last layer), not trained"
            .into(),
        spectra: of_alexnet.measure_with(run.monitor)?,
    }];
    for name in known_models() {
        let Some(model) = run.find_model(name) else {
            continue;
        };
        networks.push(Table5Network {
            name: name.to_owned(),
            weights: format!("trained on MNIST, {} iterations", model.record.iterations),
            spectra: spectrum(&model.network, run.options).measure_with(run.monitor)?,
        });
    }
    if let Some(own) = &run.sources.network {
        networks.push(of_own(own, run.options, run.monitor)?);
    }
    Ok(Table5 { networks })
}

/// A row of table 5 for each layer of a network that was trained elsewhere, batch normalisation
/// folded into them.
fn of_own(
    own: &OwnNetwork<'_>,
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

/// AlexNet's bounds with the paper's beside them, then those of the other networks.
fn table(table: &Table5, quick: bool) -> Table {
    let mut rows = Vec::new();
    for network in &table.networks {
        for layer in &network.spectra.layers {
            let paper = entry(&network.name, layer);
            let bounds = paper.map(|paper| [paper.lower, paper.upper]);
            let mut cells = spectrum_row(layer, bounds);
            cells[0] = Cell::Text(format!("{} {}", network.name, layer.layer));
            rows.push(cells);
        }
    }
    let weights = table
        .networks
        .iter()
        .map(|network| format!("{}: {}", network.name, network.weights));
    let weights: Vec<String> = weights.collect();
    let quickly = if quick {
        let [height, width] = QUICK_INPUT;
        format!(
            "A QUICK LOOK: AlexNet on inputs of {height}x{width}, to a hundredth, without the \
             smallest values of large matrices; no figure of it may be held against the paper. "
        )
    } else {
        String::new()
    };
    Table {
        title: "Table 5: frame bounds of each layer".into(),
        note: format!(
            "{quickly}The paper's AlexNet was trained on ImageNet; its figures stand beside the \
             circular reading, the lower one beside the smallest value that is not 0. Weights used \
             here: {}. {SPECTRUM_NOTE}",
            weights.join("; ")
        ),
        heads: SPECTRUM_HEADS.map(str::to_owned).to_vec(),
        rows,
    }
}

/// The paper's row of table 5: a layer of the trained AlexNet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Table5Entry {
    /// The paper's name of the layer.
    pub layer: &'static str,
    /// Inputs (channels), the kernel of a convolution, outputs (features).
    pub size: &'static [usize],
    /// The stride of a convolution.
    pub stride: Option<usize>,
    /// The lower frame bound.
    pub lower: f64,
    /// The upper one.
    pub upper: f64,
}

/// Table 5 of the paper: "Frame bounds of each rectified layer of the network from `[9]`", AlexNet. Three of its
/// figures are hard to read in the paper: both of the fourth convolution, the lower of the second
/// fully connected layer.
pub const TABLE5: [Table5Entry; 8] = {
    const fn entry(
        layer: &'static str,
        size: &'static [usize],
        stride: Option<usize>,
        lower: f64,
        upper: f64,
    ) -> Table5Entry {
        Table5Entry {
            layer,
            size,
            stride,
            lower,
            upper,
        }
    }
    [
        entry("Conv. 1", &[3, 11, 11, 96], Some(4), 0.1, 20.0),
        entry("Conv. 2", &[96, 5, 5, 256], Some(1), 0.06, 10.0),
        entry("Conv. 3", &[256, 3, 3, 384], Some(1), 0.01, 7.0),
        entry("Conv. 4", &[384, 3, 3, 384], Some(1), 5e-5, 7.5),
        entry("Conv. 5", &[384, 3, 3, 256], Some(1), 0.03, 11.0),
        entry("FC. 1", &[9216, 4096], None, 0.09, 3.12),
        entry("FC. 2", &[4096, 4096], None, 1e-4, 4.0),
        entry("FC. 3", &[4096, 1000], None, 0.25, 4.0),
    ]
};

/// The paper's row for a layer of AlexNet, by the shape of its weight: `[F, C, kernel...]` of a
/// convolution, inputs and outputs of a fully connected layer.
fn entry(network: &str, layer: &LayerSpectrum) -> Option<&'static Table5Entry> {
    let mut entries = TABLE5.iter().filter(|_| network == "AlexNet");
    entries.find(|entry| match layer.shape[..] {
        [f, c, h, w] => *entry.size == [c, h, w, f],
        _ => layer.shape == entry.size,
    })
}

#[cfg(test)]
mod tests {
    use blindspot_net::ops::Gemm;
    use blindspot_net::{Graph, Op, Operand};

    use super::*;
    use crate::train::Decay;
    use blindspot::preprocess::Preprocess;
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
            let own = OwnNetwork {
                network: &network,
                name: "own.onnx".into(),
                sha256: sha256.into(),
                preprocess: &Preprocess::default(),
                photographs: None,
                layer: None,
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
                    overwrite: false,
                };
                let row = of_own(&own, &options, &Unwatched).unwrap();
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
