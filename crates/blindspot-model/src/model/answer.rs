//! What a network's file ends in.

use blindspot_net::{Network, Op};

/// What a network's file ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// One number for each class, the largest for the likeliest.
    Logits,
    /// A Softmax over the classes; the model leaves it out.
    Softmax,
    /// A LogSoftmax over the classes; the model leaves it out.
    LogSoftmax,
    /// Something else that keeps the order of the classes, such as a Sigmoid; the model leaves it
    /// out.
    Increasing,
    /// One number, above 0 for class 1 of two; the model gives 0 for class 0 beside it, so that the
    /// margin is that number.
    OneLogit,
    /// A Sigmoid of one number, the probability of class 1 of two; the model leaves the Sigmoid out
    /// and is [`OneLogit`](Answer::OneLogit) then.
    OneProbability,
}

/// What a network ends in, beside what is left of it without that.
pub(super) fn answer(network: &Network<f32>, logits: &Network<f32>) -> Answer {
    let nodes = network.graph().nodes();
    match &nodes[logits.graph().nodes().len()..] {
        [] => Answer::Logits,
        [node] => match &node.op {
            Op::Softmax(softmax) if softmax.log => Answer::LogSoftmax,
            Op::Softmax(_) => Answer::Softmax,
            _ => Answer::Increasing,
        },
        _ => Answer::Increasing,
    }
}
