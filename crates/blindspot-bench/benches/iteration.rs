//! The time that one iteration takes in the solver itself: 784 variables in f32 and a history of
//! 10 pairs, as in a search for the smallest change of an image; and one of 90,000 variables in
//! f64 with 20 pairs, as in training.
//!
//! The functions cost next to nothing: their time is measured with the rest.

use std::hint::black_box;
use std::time::{Duration, Instant};

use blindspot_solve::{BoxLbfgs, Lbfgs, LbfgsOptions, Status};
use criterion::{Criterion, criterion_group, criterion_main};

const PIXELS: usize = 784;

/// A quarter of the variables sits at its bounds at the minimum, and some enter and leave.
fn image_like(x: &[f32], g: &mut [f32]) -> f64 {
    let mut value = 0.0;
    for i in 0..PIXELS {
        let weight = 1.0 + (i % 97) as f32;
        let off = x[i] - 0.5 - 0.9 * (i as f32 * 0.37 - (i as f32 * 0.37).floor() - 0.5);
        let next = x[(i + 1) % PIXELS];
        g[i] = weight * off + off * off * off + 0.1 * next;
        value += (weight * off * off / 2.0 + off * off * off * off / 4.0) as f64;
    }
    value
}

/// The time of `iterations` iterations, starting anew wherever the solver has converged.
fn boxed(iterations: u64) -> Duration {
    let options = LbfgsOptions {
        history: 10,
        gradient_tolerance: 0.0,
        relative_decrease: -1.0,
        ..LbfgsOptions::default()
    };
    let start = [0.5; PIXELS];
    let mut solver = BoxLbfgs::new(&start, &[0.0; PIXELS], &[1.0; PIXELS], options).expect("a box");
    let mut gradient = [0.0; PIXELS];
    let mut spent = Duration::ZERO;
    let mut done = 0;
    while done < iterations {
        let value = image_like(solver.point(), &mut gradient);
        let begin = Instant::now();
        let status = solver.tell(black_box(value), &gradient);
        spent += begin.elapsed();
        match status {
            Status::Evaluate => {}
            Status::Iterated => done += 1,
            Status::Done(_) => solver.restart(&start).expect("the same box"),
        }
        if solver.iterations() == 60 {
            solver.restart(&start).expect("the same box");
        }
    }
    spent
}

fn long(iterations: u64) -> Duration {
    let n = 90_000;
    let options = LbfgsOptions {
        gradient_tolerance: 0.0,
        ..LbfgsOptions::default()
    };
    let mut solver = Lbfgs::new(vec![0.0; n], options);
    let mut gradient = vec![0.0; n];
    let mut spent = Duration::ZERO;
    let mut done = 0;
    while done < iterations {
        let mut value = 0.0;
        for (i, (g, x)) in gradient.iter_mut().zip(solver.point()).enumerate() {
            let weight = 1.0 + (i % 1009) as f64;
            *g = weight * (x - 1.0);
            value += weight * (x - 1.0) * (x - 1.0) / 2.0;
        }
        let begin = Instant::now();
        let status = solver.tell(value, &gradient);
        spent += begin.elapsed();
        match status {
            Status::Evaluate => {}
            Status::Iterated => done += 1,
            Status::Done(_) => solver = Lbfgs::new(vec![0.0; n], LbfgsOptions::default()),
        }
    }
    spent
}

fn iteration(criterion: &mut Criterion) {
    criterion.bench_function("boxed, 784 x f32, history 10", |b| b.iter_custom(boxed));
    criterion.bench_function("90,000 x f64, history 20", |b| b.iter_custom(long));
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(2));
    targets = iteration
}
criterion_main!(benches);
