//! What a network's file ends in.

use blindspot_net::{Network, Op};

use super::one_logit;

/// What the numbers are that a network gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outputs {
    /// A number for each of k classes, or one number for two classes: the largest is the answer.
    #[default]
    Classes,
    /// A number for each of some labels, any of which may be on: where its logit is above 0, or its
    /// probability, behind a Sigmoid, above 1/2.
    Labels,
    /// Numbers as they are: quantities, an embedding, activations.
    Numbers,
}

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
    /// A logit for each label ([`Outputs::Labels`]).
    LabelLogits,
    /// A Sigmoid of a logit for each label; the model leaves it out.
    LabelProbabilities,
    /// Numbers as they are ([`Outputs::Numbers`]).
    Numbers,
}

/// A network's answer, the network without what it ends in where that is looked through, and the
/// whole network then.
pub(super) fn look_through(
    network: Network<f32>,
    outputs: Outputs,
) -> (Answer, Network<f32>, Option<Network<f32>>) {
    match outputs {
        Outputs::Classes if network.output_len() == 1 => one_logit::two_classes(network),
        Outputs::Classes => {
            let logits = network.logits();
            let answer = answer(&network, &logits);
            let own_end = (answer != Answer::Logits).then_some(network);
            (answer, logits, own_end)
        }
        Outputs::Labels => match one_logit::before_sigmoid(&network) {
            Some(logits) => {
                let logits = network.up_to(logits);
                (Answer::LabelProbabilities, logits, Some(network))
            }
            None => (Answer::LabelLogits, network, None),
        },
        Outputs::Numbers => (Answer::Numbers, network, None),
    }
}

/// What a network ends in, beside what is left of it without that.
fn answer(network: &Network<f32>, logits: &Network<f32>) -> Answer {
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
