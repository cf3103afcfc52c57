//! The unconstrained solver: minima, stopping, and resuming with the same bits.

mod functions;

use std::ops::ControlFlow;

use blindspot_solve::{Lbfgs, LbfgsOptions, Reason, Status};
use functions::{quadratic, rosenbrock};

fn go_on(_: &Lbfgs) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn exact() -> LbfgsOptions {
    LbfgsOptions {
        gradient_tolerance: 1e-8,
        relative_decrease: 0.0,
        ..LbfgsOptions::default()
    }
}

#[test]
fn rosenbrock_ends_at_its_minimum() {
    for n in [2, 10, 100, 784] {
        let mut solver = Lbfgs::new(vec![-1.0; n], exact());
        assert_eq!(solver.minimise(rosenbrock, go_on), Reason::Gradient, "{n}");
        // In more than 3 dimensions there is a second local minimum, near (-1, 1, ..., 1).
        assert!(solver.value() < 4.0, "{n}: {}", solver.value());
        assert!(
            solver.evaluations() < 1300 + 8 * n,
            "{n}: {}",
            solver.evaluations()
        );
    }
}

#[test]
fn an_ill_conditioned_quadratic_is_solved() {
    let mut solver = Lbfgs::new(vec![0.0; 784], exact());
    let reason = solver.minimise(quadratic, go_on);
    assert_eq!(reason, Reason::Gradient);
    for (i, x) in solver.iterate().iter().enumerate() {
        assert!(
            (x - (1.0 - 2.0 * i as f64 / 783.0)).abs() < 1e-7,
            "{i}: {x}"
        );
    }
}

/// The final state, going through JSON before every evaluation.
fn stored_at_every_evaluation(n: usize) -> Lbfgs {
    let mut solver: Lbfgs = Lbfgs::new(vec![-1.0; n], exact());
    let mut gradient = vec![0.0; n];
    loop {
        solver = serde_json::from_str(&serde_json::to_string(&solver).unwrap()).unwrap();
        let value = rosenbrock(solver.point(), &mut gradient);
        if let Status::Done(_) = solver.tell(value, &gradient) {
            return solver;
        }
    }
}

#[test]
fn a_stored_solver_goes_on_with_the_same_bits() {
    let mut solver = Lbfgs::new(vec![-1.0; 10], exact());
    solver.minimise(rosenbrock, go_on);
    assert!(
        solver.iterations() < solver.evaluations() - 1,
        "no line search was interrupted"
    );
    assert_eq!(stored_at_every_evaluation(10), solver);
}

#[test]
fn the_domain_is_not_left() {
    // -log(x) + x, defined for x > 0; the first steps go far beyond 0.
    let f = |x: &[f64], g: &mut [f64]| {
        g[0] = 1e3 * (1.0 - 1.0 / x[0]);
        1e3 * (x[0] - x[0].ln())
    };
    let mut solver = Lbfgs::new(vec![100.0], exact());
    assert_eq!(solver.minimise(f, go_on), Reason::Gradient);
    assert!((solver.iterate()[0] - 1.0).abs() < 1e-6);
}

#[test]
fn a_function_that_is_never_finite_ends_at_once() {
    let mut solver = Lbfgs::new(vec![1.0; 3], exact());
    assert_eq!(
        solver.tell(f64::NAN, &[0.0; 3]),
        Status::Done(Reason::NotFinite)
    );
    assert_eq!(solver.point(), [1.0; 3]);
    let mut solver = Lbfgs::new(vec![1.0; 3], exact());
    assert_eq!(
        solver.tell(1.0, &[0.0, f64::INFINITY, 0.0]),
        Status::Done(Reason::NotFinite)
    );
}

#[test]
fn a_wrong_gradient_ends_with_the_line_search() {
    let f = |x: &[f64], g: &mut [f64]| {
        let value = quadratic(x, g);
        g.iter_mut().for_each(|g| *g = -*g);
        value
    };
    let mut solver = Lbfgs::new(vec![0.5; 4], exact());
    let mut gradient = [0.0; 4];
    let first = f(&[0.5; 4], &mut gradient);
    assert_eq!(solver.minimise(f, go_on), Reason::LineSearch);
    assert_eq!((solver.value(), solver.iterate()), (first, &[0.5; 4][..]));
}

#[test]
fn each_limit_is_kept() {
    let run = |options: LbfgsOptions| {
        let mut solver = Lbfgs::new(vec![-1.0; 10], options);
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
    let (reason, solver) = run(LbfgsOptions {
        relative_decrease: 1e-3,
        ..exact()
    });
    assert_eq!(reason, Reason::Decrease);
    let patient = LbfgsOptions {
        relative_decrease: 1e-3,
        patience: 4,
        ..exact()
    };
    assert!(run(patient).1.iterations() >= solver.iterations() + 3);
    let mut seen = 0;
    let mut solver = Lbfgs::new(vec![-1.0; 10], exact());
    let reason = solver.minimise(rosenbrock, |at| {
        seen += 1;
        if at.iterations() == 5 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert_eq!((reason, seen), (Reason::Observer, 5));
}

#[test]
fn no_variables_are_a_minimum() {
    let mut solver = Lbfgs::<f64>::new(Vec::new(), exact());
    assert_eq!(solver.tell(3.0, &[]), Status::Done(Reason::Gradient));
}

#[test]
fn single_precision_reaches_its_own_limit() {
    let mut solver = Lbfgs::new(vec![-1.0f32; 10], LbfgsOptions::default());
    let reason = solver.minimise(
        |x, g| {
            let x: Vec<f64> = x.iter().map(|&x| x.into()).collect();
            let mut wide = vec![0.0; x.len()];
            let value = rosenbrock(&x, &mut wide);
            g.iter_mut()
                .zip(wide)
                .for_each(|(g, wide)| *g = wide as f32);
            value
        },
        |_| ControlFlow::Continue(()),
    );
    assert!(
        reason.converged() || reason == Reason::LineSearch,
        "{reason}"
    );
    assert!(
        solver.value() < 1e-9 || (solver.value() - 3.98).abs() < 0.01,
        "{}",
        solver.value()
    );
}
