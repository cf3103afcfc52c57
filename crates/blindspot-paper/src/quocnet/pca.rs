//! What principal components leave of a field: the reconstruction that filters are held against.

use blindspot_net::ops::Fields;

use blindspot::inputs::InputError;
use blindspot::run::random::Stream;

/// Fields that the components are taken from, and that they are tried on.
const FIELDS: usize = 10_000;
/// Fields of one image.
const OF_AN_IMAGE: usize = 20;

/// The squared error of fields of held-out images put together from `count` principal directions (of
/// the second moments of the other images' fields, all positions together), over their sum of squares.
/// `of` gives a stage's inputs of some images.
///
/// # Errors
/// What `of` fails with.
pub(crate) fn error(
    fields: &Fields,
    count: usize,
    [trained_on, held_out]: [&[usize]; 2],
    of: impl Fn(&[usize]) -> Result<Vec<f32>, InputError>,
    seed: u64,
) -> Result<f64, InputError> {
    let length = fields.field_len();
    let moments = |images: &[usize]| -> Result<faer::Mat<f64>, InputError> {
        let mut stream = Stream::new(seed, "fields of the components", images.len());
        let mut sample = Vec::with_capacity(FIELDS * length);
        let most = images.len().min(FIELDS / OF_AN_IMAGE);
        for &index in &images[..most] {
            let values = of(&[index])?;
            for _ in 0..OF_AN_IMAGE {
                let position = stream.below(fields.count());
                let places = &fields.places()[position * length..(position + 1) * length];
                sample.extend(places.iter().map(|&place| f64::from(values[place])));
            }
        }
        let columns = sample.len() / length;
        let sample = faer::MatRef::from_column_major_slice(&sample, length, columns);
        Ok(sample * sample.transpose())
    };
    let (moments, others) = (moments(trained_on)?, moments(held_out)?);
    let total: f64 = (0..length).map(|i| others[(i, i)]).sum();
    let Ok(eigen) = moments.self_adjoint_eigen(faer::Side::Lower) else {
        return Ok(f64::NAN);
    };
    // In ascending order.
    let kept = eigen
        .U()
        .subcols(length - count.min(length), count.min(length));
    let projected = kept.transpose() * &others * kept;
    let explained: f64 = (0..kept.ncols()).map(|i| projected[(i, i)]).sum();
    Ok((1.0 - explained / total.max(f64::MIN_POSITIVE)).max(0.0))
}
