//! What must hold of functions in pieces.

use blindspot_run::random::Stream;

use super::*;

/// Functions of each kind, with usual and unusual parameters.
pub(in crate::certify) fn curves() -> Vec<Curve> {
    let functions = functions().into_iter().map(Function::Unary);
    let gates = [0.7, FRAC_1_SQRT_2, -2.0].map(|steepness| Function::ErfGate { steepness });
    let hard = [(1.0 / 6.0, 0.5), (0.2, 0.5), (-1.0, 2.0), (3.0, -4.0)];
    let hard = hard.map(|(alpha, beta)| Function::HardGate { alpha, beta });
    let all = functions.chain(gates).chain(hard);
    all.map(|function| Curve::of(function).expect("it is known"))
        .collect()
}

pub(in crate::certify) fn functions() -> Vec<Unary> {
    let infinity = f64::INFINITY;
    let mut all = vec![
        Unary::Abs,
        Unary::HardSwish,
        Unary::Softplus,
        Unary::Softsign,
        Unary::Erf,
        Unary::Gelu { tanh: false },
        Unary::Gelu { tanh: true },
        Unary::Mish,
        Unary::Selu {
            alpha: 1.673_263_2,
            gamma: 1.050_701,
        },
        Unary::Selu {
            alpha: -0.5,
            gamma: 2.0,
        },
    ];
    all.extend([0.01, 0.3, 0.0, 1.5, -0.7].map(|alpha| Unary::LeakyRelu { alpha }));
    all.extend([1.0, 3.0, 0.1, 0.0, -0.5].map(|alpha| Unary::Elu { alpha }));
    all.extend([1.0, 5.0, 0.1].map(|alpha| Unary::Celu { alpha }));
    all.extend([1.0, 1.702, 0.1, 30.0, 0.0, -2.0].map(|alpha| Unary::Swish { alpha }));
    let clips = [
        (0.0, 6.0),
        (-1.0, 1.0),
        (2.0, 2.0),
        (-infinity, 0.5),
        (0.5, infinity),
    ];
    all.extend(clips.map(|(min, max)| Unary::Clip { min, max }));
    let slopes = [
        (0.2, 0.5),
        (1.0 / 6.0, 0.5),
        (-3.0, 0.1),
        (0.0, 0.3),
        (50.0, -20.0),
    ];
    all.extend(slopes.map(|(alpha, beta)| Unary::HardSigmoid { alpha, beta }));
    all
}

/// The network's own kernels, which are written in other terms.
#[test]
fn values_and_slopes_are_those_of_the_operators() {
    for (function, curve) in functions().into_iter().zip(curves()) {
        let network = blindspot_testing::Stack::new(&[1], 0)
            .activation(function)
            .network();
        let network = network.cast::<f64>();
        let mut evaluator = blindspot_net::Evaluator::new(&network);
        for i in -600..=600 {
            let x = f64::from(i) * 0.0371;
            evaluator.input(1)[0] = x;
            let value = evaluator.forward()[0];
            let slope = evaluator.backward(&[1.0])[0];
            let (ours, our_slope) = curve.value_and_slope(curve.piece(x), x);
            let tolerance = 1e-14 * curve.size * (1.0 + x.abs());
            assert!(
                (ours - value).abs() <= tolerance,
                "{function:?} {x}: {ours} {value}"
            );
            let off = (our_slope - slope).abs();
            assert!(
                i == 0 || off <= 1e-12 * curve.size,
                "{function:?} {x}: {our_slope} {slope}"
            );
        }
    }
}

/// In each piece chords lie on the side that the bend says, at points near its ends, too.
#[test]
fn pieces_are_bent_as_they_say() {
    for curve in curves() {
        for seed in 0..4_000 {
            let mut stream = Stream::new(31, "chords of a test", seed);
            let scale = [1e-2, 1.0, 5.0, 60.0][seed % 4];
            let ends: Vec<f64> = curve
                .breaks
                .iter()
                .copied()
                .filter(|b| b.is_finite())
                .collect();
            let near = match ends.get(seed % (ends.len() + 1)) {
                Some(end) => *end,
                None => 0.0,
            };
            let mut three = [0; 3].map(|_| near + scale * stream.normal());
            three.sort_by(f64::total_cmp);
            let [a, x, b] = three;
            let piece = curve.piece(x);
            if curve.piece(a) != piece || curve.piece(b) != piece {
                continue;
            }
            let value = |x| curve.value_and_slope(piece, x).0;
            let chord = value(a) + (value(b) - value(a)) * ((x - a) / (b - a));
            let over = chord - value(x);
            let rounding = 1e-14 * curve.size * (1.0 + near.abs() + scale);
            let holds = match curve.bends[piece] {
                Bend::Convex => over >= -rounding,
                Bend::Concave => over <= rounding,
                Bend::Straight => over.abs() <= rounding,
            };
            assert!(holds, "{curve:?} {a} {x} {b}: {over:e}");
        }
    }
}

#[test]
fn parameters_without_bounds_have_no_curve() {
    let bad = [
        Unary::LeakyRelu { alpha: f64::NAN },
        Unary::LeakyRelu {
            alpha: f64::INFINITY,
        },
        Unary::Clip { min: 1.0, max: 0.0 },
        Unary::Clip {
            min: f64::NAN,
            max: 0.0,
        },
        Unary::Celu { alpha: -1.0 },
        Unary::Swish {
            alpha: f64::INFINITY,
        },
        Unary::HardSigmoid {
            alpha: 1.0,
            beta: f64::NAN,
        },
        Unary::Floor,
        Unary::Sign,
    ];
    for function in bad {
        assert_eq!(Curve::of_unary(function), None, "{function:?}");
    }
    assert_eq!(
        Curve::of_binary(Binary::PRelu, 0.1, f64::MAX).map(|c| c.size),
        Some(f64::MAX)
    );
    assert_eq!(Curve::of_binary(Binary::Max, f64::INFINITY, 1.0), None);
    assert_eq!(Curve::of_binary(Binary::Pow, 2.0, 2.0), None);
}
