//! What the columns of a table are, and how their values may change: numbers, whole numbers, categories.

mod found;
mod schema;

use serde::{Deserialize, Serialize};

use crate::folder::few;
pub(crate) use found::{Cells, number, short};
pub use schema::{Schema, SchemaSource};

/// The columns of a table, in the order of an input's values.
///
/// An input of a model has one value for each number, and one for each category of a column of categories: 1 for the
/// one that holds, 0 for the others (one-hot).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Columns(Vec<Column>);

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Its name; of several one-hot columns, that of the group.
    pub name: String,
    /// What its values are, and which there are.
    #[serde(flatten)]
    pub kind: ColumnKind,
    /// Which way they may change.
    pub direction: Direction,
    /// What counts as a change by 1: so many of its units, above 0. A change of category counts as 1 / scale.
    pub scale: f64,
    /// What a number counts, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Places of its values in an input: one, or one for each category.
    pub inputs: Vec<usize>,
}

/// What the values of a column are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum ColumnKind {
    /// Numbers within a range, ends included.
    Number {
        /// The smallest and the largest.
        range: [f32; 2],
    },
    /// Whole numbers within a range, ends included.
    Integer {
        /// The smallest and the largest.
        range: [f32; 2],
    },
    /// One of some categories.
    Category {
        /// Their names, in the order of the input's values.
        categories: Vec<String>,
    },
}

/// Which way the values of a column may change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Up and down; a category to any other.
    #[default]
    Any,
    /// Numbers only up.
    Up,
    /// Numbers only down.
    Down,
    /// Not at all: the column is immutable.
    None,
}

/// What a row has in a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'c> {
    /// A number.
    Number(f32),
    /// The name of a category.
    Category(&'c str),
}

impl Column {
    /// The smallest and the largest value of each of the column's inputs: 0 and 1 of a category's.
    pub fn range(&self) -> [f32; 2] {
        match self.kind {
            ColumnKind::Number { range } | ColumnKind::Integer { range } => range,
            ColumnKind::Category { .. } => [0.0, 1.0],
        }
    }

    /// Its values in words: `0 to 9`, or the first names of categories.
    pub fn values(&self) -> String {
        match &self.kind {
            ColumnKind::Number { range } | ColumnKind::Integer { range } => {
                format!("{} to {}", range[0], range[1])
            }
            ColumnKind::Category { categories } => few(categories),
        }
    }

    /// The name of its kind: `number`, `integer` or `category`.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            ColumnKind::Number { .. } => "number",
            ColumnKind::Integer { .. } => "integer",
            ColumnKind::Category { .. } => "category",
        }
    }

    /// What a row of an input's values has in this column.
    ///
    /// # Panics
    /// Where the row has fewer values than the table's inputs.
    pub fn value(&self, row: &[f32]) -> Value<'_> {
        match &self.kind {
            ColumnKind::Category { categories } => Value::Category(&categories[self.chosen(row)]),
            _ => Value::Number(row[self.inputs[0]]),
        }
    }

    /// Which of the column's inputs is the largest: of a row's category, its place among all.
    ///
    /// # Panics
    /// Where the row has fewer values than the table's inputs.
    pub fn chosen(&self, row: &[f32]) -> usize {
        let places = 0..self.inputs.len();
        let largest = places.max_by(|&a, &b| {
            let [a, b] = [a, b].map(|place| row[self.inputs[place]]);
            a.total_cmp(&b)
        });
        largest.unwrap_or(0)
    }
}

impl Columns {
    /// The columns, each of whose inputs is named once.
    pub(crate) fn new(columns: Vec<Column>) -> Columns {
        Columns(columns)
    }

    /// The columns one by one.
    pub fn iter(&self) -> std::slice::Iter<'_, Column> {
        self.0.iter()
    }

    /// How many values an input has.
    pub fn inputs(&self) -> usize {
        self.0.iter().map(|column| column.inputs.len()).sum()
    }

    /// The smallest and the largest number that each value of an input may be.
    pub fn ranges(&self) -> [Vec<f32>; 2] {
        let mut ranges = [0, 1].map(|_| vec![0.0; self.inputs()]);
        for column in &self.0 {
            for &input in &column.inputs {
                for (ends, end) in ranges.iter_mut().zip(column.range()) {
                    ends[input] = end;
                }
            }
        }
        ranges
    }

    /// The smallest and the largest number that any value of an input may be.
    pub fn reach(&self) -> [f32; 2] {
        let ranges = self.0.iter().map(Column::range);
        ranges.fold([f32::INFINITY, f32::NEG_INFINITY], |reach, range| {
            [reach[0].min(range[0]), reach[1].max(range[1])]
        })
    }

    /// Whether some column has whole numbers or categories alone.
    pub fn are_discrete(&self) -> bool {
        let number = |column: &Column| matches!(column.kind, ColumnKind::Number { .. });
        !self.0.iter().all(number)
    }
}

impl FromIterator<Column> for Columns {
    fn from_iter<I: IntoIterator<Item = Column>>(columns: I) -> Columns {
        Columns(columns.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a Columns {
    type Item = &'a Column;
    type IntoIter = std::slice::Iter<'a, Column>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
