//! Figure 6 (section 4.1): a classifier of one class on features that were learned without labels.

use std::collections::BTreeMap;
use std::path::Path;

use blindspot_data::ImageSet;
use blindspot_data::files;
use blindspot_net::{Network, onnx};

use super::ReproduceError;
use super::figures::pair;
use crate::quocnet::{
    Judgement, Labelled, Learned, Plan, Untrained, costs, filters, judge, kept_or_learned, ladder,
    untrained,
};
use crate::results::{Pair, QuocNet, QuocNetDirection};
use blindspot::classify::predictions;
use blindspot::examples::write_arrays;
use blindspot::inputs::{InMemory, read_batch};
use blindspot::picture::Picture;
use blindspot::run::monitor::Monitor;
use blindspot::run::random::Stream;
use blindspot::search::{Criterion, Example, SearchOptions, Target, search};

/// By how much the wrong class must lead, in logits, which are some units apart on images as they are.
/// Where one class ends and the other begins both logits are 0, so that a lead that is small beside them
/// would be less than another runtime's rounding.
const LEAD: f64 = 1e-3;
/// Images that are changed in each direction, as in figure 5.
const IMAGES: usize = 64;
/// Of so many images one is kept for the tests of the classifier.
const TESTED: usize = 6;
/// Of a quick look, at most so many images.
const QUICK_IMAGES: usize = 600;
/// Coefficients of the classifier's sum of squares beside its mean loss, to choose from.
const DECAYS: [f64; 3] = [0.01, 0.05, 0.25];

/// What figure 6 takes besides images.
#[derive(Debug, Clone)]
pub struct Figure6Options {
    /// The class that is told from the rest, by its name.
    pub class: String,
    /// How the features are learned.
    pub plan: Plan,
    /// A first look: few images, one pass.
    pub quick: bool,
    /// Where every random choice comes from.
    pub seed: u64,
}

/// What figure 6 leaves.
pub struct Figure6Outcome {
    /// For `results.json`.
    pub figure: QuocNet,
    /// Images of the class that are not recognised any more, then others that are taken for it.
    pub pairs: [Vec<Pair>; 2],
    /// Filters of the first stage.
    pub filters: Vec<Picture>,
}

/// A class against the rest, and which images are learned from.
struct Study<'a> {
    images: &'a ImageSet,
    /// 1 for the class, 0 for others.
    labels: Vec<usize>,
    /// Images that features and classifiers are learned from.
    known: Vec<usize>,
    /// Those that classifiers are trained on, balanced, and those that they are tried on.
    train: Labelled,
    test: Labelled,
    options: &'a Figure6Options,
    monitor: &'a dyn Monitor,
}

/// Learns features from two seeds, trains classifiers on them and on the controls, and changes 64
/// images of the class until they are not recognised, and 64 others until they are. Networks are kept in
/// `out/models` and used again; examples are kept in `out/figure6.npz` and `out/figure6-other.npz`.
///
/// # Errors
/// [`ReproduceError`], also where there is no class of that name, or none of its images is recognised.
pub fn figure6(
    images: &ImageSet,
    options: &Figure6Options,
    out: &Path,
    monitor: &dyn Monitor,
) -> Result<Figure6Outcome, ReproduceError> {
    let images = match options.quick {
        true => images.shuffled(images.len().min(QUICK_IMAGES), options.seed),
        false => images.clone(),
    };
    let study = Study::new(&images, options, monitor)?;
    let folder = out.join("models");
    files::make_folder(&folder)?;
    let plan = &options.plan;
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

    let (judgement, network) = study.judge(Some(&learned.network))?;
    let network = network.expect("there are features below it");
    let (_, other) = study.judge(Some(&other.network))?;
    let other = other.expect("there are features below it");
    let controls = [
        ("random weights", Some(random?)),
        ("first weights", Some(begun?)),
        ("one stage", Some(learned.network.up_to(one_stage))),
        ("no contrast normalisation", Some(without.network)),
        ("raw pixels", None),
    ];
    let mut judged = BTreeMap::new();
    for (name, features) in controls {
        let (judgement, _) = study.judge(features.as_ref())?;
        judged.insert(name.to_owned(), judgement);
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
        class: options.class.clone(),
        images: study.known.len() as u64,
        tested: study.test.indices.len() as u64,
        judgement,
        controls: judged,
        stages: learned.stages.clone(),
        plan: plan.clone(),
        sha256: files::sha256_hex(&bytes),
        fooled: away.fooled,
        distortion_mean: away.distortion_mean,
        away,
        towards,
        costs: costs(&ladder(side, plan))?,
    };
    Ok(Figure6Outcome {
        figure,
        pairs: [cars, others],
        filters: filters(&learned.network),
    })
}

