//! The options of `blindspot units`.

use std::path::PathBuf;

use blindspot::run::journal::Shard;
use clap::ValueEnum;

use super::options::{DataArgs, ModelArgs, ReplaceArgs};
use super::parse::{count, parse_count, parse_shard};

/// See which images excite a layer's units the most, and random directions, and what these mean
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  blindspot units model.onnx --layer
  blindspot units model.onnx --data mnist:test --layer hidden1 --out DIR
  blindspot units model.onnx --data mnist:test --layer conv1 --units 3,17 --reduce mean --out DIR
  blindspot units efficientnet_lite0.onnx --data folder:imagenet-samples,position \\
      --layer /m/Reshape_output_0 --out DIR

DIR gets units.json (images by their places in the set, activations, directions, statistics), the page
units.html, the top images as one drawing, units.svg, and the plots distributions.svg and rotation.svg;
with --synthesize a PNG file for each unit and direction.")]
pub(crate) struct Units {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// How many images: the first ones, or a random choice with --shuffle; all by default
    #[arg(long, value_name = "N", help_heading = "Images", value_parser = count::<usize>(0..))]
    pub(crate) samples: Option<usize>,
    /// Take a seeded random choice of the images
    #[arg(long, help_heading = "Images")]
    pub(crate) shuffle: bool,
    /// The layer, by the name of its ONNX value, of the node that gives it (as spectrum has it) or of its module in
    /// PyTorch (layer1.0.conv1); without a name, the layers are listed
    #[arg(long, value_name = "NAME", num_args = 0..=1, required = true)]
    pub(crate) layer: Option<Option<String>>,
    /// How many units to show, a random choice; or which, separated by commas (`17,` is unit 17)
    #[arg(long, value_name = "N|I,...", default_value = "4", value_parser = parse_units)]
    pub(crate) units: WantedUnits,
    /// How many random directions to show
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = count::<usize>(0..))]
    pub(crate) directions: usize,
    /// How many directions of largest variance (principal components) to show
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = count::<usize>(0..))]
    pub(crate) components: usize,
    /// How many images to show for each
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = count::<u16>(1..=1000))]
    pub(crate) top: u16,
    /// What a channel's positions become: their largest, or their mean
    #[arg(long, value_enum, default_value_t = Reduce::Max)]
    pub(crate) reduce: Reduce,
    /// Also make the image in [0, 1] that maximises each unit and direction shown
    #[arg(long)]
    pub(crate) synthesize: bool,
    /// How much a synthesised image pays for its mean square
    #[arg(long, value_name = "W", default_value_t = 0.3, value_parser = parse_weight)]
    pub(crate) l2: f64,
    /// How much it pays for its total variation
    #[arg(long, value_name = "W", default_value_t = 1.0, value_parser = parse_weight)]
    pub(crate) total_variation: f64,
    /// Pictures only: leave out the study of all units beside as many random directions
    #[arg(long)]
    pub(crate) no_statistics: bool,
    /// Where every random choice comes from
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) seed: u64,
    /// The folder to write to; with --shard for its journal
    #[arg(long, short, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) replace: ReplaceArgs,
    /// Do part I, from 0, of N; `blindspot merge` makes the page of them. auto takes both from a Slurm array
    /// job's environment, auto/N takes I from a Kubernetes indexed job's
    #[arg(long, value_name = "I/N|auto|auto/N", value_parser = parse_shard)]
    pub(crate) shard: Option<Shard>,
}

fn parse_weight(text: &str) -> Result<f64, String> {
    let weight = text.parse::<f64>().ok();
    let weight = weight.filter(|weight| (0.0..=1e6).contains(weight));
    weight.ok_or_else(|| "give a number from 0 to 1e6".to_owned())
}

/// Which units to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WantedUnits {
    /// A number of units chosen at random.
    Count(usize),
    /// The units with these numbers.
    These(Vec<usize>),
}

fn parse_units(text: &str) -> Result<WantedUnits, String> {
    let number = |text: &str| {
        let number = text.trim().parse::<usize>();
        number.map_err(|_| "give a number of units, as in 4, or units, as in 3,17".to_owned())
    };
    if !text.contains(',') {
        let units = parse_count(text).and_then(|count| usize::try_from(count).ok());
        return units
            .map_or_else(|| number(text), Ok)
            .map(WantedUnits::Count);
    }
    let listed = text.strip_suffix(',').unwrap_or(text);
    listed
        .split(',')
        .map(number)
        .collect::<Result<_, _>>()
        .map(WantedUnits::These)
}

/// How the positions of a convolutional layer become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reduce {
    /// The largest; the picture shows what its position sees
    Max,
    /// The mean
    Mean,
}

impl From<Reduce> for blindspot::units::Reduction {
    fn from(reduce: Reduce) -> Self {
        match reduce {
            Reduce::Max => Self::Max,
            Reduce::Mean => Self::Mean,
        }
    }
}
