//! A description of columns: what a file says of them, the rest being found in the table.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Column, ColumnKind, Columns, Direction};
use crate::error::DataError;
use crate::files::{read_limited, sha256_hex};

/// A description of columns is not read further: 16 MiB.
const MAX_SCHEMA: u64 = 16 << 20;

/// What is said of the columns of a table; what is not said is found in the table itself.
///
/// A file in TOML has a section for each column that there is something to say of:
///
/// ```
/// let schema = blindspot_data::Schema::parse(r#"
/// [income]
/// unit = "EUR"
/// range = [0, 500000]   # what the table has, if this is left out
/// scale = 10000         # a change by 10,000 counts as 1: the standard deviation, if this is left out
/// direction = "up"      # or "down", or "none" of a column that must not change
///
/// [children]
/// kind = "integer"      # or "number", or "category"
///
/// [region]
/// kind = "category"     # the table has names, the model an input for each of these
/// categories = ["north", "south"]
///
/// [job]
/// kind = "category"     # the table has a column of 0 and 1 for each
/// one_hot = ["job_clerk", "job_cook"]
/// "#)?;
/// assert!(blindspot_data::Schema::parse("[income]\nscales = 1").is_err());
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schema {
    pub(super) columns: BTreeMap<String, Said>,
    sha256: Option<String>,
}

/// What is said of one column.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    pub(super) kind: Option<KindWord>,
    pub(super) range: Option<[f64; 2]>,
    #[serde(default)]
    pub(super) direction: Direction,
    pub(super) scale: Option<f64>,
    pub(super) unit: Option<String>,
    /// The names that a column of the table has.
    pub(super) categories: Option<Vec<String>>,
    /// The columns of the table that are one category together.
    pub(super) one_hot: Option<Vec<String>>,
}

/// A kind of column, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum KindWord {
    Number,
    Integer,
    Category,
}

impl Schema {
    /// Reads a description in TOML.
    ///
    /// # Errors
    /// What is wrong, with its line.
    pub fn parse(text: &str) -> Result<Schema, String> {
        let columns: BTreeMap<String, Said> =
            toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        Schema::of(columns)
    }

    /// Reads the same in JSON: an object of objects.
    ///
    /// # Errors
    /// What is wrong.
    pub fn parse_json(text: &str) -> Result<Schema, String> {
        let columns: BTreeMap<String, Said> =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        Schema::of(columns)
    }

    /// Reads the file of a description.
    ///
    /// # Errors
    /// [`DataError`] where it can't be read, or says what it can't.
    pub fn open(path: &Path) -> Result<Schema, DataError> {
        let content = read_limited(path, MAX_SCHEMA)?;
        let text = std::str::from_utf8(&content).map_err(|_| "it is no text in UTF-8".to_owned());
        let schema = text.and_then(Schema::parse);
        let schema = schema.map_err(|why| DataError::Damaged {
            path: path.to_owned(),
            why,
        })?;
        Ok(Schema {
            sha256: Some(sha256_hex(&content)),
            ..schema
        })
    }

    /// The SHA-256 of the file that it was read from, if it was.
    pub fn sha256(&self) -> Option<&str> {
        self.sha256.as_deref()
    }

    fn of(columns: BTreeMap<String, Said>) -> Result<Schema, String> {
        for (name, said) in &columns {
            said.check()
                .map_err(|why| format!("column `{name}`: {why}"))?;
        }
        Ok(Schema {
            columns,
            sha256: None,
        })
    }
}

impl Said {
    /// What is said belongs together.
    fn check(&self) -> Result<(), String> {
        let is_category = self.kind == Some(KindWord::Category);
        if let Some([lower, upper]) = self.range {
            let single = |end: f64| (end as f32).is_finite();
            if !(lower <= upper && single(lower) && single(upper)) {
                return Err(format!(
                    "its range is [{lower}, {upper}]; give a lower and a higher number"
                ));
            }
            let whole = lower.fract() == 0.0 && upper.fract() == 0.0;
            if self.kind == Some(KindWord::Integer) && !whole {
                return Err(format!(
                    "its range is [{lower}, {upper}], and it has whole numbers; give such ends"
                ));
            }
        }
        if let Some(scale) = self.scale
            && !(scale > 0.0 && scale.is_finite())
        {
            return Err(format!("its scale is {scale}; give a number above 0"));
        }
        if !is_category && (self.categories.is_some() || self.one_hot.is_some()) {
            return Err("it has categories; say kind = \"category\" beside them".into());
        }
        if !is_category {
            return Ok(());
        }
        if self.range.is_some() || matches!(self.direction, Direction::Up | Direction::Down) {
            let why = "categories have no range, and no direction but \"any\" and \"none\"";
            return Err(why.into());
        }
        if self.categories.is_some() && self.one_hot.is_some() {
            let why = "give categories, the names in a column, or one_hot, the columns of 0 and 1";
            return Err(why.into());
        }
        let given = self.categories.as_ref().or(self.one_hot.as_ref());
        let Some(given) = given else { return Ok(()) };
        let mut sorted = given.clone();
        sorted.sort();
        let twice = sorted.windows(2).find(|pair| pair[0] == pair[1]);
        match twice {
            _ if given.is_empty() => Err("it has no category; give at least one".into()),
            Some(pair) => Err(format!("it has the category `{}` twice", pair[0])),
            None => Ok(()),
        }
    }
}

