//! The options of `blindspot merge`.

use std::path::PathBuf;

use super::options::ReplaceArgs;
use super::parse::count;

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
    #[arg(long, short, value_name = "FILE.npz|DIR")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) replace: ReplaceArgs,
    /// Of the images that an attack fooled, keep the N with the smallest perturbations; its figures stay those of all
    #[arg(long, value_name = "N", value_parser = count::<usize>(1..))]
    pub(crate) smallest: Option<usize>,
    /// Where the images of an attack go as PNG files, if its shards were run with --save-images
    #[arg(long, value_name = "DIR")]
    pub(crate) save_images: Option<PathBuf>,
    /// Also write a page with the answer in a sentence, examples, curves and all numbers: one file of HTML,
    /// index.html if a folder is given
    #[arg(long, value_name = "FILE.html|DIR")]
    pub(crate) report: Option<PathBuf>,
}
