//! The options of `blindspot attack`.

use std::path::PathBuf;

use blindspot::goals::OutputGoal;
use blindspot::model::InputBox;
use blindspot::run::journal::Shard;
use blindspot::search::{Grouping, Method, Norm};
use blindspot_data::SchemaSource;

use super::options::{ChoiceArgs, DataArgs, ImageArgs, ModelArgs, ReplaceArgs};
use super::parse::{count, parse_box, parse_norm, parse_seconds, parse_shard};

/// A runtime that can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum OtherRuntime {
    Onnxruntime,
}

/// Find the smallest perturbation of each image that makes a network answer wrong
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  blindspot attack model.onnx --data mnist:test --out examples.npz
  blindspot attack model.onnx cat.jpg dog.png --out examples.npz --report page.html
  blindspot attack model.onnx --data mnist:test --samples 500 --target all --out examples.npz
  blindspot attack model.onnx --data idx:images.gz,labels.gz --target 3 --out examples.npz
  blindspot attack loans.onnx --data csv:loans.csv,granted --columns loans.toml --out changes.npz
  blindspot attack prices.onnx --data csv:houses.csv,price --box 0,1e6 --goal rises:1000 --out raised.npz
  blindspot attack resnet.onnx --data folder:val,labels.csv --resize 256 \\
      --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --save-images adversarial --out examples.npz

