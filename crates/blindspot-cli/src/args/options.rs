//! Options that several commands have: the model, the images, the preprocessing between them.

use std::path::PathBuf;

use blindspot::model::{Interface, ModelError};
use blindspot::preprocess::{ChannelOrder, Described, Layout, Preprocess, Said};
use blindspot_data::{Choice, DataSpec, Fit, ImageRequest, Resize};

use super::parse::{count, parse_range, parse_resize, parse_size};
use crate::errors::Usage;

/// A network from a file.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ModelArgs {
    /// An ONNX file: a classifier whose input fits the images; or alexnet, with random weights
    #[arg(value_name = "MODEL.onnx")]
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) interface: InterfaceArgs,
    #[command(flatten)]
    pub(crate) preprocess: PreprocessArgs,
}

/// Which of a file's inputs and outputs are used, and what it leaves open.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct InterfaceArgs {
    /// The input that is the image, where the model has several
    #[arg(help_heading = INTERFACE, long, value_name = "NAME")]
    input: Option<String>,
    /// The values of the other inputs: arrays by the inputs' names, the same for each image
    #[arg(help_heading = INTERFACE, long, value_name = "FILE.npz")]
    input_values: Option<PathBuf>,
    /// The network's input without the batch, where the file leaves sizes open, as in 3,224,224
    /// [default: the images' size]
    #[arg(help_heading = INTERFACE, long, value_name = "C,H,W", value_parser = parse_input_shape)]
    input_shape: Option<InputShape>,
    /// The output that has a number for each class, where the model has several [default: the first
    /// of real numbers]
    #[arg(help_heading = INTERFACE, long, value_name = "NAME")]
    output: Option<String>,
}

const INTERFACE: &str = "Inputs and outputs of the model";

/// The sizes of an input's axes.
#[derive(Debug, Clone)]
struct InputShape(Vec<usize>);

fn parse_input_shape(text: &str) -> Result<InputShape, String> {
    let sizes = text.split(['x', ',']).map(|size| {
        let size = size.trim().parse().ok();
        size.filter(|size| (1..=1 << 28).contains(size))
    });
    let sizes: Option<Vec<usize>> = sizes.collect();
    let few = sizes.filter(|sizes| sizes.len() <= 8).map(InputShape);
    few.ok_or_else(|| "give the sizes of the axes, as in 3,224,224".into())
}

impl From<&InterfaceArgs> for Interface {
    fn from(args: &InterfaceArgs) -> Interface {
        Interface {
            input: args.input.clone(),
            output: args.output.clone(),
            input_shape: args.input_shape.as_ref().map(|shape| shape.0.clone()),
            input_values: args.input_values.clone(),
        }
    }
}

/// What a network wants of its input.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PreprocessArgs {
    /// A file that says all of this, and how image files are resized and cropped: Hugging Face's
    /// preprocessor_config.json, or timm's config.json. Options beside it count more
    #[arg(
        help_heading = "What the network wants of its input",
        long,
        value_name = "FILE.json"
    )]
    preprocess: Option<PathBuf>,
    /// What an image's 0 and 1 become for the network, as in 0,255 [default: 0,1]
    #[arg(help_heading = "What the network wants of its input", long, value_name = "LOW,HIGH", value_parser = parse_range, allow_hyphen_values = true)]
    range: Option<[f64; 2]>,
    /// Subtracted from each channel after that, in the network's order of channels: one number or one a
    /// channel, as in 0.485,0.456,0.406
    #[arg(
        help_heading = "What the network wants of its input",
        long,
        value_name = "M,...",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    mean: Vec<f64>,
    /// What each channel is divided by after that, as in 0.229,0.224,0.225
    #[arg(
        help_heading = "What the network wants of its input",
        long,
        value_name = "S,...",
        value_delimiter = ','
    )]
    std: Vec<f64>,
    /// rgb or bgr [default: rgb]
    #[arg(
        help_heading = "What the network wants of its input",
        long,
        value_name = "ORDER"
    )]
    channel_order: Option<ChannelOrder>,
    /// nchw (channels, height, width) or nhwc [default: nchw]
    #[arg(
        help_heading = "What the network wants of its input",
        long,
        value_name = "LAYOUT"
    )]
    layout: Option<Layout>,
}

impl PreprocessArgs {
    /// What the network wants: what the file says, if there is one, and in its place each option that
    /// was given.
    pub(crate) fn read(&self) -> Result<Described, ModelError> {
        let described = self.preprocess.as_deref().map(Described::open);
        Ok(described.transpose()?.unwrap_or_default().with(self.said()))
    }

    fn said(&self) -> Said {
        Said {
            range: self.range,
            mean: self.mean.clone(),
            std: self.std.clone(),
            channel_order: self.channel_order,
            layout: self.layout,
        }
    }

    /// The preprocessing, if any of its options was given.
    pub(crate) fn given(&self) -> Result<Option<Preprocess>, ModelError> {
        let given = self.preprocess.is_some() || self.said() != Said::default();
        let read = given.then(|| self.read()).transpose()?;
        Ok(read.map(|described| described.preprocess))
    }
}

