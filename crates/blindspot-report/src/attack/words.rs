//! What an attack found, in sentences.

use blindspot::examples::{Record, Summary};
use blindspot::search::{Grouping, Norm, SearchOptions, Target};

use crate::signal::Signal;
use crate::table::digits;

/// The unit in which people see a perturbation's size.
pub(crate) struct Unit {
    pub(crate) norm: Norm,
    /// From a norm to the unit.
    factor: f64,
    grey: bool,
    pixels: bool,
    /// Whether norms are those of a table's columns, in their scales.
    scaled: bool,
}

impl Unit {
    /// Grey levels where an input is an image between black and white; else percent of the input's range; of rows of a
    /// known table their columns' scales. In L0 values, pixels or columns.
    pub(crate) fn of(record: &Record, shape: [usize; 3]) -> Unit {
        let options = &record.origin.options;
        let input_box = options.input_box;
        let range = f64::from(input_box.upper) - f64::from(input_box.lower);
        let values = shape.iter().product::<usize>().max(1) as f64;
        let is_picture = shape[1] > 1 && [1, 3].contains(&shape[0]);
        let grey = is_picture && Signal::of(shape).is_none();
        let levels = if grey { 255.0 } else { 100.0 };
        let scaled = options.columns.is_some();
        Unit {
            norm: options.norm,
            factor: match options.norm {
                _ if scaled => 1.0,
                Norm::L2 => levels / (range * values.sqrt()),
                Norm::Linf => levels / range,
                Norm::L1 => levels / (range * values),
                Norm::L0 => 1.0,
            },
            grey,
            pixels: options.grouping == Grouping::Pixel,
            scaled,
        }
    }

    /// The size of a norm, in this unit.
    pub(crate) fn value(&self, norm: f64) -> f64 {
        norm * self.factor
    }

    pub(crate) fn name(&self) -> &'static str {
        match (self.norm, self.grey) {
            (Norm::L0, _) if self.scaled => "columns changed",
            _ if self.scaled => "in the columns' scales",
            (Norm::L2 | Norm::L1, true) => "grey levels (of 255) a pixel",
            (Norm::L2 | Norm::L1, false) => "percent of the range a value",
            (Norm::Linf, true) => "grey levels (of 255) at most",
            (Norm::Linf, false) => "percent of the range at most",
            (Norm::L0, _) if self.pixels => "pixels changed",
            (Norm::L0, _) => "values changed",
        }
    }

    /// The size of a norm, in words.
    pub(crate) fn of_norm(&self, norm: f64) -> String {
        let value = digits(self.value(norm));
        match (self.norm, self.grey) {
            (Norm::L0, _) if self.scaled => format!("{value} columns"),
            _ if self.scaled => format!("{value} in the columns' scales"),
            (Norm::L2 | Norm::L1, true) => format!("{value} grey levels a pixel"),
            (Norm::L2 | Norm::L1, false) => format!("{value}% of the range a value"),
            (Norm::Linf, true) => format!("{value} grey levels at most"),
            (Norm::Linf, false) => format!("{value}% of the range at most"),
            (Norm::L0, _) if self.pixels => format!("{value} pixels"),
            (Norm::L0, _) => format!("{value} values"),
        }
    }

    /// What of all changes the size is.
    fn of_all(&self) -> &'static str {
        match self.norm {
            Norm::L2 if self.scaled => " (the root of the sum of squares)",
            Norm::L1 if self.scaled => " (the sum of all changes)",
            Norm::L2 => " (root mean square)",
            Norm::Linf => " (the largest change)",
            Norm::L1 => " (the mean of all changes)",
            Norm::L0 => "",
        }
    }
}

/// The main result, in a sentence. `norms` are those of the images fooled, in ascending order.
pub(crate) fn answer(
    summary: &Summary,
    options: &SearchOptions,
    norms: &[f64],
    unit: &Unit,
) -> String {
    let Summary {
        samples, searched, ..
    } = *summary;
    let goal = options.goal.as_ref();
    if searched == 0 && goal.is_some() {
        return format!(
            "All of the {samples} inputs reach the goal as they are: nothing was searched for."
        );
    }
    if searched == 0 {
        return format!(
            "The network gets none of the {samples} images right as they are: nothing was searched for."
        );
    }
    let wanted = match options.target {
        Target::Random | Target::Nearest | Target::Class(_) => "answers a chosen class instead",
        Target::All | Target::Untargeted => "answers otherwise",
    };
    let (Some(smallest), Some(largest)) = (norms.first(), norms.last()) else {
        if let Some(goal) = goal {
            return format!(
                "No change was found by which {}, for none of the {searched} inputs searched from.",
                goal.in_words()
            );
        }
        return format!(
            "No change was found by which the network {wanted}, for none of the {searched} images searched from."
        );
    };
    let median = norms[(norms.len() - 1) / 2];
    let changes = if norms.len() == 1 {
        unit.of_norm(median)
    } else {
        format!(
            "{} in the median image, {} to {} in all",
            unit.of_norm(median),
            digits(unit.value(*smallest)),
            digits(unit.value(*largest))
        )
    };
    let of = format!("{} of {searched}", norms.len());
    let who = match goal {
        Some(goal) => format!("{of} inputs can be changed so that {}", goal.in_words()),
        None => {
            format!("{of} images that the network gets right can be changed so that it {wanted}")
        }
    };
    format!("{who}: by {changes}{}.", unit.of_all())
}

/// What must be known to read the answer.
pub(crate) fn remarks(record: &Record) -> Vec<String> {
    let Summary {
        samples,
        right,
        already_wrong,
        no_gradient,
        refuted,
        ..
    } = record.summary;
    let mut remarks = vec![if record.origin.options.goal.is_some() {
        let not_searched = if already_wrong > 0 {
            "; they were not searched from, and no mean has them"
        } else {
            ""
        };
        format!(
            "As they are, {already_wrong} of the {samples} inputs reach the goal{not_searched}."
        )
    } else if record.origin.answers_as_labels {
        "The images have no classes: the network's own answers to them count as right.".to_owned()
    } else if let Some(all) = record.origin.provenance.right_of {
        format!("These are the {samples} of {all} images that the network gets right as they are.")
    } else {
        format!(
            "As they are, the network gets {right} of the {samples} images right ({:.1}%).{}",
            100.0 * right as f64 / samples.max(1) as f64,
            if already_wrong > 0 {
                format!(" {already_wrong} wrong ones were not searched from, and no mean has them.")
            } else {
                String::new()
            }
        )
    }];
    if no_gradient > 0 {
        remarks.push(format!(
            "Of {no_gradient} images nothing is known: the network has no gradient there. Its logits can be attacked in \
             place of its probabilities."
        ));
    }
    if refuted > 0 {
        remarks.push(format!(
            "{refuted} adversarial images count as not fooled, as the other runtime answers otherwise."
        ));
    }
    remarks
}
