//! The way in that the commands share: a model, what stands before it, and the images for it.

use std::borrow::Cow;
use std::path::Path;

use blindspot::classify::model_predictions;
use blindspot::model::{InputBox, Interface, Model, ModelError, Outputs, read_network};
use blindspot::preprocess::{Layout, Preprocess};
use blindspot::provenance::Provenance;
use blindspot::run::monitor::Monitor;
use blindspot_data::{
    Choice, Columns, DataError, DataSpec, ImageRequest, ImageSet, Locations, ReadLimit,
    SchemaSource, read_classes,
};
use blindspot_net::onnx::OnnxError;
use blindspot_net::{Budget, Network};
use blindspot_paper::architectures;

use super::data::Download;
use super::suspect;
use crate::args::{Common, ModelArgs};
use crate::errors::{PREPROCESSING, Usage};
use crate::print::{self, of};
use crate::progress::Progress;

/// A model to be read: a file, and what was said about it.
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) interface: Interface,
    pub(super) preprocess: Preprocess,
    /// The range of an image's values.
    pub(super) input_box: InputBox,
    pub(super) budget: Budget,
    /// What the network's numbers are.
    pub(super) outputs: Outputs,
}

impl<'a> Source<'a> {
    /// The model that the command names.
    pub(super) fn of(
        args: &'a ModelArgs,
        input_box: InputBox,
        common: &Common,
    ) -> anyhow::Result<Source<'a>> {
        Ok(Source {
            path: &args.model,
            interface: Interface::from(&args.interface),
            preprocess: args.preprocess.read()?.preprocess,
            input_box,
            budget: common.budget(),
            outputs: Outputs::Classes,
        })
    }

    fn read(&self, interface: Interface) -> Result<Model, ModelError> {
        let options = Model::options()
            .interface(interface)
            .preprocess(self.preprocess.clone())
            .input_box(self.input_box)
            .outputs(self.outputs)
            .budget(self.budget);
        match alexnet(self.path) {
            Some(network) => options.from_network(network),
            None => options.open(self.path),
        }
    }
}

/// Reads a model with its preprocessing before it. Where the file leaves the size of its input open,
/// and nothing was said about it, it is the size of the images.
pub(super) fn model(
    source: &Source<'_>,
    request: &ImageRequest,
    common: &Common,
    progress: &Progress,
) -> anyhow::Result<Model> {
    let interface = source.interface.clone();
    let model = match source.read(interface.clone()) {
        Err(ModelError::Onnx {
            source: OnnxError::OpenShape { shape, .. },
            ..
        }) if interface.input_shape.is_none() => {
            let mut images = first_of(1, request, common, progress)?;
            if let Some(fit) = &request.fit {
                images = images.fitted(fit)?;
            }
            let input_shape = Some(as_input(images.shape(), shape.len(), &source.preprocess));
            source.read(Interface {
                input_shape,
                ..interface
            })?
        }
        read => read?,
    };
    tell_notes(&model, common);
    Ok(model)
}

/// Reads a model that no images go with; the file has to say the size of its input, or the user.
pub(super) fn model_alone(source: &Source<'_>, common: &Common) -> Result<Model, ModelError> {
    let model = source.read(source.interface.clone())?;
    tell_notes(&model, common);
    Ok(model)
}

/// Says how a model's file was read.
fn tell_notes(model: &Model, common: &Common) {
    if !common.quiet {
        for note in model.notes() {
            print::warning(&format!("note: {note}"));
        }
    }
}

/// The shape of images as an input that has `rank` axes, the batch's included, takes them.
fn as_input(
    [channels, height, width]: [usize; 3],
    rank: usize,
    preprocess: &Preprocess,
) -> Vec<usize> {
    match rank {
        2 => vec![channels * height * width],
        3 if channels == 1 => vec![height, width],
        _ if preprocess.layout == Layout::Nhwc => vec![height, width, channels],
        _ => vec![channels, height, width],
    }
}

/// Reads the network of a file as it is, and the hash of the file.
pub(super) fn network(
    path: &Path,
    interface: &Interface,
    budget: &Budget,
) -> Result<(Network<f32>, String), ModelError> {
    match alexnet(path) {
        Some(network) => {
            let model = Model::from_network(network.clone())?;
            Ok((network, model.sha256().to_owned()))
        }
        None => read_network(path, interface, budget),
    }
}

