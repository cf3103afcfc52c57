//! The options of `blindspot transfer`.

use std::path::PathBuf;

use blindspot::model::Norm;
use blindspot::run::journal::Shard;

use super::options::{InterfaceArgs, PreprocessArgs, ReplaceArgs};
use super::parse::parse_shard;

/// See what examples made for one network do to others
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  blindspot transfer --examples a.npz b.npz --models a.onnx b.onnx c.onnx
  blindspot transfer --examples a.npz --models a.onnx b.onnx --amplify 0.1 --noise 0.06,0.1 --out DIR

A model sees the images through the preprocessing that the JSON file beside the examples names, as
`attack` wrote it, unless one is given here, which then holds for all models. DIR gets transfer.json, transfer.csv, transfer.md and the heat map transfer.svg.")]
pub(crate) struct Transfer {
    /// Files that `attack` wrote, with spaces or commas between them
    #[arg(long, value_name = "FILE.npz", num_args = 1.., value_delimiter = ',', required = true)]
    pub(crate) examples: Vec<PathBuf>,
    /// The networks that are to answer, with spaces or commas between them
    #[arg(long, value_name = "MODEL.onnx", num_args = 1.., value_delimiter = ',', required = true)]
    pub(crate) models: Vec<PathBuf>,
    /// Also: all perturbations of a file times one factor, to this mean distortion of the images that are
    /// perturbed
    #[arg(long, value_name = "D", value_delimiter = ',')]
    pub(crate) amplify: Vec<f64>,
    /// What --amplify brings to D: the mean norm of the perturbations, l2, linf or l1, not their distortion
    #[arg(long, value_name = "NORM", requires = "amplify")]
    pub(crate) norm: Option<Norm>,
    /// Also: all perturbations times this factor
    #[arg(long, value_name = "F", value_delimiter = ',')]
    pub(crate) amplify_by: Vec<f64>,
    /// Also: Gaussian noise of this standard deviation in place of the perturbations
    #[arg(long, value_name = "S", value_delimiter = ',')]
    pub(crate) noise: Vec<f64>,
    #[command(flatten)]
    pub(crate) interface: InterfaceArgs,
    #[command(flatten)]
    pub(crate) preprocess: PreprocessArgs,
    /// Count only the images that all the models get right as they are
    #[arg(long)]
    pub(crate) correct_only: bool,
    /// Where the noise comes from
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) seed: u64,
    /// A folder for the table and the heat map; with --shard for its journal
    #[arg(long, short, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Also write a page with the answer in a sentence, examples, curves and all numbers: one file of HTML,
    /// index.html if a folder is given
    #[arg(long, value_name = "FILE.html|DIR")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) replace: ReplaceArgs,
    /// Do part I, from 0, of N; `blindspot merge` makes the table of them. auto takes both from a Slurm array
    /// job's environment, auto/N takes I from a Kubernetes indexed job's
    #[arg(long, value_name = "I/N|auto|auto/N", value_parser = parse_shard)]
    pub(crate) shard: Option<Shard>,
}
