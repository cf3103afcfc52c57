//! Tables of numbers: CSV files, a row for each input, a column for each of its numbers.

use std::collections::HashSet;
use std::path::Path;

use csv::{ReaderBuilder, StringRecord};

use crate::error::DataError;
use crate::files::{read_limited, sha256_hex};
use crate::folder::{few, name};
use crate::labels::{Given, numbered};
use crate::limit::ReadLimit;
use crate::set::ImageSet;
use crate::suggest::suggest;

/// What people write where a value is missing.
const MISSING: &[&str] = &["", "?", "na", "n/a", "nan", "null", "none", "-"];

/// Reads a table: its first line names the columns, each line after it is an input. `label` names the
/// column of the classes: whole numbers from 0, or names, which are numbered in sorted order. All
/// other columns are the numbers of an input, in their order, as they are.
///
/// # Errors
/// [`DataError`], with line and column of what is no number.
pub(crate) fn read_table(
    path: &Path,
    label: Option<&str>,
    limit: &ReadLimit,
) -> Result<ImageSet, DataError> {
    let content = read_limited(path, limit.memory)?;
    parse(&name(path), &content, label, limit).map_err(|why| DataError::Damaged {
        path: path.to_owned(),
        why,
    })
}

fn parse(
    name: &str,
    content: &[u8],
    label: Option<&str>,
    limit: &ReadLimit,
) -> Result<ImageSet, String> {
    let hashes = vec![(name.to_owned(), sha256_hex(content))];
    let text = std::str::from_utf8(content).map_err(|_| "it is no text in UTF-8")?;
    let text = text.trim_start_matches('\u{feff}');
    let first = text.lines().next().unwrap_or_default();
    // Where no comma is in the first line, what else tables have between their cells.
    let separators = [b',', b';', b'\t'];
    let separator = separators
        .into_iter()
        .find(|&byte| first.as_bytes().contains(&byte));
    let mut reader = ReaderBuilder::new()
        .delimiter(separator.unwrap_or(b','))
        .flexible(true)
        .from_reader(text.as_bytes());
    let header = reader.headers().map_err(|error| error.to_string())?;
    let columns: Vec<String> = header.iter().map(|cell| cell.trim().to_owned()).collect();
    let label = label_column(&columns, label)?;
    let (mut values, mut classes) = (Vec::new(), Vec::new());
    for record in reader.records().take(limit.images) {
        let record = record.map_err(|error| error.to_string())?;
        let line = record.position().map_or(0, |position| position.line()) as usize;
        if record.len() != columns.len() {
            return Err(format!(
                "line {line} has {} cells, and the first line {}",
                record.len(),
                columns.len()
            ));
        }
        row(&record, &columns, label, line, &mut values)?;
        if let Some(column) = label {
            let class = record[column].trim().to_owned();
            if is_missing(&class) {
                return Err(missing(line, &columns[column]));
            }
            classes.push(Given { line, class });
        }
        let bytes = (size_of::<f32>() * values.len()) as u64;
        if bytes > limit.memory {
            return Err(format!(
                "its numbers take more than the {} bytes of memory allowed",
                limit.memory
            ));
        }
    }
    let numbers = columns.len() - usize::from(label.is_some());
    if values.is_empty() {
        return Err(
            "it has no line of numbers below its first one, which names the columns".into(),
        );
    }
    let inputs: Vec<String> = (1..=classes.len())
        .map(|input| format!("input {input}"))
        .collect();
    let labels = label.map(|_| numbered(&classes, &inputs)).transpose()?;
    let (labels, names) = labels.map_or((None, None), |(labels, names)| (Some(labels), names));
    let set = ImageSet::of_floats(name, [1, 1, numbers], values, labels, hashes)?;
    match names {
        Some(names) => set.with_classes(names).map_err(|error| error.to_string()),
        None => Ok(set),
    }
}

/// The place of the column of the classes; and checks that the first line names columns, each
/// differently.
fn label_column(columns: &[String], label: Option<&str>) -> Result<Option<usize>, String> {
    if !columns.is_empty() && columns.iter().all(|name| name.parse::<f64>().is_ok()) {
        return Err("its first line has numbers; write the names of the columns above them".into());
    }
    let mut seen = HashSet::new();
    if let Some(twice) = columns.iter().find(|name| !seen.insert(name.as_str())) {
        return Err(format!("two of its columns have the name `{twice}`"));
    }
    let Some(label) = label else {
        return Ok(None);
    };
    let found = columns.iter().position(|name| name == label);
    found.map(Some).ok_or_else(|| {
        let likely = suggest(label, columns.iter().map(String::as_str));
        match likely {
            Some(likely) => format!("it has no column `{label}`; did you mean `{likely}`?"),
            None => format!("it has no column `{label}`; it has {}", few(columns)),
        }
    })
}

