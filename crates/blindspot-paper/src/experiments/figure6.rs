//! Figure 6 (section 4.1): a classifier of one class on features that were learned without labels.

use std::collections::BTreeMap;
use std::path::Path;

use blindspot::classify::predictions;
use blindspot::examples::write_arrays;
use blindspot::inputs::{InMemory, read_batch};
use blindspot::picture::Picture;
use blindspot::run::monitor::Monitor;
use blindspot::run::random::Stream;
use blindspot::search::{Criterion, Example, SearchOptions, Target, search};
use blindspot_data::ImageSet;
use blindspot_data::files;
use blindspot_net::{Network, onnx};
use blindspot_report::{Artifact, Cell, Table, sheet_png};
use serde::{Deserialize, Serialize};

use super::figure5::{self, MAGNIFIED};
use super::pictures::{Pair, pair, perturbation};
use super::{Experiment, Needs, Source, note};
use crate::page::{Figure, Section};
use crate::quocnet::{
    Cost, Judgement, Labelled, Learned, Plan, StageRecord, Untrained, costs, filters, judge,
    kept_or_learned, ladder, untrained,
};
use crate::reproduce::{Options, ReproduceError};
use crate::results::{Pictures, Results};
use crate::session::Session;

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
    ..Experiment::NOTHING
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
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
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
    pub judgement: Judgement,
    /// The same of `random weights`, of the `first weights` that training began with, of `one stage`, of
    /// `no contrast normalisation` and of `raw pixels`.
    pub controls: BTreeMap<String, Judgement>,
    /// How each stage's training went.
    pub stages: Vec<StageRecord>,
    /// What was trained and how.
    pub plan: Plan,
    /// SHA-256 of the classifier's file.
    pub sha256: String,
    /// Fraction of the class's images that are not recognised after the change.
    pub fooled: f64,
    /// Mean of their distortions.
    pub distortion_mean: f64,
    /// Images of the class that are not recognised any more.
    pub away: QuocNetDirection,
    /// Other images that are taken for it.
    pub towards: QuocNetDirection,
    /// What this size costs, and larger ones up to the paper's.
    pub costs: Vec<Cost>,
}

