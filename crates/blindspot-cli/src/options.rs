//! Options that several commands have: the model, the images, what stands between them.

use std::path::PathBuf;

use blindspot::preprocess::{ChannelOrder, Layout, Preprocess};
use blindspot_data::{Fit, Resize};
use blindspot_paper::harden::{Plan, PoolOptions};
use blindspot_paper::train::MiniBatch;
use serde::{Deserialize, Serialize};

use crate::exit::Usage;

/// A network from a file.
#[derive(Debug, Clone, clap::Args, Serialize, Deserialize)]
pub(crate) struct ModelArgs {
    /// An ONNX file: a classifier whose input fits the images; or alexnet, with random weights
    #[arg(value_name = "MODEL.onnx")]
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) preprocess: PreprocessArgs,
}

/// What a network wants of its input.
#[derive(Debug, Clone, clap::Args, Serialize, Deserialize)]
#[command(next_help_heading = "What the network wants of its input")]
pub(crate) struct PreprocessArgs {
    /// What an image's 0 and 1 become for the network, as in 0,255
    #[arg(long, value_name = "LOW,HIGH", default_value = "0,1", value_parser = parse_range, allow_hyphen_values = true)]
    range: [f64; 2],
    /// Taken away from each channel after that, in the network's order of channels: one number or one a
    /// channel, as in 0.485,0.456,0.406
    #[arg(
        long,
        value_name = "M,...",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    mean: Vec<f64>,
    /// What each channel is divided by after that, as in 0.229,0.224,0.225
    #[arg(long, value_name = "S,...", value_delimiter = ',')]
    std: Vec<f64>,
    /// rgb or bgr
    #[arg(long, value_name = "ORDER", default_value = "rgb")]
    channel_order: ChannelOrder,
    /// nchw (channels, height, width) or nhwc
    #[arg(long, value_name = "LAYOUT", default_value = "nchw")]
    layout: Layout,
}

impl From<&PreprocessArgs> for Preprocess {
    fn from(args: &PreprocessArgs) -> Preprocess {
        Preprocess {
            range: args.range,
            mean: args.mean.clone(),
            std: args.std.clone(),
            channel_order: args.channel_order,
            layout: args.layout,
        }
    }
}

/// A set of images.
#[derive(Debug, Clone, clap::Args, Serialize, Deserialize)]
#[command(next_help_heading = "Images")]
pub(crate) struct DataArgs {
    /// mnist:test, mnist:train, folder:DIR (a subfolder a class), folder:DIR,LABELS (a file with lines
    /// NAME,CLASS), folder:DIR,position (sorted by name, each image is a class), npz:FILE (arrays x and
    /// y), cifar10:DIR (the binary batches; cifar10:DIR,train), idx:IMAGES,LABELS
    #[arg(long, value_name = "DATA", default_value = "mnist:test")]
    pub(crate) data: String,
    /// Resize images first: their shorter side to S, or to H,W whatever the proportion
    #[arg(long, value_name = "S|H,W", value_parser = parse_resize)]
    resize: Option<Resize>,
    /// Keep the middle of each image, S by S or H by W pixels; of a folder's images what the network
    /// takes, by default (smaller images are enlarged to cover it unless there is a --resize)
    #[arg(long, value_name = "S|H,W", value_parser = parse_size)]
    crop: Option<[usize; 2]>,
    /// Leave images that can't be read out, and say which
    #[arg(long)]
    pub(crate) skip_broken: bool,
    /// The names of the classes, that of class 0 first: one a line, or a JSON list
    #[arg(long, value_name = "FILE")]
    pub(crate) classes: Option<PathBuf>,
}

impl DataArgs {
    /// How images are made fit, besides what the network asks for; None where nothing is asked.
    pub(crate) fn fit(&self) -> Option<Fit> {
        let fit = Fit {
            resize: self.resize,
            crop: self.crop,
            channels: None,
        };
        (fit != Fit::default()).then_some(fit)
    }
}

