//! From the cells of a table, and what is said of its columns, to columns and inputs.

use std::collections::{BTreeSet, HashMap};

use super::schema::{KindWord, Said};
use super::{Column, ColumnKind, Columns, Schema};
use crate::folder::few;
use crate::suggest::suggest;

/// Categories of a column at most.
const MAX_CATEGORIES: usize = 4096;
/// Whole numbers beyond this are not all numbers of single precision.
const MAX_WHOLE: f64 = 16_777_216.0;

/// The cells of a table, and where each is.
pub(crate) struct Cells<'t> {
    /// The names of the columns of inputs.
    pub(crate) names: Vec<&'t str>,
    /// The name of the column of classes.
    pub(crate) label: Option<&'t str>,
    /// The cells, row after row, none of them missing.
    pub(crate) cells: Vec<&'t str>,
    /// What each row is called: `line 3`.
    pub(crate) rows: Vec<String>,
}

/// A table with its columns known.
pub(crate) struct Described {
    pub(crate) columns: Columns,
    /// The inputs, row after row.
    pub(crate) values: Vec<f32>,
}

impl Cells<'_> {
    /// The columns as far as they are described, the rest as it is found; and the inputs.
    ///
    /// # Errors
    /// What is wrong, with row and column.
    pub(crate) fn described(&self, schema: &Schema) -> Result<Described, String> {
        let groups = self.groups(schema)?;
        let rows = self.rows.len();
        let mut columns: Vec<Column> = Vec::new();
        // The values of each input, a list for each.
        let mut inputs: Vec<Vec<f32>> = Vec::new();
        let mut begun: HashMap<&str, usize> = HashMap::new();
        let none = Said::default();
        for (place, &name) in self.names.iter().enumerate() {
            if let Some(&(group, at)) = groups.get(name) {
                let column = *begun.entry(group).or_insert_with(|| {
                    columns.push(of_group(group, &schema.columns[group]));
                    columns.len() - 1
                });
                columns[column].inputs[at] = inputs.len();
                inputs.push(self.numbers(place)?);
                continue;
            }
            let said = schema.columns.get(name).unwrap_or(&none);
            let found = self.column(place, said, inputs.len())?;
            columns.push(found.0);
            inputs.extend(found.1);
        }
        for column in columns
            .iter()
            .filter(|column| begun.contains_key(&*column.name))
        {
            self.check_group(column, &inputs)?;
        }
        let values = (0..rows).flat_map(|row| inputs.iter().map(move |input| input[row]));
        Ok(Described {
            values: values.collect(),
            columns: Columns::new(columns),
        })
    }

    /// The one-hot columns, each with its group and its place there; and checks that there are all columns that are
    /// described.
    fn groups<'s>(&self, schema: &'s Schema) -> Result<HashMap<&'s str, (&'s str, usize)>, String> {
        let mut groups: HashMap<&str, (&str, usize)> = HashMap::new();
        let missing = |name: &str| {
            let likely = suggest(name, self.names.iter().copied());
            let likely = likely.map_or(String::new(), |likely| {
                format!("; did you mean `{likely}`?")
            });
            format!("columns are described that it has not: `{name}`{likely}")
        };
        for (name, said) in &schema.columns {
            if self.label == Some(name) {
                return Err(format!(
                    "column `{name}` has the classes; columns of inputs alone are described"
                ));
            }
            let is_there = self.names.contains(&&**name);
            let Some(members) = &said.one_hot else {
                if !is_there {
                    return Err(missing(name));
                }
                continue;
            };
            if is_there {
                return Err(format!(
                    "column `{name}` is described as one-hot columns with another name; give these a name that no \
                     column has"
                ));
            }
            for (at, member) in members.iter().enumerate() {
                if !self.names.contains(&&**member) {
                    return Err(missing(member));
                }
                if schema.columns.contains_key(member) {
                    return Err(format!(
                        "column `{member}` is one of `{name}`, and described by itself, too"
                    ));
                }
                if let Some((other, _)) = groups.insert(member, (name, at)) {
                    return Err(format!(
                        "column `{member}` is one of `{other}` and of `{name}`"
                    ));
                }
            }
        }
        Ok(groups)
    }

    /// The cells of a column.
    fn cells(&self, place: usize) -> impl Iterator<Item = &str> {
        let (first, step) = (place.min(self.cells.len()), self.names.len());
        self.cells[first..].iter().step_by(step).copied()
    }

    /// What is wrong with a cell.
    fn at(&self, row: usize, place: usize, why: &str) -> String {
        format!("{}, column `{}`: {why}", self.rows[row], self.names[place])
    }

    /// A column that is no one-hot column, whose inputs begin at a place, and its inputs.
    fn column(
        &self,
        place: usize,
        said: &Said,
        first: usize,
    ) -> Result<(Column, Vec<Vec<f32>>), String> {
        let is_text = match said.kind {
            Some(kind) => kind == KindWord::Category,
            None => self.cells(place).all(|cell| number(cell).is_none()),
        };
        let (kind, inputs) = if is_text {
            self.category(place, said)?
        } else {
            self.range(place, said)?
        };
        let scale = match (&kind, said.scale) {
            (_, Some(scale)) => scale,
            (ColumnKind::Category { .. }, None) => 1.0,
            _ => deviation(&inputs[0]),
        };
        let column = Column {
            name: self.names[place].to_owned(),
            kind,
            direction: said.direction,
            scale,
            unit: said.unit.clone(),
            inputs: (first..first + inputs.len()).collect(),
        };
        Ok((column, inputs))
    }

    /// A column of names.
    fn category(&self, place: usize, said: &Said) -> Result<(ColumnKind, Vec<Vec<f32>>), String> {
        let categories = match &said.categories {
            Some(categories) => categories.clone(),
            None => {
                let found: BTreeSet<&str> = self.cells(place).collect();
                found.into_iter().map(str::to_owned).collect()
            }
        };
        if categories.len() > MAX_CATEGORIES {
            return Err(format!(
                "column `{}` has {} different names, and a column of categories has {MAX_CATEGORIES} at most",
                self.names[place],
                categories.len()
            ));
        }
        let places: HashMap<&str, usize> = categories.iter().map(String::as_str).zip(0..).collect();
        let mut inputs = vec![vec![0.0; self.rows.len()]; categories.len()];
        for (row, cell) in self.cells(place).enumerate() {
            let Some(&category) = places.get(cell) else {
                let why = format!(
                    "`{}` is none of its categories, {}",
                    short(cell),
                    few(&categories)
                );
                return Err(self.at(row, place, &why));
            };
            inputs[category][row] = 1.0;
        }
        Ok((ColumnKind::Category { categories }, inputs))
    }

    /// A column of numbers.
    fn range(&self, place: usize, said: &Said) -> Result<(ColumnKind, Vec<Vec<f32>>), String> {
        let numbers = self.numbers(place)?;
        let whole = |x: f32| x.fract() == 0.0 && f64::from(x).abs() <= MAX_WHOLE;
        let is_whole = match said.kind {
            Some(kind) => kind == KindWord::Integer,
            None => {
                let mut ends = said.range.into_iter().flatten();
                numbers.iter().all(|&x| whole(x)) && ends.all(|end| whole(end as f32))
            }
        };
        if is_whole && let Some(row) = numbers.iter().position(|&x| !whole(x)) {
            let why = format!(
                "{} is no whole number up to {MAX_WHOLE}, and the column has such",
                numbers[row]
            );
            return Err(self.at(row, place, &why));
        }
        let range = match said.range {
            Some(ends) => ends.map(|end| end as f32),
            None => numbers
                .iter()
                .fold([f32::INFINITY, f32::NEG_INFINITY], |range, &x| {
                    [range[0].min(x), range[1].max(x)]
                }),
        };
        let inside = |x: f32| (range[0]..=range[1]).contains(&x);
        if let Some(row) = numbers.iter().position(|&x| !inside(x)) {
            let why = format!(
                "{} lies outside of its range, {} to {}",
                numbers[row], range[0], range[1]
            );
            return Err(self.at(row, place, &why));
        }
        let kind = if is_whole {
            ColumnKind::Integer { range }
        } else {
            ColumnKind::Number { range }
        };
        Ok((kind, vec![numbers]))
    }

    /// The numbers of a column.
    fn numbers(&self, place: usize) -> Result<Vec<f32>, String> {
        let numbers = self.cells(place).enumerate().map(|(row, cell)| {
            number(cell).ok_or_else(|| {
                let why = format!(
                    "`{}` is no finite number; write numbers with a decimal point, and describe a column of names as \
                     a category",
                    short(cell)
                );
                self.at(row, place, &why)
            })
        });
        numbers.collect()
    }

    /// Checks that each row has one category of a group of one-hot columns.
    fn check_group(&self, group: &Column, inputs: &[Vec<f32>]) -> Result<(), String> {
        for row in 0..self.rows.len() {
            let values = group.inputs.iter().map(|&input| inputs[input][row]);
            let (mut ones, mut others) = (0, 0);
            for value in values.clone() {
                ones += usize::from(value == 1.0);
                others += usize::from(value != 0.0 && value != 1.0);
            }
            if ones != 1 || others > 0 {
                let sum: f32 = values.sum();
                return Err(format!(
                    "{}, columns of `{}`: they sum to {sum}; give one of them 1 and the others 0",
                    self.rows[row], group.name
                ));
            }
        }
        Ok(())
    }
}

