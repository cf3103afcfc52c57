//! Figure 4 (section 3): figure 2 for a network and images of one's own.

use super::excitation;
use super::{Experiment, Needs, Source};

/// Figure 4.
pub static EXPERIMENT: Experiment = Experiment {
    name: "figure4",
    summary: "figure 2 for a network and images of one's own",
    needs: Needs::source(Source::OwnNetwork),
    run: |run, results, pictures| {
        let made = run.own_excitation()?;
        let (figure, rows) = made.directions.clone();
        results.figure4 = Some(figure);
        results.units_own = made.study.clone();
        pictures.units.push(("figure4".into(), rows));
        Ok(())
    },
    lines: |results| {
        let study = results.units_own.as_ref();
        excitation::lines("3 and 4", study.filter(|_| results.figure3.is_none()))
    },
    files: |pictures| excitation::files(pictures, "figure4", TITLE),
    section: |results, pictures| {
        let figure = results.figure4.as_ref();
        excitation::section(
            pictures,
            "figure4",
            TITLE,
            figure,
            results.units_own.as_ref(),
        )
    },
    ..Experiment::NOTHING
};

const TITLE: &str = "Figure 4: images that excite random directions the most";
