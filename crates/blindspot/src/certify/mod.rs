//! Certified distances: for each image one below which no change of its label is possible, whatever
//! anyone tries.
//!
//! Two certificates, of which the larger counts: by the product of the layers' bounds (section 4.3
//! of the paper, `lipschitz`), and by linear bounds carried through the network (`bounds`). The
//! certificate is about the network in exact arithmetic, its weights being the numbers stored.

mod ball;
mod bounds;
mod brackets;
mod chain;
mod curvature;
mod files;
mod lipschitz;
mod parabola;
mod parts;
mod refine;
mod relax;
mod slices;
mod splits;
#[cfg(test)]
mod tests;

use blindspot_net::{Evaluator, Network, argmax};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::inputs::{InputError, Inputs};
use crate::run::monitor::Monitor;
use crate::search::InputBox;
pub use brackets::Brackets;
pub use files::{About, Bracket, Origin, Record, Summary, write_certificates};

use ball::Room;
use bounds::{Bounds, First};
use chain::Chain;
use curvature::Curved;
use lipschitz::Lipschitz;

/// Why a network has no certificates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertifyError {
    /// An operator that no bounds are known for.
    #[error(
        "node `{node}` ({op}): {why}; certificates take fully connected and convolutional \
             layers, sigmoid, tanh, ReLU and max pooling, their sums, and parts side by side"
    )]
    Unsupported {
        /// The node's name.
        node: String,
        /// Its operator.
        op: &'static str,
        /// What the matter is.
        why: String,
    },
    /// The network can't be cut into segments.
    #[error("the network can't be cut between its layers: {0}")]
    Cut(String),
    /// An image can't be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Images and network don't fit.
    #[error("the network takes {network} values, an image has {image}; choose other data")]
    Size {
        /// Values of the network's input.
        network: usize,
        /// Values of an image.
        image: usize,
    },
    /// A label is not one of the network's classes.
    #[error("label {label} is not one of the network's {classes} classes, 0 to {}", classes - 1)]
    Label {
        /// The label.
        label: usize,
        /// How many classes the network has.
        classes: usize,
    },
    /// A network without a choice.
    #[error("the network has {0} class; a certificate takes at least 2")]
    Classes(usize),
}

/// An image's certified distance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// Position in the set that was certified.
    pub position: usize,
    /// Index in the data set that the certified set was chosen from ([`Inputs::index`]).
    pub index: usize,
    /// The true class.
    pub label: usize,
    /// No image of the box within this L2 distance has an answer other than the label. 0 where the
    /// network gets the image itself wrong.
    pub distance: f64,
    /// The same by the product of the layers' bounds alone; None where it is not known.
    pub lipschitz: Option<f64>,
}

/// Carries linear bounds through networks that are chains of what it knows.
struct Linear {
    chain: Chain,
    first: First,
    /// For refining; None where the network is of another kind.
    curved: Option<Curved>,
}

/// Certifies images of one network.
pub struct Certifier {
    network: Network<f64>,
    bounds: InputBox,
    lipschitz: Result<Lipschitz, CertifyError>,
    linear: Result<Linear, CertifyError>,
}

/// How close to the largest radius that the bounds certify a certificate ends, as a part of it.
const CLOSE: f64 = 5e-3;
/// The same where nothing stands between two segments: then the bounds are exact.
const CLOSE_LINEAR: f64 = 1e-10;
/// Numbers of the first segment's matrix, at most.
const MOST: usize = 1 << 27;

impl Certifier {
    /// Prepares the certificates of a network for images in a box.
    ///
    /// # Errors
    /// [`CertifyError`] where neither certificate is known for the network: that of the linear
    /// bounds.
    pub fn new(network: &Network<f32>, bounds: InputBox) -> Result<Certifier, CertifyError> {
        if network.output_len() < 2 {
            return Err(CertifyError::Classes(network.output_len()));
        }
        let largest = f64::from(bounds.lower.abs().max(bounds.upper.abs()));
        let linear = Chain::new(network, largest).and_then(|chain| {
            let first = &chain.segments[0];
            if first.inputs.saturating_mul(first.outputs) > MOST {
                return Err(CertifyError::Unsupported {
                    node: "the first layer".into(),
                    op: "Conv",
                    why: "it is too large to bound each of its outputs".into(),
                });
            }
            Ok(Linear {
                first: First::new(first),
                curved: Curved::new(&chain),
                chain,
            })
        });
        let lipschitz = Lipschitz::new(network);
        if let (Err(_), Err(why)) = (&lipschitz, &linear) {
            return Err(why.clone());
        }
        Ok(Certifier {
            network: network.cast(),
            bounds,
            lipschitz,
            linear,
        })
    }

