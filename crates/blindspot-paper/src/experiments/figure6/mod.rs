//! Figure 6 (section 4.1): a classifier of one class on features that were learned without labels.

mod pictures;
mod tables;

use std::collections::BTreeMap;
use std::path::Path;

use blindspot::classify::predictions;
use blindspot::examples::write_arrays;
use blindspot::inputs::{InMemory, read_batch};
use blindspot::picture::Picture;
use blindspot::run::communicator::SingleProcess;
use blindspot::run::monitor::Monitor;
use blindspot::run::random::Stream;
use blindspot::search::{Criterion, Example, SearchOptions, Target};
use blindspot_data::ImageSet;
use blindspot_data::files;
use blindspot_net::{Network, onnx};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pictures::{Pair, pair};
use super::{Experiment, Needs, Source};
use crate::quocnet::{
    BinaryLabels, Cost, Evaluation, Learned, Plan, StageRecord, Untrained, costs, evaluate,
    filters, kept_or_learned, ladder, untrained,
};
use crate::reproduce::{KeptSearch, Options, ReproduceError};
use crate::session::Session;
use pictures::{captions, files, section};
pub use tables::costs_table;
use tables::{features_table, stages_table};

/// Figure 6.
pub static EXPERIMENT: Experiment = Experiment {
    name: "figure6",
    summary: "examples for a classifier on features that are learned without labels",
    needs: Needs::source(Source::OwnImages),
    by_default: false,
    run: |run, results, pictures| {
        let (images, class) = run.own_images()?;
        let outcome = figure6(images, class, run.options, run.out, run.monitor)?;
        results.quocnet = Some(outcome.figure);
        pictures.figure6 = outcome.pairs;
        pictures.filters.push(("quocnet".into(), outcome.filters));
        Ok(())
    },
    tables: |results| {
        let Some(figure) = &results.quocnet else {
            return Vec::new();
        };
        vec![
            ("quocnet", features_table(figure, results.quick)),
            ("quocnet-stages", stages_table(figure, results.quick)),
            ("quocnet-costs", costs_table(&figure.costs)),
        ]
    },
    lines: |results| {
        let figure = results.quocnet.as_ref()?;
        Some(format!("Figure 6\n{}\n", captions(figure).join("\n")))
    },
    files,
    section,
};

/// The margin that the wrong class must reach, in logits, which are some units apart on clean images.
/// On the decision boundary both logits are 0, so a margin that is small beside them would be less than
/// another runtime's rounding.
const MARGIN: f64 = 1e-3;
/// Images that are perturbed in each direction, as in figure 5.
const IMAGES: usize = 64;
/// One image of this many is kept for the tests of the classifier.
const TESTED: usize = 6;
/// The most images of a quick look.
const QUICK_IMAGES: usize = 600;
/// Coefficients of the classifier's sum of squares beside its mean loss, to choose from.
const DECAYS: [f64; 3] = [0.01, 0.05, 0.25];

/// Figure 6: a classifier of one class on features learned without labels.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, JsonSchema)]
pub struct QuocNet {
    /// The image set, as it is called.
    pub data: String,
    /// The class that is told from the rest.
    pub class: String,
    /// Images that features and classifiers were learned from.
    pub images: u64,
    /// Images that they were tried on.
    pub tested: u64,
    /// The features of the last stage.
    #[serde(flatten)]
    pub evaluation: Evaluation,
    /// Other features to compare with: `random weights`, the `first weights` that training began with,
    /// `one stage`, `no contrast normalisation` and `raw pixels`.
    pub controls: BTreeMap<String, Evaluation>,
    /// How each stage's training went.
    pub stages: Vec<StageRecord>,
    /// What was trained and how.
    pub plan: Plan,
    /// SHA-256 of the classifier's file.
    pub sha256: String,
    /// Fraction of the class's images that are not recognised after the change.
    pub fooled: f64,
    /// Mean of their distortions; None of no image.
    pub distortion_mean: Option<f64>,
    /// Images of the class that are not recognised any more.
    pub away: QuocNetDirection,
    /// Other images that are taken for it.
    pub towards: QuocNetDirection,
    /// What this size costs, and larger ones up to the paper's.
    pub costs: Vec<Cost>,
}

/// Images changed for the classifier of figure 6 in one direction, each right before.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, JsonSchema)]
pub struct QuocNetDirection {
    /// Images changed.
    pub samples: u64,
    /// Fraction that it answers wrong after the change.
    pub fooled: f64,
    /// Mean of the distortions of these; None of no image.
    pub distortion_mean: Option<f64>,
    /// Of these images, those that a network trained from another seed gets right as they are.
    pub other_samples: u64,
    /// The fraction of those that it gets wrong after the change; None of no image.
    pub other_fooled: Option<f64>,
    /// Positions of the images in the set.
    pub images: Vec<u64>,
    /// The distortion of each.
    pub distortions: Vec<f64>,
}

