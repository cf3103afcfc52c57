//! The options of `blindspot universal`.

use std::path::PathBuf;

use blindspot::model::{InputBox, Norm};

use super::options::{DataArgs, ImageArgs, ModelArgs, ReplaceArgs};
use super::parse::{count, parse_box, parse_norm, parse_seconds};

/// Find one perturbation that fools a network on most images of a set, and see what it does to images held out
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("aim").required(true).args(["epsilon", "share"]),
    after_help = "\
Examples:
  blindspot universal model.onnx --data mnist:train --held-out mnist:test --epsilon 3 --out universal.npz
  blindspot universal model.onnx --norm linf --epsilon 8/255 --models other.onnx --out universal.npz
  blindspot universal model.onnx --share 0.8 --out universal.npz

Shares are of the images that a network gets right as they are. FILE.npz has the array delta, which is added to an image
before it is clipped to the box; and index, label, prediction_before, prediction_after, set (0: the perturbation was
found on it, 1: held out) and fooled, one entry an image. FILE.json has the options, hashes and a summary."
)]
pub(crate) struct Universal {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) images: ImageArgs,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// How many images: the first ones, or a random choice with --shuffle
    #[arg(help_heading = "Images", long, value_name = "N", default_value_t = 1000, value_parser = count::<usize>(0..))]
    pub(crate) samples: usize,
    /// Take a seeded random choice of the images
    #[arg(help_heading = "Images", long)]
    pub(crate) shuffle: bool,
    /// Another set, of which as many images are taken, to judge the perturbation on [default: a half of the images,
    /// which the seed chooses; the perturbation is found on the other half]
    #[arg(help_heading = "Images", long, value_name = "DATA")]
    pub(crate) held_out: Option<String>,
    /// Fool as many images as can be by a perturbation of at most this norm, as in 3 or 8/255
    #[arg(long, value_name = "E", value_parser = parse_norm)]
    pub(crate) epsilon: Option<f64>,
    /// Find the smallest perturbation that fools at least this share of the images, above 0 and at most 1
    #[arg(long, value_name = "S")]
    pub(crate) share: Option<f64>,
    /// What is to be small: l2 or linf (the largest change of a value)
    #[arg(long, value_name = "NORM", default_value = "l2")]
    pub(crate) norm: Norm,
    /// What fools: untargeted (any wrong class), or a class by its number or name (its images are left out)
    #[arg(long, value_name = "TARGET", default_value = "untargeted")]
    pub(crate) target: String,
    /// Other networks that are to answer to the same perturbation; what this one wants of its input holds for them
    #[arg(long, value_name = "MODEL.onnx,...", value_delimiter = ',')]
    pub(crate) models: Vec<PathBuf>,
    /// The range that input values stay in
    #[arg(long, value_name = "LOW,HIGH", default_value = "0,1", value_parser = parse_box, allow_hyphen_values = true)]
    pub(crate) r#box: InputBox,
    /// Evaluations of the network for each image at most; the best so far is kept
    #[arg(long, value_name = "N", value_parser = count::<u64>(1..))]
    pub(crate) max_evaluations: Option<u64>,
    /// Seconds for the search at most: the best so far is kept. The results depend on the machine then
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub(crate) time_limit: Option<f64>,
    /// Where random choices come from
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) seed: u64,
    /// The file to write; FILE.json is written beside it
    #[arg(long, short, value_name = "FILE.npz")]
    pub(crate) out: PathBuf,
    /// Also write a page: what it looks like and does. FILE.html, or DIR for DIR/index.html
    #[arg(long, value_name = "DIR|FILE.html")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) replace: ReplaceArgs,
}
