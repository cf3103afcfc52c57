//! Image sets: where they come from, how they are checked, how they are split.
//!
//! ```no_run
//! use blindspot_data::{DataSpec, Locations};
//!
//! let spec: DataSpec = "mnist:test".parse()?;
//! let images = spec.load(&Locations::new(None), &mut blindspot_data::Silent)?;
//! assert_eq!(images.shape(), [1, 28, 28]);
//! # Ok::<(), blindspot_data::DataError>(())
//! ```

mod cifar;
mod crops;
mod decode;
mod encode;
mod error;
mod fetch;
pub mod files;
mod folder;
mod idx;
mod kind;
mod npz;
pub mod numpy;
mod request;
mod set;
mod spec;

pub use decode::{Fit, Resize};
pub use encode::png;
pub use error::DataError;
pub use fetch::{Download, Found, Locations, Silent, fetch, find, list};
pub use folder::{Labels, read_classes};
pub use idx::{Idx, parse_idx, read_idx};
pub use kind::ErrorKind;
pub use npz::Axes;
pub use request::{Choice, ImageRequest};
pub use set::{Broken, ImageSet};
pub use spec::DataSpec;
