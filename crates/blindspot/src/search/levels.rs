//! The levels of 8-bit images: level / 255 is the value.

use super::bounds::FeasibleBox;

/// The value that a level stands for.
pub(super) fn value(level: u8) -> f32 {
    f32::from(level) / 255.0
}

/// The level whose value is nearest to `wanted` and lies in the feasible range at a position.
pub(super) fn level(feasible_box: &FeasibleBox, position: usize, wanted: f32) -> u8 {
    // Saturating, and 0 of NaN.
    let nearest = (feasible_box.clip_value(position, wanted) * 255.0).round() as u8;
    let [below, above] = [nearest.saturating_sub(1), nearest.saturating_add(1)];
    let (lower, upper) = (feasible_box.lower[position], feasible_box.upper[position]);
    match value(nearest) {
        kept if kept > upper && value(below) >= lower => below,
        kept if kept < lower && value(above) <= upper => above,
        _ => nearest,
    }
}