FILE.npz has the arrays index, label, target, prediction_before, prediction_after, success,
already_wrong (before any perturbation), fooled (success, and not already wrong), no_gradient,
refuted, original, adversarial, l2, linf, l1, l0, distortion, kkt, noise, evaluations and gradients,
one entry an image, and of a goal for the outputs also outputs_before and outputs_after; FILE.json has the options, hashes and a summary. Means of perturbations are over
the images fooled.")]
pub(crate) struct Attack {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pub(crate) images: ImageArgs,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) choice: ChoiceArgs,
    /// Of these, only the images that the model gets right as they are
    #[arg(help_heading = "Images", long)]
    pub(crate) correct_only: bool,
    /// Of the images fooled, keep the N with the smallest perturbations: all are searched from, and these are in
    /// the arrays, the saved images and the page's gallery. Figures stay those of all
    #[arg(help_heading = "Images", long, value_name = "N", conflicts_with = "shard", value_parser = count::<usize>(1..))]
    pub(crate) smallest: Option<usize>,
    /// untargeted (any wrong class), random (a wrong one, seeded), nearest (the most likely wrong one), all (the
    /// best of all wrong ones, each searched for), or a class by its number or name (its images are left out)
    #[arg(long, value_name = "TARGET", default_value = "untargeted")]
    pub(crate) target: String,
    /// In place of a target, what the outputs of a model that is no classifier are to do. Labels: flips, flips:LABEL,
    /// labels:A,B or labels:none. Quantities, with :OUTPUT after it for another than the first: moves:D, rises:D,
    /// falls:D, enters:LOW..HIGH. Embeddings: moves:D (in L2), turns:COSINE, near:D:IMAGE or aligns:COSINE:IMAGE (another
    /// image of the set by its index). margin:FILE.onnx (a network from the outputs to a number that is to be above 0)
    #[arg(long, value_name = "GOAL", conflicts_with_all = ["target", "top_k", "correct_only", "epsilon"])]
    pub(crate) goal: Option<OutputGoal>,
    /// What is to be small: l2, linf (the largest change of a value), l1 (the sum of all changes) or l0 (how many
    /// values change). sqp makes each of them small, the other methods l2 only
    #[arg(long, value_name = "NORM", default_value = "l2")]
    pub(crate) norm: Norm,
    /// What l0 counts: each value, or pixel: all channels of a pixel as one
    #[arg(long, value_name = "GROUP", default_value = "value")]
    pub(crate) group: Grouping,
    /// sqp (the smallest perturbation, soonest), lbfgs (the paper's search: box-constrained L-BFGS), or to
    /// compare with: fgsm, pgd, deepfool, cw, ddn
    #[arg(long, value_name = "METHOD", default_value = "sqp")]
    pub(crate) method: Method,
    /// Evaluations of the network for each search at most; the best so far is kept
    #[arg(long, value_name = "N", value_parser = count::<u64>(1..))]
    pub(crate) max_evaluations: Option<u64>,
    /// Seconds for the whole search at most: the best so far is kept, images not begun are left
    /// out. The results depend on the machine then
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub(crate) time_limit: Option<f64>,
    /// A norm that is small enough: sqp ends an image's search once a perturbation is no larger, before it is the
    /// smallest. For robust accuracy at that norm, in less time
    #[arg(long, value_name = "E", value_parser = parse_norm)]
    pub(crate) enough: Option<f64>,
    /// The label must leave the K most likely classes (targets untargeted and all)
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = count::<usize>(0..))]
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
    /// What the columns of a table (--data csv:FILE,COLUMN) are: a file in TOML that says of each which kind it is, its
    /// range, scale and unit, and whether it may change, only up, only down; what it does not say, and with found
    /// everything, is found in the table (`blindspot data columns` shows it). Whole numbers stay whole, categories are
    /// one of those that there are, norms are those of the columns' changes in their scales. FILE.changes.csv has each
    /// row before and after
    #[arg(long, value_name = "FILE.toml|found", conflicts_with_all = ["mask", "bounds", "box", "save_images"])]
    pub(crate) columns: Option<SchemaSource>,
    /// The range that input values stay in
    #[arg(long, value_name = "LOW,HIGH", default_value = "0,1", value_parser = parse_box, allow_hyphen_values = true)]
    pub(crate) r#box: InputBox,
    /// Where random choices come from
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) seed: u64,
    /// Also save the adversarial images as PNG files that fool the network when they are read back:
    /// where rounding to 8 bits undoes a perturbation, a larger one is searched for among such images.
    /// Beside them, the originals and the perturbations, magnified; DIR/images.csv has their classes, answers and
    /// norms, DIR/index.html shows them
    #[arg(long, value_name = "DIR")]
    pub(crate) save_images: Option<PathBuf>,
    /// Ask another runtime for its answers to the final images: those that it does not take for
    /// successes count as none. onnxruntime takes a Python that has it; the environment variable
    /// BLINDSPOT_PYTHON names it
    #[arg(long, value_name = "RUNTIME")]
    pub(crate) verify: Option<OtherRuntime>,
    /// Also give each image a certified radius, a norm below which no perturbation changes the answer
    /// (as `blindspot certify` does), and plot each between that and the perturbation found
    #[arg(long)]
    pub(crate) certify: bool,
    /// Say what share of the images stays right under every perturbation up to each of these norms, as in
    /// 4/255,8/255: at most as the search found, with --certify at least as the certificates prove, with 95%
    /// intervals. FILE.robust.csv and FILE.robust.svg have the same at all norms
    #[arg(long, value_name = "E[,E...]", value_delimiter = ',', value_parser = parse_norm)]
    pub(crate) epsilon: Vec<f64>,
    /// The file to write; FILE.json is written beside it. What is done is kept in FILE.npz.journal
    /// until then: the same command goes on from there. With --shard the folder for its journal
    #[arg(long, short, value_name = "FILE.npz|DIR")]
    pub(crate) out: PathBuf,
    /// Also write a page with the answer in a sentence, examples, curves and all numbers: one file of HTML,
    /// index.html if a folder is given
    #[arg(long, value_name = "FILE.html|DIR")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) replace: ReplaceArgs,
    /// Do part I, from 0, of N; `blindspot merge` makes them one file. auto takes both from a Slurm array
    /// job's environment, auto/N takes I from a Kubernetes indexed job's
    #[arg(long, value_name = "I/N|auto|auto/N", value_parser = parse_shard)]
    pub(crate) shard: Option<Shard>,
}
