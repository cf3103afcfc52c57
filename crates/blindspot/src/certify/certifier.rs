//! Certifies the images of one network.

use blindspot_net::{Evaluator, Network, argmax};
use rayon::prelude::*;

use super::affine::AffineLayers;
use super::ball::PerturbationBox;
use super::curvature::CurvatureBound;
use super::lipschitz::Lipschitz;
use super::propagation::{BoundPropagation, FirstLayer};
use super::radius::RadiusSearch;
use super::verify::{Neighbourhood, RunnerUp};
use super::{Certificate, CertifyError};
use crate::inputs::{InputError, Inputs};
use crate::run::monitor::Monitor;
use crate::search::InputBox;

/// The relative tolerance of the radius that linear bounds certify.
const TOLERANCE: f64 = 5e-3;
/// The relative tolerance if the network is affine: then the bounds are exact.
const AFFINE_TOLERANCE: f64 = 1e-10;
/// The largest number of entries of the first affine layer's matrix.
const MAX_FIRST_ENTRIES: usize = 1 << 27;

/// Certifies images of one network.
///
/// A certificate is about the network in exact arithmetic with the weights that are stored, and about
/// all images in the input box, whether or not they can be stored as numbers of some type.
pub struct Certifier {
    network: Network<f64>,
    bounds: InputBox,
    lipschitz: Result<Lipschitz, CertifyError>,
    linear: Result<LinearBounding, CertifyError>,
}

/// What linear bounds need of a network.
struct LinearBounding {
    layers: AffineLayers,
    first: FirstLayer,
    /// For refining; None if the network has no curvature bound.
    curvature: Option<CurvatureBound>,
}

impl LinearBounding {
    /// Prepares a network whose inputs have absolute values up to `largest`.
    fn new(network: &Network<f32>, largest: f64) -> Result<LinearBounding, CertifyError> {
        let layers = AffineLayers::new(network, largest)?;
        let first = &layers.affine[0];
        if first.inputs.saturating_mul(first.outputs) > MAX_FIRST_ENTRIES {
            return Err(CertifyError::Unsupported {
                node: "the first layer".into(),
                op: "Conv",
                why: "it is too large to bound each of its outputs".into(),
            });
        }
        Ok(LinearBounding {
            first: FirstLayer::new(first),
            curvature: CurvatureBound::new(&layers),
            layers,
        })
    }
}

impl Certifier {
    /// Prepares the certificates of a network for images in a box.
    ///
    /// # Errors
    /// [`CertifyError`] if the network has fewer than two classes, or neither linear bounds nor a
    /// Lipschitz constant are known for it; the error then says why it has no linear bounds.
    pub fn new(network: &Network<f32>, bounds: InputBox) -> Result<Certifier, CertifyError> {
        if network.output_len() < 2 {
            return Err(CertifyError::Classes(network.output_len()));
        }
        let largest = f64::from(bounds.lower.abs().max(bounds.upper.abs()));
        let linear = LinearBounding::new(network, largest);
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

    /// Why certificates rest on the Lipschitz constant alone, if they do.
    pub fn without_linear(&self) -> Option<&CertifyError> {
        self.linear.as_ref().err()
    }

    /// Why the network has no Lipschitz constant, if it has none.
    pub fn without_lipschitz(&self) -> Option<&CertifyError> {
        self.lipschitz.as_ref().err()
    }

    /// Certifies the images at `positions` of a set; `labels` are the true classes of the whole set. The same
    /// bits come out for any number of threads. If the monitor cancels the work, the certificates
    /// finished so far are returned.
    ///
    /// # Errors
    /// [`CertifyError::Size`] and [`CertifyError::Label`] if images, labels and network don't fit each
    /// other, [`CertifyError::Input`] if an image can't be read.
    pub fn certify(
        &self,
        inputs: &(impl Inputs + ?Sized),
        labels: &[usize],
        positions: &[usize],
        monitor: &dyn Monitor,
    ) -> Result<Vec<Certificate>, CertifyError> {
        let (length, classes) = (self.input_len(), self.classes());
        if inputs.input_len() != length {
            return Err(CertifyError::Size {
                network: length,
                image: inputs.input_len(),
            });
        }
        if let Some(&label) = positions
            .iter()
            .map(|&i| &labels[i])
            .find(|&&l| l >= classes)
        {
            return Err(CertifyError::Label { label, classes });
        }
        monitor.begin("certify", positions.len() as u64);
        let done = std::sync::atomic::AtomicU64::new(0);
        let found: Result<Vec<Option<Certificate>>, InputError> = positions
            .par_iter()
            .map_init(
                || self.worker(),
                |worker, &position| {
                    if monitor.cancelled() {
                        return Ok(None);
                    }
                    let mut image = vec![0.0; length];
                    inputs.read(position, &mut image)?;
                    let label = labels[position];
                    let Radii { radius, lipschitz } = worker.certify(&image, label);
                    let done = 1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    monitor.progress(done, "");
                    Ok(Some(Certificate {
                        position,
                        index: inputs.index(position),
                        label,
                        radius,
                        lipschitz,
                    }))
                },
            )
            .collect();
        monitor.end();
        Ok(found?.into_iter().flatten().collect())
    }

    pub(super) fn worker(&self) -> Worker<'_> {
        Worker {
            certifier: self,
            evaluator: Evaluator::new(&self.network),
            propagation: self
                .linear
                .as_ref()
                .ok()
                .map(|linear| BoundPropagation::new(&linear.layers, &linear.first)),
        }
    }

