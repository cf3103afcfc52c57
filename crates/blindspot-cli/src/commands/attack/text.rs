//! What an attack found, for people.

use blindspot::examples::{CertificateSummary, Record, Share, Summary};
use blindspot::search::{Grouping, Norm};
use blindspot_report::digits;

use super::ONNXRUNTIME;
use super::written::{Told, Written};
use crate::commands::load::right_in_words;
use crate::commands::out::{beside, listing};
use crate::commands::page;
use crate::print::of;

/// The summary for people.
pub(super) fn text(told: &Told, written: &Written<'_>) -> String {
    let record = &told.record;
    let Summary {
        samples,
        right,
        already_wrong,
        searched,
        fooled,
        answers_target,
        no_gradient,
        refuted,
        distortion,
        norms,
        evaluations_mean,
        gradients_mean,
    } = record.summary;
    let data = &record.origin.provenance.data;
    let goal = record.origin.options.goal.as_ref();
    let mut lines = match goal {
        Some(goal) => vec![
            format!("{samples} inputs of {data}, goal {goal}"),
            format!("reached as it is   {}", of(already_wrong, samples)),
        ],
        None => vec![
            format!(
                "{samples} {} of {data}, target {}",
                if record.origin.options.columns.is_some() {
                    "rows"
                } else {
                    "images"
                },
                record.origin.options.target
            ),
            if record.origin.answers_as_labels {
                "right as they are  all, as no classes are given and the model's answers count as right"
                    .into()
            } else {
                let right = right_in_words(right, samples, &record.origin.provenance);
                format!("right as they are  {right}")
            },
        ],
    };
    lines.push(match answers_target {
        _ if goal.is_some() => format!("reached            {} searched from", of(fooled, searched)),
        Some(count) => format!("answers the target {} searched from", of(count, searched)),
        None => format!("fooled             {} searched from", of(fooled, searched)),
    });
    if let Some(version) = record.origin.provenance.versions.get(ONNXRUNTIME) {
        let asked = fooled + refuted;
        lines.push(format!(
            "onnxruntime        {version} agrees with {}",
            of(fooled, asked)
        ));
    }
    if no_gradient > 0 {
        lines.push(format!(
            "no gradient        {no_gradient}: nothing is known of them; attack the model's logits in place \
             of its probabilities"
        ));
    }
    let options = &record.origin.options;
    let found = if goal.is_some() { "reached" } else { "fooled" };
    let is_table = options.columns.is_some();
    let measured = norms.filter(|_| options.norm != Norm::L2 || is_table);
    lines.extend(measured.map(|norms| {
        let title = match (options.norm, options.grouping) {
            (Norm::L0, _) if is_table => "columns changed".into(),
            _ if is_table => format!("distance ({})", options.norm.title()),
            (Norm::L0, Grouping::Pixel) => "pixels changed".into(),
            (norm, _) => format!("{} norm", norm.title()),
        };
        format!(
            "{title:<18} mean {}, median {} of the {fooled} {found}{}",
            digits(norms.mean),
            digits(norms.median),
            if is_table && options.norm != Norm::L0 {
                ", in the columns' scales"
            } else {
                ""
            }
        )
    }));
    lines.extend(match distortion {
        Some(_) if is_table => None,
        Some(distortion) => Some(format!(
            "distortion         mean {}, pooled {}, median {} of the {fooled} {found}\n\
             L2 norm            mean {} of these",
            digits(distortion.mean),
            digits(distortion.pooled),
            digits(distortion.median),
            digits(distortion.l2_mean)
        )),
        None if goal.is_some() => {
            Some("distortion         none, as no input reaches the goal".into())
        }
        None if is_table => Some("distance           none, as no row was fooled".into()),
        None => Some("distortion         none, as no image was fooled".into()),
    });
    lines.push(match evaluations_mean.zip(gradients_mean) {
        Some((evaluations, gradients)) => format!(
            "evaluations        {evaluations:.0} an image searched from, {gradients:.0} gradients"
        ),
        None => "evaluations        none, as no image was searched from".into(),
    });
    if let Some(CertificateSummary { mean, ratio }) = record.certificate {
        let mean = match mean {
            Some(mean) => {
                let norm = options.norm.title();
                let before = if goal.is_some() {
                    "not there before"
                } else {
                    "right"
                };
                format!("mean {norm} norm {} of the {right} {before}", digits(mean))
            }
            None if goal.is_some() => "none, as all are there already".into(),
            None => "none, as no image is right".into(),
        };
        let ratio =
            ratio.map(|ratio| format!(", {ratio:.3} of the perturbations' of those {found}"));
        lines.push(format!(
            "certificate        {mean}{}; {} shows each image",
            ratio.unwrap_or_default(),
            beside(written.out, "svg").map_or(String::new(), |svg| svg.display().to_string())
        ));
    }
    for robust in &record.robust_accuracy {
        let bound = |share: &Share| {
            format!(
                "{} of {samples} ({:.1}%, 95% interval {:.1} to {:.1})",
                share.images,
                100.0 * share.share,
                100.0 * share.low,
                100.0 * share.high
            )
        };
        let at_least = robust.at_least.as_ref();
        let at_least = at_least.map_or(String::new(), |share| {
            format!(", at least {}", bound(share))
        });
        lines.push(format!(
            "robust accuracy    up to {} {}: at most {}{at_least}",
            options.norm.title(),
            digits(robust.epsilon),
            bound(&robust.at_most)
        ));
    }
    if let Some(eight) = &record.eight_bit {
        let distortion = eight.distortion_mean;
        let distortion =
            distortion.map(|mean| format!("; distortion mean {} of these", digits(mean)));
        lines.push(format!(
            "as 8-bit files     {} {found}, {} of them by rounding alone{}",
            eight.fooled,
            eight.rounded,
            distortion.unwrap_or_default()
        ));
    }
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
    let more = fooled.saturating_sub(told.changes.len());
    if let Some(file) = written.changes.as_deref().filter(|_| more > 0) {
        lines.push(format!("and {more} more in {}", file.display()));
    }
    let page = written.report.map(page::file);
    lines.push(listing(&written.files(), page.as_deref()));
    lines.join("\n")
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