/// What becomes of files that are there.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct ReplaceArgs {
    /// Replace results of other work (another model, other options, another seed) that are there; those of
    /// the same work always are
    #[arg(long)]
    pub(crate) overwrite: bool,
}

/// A set of images.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DataArgs {
    /// mnist:test, mnist:train, folder:DIR (a subfolder a class), folder:DIR,LABELS (a file with lines
    /// NAME,CLASS), folder:DIR,position (sorted by name, each image is a class), npz:FILE (arrays x and
    /// y), cifar10:DIR (the binary batches; cifar10:DIR,train), idx:IMAGES,LABELS, csv:FILE,COLUMN (a table of
    /// numbers, and its column of classes), files:FILE,FILE
    #[arg(
        help_heading = "Images",
        long,
        value_name = "DATA",
        default_value = "mnist:test"
    )]
    pub(crate) data: String,
    /// Resize images first: their shorter side to S, or to H,W whatever the proportion
    #[arg(help_heading = "Images", long, value_name = "S|H,W", value_parser = parse_resize)]
    resize: Option<Resize>,
    /// Keep the middle of each image, S by S or H by W pixels; of a folder's images what the network
    /// takes, by default (smaller images are enlarged to cover it unless there is a --resize)
    #[arg(help_heading = "Images", long, value_name = "S|H,W", value_parser = parse_size)]
    crop: Option<[usize; 2]>,
    /// Turn each image of a folder as its EXIF orientation mark says (most programs that train networks
    /// don't)
    #[arg(help_heading = "Images", long)]
    exif: bool,
    /// Leave images that can't be read out, and say which
    #[arg(help_heading = "Images", long)]
    skip_broken: bool,
    /// The names of the classes, that of class 0 first: one a line, or a JSON list
    #[arg(help_heading = "Images", long, value_name = "FILE")]
    classes: Option<PathBuf>,
}

/// Image files, as one types them.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ImageArgs {
    /// Image files, or a folder of them, in place of --data; without classes, the model's own answers count
    /// as right
    #[arg(value_name = "IMAGE", conflicts_with = "data")]
    pub(crate) images: Vec<PathBuf>,
}

impl ImageArgs {
    /// The set of images: these, if there are any, in place of `data`.
    pub(crate) fn in_place_of(&self, data: &DataArgs) -> DataArgs {
        let named = match &self.images[..] {
            [] => return data.clone(),
            [folder] if folder.is_dir() => format!("folder:{}", folder.display()),
            files => DataSpec::of_files(files),
        };
        DataArgs {
            data: named,
            ..data.clone()
        }
    }
}

impl ModelArgs {
    /// The files that are read.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let given = [&self.interface.input_values, &self.preprocess.preprocess];
        let given = given.into_iter().flatten().cloned();
        given.chain([self.model.clone()]).collect()
    }
}

impl DataArgs {
    /// Another set of images, made fit in the same way.
    pub(crate) fn named(&self, data: &str) -> DataArgs {
        DataArgs {
            data: data.to_owned(),
            ..self.clone()
        }
    }

    /// The files and folders that are read, as far as they are named.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let spec: Option<DataSpec> = self.data.parse().ok();
        let files = spec.iter().flat_map(DataSpec::paths);
        let files = files.map(PathBuf::from);
        files.chain(self.classes.clone()).collect()
    }

    /// The images asked for, all of the set. What `preprocess` says of their size counts for image files;
    /// arrays have the size that they have.
    pub(crate) fn request(&self, preprocess: &PreprocessArgs) -> Result<ImageRequest, ModelError> {
        let of_files = matches!(
            self.data.parse(),
            Ok(DataSpec::Folder { .. } | DataSpec::Files(_))
        );
        let described = if of_files {
            preprocess.read()?.fit.unwrap_or_default()
        } else {
            Fit::default()
        };
        let fit = Fit {
            resize: self.resize.or(described.resize),
            crop: self.crop.or(described.crop),
            upright: self.exif,
            ..described
        };
        Ok(ImageRequest {
            data: self.data.clone(),
            fit: (fit != Fit::default()).then_some(fit),
            skip_broken: self.skip_broken,
            classes: self.classes.clone(),
            columns: None,
            choice: None,
        })
    }
}

/// Which images of a set.
#[derive(Debug, clap::Args)]
pub(crate) struct ChoiceArgs {
    /// How many images: the first ones, or a random choice with --shuffle
    #[arg(help_heading = "Images", long, value_name = "N", default_value_t = 100, value_parser = count::<usize>(0..))]
    pub(crate) samples: usize,
    /// Take a seeded random choice of the images
    #[arg(help_heading = "Images", long)]
    pub(crate) shuffle: bool,
}

impl ChoiceArgs {
    /// The images of a set that are chosen, at least 1; `seed` is for a random choice.
    pub(crate) fn choice(&self, seed: u64) -> Result<Choice, Usage> {
        if self.samples == 0 {
            return Err(Usage(
                "--samples 0 asks for no image; ask for at least 1".into(),
            ));
        }
        Ok(Choice {
            count: self.samples,
            seed: self.shuffle.then_some(seed),
        })
    }
}
