//! Why a graph can't be built, cut or joined.

/// Why a graph can't be built.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum GraphError {
    /// An operator does not fit the shapes of what it is given.
    #[error("node `{node}` ({op}): {why}")]
    Shape {
        /// The node's name.
        node: String,
        /// The operator's ONNX name.
        op: &'static str,
        /// What does not fit.
        why: String,
    },
    /// Two values or weights have one name.
    #[error("the name `{0}` stands for two values; give each its own")]
    Name(String),
    /// A value or weight has an absurd size.
    #[error("`{name}` has shape {shape:?}: more than {most} numbers, or none")]
    Size {
        /// The value's name.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// [`MAX_VALUES`](super::MAX_VALUES) or [`MAX_WEIGHTS`](super::MAX_WEIGHTS).
        most: usize,
    },
    /// No value has the name asked for.
    #[error("no value is named `{name}`; this network has: {}", known.join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A network cannot be cut at a value, because another path leads past it.
    #[error("the network above `{name}` is not a network of its own: `{node}` also uses `{uses}`")]
    Cut {
        /// The value to cut at.
        name: String,
        /// A node above it that uses something from below.
        node: String,
        /// What it uses.
        uses: String,
    },
    /// Two graphs can't be joined.
    #[error("a graph that gives {gives:?} can't stand before one that takes {takes:?}")]
    Join {
        /// The output's shape of the first.
        gives: Vec<usize>,
        /// The input's shape of the second.
        takes: Vec<usize>,
    },
    /// No operator stands above the value asked for.
    #[error("nothing stands above `{0}`: it is the network's output")]
    Nothing(String),
}
