//! Figure 3 (section 3): figure 1 for a network and images of one's own.

use super::excitation;
use super::{Experiment, Needs, Source};

/// Figure 3.
pub static EXPERIMENT: Experiment = Experiment {
    name: "figure3",
    summary: "figure 1 for a network and images of one's own",
    needs: Needs::source(Source::OwnNetwork),
    run: |run, results, pictures| {
        let made = run.own_excitation()?;
        let (figure, rows) = made.units.clone();
        results.figure3 = Some(figure);
        results.units_own = made.study.clone();
        pictures.units.push(("figure3".into(), rows));
        Ok(())
    },
    lines: |results| {
        let study = results.units_own.as_ref();
        excitation::lines("3 and 4", study.filter(|_| results.figure3.is_some()))
    },
    files: |pictures| excitation::files(pictures, "figure3", TITLE),
    section: |results, pictures| {
        // What the study answers stands below the last figure of its layer.
        let study = results.units_own.as_ref();
        let study = study.filter(|_| results.figure4.is_none());
        let figure = results.figure3.as_ref();
        excitation::section(pictures, "figure3", TITLE, figure, study)
    },
    ..Experiment::NOTHING
};

const TITLE: &str = "Figure 3: images that excite units the most";
