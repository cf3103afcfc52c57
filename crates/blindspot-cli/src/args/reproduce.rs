//! The options of `blindspot reproduce`.

use std::path::PathBuf;

use blindspot::run::journal::Shard;
use clap::ValueEnum;

use super::options::{DataArgs, PreprocessArgs, ReplaceArgs};
use super::parse::{count, parse_shard};

/// Run the paper's experiments: train, search, and leave tables, figures and a report
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  blindspot reproduce --out replication
  blindspot reproduce --quick --out first-look
  blindspot reproduce table2 --samples 256 --seed 7 --out tables
  blindspot reproduce figure5 --model model.onnx --data folder:images --out photographs
  blindspot reproduce figure6 --data folder:cifar10/train --class automobile --out cars
  blindspot reproduce hardening --seeds 3 --out hardening

DIR/report.html shows everything; DIR/results.json has every number. Trained models are kept in
DIR/models and used again by the next run; an interrupted run goes on where it stopped.")]
pub(crate) struct Reproduce {
    /// figure1, figure2, table1, table2, table3, table4, table5, figure7: these by default; figure3,
    /// figure4 and figure5, for a --model of your own; figure6, for --data of your own with a class of
    /// that name; hardening, which takes longer than all others
    #[arg(value_name = "EXPERIMENT")]
    pub(crate) experiments: Vec<String>,
    /// The folder for tables, figures, models and the report
    #[arg(long, short, value_name = "DIR")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) replace: ReplaceArgs,
    /// Images to distort for the tables: training images, for tables 3 and 4 test images [default: 1000,
    /// and 100 in a quick look]
    #[arg(long, value_name = "N", conflicts_with = "full", value_parser = count::<usize>(0..))]
    pub(crate) samples: Option<usize>,
    /// Distort all 60,000 training images, and all 10,000 test images
    #[arg(long)]
    pub(crate) full: bool,
    /// A first look in a few minutes: few iterations, few images and one seed, unless --samples and
    /// --seeds say otherwise. No figure of it may be held against the paper
    #[arg(long)]
    pub(crate) quick: bool,
    /// Where every random choice comes from: the same seed gives the same bits
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Seeds that hardening trains from, --seed and those after it [default: 5, and 1 in a quick look]
    #[arg(long, value_name = "N", value_parser = count::<u16>(1..=1000))]
    pub(crate) seeds: Option<u16>,
    /// Cut the noise of table 2 to the pixels' range (the paper's is not)
    #[arg(long)]
    pub(crate) clip_noise: bool,
    /// What the lambdas of the networks with hidden layers mean
    #[arg(long, value_enum, default_value_t = Decay::PerUnit)]
    pub(crate) decay: Decay,
    /// For figures 3 to 5 and table 5: an ONNX file, a classifier of photographs. Its layers stand in
    /// table 5 below AlexNet's. Figures 3 and 4 show which
    /// images of --data excite its units; for figure 5, 64 images of --data that it classifies
    /// correctly are perturbed; DIR/figure5 gets the adversarial ones as PNG
    #[arg(long, value_name = "MODEL.onnx")]
    pub(crate) model: Option<PathBuf>,
    /// For figure 6: the class, by its name, that a classifier on features learned without labels
    /// tells from the rest
    #[arg(long, value_name = "NAME", default_value = "automobile")]
    pub(crate) class: String,
    /// For figures 3 and 4: the layer, by its ONNX value's name [default: what the classifier at
    /// the end sees]
    #[arg(long, value_name = "NAME", requires = "model")]
    pub(crate) layer: Option<String>,
    #[command(flatten)]
    pub(crate) preprocess: PreprocessArgs,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Do part I, from 0, of N of the searches of tables 1 to 4 and figure 7, and no more; with all parts in
    /// DIR/shards the same command without --shard takes the examples from there. auto takes both from a
    /// Slurm array job's environment, auto/N takes I from a Kubernetes indexed job's. Models that are not
    /// in DIR/models are trained first, by every shard
    #[arg(long, value_name = "I/N|auto|auto/N", value_parser = parse_shard)]
    pub(crate) shard: Option<Shard>,
}

/// How weight decay enters the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Decay {
    /// lambda / k * sum(w^2), k the units of the layer, as the paper says
    PerUnit,
    /// lambda / 2 * sum(w^2)
    Half,
}

impl From<Decay> for blindspot_paper::train::Decay {
    fn from(decay: Decay) -> Self {
        match decay {
            Decay::PerUnit => Self::PerUnit,
            Decay::Half => Self::Half,
        }
    }
}
