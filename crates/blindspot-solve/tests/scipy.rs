//! The solvers beside SciPy's L-BFGS-B: values as good, evaluations at most half as
//! many again.

mod functions;

use std::ops::ControlFlow;

use blindspot_solve::{BoxLbfgs, Lbfgs, LbfgsOptions};
use functions::{Function, logarithmic, quadratic, rosenbrock, separable};
use serde::{Deserialize, Serialize};

const INF: f64 = f64::INFINITY;
const HISTORY: usize = 10;
const GRADIENT: f64 = 1e-8;
const DECREASE: f64 = 1e-14;

/// Reads the cases from standard input, and writes a list of [value, evaluations].
const SCRIPT: &str = include_str!("scipy.py");

struct Case {
    name: String,
    function: Function,
    x0: Vec<f64>,
    lower: Vec<f64>,
    upper: Vec<f64>,
}

/// What SciPy is given: infinite bounds as null.
#[derive(Serialize)]
struct Input<'a> {
    function: &'a str,
    x0: &'a [f64],
    bounds: Vec<[Option<f64>; 2]>,
    history: usize,
    gradient: f64,
    decrease: f64,
}

#[derive(Deserialize)]
struct Output {
    /// None where it ended outside of the function's domain.
    value: Option<f64>,
    evaluations: usize,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: &str, function: Function, n: usize, x0: f64, box_of: [f64; 2]| {
        let (lower, upper) = (vec![box_of[0]; n], vec![box_of[1]; n]);
        cases.push(Case {
            name: format!("{name} {n}"),
            function,
            x0: vec![x0; n],
            lower,
            upper,
        });
    };
    for n in [2, 5, 10, 25, 100, 784] {
        add("rosenbrock", rosenbrock, n, -1.0, [-INF, INF]);
        add(
            "rosenbrock, inactive bounds",
            rosenbrock,
            n,
            -1.0,
            [-5.0, 5.0],
        );
        add("rosenbrock, active bounds", rosenbrock, n, 1.0, [-1.5, 0.8]);
        add("rosenbrock, lower bounds", rosenbrock, n, 3.0, [1.2, INF]);
        add("rosenbrock, upper bounds", rosenbrock, n, -1.0, [-INF, 0.5]);
        add("rosenbrock, start outside", rosenbrock, n, 9.0, [-2.0, 2.0]);
        add("quadratic", quadratic, n, 0.0, [-INF, INF]);
        add("quadratic, boxed", quadratic, n, 0.0, [-0.5, 0.5]);
        add("quadratic, corner", quadratic, n, 3.0, [2.0, 4.0]);
        add("quadratic, half of it", quadratic, n, 5.0, [0.0, INF]);
        add("separable", separable, n, 0.3, [0.0, 1.0]);
        add("separable, corner", separable, n, -7.0, [-9.0, -2.0]);
        add("logarithmic", logarithmic, n, 4.0, [-5.0, 5.0]);
    }
    // Every third variable is held by equal bounds, every third has one bound.
    for n in [6, 100, 784] {
        let lower = (0..n).map(|i| [0.25, -0.5, -INF][i % 3]).collect();
        let upper = (0..n).map(|i| [0.25, INF, 0.7][i % 3]).collect();
        let name = format!("rosenbrock, mixed bounds {n}");
        cases.push(Case {
            name,
            function: rosenbrock,
            x0: vec![-1.0; n],
            lower,
            upper,
        });
    }
    cases
}

fn name_of(function: Function) -> &'static str {
    let named: [(Function, &str); 4] = [
        (rosenbrock, "rosenbrock"),
        (quadratic, "quadratic"),
        (separable, "separable"),
        (logarithmic, "logarithmic"),
    ];
    named
        .iter()
        .find(|(f, _)| std::ptr::fn_addr_eq(*f, function))
        .unwrap()
        .1
}

/// SciPy's answers to the cases, in order.
fn scipy(cases: &[Case]) -> Vec<Output> {
    let finite = |bound: f64| bound.is_finite().then_some(bound);
    let input = |case| {
        let Case {
            function,
            x0,
            lower,
            upper,
            ..
        }: &Case = case;
        let bounds = lower
            .iter()
            .zip(upper)
            .map(|(&l, &u)| [finite(l), finite(u)])
            .collect();
        Input {
            function: name_of(*function),
            x0,
            bounds,
            history: HISTORY,
            gradient: GRADIENT,
            decrease: DECREASE,
        }
    };
    let inputs: Vec<Input> = cases.iter().map(input).collect();
    let stdin = serde_json::to_string(&inputs).unwrap();
    let stdout = blindspot_testing::run_python(SCRIPT, [""; 0], stdin).unwrap();
    serde_json::from_str(&stdout).unwrap()
}

fn options() -> LbfgsOptions {
    LbfgsOptions {
        history: HISTORY,
        gradient_tolerance: GRADIENT,
        relative_decrease: DECREASE,
        ..LbfgsOptions::default()
    }
}

#[test]
fn the_boxed_solver_is_as_good_as_scipy() {
    if let Err(why) = blindspot_testing::python() {
        blindspot_testing::skip!("{why}");
    }
    let cases = cases();
    let (mut ours, mut theirs) = (0, 0);
    for (case, scipy) in cases.iter().zip(scipy(&cases)) {
        let mut solver = BoxLbfgs::new(&case.x0, &case.lower, &case.upper, options()).unwrap();
        let reason = solver.minimise(case.function, |_| ControlFlow::Continue(()));
        let (value, evaluations) = (solver.value(), solver.evaluations());
        let line = format!(
            "{}: {value:e} in {evaluations} evaluations ({reason}), SciPy {:?} in {}",
            case.name, scipy.value, scipy.evaluations
        );
        println!("{line}");
        assert!(value.is_finite(), "{line}");
        if let Some(best) = scipy.value {
            assert!(value <= best + 1e-9 * best.abs().max(1.0), "{line}");
            assert!(2 * evaluations <= 3 * scipy.evaluations, "{line}");
            ours += evaluations;
            theirs += scipy.evaluations;
        }
    }
    println!("{ours} evaluations in all, SciPy {theirs}");
    assert!(
        10 * ours <= 11 * theirs,
        "{ours} evaluations in all, SciPy {theirs}"
    );
}

#[test]
fn the_solver_without_a_box_is_as_good_as_scipy() {
    if let Err(why) = blindspot_testing::python() {
        blindspot_testing::skip!("{why}");
    }
    let mut cases = cases();
    cases.retain(|case| {
        case.lower
            .iter()
            .chain(&case.upper)
            .all(|bound| bound.is_infinite())
    });
    assert!(cases.len() > 10);
    let (mut ours, mut theirs) = (0, 0);
    for (case, scipy) in cases.iter().zip(scipy(&cases)) {
        let mut solver = Lbfgs::new(case.x0.clone(), options());
        let reason = solver.minimise(case.function, |_| ControlFlow::Continue(()));
        let best = scipy.value.unwrap();
        assert!(
            solver.value() <= best + 1e-9,
            "{}: {reason}: {:e}",
            case.name,
            solver.value()
        );
        ours += solver.evaluations();
        theirs += scipy.evaluations;
    }
    println!("{ours} evaluations in all, SciPy {theirs}");
    // Not case by case: after hundreds of steps rounding alone decides how many more there are.
    assert!(
        10 * ours <= 11 * theirs,
        "{ours} evaluations in all, SciPy {theirs}"
    );
}
