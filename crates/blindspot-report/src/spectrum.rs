//! Frame bounds of each layer.

use blindspot::spectrum::{LayerSpectrum, Spectra};

use crate::table::{Cell, Table};

/// The columns of [`spectrum_table`].
pub const SPECTRUM_HEADS: [&str; 11] = [
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

/// What must be known to read [`spectrum_table`].
pub const SPECTRUM_NOTE: &str = "Lower and upper: the smallest and largest singular values of the layer as it runs \
                    (zero padding, the input's size); error: how far upper can be from a singular \
                    value. Circular: the paper's reading of convolutions. Lower is 0 where a layer \
                    loses dimensions. A bound that is not known is left out.";

/// The frame bounds of a network's layers.
pub fn spectrum_table(spectra: &Spectra) -> Table {
    let mut note = SPECTRUM_NOTE.to_owned();
    for node in &spectra.unsupported {
        note += &format!(
            " Not measured: {} ({}): {}.",
            node.layer, node.kind, node.why
        );
    }
    Table {
        title: "Frame bounds of each layer".into(),
        note,
        heads: SPECTRUM_HEADS.map(str::to_owned).to_vec(),
        rows: spectra
            .layers
            .iter()
            .map(|layer| spectrum_row(layer, None))
            .collect(),
    }
}

/// A layer's row of [`spectrum_table`]. The lower and the upper bound of a reference, if given, stand beside
/// those of the circular reading.
pub fn spectrum_row(layer: &LayerSpectrum, reference: Option<[f64; 2]>) -> Vec<Cell> {
    let sizes = |sizes: &[usize]| {
        let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
        sizes.join("x")
    };
    let (as_run, circular) = (&layer.as_run, &layer.circular);
    let own = |value| Cell::Figure(value, None);
    vec![
        Cell::Text(layer.layer.clone()),
        Cell::Text(sizes(&layer.shape)),
        Cell::Text(sizes(&layer.stride)),
        own(as_run.lower),
        own(as_run.lower_nonzero),
        own(as_run.upper),
        own(as_run.error_bound),
        own(circular.lower),
        Cell::Figure(circular.lower_nonzero, reference.map(|[lower, _]| lower)),
        Cell::Figure(circular.upper, reference.map(|[_, upper]| upper)),
        Cell::Text(layer.method.clone()),
    ]
}