    pub(super) fn input_len(&self) -> usize {
        self.network.input_len()
    }

    pub(super) fn classes(&self) -> usize {
        self.network.output_len()
    }

    /// The network's layers, if it has linear bounds.
    pub(super) fn layers(&self) -> Option<&AffineLayers> {
        Some(&self.linear.as_ref().ok()?.layers)
    }

    pub(super) fn curvature(&self) -> Option<&CurvatureBound> {
        self.linear.as_ref().ok()?.curvature.as_ref()
    }
}

/// What is certified of one image, as in a [`Certificate`].
struct Radii {
    radius: f64,
    lipschitz: Option<f64>,
}

/// The memory of one thread.
pub(super) struct Worker<'c> {
    pub(super) certifier: &'c Certifier,
    pub(super) evaluator: Evaluator<'c, f64>,
    pub(super) propagation: Option<BoundPropagation<'c>>,
}

impl Worker<'_> {
    fn certify(&mut self, image: &[f32], label: usize) -> Radii {
        let logits = self.logits(image);
        let lipschitz = self.certifier.lipschitz.as_ref().ok();
        // Nothing is certified around an image that is misclassified or outside of the box.
        let InputBox { lower, upper } = self.certifier.bounds;
        if argmax(&logits) != label || !image.iter().all(|x| (lower..=upper).contains(x)) {
            return Radii {
                radius: 0.0,
                lipschitz: lipschitz.map(|_| 0.0),
            };
        }
        // The factor covers the logits' own rounding by far.
        let lipschitz = lipschitz.map(|known| (1.0 - 1e-9) * known.radius(&logits, label));
        let runners_up = self.runners_up(&logits, label);
        let distances = runners_up.iter().map(|other| other.distance);
        let nearest = distances.fold(f64::INFINITY, f64::min);
        let linear = match &mut self.propagation {
            Some(propagation) => {
                let domain = PerturbationBox::new(image, lower, upper);
                let is_affine = propagation.layers().activations.is_empty();
                let margins = runners_up.iter().map(|other| other.margin);
                let search = RadiusSearch {
                    margin_at_zero: margins.fold(f64::INFINITY, f64::min),
                    first: 0.45 * nearest,
                    linear_root: nearest,
                    max: domain.max_norm(),
                    tolerance: if is_affine {
                        AFFINE_TOLERANCE
                    } else {
                        TOLERANCE
                    },
                };
                search.run(|radius| propagation.margin(&domain, label, radius))
            }
            None => 0.0,
        };
        Radii {
            radius: linear.max(lipschitz.unwrap_or(0.0)),
            lipschitz,
        }
    }

    /// What a query about an image needs.
    pub(super) fn neighbourhood(&mut self, image: &[f32], label: usize) -> Neighbourhood {
        let InputBox { lower, upper } = self.certifier.bounds;
        let logits = self.logits(image);
        let mut runners_up = self.runners_up(&logits, label);
        runners_up.sort_by(|a, b| a.distance.total_cmp(&b.distance));
        Neighbourhood {
            domain: PerturbationBox::new(image, lower, upper),
            label,
            runners_up,
        }
    }

    fn logits(&mut self, image: &[f32]) -> Vec<f64> {
        let input = self.evaluator.input(1).iter_mut();
        input
            .zip(image)
            .for_each(|(x, &value)| *x = f64::from(value));
        self.evaluator.forward().to_vec()
    }

    /// All other classes at the image whose logits were computed last, in their order.
    fn runners_up(&mut self, logits: &[f64], label: usize) -> Vec<RunnerUp> {
        let others = (0..logits.len()).filter(|&class| class != label);
        others
            .map(|class| {
                let mut direction = vec![0.0; logits.len()];
                (direction[label], direction[class]) = (1.0, -1.0);
                let gradient = self.evaluator.backward(&direction);
                let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
                let margin = logits[label] - logits[class];
                RunnerUp {
                    class,
                    margin,
                    distance: margin / norm,
                }
            })
            .collect()
    }
}
