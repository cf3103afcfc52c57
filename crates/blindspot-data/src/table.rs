//! Tables: CSV files, a row for each input, a column for each of its numbers, or for a category.

use std::collections::HashSet;
use std::path::Path;

use csv::{ReaderBuilder, StringRecord};

use crate::columns::{Cells, Schema, number, short};
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
/// other columns are the numbers of an input, in their order, as they are; or, with a schema, what that
/// says, and the set [knows them](ImageSet::columns).
///
/// # Errors
/// [`DataError`], with line and column of what is no number.
pub(crate) fn read_table(
    path: &Path,
    label: Option<&str>,
    schema: Option<&Schema>,
    limit: &ReadLimit,
) -> Result<ImageSet, DataError> {
    let content = read_limited(path, limit.memory)?;
    let table = Table::read(&content, label);
    let set = table.and_then(|table| match schema {
        Some(schema) => table.described(&name(path), schema, limit, &|line| format!("line {line}")),
        None => table.plain(&name(path), limit),
    });
    set.map_err(|why| DataError::Damaged {
        path: path.to_owned(),
        why,
    })
}

/// A table held in memory as CSV, of what a program has: what is wrong is said of rows, numbered from 0.
///
/// # Errors
/// What is wrong, with row and column.
pub fn table_in_memory(content: &[u8], schema: &Schema) -> Result<ImageSet, String> {
    // The first line has the names.
    let row = |line: usize| format!("row {}", line.saturating_sub(2));
    Table::read(content, None)?.described("the table", schema, &ReadLimit::default(), &row)
}

/// A table, read as far as its first line.
struct Table<'t> {
    text: &'t str,
    separator: u8,
    sha256: String,
    columns: Vec<String>,
    /// The place of the column of classes.
    label: Option<usize>,
}

impl<'t> Table<'t> {
    fn read(content: &'t [u8], label: Option<&str>) -> Result<Table<'t>, String> {
        let text = std::str::from_utf8(content).map_err(|_| "it is no text in UTF-8")?;
        let text = text.trim_start_matches('\u{feff}');
        let first = text.lines().next().unwrap_or_default();
        // Where no comma is in the first line, what else tables have between their cells.
        let separators = [b',', b';', b'\t'];
        let mut separators = separators.into_iter();
        let separator = separators.find(|&byte| first.as_bytes().contains(&byte));
        let mut table = Table {
            text,
            separator: separator.unwrap_or(b','),
            sha256: sha256_hex(content),
            columns: Vec::new(),
            label: None,
        };
        let mut reader = table.reader();
        let header = reader.headers().map_err(|error| error.to_string())?;
        table.columns = header.iter().map(|cell| cell.trim().to_owned()).collect();
        table.label = label_column(&table.columns, label)?;
        Ok(table)
    }

    fn reader(&self) -> csv::Reader<&'t [u8]> {
        ReaderBuilder::new()
            .delimiter(self.separator)
            .flexible(true)
            .from_reader(self.text.as_bytes())
    }

    /// The first lines below the one with the names, each with its number and as many cells as that one.
    fn records(&self, most: usize) -> impl Iterator<Item = Result<(usize, StringRecord), String>> {
        let columns = self.columns.len();
        let records = self.reader().into_records().take(most);
        records.map(move |record| {
            let record = record.map_err(|error| error.to_string())?;
            let line = record.position().map_or(0, |position| position.line()) as usize;
            if record.len() == columns {
                Ok((line, record))
            } else {
                Err(format!(
                    "line {line} has {} cells, and the first line {columns}",
                    record.len()
                ))
            }
        })
    }

    /// The class of a line, where there is a column of classes.
    fn class(&self, line: usize, record: &StringRecord) -> Result<Option<Given>, String> {
        let Some(column) = self.label else {
            return Ok(None);
        };
        let class = record[column].trim().to_owned();
        if is_missing(&class) {
            return Err(missing(&format!("line {line}"), &self.columns[column]));
        }
        Ok(Some(Given { line, class }))
    }

    /// The set of all columns but that of the classes as numbers.
    fn plain(&self, name: &str, limit: &ReadLimit) -> Result<ImageSet, String> {
        let (mut values, mut classes) = (Vec::new(), Vec::new());
        for record in self.records(limit.images) {
            let (line, record) = record?;
            row(&record, &self.columns, self.label, line, &mut values)?;
            classes.extend(self.class(line, &record)?);
            self.check_memory(values.len(), limit)?;
        }
        let numbers = self.columns.len() - usize::from(self.label.is_some());
        self.set(name, numbers, values, &classes)
    }