/// Training with a living pool of adversarial examples.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Hardening")]
pub(crate) struct HardenArgs {
    /// Train by mini-batches, with adversarial examples mixed in that are made against the network
    /// as it is, all the time
    #[arg(long)]
    pub(crate) harden: bool,
    /// Where they enter: input, or hidden1 and so on, the outputs of hidden layers; a changed output
    /// trains only the layers above it. All of them by default
    #[arg(
        long,
        value_name = "LAYER,...",
        value_delimiter = ',',
        requires = "harden"
    )]
    layers: Vec<String>,
    /// Examples in the pool of each layer
    #[arg(long, value_name = "N", default_value_t = 3_000, requires = "harden")]
    pool: usize,
    /// The part of each pool that is replaced at a time
    #[arg(long, value_name = "F", default_value_t = 0.05, requires = "harden")]
    refresh: f64,
    /// Steps from one replacement to the next
    #[arg(long, value_name = "STEPS", default_value_t = 40, requires = "harden")]
    every: u64,
    /// Examples of each pool in a step, for each image of it
    #[arg(long, value_name = "RATIO", default_value_t = 0.5, requires = "harden")]
    mix: f64,
    /// How far an example goes, as a multiple of the smallest change found; 1 is the decision
    /// boundary
    #[arg(
        long,
        value_name = "FACTOR",
        default_value_t = 1.0,
        requires = "harden"
    )]
    beyond: f64,
    /// The largest distortion (root mean square of the change) of an example that enters a pool; inf
    /// for any. The larger, the more distortion is needed afterwards, and the more is wrong without
    #[arg(long, value_name = "D", default_value_t = 0.03, requires = "harden")]
    within: f64,
    /// Passes over the images
    #[arg(long, value_name = "E", default_value_t = 20, requires = "harden", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    epochs: u32,
    /// Images in a step
    #[arg(long, value_name = "N", default_value_t = 128, requires = "harden", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    batch: u32,
    /// The size of the first steps
    #[arg(
        long,
        value_name = "RATE",
        default_value_t = 0.005,
        requires = "harden"
    )]
    rate: f64,
}

impl HardenArgs {
    /// What is asked for, for a network with these layers and this weight decay.
    pub(crate) fn plan(&self, layers: Vec<String>, decay: Vec<f64>) -> Plan {
        let layers = match self.layers.is_empty() {
            true => layers,
            false => self.layers.clone(),
        };
        Plan {
            training: MiniBatch {
                batch: self.batch as usize,
                rate: self.rate,
                decay,
                ..MiniBatch::new(self.epochs as usize)
            },
            pool: Some(PoolOptions {
                size: self.pool,
                refresh_fraction: self.refresh,
                refresh_interval: self.every,
                mix_ratio: self.mix,
                overshoot: self.beyond,
                max_distortion: Some(self.within),
                ..PoolOptions::new(layers)
            }),
        }
    }
}

/// Which images of a set.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Images")]
pub(crate) struct ChoiceArgs {
    /// How many images: the first ones, or a random choice with --shuffle
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) samples: usize,
    /// Take a seeded random choice of the images
    #[arg(long)]
    pub(crate) shuffle: bool,
}

impl ChoiceArgs {
    /// How many images, at least 1.
    pub(crate) fn count(&self) -> Result<usize, Usage> {
        match self.samples {
            0 => Err(Usage(
                "--samples 0 asks for no image; ask for at least 1".into(),
            )),
            samples => Ok(samples),
        }
    }
}

/// The largest side that images are resized to: larger than any network takes.
const MAX_SIDE: usize = 1 << 13;

fn parse_size(text: &str) -> Result<[usize; 2], String> {
    let side = |text: &str| {
        let side = text.trim().parse().ok();
        side.filter(|side| (1..=MAX_SIDE).contains(side))
            .ok_or(format!(
                "give pixels from 1 to {MAX_SIDE}, as in 224 or 240,320"
            ))
    };
    match text.split_once(',') {
        Some((height, width)) => Ok([side(height)?, side(width)?]),
        None => Ok([side(text)?; 2]),
    }
}

fn parse_resize(text: &str) -> Result<Resize, String> {
    let size = parse_size(text)?;
    Ok(match text.contains(',') {
        true => Resize::Exactly(size),
        false => Resize::Shorter(size[0]),
    })
}

fn parse_range(text: &str) -> Result<[f64; 2], String> {
    let numbers = text
        .split_once(',')
        .and_then(|(low, high)| Some([low.trim().parse().ok()?, high.trim().parse().ok()?]));
    match numbers {
        Some([low, high]) if low < high && f64::is_finite(high - low) => Ok([low, high]),
        _ => Err("give a lower and a higher number, as in 0,255".into()),
    }
}
