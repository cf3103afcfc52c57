//! Sets of labelled images: where they come from, how they are checked, how some are chosen.
//!
//! A [`DataSpec`] names images as a user types them: `mnist:test`, `folder:DIR`, `npz:FILE`,
//! `cifar10:DIR`, `idx:IMAGES,LABELS` or `csv:FILE`. [`DataSpec::load`] finds the files in [`Locations`], fetches
//! those of MNIST where they are missing, compares hashes, and gives an [`ImageSet`]. Images that are in memory
//! already become a set by [`ImageSet::new`] or [`ImageSet::of_floats`].
//!
//! ```
//! use blindspot_data::ImageSet;
//!
//! // Four grey images of 2x2 pixels, of two classes.
//! let pixels = (0..16).map(|level| 16 * level).collect();
//! let images = ImageSet::new("ramp", [1, 2, 2], pixels, Some(vec![0, 1, 0, 1]), Vec::new())?;
//! let chosen = images.select(&[3, 1]);
//! assert_eq!(chosen.labels(), Some(&[1, 1][..]));
//! // An image's position in the choice, and its index in the data set.
//! assert_eq!(chosen.indices()[0], 3);
//! let mut image = vec![0.0; chosen.image_len()];
//! chosen.read_image(0, &mut image)?;
//! assert_eq!(image[3], 240.0 / 255.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Values of bytes are read as numbers in [0, 1], channel after channel, row after row; those of floats
//! stay as they are. A set of files reads each image when it is asked for, so it may be larger than memory;
//! [`ImageSet::checked`] reads all of them once, to find broken ones and to hash them, and
//! [`ImageSet::fitted`] resizes and crops.
//!
//! Beside the sets there are [`files`], which writes a file whole or not at all, and [`numpy`], which
//! reads and writes NumPy's files. Every error has a kind ([`DataError::kind`]).

mod arrays;
mod cifar;
mod columns;
mod crops;
mod decode;
mod encode;
mod error;
mod fetch;
pub mod files;
mod folder;
mod idx;
mod kind;
mod labels;
mod limit;
mod npz;
pub mod numpy;
mod request;
mod set;
mod spec;
mod suggest;
mod table;

pub use arrays::{Array, arrays};
pub use columns::{Column, ColumnKind, Columns, Direction, Schema, SchemaSource, Value};
pub use decode::{Fit, Interpolation, Resize};
pub use encode::png;
pub use error::DataError;
pub use fetch::{Download, Found, Locations, Silent, fetch, find, list};
pub use folder::{Labels, read_classes};
pub use idx::{Idx, parse_idx, read_idx};
pub use kind::ErrorKind;
pub use limit::ReadLimit;
pub use npz::{Axes, parse_npz};
pub use request::{Choice, ImageRequest};
pub use set::{Broken, ImageSet, random_positions};
pub use spec::DataSpec;
pub use suggest::suggest;
pub use table::table_in_memory;