/// A group of one-hot columns, whose inputs are not known yet.
fn of_group(name: &str, said: &Said) -> Column {
    let members = said.one_hot.as_deref().unwrap_or_default();
    // Of `job_cook`, one of `job`, the category is `cook`.
    let category = |member: &String| {
        let rest = member.strip_prefix(name);
        let rest = rest.map(|rest| rest.trim_start_matches(['_', '=', '-', '.', ':', ' ']));
        rest.filter(|rest| !rest.is_empty())
            .unwrap_or(member)
            .to_owned()
    };
    Column {
        name: name.to_owned(),
        kind: ColumnKind::Category {
            categories: members.iter().map(category).collect(),
        },
        direction: said.direction,
        scale: said.scale.unwrap_or(1.0),
        unit: said.unit.clone(),
        inputs: vec![0; members.len()],
    }
}

/// The finite number that a cell has.
pub(crate) fn number(cell: &str) -> Option<f32> {
    let number: Option<f32> = cell.parse().ok();
    number.filter(|number| number.is_finite())
}

/// What is shown of a cell.
pub(crate) fn short(cell: &str) -> String {
    cell.chars().take(60).collect()
}

/// The standard deviation of numbers; 1 where they are all the same.
fn deviation(numbers: &[f32]) -> f64 {
    let count = numbers.len().max(1) as f64;
    let mean = numbers.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let square = |&x: &f32| (f64::from(x) - mean).powi(2);
    let deviation = (numbers.iter().map(square).sum::<f64>() / count).sqrt();
    if deviation > 0.0 { deviation } else { 1.0 }
}
