//! What the page says in sentences.

use blindspot_report::digits;

use crate::results::Results;

/// Above all else of a quick look.
pub(super) const QUICK: &str = "A quick look: few iterations, few images. No figure on this page may be held against the \
                                paper.";

/// What a replication is.
pub(super) const ABOUT: &str = "What Szegedy et al. found in 2013, run anew: the smallest changes of images that make a network answer wrong, what \
     they do to other networks, and what units and layers respond to. The paper's numbers stand beside ours. The paper: C. \
     Szegedy, W. Zaremba, I. Sutskever, J. Bruna, D. Erhan, I. Goodfellow, R. Fergus, “Intriguing properties of neural \
     networks”, arXiv:1312.6199.";

/// The words of the glossary that the page uses.
pub(super) const GLOSSARY: &[&str] = &[
    "perturbation",
    "L2 norm",
    "distortion",
    "label",
    "answer",
    "fooled",
    "transfer",
    "singular value",
];

/// Of the networks of table 1 the one that is spoken of, if it is there.
const SPOKEN_OF: &str = "FC100-100-10";

/// What came out, in a sentence: how small a change of an image is enough.
pub(super) fn answer(results: &Results) -> String {
    of_table1(results)
        .or_else(|| of_figure5(results))
        .unwrap_or_else(|| "Intriguing properties of neural networks, again".to_owned())
}

/// Of a network that was trained here.
fn of_table1(results: &Results) -> Option<String> {
    let rows = results.table1.as_ref()?;
    let spoken_of = rows.iter().find(|row| row.model == SPOKEN_OF);
    let row = spoken_of.or(rows.first())?;
    let searched = row.samples - row.already_misclassified;
    if searched == 0 {
        return None;
    }
    // Images already wrong count as successes, and as 0.
    let fooled = (row.success * row.samples as f64).round() as u64 - row.already_misclassified;
    let mean = row.distortion_mean * row.samples as f64 / searched as f64;
    Some(format!(
        "Of {searched} digits that {} gets right, {fooled} can be changed so that it takes them for a digit chosen at \
         random: by {} grey levels (of 255) a pixel on average (root mean square, over the {searched}).",
        row.model,
        digits(255.0 * mean)
    ))
}

/// Of a network of the user's.
fn of_figure5(results: &Results) -> Option<String> {
    let figure = results.figure5.as_ref()?;
    let fooled = (figure.success * figure.samples as f64).round();
    Some(format!(
        "Of {} images of {} that {} gets right, {fooled} can be changed so that it takes them for a class chosen at \
         random: by {} grey levels (of 255) a pixel on average (root mean square, over the {fooled}).",
        figure.samples,
        figure.data,
        figure.model,
        digits(255.0 * figure.distortion_mean?)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiments::table1::Table1Row;

    #[test]
    fn the_answer_is_of_the_images_that_are_right_as_they_are() {
        let row = Table1Row {
            model: SPOKEN_OF.into(),
            train_error: 0.0,
            test_error: 0.0,
            distortion_mean: 0.08,
            distortion_pooled: 0.1,
            distortion_median: 0.1,
            l2_mean: 2.0,
            samples: 100,
            already_misclassified: 20,
            success: 0.99,
        };
        let results = Results {
            table1: Some(vec![row]),
            ..Results::default()
        };
        let said = answer(&results);
        assert!(
            said.starts_with("Of 80 digits that FC100-100-10 gets right, 79 can"),
            "{said}"
        );
        // 0.08 of 100 images is 0.1 of 80.
        assert!(said.contains("by 25.5 grey levels"), "{said}");
        assert!(!answer(&Results::default()).is_empty());
    }
}
