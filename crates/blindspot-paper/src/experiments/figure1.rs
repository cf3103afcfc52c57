//! Figure 1 (section 3): the test images that excite units of the convolutional network the most.

use super::excitation::{self, MODEL};
use super::{Experiment, Needs};

/// Figure 1.
pub static EXPERIMENT: Experiment = Experiment {
    name: "figure1",
    summary: "the test images that excite units of the convolutional network the most",
    needs: Needs::models(&[MODEL]),
    run: |run, results, pictures| {
        let made = run.conv_excitation()?;
        let (figure, rows) = made.units.clone();
        results.figure1 = Some(figure);
        results.units = made.study.clone();
        pictures.units.push(("figure1".into(), rows));
        Ok(())
    },
    lines: |results| {
        let study = results.units.as_ref();
        excitation::lines("1 and 2", study.filter(|_| results.figure1.is_some()))
    },
    files: |pictures| excitation::files(pictures, "figure1", TITLE),
    section: |results, pictures| {
        // What the study answers stands below the last figure of its layer.
        let study = results.units.as_ref().filter(|_| results.figure2.is_none());
        let figure = results.figure1.as_ref();
        excitation::section(pictures, "figure1", TITLE, figure, study)
    },
    ..Experiment::NOTHING
};

const TITLE: &str = "Figure 1: test images that excite units the most";
