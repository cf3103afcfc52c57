//! Bounds on what a neural network does to its input: what each layer can amplify ([`spectrum`]),
//! and how far an input can move before the answer can change ([`certify`]).
//!
//! ```
//! use blindspot_bounds::{certify::Certifier, spectrum::Spectrum};
//! use blindspot_model::{InputBox, inputs::InMemory};
//! use blindspot_net::{Graph, Network, Op, Operand, ops::Gemm};
//! use blindspot_run::monitor::Unwatched;
//!
//! // The logits of an image (x, y) are (3x, 4y).
//! let mut graph = Graph::new("image", &[2])?;
//! let weights = Operand::Weight(graph.weight("weights", &[2, 2])?);
//! let image = Operand::Value(graph.input());
//! graph.node("layer", Op::Gemm(Gemm { trans_b: false }), &[image, weights], "logits")?;
//! let network = Network::new(graph, vec![vec![3.0, 0.0, 0.0, 4.0]])?;
//!
//! let spectra = Spectrum::new(&network).measure()?;
//! assert!((spectra.layers[0].as_run.upper.unwrap() - 4.0).abs() < 1e-12);
//!
//! // The class is 0 where 3x > 4y: the point (1, 0) is 3/5 from that line.
//! let certifier = Certifier::for_network(&network, InputBox::default())?;
//! let images = InMemory::new(vec![1.0, 0.0], 2);
//! let certified = certifier.certify_inputs(&images, &[0], &[0], &Unwatched)?;
//! assert!((certified[0].radius - 0.6).abs() < 1e-6);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod certify;
pub mod spectrum;
