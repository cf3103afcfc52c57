//! The boxed solver: what must hold for any function and any box.

mod functions;

use std::ops::ControlFlow;

use blindspot_solve::{BoxError, BoxLbfgs, Lbfgs, LbfgsOptions, Reason, Status};
use functions::{logarithmic, rosenbrock, separable, separable_centre};
use proptest::prelude::*;

const INF: f64 = f64::INFINITY;

fn exact() -> LbfgsOptions {
    LbfgsOptions {
        history: 7,
        gradient_tolerance: 1e-9,
        relative_decrease: 0.0,
        patience: 5,
        ..LbfgsOptions::default()
    }
}

fn go_on<S>(_: &S) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// The same function in single precision.
fn single(f: functions::Function) -> impl Fn(&[f32], &mut [f32]) -> f64 {
    move |x, g| {
        let x: Vec<f64> = x.iter().map(|&x| x.into()).collect();
        let mut wide = vec![0.0; x.len()];
        let value = f(&x, &mut wide);
        g.iter_mut()
            .zip(wide)
            .for_each(|(g, wide)| *g = wide as f32);
        value
    }
}

/// A bound each, below and above: some infinite, some equal.
fn bounds() -> impl Strategy<Value = (f64, f64)> {
    (-2.0..2.0f64, 0.0..2.0f64, 0..5).prop_map(|(low, width, kind)| match kind {
        0 => (low, INF),
        1 => (-INF, low),
        2 => (low, low),
        _ => (low, low + width),
    })
}

/// A box and a start anywhere: lower bounds, upper bounds, start.
fn boxes(most: usize) -> impl Strategy<Value = (Vec<f64>, Vec<f64>, Vec<f64>)> {
    let variable = (bounds(), -4.0..4.0f64);
    prop::collection::vec(variable, 1..most).prop_map(|variables| {
        let (bounds, x0): (Vec<_>, Vec<_>) = variables.into_iter().unzip();
        let (lower, upper) = bounds.into_iter().unzip();
        (lower, upper, x0)
    })
}