    /// The set of columns as a schema describes them, or as they are found. All rows are read: ranges and scales
    /// are those of all.
    fn described(
        &self,
        name: &str,
        schema: &Schema,
        limit: &ReadLimit,
        called: &dyn Fn(usize) -> String,
    ) -> Result<ImageSet, String> {
        let records: Vec<(usize, StringRecord)> =
            self.records(usize::MAX).collect::<Result<_, _>>()?;
        let of_inputs = || (0..self.columns.len()).filter(|&column| Some(column) != self.label);
        let (mut cells, mut classes) = (Vec::new(), Vec::new());
        for (line, record) in &records {
            for column in of_inputs() {
                let cell = record[column].trim();
                if is_missing(cell) {
                    return Err(missing(&called(*line), &self.columns[column]));
                }
                cells.push(cell);
            }
            classes.extend(self.class(*line, record)?);
        }
        let cells = Cells {
            names: of_inputs().map(|column| &*self.columns[column]).collect(),
            label: self.label.map(|column| &*self.columns[column]),
            cells,
            rows: records.iter().map(|(line, _)| called(*line)).collect(),
        };
        let described = cells.described(schema)?;
        self.check_memory(described.values.len(), limit)?;
        let inputs = described.columns.inputs();
        let set = self.set(name, inputs, described.values, &classes)?;
        Ok(set.with_columns(described.columns).first(limit.images))
    }

    fn check_memory(&self, values: usize, limit: &ReadLimit) -> Result<(), String> {
        if (size_of::<f32>() * values) as u64 <= limit.memory {
            return Ok(());
        }
        Err(format!(
            "its numbers take more than the {} bytes of memory allowed",
            limit.memory
        ))
    }

    /// The set of inputs of so many numbers.
    fn set(
        &self,
        name: &str,
        numbers: usize,
        values: Vec<f32>,
        classes: &[Given],
    ) -> Result<ImageSet, String> {
        if values.is_empty() {
            return Err(
                "it has no line of numbers below its first one, which names the columns".into(),
            );
        }
        let hashes = vec![(name.to_owned(), self.sha256.clone())];
        let inputs: Vec<String> = (1..=classes.len())
            .map(|input| format!("input {input}"))
            .collect();
        let labels = self.label.map(|_| numbered(classes, &inputs)).transpose()?;
        let (labels, names) = labels.map_or((None, None), |(labels, names)| (Some(labels), names));
        let set = ImageSet::of_floats(name, [1, 1, numbers], values, labels, hashes)?;
        match names {
            Some(names) => set.with_classes(names).map_err(|error| error.to_string()),
            None => Ok(set),
        }
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
            return Err(missing(&format!("line {line}"), name));
        }
        values.push(number(cell).ok_or_else(|| {
            format!(
                "line {line}, column `{name}`: `{}` is no finite number; write numbers with a decimal \
                 point, and describe columns of names as categories",
                short(cell)
            )
        })?);
    }
    Ok(())
}

fn is_missing(cell: &str) -> bool {
    MISSING.contains(&cell.to_ascii_lowercase().as_str())
}

