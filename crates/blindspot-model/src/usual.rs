//! Whether a network seems to want its input otherwise than it gets it: the usual ways are tried on a few images.

use std::time::{Duration, Instant};

use blindspot_data::ImageSet;

use crate::classify::predictions;
use crate::inputs::InputError;
use crate::preprocess::{ChannelOrder, Preprocess};
use crate::{InputBox, Model};

/// Images that the time of one is measured by.
const FIRST: usize = 8;
/// No more images than these are looked at.
const MOST: usize = 64;
/// Fewer tell nothing.
const LEAST: usize = 16;
/// The least share of the images that must be gained.
const FAR: f64 = 0.15;

/// A preprocessing through which a model is right far more often than as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Better {
    /// The preprocessing.
    pub preprocess: Preprocess,
    /// Images that it is right on through that.
    pub right: usize,
    /// Images that it is right on as it is.
    pub right_as_it_is: usize,
    /// Images that were tried.
    pub images: usize,
}

/// Tries the usual preprocessings with a model of which nothing was said but its layout, on some 16 to 64 labelled
/// images chosen by a seed, for about `time` at most; gives the best, where it is far better: right on at least 15% more
/// of the images, and more so than chance explains. `None` also where the images have no labels or another size than
/// the model takes, where they are too few, or the model too slow.
///
/// # Errors
/// [`InputError`] where an image can't be read, or the model gives no numbers.
pub fn better_preprocessing(
    model: &Model,
    images: &ImageSet,
    time: Duration,
) -> Result<Option<Better>, InputError> {
    let own = model.preprocess();
    let nothing_said = own.keeps_values() && own.channel_order == ChannelOrder::Rgb;
    let fits = images.labels().is_some() && model.input_len() == images.image_len();
    if !nothing_said || !fits || model.input_box() != InputBox::default() || images.len() < LEAST {
        return Ok(None);
    }
    let candidates = usual(model.image_shape());
    let begun = Instant::now();
    predictions(model.network(), &images.shuffled(FIRST, 0))?;
    let each = begun.elapsed().as_secs_f64() / FIRST as f64;
    let affordable = time.as_secs_f64() / (each * (candidates.len() + 1) as f64).max(1e-9);
    let count = images.len().min(MOST).min(affordable as usize);
    if count < LEAST {
        return Ok(None);
    }
    let chosen = images.shuffled(count, 0);
    let labels = chosen.labels().unwrap_or_default();
    let right = |answers: Vec<usize>| -> Vec<bool> {
        answers.iter().zip(labels).map(|(a, b)| a == b).collect()
    };
    let as_it_is = right(predictions(model.network(), &chosen)?);
    let mut best: Option<(Preprocess, Vec<bool>)> = None;
    for candidate in candidates {
        // What the network itself can't take is not what it wants.
        let Ok(network) = candidate.before(model.network().clone()) else {
            continue;
        };
        // Overflow is no answer, and no error of what was asked for.
        let Ok(answers) = predictions(&network, &chosen) else {
            continue;
        };
        let answers = right(answers);
        if best
            .as_ref()
            .is_none_or(|(_, best)| count_of(&answers) > count_of(best))
        {
            best = Some((candidate, answers));
        }
    }
    let far = |(_, through): &(Preprocess, Vec<bool>)| is_far_better(&as_it_is, through);
    Ok(best.filter(far).map(|(candidate, through)| Better {
        preprocess: Preprocess {
            layout: own.layout,
            ..candidate
        },
        right: count_of(&through),
        right_as_it_is: count_of(&as_it_is),
        images: count,
    }))
}

fn count_of(right: &[bool]) -> usize {
    right.iter().filter(|&&right| right).count()
}

/// Whether more was gained than lost by far, and by three standard deviations of what chance would do to the images that
/// differ (McNemar).
fn is_far_better(before: &[bool], after: &[bool]) -> bool {
    let pairs = || before.iter().zip(after);
    let gained = pairs().filter(|&(before, after)| !before && *after).count() as f64;
    let lost = pairs().filter(|&(before, after)| *before && !after).count() as f64;
    gained - lost >= FAR * before.len() as f64 && gained - lost >= 3.0 * (gained + lost).sqrt()
}

