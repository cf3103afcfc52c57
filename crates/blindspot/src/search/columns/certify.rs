//! Certificates of rows: how far, in the scales of its columns, a row must move at least for another answer.
//!
//! A row's certificate is one of the model behind a linear layer, from how far each value has moved, in units of its
//! scale, to the row. A change of category moves two values by 1: their unit is such that both together are as far from
//! the row as the column says. Whole numbers and categories count as the numbers between them, too, so that a
//! certificate may be smaller than it could be, but never larger.

use blindspot_bounds::certify::{Certifier, CertifyError, Ends};
use blindspot_data::{Column, ColumnKind, Columns};
use blindspot_model::inputs::InMemory;
use blindspot_model::{InputBox, Model, Norm};
use blindspot_net::ops::Binary;
use blindspot_net::{Graph, Network, Op, Operand};
use blindspot_run::monitor::Unwatched;

use super::limits;

/// More than the rounding of a root and a product.
const OUTWARD: f64 = 1.0 + 4.0 * f64::EPSILON;

/// The rows that a row may become.
pub(crate) struct Surroundings<'c> {
    columns: &'c Columns,
    row: &'c [f32],
    norm: Norm,
    /// What a value moves by for each unit of the norm; 0 where it must not move.
    units: Vec<f64>,
    /// How far each value may move, in these units: at least 0 up, at most 0 down.
    lower: Vec<f64>,
    upper: Vec<f64>,
}

impl<'c> Surroundings<'c> {
    /// Of a row of a table, measured in a norm.
    pub(crate) fn new(columns: &'c Columns, row: &'c [f32], norm: Norm) -> Surroundings<'c> {
        let none = || vec![0.0; row.len()];
        let (mut units, mut lower, mut upper) = (none(), none(), none());
        for column in columns {
            for &input in &column.inputs {
                let [least, most] = limits(column.range(), column.direction, row[input]);
                if least < most {
                    let unit = unit(column, norm);
                    let moves = |end: f32| (f64::from(end) - f64::from(row[input])) / unit;
                    units[input] = unit;
                    (lower[input], upper[input]) = (moves(least), moves(most));
                }
            }
        }
        Surroundings {
            columns,
            row,
            norm,
            units,
            lower,
            upper,
        }
    }

    /// The distance within which no row has another answer than the label, of a model with what stands behind it.
    pub(crate) fn certify(
        self,
        model: &Model,
        behind: Option<Network<f64>>,
        label: usize,
    ) -> Result<f64, CertifyError> {
        let ends = Ends {
            before: Some(self.before(model.network().input_shape())),
            behind,
        };
        let least = self.lower.iter().fold(0.0, |a: f64, &b| a.min(b));
        let most = self.upper.iter().fold(0.0, |a: f64, &b| a.max(b));
        let hull = InputBox {
            lower: (least as f32).next_down(),
            upper: (most as f32).next_up(),
        };
        let certifier = Certifier::with_ends(model, ends, hull)?.norm(self.norm);
        let certifier = certifier.ranges(self.lower, self.upper)?;
        let none = InMemory::new(vec![0.0; self.row.len()], self.row.len());
        let found = certifier.certify_inputs(&none, &[label], &[0], &Unwatched)?;
        let radius = found[0].radius;
        Ok(match self.norm {
            Norm::L0 => columns_of(radius, self.columns, &self.units),
            _ => radius,
        })
    }

    /// From how far values have moved to the row.
    fn before(&self, shape: &[usize]) -> Network<f64> {
        let graph = Graph::new("moves", shape);
        let network = graph.and_then(|mut graph| {
            for (name, op) in [("units", Binary::Mul), ("row", Binary::Add)] {
                let weight = graph.weight(name, shape)?;
                let operands = [Operand::Value(graph.output()), Operand::Weight(weight)];
                graph.node(
                    &format!("by {name}"),
                    Op::Binary(op),
                    &operands,
                    &format!("by {name}"),
                )?;
            }
            Ok(graph)
        });
        let row = self.row.iter().map(|&value| value.into());
        let weights = vec![self.units.clone(), row.collect()];
        let network = network.map(|graph| Network::new(graph, weights));
        network
            .expect("a model takes such inputs")
            .expect("the weights fit and are finite")
    }
}

/// How far a value of a column moves for a unit of a norm: of a category, so that two values that move by 1 are no
/// farther than the column's change is.
fn unit(column: &Column, norm: Norm) -> f64 {
    let values = match (&column.kind, norm) {
        (ColumnKind::Category { .. }, Norm::L2) => 2f64.sqrt() * OUTWARD,
        (ColumnKind::Category { .. }, Norm::L1) => 2.0 * OUTWARD,
        _ => 1.0,
    };
    values * column.scale
}

/// How many columns change at least where so many values do, of those that may move: of a category two at once.
fn columns_of(values: f64, columns: &Columns, units: &[f64]) -> f64 {
    let changeable = |column: &&Column| column.inputs.iter().any(|&input| units[input] > 0.0);
    let is_category = |column: &&Column| matches!(column.kind, ColumnKind::Category { .. });
    let categories = columns
        .iter()
        .filter(changeable)
        .filter(is_category)
        .count() as f64;
    let pairs = (0.5 * values).ceil().min(categories);
    pairs + (values - 2.0 * pairs).max(0.0)
}
