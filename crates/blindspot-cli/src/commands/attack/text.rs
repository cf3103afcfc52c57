//! What an attack found, for people.

use blindspot::examples::{CertificateSummary, Record, Share, Summary};
use blindspot::search::{Grouping, Norm, SearchOptions};
use blindspot_report::digits;

use super::inputs::ONNXRUNTIME;
use super::written::{Told, Written};
use crate::commands::load::right_in_words;
use crate::commands::out::{beside, listing};
use crate::commands::page;
use crate::print::of;

/// The summary for people.
pub(super) fn text(told: &Told, written: &Written<'_>) -> String {
    let record = &told.record;
    let words = Words::of(record);
    let mut lines = words.inputs();
    lines.push(words.fooled());
    lines.extend(words.other_runtime());
    lines.extend(words.without_gradient());
    lines.extend(words.norms());
    lines.extend(words.distortion());
    lines.push(words.effort());
    lines.extend(words.certificate(written));
    lines.extend(words.robust_accuracy());
    lines.extend(words.eight_bit());
    if record.smallest.is_some() {
        lines.push(format!("kept               {}", kept(record)));
    }
    if let Some(dir) = written.save_images {
        let index = dir.join("index.html");
        lines.push(format!(
            "Saved: {}, with {}",
            dir.display(),
            index.display()
        ));
    }
    lines.extend(told.changes.iter().cloned());
    let more = record.summary.fooled.saturating_sub(told.changes.len());
    if let Some(file) = written.changes.as_deref().filter(|_| more > 0) {
        lines.push(format!("and {more} more in {}", file.display()));
    }
    let page = written.report.map(page::file);
    lines.push(listing(&written.files(), page.as_deref()));
    lines.join("\n")
}

/// What a record says, in the words for classes or for another goal, for images or for the rows of a table.
struct Words<'r> {
    record: &'r Record,
    summary: &'r Summary,
    options: &'r SearchOptions,
    is_table: bool,
    /// What the inputs with a perturbation are: fooled, or the goal reached.
    found: &'static str,
}

