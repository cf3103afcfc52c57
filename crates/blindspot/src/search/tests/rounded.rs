//! What rounding could undo: final images near the boundary, and those of 8 bits.

use blindspot_model::InputBox;
use blindspot_model::inputs::InMemory;
use blindspot_net::{Evaluator, argmax};
use blindspot_paper::train::Recipe;
use blindspot_run::monitor::Unwatched;
use blindspot_run::random::Stream;

use super::super::bounds::FeasibleBoxes;
use super::super::verify::Candidate;
use super::super::*;
use super::options;
use crate::testing::network;

/// Where the number types disagree about a change, or both say no, it is stretched until both agree.
#[test]
fn a_change_that_ends_just_short_of_the_boundary_is_stretched_beyond_it() {
    let recipe = Recipe::named("FC100-100-10").unwrap();
    let network = recipe.start(30, 3, 0);
    let mut stream = Stream::new(5, "short", 0);
    let values: Vec<f32> = (0..30 * 50).map(|_| stream.uniform() as f32).collect();
    let images = InMemory::new(values, 30);
    let labels: Vec<usize> = (0..50).map(|i| i % 3).collect();
    let indices: Vec<usize> = (0..50).collect();
    let options = options(Target::Random);
    let found = search(&network, &images, &labels, &indices, &options, &Unwatched).unwrap();
    let boxes = FeasibleBoxes::new(options.bounds_for(30));
    let original = |i: usize| &images.values()[30 * i..30 * (i + 1)];
    let mut short: Vec<Example> = found.clone();
    for (example, part) in short
        .iter_mut()
        .zip([1.0 - 1e-4, 1.0 - 1e-3].iter().cycle())
    {
        let feasible_box = boxes.around(original(example.position));
        let end = example.adversarial.clone();
        perturbation::interpolate(
            original(example.position),
            &end,
            *part,
            &feasible_box,
            &mut example.adversarial,
        );
        example.l2 = norm(original(example.position), &example.adversarial);
    }
    let verified = |examples: &mut [Example]| {
        let feasible: Vec<_> = (0..50).map(|i| boxes.around(original(i))).collect();
        let mut marks = vec![(false, false); examples.len()];
        let candidates = examples.iter_mut().zip(&mut marks).enumerate();
        let candidates = candidates.map(|(i, (example, (refuted, left_out)))| Candidate {
            example,
            original: original(i),
            feasible_box: &feasible[i],
            refuted,
            left_out,
        });
        let runtime = Runtime::of(&network).unwrap();
        verify::verify(&runtime, &options, candidates.collect(), None).unwrap();
    };
    verified(&mut short);
    let mut stretched = 0;
    for (example, found) in short.iter().zip(&found).filter(|(_, found)| found.l2 > 0.0) {
        assert!(example.success && found.success, "{}", found.index);
        assert_eq!(
            example.l2,
            norm(original(example.position), &example.adversarial)
        );
        assert!((example.l2 / found.l2 - 1.0).abs() < 5e-3);
        // One that does as it is stays as it is.
        stretched += usize::from(example.evaluations > found.evaluations);
    }
    println!("{stretched} stretched");
    assert!(stretched > 5);
    // What is far from the boundary is no matter of rounding.
    let mut far = found.clone();
    for example in &mut far {
        let feasible_box = boxes.around(original(example.position));
        let end = example.adversarial.clone();
        perturbation::interpolate(
            original(example.position),
            &end,
            0.5,
            &feasible_box,
            &mut example.adversarial,
        );
    }
    verified(&mut far);
    assert!(
        far.iter()
            .all(|example| example.success == example.already_misclassified)
    );
}

/// On a network whose boundary is crossed by small steps only: what rounding undoes is found again,
/// in whole levels, and no smaller than what floats need.
#[test]
fn what_rounding_undoes_is_found_again_among_8_bit_images() {
    let Some((network, set)) = network("FC100-100-10", 5_000, 150) else {
        blindspot_testing::skip!("no MNIST; set BLINDSPOT_DATA");
    };
    let labels = set.labels().unwrap();
    let indices: Vec<usize> = (0..60).collect();
    let options = options(Target::Untargeted);
    let examples = search(&network, &set, labels, &indices, &options, &Unwatched).unwrap();
    let mut originals = vec![0.0; 60 * 784];
    for (&index, place) in indices.iter().zip(originals.chunks_exact_mut(784)) {
        set.read_image(index, place).unwrap();
    }
    let found = eight_bit(&network, &options, &examples, &originals, &Unwatched).unwrap();
    let mut evaluator = Evaluator::new(&network);
    let rows = examples.iter().zip(&found).zip(originals.chunks_exact(784));
    for ((example, eight), original) in rows {
        assert!(eight.success, "{}", example.index);
        let read: Vec<f32> = eight.levels.iter().map(|&l| f32::from(l) / 255.0).collect();
        evaluator.input(1).copy_from_slice(&read);
        assert_eq!(argmax(evaluator.forward()), eight.prediction);
        assert_ne!(eight.prediction, example.label);
        assert_eq!(eight.l2, norm(original, &read));
        assert!(eight.l2 <= 1.3 * example.l2, "{} {}", eight.l2, example.l2);
    }
    let undone = found.iter().filter(|eight| !eight.rounded).count();
    println!("rounding undid {undone} of 60");
    assert!(undone > 5);
    let wide = SearchOptions {
        input_box: InputBox {
            lower: -1.0,
            upper: 1.0,
        },
        ..options
    };
    let refused = eight_bit(&network, &wide, &examples, &originals, &Unwatched).unwrap_err();
    assert!(refused.to_string().contains("8-bit images"), "{refused}");
}