fn missing(row: &str, column: &str) -> String {
    format!("{row}, column `{column}`: the value is missing; fill it in, or leave the row out")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::{ColumnKind, Value};

    fn read(text: &str, label: Option<&str>) -> Result<ImageSet, String> {
        let table = Table::read(text.as_bytes(), label)?;
        table.plain("t.csv", &ReadLimit::default())
    }

    fn described(text: &str, schema: &str) -> Result<ImageSet, String> {
        let label = text.starts_with("class,").then_some("class");
        let schema = Schema::parse(schema).unwrap();
        let table = Table::read(text.as_bytes(), label)?;
        let line = |line: usize| format!("line {line}");
        table.described("t.csv", &schema, &ReadLimit::default(), &line)
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
        let broken = Table::read(b"x\n1\nbroken\n", None).unwrap();
        assert_eq!(broken.plain("t", &limit).unwrap().len(), 1);
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
        assert!(Table::read(&[0xff, 0xfe], None).is_err());
    }

    #[test]
    fn types_ranges_and_scales_are_found_where_nothing_is_said_of_them() {
        let text = "class,age,dose,region\n0,30,0.5,south\n1,40,1,north\n0,50,1.5,south\n";
        let set = described(text, "").unwrap();
        let columns = set.columns().unwrap();
        assert_eq!((set.labels(), set.image_len()), (Some(&[0, 1, 0][..]), 4));
        assert_eq!(values(&set, 0), [30.0, 0.5, 0.0, 1.0]);
        let kinds: Vec<&ColumnKind> = columns.iter().map(|column| &column.kind).collect();
        let categories = vec!["north".to_owned(), "south".to_owned()];
        assert_eq!(
            kinds,
            [
                &ColumnKind::Integer {
                    range: [30.0, 50.0]
                },
                &ColumnKind::Number { range: [0.5, 1.5] },
                &ColumnKind::Category { categories }
            ]
        );
        let scales: Vec<f64> = columns.iter().map(|column| column.scale).collect();
        assert!(
            (scales[0] - (200f64 / 3.0).sqrt()).abs() < 1e-12,
            "{scales:?}"
        );
        assert_eq!(scales[2], 1.0);
        // What is written of them says the same again.
        let again = described(text, &columns.to_toml()).unwrap();
        assert_eq!(again.columns(), Some(columns));
        let limit = ReadLimit {
            images: 1,
            ..ReadLimit::default()
        };
        let table = Table::read(text.as_bytes(), Some("class")).unwrap();
        let line = |line: usize| line.to_string();
        let one = table
            .described("t", &Schema::default(), &limit, &line)
            .unwrap();
        assert_eq!((one.len(), one.columns()), (1, Some(columns)));
    }

    #[test]
    fn what_a_schema_says_counts_more_than_what_is_found() {
        let text = "a,job_cook,b,job_clerk\n1,0,2,1\n3,1,4,0\n";
        let schema = "[job]\nkind = \"category\"\none_hot = [\"job_clerk\", \"job_cook\"]\nscale = 2\n\
                      [a]\nkind = \"number\"\nrange = [0, 9]\nscale = 4\ndirection = \"up\"\nunit = \"EUR\"\n";
        let set = described(text, schema).unwrap();
        let columns: Vec<_> = set.columns().unwrap().iter().collect();
        assert_eq!(values(&set, 0), [1.0, 0.0, 2.0, 1.0]);
        assert_eq!((columns[0].range(), columns[0].scale), ([0.0, 9.0], 4.0));
        assert_eq!(columns[0].unit.as_deref(), Some("EUR"));
        assert_eq!(
            (&*columns[1].name, &columns[1].inputs),
            ("job", &vec![3, 1])
        );
        let row = values(&set, 1);
        assert_eq!(columns[1].value(&row), Value::Category("cook"));
        assert_eq!(columns[2].value(&row), Value::Number(4.0));
        let order = described(
            "region\nsouth\n",
            "[region]\nkind = \"category\"\ncategories = [\"south\", \"north\"]",
        );
        assert_eq!(values(&order.unwrap(), 0), [1.0, 0.0]);
    }

    #[test]
    fn what_does_not_fit_a_description_is_refused_with_its_place() {
        let group = "[job]\nkind = \"category\"\none_hot = [\"a\", \"b\"]";
        for (text, schema, why) in [
            (
                "a,b\n1,x\n2,3\n",
                "",
                "line 2, column `b`: `x` is no finite number",
            ),
            (
                "a,b\n1,3\n2,x\n",
                "",
                "line 3, column `b`: `x` is no finite number",
            ),
            (
                "a,b\n1,3\n2,\n",
                "",
                "line 3, column `b`: the value is missing",
            ),
            (
                "a,b\n1,x\n2,?\n",
                "",
                "line 3, column `b`: the value is missing",
            ),
            (
                "a\n1.5\n",
                "[a]\nkind = \"integer\"",
                "line 2, column `a`: 1.5 is no whole number",
            ),
            (
                "a\n1\n7\n",
                "[a]\nrange = [0, 5]",
                "line 3, column `a`: 7 lies outside of its range, 0 to 5",
            ),
            (
                "a\nred\nblue\n",
                "[a]\nkind = \"category\"\ncategories = [\"red\", \"green\"]",
                "line 3, column `a`: `blue` is none of its categories, red, green",
            ),
            (
                "a,b\n1,0\n1,1\n",
                group,
                "line 3, columns of `job`: they sum to 2",
            ),
            (
                "a,b\n1,0\n0,0\n",
                group,
                "line 3, columns of `job`: they sum to 0",
            ),
            (
                "a,b\n0.5,0.5\n",
                group,
                "line 2, columns of `job`: they sum to 1; give one of them 1",
            ),
            (
                "a,c\n1,0\n",
                group,
                "columns are described that it has not: `b`; did you mean",
            ),
            (
                "job,a,b\n1,0,1\n",
                group,
                "column `job` is described as one-hot columns",
            ),
            (
                "a,b\n1,0\n",
                &format!("{group}\n[a]\nscale = 2"),
                "column `a` is one of `job`, and described",
            ),
            (
                "income\n1\n",
                "[incom]\nscale = 2",
                "`incom`; did you mean `income`?",
            ),
            (
                "class,a\n1,2\n",
                "[class]\nscale = 2",
                "column `class` has the classes",
            ),
            (
                "class,a\n,2\n",
                "",
                "line 2, column `class`: the value is missing",
            ),
            ("a\n", "", "no line of numbers"),
        ] {
            let error = described(text, schema).unwrap_err();
            assert!(error.contains(why), "{text:?}, {schema:?}: {error}");
        }
        let rows = table_in_memory(b"a,b\n1,2\n3,x\n", &Schema::default()).unwrap_err();
        assert!(rows.contains("row 1, column `b`"), "{rows}");
    }
}