impl Study<'_> {
    fn new<'a>(
        images: &'a ImageSet,
        options: &'a Figure6Options,
        monitor: &'a dyn Monitor,
    ) -> Result<Study<'a>, ReproduceError> {
        let unlabelled = || ReproduceError::Unlabelled(images.name().to_owned());
        let labels = images.labels().ok_or_else(unlabelled)?;
        let names = images.classes().unwrap_or_default();
        let named = names.iter().position(|name| *name == options.class);
        // Classes without names have numbers.
        let number = || options.class.parse().ok().filter(|_| names.is_empty());
        let class = named.or_else(number);
        let class = class.ok_or_else(|| ReproduceError::NoClass {
            class: options.class.clone(),
            known: names.to_vec(),
        })?;
        let labels: Vec<usize> = labels
            .iter()
            .map(|&label| (label == class).into())
            .collect();
        let order = Stream::new(options.seed, "images tested", 0).order(images.len());
        let (test, known) = order.split_at(images.len() / TESTED);
        let mut known = known.to_vec();
        known.sort_unstable();
        let labelled = |indices: &[usize]| Labelled::all(indices, |index| labels[index] == 1);
        let (train, test) = (labelled(&known).balanced(options.seed), labelled(test));
        for part in [&train, &test] {
            if !part.positive.contains(&true) || !part.positive.contains(&false) {
                return Err(ReproduceError::OneClass(options.class.clone()));
            }
        }
        Ok(Study {
            images,
            labels,
            known,
            train,
            test,
            options,
            monitor,
        })
    }

    fn learn(&self, plan: &Plan, seed: u64, path: &Path) -> Result<Learned, ReproduceError> {
        let known = self.images.select(&self.known);
        Ok(kept_or_learned(plan, &known, seed, path, self.monitor)?)
    }

    /// How good the features are, and their network with a classifier on top; the images themselves
    /// without one.
    fn judge(
        &self,
        features: Option<&Network<f32>>,
    ) -> Result<(Judgement, Option<Network<f32>>), ReproduceError> {
        let (train, test, seed) = (&self.train, &self.test, self.options.seed);
        let (judgement, linear) = judge(
            features,
            self.images,
            train,
            test,
            &DECAYS,
            seed,
            self.monitor,
        )?;
        let network = features.map(|network| linear.on(network)).transpose()?;
        Ok((judgement, network))
    }

    /// Changes images of a label that the network gets right until it is wrong; keeps them in `file`.
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
            let name = format!("the classifier of {}", self.options.class);
            return Err(ReproduceError::NoneKnown(name, of_label.len()));
        }
        let options = SearchOptions {
            target: Target::Untargeted,
            seed: self.options.seed,
            criterion: Criterion {
                confidence: LEAD,
                ..Criterion::default()
            },
            ..SearchOptions::default()
        };
        let (images, labels) = (self.images, &self.labels);
        let examples = search(network, images, labels, &right, &options, self.monitor)?;
        if self.monitor.cancelled() {
            return Err(ReproduceError::Stopped);
        }
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
        let count = examples.len() as f64;
        let mean =
            |value: &dyn Fn(&Example) -> f64| examples.iter().map(value).sum::<f64>() / count;
        let direction = QuocNetDirection {
            samples: examples.len() as u64,
            fooled: mean(&|example| f64::from(example.success)),
            distortion_mean: mean(&Example::distortion),
            other_samples: known as u64,
            other_fooled: wrong as f64 / known.max(1) as f64,
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
