use super::*;

const DECLARED: &str =
    "(declare-const X_0 Real)\n(declare-const Y_0 Real) (declare-const Y_1 Real)\n";

fn condition(text: &str) -> Condition {
    let script = parse(&format!("{DECLARED}(assert {text})")).unwrap();
    let [condition] = <[Condition; 1]>::try_from(script.conditions).unwrap();
    condition
}

fn outputs(factors: &[(usize, f64)], bound: f64) -> Condition {
    let factors = factors.to_vec();
    Condition::Outputs(Box::new(OutputBound { factors, bound }))
}

#[test]
fn inequalities_become_bounds() {
    let input = |end, bound| Condition::Input {
        input: 0,
        end,
        bound,
    };
    assert_eq!(condition("(<= X_0 0.5)"), input(End::Upper, 0.5));
    assert_eq!(condition("(>= X_0 -1e-3)"), input(End::Lower, -1e-3));
    assert_eq!(condition("(<= -2 (* 4 X_0))"), input(End::Lower, -0.5));
    assert_eq!(condition("(<= (- X_0) 3)"), input(End::Lower, -3.0));
    assert_eq!(
        condition("(<= Y_0 Y_1)"),
        outputs(&[(0, 1.0), (1, -1.0)], 0.0)
    );
    assert_eq!(
        condition("(>= (+ (* 2 Y_1) 1 (- Y_0 Y_1)) 3.5)"),
        outputs(&[(0, -1.0), (1, -1.0)], -2.5)
    );
    assert_eq!(condition("(<= Y_0 Y_0)"), Condition::Known(true));
    assert_eq!(condition("(<= 2 1)"), Condition::Known(false));
    let both = Condition::And(vec![condition("(<= Y_0 1)"), Condition::Known(true)]);
    assert_eq!(
        condition("(or (and ; a comment)\n (<= Y_0 1) (<= 1 1)))"),
        Condition::Or(vec![both])
    );
}

#[test]
fn what_is_no_property_is_named_with_its_line() {
    let deep = format!("(assert {})", "(and ".repeat(100_000));
    let long = format!("(assert (<= X_0 {}))", "9".repeat(100_000));
    let minus = format!("(assert (<= X_0 {}", "(- ".repeat(100_000));
    for (text, line, why) in [
        ("assert", 3, "a command begins with ("),
        ("()", 3, ") stands where a command should be"),
        ("\n(check-sat)", 4, "`check-sat` is no command"),
        ("(assert (< X_0 1))", 3, "`<` is no condition"),
        ("(assert (= X_0 1))", 3, "`=` is no condition"),
        ("(assert (<= X_0 1)", 3, "the file ends where ) should be"),
        ("(assert (<= X_0 1)))", 3, "a command begins with (, as in"),
        ("(assert (<= X_0))", 3, ") stands where a term should be"),
        ("(assert (<= X_0 1 2))", 3, "`2` stands where ) should be"),
        ("(assert (<= X_1 1))", 3, "`X_1` is not declared"),
        ("(assert (<= Z_0 1))", 3, "`Z_0` is neither a number nor"),
        ("(assert (<= X_0 nan))", 3, "`nan` is neither a number nor"),
        ("(assert (<= X_0 inf))", 3, "`inf` is neither a number nor"),
        (
            "(assert (<= X_0 1e999))",
            3,
            "`1e999` is neither a number nor",
        ),
        ("(assert (<= X_0 (* 1e300 1e300)))", 3, "too large"),
        ("(assert (<= (* 1e-300 X_0) 1e300))", 3, "too large"),
        ("(assert (<= (* Y_0 Y_1) 1))", 3, "is not linear"),
        (
            "(assert (<= X_0 Y_0))",
            3,
            "several inputs, or of inputs and outputs",
        ),
        ("(assert (<= (/ Y_0 2) 1))", 3, "`/` is no operator here"),
        ("(assert (and))", 3, "(and) has no condition"),
        (
            "(assert X_0)",
            3,
            "`X_0` stands where a condition should be",
        ),
        (
            "(declare-const X_0 Real)",
            3,
            "X_0 is declared a second time",
        ),
        (
            "(declare-const X_2 Real)",
            3,
            "X_1 is not; number them from 0",
        ),
        (
            "(declare-const X_1 Int)",
            3,
            "X_1 is declared `Int`, not Real",
        ),
        ("(declare-const X_+1 Real)", 3, "`X_+1` is no name"),
        ("(declare-const X_9999999 Real)", 3, "beyond the"),
        (
            "(declare-const X_99999999999999999999 Real)",
            3,
            "is no name",
        ),
        (
            "(declare-fun X_1 () Real)",
            3,
            "`declare-fun` is no command",
        ),
        ("\u{1}", 3, "a command begins with ("),
        (&deep, 3, "nested more than 64 deep"),
        (&minus, 3, "nested more than 64 deep"),
        (
            &long,
            3,
            "`9999999999999999999999999999999999999999...` is neither",
        ),
    ] {
        let error = parse(&format!("{DECLARED}{text}")).unwrap_err();
        assert!(error.why.contains(why), "{text:.60}: {error:?}");
        assert_eq!(error.line, line, "{text:.60}");
        assert!(error.why.len() < 200, "{error:?}");
    }
    assert!(parse("").unwrap_err().why.contains("no input is declared"));
    let only = parse("(declare-const X_0 Real)").unwrap_err();
    assert!(only.why.contains("no output is declared"));
}
