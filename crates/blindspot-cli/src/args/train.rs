//! The options of `blindspot train`.

use std::path::{Path, PathBuf};

use super::certified::CertifiedArgs;
use super::harden::HardenArgs;
use super::options::ReplaceArgs;
use super::parse::count;
use super::quocnet::QuocNetArgs;
use super::reproduce::Decay;

/// Train one of the paper's networks, and keep it as ONNX
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  blindspot train FC100-100-10 --out fc100.onnx
  blindspot train softmax2 --seed 3 --out softmax2.onnx
  blindspot train conv --out conv.onnx
  blindspot train FC100-100-10 --harden --out hard.onnx
  blindspot train FC100-100-10 --harden --layers input,hidden2 --pool 5000 --out hard.onnx
  blindspot train conv --certified --epsilon 0.1 --out certified.onnx
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
    /// L-BFGS iterations at most, or passes over the data of conv and --certified, instead of the recipe's
    #[arg(long, value_name = "N", conflicts_with = "harden", value_parser = count::<u32>(1..=1_000_000))]
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
    pub(crate) certified: CertifiedArgs,
    #[command(flatten)]
    pub(crate) quocnet: QuocNetArgs,
    /// The ONNX file to write
    #[arg(long, short, value_name = "FILE.onnx", required_unless_present_any = ["costs", "trial"])]
    out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) replace: ReplaceArgs,
}

impl Train {
    /// The file to write.
    pub(crate) fn out(&self) -> &Path {
        self.out.as_deref().unwrap_or(Path::new(""))
    }
}
