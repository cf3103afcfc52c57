//! Properties in VNN-LIB: damaged ones, and conditions nested at random.

use std::io::Write;
use std::path::Path;

use blindspot::property::Property;

use crate::random::Random;

const DECLARED: &str = "(declare-const X_0 Real)\n(declare-const X_1 Real)\n\n(declare-const Y_0 Real)\n\
                        (declare-const Y_1 Real)\n(declare-const Y_2 Real)\n";
const BOX: &str =
    "(assert (>= X_0 -0.5)) (assert (<= X_0 0.25))\n(assert (>= X_1 0)) (assert (<= X_1 1e-1))\n";

pub(crate) fn files() -> Vec<Vec<u8>> {
    let mut files: Vec<Vec<u8>> = [
        "(assert (<= Y_0 Y_1)) ; unsafe\n(assert (<= Y_0 Y_2))",
        "(assert (or (and (<= Y_0 Y_1)) (and (>= Y_2 3.9911256459))))",
        "(assert (>= (+ (* 2.0 Y_0) (- Y_1) -0.5) (- Y_2 1)))",
    ]
    .iter()
    .map(|asserted| format!("; a property\n{DECLARED}{BOX}{asserted}\n").into_bytes())
    .collect();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed
        .write_all(&files[0])
        .expect("memory can be written to");
    files.push(packed.finish().expect("memory can be written to"));
    files
}

/// A property with conditions nested at random, some thousands deep.
pub(crate) fn made(random: &mut Random) -> Vec<u8> {
    let mut text = format!("{DECLARED}{BOX}");
    for _ in 0..1 + random.below(6) {
        let mut left = 1 + random.below(300);
        let depth = if random.once_in(20) { 5000 } else { 6 };
        text += "(assert ";
        condition(random, &mut text, depth, &mut left);
        text += ")\n";
    }
    text.into_bytes()
}

fn condition(random: &mut Random, text: &mut String, depth: usize, left: &mut usize) {
    if depth > 100 {
        // Deep, without a deep stack of our own.
        *text += &random.of(&["(and ", "(or "]).repeat(depth);
        *text += "(<= Y_0 1)";
        *text += &")".repeat(depth);
        return;
    }
    *left = left.saturating_sub(1);
    if depth == 0 || *left == 0 || random.once_in(3) {
        *text += *random.of(&["(<= ", "(>= "]);
        term(random, text, 3);
        *text += " ";
        term(random, text, 3);
    } else {
        *text += *random.of(&["(and", "(or"]);
        for _ in 0..1 + random.below(5) {
            *text += " ";
            condition(random, text, depth - 1, left);
        }
    }
    *text += ")";
}

fn term(random: &mut Random, text: &mut String, depth: usize) {
    const ATOMS: [&str; 16] = [
        "X_0", "X_1", "Y_0", "Y_1", "Y_2", "0", "1", "-0.0", "1e308", "-1e-320", "0.1", "-2",
        "Y_3", "3e", "X_", "--1",
    ];
    if depth == 0 || !random.once_in(6) {
        // Most are names and numbers that there are.
        let known = if random.once_in(60) { ATOMS.len() } else { 12 };
        *text += ATOMS[random.below(known)];
        return;
    }
    *text += *random.of(&["(+", "(-", "(*"]);
    for _ in 0..1 + random.below(3) {
        *text += " ";
        term(random, text, depth - 1);
    }
    *text += ")";
}

/// Reads a property; what was read has boxes that are not empty, of the inputs declared.
pub(crate) fn read(file: &[u8], _folder: &Path) {
    match Property::parse("property.vnnlib", file) {
        Ok(property) => {
            for region in property.regions() {
                let mut ends = region.lower.iter().zip(&region.upper);
                assert!(ends.all(|(lower, upper)| lower <= upper
                    && lower.is_finite()
                    && upper.is_finite()));
                assert_eq!(region.lower.len(), property.inputs());
                let outputs = region
                    .cases
                    .iter()
                    .flatten()
                    .flat_map(|inequality| &inequality.factors);
                assert!(
                    outputs
                        .clone()
                        .all(|(output, factor)| *output < property.outputs() && *factor != 0.0)
                );
            }
        }
        Err(error) => assert!(error.to_string().len() < 400, "{error}"),
    }
}
