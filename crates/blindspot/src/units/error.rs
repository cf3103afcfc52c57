//! Why a layer can't be studied.

use blindspot_data::ErrorKind;
use blindspot_net::GraphError;

use blindspot_model::inputs::InputError;

/// Why a layer can't be studied.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum UnitsError {
    /// No layer has this name.
    #[error(
        "no layer is named `{name}`{}; the network has {}",
        did_you_mean(likely),
        few(known)
    )]
    Unknown {
        /// The name.
        name: String,
        /// The most similar name of a layer.
        likely: Option<String>,
        /// The names of all layers.
        known: Vec<String>,
    },
    /// The value has neither one axis (units) nor a channel axis followed by one or two spatial axes.
    #[error(
        "`{layer}` has the shape {shape:?} for one image; units have 1 axis, or 2 or 3 with the \
         channels first: choose another layer"
    )]
    Axes {
        /// The layer.
        layer: String,
        /// The layer's shape, without the batch axis.
        shape: Vec<usize>,
    },
    /// The layer has no unit of this number.
    #[error("`{layer}` has the units 0 to {}, no unit {unit}", units - 1)]
    Unit {
        /// The unit.
        unit: usize,
        /// Number of units of the layer.
        units: usize,
        /// The layer.
        layer: String,
    },
    /// A direction is not a finite vector over the layer's units.
    #[error(
        "a direction has {found} values, `{layer}` has {units} units: give one finite value a unit"
    )]
    Direction {
        /// Number of values of the direction.
        found: usize,
        /// Number of units of the layer.
        units: usize,
        /// The layer.
        layer: String,
    },
    /// Neither units nor directions were requested.
    #[error("no units and no directions are requested; ask for at least one")]
    Nothing,
    /// The number of top images is 0.
    #[error("the number of top images is 0; it must be at least 1")]
    Top,
    /// The image set is empty.
    #[error("the image set is empty; choose one with images")]
    Empty,
    /// Images and network have different sizes.
    #[error("the network takes {network} values, an image has {image}; choose other data")]
    Size {
        /// Number of values that the network takes.
        network: usize,
        /// Number of values of an image.
        image: usize,
    },
    /// The directions don't fit in memory.
    #[error(
        "{directions} directions in a layer of {units} units don't fit in memory; ask for at most \
         {most}"
    )]
    Directions {
        /// Number of directions requested.
        directions: usize,
        /// Number of units of the layer.
        units: usize,
        /// Largest number of directions that fits.
        most: usize,
    },
    /// The layer is too wide for principal components.
    #[error("`{layer}` has {units} units; principal components are for at most {most}")]
    Wide {
        /// The layer.
        layer: String,
        /// Number of units of the layer.
        units: usize,
        /// Largest number of units.
        most: usize,
    },
    /// The layer's values for an image are NaN or infinite.
    #[error(
        "`{layer}` is not finite for image {image}; check the preprocessing that the network expects"
    )]
    NotFinite {
        /// The layer.
        layer: String,
        /// Index of the image in the set.
        image: usize,
    },
    /// An input can't be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The network can't be extended by the directions.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The monitor cancelled the work.
    #[error("stopped; nothing was written")]
    Cancelled,
}

impl UnitsError {
    /// What the error is about.
    pub fn kind(&self) -> ErrorKind {
        match self {
            UnitsError::Unknown { .. }
            | UnitsError::Axes { .. }
            | UnitsError::Unit { .. }
            | UnitsError::Nothing
            | UnitsError::Top
            | UnitsError::Direction { .. }
            | UnitsError::Directions { .. }
            | UnitsError::Wide { .. } => ErrorKind::Usage,
            UnitsError::Input(_) | UnitsError::Empty | UnitsError::Size { .. } => ErrorKind::Data,
            UnitsError::NotFinite { .. } | UnitsError::Graph(_) => ErrorKind::Model,
            UnitsError::Cancelled => ErrorKind::Interrupted,
        }
    }
}

fn did_you_mean(likely: &Option<String>) -> String {
    likely.as_ref().map_or(String::new(), |likely| {
        format!("; did you mean `{likely}`?")
    })
}

/// The last names, which are nearest to the output, and the number of the others.
fn few(known: &[String]) -> String {
    const SHOWN: usize = 20;
    let hidden = known.len().saturating_sub(SHOWN);
    let names = known[hidden..].join(", ");
    if hidden == 0 {
        names
    } else {
        format!("{hidden} layers, then {names}")
    }
}
