//! One stage divided into parts, by rows of positions, and what these have to tell each other.
//!
//! A part has the weights of its positions. Their fields reach into rows of the input that belong to
//! its neighbours (a halo), and pooling reaches over the next rows of positions.

use std::ops::Range;

use blindspot_net::ops::tiles::Lane;
use bytemuck::Pod;

use super::plan::{Size, Stage};
use blindspot::run::communicator::Communicator;

/// How the rows of a stage are divided into parts.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowPartition {
    /// Rows of positions.
    positions: usize,
    /// Rows of the stage's input.
    input: usize,
    field: usize,
    stride: usize,
    pool: usize,
    /// The number of parts, at most that of rows of positions.
    parts: usize,
}

impl RowPartition {
    /// The partition of a stage among `parts` ranks.
    pub(super) fn new(size: &Size, stage: Stage, parts: usize) -> RowPartition {
        RowPartition {
            positions: size.grid[0],
            input: size.input[1],
            field: stage.field,
            stride: stage.stride,
            pool: stage.pool,
            parts,
        }
    }

    /// The rows of positions of a part.
    pub(super) fn positions(&self, part: usize) -> Range<usize> {
        let first = |part: usize| part * self.positions / self.parts;
        first(part)..first(part + 1)
    }

    /// The rows of the input that a part puts together: no later part needs them.
    pub(super) fn owned(&self, part: usize) -> Range<usize> {
        let rows = self.positions(part);
        rows.start * self.stride..self.end(part, rows.end * self.stride)
    }

    /// The rows of the input that a part needs: its own, and those that its fields reach into.
    pub(super) fn needed(&self, part: usize) -> Range<usize> {
        let own = self.owned(part);
        let reach = (self.positions(part).end - 1) * self.stride + self.field;
        own.start..self.end(part, reach.max(own.end))
    }

    /// The last part has all rows to the end.
    fn end(&self, part: usize, row: usize) -> usize {
        if part + 1 == self.parts {
            self.input
        } else {
            row
        }
    }

    /// The rows of positions whose responses are pooled with a part's.
    pub(super) fn pooled(&self, part: usize) -> Range<usize> {
        let rows = self.positions(part);
        rows.start.saturating_sub(self.pool - 1)..self.positions.min(rows.end + self.pool - 1)
    }

    /// The rows of pooling neighbourhoods of a part: those that begin in its rows.
    pub(super) fn neighbourhoods(&self, part: usize) -> Range<usize> {
        let (rows, all) = (self.positions(part), self.positions + 1 - self.pool);
        rows.start.min(all)..rows.end.min(all)
    }

    /// The rows of the input that a part needs and the part before it needs, too.
    pub(super) fn shared_above(&self, part: usize) -> Range<usize> {
        match part {
            0 => 0..0,
            _ => intersection(&self.needed(part), &self.needed(part - 1)),
        }
    }
}

/// The rows that are in both ranges.
fn intersection(one: &Range<usize>, other: &Range<usize>) -> Range<usize> {
    let start = one.start.max(other.start);
    start..one.end.min(other.end).max(start)
}

/// Some rows of planes, tile after tile.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    pub(super) planes: usize,
    pub(super) width: usize,
    /// Which of the stage's rows these are.
    pub(super) rows: Range<usize>,
}

impl Rows {
    /// Numbers in a tile.
    pub(super) fn len(&self) -> usize {
        self.planes * self.rows.len() * self.width
    }

    /// Where some of the rows lie in a tile, plane after plane.
    pub(super) fn places(&self, rows: &Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        let (width, count) = (self.width, self.rows.len());
        let (first, length) = (rows.start - self.rows.start, rows.len());
        (0..self.planes).map(move |plane| {
            let start = (plane * count + first) * width;
            start..start + length * width
        })
    }

