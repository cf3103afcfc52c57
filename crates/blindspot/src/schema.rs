//! What JSON schemas say of types that don't describe themselves, field by field as files have them.
#![expect(dead_code, reason = "only their descriptions are asked for")]

use blindspot_model::{Grouping, InputBox, Norm};
use schemars::JsonSchema;

/// What was searched for, and where.
#[derive(JsonSchema)]
pub(crate) struct SearchOptions {
    /// How the target class of each image was chosen: `random`, `nearest`, `all`, `untargeted`, or the number of a class.
    target: String,
    /// Seed of random targets.
    seed: u64,
    /// The valid range of every input value.
    bounds: InputBox,
    /// How the smallest perturbation was searched for: `sqp`, `lbfgs`, `fgsm`, `pgd`, `deepfool`, `cw` or `ddn`.
    method: String,
    /// The norm in which it was to be small: `l2`, `linf`, `l1` or `l0`.
    norm: Norm,
    /// What an L0 norm counts.
    grouping: Grouping,
    /// Whether the perturbation that the method `lbfgs` found was shrunk along its ray to the decision boundary.
    shrink: bool,
    /// Which answers count as adversarial.
    criterion: Criterion,
    /// Evaluations of the classifier for each search at most; null for no limit.
    max_evaluations: Option<u64>,
    /// Seconds for the whole search at most; null for no limit.
    time_limit: Option<f64>,
    /// The norm of a perturbation that was not made smaller, where it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enough: Option<f64>,
    /// What the outputs of a model that is no classifier were to do, as the command takes it, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    goal: Option<String>,
    /// The columns of the table that was searched, where these were known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    columns: Option<Vec<Column>>,
}

/// A column of a table.
#[derive(JsonSchema)]
struct Column {
    /// Its name; of several one-hot columns, that of the group.
    name: String,
    /// What its values are: `number`, `integer` or `category`.
    kind: String,
    /// Of numbers, the smallest and the largest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    range: Option<[f32; 2]>,
    /// Of categories, their names in the order of the input's values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    categories: Option<Vec<String>>,
    /// Which way values may change: `any`, `up`, `down` or `none`.
    direction: String,
    /// What counts as a change by 1: so many of its units; a change of category counts as 1 / scale.
    scale: f64,
    /// What a number counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    /// Places of its values in an input: one, or one for each category.
    inputs: Vec<usize>,
}

/// Which answers count as adversarial.
#[derive(JsonSchema)]
struct Criterion {
    /// The label must leave the `top_k` most likely classes; 1 asks for any wrong answer.
    top_k: usize,
    /// Margin, in units of the outputs (logits), that an answer must exceed.
    confidence: f64,
}

/// How a universal perturbation was searched for.
#[derive(JsonSchema)]
pub(crate) struct UniversalOptions {
    /// Its norm at most, where it was to fool as many images as can be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epsilon: Option<f64>,
    /// The share of the images, above 0 and at most 1, that it was to fool at least, where it was to be the smallest one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    share: Option<f64>,
    /// In which norm it was to be small: `l2` or `linf`.
    norm: Norm,
    /// What fooled: `untargeted` (any class but the label), or the number of a class.
    target: String,
    /// Seed of all that is random.
    seed: u64,
    /// The valid range of every input value: perturbed images are clipped to it.
    input_box: InputBox,
    /// Evaluations of the classifier for each image at most; null for as many as the method takes by itself.
    max_evaluations: Option<u64>,
    /// Seconds for the search at most; null for no limit.
    time_limit: Option<f64>,
}

/// The arithmetic in which certificates hold.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Arithmetic {
    /// The arithmetic of any runtime, and exact arithmetic, too.
    Runtime,
    /// Exact arithmetic on the file's own numbers.
    Exact,
}