fn assert_inside(x: &[f64], lower: &[f64], upper: &[f64]) {
    for i in 0..x.len() {
        assert!(
            lower[i] <= x[i] && x[i] <= upper[i],
            "{i}: {} {} {}",
            lower[i],
            x[i],
            upper[i]
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_point_is_in_the_box_and_no_iterate_above_the_start(
        (lower, upper, x0) in boxes(30),
    ) {
        let mut solver = BoxLbfgs::new(&x0, &lower, &upper, exact()).unwrap();
        let f = |x: &[f64], g: &mut [f64]| {
            assert_inside(x, &lower, &upper);
            if x.len() == 1 { separable(x, g) } else { rosenbrock(x, g) }
        };
        let first = f(solver.point(), &mut vec![0.0; x0.len()]);
        let mut gradient = vec![0.0; x0.len()];
        let mut iterations = 0;
        let reason = solver.minimise(f, |at| {
            iterations += 1;
            assert_inside(at.iterate(), &lower, &upper);
            assert!(at.value() <= first);
            assert_eq!(at.iterations(), iterations);
            ControlFlow::Continue(())
        });
        prop_assert!(reason.converged() || reason == Reason::LineSearch, "{reason}");
        prop_assert_eq!(solver.point(), solver.iterate());
        prop_assert_eq!(solver.value(), f(solver.iterate(), &mut gradient));
        prop_assert_eq!(solver.gradient(), &gradient[..]);
    }

    #[test]
    fn a_convex_quadratic_ends_where_no_direction_into_the_box_descends(
        ((lower, upper, x0), factor, linear) in boxes(12).prop_flat_map(|b| {
            let n = b.2.len();
            let values = |n| prop::collection::vec(-1.0..1.0f64, n);
            (Just(b), values(n * n), values(n))
        }),
    ) {
        // |A x|^2 / 2 + |x|^2 / 20 + b x
        let n = x0.len();
        let f = |x: &[f64], g: &mut [f64]| {
            let mut value = 0.0;
            for i in 0..n {
                value += 0.05 * x[i] * x[i] + linear[i] * x[i];
                g[i] = 0.1 * x[i] + linear[i];
            }
            for row in factor.chunks(n) {
                let product: f64 = row.iter().zip(x).map(|(a, x)| a * x).sum();
                value += product * product / 2.0;
                g.iter_mut().zip(row).for_each(|(g, a)| *g += product * a);
            }
            value
        };
        let mut solver = BoxLbfgs::new(&x0, &lower, &upper, exact()).unwrap();
        solver.minimise(f, go_on);
        let mut g = vec![0.0; n];
        f(solver.iterate(), &mut g);
        for i in 0..n {
            let x = solver.iterate()[i];
            let slack = 1e-6;
            let (lower, upper) = (lower[i] + 1e-9, upper[i] - 1e-9);
            prop_assert!(x <= lower || g[i] <= slack, "{i}: {x} {}", g[i]);
            prop_assert!(x >= upper || g[i] >= -slack, "{i}: {x} {}", g[i]);
        }
    }

    #[test]
    fn a_separable_quadratic_reaches_its_closed_form((lower, upper, x0) in boxes(200)) {
        let mut solver = BoxLbfgs::new(&x0, &lower, &upper, exact()).unwrap();
        solver.minimise(separable, go_on);
        for (i, x) in solver.iterate().iter().enumerate() {
            let exact = separable_centre(i).clamp(lower[i], upper[i]);
            prop_assert!((x - exact).abs() < 1e-7, "{i}: {x} {exact}");
        }
    }

    #[test]
    fn nonsense_ends_in_time(
        (lower, upper, x0) in boxes(6),
        told in prop::collection::vec((nonsense(), nonsense()), 1..60),
    ) {
        let options = LbfgsOptions { max_evaluations: 500, ..exact() };
        let mut boxed = BoxLbfgs::new(&x0, &lower, &upper, options.clone()).unwrap();
        let mut free = Lbfgs::new(x0.clone(), options);
        let mut ended = [false; 2];
        for evaluation in 1..=500 {
            let (value, slope) = told[evaluation % told.len()];
            let gradient: Vec<f64> = (0..x0.len()).map(|i| slope * (i as f64 - 1.5)).collect();
            assert_inside(boxed.point(), &lower, &upper);
            ended[0] = matches!(boxed.tell(value, &gradient), Status::Done(_));
            ended[1] = matches!(free.tell(value, &gradient), Status::Done(_));
        }
        prop_assert_eq!(ended, [true; 2]);
    }

    #[test]
    fn a_restarted_solver_is_a_new_one((lower, upper, x0) in boxes(40), evaluations in 0..60) {
        let narrow = |v: &[f64]| v.iter().map(|&x| x as f32).collect::<Vec<f32>>();
        let (lower, upper, x0) = (narrow(&lower), narrow(&upper), narrow(&x0));
        let f = single(separable);
        let options = LbfgsOptions { gradient_tolerance: 1e-4, ..exact() };
        let mut used = BoxLbfgs::new(&vec![0.5; x0.len()], &lower, &upper, options.clone()).unwrap();
        let mut gradient = vec![0.0; x0.len()];
        for _ in 0..evaluations {
            let value = single(logarithmic)(used.point(), &mut gradient);
            used.tell(value, &gradient);
        }
        used.restart(&x0).unwrap();
        let mut new = BoxLbfgs::new(&x0, &lower, &upper, options).unwrap();
        loop {
            prop_assert_eq!(used.point(), new.point());
            let value = f(new.point(), &mut gradient);
            let status = new.tell(value, &gradient);
            prop_assert_eq!(used.tell(value, &gradient), status);
            prop_assert_eq!(used.iterate(), new.iterate());
            if let Status::Done(_) = status {
                break;
            }
        }
    }
}

/// Numbers of every size, and none.
fn nonsense() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -1.0..1.0f64,
        1 => prop::num::f64::ANY,
        1 => prop::sample::select(vec![f64::NAN, INF, -INF, 0.0, 1e300, -1e300, 1e-300]),
    ]
}

