//! Table 5 and its like: the frame bounds of each layer.

use blindspot::spectrum::{LayerSpectrum, Spectra};
use blindspot_paper::paper;
use blindspot_paper::reproduce::QUICK_INPUT;
use blindspot_paper::results::Table5;

use crate::table::{Cell, Table};

const HEADS: [&str; 11] = [
    "layer",
    "size",
    "stride",
    "lower",
    "smallest non-zero",
    "upper",
    "error",
    "lower, circular",
    "smallest non-zero, circular",
    "upper, circular",
    "computed by",
];

const NOTE: &str = "Lower and upper: the smallest and largest singular values of the layer as it runs \
                    (zero padding, the input's size); error: how far upper can be from a singular \
                    value. Circular: the paper's reading of convolutions. Lower is 0 where a layer \
                    loses dimensions. A bound that is not known is left out.";

/// The frame bounds of a network's layers.
pub fn spectrum_table(spectra: &Spectra) -> Table {
    let mut note = NOTE.to_owned();
    for node in &spectra.unsupported {
        note += &format!(
            " Not measured: {} ({}): {}.",
            node.layer, node.kind, node.why
        );
    }
    Table {
        title: "Frame bounds of each layer".into(),
        note,
        heads: HEADS.map(str::to_owned).to_vec(),
        rows: spectra
            .layers
            .iter()
            .map(|layer| row(layer, None))
            .collect(),
    }
}

/// Table 5: AlexNet's, the paper's figures beside them, and those of the networks for MNIST.
pub fn table5(table: &Table5, quick: bool) -> Table {
    let mut rows = Vec::new();
    for network in &table.networks {
        for layer in &network.spectra.layers {
            let paper = match network.name.as_str() {
                "AlexNet" => paper::table5(&layer.shape),
                _ => None,
            };
            let mut cells = row(layer, paper);
            cells[0] = Cell::Text(format!("{} {}", network.name, layer.layer));
            rows.push(cells);
        }
    }
    let weights = table
        .networks
        .iter()
        .map(|network| format!("{}: {}", network.name, network.weights));
    let weights: Vec<String> = weights.collect();
    let quickly = match quick {
        true => {
            let [height, width] = QUICK_INPUT;
            format!(
                "A QUICK LOOK: AlexNet on inputs of {height}x{width}, to a hundredth, without the \
                 smallest values of large matrices; no figure of it may be held against the paper. "
            )
        }
        false => String::new(),
    };
    Table {
        title: "Table 5: frame bounds of each layer".into(),
        note: format!(
            "{quickly}The paper's AlexNet was trained on ImageNet; its figures stand beside the \
             circular reading, the lower one beside the smallest value that is not 0. Weights used \
             here: {}. {NOTE}",
            weights.join("; ")
        ),
        heads: HEADS.map(str::to_owned).to_vec(),
        rows,
    }
}

fn row(layer: &LayerSpectrum, paper: Option<&paper::Table5Entry>) -> Vec<Cell> {
    let sizes = |sizes: &[usize]| {
        let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
        sizes.join("x")
    };
    let own = |value| Cell::Figure(value, None);
    let (as_run, circular) = (&layer.as_run, &layer.circular);
    vec![
        Cell::Text(layer.layer.clone()),
        Cell::Text(sizes(&layer.shape)),
        Cell::Text(sizes(&layer.stride)),
        own(as_run.lower),
        own(as_run.lower_nonzero),
        own(as_run.upper),
        own(as_run.error_bound),
        own(circular.lower),
        Cell::Figure(circular.lower_nonzero, paper.map(|paper| paper.lower)),
        Cell::Figure(circular.upper, paper.map(|paper| paper.upper)),
        Cell::Text(layer.method.clone()),
    ]
}