    /// Some of the rows of all tiles, as a message.
    pub(super) fn read<T: Pod>(&self, tiles: &[T], rows: &Range<usize>) -> Vec<u8> {
        let mut message = Vec::new();
        for tile in tiles.chunks_exact(self.len()) {
            for place in self.places(rows) {
                message.extend_from_slice(bytemuck::cast_slice(&tile[place]));
            }
        }
        message
    }

    /// Puts what [`read`](Rows::read) has read elsewhere into the same rows here.
    fn write<T: Pod>(&self, tiles: &mut [T], rows: &Range<usize>, message: &[u8]) {
        let mut rest = message;
        for tile in tiles.chunks_exact_mut(self.len()) {
            for place in self.places(rows) {
                let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut tile[place]);
                let (own, others) = rest.split_at(bytes.len());
                bytes.copy_from_slice(own);
                rest = others;
            }
        }
    }
}

/// Brings each part the rows that it `holds` and another one `owns`.
pub(super) fn halo<T: Pod>(
    ranks: &dyn Communicator,
    layout: &Rows,
    tiles: &mut [Lane<T>],
    owns: impl Fn(usize) -> Range<usize>,
    holds: impl Fn(usize) -> Range<usize>,
) {
    let me = ranks.rank();
    let others = || (0..ranks.count()).filter(|&other| other != me);
    for other in others() {
        let rows = intersection(&owns(me), &holds(other));
        if !rows.is_empty() {
            ranks.send(other, layout.read(tiles, &rows));
        }
    }
    for other in others() {
        let rows = intersection(&owns(other), &holds(me));
        if !rows.is_empty() {
            layout.write(tiles, &rows, &ranks.receive(other));
        }
    }
}

/// Completes the sums of the rows that several parts need, from the first part to the last: each adds its
/// terms (by `add`) to what the parts before it have added up.
pub(super) fn pipelined_sum<T: Pod>(
    ranks: &dyn Communicator,
    partition: &RowPartition,
    layout: &Rows,
    tiles: &mut [Lane<T>],
    add: impl FnOnce(&mut [Lane<T>]),
) {
    let (me, count) = (ranks.rank(), ranks.count());
    let above = partition.shared_above(me);
    let below = if me + 1 < count {
        partition.shared_above(me + 1)
    } else {
        0..0
    };
    let tell = |tiles: &[Lane<T>]| {
        if !below.is_empty() {
            ranks.send(me + 1, layout.read(tiles, &below));
        }
    };
    // Most parts need not wait: only rows that three of them see depend on what comes from above.
    let apart = above.is_empty() || above.end <= below.start;
    if apart {
        tell(tiles);
    }
    if !above.is_empty() {
        layout.write(tiles, &above, &ranks.receive(me - 1));
        add(tiles);
    }
    if !apart {
        tell(tiles);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_one_owner_and_is_seen_by_whose_fields_reach_it() {
        for (input, field, stride, pool) in [(11, 3, 1, 2), (13, 2, 3, 1), (14, 5, 2, 3)] {
            let positions = (input - field) / stride + 1;
            for parts in 1..=positions.min(5) {
                let partition = RowPartition {
                    positions,
                    input,
                    field,
                    stride,
                    pool,
                    parts,
                };
                let mut owned = vec![0; input];
                for part in 0..parts {
                    let (needed, rows) = (partition.needed(part), partition.positions(part));
                    assert!(!rows.is_empty());
                    partition.owned(part).for_each(|row| owned[row] += 1);
                    for row in rows.clone() {
                        assert!(needed.start <= row * stride && row * stride + field <= needed.end);
                    }
                    assert_eq!((needed.len() - field) / stride + 1, rows.len());
                    // Whoever sees a row after its owner would have to complete it.
                    for row in partition.owned(part) {
                        assert!((part + 1..parts).all(|p| !partition.needed(p).contains(&row)));
                    }
                }
                assert_eq!(owned, vec![1; input]);
            }
        }
    }
}