    /// Why certificates rest on the product of the layers' bounds alone, where they do.
    pub fn without_linear(&self) -> Option<&CertifyError> {
        self.linear.as_ref().err()
    }

    /// Why the product of the layers' bounds is not known, where it is not.
    pub fn without_lipschitz(&self) -> Option<&CertifyError> {
        self.lipschitz.as_ref().err()
    }

    /// The certificates of images `indices` of a set with their true classes. The same bits come
    /// out for any number of threads. Where the monitor cancels the work, those done are given.
    ///
    /// # Errors
    /// [`CertifyError`] where images, labels and network don't fit each other, or an image can't be
    /// read.
    pub fn certify(
        &self,
        inputs: &(impl Inputs + ?Sized),
        labels: &[usize],
        indices: &[usize],
        monitor: &dyn Monitor,
    ) -> Result<Vec<Certificate>, CertifyError> {
        let (length, classes) = (self.network.input_len(), self.network.output_len());
        if inputs.input_len() != length {
            return Err(CertifyError::Size {
                network: length,
                image: inputs.input_len(),
            });
        }
        if let Some(&label) = indices.iter().map(|&i| &labels[i]).find(|&&l| l >= classes) {
            return Err(CertifyError::Label { label, classes });
        }
        monitor.begin("certify", indices.len() as u64);
        let done = std::sync::atomic::AtomicU64::new(0);
        let found: Result<Vec<Option<Certificate>>, InputError> = indices
            .par_iter()
            .map_init(
                || self.worker(),
                |worker, &position| {
                    if monitor.cancelled() {
                        return Ok(None);
                    }
                    let mut image = vec![0.0; length];
                    inputs.read(position, &mut image)?;
                    let certificate = Certificate {
                        position,
                        index: inputs.index(position),
                        ..worker.certify(&image, labels[position])
                    };
                    let done = 1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    monitor.progress(done, "");
                    Ok(Some(certificate))
                },
            )
            .collect();
        monitor.end();
        Ok(found?.into_iter().flatten().collect())
    }

    fn worker(&self) -> Worker<'_> {
        Worker {
            certifier: self,
            evaluator: Evaluator::new(&self.network),
            linear: self
                .linear
                .as_ref()
                .ok()
                .map(|linear| Bounds::new(&linear.chain, &linear.first)),
        }
    }
}

/// The memory of one thread.
struct Worker<'c> {
    certifier: &'c Certifier,
    evaluator: Evaluator<'c, f64>,
    linear: Option<Bounds<'c>>,
}