/// Where a description of columns comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SchemaSource {
    /// From the table alone.
    Found,
    /// From a file in TOML, and for what that leaves out, from the table.
    File(PathBuf),
}

impl SchemaSource {
    /// The file, if it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            SchemaSource::Found => None,
            SchemaSource::File(path) => Some(path),
        }
    }

    /// Reads the description.
    ///
    /// # Errors
    /// [`DataError`] where the file can't be read, or is no description of columns.
    pub fn read(&self) -> Result<Schema, DataError> {
        self.file()
            .map_or_else(|| Ok(Schema::default()), Schema::open)
    }
}

impl FromStr for SchemaSource {
    type Err = std::convert::Infallible;

    /// `found`, or the name of a file.
    fn from_str(text: &str) -> Result<SchemaSource, Self::Err> {
        Ok(match text {
            "found" => SchemaSource::Found,
            file => SchemaSource::File(file.into()),
        })
    }
}

impl Columns {
    /// The columns of a table as a description in TOML, to be edited. Of one-hot columns it has the categories alone.
    pub fn to_toml(&self) -> String {
        let sections = self.iter().map(Column::to_toml);
        sections.collect::<Vec<_>>().join("\n")
    }
}

impl Column {
    fn to_toml(&self) -> String {
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let name = if !self.name.is_empty() && self.name.chars().all(bare) {
            self.name.clone()
        } else {
            quoted(&self.name)
        };
        let said = match &self.kind {
            ColumnKind::Number { range } | ColumnKind::Integer { range } => {
                // As short as single precision is.
                let short = |end: f32| end.to_string().parse().unwrap_or(f64::from(end));
                let [lower, upper] = range.map(|end| number(short(end)));
                format!("range = [{lower}, {upper}]")
            }
            ColumnKind::Category { categories } => {
                let names: Vec<String> = categories.iter().map(|name| quoted(name)).collect();
                format!("categories = [{}]", names.join(", "))
            }
        };
        let direction = match self.direction {
            Direction::Any => "any",
            Direction::Up => "up",
            Direction::Down => "down",
            Direction::None => "none",
        };
        let mut lines = vec![
            format!("[{name}]"),
            format!("kind = \"{}\"", self.kind_name()),
            said,
            format!("scale = {}", number(self.scale)),
            format!("direction = \"{direction}\""),
        ];
        let unit = self.unit.as_deref();
        lines.extend(unit.map(|unit| format!("unit = {}", quoted(unit))));
        lines.join("\n") + "\n"
    }
}

/// A text in quotes, as TOML has it: as JSON, but for one more letter.
fn quoted(text: &str) -> String {
    let text = serde_json::to_string(text).expect("text is JSON");
    text.replace('\u{7f}', "\\u007F")
}

/// A number as TOML has it, whose whole numbers are not beyond 64 bits.
fn number(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        format!("{number}")
    } else {
        format!("{number:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_is_refused_with_its_column() {
        for (text, why) in [
            ("[age]\nrange = [3, 1]", "column `age`: its range is [3, 1]"),
            (
                "[age]\nrange = [0, nan]",
                "give a lower and a higher number",
            ),
            (
                "[age]\nkind = \"integer\"\nrange = [0, 1.5]",
                "whole numbers",
            ),
            ("[age]\nscale = 0", "its scale is 0; give a number above 0"),
            ("[age]\nscale = \"x\"", "line 2"),
            ("[age]\ndirection = \"left\"", "line 2"),
            ("[age]\nkinds = \"integer\"", "unknown field `kinds`"),
            ("[job]\ncategories = [\"a\"]", "say kind = \"category\""),
            (
                "[job]\nkind = \"category\"\ndirection = \"up\"",
                "no direction but",
            ),
            (
                "[job]\nkind = \"category\"\ncategories = [\"a\", \"b\", \"a\"]",
                "the category `a` twice",
            ),
            (
                "[job]\nkind = \"category\"\ncategories = [\"a\"]\none_hot = [\"b\"]",
                "or one_hot",
            ),
            ("[job]\nkind = \"category\"\none_hot = []", "no category"),
            ("age = 3", "line 1"),
            ("[age", "line 1"),
        ] {
            let error = Schema::parse(text).unwrap_err();
            assert!(error.contains(why), "{text:?}: {error}");
        }
        assert!(Schema::parse_json("{\"age\": {\"scale\": 2, \"x\": 1}}").is_err());
        let json = Schema::parse_json("{\"age\": {\"scale\": 2}}");
        assert_eq!(json, Schema::parse("[age]\nscale = 2.0"));
    }
}
