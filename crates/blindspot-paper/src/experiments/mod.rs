//! The paper's tables and figures, a file each, in the paper's order in [`ALL`].
//!
//! An experiment's file holds all of it: what it needs, how it is run, what it leaves in the
//! results, its tables and figures, and the paper's own numbers. To add one, write such a file, name
//! it in [`ALL`], and give [`Results`] a field for what it leaves.
//!
//! The paper's numbers come from C. Szegedy, W. Zaremba, I. Sutskever, J. Bruna, D. Erhan, I.
//! Goodfellow, R. Fergus, "Intriguing properties of neural networks", section 4. Errors are fractions
//! in [0, 1] (the paper prints percentages); distortions are root mean squares of the perturbation of a
//! pixel, pixels in [0, 1].

pub mod excitation;
pub mod figure1;
pub mod figure2;
pub mod figure3;
pub mod figure4;
pub mod figure5;
pub mod figure6;
pub mod figure7;
pub mod hardening;
pub mod pictures;
pub mod table1;
pub mod table2;
pub mod table3;
pub mod table4;
pub mod table5;
pub mod transfer;

use std::fmt;

use blindspot_data::{ErrorKind, suggest};
use blindspot_report::{Artifact, Section, Table};
use serde::{Serialize, Serializer};

use crate::reproduce::{Replication, ReproduceError};
use crate::results::{Pictures, Results};

/// The models of tables 1 and 2, in the order of the tables.
pub const MODELS: [&str; 6] = [
    "softmax1",
    "softmax2",
    "softmax3",
    "FC100-100-10",
    "FC200-200-10",
    "AE400-10",
];

/// All experiments, in the order of the report.
pub static ALL: [&Experiment; 13] = [
    &figure1::EXPERIMENT,
    &figure2::EXPERIMENT,
    &figure3::EXPERIMENT,
    &figure4::EXPERIMENT,
    &table1::EXPERIMENT,
    &table2::EXPERIMENT,
    &table3::EXPERIMENT,
    &table4::EXPERIMENT,
    &table5::EXPERIMENT,
    &figure5::EXPERIMENT,
    &figure6::EXPERIMENT,
    &figure7::EXPERIMENT,
    &hardening::EXPERIMENT,
];

/// One experiment of the paper.
#[derive(Clone, Copy)]
pub struct Experiment {
    /// Its name in the command, in `results.json` and in the names of files.
    pub name: &'static str,
    /// What it shows, in a line.
    pub summary: &'static str,
    /// What it takes.
    pub needs: Needs,
    /// Whether it is run where no experiment is named and what it takes is there.
    pub by_default: bool,
    /// Runs it, on the root alone: writes what it leaves into the results and the pictures.
    pub(crate) run: Run,
    /// Its tables, with the name of each one's files; none before it was run.
    pub(crate) tables: fn(&Results) -> Vec<(&'static str, Table)>,
    /// Its lines for a terminal besides the tables.
    pub(crate) lines: fn(&Results) -> Option<String>,
    /// Its pictures as files.
    pub(crate) files: fn(&Pictures) -> Vec<Artifact>,
    /// What the page shows of it besides the tables.
    pub(crate) section: fn(&Results, &Pictures) -> Option<Section>,
}

/// Runs an experiment.
pub(crate) type Run =
    fn(&Replication<'_>, &mut Results, &mut Pictures) -> Result<(), ReproduceError>;

/// What an experiment takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// Networks for MNIST that are trained for it, in the order of its table.
    pub models: &'static [&'static str],
    /// Whether adversarial examples are made for these networks.
    pub examples: bool,
    /// Where the images come from.
    pub source: Source,
}

/// Where the images of an experiment come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// MNIST, on which the networks are trained, too.
    Mnist,
    /// Photographs of the user's, for a network that the user brings.
    OwnNetwork,
    /// Images of the user's, one of whose classes is told from the rest.
    OwnImages,
}

impl Needs {
    /// MNIST, and these networks trained on it.
    pub(crate) const fn models(models: &'static [&'static str]) -> Needs {
        Needs {
            models,
            examples: false,
            source: Source::Mnist,
        }
    }

    /// MNIST, these networks trained on it, and adversarial examples for each.
    pub(crate) const fn examples_of(models: &'static [&'static str]) -> Needs {
        Needs {
            examples: true,
            ..Needs::models(models)
        }
    }

    /// Images from somewhere else, and no network for MNIST.
    pub(crate) const fn source(source: Source) -> Needs {
        Needs {
            source,
            ..Needs::models(&[])
        }
    }
}

