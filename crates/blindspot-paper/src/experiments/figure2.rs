//! Figure 2 (section 3): the test images that excite random directions of the convolutional network the most.

use super::excitation::{self, MODEL};
use super::{Experiment, Needs};

/// Figure 2.
pub static EXPERIMENT: Experiment = Experiment {
    name: "figure2",
    summary: "the test images that excite random directions of the convolutional network the most",
    needs: Needs::models(&[MODEL]),
    run: |run, results, pictures| {
        let made = run.conv_excitation()?;
        let (figure, rows) = made.directions.clone();
        results.figure2 = Some(figure);
        results.units = made.study.clone();
        pictures.units.push(("figure2".into(), rows));
        Ok(())
    },
    lines: |results| {
        let study = results.units.as_ref();
        excitation::lines("1 and 2", study.filter(|_| results.figure1.is_none()))
    },
    files: |pictures| excitation::files(pictures, "figure2", TITLE),
    section: |results, pictures| {
        let figure = results.figure2.as_ref();
        excitation::section(pictures, "figure2", TITLE, figure, results.units.as_ref())
    },
    ..Experiment::NOTHING
};

const TITLE: &str = "Figure 2: test images that excite random directions the most";
