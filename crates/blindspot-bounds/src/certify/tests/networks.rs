//! Small networks to certify images of.

use super::*;

/// Fully connected ones of each activation, and convolutional ones with pooling, overlapping or
/// not.
pub(super) fn networks() -> Vec<Network<f32>> {
    let mut all = Vec::new();
    for (seed, unary) in [Unary::Sigmoid, Unary::Relu, Unary::Tanh]
        .into_iter()
        .enumerate()
    {
        let stack = Stack::new(&[20], seed).dense(20, 16).activation(unary);
        all.push(stack.dense(16, 12).activation(unary).dense(12, 4).network());
    }
    for (seed, stride) in [(3, 2), (4, 1)] {
        let (convolution, pool) = (convolution([1, 0]), max_pool(stride));
        let stack = Stack::new(&[1, 7, 7], seed)
            .add(convolution, &[&[3, 1, 3, 3], &[3]], 0.6)
            .activation(Unary::Relu)
            .add(pool, &[], 1.0);
        let shape = stack.graph.value(stack.graph.output()).shape.clone();
        let count = shape.iter().product();
        let flat = Op::Reshape(Reshape { shape: vec![count] });
        let stack = stack.add(flat, &[], 1.0).dense(count, 8);
        all.push(stack.activation(Unary::Sigmoid).dense(8, 3).network());
    }
    all.push(residual(Unary::Relu, 5));
    all.push(residual(Unary::Tanh, 6));
    all.push(branches());
    all
}

/// A 3x3 convolution with `before` zeros before each axis of its input, and one after it.
fn convolution(before: [usize; 2]) -> Op {
    Op::Conv(Conv {
        window: Window {
            before: before.to_vec(),
            after: vec![1, 1],
            ..Window::dense(&[3, 3])
        },
        groups: 1,
    })
}

/// The maxima of 2x2 windows.
fn max_pool(stride: usize) -> Op {
    Op::Pool(Pool {
        kind: PoolKind::Max,
        window: Window {
            strides: vec![stride; 2],
            ..Window::dense(&[2, 2])
        },
        ceil: false,
    })
}

/// Units around which their inputs margin, and beside the last ones.
fn residual(unary: Unary, seed: usize) -> Network<f32> {
    let stack = Stack::new(&[20], seed).dense(20, 10).activation(unary);
    let below = stack.top;
    let stack = stack.dense(10, 10).activation(unary).dense(10, 10);
    let stack = stack.with(Op::Binary(Binary::Add), below).activation(unary);
    let beside = stack.with(Op::Concat(Concat { axis: 0 }), below);
    beside.dense(20, 4).network()
}

/// A convolution whose output is needed behind a pooling, too, and the image behind all.
fn branches() -> Network<f32> {
    let (convolution, pool) = (convolution([1, 1]), max_pool(2));
    let flat = |count: usize| Op::Reshape(Reshape { shape: vec![count] });
    let stack = Stack::new(&[1, 6, 6], 7);
    let image = stack.top;
    let stack = stack
        .add(convolution, &[&[1, 1, 3, 3], &[1]], 0.6)
        .with(Op::Binary(Binary::Add), image);
    let before = stack.top;
    let stack = stack.activation(Unary::Relu).add(pool, &[], 1.0);
    let pooled = stack.add(flat(9), &[], 1.0);
    let top = pooled.top;
    let stack = pooled.node(flat(36), vec![before], &[], 1.0);
    let stack = stack.with(Op::Concat(Concat { axis: 0 }), top);
    let stack = stack.dense(45, 36).activation(Unary::Sigmoid);
    let below = stack.top;
    let stack = stack.node(flat(36), vec![image], &[], 1.0);
    let stack = stack.with(Op::Binary(Binary::Add), below);
    stack.dense(36, 3).network()
}
