"""Models in double precision, with images and onnxruntime's answers: prints, by the models' names, the images and the
answers. argv[1] is a folder for the files.
"""

import json
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto as T, helper as h, numpy_helper as nh

folder = sys.argv[1]
random = np.random.default_rng(0)
n = h.make_node
answers = {}


def d(*shape):
    return random.standard_normal(shape) / 3


def case(name, nodes, constants, image):
    """The numbers of the classes are `y`."""
    tensors = [nh.from_array(np.asarray(array), key) for key, array in constants.items()]
    inputs = [h.make_tensor_value_info("x", T.DOUBLE, ["n", *image])]
    outputs = [h.make_tensor_value_info("y", T.DOUBLE, None)]
    graph = h.make_graph(nodes, name, inputs, outputs, tensors)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, f"{folder}/{name}.onnx")
    # Examples are numbers of single precision.
    images = random.random((3, *image)).astype(np.float32)
    try:
        session = onnxruntime.InferenceSession(f"{folder}/{name}.onnx")
    except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:
        # onnxruntime has no kernel in double precision.
        return
    theirs = [session.run(None, {"x": one[None].astype(float)})[0].ravel().tolist() for one in images]
    answers[name] = {"images": images.astype(float).ravel().tolist(), "answers": theirs}


dense = {"w": d(12, 9), "b": d(9), "v": d(9, 4), "c": d(4)}
for activation in "Relu", "Sigmoid", "Tanh", "Elu", "Softplus", "Softsign", "Erf", "Selu", "LeakyRelu", "HardSigmoid":
    case(activation, [n("Gemm", ["x", "w", "b"], ["h"]), n(activation, ["h"], ["r"]), n("Gemm", ["r", "v", "c"], ["y"])],
         dense, [12])
case("functions", [n("MatMul", ["x", "w"], ["h"]), n("Exp", ["h"], ["e"]), n("Sqrt", ["e"], ["s"]), n("Log", ["e"], ["l"]),
                   n("Div", ["l", "s"], ["q"]), n("Pow", ["s", "three"], ["p"]), n("Sub", ["q", "p"], ["r"]),
                   n("MatMul", ["r", "v"], ["y"])], dense | {"three": np.array(3.0)}, [12])
case("scaled", [n("Sub", ["x", "mean"], ["m"]), n("Div", ["m", "std"], ["s"]), n("MatMul", ["s", "w"], ["h"]),
                n("Softmax", ["h"], ["y"], axis=1)],
     {"mean": d(12) + 1 / 3, "std": abs(d(12)) + 0.1, "w": d(12, 4)}, [12])
case("normalised", [n("MatMul", ["x", "w"], ["h"]), n("LayerNormalization", ["h", "g", "s"], ["l"]),
                    n("MatMul", ["l", "v"], ["y"])], {"w": d(12, 9), "g": d(9), "s": d(9), "v": d(9, 4)}, [12])
case("batch", [n("MatMul", ["x", "w"], ["h"]), n("BatchNormalization", ["h", "g", "s", "m", "q"], ["l"]),
               n("MatMul", ["l", "v"], ["y"])],
     {"w": d(12, 9), "g": d(9), "s": d(9), "m": d(9), "q": abs(d(9)), "v": d(9, 4)}, [12])
case("attention", [n("MatMul", ["x", "q"], ["a"]), n("MatMul", ["x", "k"], ["b"]), n("Transpose", ["b"], ["bt"], perm=[0, 2, 1]),
                   n("MatMul", ["a", "bt"], ["s"]), n("Softmax", ["s"], ["p"], axis=-1), n("MatMul", ["p", "x"], ["o"]),
                   n("ReduceMean", ["o"], ["y"], axes=[1], keepdims=0)], {"q": d(6, 8), "k": d(6, 8)}, [5, 6])
print(json.dumps(answers))
