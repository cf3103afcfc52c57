//! What a network seems to want of its input.

use blindspot_model::Model;
use blindspot_net::{Op, Operand, ops::Binary};
use schemars::JsonSchema;
use serde::Serialize;

/// A guess about the preprocessing that a network was trained with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Guess {
    /// What is guessed, in words.
    pub what: String,
    /// What it is guessed from.
    pub why: String,
}

/// The guesses about a model; none where nothing hints at anything.
pub(super) fn of(model: &Model) -> Vec<Guess> {
    let mut guesses = Vec::new();
    let mut guess = |what: &str, why: &str| {
        guesses.push(Guess {
            what: what.to_owned(),
            why: why.to_owned(),
        });
    };
    if model.takes_whole_numbers() {
        guess(
            "levels from 0 to 255, which images in [0, 1] are scaled to",
            "its input holds whole numbers",
        );
        return guesses;
    }
    let said = !model.preprocess().is_identity();
    let inside = normalises(model);
    match model.image_shape() {
        _ if said => {}
        Some([3, ..]) if inside => guess(
            "images as they are",
            "it scales or shifts its input itself before anything else",
        ),
        Some([3, ..]) => guess(
            "a mean and a standard deviation of each channel, most often 0.485, 0.456, 0.406 and \
             0.229, 0.224, 0.225 (ImageNet's)",
            "it takes images of three channels and does not scale them itself",
        ),
        _ => {}
    }
    guesses
}

/// Whether the input is scaled or shifted by numbers, one for all or one for each channel, before
/// any other operator but those that move it.
fn normalises(model: &Model) -> bool {
    let graph = model.network().graph();
    let mut value = graph.input();
    loop {
        // A value is used after it is given.
        let mut users = graph.nodes()[value.index()..].iter();
        let takes = |operand: &Operand| *operand == Operand::Value(value);
        let Some(node) = users.find(|node| node.inputs.iter().any(takes)) else {
            return false;
        };
        match &node.op {
            Op::Reshape(_) | Op::Transpose(_) | Op::Gather(_) => value = node.output,
            Op::Binary(Binary::Add | Binary::Sub | Binary::Mul | Binary::Div) => {
                let few = |operand: &Operand| match operand {
                    Operand::Weight(id) => model.network().weights()[id.index()].len() <= 3,
                    Operand::Value(_) => false,
                };
                return node.inputs.iter().any(few);
            }
            _ => return false,
        }
    }
}