/// Images changed for the classifier of figure 6 in one direction, each right before.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct QuocNetDirection {
    /// Images changed.
    pub samples: u64,
    /// Fraction that it answers wrong after the change.
    pub fooled: f64,
    /// Mean of the distortions.
    pub distortion_mean: f64,
    /// Of these images, those that a network trained from another seed gets right as they are.
    pub other_samples: u64,
    /// The fraction of those that it gets wrong after the change.
    pub other_fooled: f64,
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
    /// Those that classifiers are trained on, balanced, and those that they are tried on.
    train: Labelled,
    test: Labelled,
    class: &'a str,
    seed: u64,
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
    let study = Study::new(&images, class, options.seed, monitor)?;
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
        class: class.to_owned(),
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
        seed: u64,
        monitor: &'a dyn Monitor,
    ) -> Result<Study<'a>, ReproduceError> {
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
        let labelled = |indices: &[usize]| Labelled::all(indices, |index| labels[index] == 1);
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
            monitor,
        })
    }

    fn learn(&self, plan: &Plan, seed: u64, path: &Path) -> Result<Learned, ReproduceError> {
        let known = self.images.select(&self.known);
        let session = Session::new(seed).with_monitor(self.monitor);
        Ok(kept_or_learned(plan, &known, path, &session)?)
    }

    /// How good the features are, and their network with a classifier on top; the images themselves
    /// without one.
    fn judge(
        &self,
        features: Option<&Network<f32>>,
    ) -> Result<(Judgement, Option<Network<f32>>), ReproduceError> {
        let (train, test, seed) = (&self.train, &self.test, self.seed);
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

/// The features of the last stage beside the controls.
fn features_table(results: &QuocNet, quick: bool) -> Table {
    let heads = [
        "features",
        "number",
        "average precision",
        "balanced",
        "balanced accuracy",
        "accuracy",
        "best neuron",
    ];
    let row = |(name, judgement): (&str, &Judgement)| {
        vec![
            Cell::Text(name.to_owned()),
            Cell::Count(judgement.features),
            Cell::Rate(judgement.average_precision, None),
            Cell::Rate(judgement.average_precision_balanced, None),
            Cell::Rate(judgement.balanced_accuracy, None),
            Cell::Rate(judgement.accuracy, None),
            Cell::Rate(judgement.best_neuron_accuracy, None),
        ]
    };
    let own = std::iter::once(("QuocNet, all stages", &results.judgement));
    let controls = results.controls.iter();
    let all = own.chain(controls.map(|(name, judgement)| (name.as_str(), judgement)));
    let QuocNet {
        class,
        images,
        tested,
        ..
    } = results;
    let method = format!(
        "`{class}` against the rest by logistic regression, learned from {images} images, tried on \
         {tested} others; average precision and accuracy of all of these, balanced with as many others \
         as there are of the class. The best neuron: one feature alone, its threshold and itself chosen \
         on the former images; balanced accuracy."
    );
    Table {
        title: "QuocNet: what features are worth that were learned without labels".into(),
        note: note(quick, &method),
        heads: heads.map(str::to_owned).to_vec(),
        rows: all.map(row).collect(),
    }
}

/// How each stage was trained.
fn stages_table(results: &QuocNet, quick: bool) -> Table {
    let heads = [
        "stage",
        "positions",
        "numbers in a field",
        "maps",
        "weights",
        "steps",
        "error before",
        "error",
        "principal components",
    ];
    let row = |(i, stage): (usize, &StageRecord)| {
        vec![
            Cell::Count(i as u64 + 1),
            Cell::Text(format!("{}x{}", stage.grid[0], stage.grid[1])),
            Cell::Count(stage.field_len as u64),
            Cell::Count(stage.maps as u64),
            Cell::Count(stage.weights),
            Cell::Count(stage.steps),
            Cell::Rate(stage.error_before, None),
            Cell::Rate(stage.error, None),
            Cell::Rate(stage.error_pca, None),
        ]
    };
    let method = "Error: of the reconstruction of images held out, squared, as a part of their sum of \
                  squares. Principal components: what they leave of each field, as many as there are \
                  maps, chosen for this error alone and for single fields.";
    Table {
        title: "QuocNet: how the stages put images together again".into(),
        note: note(quick, method),
        heads: heads.map(str::to_owned).to_vec(),
        rows: results.stages.iter().enumerate().map(row).collect(),
    }
}

/// What sizes cost, up to the paper's.
pub fn costs_table(costs: &[Cost]) -> Table {
    let heads = [
        "images",
        "fields",
        "maps",
        "weights",
        "trained",
        "memory, GB",
        "forward, GFLOP",
        "training, GFLOP",
    ];
    let row = |cost: &Cost| {
        vec![
            Cell::Text(format!("{0}x{0}", cost.input)),
            Cell::Text(format!("{0}x{0}", cost.field)),
            Cell::Count(cost.maps),
            Cell::Count(cost.weights),
            Cell::Count(cost.trained),
            Cell::Figure(Some(cost.training_bytes as f64 / 1e9), None),
            Cell::Figure(Some(cost.forward / 1e9), None),
            Cell::Figure(Some(cost.training / 1e9), None),
        ]
    };
    Table {
        title: "QuocNet: what a size costs".into(),
        note: "Fields and maps of the first stage. Trained: with the weights that put images together \
               again. Memory: of training, a stage at a time, in single precision. Floating-point \
               operations of one image."
            .into(),
        heads: heads.map(str::to_owned).to_vec(),
        rows: costs.iter().map(row).collect(),
    }
}

/// A difference is visible from this value on.
const VISIBLE: f32 = 0.2;
/// Differences are never magnified more than this.
const MAX_MAGNIFIED: f32 = 1e6;
/// Images in a row of the figure.
const GROUPS: usize = 4;

/// By which power of ten the differences are magnified: at least 10, and so much that the largest of
/// them is visible.
fn magnification(pairs: &[Pair]) -> f32 {
    let values = pairs
        .iter()
        .flat_map(|pair| perturbation(pair, 1.0, 0.0).values);
    let largest = values.fold(0.0, |max: f32, value| max.max(value.abs()));
    let mut magnified = MAGNIFIED;
    while magnified * largest < VISIBLE && magnified < MAX_MAGNIFIED {
        magnified *= 10.0;
    }
    magnified
}

/// As the paper has it: recognised, not recognised, and the magnitude of the difference, magnified;
/// such a group for each image (PNG).
fn png(pairs: &[Pair]) -> Vec<u8> {
    let magnified = magnification(pairs);
    let difference = |pair: &Pair| {
        let mut difference = perturbation(pair, magnified, 0.0);
        let values = difference.values.iter_mut();
        values.for_each(|value| *value = value.abs());
        difference
    };
    let group = |pair: &Pair| {
        vec![
            pair.original.clone(),
            pair.perturbed.clone(),
            difference(pair),
        ]
    };
    let rows = pairs.chunks(GROUPS);
    let rows = rows.map(|row| row.iter().map(group).collect());
    sheet_png(&rows.collect::<Vec<_>>())
}

fn files(pictures: &Pictures) -> Vec<Artifact> {
    let names = ["figure6", "figure6-other"].into_iter();
    let made = names
        .zip(&pictures.figure6)
        .filter(|(_, pairs)| !pairs.is_empty());
    let file = |(name, pairs): (&str, &Vec<Pair>)| Artifact {
        name: format!("{name}.png"),
        bytes: png(pairs),
    };
    made.map(file).collect()
}

fn section(results: &Results, pictures: &Pictures) -> Option<Section> {
    let captions = captions(results.quocnet.as_ref()?).into_iter();
    let made = captions
        .zip(&pictures.figure6)
        .filter(|(_, pairs)| !pairs.is_empty());
    let figure = |(caption, pairs): (String, &Vec<Pair>)| {
        let shown = figure5::shown(pairs);
        Figure::of_png(
            &png(shown),
            "Groups of three: an image that is answered rightly, the changed one that is not, and the \
             magnitude of the difference, magnified",
            vec![format!(
                "{caption} The difference is magnified {} times.",
                magnification(shown)
            )],
        )
    };
    let figures: Vec<Figure> = made.map(figure).collect();
    (!figures.is_empty()).then_some(Section::Figures {
        title: "Figure 6: a classifier on features learned without labels, and what fools it",
        figures,
    })
}

/// What is said below figure 6.
fn captions(results: &QuocNet) -> Vec<String> {
    let class = &results.class;
    let direction = |what: &str, direction: &QuocNetDirection| {
        let QuocNetDirection {
            samples,
            fooled,
            distortion_mean,
            other_samples,
            other_fooled,
            ..
        } = direction;
        format!(
            "{samples} {what}: {:.0}% of them, average distortion {distortion_mean:.6}; a network \
             trained from another seed gets {:.1}% of those wrong that it knows ({other_samples}).",
            100.0 * fooled,
            100.0 * other_fooled
        )
    };
    vec![
        direction(
            &format!("recognised images of `{class}`, changed until they are not recognised"),
            &results.away,
        ),
        direction(
            &format!("other images, changed until they are taken for `{class}`"),
            &results.towards,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_magnified_by_as_many_powers_of_ten_as_bring_the_largest_into_sight() {
        let grey = |value: f32| Picture {
            width: 2,
            height: 2,
            values: vec![value; 4],
        };
        let pair = |perturbed| Pair {
            original: grey(0.2),
            perturbed: grey(perturbed),
            label: 1,
            prediction_before: 1,
            prediction: 2,
            distortion: 0.1,
        };
        assert_eq!(magnification(&[pair(0.2), pair(0.3)]), 10.0);
        assert_eq!(magnification(&[pair(0.2003)]), 1000.0);
        assert_eq!(magnification(&[pair(0.2)]), MAX_MAGNIFIED);
    }
}