/// A class against the rest, and which images are learned from.
struct Study<'a> {
    images: &'a ImageSet,
    /// 1 for the class, 0 for others.
    labels: Vec<usize>,
    /// Images that features and classifiers are learned from.
    known: Vec<usize>,
    /// The images that classifiers are trained on, balanced.
    train: BinaryLabels,
    /// The images that classifiers are tried on.
    test: BinaryLabels,
    class: &'a str,
    seed: u64,
    overwrite: bool,
    monitor: &'a dyn Monitor,
}

/// What figure 6 leaves.
struct Outcome {
    /// For `results.json`.
    figure: QuocNet,
    /// Images of the class that are not recognised any more, then others that are taken for it.
    pairs: [Vec<Pair>; 2],
    /// Filters of the first stage.
    filters: Vec<Picture>,
}

/// Learns features from two seeds, trains classifiers on them and on the controls, and perturbs 64
/// images of the class until they are not recognised, and 64 others until they are. Networks are kept in
/// `out/models` and used again; examples are kept in `out/figure6.npz` and `out/figure6-other.npz`.
///
/// # Errors
/// [`ReproduceError`], also if there is no class of that name, or none of its images is recognised.
fn figure6(
    images: &ImageSet,
    class: &str,
    options: &Options,
    out: &Path,
    monitor: &dyn Monitor,
) -> Result<Outcome, ReproduceError> {
    let images = if options.quick {
        images.shuffled(images.len().min(QUICK_IMAGES), options.seed)
    } else {
        images.clone()
    };
    let plan = &if options.quick {
        Plan::quick()
    } else {
        Plan::small()
    };
    let study = Study::new(&images, class, options, monitor)?;
    let folder = out.join("models");
    files::make_folder(&folder)?;
    let unnormalised = Plan {
        normalise: false,
        ..plan.clone()
    };
    let [first, second] = [options.seed, options.seed.wrapping_add(1)];
    let learned = study.learn(plan, first, &folder.join("quocnet.onnx"))?;
    let other = study.learn(plan, second, &folder.join("quocnet-other.onnx"))?;
    let without = folder.join("quocnet-unnormalised.onnx");
    let without = study.learn(&unnormalised, first, &without)?;
    let [random, begun] = [Untrained::Independent, Untrained::First]
        .map(|kind| untrained(plan, kind, &images.select(&study.known), first));
    let one_stage = learned.network.graph().find("stage1");
    let one_stage = one_stage.expect("the first stage has this name");

    let (evaluation, network) = study.evaluate(Some(&learned.network))?;
    let network = network.expect("there are features below it");
    let (_, other) = study.evaluate(Some(&other.network))?;
    let other = other.expect("there are features below it");
    let controls = [
        ("random weights", Some(random?)),
        ("first weights", Some(begun?)),
        ("one stage", Some(learned.network.up_to(one_stage))),
        ("no contrast normalisation", Some(without.network)),
        ("raw pixels", None),
    ];
    let mut evaluated = BTreeMap::new();
    for (name, features) in controls {
        let (evaluation, _) = study.evaluate(features.as_ref())?;
        evaluated.insert(name.to_owned(), evaluation);
    }
    let bytes = onnx::write(
        &network,
        &BTreeMap::from([("name".into(), "quocnet car".into())]),
    );
    files::write_atomically(&folder.join("quocnet-classifier.onnx"), |writer| {
        writer.write_all(&bytes)
    })?;

    let file = |name: &str| out.join(format!("{name}.npz"));
    let (away, cars) = study.change(&network, &other, 1, &file("figure6"))?;
    let (towards, others) = study.change(&network, &other, 0, &file("figure6-other"))?;
    let side = images.shape()[1].min(images.shape()[2]);
    let figure = QuocNet {
        data: images.name().to_owned(),
        class: class.to_owned(),
        images: study.known.len() as u64,
        tested: study.test.indices.len() as u64,
        evaluation,
        controls: evaluated,
        stages: learned.stages.clone(),
        plan: plan.clone(),
        sha256: files::sha256_hex(&bytes),
        fooled: away.fooled,
        distortion_mean: away.distortion_mean,
        away,
        towards,
        costs: costs(&ladder(side, plan))?,
    };
    Ok(Outcome {
        figure,
        pairs: [cars, others],
        filters: filters(&learned.network),
    })
}