#[test]
fn the_domain_is_not_left() {
    let mut solver = BoxLbfgs::new(&[4.0; 50], &[-5.0; 50], &[5.0; 50], exact()).unwrap();
    let reason = solver.minimise(logarithmic, go_on);
    assert!(reason.converged(), "{reason}");
    assert!(solver.iterate().iter().all(|x| (x - 1.0).abs() < 1e-6));
}

#[test]
fn a_function_that_is_not_finite_at_the_start_ends_at_once() {
    let mut solver = BoxLbfgs::new(&[0.5; 3], &[0.0; 3], &[1.0; 3], exact()).unwrap();
    assert_eq!(
        solver.tell(f64::NAN, &[0.0; 3]),
        Status::Done(Reason::NotFinite)
    );
    assert!(solver.value().is_nan());
    solver.restart_here();
    assert_eq!(
        solver.tell(1.0, &[0.0, f64::NAN, 0.0]),
        Status::Done(Reason::NotFinite)
    );
    solver.restart_here();
    assert_eq!(solver.minimise(separable, go_on), Reason::Gradient);
}

#[test]
fn a_restart_here_goes_on_from_the_iterate_with_another_function() {
    let mut solver = BoxLbfgs::new(&[0.5; 9], &[-1.0; 9], &[1.0; 9], exact()).unwrap();
    solver.minimise(rosenbrock, go_on);
    let here = solver.iterate().to_vec();
    solver.restart_here();
    assert_eq!((solver.point(), solver.evaluations()), (&here[..], 0));
    solver.minimise(separable, go_on);
    for (i, x) in solver.iterate().iter().enumerate() {
        assert!((x - separable_centre(i).clamp(-1.0, 1.0)).abs() < 1e-7);
    }
}

#[test]
fn single_precision_ends_as_low_as_it_can() {
    let n = 784;
    let options = LbfgsOptions {
        history: 10,
        ..LbfgsOptions::default()
    };
    for f in [rosenbrock as functions::Function, separable] {
        let mut wide = BoxLbfgs::new(&vec![0.3; n], &vec![0.0; n], &vec![0.8; n], exact()).unwrap();
        wide.minimise(f, go_on);
        let mut narrow =
            BoxLbfgs::new(&vec![0.3; n], &vec![0.0; n], &vec![0.8; n], options.clone()).unwrap();
        let reason = narrow.minimise(single(f), go_on);
        assert!(reason.converged(), "{reason}");
        let above = narrow.value() / wide.value() - 1.0;
        assert!(above.abs() < 1e-5, "{above}");
        assert!(narrow.iterate().iter().all(|&x| (0.0..=0.8).contains(&x)));
    }
}

#[test]
fn a_box_with_one_point_and_a_box_without_variables_are_solved_at_once() {
    let mut solver = BoxLbfgs::new(&[9.0; 4], &[0.5; 4], &[0.5; 4], exact()).unwrap();
    assert_eq!(solver.minimise(rosenbrock, go_on), Reason::Gradient);
    assert_eq!((solver.iterate(), solver.evaluations()), (&[0.5; 4][..], 1));
    let mut solver = BoxLbfgs::<f64>::new(&[], &[], &[], exact()).unwrap();
    assert_eq!(solver.tell(1.0, &[]), Status::Done(Reason::Gradient));
}

#[test]
fn each_limit_is_kept() {
    let run = |options: LbfgsOptions| {
        let mut solver = BoxLbfgs::new(&[-1.0; 10], &[-2.0; 10], &[2.0; 10], options).unwrap();
        (solver.minimise(rosenbrock, go_on), solver)
    };
    let (reason, solver) = run(LbfgsOptions {
        max_iterations: 7,
        ..exact()
    });
    assert_eq!((reason, solver.iterations()), (Reason::Iterations, 7));
    let (reason, solver) = run(LbfgsOptions {
        max_evaluations: 7,
        ..exact()
    });
    assert_eq!((reason, solver.evaluations()), (Reason::Evaluations, 7));
    let (reason, _) = run(LbfgsOptions {
        relative_decrease: 1e-2,
        ..exact()
    });
    assert_eq!(reason, Reason::Decrease);
}

