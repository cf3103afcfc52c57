//! The options of `blindspot spectrum`.

use std::path::PathBuf;

use super::options::{InterfaceArgs, ReplaceArgs};

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
    #[command(flatten)]
    pub(crate) interface: InterfaceArgs,
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
    #[arg(long, short, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Also write a page with the answer in a sentence, examples, curves and all numbers: one file of HTML,
    /// index.html if a folder is given
    #[arg(long, value_name = "FILE.html|DIR")]
    pub(crate) report: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) replace: ReplaceArgs,
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
