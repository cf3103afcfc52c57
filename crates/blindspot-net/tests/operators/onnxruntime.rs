//! The numbers of each operator, written as an ONNX file, against onnxruntime.

use std::collections::BTreeMap;
use std::path::Path;

use blindspot_net::{Evaluator, Network, Op, onnx};
use blindspot_testing::{python, run_python, skip};
use proptest::strategy::{BoxedStrategy, Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::case::Case;
use crate::cases;

/// Networks of each operator.
const CASES: usize = 60;
/// Images in a batch.
const BATCH: usize = 3;

/// Checks each file by ONNX's own checker and runs it; writes what comes out beside it.
const SCRIPT: &str = "
import sys, glob, numpy, onnx, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.log_severity_level = 4
for path in sorted(glob.glob(sys.argv[1] + '/*.onnx')):
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        session = onnxruntime.InferenceSession(path, options)
        shape = [-1] + [axis.dim_value for axis in model.graph.input[0].type.tensor_type.shape.dim[1:]]
        x = numpy.fromfile(path[:-5] + '.in', numpy.float32).reshape(shape)
        y, = session.run(None, {'image': x})
        y.astype(numpy.float32).tofile(path[:-5] + '.out')
    except Exception as e:
        open(path[:-5] + '.error', 'w').write(str(e))
";

fn run(network: &Network<f32>, images: &[f32]) -> Vec<f32> {
    let mut evaluator = Evaluator::new(network);
    evaluator.input(BATCH).copy_from_slice(images);
    evaluator.forward().to_vec()
}

/// What onnxruntime refuses: padding as wide as a pool's window, LRN of anything but images or of an
/// even size. And its pools with `ceil_mode` keep a window that begins in the padding behind the
/// image, which the standard (and PyTorch) leave out.
fn is_not_for_onnxruntime(case: &Case) -> bool {
    let shape = &case.operands[0].1;
    match &case.op {
        Op::Lrn(lrn) => lrn.size % 2 == 0 || shape.len() != 3,
        Op::Pool(pool) => (0..pool.window.kernel.len()).any(|axis| {
            let window = &pool.window;
            let (before, after) = (window.before[axis], window.after[axis]);
            let size = shape[1 + axis];
            let span = (window.kernel[axis] - 1) * window.dilations[axis] + 1;
            let steps = (size + before + after - span).div_ceil(window.strides[axis]);
            let begins_behind = pool.ceil && steps * window.strides[axis] >= size + before;
            before.max(after) >= window.kernel[axis] || begins_behind
        }),
        _ => false,
    }
}

fn write_case(path: &Path, case: &Case) -> Vec<f32> {
    let (network, images) = case.build(BATCH).expect("checked when it was drawn");
    let network = network.cast::<f32>();
    let images: Vec<f32> = images.iter().map(|&x| x as f32).collect();
    let bytes = images
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect::<Vec<u8>>();
    std::fs::write(
        path.with_extension("onnx"),
        onnx::write(&network, &BTreeMap::new()),
    )
    .unwrap();
    std::fs::write(path.with_extension("in"), bytes).unwrap();
    run(&network, &images)
}

#[test]
fn every_operator_gives_the_numbers_of_onnxruntime() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let strategies: [(&str, BoxedStrategy<Case>); 20] = [
        ("unary", cases::unary()),
        ("binary", cases::binary()),
        ("choose", cases::choose()),
        ("normalize", cases::normalize()),
        ("gemm", cases::gemm()),
        ("matmul", cases::matmul()),
        ("softmax", cases::softmax()),
        ("reduce", cases::reduce()),
        ("topk", cases::topk()),
        ("reshape", cases::reshape()),
        ("transpose", cases::transpose()),
        ("concat", cases::concat()),
        ("slice", cases::slice()),
        ("gather", cases::gather()),
        ("pad", cases::pad()),
        ("dropout", cases::dropout()),
        ("conv", cases::conv()),
        ("local", cases::local()),
        ("pool", cases::pool()),
        ("lrn", cases::lrn()),
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut runner = TestRunner::deterministic();
    let mut all = Vec::new();
    for (name, strategy) in &strategies {
        for i in 0..CASES {
            let case = strategy.new_tree(&mut runner).unwrap().current();
            if is_not_for_onnxruntime(&case) {
                continue;
            }
            let path = folder.path().join(format!("{name}{i}"));
            let ours = write_case(&path, &case);
            all.push((path, case, ours));
        }
    }
    run_python(SCRIPT, [folder.path()], "").unwrap();
    let mut wrong = Vec::new();
    for (path, case, ours) in &all {
        let Ok(theirs) = std::fs::read(path.with_extension("out")) else {
            let why = std::fs::read_to_string(path.with_extension("error")).unwrap_or_default();
            wrong.push(format!("{case:?}: {why}"));
            continue;
        };
        let theirs = theirs
            .chunks_exact(4)
            .map(|x| f32::from_le_bytes(x.try_into().unwrap()));
        let theirs: Vec<f32> = theirs.collect();
        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * (1.0 + b.abs());
        if ours.len() != theirs.len() || !ours.iter().zip(&theirs).all(near) {
            wrong.push(format!("{case:?}: {ours:?} {theirs:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        all.len(),
        wrong.join("\n")
    );
}
