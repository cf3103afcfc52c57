//! The options of `blindspot inspect`.

use super::options::ModelArgs;

/// See what is in a model, whether it runs here, and what can be done with it
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  blindspot inspect model.onnx
  blindspot inspect model.onnx --input-shape 3,224,224 --json
  blindspot inspect model.onnx --profile

Gradients are compared with finite differences, and timed, on one random image.")]
pub(crate) struct Inspect {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    /// Also say where the time goes: what each kind of operator takes, and how much of what the processor can
    /// do that is
    #[arg(long)]
    pub(crate) profile: bool,
}
