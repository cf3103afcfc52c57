//! The options of training for certificates.

use blindspot_paper::harden::Plan;
use blindspot_paper::train::{Certified, MiniBatch};

const CERTIFIED: &str = "Certified training";

/// Training by interval bounds.
#[derive(Debug, clap::Args)]
pub(crate) struct CertifiedArgs {
    /// Train for large certificates: by mini-batches, where a part of each image's loss is that of the worst logits
    /// that interval bounds allow within --epsilon, which grows from 0 at first; without dropout
    #[arg(help_heading = CERTIFIED, long, conflicts_with = "harden")]
    pub(crate) certified: bool,
    /// The largest change of a value (Linf) that training bounds
    #[arg(
        help_heading = CERTIFIED,
        long,
        value_name = "EPSILON",
        default_value_t = 0.1,
        requires = "certified"
    )]
    pub(crate) epsilon: f64,
    /// The plain loss' part of the whole in the end; the larger, the fewer errors, and the fewer images certified
    #[arg(
        help_heading = CERTIFIED,
        long,
        value_name = "F",
        default_value_t = 0.5,
        requires = "certified"
    )]
    kappa: f64,
}

impl CertifiedArgs {
    /// What is asked for, in so many passes over the images, with this weight decay.
    pub(crate) fn plan(&self, passes: Option<u32>, decay: Vec<f64>) -> Plan {
        let certified = Certified {
            kappa: self.kappa,
            ..Certified::new(self.epsilon)
        };
        let training = MiniBatch::certified(certified);
        Plan {
            training: MiniBatch {
                epochs: passes.map_or(training.epochs, |passes| passes as usize),
                decay,
                ..training
            },
            pool: None,
        }
    }
}