impl Words<'_> {
    fn of(record: &Record) -> Words<'_> {
        let options = &record.origin.options;
        let found = match options.goal {
            Some(_) => "reached",
            None => "fooled",
        };
        Words {
            record,
            summary: &record.summary,
            options,
            is_table: options.columns.is_some(),
            found,
        }
    }

    /// Which inputs, and how many of them are right or have reached the goal as they are.
    fn inputs(&self) -> Vec<String> {
        let samples = self.summary.samples;
        let origin = &self.record.origin;
        let data = &origin.provenance.data;
        if let Some(goal) = &self.options.goal {
            return vec![
                format!("{samples} inputs of {data}, goal {goal}"),
                format!(
                    "reached as it is   {}",
                    of(self.summary.already_wrong, samples)
                ),
            ];
        }
        let inputs = if self.is_table { "rows" } else { "images" };
        let right = if origin.answers_as_labels {
            "all, as no classes are given and the model's answers count as right".into()
        } else {
            right_in_words(self.summary.right, samples, &origin.provenance)
        };
        vec![
            format!(
                "{samples} {inputs} of {data}, target {}",
                self.options.target
            ),
            format!("right as they are  {right}"),
        ]
    }

    fn fooled(&self) -> String {
        let Summary {
            searched,
            fooled,
            answers_target,
            ..
        } = *self.summary;
        let (title, count) = match answers_target {
            _ if self.options.goal.is_some() => ("reached", fooled),
            Some(count) => ("answers the target", count),
            None => ("fooled", fooled),
        };
        format!("{title:<18} {} searched from", of(count, searched))
    }

    /// How often another runtime agrees, if it was asked.
    fn other_runtime(&self) -> Option<String> {
        let version = self.record.origin.provenance.versions.get(ONNXRUNTIME)?;
        let Summary {
            fooled, refuted, ..
        } = *self.summary;
        Some(format!(
            "onnxruntime        {version} agrees with {}",
            of(fooled, fooled + refuted)
        ))
    }

    fn without_gradient(&self) -> Option<String> {
        let count = self.summary.no_gradient;
        (count > 0).then(|| {
            format!(
                "no gradient        {count}: nothing is known of them; attack the model's logits in place \
                 of its probabilities"
            )
        })
    }

    /// What perturbations are measured in.
    fn measure(&self) -> String {
        match (self.options.norm, self.options.grouping) {
            (Norm::L0, _) if self.is_table => "columns changed".into(),
            (norm, _) if self.is_table => format!("distance ({})", norm.title()),
            (Norm::L0, Grouping::Pixel) => "pixels changed".into(),
            (norm, _) => format!("{} norm", norm.title()),
        }
    }

    /// Norms other than those of images in L2, which the distortion is of.
    fn norms(&self) -> Option<String> {
        let (norm, is_table) = (self.options.norm, self.is_table);
        let norms = self
            .summary
            .norms
            .filter(|_| norm != Norm::L2 || is_table)?;
        let title = self.measure();
        let scales = if is_table && norm != Norm::L0 {
            ", in the columns' scales"
        } else {
            ""
        };
        Some(format!(
            "{title:<18} mean {}, median {} of the {} {}{scales}",
            digits(norms.mean),
            digits(norms.median),
            self.summary.fooled,
            self.found
        ))
    }

    fn distortion(&self) -> Option<String> {
        match &self.summary.distortion {
            Some(_) if self.is_table => None,
            Some(distortion) => Some(format!(
                "distortion         mean {}, pooled {}, median {} of the {} {}\n\
                 L2 norm            mean {} of these",
                digits(distortion.mean),
                digits(distortion.pooled),
                digits(distortion.median),
                self.summary.fooled,
                self.found,
                digits(distortion.l2_mean)
            )),
            None if self.options.goal.is_some() => {
                Some("distortion         none, as no input reaches the goal".into())
            }
            None if self.is_table => Some("distance           none, as no row was fooled".into()),
            None => Some("distortion         none, as no image was fooled".into()),
        }
    }

    fn effort(&self) -> String {
        let Summary {
            evaluations_mean,
            gradients_mean,
            ..
        } = *self.summary;
        match evaluations_mean.zip(gradients_mean) {
            Some((evaluations, gradients)) => format!(
                "evaluations        {evaluations:.0} an image searched from, {gradients:.0} gradients"
            ),
            None => "evaluations        none, as no image was searched from".into(),
        }
    }

    fn certificate(&self, written: &Written<'_>) -> Option<String> {
        let CertificateSummary { mean, ratio } = self.record.certificate?;
        let (has_goal, right) = (self.options.goal.is_some(), self.summary.right);
        let before = if has_goal {
            "not there before"
        } else {
            "right"
        };
        let mean = match mean {
            Some(mean) => {
                let measure = self.measure();
                format!("mean {measure} {} of the {right} {before}", digits(mean))
            }
            None if has_goal => "none, as all are there already".into(),
            None => "none, as no image is right".into(),
        };
        let ratio = ratio.map_or(String::new(), |ratio| {
            format!(", {ratio:.3} of the perturbations' of those {}", self.found)
        });
        let figure = beside(written.out, "svg");
        let figure = figure.map_or(String::new(), |svg| svg.display().to_string());
        Some(format!(
            "certificate        {mean}{ratio}; {figure} shows each image"
        ))
    }

    fn robust_accuracy(&self) -> impl Iterator<Item = String> {
        let samples = self.summary.samples;
        let bound = move |share: &Share| {
            format!(
                "{} of {samples} ({:.1}%, 95% interval {:.1} to {:.1})",
                share.images,
                100.0 * share.share,
                100.0 * share.low,
                100.0 * share.high
            )
        };
        self.record.robust_accuracy.iter().map(move |robust| {
            let at_least = robust.at_least.as_ref();
            let at_least = at_least.map_or(String::new(), |share| {
                format!(", at least {}", bound(share))
            });
            format!(
                "robust accuracy    up to {} {}: at most {}{at_least}",
                self.options.norm.title(),
                digits(robust.epsilon),
                bound(&robust.at_most)
            )
        })
    }

    fn eight_bit(&self) -> Option<String> {
        let eight = self.record.eight_bit.as_ref()?;
        let distortion = eight.distortion_mean.map_or(String::new(), |mean| {
            format!("; distortion mean {} of these", digits(mean))
        });
        Some(format!(
            "as 8-bit files     {} {}, {} of them by rounding alone{distortion}",
            eight.fooled, self.found, eight.rounded
        ))
    }
}

/// Images that are named one by one at most.
const NAMED: usize = 20;

/// The images that are kept where not all are.
fn kept(record: &Record) -> String {
    let kept = &record.smallest_indices;
    let named: Vec<String> = kept.iter().take(NAMED).map(usize::to_string).collect();
    let more = if kept.len() > NAMED { ", ..." } else { "" };
    format!(
        "the {} smallest perturbations of {}: of the images {}{more}",
        kept.len(),
        record.summary.fooled,
        named.join(", ")
    )
}
