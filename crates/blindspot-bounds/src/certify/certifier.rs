//! The front door to certificates.

use std::time::{Duration, Instant};

use blindspot_data::ImageSet;
use blindspot_model::inputs::{InputError, Inputs};
use blindspot_model::{ExactModel, InputBox, Model};
use blindspot_net::{Budget, Evaluator, ExactNetwork, Network, ValueId, argmax};
use blindspot_run::monitor::{Monitor, Unwatched};
use rayon::prelude::*;

use super::affine::AffineLayers;
use super::arithmetic::{Arithmetic, Rounding};
use super::ball::PerturbationBox;
use super::cost::check_linear;
use super::curvature::CurvatureBound;
use super::lipschitz::Lipschitz;
use super::propagation::{BoundPropagation, EndRounding, FirstLayer};
use super::radius::RadiusSearch;
use super::verify::{Neighbourhood, RunnerUp};
use super::{Certificate, CertifyError};

/// The relative tolerance of the radius that linear bounds certify.
const TOLERANCE: f64 = 5e-3;
/// The relative tolerance if the network is affine: then the bounds are exact.
const AFFINE_TOLERANCE: f64 = 1e-10;
/// The largest number of entries of the first affine layer's matrix.
const MAX_FIRST_ENTRIES: usize = 1 << 27;

/// The longest time limit, a year: an [`Instant`] can't be arbitrarily far away.
pub const MAX_TIME: Duration = Duration::from_secs(366 * 86_400);