/// What networks are usually trained with, for images of this shape: channels, height and width.
fn usual(shape: Option<[usize; 3]>) -> Vec<Preprocess> {
    let scaled = |mean: &[f64], std: &[f64]| Preprocess {
        mean: mean.to_vec(),
        std: std.to_vec(),
        ..Preprocess::default()
    };
    let levels = Preprocess {
        range: [0.0, 255.0],
        ..Preprocess::default()
    };
    let symmetric = scaled(&[0.5], &[0.5]);
    let bgr = |preprocess: Preprocess| Preprocess {
        channel_order: ChannelOrder::Bgr,
        ..preprocess
    };
    if matches!(shape, Some([3, ..])) {
        vec![
            // ImageNet's, CIFAR-10's.
            scaled(&[0.485, 0.456, 0.406], &[0.229, 0.224, 0.225]),
            scaled(&[0.4914, 0.4822, 0.4465], &[0.247, 0.2435, 0.2616]),
            symmetric,
            bgr(levels.clone()),
            bgr(Preprocess::default()),
            // Caffe's.
            bgr(Preprocess {
                mean: vec![103.939, 116.779, 123.68],
                ..levels.clone()
            }),
            levels,
        ]
    } else {
        // MNIST's, Fashion-MNIST's.
        vec![
            scaled(&[0.1307], &[0.3081]),
            scaled(&[0.286], &[0.353]),
            symmetric,
            levels,
        ]
    }
}

#[cfg(test)]
mod tests {
    use blindspot_net::{Graph, Network, Op, Operand, ops};

    use super::*;

    /// Grey images, darker and brighter than a threshold, and a network that tells them apart by the sign of their mean
    /// after `preprocess`: so it is right only through that.
    fn case(preprocess: &Preprocess, threshold: f64) -> (Model, ImageSet) {
        let mut graph = Graph::new("image", &[4]).unwrap();
        let weight = graph.weight("weight", &[4, 2]).unwrap();
        let operands = [Operand::Value(graph.input()), Operand::Weight(weight)];
        let gemm = Op::Gemm(ops::Gemm { trans_b: false });
        graph.node("linear", gemm, &operands, "logits").unwrap();
        let weights = (0..8).map(|i| if i % 2 == 0 { -1.0 } else { 1.0 });
        let mut bias = 0.0;
        if preprocess.mean.is_empty() {
            bias = threshold * preprocess.range[1];
        }
        let network = Network::new(graph, vec![weights.collect()]).unwrap();
        // The bias stands before the network, as a mean that it does not want.
        let shift = Preprocess {
            mean: vec![bias],
            ..Preprocess::default()
        };
        let network = shift.before(network).unwrap();
        let level = |i: usize| {
            let away = 5 + i as i64 % 20;
            let middle = (255.0 * threshold) as i64;
            (middle + if i.is_multiple_of(2) { -away } else { away }).clamp(0, 255) as u8
        };
        let pixels = (0..60).flat_map(|i| [level(i); 4]).collect();
        let labels = (0..60).map(|i| i % 2).collect();
        let images = ImageSet::new("grey", [1, 2, 2], pixels, Some(labels), Vec::new()).unwrap();
        (Model::from_network(network).unwrap(), images)
    }

    #[test]
    fn a_missing_normalisation_is_found_by_comparison() {
        let long = Duration::from_secs(60);
        let mnist = Preprocess {
            mean: vec![0.1307],
            std: vec![0.3081],
            ..Preprocess::default()
        };
        let (model, images) = case(&mnist, 0.1307);
        let better = better_preprocessing(&model, &images, long)
            .unwrap()
            .unwrap();
        assert_eq!(better.preprocess, mnist);
        assert_eq!(
            (better.right, better.right_as_it_is, better.images),
            (60, 30, 60)
        );

        let levels = Preprocess {
            range: [0.0, 255.0],
            ..Preprocess::default()
        };
        let (model, images) = case(&levels, 0.5);
        let better = better_preprocessing(&model, &images, long)
            .unwrap()
            .unwrap();
        assert_eq!(better.preprocess, levels);
        assert_eq!(better.right, 60);
    }

    #[test]
    fn nothing_is_said_where_nothing_is_far_better() {
        let long = Duration::from_secs(60);
        let (model, images) = case(&Preprocess::default(), 0.5);
        assert_eq!(better_preprocessing(&model, &images, long).unwrap(), None);
        let mnist = Preprocess {
            mean: vec![0.1307],
            ..Preprocess::default()
        };
        let (model, images) = case(&mnist, 0.1307);
        let none = |images: &ImageSet, time| better_preprocessing(&model, images, time).unwrap();
        assert_eq!(none(&images, Duration::ZERO), None, "no time for it");
        assert_eq!(none(&images.first(LEAST - 1), long), None, "too few");
    }

    #[test]
    fn a_gain_must_be_more_than_chance() {
        let of = |right: usize| (0..40).map(|i| i < right).collect::<Vec<_>>();
        assert!(is_far_better(&of(29), &of(39)) && !is_far_better(&of(35), &of(40)));
        // As many differ either way.
        let other: Vec<bool> = of(20).iter().map(|right| !right).collect();
        assert!(!is_far_better(&of(20), &other));
    }
}
