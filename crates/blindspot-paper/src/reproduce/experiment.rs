//! The paper's experiments by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{spectra, units};

/// One experiment of the paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Experiment {
    /// The images that excite units of a network the most.
    Figure1,
    /// Likewise random directions.
    Figure2,
    /// Figure 1 for a network trained on photographs, which the user brings.
    Figure3,
    /// Likewise figure 2.
    Figure4,
    /// Errors and distortions of six models.
    Table1,
    /// Each model's examples on every model, and noise.
    Table2,
    /// Three models trained on halves of the training set.
    Table3,
    /// Their examples, made of the test set, on each other; noise and amplified examples.
    Table4,
    /// Frame bounds of each layer of AlexNet and of networks for MNIST.
    Table5,
    /// Examples for a network trained on photographs, which the user brings.
    Figure5,
    /// Examples for a classifier on features that are learned without labels, on the user's images.
    Figure6,
    /// Pictures of examples and of noise.
    Figure7,
    /// Training with a pool of adversarial examples, and without, from several seeds.
    Hardening,
}

impl Experiment {
    /// All of them, in the order of the report.
    pub const ALL: [Experiment; 13] = [
        Experiment::Figure1,
        Experiment::Figure2,
        Experiment::Figure3,
        Experiment::Figure4,
        Experiment::Table1,
        Experiment::Table2,
        Experiment::Table3,
        Experiment::Table4,
        Experiment::Table5,
        Experiment::Figure5,
        Experiment::Figure6,
        Experiment::Figure7,
        Experiment::Hardening,
    ];

    /// Those that are run where none is asked for: all but hardening, which takes longer than all
    /// others together, and figure 6, which takes images of its own; and those of a network of the user's only if there is one.
    pub fn default_list(own_network: bool) -> Vec<Experiment> {
        let all = Experiment::ALL.into_iter();
        let run = |known: &Experiment| {
            !matches!(known, Experiment::Hardening | Experiment::Figure6)
                && (own_network || !known.is_of_own_network())
        };
        all.filter(run).collect()
    }

    /// Whether it takes a network that the user brings, and no MNIST: [`figure5`](super::figure5)
    /// and [`figures_3_4`](super::figures_3_4) do it.
    pub fn is_of_own_network(self) -> bool {
        use Experiment::{Figure3, Figure4, Figure5};
        matches!(self, Figure3 | Figure4 | Figure5)
    }

    /// Whether it takes no MNIST.
    pub fn takes_other_images(self) -> bool {
        self == Experiment::Figure6 || self.is_of_own_network()
    }

    /// The models that it takes, in the order of its table.
    pub(super) fn models(self) -> &'static [&'static str] {
        match self {
            Experiment::Figure1 | Experiment::Figure2 => &[units::MODEL],
            Experiment::Table1 | Experiment::Table2 => &[
                "softmax1",
                "softmax2",
                "softmax3",
                "FC100-100-10",
                "FC200-200-10",
                "AE400-10",
            ],
            Experiment::Table3 | Experiment::Table4 => &["M1", "M2", "M3"],
            Experiment::Figure3 | Experiment::Figure4 | Experiment::Figure5 => &[],
            Experiment::Figure6 => &[],
            Experiment::Table5 => spectra::MODELS,
            Experiment::Figure7 => &["softmax1", "FC200-200-10"],
            Experiment::Hardening => &[],
        }
    }

    /// Whether it takes examples of its models.
    pub(super) fn takes_examples(self) -> bool {
        !matches!(
            self,
            Experiment::Figure1 | Experiment::Figure2 | Experiment::Table5
        )
    }
}

impl fmt::Display for Experiment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Experiment::Figure1 => "figure1",
            Experiment::Figure2 => "figure2",
            Experiment::Figure3 => "figure3",
            Experiment::Figure4 => "figure4",
            Experiment::Table1 => "table1",
            Experiment::Table2 => "table2",
            Experiment::Table3 => "table3",
            Experiment::Table4 => "table4",
            Experiment::Table5 => "table5",
            Experiment::Figure5 => "figure5",
            Experiment::Figure6 => "figure6",
            Experiment::Figure7 => "figure7",
            Experiment::Hardening => "hardening",
        })
    }
}

impl FromStr for Experiment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL
            .into_iter()
            .find(|known| known.to_string() == text);
        known.ok_or_else(|| {
            let likeness = |known: &Experiment| strsim::jaro_winkler(&known.to_string(), text);
            let likely = Self::ALL
                .into_iter()
                .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
            let suggestion = likely.map_or(String::new(), |likely| likely.to_string());
            let names = Self::ALL.map(|known| known.to_string()).join(", ");
            format!(
                "no experiment is named `{text}`; did you mean `{suggestion}`? Experiments: {names}"
            )
        })
    }
}
