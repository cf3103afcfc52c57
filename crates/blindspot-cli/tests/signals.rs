//! Signals over time: recurrent and convolutional networks, asked again in onnxruntime, and drawn as curves.

mod common;

use blindspot_testing::{python, run_python, skip};
use common::{folder, run};

/// Writes an LSTM over [time, channels] and a convolution over [channels, time], each with slow and fast waves in noise
/// that it answers differently.
const MAKE: &str = r"
import sys, numpy as np, onnx, onnxruntime
from onnx import TensorProto, helper, numpy_helper
random = np.random.default_rng(3)
moments, channels, hidden = 48, 2, 6
time = np.arange(moments)[None, :, None]
fast = np.arange(24) % 2
phase = random.uniform(0, 6, (24, 1, channels))
signals = 0.5 + 0.3 * np.sin(phase + time * np.where(fast, 0.9, 0.2)[:, None, None])
signals = (signals + 0.05 * random.normal(size=signals.shape)).clip(0, 1).astype(np.float32)
normal = lambda *shape, by=1.0: (by * random.normal(size=shape)).astype(np.float32)
def save(name, shape, nodes, weights, x):
    initializers = [numpy_helper.from_array(value, key) for key, value in weights.items()]
    graph = helper.make_graph(nodes, name, [helper.make_tensor_value_info('x', TensorProto.FLOAT, ['n', *shape])],
                              [helper.make_tensor_value_info('logits', TensorProto.FLOAT, ['n', 2])], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    def logits():
        onnx.save(model, f'{sys.argv[1]}/{name}.onnx')
        return onnxruntime.InferenceSession(f'{sys.argv[1]}/{name}.onnx').run(None, {'x': x})[0]
    # Half of the signals are of each class.
    lead = np.median(logits() @ [1, -1])
    c = next(value for value in model.graph.initializer if value.name == 'c')
    c.CopyFrom(numpy_helper.from_array(np.array([0, lead], np.float32), 'c'))
    np.savez(f'{sys.argv[1]}/{name}.npz', x=x, y=logits().argmax(1))
node = helper.make_node
save('lstm', [moments, channels], [
    node('Transpose', ['x'], ['steps'], perm=[1, 0, 2]),
    node('LSTM', ['steps', 'w', 'r', 'b'], ['', 'last'], hidden_size=hidden),
    node('Squeeze', ['last', 'zero'], ['state']),
    node('Gemm', ['state', 'v', 'c'], ['logits'])],
    {'w': normal(1, 4 * hidden, channels), 'r': normal(1, 4 * hidden, hidden, by=0.4), 'b': normal(1, 8 * hidden),
     'zero': np.array([0]), 'v': normal(hidden, 2), 'c': np.zeros(2, np.float32)}, signals)
save('conv', [channels, moments], [
    node('Conv', ['x', 'w', 'b'], ['a'], pads=[2, 2]), node('Relu', ['a'], ['r']),
    node('GlobalMaxPool', ['r'], ['p']), node('Flatten', ['p'], ['f']), node('Gemm', ['f', 'v', 'c'], ['logits'])],
    {'w': normal(8, channels, 5), 'b': normal(8), 'v': normal(8, 2), 'c': np.zeros(2, np.float32)},
    signals.transpose(0, 2, 1))
";

const CHECK: &str = r"
import sys, numpy as np, onnxruntime
folder, name = sys.argv[1:]
a = np.load(f'{folder}/{name}-found.npz')
session = onnxruntime.InferenceSession(f'{folder}/{name}.onnx')
before, after = (session.run(None, {'x': a[x]})[0].argmax(1) for x in ('original', 'adversarial'))
assert (before == a['prediction_before']).all() and (after == a['prediction_after']).all()
assert a['fooled'].sum() > 0 and (before != after)[a['fooled']].all()
print(int(a['success'].sum()))
";

#[test]
fn networks_over_time_are_fooled_in_onnxruntime_and_signals_are_drawn_as_curves() {
    if let Err(why) = python() {
        skip!("{why}");
    }
    let folder = folder();
    let dir = folder.path();
    let place = dir.to_str().unwrap();
    run_python(MAKE, [place], "").unwrap();
    for name in ["lstm", "conv"] {
        let words = format!(
            "attack {name}.onnx --data npz:{name}.npz --quiet --out {name}-found.npz --report {name}.html"
        );
        let (exit, _, error) = run(dir, &words);
        assert_eq!(exit, 0, "{words}: {error}");
        let found = run_python(CHECK, [place, name], "").unwrap();
        assert_ne!(found.trim(), "0", "{name}");
        let page = std::fs::read_to_string(dir.join(format!("{name}.html"))).unwrap();
        assert!(
            page.contains("a curve for each channel over time"),
            "{name}"
        );
        assert!(!page.contains("grey levels"), "{name}");
        assert!(page.contains("data:image/svg+xml;base64,") && !page.contains("data:image/png"));
    }
}
