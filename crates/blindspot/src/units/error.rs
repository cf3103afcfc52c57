//! Why a layer can't be looked at.

use blindspot_net::GraphError;

use crate::inputs::InputError;

/// Why a layer can't be looked at.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum UnitsError {
    /// No layer has the name asked for.
    #[error(
        "no layer is named `{name}`{}; the network has {}",
        did_you_mean(likely),
        few(known)
    )]
    Unknown {
        /// The name asked for.
        name: String,
        /// The name most like it.
        likely: Option<String>,
        /// The names there are.
        known: Vec<String>,
    },
    /// A value that is no list of units and no stack of maps.
    #[error(
        "`{layer}` has the shape {shape:?} for one image; units have 1 axis, or 2 or 3 with the \
         channels first: choose another layer"
    )]
    Axes {
        /// The layer.
        layer: String,
        /// Its shape without the batch's axis.
        shape: Vec<usize>,
    },
    /// There is no such unit.
    #[error("`{layer}` has the units 0 to {}, no unit {unit}", units - 1)]
    Unit {
        /// The unit asked for.
        unit: usize,
        /// How many there are.
        units: usize,
        /// The layer.
        layer: String,
    },
    /// A direction of another length.
    #[error("a direction has {found} values, `{layer}` has {units} units")]
    Direction {
        /// The direction's values.
        found: usize,
        /// The layer's units.
        units: usize,
        /// The layer.
        layer: String,
    },
    /// There is nothing to look for.
    #[error("neither units nor directions are asked for; ask for at least one")]
    Nothing,
    /// No image is wanted of each.
    #[error("the top 0 images are none; ask for at least 1")]
    Top,
    /// There is no image.
    #[error("the image set is empty; choose one with images")]
    Empty,
    /// Images and network don't fit.
    #[error("the network takes {network} values, an image has {image}; choose other data")]
    Size {
        /// Values of the network's input.
        network: usize,
        /// Values of an image.
        image: usize,
    },
    /// More directions than there is room for.
    #[error(
        "{directions} directions in a layer of {units} units don't fit in memory; ask for at most \
         {most}"
    )]
    Directions {
        /// Directions asked for.
        directions: usize,
        /// The layer's units.
        units: usize,
        /// As many as fit.
        most: usize,
    },
    /// Principal components of a layer that is too wide.
    #[error("`{layer}` has {units} units; principal components are for at most {most}")]
    Wide {
        /// The layer.
        layer: String,
        /// Its units.
        units: usize,
        /// The most that there may be.
        most: usize,
    },
    /// The network gives no number.
    #[error("`{layer}` is not finite for image {image}; check what the network wants of its input")]
    NotFinite {
        /// The layer.
        layer: String,
        /// The image's place in the set.
        image: usize,
    },
    /// An input can't be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The network can't be extended by the directions.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// It was asked to stop.
    #[error("stopped; nothing was written")]
    Cancelled,
}

fn did_you_mean(likely: &Option<String>) -> String {
    likely.as_ref().map_or(String::new(), |likely| {
        format!("; did you mean `{likely}`?")
    })
}

/// The last names, which are those nearest to the output, and how many more there are.
fn few(known: &[String]) -> String {
    const SHOWN: usize = 20;
    let hidden = known.len().saturating_sub(SHOWN);
    let names = known[hidden..].join(", ");
    match hidden {
        0 => names,
        _ => format!("{hidden} layers, then {names} (--layer without a name lists all)"),
    }
}
