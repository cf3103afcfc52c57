//! The replication of "Intriguing properties of neural networks" (Szegedy et al., 2013,
//! [arXiv:1312.6199](https://arxiv.org/abs/1312.6199)): its networks and their training, every table
//! and figure, and the paper's own numbers beside ours.
//!
//! # From the paper to the modules
//!
//! | paper | what | module |
//! |---|---|---|
//! | 2 | networks for MNIST: FC10, FC100-100-10, AE400-10, the convolutional one | [`train::Recipe`], [`architectures`] |
//! | 2 | training by L-BFGS until convergence, weight decay, the sparse autoencoder | [`train`] |
//! | 2 | AlexNet, with random weights | [`architectures::alexnet`] |
//! | 2, 4.1 | QuocNet: features learned without labels (Le et al. 2012), over several processes | [`quocnet`] |
//! | 3 | figures 1 to 4: what excites units and random directions | [`experiments::excitation`] |
//! | 4.1 | figure 5: photographs that AlexNet gets wrong | [`experiments::figure5`] |
//! | 4.1 | figure 6: a classifier of cars on QuocNet's features | [`experiments::figure6`] |
//! | 4.2 | table 1: distortion that brings the accuracy to 0 | [`experiments::table1`] |
//! | 4.2 | table 2: transfer between models | [`experiments::table2`] |
//! | 4.2 | tables 3 and 4: transfer between training sets | [`experiments::table3`], [`experiments::table4`] |
//! | 4.2 | figure 7: examples beside noise | [`experiments::figure7`] |
//! | 4.2 | training with a pool of adversarial examples | [`harden`], [`experiments::hardening`] |
//! | 4.3 | table 5: frame bounds of each layer | [`experiments::table5`] |
//!
//! The mathematics that the paper shares with other work is in the tool below this crate: the search
//! D(x, l) of section 4.1 in `blindspot::search` (the paper's own as the method `Lbfgs`), transfer
//! rates in `blindspot::transfer`, units in `blindspot::units`, frame bounds in `blindspot::spectrum`.
//!
//! # Training a network of the paper
//!
//! ```
//! use blindspot::inputs::InMemory;
//! use blindspot_paper::train::{Recipe, train};
//! use blindspot_paper::{LabelledData, Session};
//!
//! // Two images of two numbers each, of class 0 and of class 1.
//! let images = InMemory::new(vec![0.1, 0.9, 0.8, 0.2], 2);
//! let data = LabelledData::new(&images, &[0, 1]);
//! let recipe = Recipe::named("softmax1")?.with_iterations(50);
//! let trained = train(&recipe, &data, &Session::new(7))?;
//! assert_eq!(blindspot::classify::error(&trained.network, &images, &[0, 1])?, 0.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`models::train_and_save`] does the same for an image set and writes an ONNX file that says what it
//! was made by; [`train::train_in_batches`] trains any classifier; [`harden::harden`] mixes adversarial
//! examples in. A [`Session`] says from which seed, watched by whom, on which ranks, and where a
//! stopped training resumes from. The same seed gives the same bits for any number of threads and
//! ranks, run through or resumed.
//!
//! # Running experiments
//!
//! [`reproduce::reproduce`] takes the [`experiments`] asked for and the images that they take, and
//! gives [`results::Results`] (`results.json`) and [`results::Pictures`]; [`write_report`] makes tables,
//! figures and `report.html` of them, [`terminal`] text. [`reproduce::search_shard`] does a part of the
//! searches, to be merged by a later run.
#![deny(clippy::too_many_arguments)]

pub mod architectures;
pub mod experiments;
pub mod harden;
pub mod models;
mod page;
pub mod quocnet;
pub mod reproduce;
pub mod results;
mod session;
pub mod train;

pub use page::{terminal, write_report};
pub use session::{LabelledData, Session};