/// AlexNet with random weights, where its name stands for a file and there is no such file.
fn alexnet(path: &Path) -> Option<Network<f32>> {
    (path == Path::new("alexnet") && !path.exists()).then(|| architectures::alexnet(0))
}

/// The image set that a specification names, as it is. What a user should know of it goes to standard
/// error.
pub(super) fn set(spec: &str, common: &Common, progress: &Progress) -> anyhow::Result<ImageSet> {
    first_of_set(usize::MAX, (spec, None), common, progress)
}

/// The columns of a table as they are described, or found; and the hash of the description's file.
pub(super) fn columns(
    spec: &str,
    source: &SchemaSource,
    common: &Common,
    progress: &Progress,
) -> anyhow::Result<(Columns, Option<String>)> {
    let hash = source.read()?.sha256().map(str::to_owned);
    let table = first_of_set(1, (spec, Some(source)), common, progress)?;
    let columns = table.columns().cloned().unwrap_or_default();
    Ok((columns, hash))
}

/// The first images that are asked for, as they are.
fn first_of(
    images: usize,
    request: &ImageRequest,
    common: &Common,
    progress: &Progress,
) -> anyhow::Result<ImageSet> {
    let set = (&*request.data, request.columns.as_ref());
    first_of_set(images, set, common, progress)
}

/// The first images of such a set; no more than these are read from a file that has them one after the
/// other. Of a table whose columns are described, all rows are.
fn first_of_set(
    images: usize,
    (spec, columns): (&str, Option<&SchemaSource>),
    common: &Common,
    progress: &Progress,
) -> anyhow::Result<ImageSet> {
    let spec: DataSpec = spec.parse().map_err(|error| Usage(format!("{error}")))?;
    let locations = Locations::new(common.data_dir.clone());
    let memory = common.budget().memory;
    let limit = ReadLimit { images, memory };
    let images = match columns {
        Some(source) => spec.load_described(&source.read()?, &limit)?,
        None => spec.load_within(&limit, &locations, &mut Download(progress))?,
    };
    for note in images.notes().iter().filter(|_| !common.quiet) {
        print::warning(&format!("{}: {note}", images.name()));
    }
    Ok(images)
}

/// The images asked for, fit for the model if there is one: resized and cropped, chosen, each file of
/// a folder read once to find broken ones. A warning goes to standard error where the model knows
/// hardly any of them.
pub(super) fn images(
    request: &ImageRequest,
    model: Option<&Model>,
    common: &Common,
    progress: &Progress,
) -> anyhow::Result<ImageSet> {
    let first = match request.choice {
        Some(Choice { count, seed: None }) => count,
        _ => usize::MAX,
    };
    let mut images = first_of(first, request, common, progress)?;
    images = match (model, request.fit) {
        (Some(model), fit) => model.fit(&images, fit)?,
        (None, Some(fit)) => images.fitted(&fit)?,
        (None, None) => images,
    };
    if let Some(path) = &request.classes {
        images = images.with_classes(read_classes(path)?)?;
    }
    if let Some(Choice { count, seed }) = request.choice {
        images = match seed {
            Some(seed) => images.shuffled(count, seed),
            None => images.first(count),
        };
    }
    if images.is_of_files() {
        images = checked(&images, request.skip_broken, common, progress)?;
    }
    if let Some(model) = model {
        images = within_box(images, model, common);
        if !common.quiet
            && let Some(warning) = suspect::warning(model, &images)?
        {
            print::warning(&warning);
        }
    }
    Ok(images)
}

/// The images without what rounding has put outside of the model's box.
fn within_box(images: ImageSet, model: &Model, common: &Common) -> ImageSet {
    let InputBox { lower, upper } = model.input_box();
    let (images, count) = images.within_rounding([lower, upper]);
    if count > 0 && !common.quiet {
        print::warning(&format!(
            "values of {count} images lie outside of [{lower}, {upper}] by rounding, and are moved to its ends"
        ));
    }
    images
}

