//! Universal perturbations where they are known in closed form, and what must hold of all.

use blindspot_model::Norm;
use blindspot_model::classifier::FnClassifier;
use blindspot_model::inputs::InMemory;
use blindspot_run::monitor::{CancelAfter, Unwatched};
use blindspot_run::random::Stream;
use rayon::ThreadPoolBuilder;

use super::*;
use crate::search::{SearchError, Target};

const WEIGHTS: [f32; 6] = [1.0, -2.0, 0.5, 3.0, -0.25, 1.5];

/// Two classes of six values, told apart by a plane: the logits are 0 and the weighted sum.
fn linear() -> FnClassifier<'static> {
    let outputs = |inputs: &[f32]| {
        let sum = |x: &[f32]| x.iter().zip(WEIGHTS).map(|(x, w)| x * w).sum::<f32>();
        Ok(inputs.chunks_exact(6).flat_map(|x| [0.0, sum(x)]).collect())
    };
    let pull_back = |_: &[f32], by_outputs: &[f32]| {
        let rows = by_outputs.chunks_exact(2);
        Ok(rows.flat_map(|by| WEIGHTS.map(|w| w * by[1])).collect())
    };
    FnClassifier::new(&[6], 2, outputs, pull_back).with_input_box(-50.0, 50.0)
}

/// Images of class 1, and by how much each is one, in ascending order.
fn of_class_1(count: usize) -> (InMemory, Vec<usize>, Vec<f64>) {
    let mut random = Stream::new(5, "images of a test", 0);
    let (mut values, mut leads) = (Vec::new(), Vec::new());
    while leads.len() < count {
        let image = WEIGHTS.map(|w| (random.normal() + 0.3 * f64::from(w)) as f32);
        let products = image.iter().zip(WEIGHTS);
        let lead: f64 = products.map(|(&x, w)| f64::from(x) * f64::from(w)).sum();
        if lead > 0.01 {
            values.extend(image);
            leads.push(lead);
        }
    }
    leads.sort_by(f64::total_cmp);
    (InMemory::new(values, 6), vec![1; count], leads)
}

fn dual_norm(norm: Norm) -> f64 {
    let weights = WEIGHTS.map(f64::from);
    match norm {
        Norm::Linf => weights.iter().map(|w| w.abs()).sum(),
        _ => weights.iter().map(|w| w * w).sum::<f64>().sqrt(),
    }
}

#[test]
fn on_a_plane_the_smallest_norm_is_the_distance_of_the_last_image_to_be_fooled() {
    let (images, labels, leads) = of_class_1(150);
    let classifier = linear();
    for norm in [Norm::L2, Norm::Linf] {
        for (share, last) in [(1.0, 149), (0.9, 134), (0.5, 74), (0.001, 0)] {
            for class in [None, Some(0)] {
                let mut search = Universal::fooling(share).norm(norm);
                if let Some(class) = class {
                    search = search.class(class);
                }
                let found = search.run_watched(&classifier, &images, &labels, &Unwatched);
                let found = found.unwrap();
                let exact = leads[last] / dual_norm(norm);
                let ratio = found.norm / exact;
                // Sums in single precision can be that much larger.
                assert!(
                    (1.0 - 1e-5..1.0001).contains(&ratio),
                    "{norm} {share}: {ratio}"
                );
                assert!(found.reached && found.ended == Ended::Whole);
                let verdicts = found
                    .judge(&classifier, &images, &labels, &Unwatched)
                    .unwrap();
                let fooled = FoolingShare::of(&verdicts, class).unwrap();
                assert_eq!((fooled.fooled, fooled.right), (last + 1, 150));
            }
        }
    }
}

#[test]
fn on_a_plane_a_norm_fools_just_the_images_that_are_nearer() {
    let (images, labels, leads) = of_class_1(150);
    for norm in [Norm::L2, Norm::Linf] {
        for count in [1, 40, 149] {
            let epsilon = 0.5 * (leads[count - 1] + leads[count]) / dual_norm(norm);
            let search = Universal::within(epsilon).norm(norm);
            let found = search.run_watched(&linear(), &images, &labels, &Unwatched);
            let found = found.unwrap();
            assert!(found.norm <= epsilon);
            let verdicts = found
                .judge(&linear(), &images, &labels, &Unwatched)
                .unwrap();
            assert_eq!(
                FoolingShare::of(&verdicts, None).unwrap().fooled,
                count,
                "{norm}"
            );
        }
    }
}

/// Images of two classes, and a network of two layers that some of them are right by.
fn curved() -> (blindspot_net::Network<f32>, InMemory, Vec<usize>) {
    let stack = blindspot_testing::Stack::new(&[20], 3).dense(20, 16);
    let stack = stack
        .activation(blindspot_net::ops::Unary::Relu)
        .dense(16, 4);
    let mut random = Stream::new(6, "images of a test", 0);
    let values = (0..300 * 20).map(|_| random.uniform() as f32).collect();
    let images = InMemory::new(values, 20);
    let network = stack.network();
    let labels = blindspot_model::classify::predictions(&network, &images).unwrap();
    (network, images, labels)
}

