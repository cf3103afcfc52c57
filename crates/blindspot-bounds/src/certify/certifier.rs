//! The front door to certificates.

use std::time::{Duration, Instant};

use blindspot_data::ImageSet;
use blindspot_model::inputs::{InputError, Inputs};
use blindspot_model::{ExactModel, Grouping, InputBox, Model, Norm};
use blindspot_net::{Budget, Evaluator, ExactNetwork, Network, ValueId};
use blindspot_run::monitor::{Monitor, Unwatched};
use rayon::prelude::*;

use super::affine::AffineLayers;
use super::arithmetic::{Arithmetic, Rounding};
use super::cost::check_linear;
use super::curvature::CurvatureBound;
use super::ends::Ends;
use super::first_layer::FirstLayer;
use super::lipschitz::Lipschitz;
use super::lowered::Lowered;
use super::propagation::{BoundPropagation, EndRounding};
use super::worker::{Radii, Worker};
use super::{Certificate, CertifyError};

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
    pub(super) network: Network<f64>,
    /// The values whose norms Lipschitz constants need.
    pub(super) values: Vec<ValueId>,
    pub(super) input_box: InputBox,
    /// The smallest and the largest value of each input, where they are not those of the box.
    pub(super) ranges: Option<[Vec<f64>; 2]>,
    pub(super) norm: Norm,
    /// How many values count as one in L0.
    pub(super) channels: usize,
    pub(super) arithmetic: Arithmetic,
    pub(super) runtime: EndRounding,
    time_limit: Option<Duration>,
    pub(super) lipschitz: Result<Lipschitz, CertifyError>,
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
        preparation: &Preparation<'_>,
    ) -> Result<LinearBounding, CertifyError> {
        let (layers, first) = layers(network, largest, rounding, preparation)?;
        let curvature = (!preparation.is_late()).then(|| CurvatureBound::new(&layers));
        Ok(LinearBounding {
            curvature: curvature.flatten(),
            first,
            layers,
        })
    }
}

/// What the preparation of bounds may take.
pub(super) struct Preparation<'a> {
    pub(super) budget: &'a Budget,
    pub(super) deadline: Option<Instant>,
}

impl Preparation<'_> {
    /// Whether the time is up.
    fn is_late(&self) -> bool {
        !self.has_time_for(Duration::ZERO)
    }

    /// Whether there is so much time.
    pub(super) fn has_time_for(&self, time: Duration) -> bool {
        self.deadline
            .is_none_or(|deadline| Instant::now() + time < deadline)
    }
}

/// The layers of a network whose inputs have absolute values up to `largest`, and the first one's matrix.
pub(super) fn layers(
    network: &ExactNetwork,
    largest: f64,
    rounding: &Rounding,
    preparation: &Preparation<'_>,
) -> Result<(AffineLayers, FirstLayer), CertifyError> {
    let lowered = Lowered::new(network)?;
    check_linear(lowered.network.network(), preparation.budget)?;
    let layers = AffineLayers::new(&lowered, largest, rounding)?;
    let first = &layers.affine[0];
    if first.inputs.saturating_mul(first.outputs) > MAX_FIRST_ENTRIES {
        return Err(CertifyError::Unsupported {
            node: "the first layer".into(),
            op: "Conv",
            why: "it is too large to bound each of its outputs".into(),
        });
    }
    let first = FirstLayer::until(first, preparation.deadline).ok_or(CertifyError::Late)?;
    Ok((layers, first))
}

/// Checks that the rounding of all weights has a bound.
pub(super) fn check_weights(exact: &ExactNetwork) -> Result<(), CertifyError> {
    let mut weights = exact.network().graph().weights().iter().enumerate();
    let unknown =
        |weight| !exact.is_of_file(weight) && exact.magnitudes(weight).contains(&f64::MAX);
    match weights.find(|&(weight, _)| unknown(weight)) {
        Some((_, weight)) => Err(CertifyError::Model(format!(
            "weight `{}`: the file computes it from other constants by an operator whose rounding has \
             no bound here; simplify the model (onnxsim), so that it is a constant",
            weight.name
        ))),
        None => Ok(()),
    }
}

/// A model with the numbers of its file.
pub(super) fn exact(model: &Model) -> Result<ExactModel, CertifyError> {
    let exact = model.exact();
    exact.map_err(|error| CertifyError::Model(error.to_string()))
}

