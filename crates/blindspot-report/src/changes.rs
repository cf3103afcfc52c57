//! What changes in the rows of a table, in words and as CSV.

use blindspot::examples::{Record, StoredExamples};
use blindspot::search::{Example, Norm};
use blindspot_data::{Column, Columns, Value};

use crate::ReportError;
use crate::table::{Cell, Table};

/// Columns without a change that a sentence names; more are counted.
const NAMED: usize = 2;
/// Digits of a number that is not whole, in a sentence.
const DIGITS: usize = 6;

/// The rows of a table as an attack changes them.
#[derive(Debug, Clone, Copy)]
pub struct TableChanges<'a> {
    columns: &'a Columns,
    /// The names of the answers, that of answer 0 first.
    answers: Option<&'a [String]>,
    goal: Option<&'a str>,
    norm: Norm,
}

impl<'a> TableChanges<'a> {
    /// The rows of `columns`; `answers` are the names of the model's classes, if they are known, and `goal` what the
    /// outputs were to do, of a model that is no classifier.
    pub fn new(
        columns: &'a Columns,
        answers: Option<&'a [String]>,
        goal: Option<&'a str>,
        norm: Norm,
    ) -> TableChanges<'a> {
        TableChanges {
            columns,
            answers,
            goal,
            norm,
        }
    }

    /// What changes in one row, in a sentence without a full stop: `row 3: income 41,200 to 42,150 EUR, age unchanged:
    /// refused becomes granted`.
    pub fn sentence(&self, example: &Example, original: &[f32]) -> String {
        let row = format!("row {}", example.index);
        let [label, before, after] = [example.label, example.prediction_before, example.prediction]
            .map(|answer| self.answer(answer));
        if example.already_misclassified {
            return match self.goal {
                Some(goal) => format!("{row}: {goal} as it is"),
                None => format!("{row}: answered {before} as it is, not {label}"),
            };
        }
        if !example.success {
            return match self.goal {
                Some(goal) => format!("{row}: no change found for {goal}"),
                None => format!("{row}: no change found, {before} stays"),
            };
        }
        let (mut changed, mut unchanged) = (Vec::new(), Vec::new());
        for column in self.columns {
            match change(column, original, &example.adversarial) {
                Some(change) => changed.push(change),
                None => unchanged.push(&*column.name),
            }
        }
        changed.extend(match &unchanged[..] {
            [] => None,
            few if few.len() <= NAMED => Some(format!("{} unchanged", few.join(" and "))),
            many => Some(format!("{} others unchanged", many.len())),
        });
        let end = match self.goal {
            Some(goal) => format!("{goal} is reached"),
            None => format!("{before} becomes {after}"),
        };
        format!("{row}: {}: {end}", changed.join(", "))
    }

    fn answer(&self, answer: usize) -> String {
        let name = self.answers.and_then(|names| names.get(answer));
        name.cloned().unwrap_or_else(|| format!("class {answer}"))
    }

    /// The sentences of the first rows whose answer is changed.
    ///
    /// # Errors
    /// [`ReportError::Journal`] and [`ReportError::Kept`] where the examples can't be read.
    pub fn first(
        &self,
        examples: &StoredExamples<'_>,
        count: usize,
    ) -> Result<Vec<String>, ReportError> {
        let mut sentences = Vec::new();
        for row in examples.rows()? {
            let row = row.map_err(ReportError::Kept)?;
            if row.example.success && !row.example.already_misclassified {
                sentences.push(self.sentence(&row.example, &row.original));
            }
            if sentences.len() == count {
                break;
            }
        }
        Ok(sentences)
    }

    /// All rows as CSV: the index of each, whether a change was found (`fooled`), the answers before and after it, its
    /// distance in the norm of the search and the columns' scales, each column before and after it, and the sentence.
    ///
    /// # Errors
    /// [`ReportError::Journal`] and [`ReportError::Kept`] where the examples can't be read.
    pub fn csv(&self, examples: &StoredExamples<'_>) -> Result<String, ReportError> {
        let heads = [
            "index",
            "fooled",
            "answer_before",
            "answer_after",
            "distance",
        ];
        let mut heads: Vec<String> = heads.map(str::to_owned).into();
        for column in self.columns {
            heads.extend([
                format!("{}_before", column.name),
                format!("{}_after", column.name),
            ]);
        }
        heads.push("sentence".into());
        let mut rows = Vec::new();
        for row in examples.rows()? {
            let row = row.map_err(ReportError::Kept)?;
            let example = &row.example;
            let fooled = example.success && !example.already_misclassified;
            let mut cells = vec![
                Cell::Count(example.index as u64),
                Cell::Text(if fooled { "yes" } else { "no" }.into()),
                Cell::Text(self.answer(example.prediction_before)),
                Cell::Text(self.answer(example.prediction)),
                Cell::Text(example.norm(self.norm).to_string()),
            ];
            for column in self.columns {
                let value = |row: &[f32]| match column.value(row) {
                    Value::Number(number) => Cell::Text(number.to_string()),
                    Value::Category(name) => Cell::Text(name.to_owned()),
                };
                cells.extend([value(&row.original), value(&example.adversarial)]);
            }
            cells.push(Cell::Text(self.sentence(example, &row.original)));
            rows.push(cells);
        }
        let table = Table {
            title: String::new(),
            note: String::new(),
            heads,
            rows,
        };
        Ok(table.csv())
    }
}