#[test]
fn the_same_bits_come_out_on_one_thread_and_on_two() {
    let (network, images, labels) = curved();
    for search in [
        Universal::within(0.5),
        Universal::fooling(0.6).norm(Norm::Linf),
    ] {
        let [one, two] = [1, 2].map(|threads| {
            let pool = ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                search
                    .run_watched(&network, &images, &labels, &Unwatched)
                    .unwrap()
            })
        });
        assert_eq!(one, two);
        let other = search
            .clone()
            .seed(1)
            .run_watched(&network, &images, &labels, &Unwatched);
        assert_ne!(one.delta, other.unwrap().delta);
    }
}

#[test]
fn what_it_fools_is_more_than_random_signs_do_and_stays_in_the_ball() {
    let (network, images, labels) = curved();
    let epsilon = 0.1;
    let found = Universal::within(epsilon).norm(Norm::Linf);
    let found = found
        .run_watched(&network, &images, &labels, &Unwatched)
        .unwrap();
    assert!(Norm::Linf.of(&[0.0; 20], &found.delta) <= epsilon);
    let share = |delta: &[f32]| {
        let verdicts = judge(
            &network,
            &images,
            &labels,
            delta,
            Default::default(),
            &Unwatched,
        );
        FoolingShare::of(&verdicts.unwrap(), None).unwrap().share
    };
    let ours = share(&found.delta);
    for seed in 0..50 {
        let mut random = Stream::new(seed, "signs", 0);
        let signs: Vec<f32> = (0..20)
            .map(|_| (epsilon as f32).copysign(random.normal() as f32))
            .collect();
        assert!(share(&signs) <= ours);
    }
}

#[test]
fn work_that_is_stopped_gives_the_best_so_far() {
    let (network, images, labels) = curved();
    let search = Universal::within(0.5);
    let found = search
        .run_watched(&network, &images, &labels, &CancelAfter::new(3))
        .unwrap();
    assert_eq!(found.ended, Ended::Interrupted);
    assert!(found.norm > 0.0 && found.norm <= 0.5);
    let found = search.clone().max_evaluations(30);
    let found = found
        .run_watched(&network, &images, &labels, &Unwatched)
        .unwrap();
    assert_eq!(found.ended, Ended::MaxEvaluations);
    assert!(found.evaluations < 32.0, "{}", found.evaluations);
    let found = search
        .max_evaluations(1)
        .run_watched(&network, &images, &labels, &Unwatched);
    assert!(found.unwrap().norm <= 0.5);
}

#[test]
fn what_can_t_be_is_an_error_and_no_mean_over_nothing() {
    let (images, labels, _) = of_class_1(5);
    let classifier = linear();
    let of = |search: Universal, labels: &[usize]| {
        search
            .run_watched(&classifier, &images, labels, &Unwatched)
            .unwrap_err()
    };
    let wrong = [0; 5];
    assert_eq!(
        of(Universal::within(1.0), &wrong),
        UniversalError::NoneRight(5)
    );
    assert_eq!(FoolingShare::of(&[], None), None);
    let found = Universal::within(1.0).run_watched(&classifier, &images, &labels, &Unwatched);
    let verdicts = found
        .unwrap()
        .judge(&classifier, &images, &wrong, &Unwatched);
    assert_eq!(FoolingShare::of(&verdicts.unwrap(), None), None);
    let of_target = SearchError::AllOfTarget(1);
    assert_eq!(
        of(Universal::within(1.0).class(1), &labels),
        of_target.into()
    );
    for norm in [Norm::L1, Norm::L0] {
        let error = of(Universal::within(1.0).norm(norm), &labels);
        assert!(error.to_string().contains("L2 or Linf"), "{error}");
    }
    for share in [0.0, -0.5, 1.5, f64::NAN] {
        let error = of(Universal::fooling(share), &labels);
        assert!(error.to_string().contains("at most 1"), "{error}");
    }
    for epsilon in [0.0, -1.0, f64::INFINITY, f64::NAN] {
        let error = of(Universal::within(epsilon), &labels);
        assert!(
            error.to_string().contains("positive finite norm"),
            "{error}"
        );
    }
    let random = UniversalOptions {
        target: Target::Random,
        ..UniversalOptions::new(Aim::Share(0.5))
    };
    let error = of(Universal::by(random), &labels);
    assert!(
        error.to_string().contains("untargeted or one class"),
        "{error}"
    );
    assert!(
        of(Universal::within(1.0).class(7), &labels)
            .to_string()
            .contains("target 7")
    );
    let outside = Universal::within(1.0).input_box(0.0, 0.1);
    assert!(
        of(outside, &labels)
            .to_string()
            .contains("outside of the box")
    );
}