/// The numbers of a line, but for its class.
fn row(
    record: &StringRecord,
    columns: &[String],
    label: Option<usize>,
    line: usize,
    values: &mut Vec<f32>,
) -> Result<(), String> {
    for (column, cell) in record
        .iter()
        .enumerate()
        .filter(|&(column, _)| Some(column) != label)
    {
        let (cell, name) = (cell.trim(), &columns[column]);
        if is_missing(cell) {
            return Err(missing(line, name));
        }
        let number: Option<f32> = cell.parse().ok();
        let number = number.filter(|number| number.is_finite()).ok_or_else(|| {
            let cell: String = cell.chars().take(60).collect();
            format!(
                "line {line}, column `{name}`: `{cell}` is no finite number; write numbers with a \
                 decimal point, and codes for names"
            )
        })?;
        values.push(number);
    }
    Ok(())
}

fn is_missing(cell: &str) -> bool {
    MISSING.contains(&cell.to_ascii_lowercase().as_str())
}

fn missing(line: usize, column: &str) -> String {
    format!(
        "line {line}, column `{column}`: the value is missing; fill it in, or leave the line out"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, label: Option<&str>) -> Result<ImageSet, String> {
        parse("t.csv", text.as_bytes(), label, &ReadLimit::default())
    }

    fn values(set: &ImageSet, position: usize) -> Vec<f32> {
        let mut values = vec![0.0; set.image_len()];
        set.read_image(position, &mut values).unwrap();
        values
    }

    #[test]
    fn columns_are_numbers_but_for_the_one_of_the_classes() {
        let text = "\u{feff}age,\"length, cm\",kind,dose\n57, 1.5,b,1e-2\n\n3,-2,a,0\r\n4,5,b,6\n";
        let set = read(text, Some("kind")).unwrap();
        assert_eq!((set.len(), set.shape()), (3, [1, 1, 3]));
        assert_eq!(set.labels(), Some(&[1, 0, 1][..]));
        assert_eq!(set.classes().unwrap(), ["a", "b"]);
        assert_eq!(values(&set, 0), [57.0, 1.5, 0.01]);
        assert_eq!(values(&set, 1), [3.0, -2.0, 0.0]);
        let semicolons = read("x;y\n1;2\n3;1\n", Some("y")).unwrap();
        assert_eq!(semicolons.labels(), Some(&[2, 1][..]));
        assert_eq!(semicolons.classes(), None);
        assert_eq!(read("x\n1\n2\n", None).unwrap().labels(), None);
        let limit = ReadLimit {
            images: 1,
            ..ReadLimit::default()
        };
        assert_eq!(
            parse("t", b"x\n1\nbroken\n", None, &limit).unwrap().len(),
            1
        );
    }

    #[test]
    fn what_is_no_number_is_refused_with_its_place() {
        for (text, label, why) in [
            (
                "a,b\n1,2\n3,\n",
                None,
                "line 3, column `b`: the value is missing",
            ),
            (
                "a,b\n1,NaN\n",
                None,
                "line 2, column `b`: the value is missing",
            ),
            (
                "a,b\n1,inf\n",
                None,
                "line 2, column `b`: `inf` is no finite number",
            ),
            ("a,b\n1,1e99\n", None, "`1e99` is no finite number"),
            (
                "a;b\n1;2,5\n",
                None,
                "line 2, column `b`: `2,5` is no finite number",
            ),
            (
                "a,b\n1,2,3\n",
                None,
                "line 2 has 3 cells, and the first line 2",
            ),
            ("a,b\n1\n", None, "line 2 has 1 cells"),
            ("1,2\n3,4\n", None, "its first line has numbers"),
            ("a,a\n3,4\n", None, "two of its columns have the name `a`"),
            ("a,class\n3,4\n", Some("clas"), "did you mean `class`?"),
            (
                "a,b\n1,0\n1,\n",
                Some("b"),
                "line 3, column `b`: the value is missing",
            ),
            (
                "a,b\n1,0\n1,2\n3,-1\n",
                Some("b"),
                "line 4 gives input 3 the class `-1`",
            ),
            ("a,b\n", None, "no line of numbers"),
            ("", None, "no line of numbers"),
            ("b\n1\n", Some("b"), "no line of numbers"),
        ] {
            let error = read(text, label).unwrap_err();
            assert!(error.contains(why), "{text:?}: {error}");
        }
        assert!(parse("t", &[0xff, 0xfe], None, &ReadLimit::default()).is_err());
    }
}
