//! Rows of planes, copied in blocks of a size that the compiler knows.
//!
//! Rows are short: to call what copies memory takes longer than to copy them. Loops run by numbers, not by
//! iterators, as what those call is not always inlined where it has to be.

use crate::real::Real;

/// Copies a row.
#[inline(always)]
pub(super) fn copy_row<T: Real>(from: &[T], to: &mut [T]) {
    write_row(from, to, |x| x);
}

/// `to[i] = function(from[i])`, in blocks, of which the last one overlaps that before it.
#[inline(always)]
pub(super) fn write_row<T: Real>(from: &[T], to: &mut [T], function: impl Fn(T) -> T + Copy) {
    match to.len() {
        16.. => write_blocks::<T, 16>(from, to, function),
        8.. => write_blocks::<T, 8>(from, to, function),
        4.. => write_blocks::<T, 4>(from, to, function),
        _ => write_blocks::<T, 1>(from, to, function),
    }
}

#[inline(always)]
fn map_block<T: Real, const N: usize>(from: &[T; N], to: &mut [T; N], function: impl Fn(T) -> T) {
    for lane in 0..N {
        to[lane] = function(from[lane]);
    }
}

#[inline(always)]
fn write_blocks<T: Real, const N: usize>(
    from: &[T],
    to: &mut [T],
    function: impl Fn(T) -> T + Copy,
) {
    let length = to.len();
    let from = &from[..length];
    let mut start = 0;
    while start < length {
        let at = start.min(length - N);
        if let (Some(from), Some(to)) = (from[at..].first_chunk(), to[at..].first_chunk_mut()) {
            map_block::<T, N>(from, to, function);
        }
        start += N;
    }
}

/// Every second number of a row, the first included.
#[inline(always)]
pub(super) fn take_second<T: Real>(from: &[T], to: &mut [T]) {
    let mut start = 0;
    while let (Some(block), Some(out)) = (
        from.get(2 * start..).and_then(<[T]>::first_chunk::<32>),
        to[start..].first_chunk_mut::<16>(),
    ) {
        for lane in 0..16 {
            out[lane] = block[2 * lane];
        }
        start += 16;
    }
    for i in start..to.len() {
        to[i] = from[2 * i];
    }
}

/// Puts the numbers of a row together again: those at even places, and those at odd ones.
#[inline(always)]
pub(super) fn put_pairs<T: Real>(even: &[T], odd: &[T], to: &mut [T], accumulate: bool) {
    let place = |to: T, x: T| if accumulate { to + x } else { x };
    let mut start = 0;
    while let (Some(even), Some(odd), Some(to)) = (
        even[start..].first_chunk::<16>(),
        odd[start..].first_chunk::<16>(),
        to[2 * start..].first_chunk_mut::<32>(),
    ) {
        for lane in 0..16 {
            to[2 * lane] = place(to[2 * lane], even[lane]);
            to[2 * lane + 1] = place(to[2 * lane + 1], odd[lane]);
        }
        start += 16;
    }
    for i in start..even.len() {
        to[2 * i] = place(to[2 * i], even[i]);
    }
    for i in start..odd.len() {
        to[2 * i + 1] = place(to[2 * i + 1], odd[i]);
    }
}