impl Experiment {
    /// One with nothing to show, for others to begin from.
    pub(crate) const NOTHING: Experiment = Experiment {
        name: "",
        summary: "",
        needs: Needs::models(&[]),
        by_default: true,
        run: |_, _, _| Ok(()),
        tables: |_| Vec::new(),
        lines: |_| None,
        files: |_| Vec::new(),
        section: |_, _| None,
    };

    /// The experiment with this name.
    ///
    /// # Errors
    /// [`UnknownExperiment`], with the name that was probably meant.
    pub fn named(name: &str) -> Result<&'static Experiment, UnknownExperiment> {
        let known = ALL.into_iter().find(|known| known.name == name);
        known.ok_or_else(|| UnknownExperiment {
            name: name.to_owned(),
            suggestion: suggest(name, ALL.map(|known| known.name)).unwrap_or_default(),
        })
    }

    /// The experiments that are run where none is named: all but hardening, which takes longer than all
    /// others together, and figure 6, which takes images of its own; figures 3 to 5 only with a network
    /// of the user's.
    pub fn default_list(own_network: bool) -> Vec<&'static Experiment> {
        let all = ALL.into_iter();
        let run = |known: &&Experiment| {
            known.by_default && (own_network || known.needs.source != Source::OwnNetwork)
        };
        all.filter(run).collect()
    }
}

impl fmt::Debug for Experiment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Experiment").field(&self.name).finish()
    }
}

impl fmt::Display for Experiment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Experiment {
    fn eq(&self, other: &Experiment) -> bool {
        self.name == other.name
    }
}

impl Eq for Experiment {}

impl Serialize for Experiment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

/// No experiment has the name asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown experiment `{name}`; did you mean `{suggestion}`? Experiments: {}",
    ALL.map(|known| known.name).join(", ")
)]
pub struct UnknownExperiment {
    /// The name asked for.
    pub name: String,
    /// The known name that is most like it.
    pub suggestion: &'static str,
}

impl UnknownExperiment {
    /// What the error is about: another name helps.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }
}

/// Shown below every table of a quick look.
const QUICK: &str = "A QUICK LOOK (few iterations, few images): no figure of it may be held \
                     against the paper.";

/// The note of a table, of a quick look with a warning before it.
pub(crate) fn note(quick: bool, text: &str) -> String {
    if quick {
        format!("{QUICK} {text}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use table1::TABLE1;
    use table2::TABLE2;
    use table3::TABLE3;
    use table4::TABLE4;

    #[test]
    fn a_name_finds_its_experiment_and_a_near_miss_a_suggestion() {
        for experiment in ALL {
            assert_eq!(Experiment::named(experiment.name), Ok(experiment));
            assert!(!experiment.summary.is_empty());
        }
        let unknown = Experiment::named("tabel1").unwrap_err();
        assert_eq!(unknown.suggestion, "table1");
        let own = Experiment::default_list(true).len() - Experiment::default_list(false).len();
        assert_eq!(own, 3, "figures 3 to 5");
    }

    #[test]
    fn every_table_has_as_many_figures_as_rows_and_columns() {
        for table in [TABLE2, TABLE4] {
            assert_eq!(table.error.len(), table.columns.len() + table.others.len());
            assert_eq!(table.distortion.len(), table.error.len());
            for row in table.error {
                assert_eq!(row.len(), table.columns.len());
                assert!(row.iter().all(|error| (0.0..=1.0).contains(error)));
            }
        }
    }

    #[test]
    fn examples_always_fool_the_model_they_were_made_for() {
        for table in [TABLE2, TABLE4] {
            for model in table.columns {
                assert_eq!(table.error(model, model), Some(1.0));
            }
        }
    }

    #[test]
    fn the_papers_tables_agree_on_models_and_distortions() {
        assert_eq!(TABLE1.map(|entry| entry.model), TABLE2.columns);
        for entry in TABLE1 {
            assert_eq!(TABLE2.distortion(entry.model), Some(entry.distortion));
        }
        for entry in TABLE3 {
            assert_eq!(TABLE4.distortion(entry.model), Some(entry.distortion));
        }
    }

    #[test]
    fn what_the_paper_does_not_have_is_none() {
        assert_eq!(TABLE2.error("noise 0.2", "softmax1"), None);
        assert_eq!(TABLE2.error("softmax1", "softmax9"), None);
        assert_eq!(TABLE2.distortion("noise 0.2"), None);
        assert!(figure7::panel("d").is_none());
    }
}