/// Certifies the images of one model.
///
/// ```no_run
/// use blindspot_bounds::certify::Certifier;
/// use blindspot_data::ImageSet;
/// use blindspot_model::Model;
///
/// let model = Model::open("fc100.onnx")?;
/// let images = ImageSet::open("mnist:test")?.first(100);
/// for certificate in Certifier::new(&model)?.certify(&images)? {
///     println!("{}: {:.4}", certificate.label, certificate.radius);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a certifier does nothing until it certifies images"]
pub struct Certifier {
    network: Network<f64>,
    /// The values whose norms Lipschitz constants need.
    values: Vec<ValueId>,
    input_box: InputBox,
    arithmetic: Arithmetic,
    runtime: EndRounding,
    time_limit: Option<Duration>,
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
    fn new(
        network: &ExactNetwork,
        largest: f64,
        rounding: &Rounding,
    ) -> Result<LinearBounding, CertifyError> {
        let layers = AffineLayers::new(network, largest, rounding)?;
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
    /// Prepares the certificates of a model, for images in its input box. They are about the numbers
    /// of its file, and about what it answers with its own end and number format.
    ///
    /// # Errors
    /// [`CertifyError::Model`] if the model's file can't be read again, and [`CertifyError`] as of
    /// [`for_network`](Certifier::for_network).
    pub fn new(model: &Model) -> Result<Certifier, CertifyError> {
        Certifier::in_box(model, model.input_box())
    }

    /// Prepares the certificates of a model, for images in another input box than its own.
    ///
    /// # Errors
    /// [`CertifyError`] as of [`new`](Certifier::new).
    pub fn in_box(model: &Model, input_box: InputBox) -> Result<Certifier, CertifyError> {
        let ExactModel {
            network,
            softmax_left_out,
        } = model
            .exact()
            .map_err(|error| CertifyError::Model(error.to_string()))?;
        let rounding = Rounding::of(model.precision());
        let end = if softmax_left_out {
            rounding.of_softmax(network.network().output_len())
        } else {
            0.0
        };
        let runtime = EndRounding { rounding, end };
        // What the model takes in both forms is in memory already.
        let doubles = (network.network().parameters() * size_of::<f64>()) as u64;
        let budget = model.budget().less(model.weight_bytes() + doubles);
        Certifier::with_rounding(&network, input_box, runtime, &budget)
    }

    /// Prepares the certificates of a network that gives logits, for images in an input box.
    ///
    /// # Errors
    /// [`CertifyError`] if the network has fewer than two classes, or neither linear bounds nor a
    /// Lipschitz constant are known for it; the error then says why it has no linear bounds.
    pub fn for_network(
        network: &Network<f32>,
        input_box: InputBox,
    ) -> Result<Certifier, CertifyError> {
        Certifier::for_exact(&ExactNetwork::from(network), input_box)
    }

    /// Prepares the certificates of a network with the numbers of its file; otherwise like
    /// [`for_network`](Certifier::for_network).
    ///
    /// # Errors
    /// [`CertifyError`] as of [`for_network`](Certifier::for_network).
    pub fn for_exact(exact: &ExactNetwork, input_box: InputBox) -> Result<Certifier, CertifyError> {
        let runtime = EndRounding {
            rounding: Rounding::SINGLE,
            end: 0.0,
        };
        Certifier::with_rounding(exact, input_box, runtime, &Budget::default())
    }

    pub(super) fn with_rounding(
        exact: &ExactNetwork,
        input_box: InputBox,
        runtime: EndRounding,
        budget: &Budget,
    ) -> Result<Certifier, CertifyError> {
        let network = exact.network();
        if network.output_len() < 2 {
            return Err(CertifyError::Classes(network.output_len()));
        }
        let mut weights = network.graph().weights().iter().enumerate();
        let unknown =
            |weight| !exact.is_of_file(weight) && exact.magnitudes(weight).contains(&f64::MAX);
        if let Some((_, weight)) = weights.find(|&(weight, _)| unknown(weight)) {
            return Err(CertifyError::Model(format!(
                "weight `{}`: the file computes it from other constants by an operator whose \
                 rounding has no bound here; simplify the model (onnxsim), so that it is a constant",
                weight.name
            )));
        }
        let largest = f64::from(input_box.lower.abs().max(input_box.upper.abs()));
        let linear = check_linear(network, budget)
            .map_err(CertifyError::from)
            .and_then(|()| LinearBounding::new(exact, largest, &runtime.rounding));
        let lipschitz = Lipschitz::new(exact, budget);
        if let (Err(_), Err(why)) = (&lipschitz, &linear) {
            return Err(why.clone());
        }
        let graph = network.graph();
        let outputs = graph.nodes().iter().map(|node| node.output);
        Ok(Certifier {
            values: [graph.input()].into_iter().chain(outputs).collect(),
            network: network.clone(),
            input_box,
            arithmetic: Arithmetic::default(),
            runtime,
            time_limit: None,
            lipschitz,
            linear,
        })
    }

    /// The arithmetic in which answers are certified; that of any runtime by default.
    pub fn arithmetic(self, arithmetic: Arithmetic) -> Certifier {
        Certifier { arithmetic, ..self }
    }

    /// Spends up to this long to refine the certificates of [`certify`](Certifier::certify), if
    /// [`refines`](Certifier::refines) says that more time helps; a year at most. They stay sound,
    /// but how large they become then depends on the machine. Without a limit nothing is refined.
    pub fn time_limit(self, limit: Duration) -> Certifier {
        let time_limit = Some(limit.min(MAX_TIME));
        Certifier { time_limit, ..self }
    }

    /// Why certificates rest on the Lipschitz constant alone, if they do.
    pub fn without_linear(&self) -> Option<&CertifyError> {
        self.linear.as_ref().err()
    }

    /// Why the network has no Lipschitz constant, if it has none.
    pub fn without_lipschitz(&self) -> Option<&CertifyError> {
        self.lipschitz.as_ref().err()
    }

    /// What certificates rest on less than they could, in words that follow
    /// "certificates rest"; nothing for most networks. `timed` says whether time was given to refine them.
    pub fn limits(&self, timed: bool) -> Vec<String> {
        let mut limits = Vec::new();
        if let Some(why) = self.without_linear() {
            limits.push(format!("by the product of the layers' bounds alone: {why}"));
        }
        if let Some(why) = self.without_lipschitz() {
            limits.push(format!(
                "on linear bounds alone, as the product of the layers' bounds is not known: {why}"
            ));
        }
        if timed && !self.refines() {
            limits.push(
                "on the first bounds, with a time limit or without: it takes ReLUs, or one or two fully \
                 connected layers of sigmoid or tanh units below the last"
                    .into(),
            );
        }
        limits
    }

    /// Certifies all images of a set: one certificate for each, in their order. The same bits come
    /// out for any number of threads, unless there is a time limit.
    ///
    /// # Errors
    /// [`CertifyError::NoLabels`] if the set has no labels, [`CertifyError::Size`] and
    /// [`CertifyError::Label`] if it does not fit the model, [`CertifyError::Input`] if an image
    /// can't be read.
    pub fn certify(&self, images: &ImageSet) -> Result<Vec<Certificate>, CertifyError> {
        let began = Instant::now();
        let labels = images.labels().ok_or(CertifyError::NoLabels)?;
        let all: Vec<usize> = (0..images.len()).collect();
        let mut certificates = self.certify_inputs(images, labels, &all, &Unwatched)?;
        if let Some(limit) = self.time_limit {
            self.refine(&mut certificates, images, began + limit, &Unwatched)?;
        }
        Ok(certificates)
    }

    /// Certifies the images at `positions` of a set; `labels` are the true classes of the whole
    /// set. The same bits come out for any number of threads. If the monitor cancels the work, the
    /// certificates finished so far are returned.
    ///
    /// # Errors
    /// [`CertifyError::Size`] and [`CertifyError::Label`] if images, labels and network don't fit
    /// each other, [`CertifyError::Input`] if an image can't be read.
    pub fn certify_inputs(
        &self,
        inputs: &(impl Inputs + ?Sized),
        labels: &[usize],
        positions: &[usize],
        monitor: &dyn Monitor,
    ) -> Result<Vec<Certificate>, CertifyError> {
        self.check(inputs.input_len(), positions.iter().map(|&i| labels[i]))?;
        self.certify_each(positions.len(), monitor, |worker, i| {
            let position = positions[i];
            let mut image = vec![0.0; self.input_len()];
            inputs.read(position, &mut image)?;
            let label = labels[position];
            let Radii { radius, lipschitz } = worker.certify(&image, label);
            Ok(Certificate {
                position,
                index: inputs.index(position),
                label,
                radius,
                lipschitz,
            })
        })
    }

    /// Whether images of `image_len` values with these labels fit the network.
    fn check(
        &self,
        image_len: usize,
        mut labels: impl Iterator<Item = usize>,
    ) -> Result<(), CertifyError> {
        if image_len != self.input_len() {
            return Err(CertifyError::Size {
                network: self.input_len(),
                image: image_len,
            });
        }
        let classes = self.classes();
        if let Some(label) = labels.find(|&label| label >= classes) {
            return Err(CertifyError::Label { label, classes });
        }
        Ok(())
    }

    /// The certificates that `certify` makes of each of `count` images, all at once; those finished
    /// if the monitor cancels the work.
    fn certify_each(
        &self,
        count: usize,
        monitor: &dyn Monitor,
        certify: impl Fn(&mut Worker<'_>, usize) -> Result<Certificate, InputError> + Sync,
    ) -> Result<Vec<Certificate>, CertifyError> {
        monitor.begin("certify", count as u64);
        let done = std::sync::atomic::AtomicU64::new(0);
        let found: Result<Vec<Option<Certificate>>, InputError> = (0..count)
            .into_par_iter()
            .map_init(
                || self.worker(),
                |worker, i| {
                    if monitor.cancelled() {
                        return Ok(None);
                    }
                    let certificate = certify(worker, i)?;
                    let done = 1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    monitor.progress(done, "");
                    Ok(Some(certificate))
                },
            )
            .collect();
        monitor.end();
        Ok(found?.into_iter().flatten().collect())
    }

    pub(super) fn worker(&self) -> Worker<'_> {
        let linear = self.linear.as_ref().ok();
        let mut worker = Worker {
            certifier: self,
            evaluator: Evaluator::new(&self.network).keeping(&self.values),
            propagation: linear.map(|linear| BoundPropagation::new(&linear.layers, &linear.first)),
        };
        worker.set_arithmetic(self.arithmetic);
        worker
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
        let certifier = self.certifier;
        let logits = self.logits(image);
        // Nothing is certified around an image that is misclassified, maybe so in a runtime, or
        // outside of the box.
        let InputBox { lower, upper } = certifier.input_box;
        let inside = image.iter().all(|x| (lower..=upper).contains(x));
        if argmax(&logits) != label || !inside || !self.is_certain(image, &logits, label) {
            return Radii {
                radius: 0.0,
                lipschitz: certifier.lipschitz.as_ref().ok().map(|_| 0.0),
            };
        }
        let lipschitz = self.lipschitz_radius(&logits, label, certifier.arithmetic);
        let linear = self.linear_radius(image, &logits, label);
        Radii {
            radius: linear.max(lipschitz.unwrap_or(0.0)),
            lipschitz,
        }
    }

    /// Whether any runtime answers `label` to the image itself, whose logits were computed last.
    fn is_certain(&mut self, image: &[f32], logits: &[f64], label: usize) -> bool {
        let runtime = Arithmetic::Runtime;
        if self
            .lipschitz_radius(logits, label, runtime)
            .is_some_and(|radius| radius > 0.0)
        {
            return true;
        }
        let InputBox { lower, upper } = self.certifier.input_box;
        let domain = PerturbationBox::new(image, lower, upper);
        self.set_arithmetic(runtime);
        let propagation = self.propagation.as_mut();
        let margin = propagation.map(|propagation| propagation.margin(&domain, label, 0.0));
        self.set_arithmetic(self.certifier.arithmetic);
        margin.is_some_and(|margin| margin > 0.0)
    }

    fn set_arithmetic(&mut self, arithmetic: Arithmetic) {
        if let Some(propagation) = &mut self.propagation {
            propagation.set_rounding(match arithmetic {
                Arithmetic::Runtime => Some(self.certifier.runtime),
                Arithmetic::Exact => None,
            });
        }
    }

    /// The radius by the Lipschitz constants alone around the image whose logits were computed last;
    /// None if the network has none.
    fn lipschitz_radius(
        &self,
        logits: &[f64],
        label: usize,
        arithmetic: Arithmetic,
    ) -> Option<f64> {
        let certifier = self.certifier;
        let lipschitz = certifier.lipschitz.as_ref().ok()?;
        let norm = |id: &ValueId| {
            let squares = self.evaluator.value(*id).iter().map(|x| x * x);
            squares.sum::<f64>().sqrt()
        };
        let norms: Vec<f64> = certifier.values.iter().map(norm).collect();
        let EndRounding { rounding, end } = certifier.runtime;
        let (rounding, end) = match arithmetic {
            Arithmetic::Runtime => (rounding, end),
            Arithmetic::Exact => (Rounding::DOUBLE, 0.0),
        };
        Some(lipschitz.radius(&norms, logits, label, &rounding, end))
    }

    /// The radius by linear bounds around an image that is classified right; 0 without any.
    fn linear_radius(&mut self, image: &[f32], logits: &[f64], label: usize) -> f64 {
        let runners_up = self.runners_up(logits, label);
        let Some(propagation) = &mut self.propagation else {
            return 0.0;
        };
        let InputBox { lower, upper } = self.certifier.input_box;
        let domain = PerturbationBox::new(image, lower, upper);
        let least = |numbers: &mut dyn Iterator<Item = f64>| numbers.fold(f64::INFINITY, f64::min);
        let nearest = least(&mut runners_up.iter().map(|other| other.distance));
        let is_affine = propagation.layers().activations.is_empty();
        let search = RadiusSearch {
            margin_at_zero: least(&mut runners_up.iter().map(|other| other.margin)),
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

    /// What a query about an image needs.
    pub(super) fn neighbourhood(&mut self, image: &[f32], label: usize) -> Neighbourhood {
        let InputBox { lower, upper } = self.certifier.input_box;
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