/// The classes of images that have to have them.
pub(super) fn labels<'a>(images: &'a ImageSet, spec: &str) -> Result<&'a [usize], DataError> {
    images
        .labels()
        .ok_or_else(|| DataError::Unlabelled(spec.to_owned()))
}

/// The images that a study is of, with the class that counts as right of each.
pub(super) struct Chosen {
    pub(super) images: ImageSet,
    pub(super) labels: Vec<usize>,
    /// Where these are the ones that the model gets right: of how many.
    right_of: Option<usize>,
}

impl Chosen {
    /// All of `images`, or only those that the model gets right as they are. Of images without classes the model's own
    /// answers count as right, which is said.
    pub(super) fn of(
        images: ImageSet,
        model: &Model,
        correct_only: bool,
        common: &Common,
    ) -> anyhow::Result<Chosen> {
        let labels = labels_or_answers(&images, model, common)?.into_owned();
        // Images that don't fit the model, and classes that it hasn't, are refused in its own words later.
        let fits = model.input_len() == images.image_len()
            && labels.iter().all(|&label| label < model.output_len());
        if !correct_only || !fits {
            return Ok(Chosen {
                images,
                labels,
                right_of: None,
            });
        }
        let answers = model_predictions(model, &images)?;
        let right = (0..images.len()).filter(|&at| answers[at] == labels[at]);
        let right: Vec<usize> = right.collect();
        if right.is_empty() {
            let why = format!(
                "the model gets none of the {} images right: leave --correct-only out, or see what it \
                 wants of its input ({PREPROCESSING})",
                images.len()
            );
            return Err(Usage(why).into());
        }
        Ok(Chosen {
            images: images.select(&right),
            labels: right.iter().map(|&at| labels[at]).collect(),
            right_of: Some(images.len()),
        })
    }

    /// All of `images`, whose classes say nothing of the model.
    pub(super) fn without_classes(images: ImageSet) -> Chosen {
        Chosen {
            labels: vec![0; images.len()],
            images,
            right_of: None,
        }
    }

    /// Some of them, by their positions.
    pub(super) fn select(&self, positions: &[usize]) -> Chosen {
        Chosen {
            images: self.images.select(positions),
            labels: positions.iter().map(|&at| self.labels[at]).collect(),
            right_of: None,
        }
    }

    /// What a study of them comes from; `data` is what the images are called.
    pub(super) fn provenance(&self, model: &Model, data: &str) -> Provenance {
        Provenance {
            right_of: self.right_of,
            ..Provenance::of(model, &self.images, data)
        }
    }
}

/// How many of the images are right as they are, and of how many they were chosen.
pub(super) fn right_in_words(right: usize, samples: usize, provenance: &Provenance) -> String {
    match provenance.right_of {
        Some(all) => format!("{}; the others are left out", of(right, all)),
        None => of(right, samples),
    }
}

/// The classes of images; of images without classes the model's own answers, which is said.
fn labels_or_answers<'a>(
    images: &'a ImageSet,
    model: &Model,
    common: &Common,
) -> anyhow::Result<Cow<'a, [usize]>> {
    if let Some(labels) = images.labels() {
        return Ok(labels.into());
    }
    if !common.quiet {
        print::warning("note: the images have no classes; the model's own answers count as right");
    }
    // Images that don't fit the model are refused in its own words later.
    if model.input_len() != images.image_len() {
        return Ok(vec![0; images.len()].into());
    }
    Ok(model_predictions(model, images)?.into())
}

/// Images whose files have all been read once.
pub(super) fn checked(
    images: &ImageSet,
    skip: bool,
    common: &Common,
    progress: &Progress,
) -> anyhow::Result<ImageSet> {
    progress.begin("reading images", images.len() as u64);
    let result = images.checked(skip, &|done| progress.progress(done as u64, ""));
    progress.end();
    let (images, broken) = result?;
    if !broken.is_empty() && !common.quiet {
        let lines = broken.iter();
        let lines = lines.map(|image| {
            format!(
                "
  {}: {}",
                image.file.display(),
                image.why
            )
        });
        print::warning(&format!(
            "{} broken images are left out:{}",
            broken.len(),
            lines.collect::<String>()
        ));
    }
    Ok(images)
}
