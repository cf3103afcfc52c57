//! The three products of local filtering, over images side by side.
//!
//! Sixteen images lie beside each other in a tile: `tile[place][image]`. A position's weights are
//! read once for all images of a batch, and each of their numbers meets sixteen images at once.
//! Each sum runs over its terms in their order, whatever else is computed beside it.

use crate::real::{Real, vectorised};

/// Images beside each other in a tile.
pub const LANES: usize = 16;

/// The numbers of a tile's images at one place.
pub type Lane<T> = [T; LANES];

/// Rows of a weight's gradient that are worked on together.
const ROWS: usize = 8;
/// Maps that are worked on together there.
const MAPS: usize = 8;

/// Lays images of `length` numbers out as tiles, one tile after the other; the last is filled up
/// with zeros.
pub fn tile<T: Real>(images: &[T], length: usize, tiles: &mut [Lane<T>]) {
    let tiles = tiles.chunks_exact_mut(length);
    for (images, tile) in images.chunks(LANES * length).zip(tiles) {
        if images.len() < LANES * length {
            tile.fill([T::zero(); LANES]);
            for (lane, image) in images.chunks_exact(length).enumerate() {
                for (place, &value) in tile.iter_mut().zip(image) {
                    place[lane] = value;
                }
            }
            continue;
        }
        for (i, place) in tile.iter_mut().enumerate() {
            *place = std::array::from_fn(|lane| images[lane * length + i]);
        }
    }
}

/// The way back: writes the images' numbers into `images`, or adds them where `add` is set.
pub fn untile<T: Real>(tiles: &[Lane<T>], length: usize, images: &mut [T], add: bool) {
    let tiles = tiles.chunks_exact(length);
    for (images, tile) in images.chunks_mut(LANES * length).zip(tiles) {
        for (lane, image) in images.chunks_exact_mut(length).enumerate() {
            let numbers = tile.iter().map(|place| place[lane]);
            if add {
                image.iter_mut().zip(numbers).for_each(|(sum, x)| *sum += x);
            } else {
                image.iter_mut().zip(numbers).for_each(|(to, x)| *to = x);
            }
        }
    }
}

/// One position of one tile, forward: `out[m]` = sum over k of `x[places[k]] w[k][m]`.
pub fn filter<T: Real>(places: &[usize], weight: &[T], x: &[Lane<T>], out: &mut [Lane<T>]) {
    vectorised(
        #[inline(always)]
        move || {
            let maps = out.len();
            let mut m = 0;
            while m < maps {
                match maps - m {
                    4.. => filter_some::<T, 4>(places, weight, maps, &mut m, x, out),
                    _ => filter_some::<T, 1>(places, weight, maps, &mut m, x, out),
                }
            }
        },
    );
}

#[inline(always)]
fn filter_some<T: Real, const M: usize>(
    places: &[usize],
    weight: &[T],
    maps: usize,
    m: &mut usize,
    x: &[Lane<T>],
    out: &mut [Lane<T>],
) {
    let mut sums = [[T::zero(); LANES]; M];
    for (&place, weights) in places.iter().zip(weight.chunks_exact(maps)) {
        let x = &x[place];
        let weights: &[T; M] = weights[*m..*m + M].try_into().expect("M of them");
        for (sum, &w) in sums.iter_mut().zip(weights) {
            for lane in 0..LANES {
                sum[lane] = x[lane].mul_add(w, sum[lane]);
            }
        }
    }
    out[*m..*m + M].copy_from_slice(&sums);
    *m += M;
}

/// One position of one tile, back to the value: `dx[places[k]]` += sum over m of `dy[m] w[k][m]`.
pub fn scatter<T: Real>(places: &[usize], weight: &[T], dy: &[Lane<T>], dx: &mut [Lane<T>]) {
    vectorised(
        #[inline(always)]
        move || {
            let maps = dy.len();
            let mut m = 0;
            while m < maps {
                match maps - m {
                    4.. => scatter_some::<T, 4>(places, weight, &mut m, dy, dx),
                    _ => scatter_some::<T, 1>(places, weight, &mut m, dy, dx),
                }
            }
        },
    );
}

#[inline(always)]
fn scatter_some<T: Real, const M: usize>(
    places: &[usize],
    weight: &[T],
    m: &mut usize,
    dy: &[Lane<T>],
    dx: &mut [Lane<T>],
) {
    let maps = dy.len();
    let dy: [Lane<T>; M] = std::array::from_fn(|i| dy[*m + i]);
    for (&place, weights) in places.iter().zip(weight.chunks_exact(maps)) {
        let weights: &[T; M] = weights[*m..*m + M].try_into().expect("M of them");
        let dx = &mut dx[place];
        let mut sum = *dx;
        for (dy, &w) in dy.iter().zip(weights) {
            for lane in 0..LANES {
                sum[lane] = dy[lane].mul_add(w, sum[lane]);
            }
        }
        *dx = sum;
    }
    *m += M;
}

/// One position of one tile, back to the weight: `dw[k][m]` += sum over the images of
/// `x[places[k]] dy[m]`, in the order of the images.
pub fn correlate<T: Real>(places: &[usize], x: &[Lane<T>], dy: &[Lane<T>], dw: &mut [T]) {
    vectorised(
        #[inline(always)]
        move || {
            let maps = dy.len();
            for m in (0..maps).step_by(MAPS) {
                // The images' gradients row by row; places beyond the last map are 0.
                let count = MAPS.min(maps - m);
                let mut rows = [[T::zero(); MAPS]; LANES];
                for i in 0..count {
                    for lane in 0..LANES {
                        rows[lane][i] = dy[m + i][lane];
                    }
                }
                let blocks = places.chunks(ROWS).zip(dw.chunks_mut(ROWS * maps));
                for (places, dw) in blocks {
                    match places.len() {
                        ROWS => correlate_some::<T, ROWS>(places, x, &rows, maps, m, count, dw),
                        _ => {
                            for (place, dw) in places.chunks_exact(1).zip(dw.chunks_mut(maps)) {
                                correlate_some::<T, 1>(place, x, &rows, maps, m, count, dw);
                            }
                        }
                    }
                }
            }
        },
    );
}

#[inline(always)]
fn correlate_some<T: Real, const K: usize>(
    places: &[usize],
    x: &[Lane<T>],
    rows: &[[T; MAPS]; LANES],
    maps: usize,
    m: usize,
    count: usize,
    dw: &mut [T],
) {
    let x: [&Lane<T>; K] = std::array::from_fn(|k| &x[places[k]]);
    let mut sums = [[T::zero(); MAPS]; K];
    for (k, sum) in sums.iter_mut().enumerate() {
        let at = k * maps + m;
        if count == MAPS {
            *sum = dw[at..at + MAPS].try_into().expect("MAPS of them");
        } else {
            sum[..count].copy_from_slice(&dw[at..at + count]);
        }
    }
    for lane in 0..LANES {
        for (sum, x) in sums.iter_mut().zip(&x) {
            for i in 0..MAPS {
                sum[i] = rows[lane][i].mul_add(x[lane], sum[i]);
            }
        }
    }
    for (k, sum) in sums.iter().enumerate() {
        let at = k * maps + m;
        if count == MAPS {
            dw[at..at + MAPS].copy_from_slice(sum);
        } else {
            dw[at..at + count].copy_from_slice(&sum[..count]);
        }
    }
}
