//! Where a batch of a stage lies while its loss is evaluated.

use std::ops::Range;

use blindspot_net::Real;
use blindspot_net::ops::tiles::{LANES, Lane};

use super::row_partition::Rows;

/// The memory of a batch: kept from one to the next. Images are worked on in tiles of [`LANES`].
#[derive(Debug, Default)]
pub(crate) struct Memory<T> {
    /// The images.
    pub(super) x: Vec<Lane<T>>,
    /// What the filters gave, with the rows of neighbours that are pooled over, too.
    pub(super) h: Vec<Lane<T>>,
    /// The reconstructions, then their errors.
    pub(super) e: Vec<Lane<T>>,
    /// The gradient with respect to this part's rows of `h`.
    pub(super) dh: Vec<Lane<T>>,
    /// What the first rows of positions add to the reconstruction, until those before them have.
    pub(super) waiting: Vec<Lane<T>>,
}

/// How a batch lies in the [`Memory`]: lengths are those of a tile.
pub(super) struct Layout {
    pub(super) tiles: usize,
    /// Of `x` and `e`.
    pub(super) input: usize,
    /// The rows of `h`.
    pub(super) pooled: Rows,
    /// Where this part's own rows lie in `h`.
    pub(super) own: Range<usize>,
    /// Of `waiting`.
    pub(super) waiting: usize,
}

/// One tile of the [`Memory`].
pub(super) struct Tile<'a, T> {
    pub(super) x: &'a [Lane<T>],
    pub(super) h: &'a mut [Lane<T>],
    pub(super) e: &'a mut [Lane<T>],
    pub(super) dh: &'a mut [Lane<T>],
    pub(super) waiting: &'a mut [Lane<T>],
}

impl<T: Real> Memory<T> {
    /// Makes room for a batch.
    pub(super) fn fit(&mut self, layout: &Layout) {
        let lengths = [
            (&mut self.x, layout.input),
            (&mut self.e, layout.input),
            (&mut self.h, layout.pooled.len()),
            (&mut self.dh, layout.own.len()),
            (&mut self.waiting, layout.waiting),
        ];
        for (values, length) in lengths {
            values.resize(layout.tiles * length, [T::zero(); LANES]);
        }
    }

    /// The tiles, one after the other.
    pub(super) fn tiles(&mut self, layout: &Layout) -> Vec<Tile<'_, T>> {
        let mut waiting = &mut self.waiting[..];
        let tiles = self
            .x
            .chunks_exact(layout.input)
            .zip(self.e.chunks_exact_mut(layout.input))
            .zip(self.h.chunks_exact_mut(layout.pooled.len()))
            .zip(self.dh.chunks_exact_mut(layout.own.len()));
        let tile = |(((x, e), h), dh)| Tile {
            x,
            h,
            e,
            dh,
            // There may be nothing that waits, which chunks can't be made of.
            waiting: waiting.split_off_mut(..layout.waiting).expect("it fits"),
        };
        tiles.map(tile).collect()
    }
}