/// The budget without what a model takes in both forms, which is in memory already.
pub(super) fn left(model: &Model, exact: &ExactNetwork) -> Budget {
    let doubles = (exact.network().parameters() * size_of::<f64>()) as u64;
    model.budget().less(model.weight_bytes() + doubles)
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
        Certifier::of_model(model, Ends::default(), input_box, None)
    }

    /// Prepares the certificates of a model by a deadline, which is a part of the time that they may take: what bounds
    /// need that would not be there by then is left out. Layers whose norms would take longer have bounds of these
    /// that take a sum; without linear bounds certificates rest on the layers' norms alone, as
    /// [`limits`](Certifier::limits) says.
    ///
    /// # Errors
    /// [`CertifyError::Late`] if there is time for no bounds at all, and [`CertifyError`] as of
    /// [`new`](Certifier::new).
    pub fn in_box_until(
        model: &Model,
        input_box: InputBox,
        deadline: Instant,
    ) -> Result<Certifier, CertifyError> {
        Certifier::of_model(model, Ends::default(), input_box, Some(deadline))
    }

    /// Prepares the certificates of a model with small networks at its ends, for inputs of the first one in a box.
    ///
    /// # Errors
    /// [`CertifyError::Model`] if these don't fit the model, and [`CertifyError`] as of [`in_box`](Certifier::in_box).
    pub fn with_ends(
        model: &Model,
        ends: Ends,
        input_box: InputBox,
    ) -> Result<Certifier, CertifyError> {
        Certifier::of_model(model, ends, input_box, None)
    }

    fn of_model(
        model: &Model,
        ends: Ends,
        input_box: InputBox,
        deadline: Option<Instant>,
    ) -> Result<Certifier, CertifyError> {
        let model_itself = exact(model)?;
        let budget = left(model, &model_itself.network);
        let rounding = Rounding::of(model.precision());
        let end = if model_itself.softmax_left_out && ends.behind.is_none() {
            rounding.of_softmax(model_itself.network.network().output_len())
        } else {
            0.0
        };
        let runtime = EndRounding { rounding, end };
        let whole = ends.around(model_itself.network)?;
        Certifier::prepared(&whole, input_box, runtime, &budget, deadline)
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
        Certifier::prepared(exact, input_box, runtime, budget, None)
    }

    /// Prepares certificates by a deadline, if there is one.
    pub(super) fn prepared(
        exact: &ExactNetwork,
        input_box: InputBox,
        runtime: EndRounding,
        budget: &Budget,
        deadline: Option<Instant>,
    ) -> Result<Certifier, CertifyError> {
        let network = exact.network();
        if network.output_len() < 2 {
            return Err(CertifyError::Classes(network.output_len()));
        }
        check_weights(exact)?;
        let largest = f64::from(input_box.lower.abs().max(input_box.upper.abs()));
        let preparation = Preparation { budget, deadline };
        let linear = LinearBounding::new(exact, largest, &runtime.rounding, &preparation);
        let lipschitz = Lipschitz::new(exact, &preparation);
        if let (Err(_), Err(why)) = (&lipschitz, &linear) {
            return Err(why.clone());
        }
        let graph = network.graph();
        let outputs = graph.nodes().iter().map(|node| node.output);
        Ok(Certifier {
            values: [graph.input()].into_iter().chain(outputs).collect(),
            network: network.clone(),
            input_box,
            ranges: None,
            norm: Norm::default(),
            channels: 1,
            arithmetic: Arithmetic::default(),
            runtime,
            time_limit: None,
            lipschitz,
            linear,
        })
    }

    /// The norm of the radii; L2 by default. In [`Norm::L0`] a radius is a number of values: no change
    /// of fewer than so many values changes the answer.
    pub fn norm(mut self, norm: Norm) -> Certifier {
        if let Ok(linear) = &mut self.linear {
            linear.first.set_norm(&linear.layers.affine[0], norm);
        }
        Certifier { norm, ..self }
    }

    /// Gives each input value a range of its own, within the input box: perturbations beyond it don't count.
    ///
    /// # Errors
    /// [`CertifyError::Size`] unless both ends have a number for each input value.
    pub fn ranges(self, lower: Vec<f64>, upper: Vec<f64>) -> Result<Certifier, CertifyError> {
        let network = self.input_len();
        if let Some(ends) = [&lower, &upper]
            .into_iter()
            .find(|ends| ends.len() != network)
        {
            let image = ends.len();
            return Err(CertifyError::Size { network, image });
        }
        let ranges = Some([lower, upper]);
        Ok(Certifier { ranges, ..self })
    }

    /// What [`Norm::L0`] counts; values by default. A change of p pixels is one of at most p times the
    /// channels values, so that what is certified of pixels follows from what is of values.
    pub fn grouping(self, grouping: Grouping) -> Certifier {
        let channels = grouping.channels(self.network.input_shape());
        Certifier { channels, ..self }
    }

    /// The arithmetic in which answers are certified; that of any runtime by default.
    pub fn arithmetic(self, arithmetic: Arithmetic) -> Certifier {
        Certifier { arithmetic, ..self }
    }

    /// Spends up to this long on the certificates of [`certify`](Certifier::certify), a year at most:
    /// on the first bounds, the cheap ones before the others ([`certify_until`](Certifier::certify_until)),
    /// and with what is left to refine them, if [`refines`](Certifier::refines) says that more time
    /// helps. They stay sound, but how large they become then depends on the machine. Without a limit the
    /// first bounds take as long as they take, and nothing is refined.
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
                "on the first bounds, with a time limit or without: it takes ReLUs (in L2, Linf or L1), or in L2 one \
                 or two fully connected layers of sigmoid or tanh units below the last"
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
        let Some(limit) = self.time_limit else {
            return self.certify_inputs(images, labels, &all, &Unwatched);
        };
        let deadline = began + limit;
        let mut certificates = self.certify_until(images, labels, &all, deadline, &Unwatched)?;
        self.refine(&mut certificates, images, deadline, &Unwatched)?;
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
        self.certify_within(inputs, labels, positions, None, monitor)
    }

    /// Certifies the images at `positions` of a set by a deadline, like
    /// [`certify_inputs`](Certifier::certify_inputs): each image has its share of the time that is left.
    /// The product of the layers' bounds comes first, whatever the time, then intervals, which take a few
    /// evaluations of the network; they are kept where linear bounds don't come in time. So how large
    /// certificates become depends on the machine where the time is short; they are sound all the same.
    ///
    /// # Errors
    /// [`CertifyError`] as of [`certify_inputs`](Certifier::certify_inputs).
    pub fn certify_until(
        &self,
        inputs: &(impl Inputs + ?Sized),
        labels: &[usize],
        positions: &[usize],
        deadline: Instant,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Certificate>, CertifyError> {
        self.certify_within(inputs, labels, positions, Some(deadline), monitor)
    }

    fn certify_within(
        &self,
        inputs: &(impl Inputs + ?Sized),
        labels: &[usize],
        positions: &[usize],
        deadline: Option<Instant>,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Certificate>, CertifyError> {
        self.check(inputs.input_len(), positions.iter().map(|&i| labels[i]))?;
        // Threads share what is left of the time between the images that are left.
        let threads = rayon::current_num_threads() as u32;
        let share = |deadline: Instant, done: u64| {
            let (now, left) = (Instant::now(), positions.len() as u64 - done);
            let time = deadline.saturating_duration_since(now);
            now + time * threads.min(left as u32) / (left as u32).max(1)
        };
        self.certify_each(positions.len(), monitor, |worker, i, done| {
            let position = positions[i];
            let mut image = vec![0.0; self.input_len()];
            inputs.read(position, &mut image)?;
            let label = labels[position];
            let deadline = deadline.map(|deadline| share(deadline, done));
            let Radii { radius, lipschitz } = worker.certify(&image, label, deadline);
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

    /// The certificates that `certify` makes of each of `count` images, all at once, told how many are
    /// done; those finished if the monitor cancels the work.
    fn certify_each(
        &self,
        count: usize,
        monitor: &dyn Monitor,
        certify: impl Fn(&mut Worker<'_>, usize, u64) -> Result<Certificate, InputError> + Sync,
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
                    let before = done.load(std::sync::atomic::Ordering::Relaxed);
                    let certificate = certify(worker, i, before)?;
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

    /// The curvature bound, which is one in L2.
    pub(super) fn curvature(&self) -> Option<&CurvatureBound> {
        let linear = self.linear.as_ref().ok()?;
        linear.curvature.as_ref().filter(|_| self.norm == Norm::L2)
    }
}
