//! The first weights of a stage.

use super::super::plan::Size;
use blindspot::run::random::Stream;

/// How much of the mean's direction a first filter has, whose own weights have length 1.
const OFFSET: f32 = 2.0;

/// Normal numbers with variance 1 over the field's length: [positions, field, maps].
pub(super) fn normal(size: &Size, positions: usize, stream: &mut Stream) -> Vec<f32> {
    let deviation = (size.field_len as f64).sqrt().recip();
    let count = positions * size.field_len * size.maps;
    let number = || (stream.normal() * deviation) as f32;
    std::iter::repeat_with(number).take(count).collect()
}

/// What a stage's training begins with at each position: its filters, and what puts images together
/// again, each [field, maps].
///
/// Normal numbers in the first stage. Above it each filter sees one map, by weights above 0 whose squares
/// add up to 1, and in addition the direction of the `mean` of each map that the stage sees. That makes
/// nearly all responses positive, and pooling, which squares, does not take their sign away; what it adds
/// to all filters alike is subtracted by the contrast normalisation, and not put together again.
pub(super) fn first_weights(size: &Size, seed: u64, stage: usize, mean: &[f32]) -> [Vec<f32>; 2] {
    let mut stream = Stream::new(seed, "filters", stage);
    let mut filters = normal(size, 1, &mut stream);
    let mut back = filters.clone();
    let (maps, below) = (size.maps, size.input[0]);
    if stage > 0 {
        let area = size.field_len / below;
        let norm = mean.iter().map(|x| x * x).sum::<f32>();
        let norm = (norm * area as f32).sqrt().max(f32::MIN_POSITIVE);
        for map in 0..maps {
            let seen = map % below;
            let own = |k: usize| k / area == seen;
            let of_map = |k: usize| back[k * maps + map];
            let squares = (0..size.field_len).filter(|&k| own(k));
            let squares = squares.map(|k| of_map(k) * of_map(k)).sum::<f32>();
            let scale = squares.sqrt().max(f32::MIN_POSITIVE);
            for k in 0..size.field_len {
                let place = &mut back[k * maps + map];
                *place = if own(k) { place.abs() / scale } else { 0.0 };
                filters[k * maps + map] = *place + OFFSET * mean[k / area] / norm;
            }
        }
        for row in back.chunks_exact_mut(maps) {
            let common = row.iter().sum::<f32>() / maps as f32;
            row.iter_mut().for_each(|weight| *weight -= common);
        }
    }
    [filters, back]
}