#[test]
fn what_is_no_problem_is_refused() {
    let new = |x0: &[f64], lower: &[f64], upper: &[f64], history| {
        BoxLbfgs::new(x0, lower, upper, LbfgsOptions { history, ..exact() }).unwrap_err()
    };
    assert_eq!(
        new(&[0.0], &[], &[1.0], 5),
        BoxError::Lengths {
            x0: 1,
            lower: 0,
            upper: 1
        }
    );
    for (lower, upper) in [(1.0, 0.0), (INF, INF), (-INF, -INF)] {
        let error = new(&[0.0, 0.0], &[0.0, lower], &[1.0, upper], 5);
        assert_eq!(
            error,
            BoxError::Bounds {
                variable: 1,
                lower,
                upper
            }
        );
    }
    assert!(matches!(
        new(&[0.0], &[f64::NAN], &[1.0], 5),
        BoxError::Bounds { .. }
    ));
    assert!(matches!(
        new(&[f64::NAN], &[0.0], &[1.0], 5),
        BoxError::Start { variable: 0, .. }
    ));
    assert!(matches!(
        new(&[INF], &[0.0], &[INF], 5),
        BoxError::Start { variable: 0, .. }
    ));
    assert_eq!(new(&[0.0], &[0.0], &[1.0], 0), BoxError::History(0));
    assert_eq!(new(&[0.0], &[0.0], &[1.0], 257), BoxError::History(257));
    let mut solver = BoxLbfgs::new(&[INF], &[0.0], &[1.0], exact()).unwrap();
    assert_eq!(solver.point(), [1.0]);
    assert!(solver.restart(&[f64::NAN]).is_err());
    assert_eq!(solver.point(), [1.0]);
}

#[test]
fn a_search_follows_its_line_until_the_first_bound() {
    let mut solver = BoxLbfgs::new(&[0.1, 0.1], &[0.0; 2], &[9.0, 1.0], exact()).unwrap();
    assert_eq!(solver.tell(0.0, &[-0.1, -0.2]), Status::Evaluate);
    assert_eq!(solver.tell(-0.04, &[-0.05, -0.15]), Status::Iterated);
    // From here on the function is a plane: every step is too short.
    let (from, gradient) = (solver.iterate().to_vec(), [-0.05, -0.15]);
    let mut directions = Vec::new();
    for _ in 0..20 {
        let way = [solver.point()[0] - from[0], solver.point()[1] - from[1]];
        directions.push(way[0] / way[1]);
        let value = -0.04 + gradient[0] * way[0] + gradient[1] * way[1];
        if solver.tell(value, &gradient) == Status::Iterated {
            break;
        }
    }
    assert!(directions.len() > 1, "the first step was taken");
    assert!(
        directions
            .iter()
            .all(|d| (d / directions[0] - 1.0).abs() < 1e-12),
        "{directions:?}"
    );
    assert_eq!(solver.iterate()[1], 1.0);
}

#[test]
fn values_that_differ_by_rounding_do_not_lift_an_iterate_above_the_start() {
    let above = 1.0 + f64::EPSILON;
    let mut boxed = BoxLbfgs::new(&[0.0], &[-9.0], &[9.0], exact()).unwrap();
    let mut free = Lbfgs::new(vec![0.0], exact());
    for (value, gradient) in [(1.0, 1.0), (above, -0.5)] {
        assert_eq!(boxed.tell(value, &[gradient]), Status::Evaluate);
        assert_eq!(free.tell(value, &[gradient]), Status::Evaluate);
    }
    assert_eq!((boxed.value(), free.value()), (1.0, 1.0));
}