impl Worker<'_> {
    /// The certificate of one image; position and index are the caller's to set.
    fn certify(&mut self, image: &[f32], label: usize) -> Certificate {
        let wide: Vec<f64> = image.iter().map(|&x| f64::from(x)).collect();
        self.evaluator.input(1).copy_from_slice(&wide);
        let logits = self.evaluator.forward().to_vec();
        let none = Certificate {
            position: 0,
            index: 0,
            label,
            distance: 0.0,
            lipschitz: None,
        };
        // Outside of the box, or wrong as it is: nothing is certain of its surroundings.
        let InputBox { lower, upper } = self.certifier.bounds;
        if argmax(&logits) != label || !image.iter().all(|x| (lower..=upper).contains(x)) {
            let lipschitz = self.certifier.lipschitz.as_ref().ok().map(|_| 0.0);
            return Certificate { lipschitz, ..none };
        }
        let lipschitz = self.certifier.lipschitz.as_ref().ok();
        // The logits' own rounding, by far.
        let lipschitz = lipschitz.map(|known| (1.0 - 1e-9) * known.distance(&logits, label));
        let rivals = self.linearised(&logits, label);
        let guess = rivals.iter().fold(f64::INFINITY, |least, r| least.min(r.2));
        let linear = match &mut self.linear {
            Some(bounds) => {
                let room = Room::new(image, lower, upper);
                let exact = self.certifier.linear.as_ref();
                let is_linear = exact.is_ok_and(|linear| linear.chain.between.is_empty());
                let close = if is_linear { CLOSE_LINEAR } else { CLOSE };
                {
                    let others = logits
                        .iter()
                        .enumerate()
                        .filter(|&(class, _)| class != label);
                    let rival = others.fold(f64::NEG_INFINITY, |most, (_, &z)| most.max(z));
                    let lead = logits[label] - rival;
                    let bound = |radius| bounds.lead(&room, label, radius);
                    largest_radius(bound, lead, 0.45 * guess, guess, room.reach(), close)
                }
            }
            None => 0.0,
        };
        Certificate {
            distance: linear.max(lipschitz.unwrap_or(0.0)),
            lipschitz,
            ..none
        }
    }

    /// For each other class the label's lead over it, and the distance at which that would be 0 if the
    /// network were linear around the image that it was evaluated at last.
    fn linearised(&mut self, logits: &[f64], label: usize) -> Vec<(usize, f64, f64)> {
        let rivals = (0..logits.len()).filter(|&rival| rival != label);
        rivals
            .map(|rival| {
                let mut direction = vec![0.0; logits.len()];
                (direction[label], direction[rival]) = (1.0, -1.0);
                let gradient = self.evaluator.backward(&direction);
                let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
                let lead = logits[label] - logits[rival];
                (rival, lead, lead / norm)
            })
            .collect()
    }
}

/// Nearly the largest radius, at most `most`, at which `lead`, which falls with the radius from
/// `at_zero`, is above 0; it is above 0 there for certain. `start` is tried first, `guess` is where it
/// would end if it fell evenly. The search ends where no more than the part `close` can be gained, as far as the leads
/// seen foretell it.
fn largest_radius(
    mut lead: impl FnMut(f64) -> f64,
    at_zero: f64,
    start: f64,
    guess: f64,
    most: f64,
    close: f64,
) -> f64 {
    let most = most * (1.0 + 1e-9);
    let (mut low, mut high) = (0.0, most);
    // Radius and lead, the last three.
    let mut seen = vec![(0.0, at_zero)];
    let mut next = if start < most { start } else { 0.1 * most };
    for step in 0..60 {
        let value = lead(next);
        match value > 0.0 {
            true => low = next,
            false => high = next,
        }
        if low >= most || high - low <= close * high || high <= f64::MIN_POSITIVE {
            break;
        }
        seen.push((next, value));
        let even = at_zero / guess;
        let foretold = match seen.len() {
            // The gradient's fall, and what bends it.
            2 => {
                let bend = (at_zero - value - even * next) / (next * next);
                2.0 * at_zero / (even + (even * even + 4.0 * bend * at_zero).sqrt())
            }
            _ => interpolated(&seen),
        };
        seen.drain(..seen.len().saturating_sub(3));
        let middle = 0.5 * (low + high);
        let inside = foretold > low && foretold < high && step % 8 != 7;
        if low > 0.0 && foretold >= low && foretold <= low * (1.0 + close) {
            break;
        }
        // A little inside, so that most steps raise what is certified.
        let aim = if inside {
            foretold * (1.0 - 0.5 * close)
        } else {
            middle
        };
        let margin = 0.1 * close * high;
        next = aim.max(low + margin).min((high - margin).max(low));
    }
    low
}

/// Where a parabola through the last three points, radius over lead, has lead 0; NaN where two leads
/// are equal or one is not finite.
fn interpolated(seen: &[(f64, f64)]) -> f64 {
    let last = &seen[seen.len().saturating_sub(3)..];
    last.iter()
        .enumerate()
        .map(|(i, &(radius, lead))| {
            let others = last.iter().enumerate().filter(|&(j, _)| j != i);
            others.fold(radius, |part, (_, &(_, other))| {
                part * other / (other - lead)
            })
        })
        .sum()
}