impl Study<'_> {
    fn new<'a>(
        images: &'a ImageSet,
        class: &'a str,
        options: &Options,
        monitor: &'a dyn Monitor,
    ) -> Result<Study<'a>, ReproduceError> {
        let seed = options.seed;
        let unlabelled = || ReproduceError::Unlabelled(images.name().to_owned());
        let labels = images.labels().ok_or_else(unlabelled)?;
        let names = images.classes().unwrap_or_default();
        let named = names.iter().position(|name| name == class);
        // Classes without names have numbers.
        let number = || class.parse().ok().filter(|_| names.is_empty());
        let number = named.or_else(number);
        let number = number.ok_or_else(|| ReproduceError::NoClass {
            class: class.to_owned(),
            known: names.to_vec(),
        })?;
        let labels: Vec<usize> = labels
            .iter()
            .map(|&label| (label == number).into())
            .collect();
        let order = Stream::new(seed, "images tested", 0).order(images.len());
        let (test, known) = order.split_at(images.len() / TESTED);
        let mut known = known.to_vec();
        known.sort_unstable();
        let labelled = |indices: &[usize]| BinaryLabels::all(indices, |index| labels[index] == 1);
        let (train, test) = (labelled(&known).balanced(seed), labelled(test));
        for part in [&train, &test] {
            if !part.positive.contains(&true) || !part.positive.contains(&false) {
                return Err(ReproduceError::OneClass(class.to_owned()));
            }
        }
        Ok(Study {
            images,
            labels,
            known,
            train,
            test,
            class,
            seed,
            overwrite: options.overwrite,
            monitor,
        })
    }

    fn learn(&self, plan: &Plan, seed: u64, path: &Path) -> Result<Learned, ReproduceError> {
        let known = self.images.select(&self.known);
        let session = Session::new(seed).with_monitor(self.monitor);
        let session = session.with_overwrite(self.overwrite);
        Ok(kept_or_learned(plan, &known, path, &session)?)
    }

    /// How good the features are, and their network with a classifier on top; the images themselves
    /// without one.
    fn evaluate(
        &self,
        features: Option<&Network<f32>>,
    ) -> Result<(Evaluation, Option<Network<f32>>), ReproduceError> {
        let (train, test, seed) = (&self.train, &self.test, self.seed);
        let (evaluation, linear) = evaluate(
            features,
            self.images,
            train,
            test,
            &DECAYS,
            seed,
            self.monitor,
        )?;
        let network = features.map(|network| linear.on(network)).transpose()?;
        Ok((evaluation, network))
    }

    /// Perturbs images of a label that the network gets right until it is wrong; keeps them in `file`.
    fn change(
        &self,
        network: &Network<f32>,
        other: &Network<f32>,
        label: usize,
        file: &Path,
    ) -> Result<(QuocNetDirection, Vec<Pair>), ReproduceError> {
        let of_label = self.test.indices.iter().copied();
        let of_label: Vec<usize> = of_label.filter(|&i| self.labels[i] == label).collect();
        let answers = predictions(network, &self.images.select(&of_label))?;
        let right = of_label
            .iter()
            .zip(answers)
            .filter(|&(_, answer)| answer == label);
        let right: Vec<usize> = right.map(|(&index, _)| index).take(IMAGES).collect();
        if right.is_empty() {
            let name = format!("the classifier of {}", self.class);
            return Err(ReproduceError::NoneKnown(name, of_label.len()));
        }
        let options = SearchOptions::default()
            .target(Target::Untargeted)
            .seed(self.seed)
            .criterion(Criterion {
                confidence: MARGIN,
                ..Criterion::default()
            });
        let (images, labels) = (self.images, &self.labels);
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let sha256 = files::sha256_hex(&onnx::write(network, &BTreeMap::new()));
        let search = KeptSearch {
            name: &name,
            network,
            model_sha256: &sha256,
            images,
            labels,
            sample: &right,
            options: &options,
        };
        let out = file.parent().unwrap_or(Path::new(""));
        let examples = search.run(out, &SingleProcess, self.monitor)?;
        let examples = examples.ok_or(ReproduceError::Cancelled(out.to_owned()))?;
        let originals: Vec<usize> = examples.iter().map(|example| example.position).collect();
        let mut values = vec![0.0; originals.len() * images.image_len()];
        read_batch(images, originals.into_iter(), &mut values)?;
        write_arrays(file, &examples, &values, None, &images.shape())?;
        let changed = examples.iter().flat_map(|example| &example.adversarial);
        let changed = InMemory::new(changed.copied().collect(), images.image_len());
        // Of the images that the other network gets right as they are.
        let before = predictions(other, &images.select(&right))?;
        let after = predictions(other, &changed)?;
        let both = before
            .iter()
            .zip(&after)
            .filter(|&(&before, _)| before == label);
        let (known, wrong) = both.fold((0usize, 0usize), |(known, wrong), (_, &after)| {
            (known + 1, wrong + usize::from(after != label))
        });
        let fooled = || examples.iter().filter(|example| example.success);
        let (count, total) = (
            fooled().count(),
            fooled().map(Example::distortion).sum::<f64>(),
        );
        let direction = QuocNetDirection {
            samples: examples.len() as u64,
            fooled: count as f64 / examples.len() as f64,
            distortion_mean: (count > 0).then(|| total / count as f64),
            other_samples: known as u64,
            other_fooled: (known > 0).then(|| wrong as f64 / known as f64),
            images: examples
                .iter()
                .map(|example| example.index as u64)
                .collect(),
            distortions: examples.iter().map(Example::distortion).collect(),
        };
        let pairs = examples.iter().map(|example| pair(images, example));
        Ok((direction, pairs.collect::<Result<_, _>>()?))
    }
}
