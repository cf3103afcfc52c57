//! The options of `blindspot certify`.

use std::path::PathBuf;

use blindspot::certify::Arithmetic;
use blindspot::model::InputBox;
use blindspot::run::journal::Shard;
use blindspot::search::{Grouping, Norm};

use super::options::{ChoiceArgs, DataArgs, ImageArgs, ModelArgs, ReplaceArgs};
use super::parse::{parse_box, parse_seconds, parse_shard};

const PROPERTY: &str = "A property in place of images";

/// What has no meaning for a property.
const OF_IMAGES: [&str; 14] = [
    "images",
    "data",
    "resize",
    "crop",
    "exif",
    "skip_broken",
    "classes",
    "samples",
    "shuffle",
    "correct_only",
    "norm",
    "group",
    "box",
    "shard",
];

/// For each image a certified radius, below which no perturbation changes the answer, and the smallest
/// perturbation found; or whether a property from a VNN-LIB file holds
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  blindspot certify model.onnx --data mnist:test --samples 1000 --out certified.npz
  blindspot certify model.onnx --data mnist:test --norm linf --out certified.npz
  blindspot certify acasxu.onnx --property prop_3.vnnlib --time-limit 60 --counterexample result.txt

FILE.npz has the arrays index, label, certificate (no image of the box within this distance gets
another answer; 0 where the image is wrong as it is, or rounding may make it so), by the name of the
norm that of the smallest perturbation found (infinite where none was, 0 where the image is wrong as
it is) and lipschitz (the certificate by the product of the layers' bounds alone; NaN where it is not
known); FILE.json has the options, hashes and a summary, FILE.svg a plot.

With --property the verdict is holds, violated (with the counterexample) or unknown, and the exit
code is 0 for each of them. --out and --counterexample are optional then.")]
pub(crate) struct Certify {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Verify this property in place of images: a VNN-LIB 1.0 file, plain or gzipped, that says which outputs are
    /// unsafe for which boxes of inputs. The model's inputs and outputs are taken as they are
    #[arg(help_heading = PROPERTY, long, value_name = "FILE.vnnlib", conflicts_with_all = OF_IMAGES)]
    pub(crate) property: Option<PathBuf>,
    /// Write what VNN-COMP reads: unsat (the property holds), sat (violated), timeout or unknown on a line, and
    /// behind sat the counterexample
    #[arg(help_heading = PROPERTY, long, value_name = "FILE", requires = "property")]
    pub(crate) counterexample: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) images: ImageArgs,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[command(flatten)]
    pub(crate) choice: ChoiceArgs,
    /// Of these, only the images that the model gets right as they are
    #[arg(help_heading = "Images", long)]
    pub(crate) correct_only: bool,
    /// What distances are in: l2, linf (the largest change of a value), l1 (the sum of all changes) or l0 (how
    /// many values must change at least)
    #[arg(long, value_name = "NORM", default_value = "l2")]
    pub(crate) norm: Norm,
    /// What l0 counts: each value, or pixel: all channels of a pixel as one
    #[arg(long, value_name = "GROUP", default_value = "value")]
    pub(crate) group: Grouping,
    /// The range that input values stay in
    #[arg(long, value_name = "LOW,HIGH", default_value = "0,1", value_parser = parse_box, allow_hyphen_values = true)]
    pub(crate) r#box: InputBox,
    /// Raise the certificates by branch and bound, in L2 where units are smooth after curvature bounds, until so
    /// many seconds have gone into them, or no more is to be had; with --shard, into those of each shard.
    /// How far each gets depends on the machine then; that it holds does not. With --property, how long the whole may
    /// take: without, the work is bounded, and the verdict is the same on any machine
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub(crate) time_limit: Option<f64>,
    /// The arithmetic in which a certificate holds. runtime: in exact arithmetic on the file's numbers and in
    /// any runtime's, in single precision and whatever order of sums, in half precision or bfloat16 where the
    /// file has these. exact: in exact arithmetic only, so that a runtime's rounding may change an answer
    #[arg(long, value_name = "runtime|exact", default_value = "runtime")]
    pub(crate) arithmetic: Arithmetic,
    /// Where random choices come from
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) seed: u64,
    /// The file to write; FILE.json and FILE.svg are written beside it. What is done is kept in
    /// FILE.npz.journal until then: the same command goes on from there. With --shard the folder for its
    /// journal. With --property a file ending in .json
    #[arg(
        long,
        short,
        value_name = "FILE.npz|DIR|FILE.json",
        required_unless_present = "property"
    )]
    pub(crate) out: Option<PathBuf>,
    /// Also write a page with the answer in a sentence, examples, curves and all numbers: one file of HTML,
    /// index.html if a folder is given
    #[arg(long, value_name = "FILE.html|DIR", conflicts_with = "property")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) replace: ReplaceArgs,
    /// Do part I, from 0, of N; `blindspot merge` makes one file of them. auto takes both from a Slurm array
    /// job's environment, auto/N takes I from a Kubernetes indexed job's
    #[arg(long, value_name = "I/N|auto|auto/N", value_parser = parse_shard)]
    pub(crate) shard: Option<Shard>,
}