/// The changes of the rows of an attack's examples; None where these are no rows of a known table. `answers` are the
/// names of the model's classes, `goal` the goal in words.
pub fn table_changes<'a>(
    record: &'a Record,
    answers: Option<&'a [String]>,
    goal: Option<&'a str>,
) -> Option<TableChanges<'a>> {
    let options = &record.origin.options;
    let columns = options.columns.as_ref()?;
    Some(TableChanges::new(columns, answers, goal, options.norm))
}

/// How a column changes, in words; None where it doesn't.
fn change(column: &Column, from: &[f32], to: &[f32]) -> Option<String> {
    let (before, after) = (column.value(from), column.value(to));
    if before == after {
        return None;
    }
    let words = match (before, after) {
        (Value::Number(before), Value::Number(after)) => {
            let [mut short, mut other] = [before, after].map(number);
            if short == other {
                [short, other] = [before, after].map(|number| grouped(&number.to_string()));
            }
            format!("{short} to {other}")
        }
        (Value::Category(before), Value::Category(after)) => format!("{before} to {after}"),
        _ => return None,
    };
    let unit = column
        .unit
        .as_deref()
        .map_or(String::new(), |unit| format!(" {unit}"));
    Some(format!("{} {words}{unit}", column.name))
}

/// A number as people read it: in groups of three digits, and not in all its digits if it is not whole.
fn number(number: f32) -> String {
    let size = f64::from(number.abs());
    if number.fract() == 0.0 && size < 1e9 {
        return grouped(&format!("{number}"));
    }
    if !(1e-4..1e9).contains(&size) {
        return format!("{number:e}");
    }
    let whole = (size.log10().floor() as i32 + 1).max(0) as usize;
    // Zeros after the point that are no digits of the number.
    let zeros = (-1 - size.log10().floor() as i32).max(0) as usize;
    let text = format!("{number:.*}", DIGITS.saturating_sub(whole) + zeros);
    if !text.contains('.') {
        return grouped(&text);
    }
    grouped(text.trim_end_matches('0').trim_end_matches('.'))
}

/// A number with commas between groups of three digits before its point.
fn grouped(number: &str) -> String {
    let (sign, rest) = match number.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", number),
    };
    let (whole, fraction) = rest
        .find('.')
        .map_or((rest, ""), |point| rest.split_at(point));
    if !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return number.to_owned();
    }
    let digits = whole.len();
    let mut text = sign.to_owned();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (digits - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text + fraction
}

#[cfg(test)]
mod tests {
    use blindspot_data::{Schema, table_in_memory};

    use super::*;

    #[test]
    fn numbers_are_written_as_people_read_them() {
        for (value, text) in [
            (41200.0, "41,200"),
            (-1234567.0, "-1,234,567"),
            (42150.37, "42,150.4"),
            (0.1, "0.1"),
            (999.0, "999"),
            (1234.5, "1,234.5"),
            (0.012345678, "0.0123457"),
            (3e-9, "3e-9"),
            (-0.5, "-0.5"),
            (0.0, "0"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_row_is_told_in_a_sentence() {
        let schema = "[income]\nunit = \"EUR\"\n[age]\n[region]\n";
        let table = b"income,age,region\n41200,30,north\n42150,31,south\n";
        let set = table_in_memory(table, &Schema::parse(schema).unwrap()).unwrap();
        let columns = set.columns().unwrap();
        let names = ["refused".to_owned(), "granted".to_owned()];
        let changes = TableChanges::new(columns, Some(&names), None, Norm::L2);
        let original = [41200.0, 30.0, 1.0, 0.0];
        let mut example = Example {
            position: 0,
            index: 3,
            label: 0,
            target: 1,
            prediction_before: 0,
            prediction: 1,
            already_misclassified: false,
            success: true,
            no_gradient: false,
            refuted: false,
            adversarial: vec![42150.0, 30.0, 0.0, 1.0],
            l2: 1.0,
            linf: 1.0,
            l1: 1.0,
            l0: 2.0,
            evaluations: 1,
            gradients: 1,
            kkt_residual: 0.0,
            noise: 0.0,
        };
        assert_eq!(
            changes.sentence(&example, &original),
            "row 3: income 41,200 to 42,150 EUR, region north to south, age unchanged: refused becomes granted"
        );
        example.success = false;
        assert_eq!(
            changes.sentence(&example, &original),
            "row 3: no change found, refused stays"
        );
        example.already_misclassified = true;
        example.prediction_before = 1;
        assert_eq!(
            changes.sentence(&example, &original),
            "row 3: answered granted as it is, not refused"
        );
        let goal = TableChanges::new(columns, None, Some("rises:2"), Norm::L2);
        assert_eq!(
            goal.sentence(&example, &original),
            "row 3: rises:2 as it is"
        );
    }
}
