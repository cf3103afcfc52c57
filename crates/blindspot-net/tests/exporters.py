"""Models as exporters write them, each with images and onnxruntime's answer to each image alone.

argv[1] is a folder for the files; prints, by the models' names, the images, the answers, and what has to be said about
the model: the image's shape, other inputs, the output.
"""

import json
import os
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto as T, external_data_helper as external, helper as h, numpy_helper as nh

folder = sys.argv[1]
random = np.random.default_rng(0)
n = h.make_node
MS = "com.microsoft"


def f(*shape):
    return (random.standard_normal(shape) / 2).astype(np.float32)


def i(*numbers):
    return np.array(numbers, np.int64)


def value(name, shape, kind=T.FLOAT):
    return h.make_tensor_value_info(name, kind, shape)


answers = {}


def case(name, nodes, constants, image, outputs=None, opset=20, functions=(), x=None, kind=T.FLOAT, declared=None,
         inputs=(), given=None, imports=(), say=None, save=onnx.save, behind=None):
    """Writes a model.

    `image` is the shape of one image, `declared` that of the input in the file, `given` has the numbers of other inputs.
    The answers are those of the value `behind`, of the first output without it.
    """
    shape = ["n", *image] if declared is None else declared
    outputs = outputs or [value("y", ["n", 4])]

    def model(outputs):
        tensors = [nh.from_array(np.asarray(array), key) for key, array in constants.items()]
        graph = h.make_graph(nodes, name, [value("x", shape, kind), *inputs], outputs, tensors)
        sets = [h.make_opsetid("", opset), h.make_opsetid(MS, 1), *[h.make_opsetid(*pair) for pair in imports]]
        return h.make_model(graph, opset_imports=sets, ir_version=9, functions=list(functions))

    path = reference = f"{folder}/{name}.onnx"
    save(model(outputs), path)
    answer = behind or outputs[0].name
    if behind:
        reference = f"{folder}/{name}.reference.onnx"
        onnx.save(model([value(behind, None)]), reference)
    images = random.random((3, *image)).astype(np.float32) if x is None else x
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(reference, options)
    given = given or {}
    dtype = h.tensor_dtype_to_np_dtype(kind)
    theirs = []
    for one in images.astype(dtype):
        one = one[None] if len(shape) > len(image) else one
        theirs.append(session.run([answer], {"x": one, **given})[0].astype(float).ravel().tolist())
    answers[name] = {
        "images": images.astype(float).ravel().tolist(),
        "answers": theirs,
        "constants": {key: [list(array.shape), array.astype(float).ravel().tolist()] for key, array in given.items()},
        **(say or {}),
    }


# Files.

def one_file(model, path):
    onnx.save_model(model, path, save_as_external_data=True, location=os.path.basename(path) + ".data", size_threshold=0)


def many_files(model, path):
    """A file for each tensor, in a sub-folder, the numbers after 64 bytes of something else."""
    beside = model.graph.name
    os.makedirs(f"{folder}/{beside}", exist_ok=True)
    for tensor in model.graph.initializer:
        raw = tensor.raw_data
        with open(f"{folder}/{beside}/{tensor.name}.bin", "wb") as file:
            file.write(b"\xff" * 64 + raw + b"\xff" * 8)
        external.set_external_data(tensor, f"{beside}/{tensor.name}.bin", 64, len(raw))
        tensor.ClearField("raw_data")
        tensor.data_location = T.EXTERNAL
    with open(path, "wb") as file:
        file.write(model.SerializeToString())


def in_a_constant(model, path):
    """The weight of a Constant in another file."""
    node = model.graph.node[0]
    tensor = node.attribute[0].t
    with open(path + ".w", "wb") as file:
        file.write(tensor.raw_data)
    external.set_external_data(tensor, os.path.basename(path) + ".w")
    tensor.ClearField("raw_data")
    tensor.data_location = T.EXTERNAL
    with open(path, "wb") as file:
        file.write(model.SerializeToString())


dense = [n("MatMul", ["x", "w"], ["h"]), n("Relu", ["h"], ["r"]), n("Gemm", ["r", "v", "b"], ["y"], transB=1)]
weights = {"w": f(6, 5), "v": f(4, 5), "b": f(4)}
case("external_one", dense, weights, [6], save=one_file)
case("external_many", dense, weights, [6], save=many_files)
case("external_half", [n("Cast", ["w16"], ["w"], to=T.FLOAT), *dense],
     {"w16": f(6, 5).astype(np.float16), "v": f(4, 5), "b": f(4)}, [6], save=many_files)
case("external_constant", [n("Constant", [], ["w"], value=nh.from_array(f(6, 4), "w")), n("MatMul", ["x", "w"], ["y"])],
     {}, [6], save=in_a_constant)

# Graphs.

case("unsorted", [dense[2], dense[0], dense[1]], weights, [6])
relu = h.make_function("local", "MyRelu", ["a"], ["b"], [n("Relu", ["a"], ["b"])], [h.make_opsetid("", 20)])


def by_reference(kind, name, reference, kind_number):
    node = n(*kind)
    attribute = node.attribute.add()
    attribute.name, attribute.ref_attr_name, attribute.type = name, reference, kind_number
    return node


leaky = h.make_function("local", "Leaky", ["a"], ["b"],
                        [by_reference(("LeakyRelu", ["a"], ["b"]), "alpha", "slope", onnx.AttributeProto.FLOAT)],
                        [h.make_opsetid("", 20)], ["slope"])
default = h.make_function("local", "Default", ["a"], ["b"],
                          [by_reference(("LeakyRelu", ["a"], ["b"]), "alpha", "slope", onnx.AttributeProto.FLOAT)],
                          [h.make_opsetid("", 20)], attribute_protos=[h.make_attribute("slope", 0.375)])
block = h.make_function(
    "local", "Block", ["a", "w"], ["c"],
    [n("MatMul", ["a", "w"], ["b"]), n("Leaky", ["b"], ["l"], domain="local", slope=0.25),
     n("Default", ["l"], ["c"], domain="local")],
    [h.make_opsetid("", 20), h.make_opsetid("local", 1)])
# Axes as an attribute: opset 12 in a model of opset 20.
old = h.make_function("local", "Old", ["a"], ["b"],
                      [n("Unsqueeze", ["a"], ["u"], axes=[1]), n("Squeeze", ["u"], ["b"], axes=[1])],
                      [h.make_opsetid("", 12)])
local = [("local", 1)]
case("function", [dense[0], n("MyRelu", ["h"], ["r"], domain="local"), dense[2]], weights, [6], functions=[relu],
     imports=local)
case("function_nested", [n("Block", ["x", "w"], ["r"], domain="local"), n("Block", ["r", "u"], ["y"], domain="local")],
     {"w": f(6, 5), "u": f(5, 4)}, [6], functions=[leaky, default, block], imports=local)

# What onnxruntime's optimiser leaves.

image = [3, 6, 6]
head = [n("GlobalAveragePool", ["a"], ["pooled"]), n("Flatten", ["pooled"], ["y"])]
conv = {"k": f(4, 3, 3, 3), "b": f(4)}
ms = dict(domain=MS)
case("fused_conv", [n("FusedConv", ["x", "k", "b"], ["a"], activation="Relu", pads=[1, 1, 1, 1], **ms), *head], conv, image)
case("fused_conv_leaky", [n("FusedConv", ["x", "k", "b"], ["a"], activation="LeakyRelu", activation_params=[0.25], **ms),
                          *head], conv, image)
case("fused_conv_clip", [n("FusedConv", ["x", "k"], ["a"], activation="Clip", activation_params=[0.0, 0.5], **ms), *head],
     conv, image)
case("fused_conv_sum", [n("Conv", ["x", "k"], ["z"]), n("FusedConv", ["x", "k", "b", "z"], ["a"], activation="Relu", **ms),
                        *head], conv, image)
case("fused_gemm", [n("FusedGemm", ["x", "w", "b"], ["y"], activation="LeakyRelu", activation_alpha=0.125, alpha=0.5,
                      beta=2.0, transB=1, **ms)], {"w": f(4, 6), "b": f(4)}, [6])
case("fused_matmul", [n("Relu", ["x"], ["r"]), n("FusedMatMul", ["x", "r"], ["m"], transA=1, alpha=0.25, **ms),
                      n("Flatten", ["m"], ["l"]), n("MatMul", ["l", "w"], ["y"])], {"w": f(25, 4)}, [6, 5])
case("fused_matmul_constant", [n("FusedMatMul", ["x", "w"], ["y"], transB=1, alpha=2.0, **ms)], {"w": f(4, 6)}, [6])
for gelu in ("Gelu", "QuickGelu"):
    extra = dict(alpha=1.5) if gelu == "QuickGelu" else {}
    case("ms_" + gelu.lower(), [n("MatMul", ["x", "w"], ["h"]), n(gelu, ["h"], ["y"], **extra, **ms)], {"w": f(6, 4)}, [6])
case("ms_fastgelu", [n("MatMul", ["x", "w"], ["h"]), n("FastGelu", ["h", "b"], ["y"], **ms)], {"w": f(6, 4), "b": f(4)}, [6])
case("ms_biasgelu", [n("MatMul", ["x", "w"], ["h"]), n("BiasGelu", ["h", "b"], ["y"], **ms)], {"w": f(6, 4), "b": f(4)}, [6])

case("ms_skip", [n("MatMul", ["x", "w"], ["h"]), n("Relu", ["h"], ["r"]),
                 n("SkipLayerNormalization", ["h", "r", "g", "s", "b"], ["l", "", "", "sum"], epsilon=1e-3, **ms),
                 n("Add", ["l", "sum"], ["a"]), n("ReduceMean", ["a", "axes"], ["y"], keepdims=0)],
     {"w": f(6, 4), "g": f(4), "s": f(4), "b": f(4), "axes": i(1)}, [5, 6])
case("ms_skip_rms", [n("MatMul", ["x", "w"], ["h"]), n("Relu", ["h"], ["r"]),
                     n("SkipSimplifiedLayerNormalization", ["h", "r", "g"], ["l"], epsilon=1e-3, **ms),
                     n("ReduceMean", ["l", "axes"], ["y"], keepdims=0)],
     {"w": f(6, 4), "g": f(4), "axes": i(1)}, [5, 6])

# Batches that go through other axes, or none.

tokens = [n("MatMul", ["x", "p"], ["e"]), n("Transpose", ["e"], ["t"], perm=[1, 0, 2]),
          n("MatMul", ["t", "q"], ["q1"]), n("Shape", ["q1"], ["s"]), n("Gather", ["s", "one"], ["batch"]),
          n("Mul", ["batch", "heads"], ["nh"]), n("Unsqueeze", ["nh", "zero"], ["nh1"]),
          n("Concat", ["five", "nh1", "width"], ["s3"], axis=0), n("Reshape", ["q1", "s3"], ["q2"]),
          n("Transpose", ["q2"], ["q3"], perm=[1, 0, 2]), n("Transpose", ["q2"], ["k3"], perm=[1, 2, 0]),
          n("MatMul", ["q3", "k3"], ["a"]), n("Softmax", ["a"], ["a1"], axis=-1), n("MatMul", ["a1", "q3"], ["o"]),
          n("Transpose", ["o"], ["o1"], perm=[1, 0, 2]), n("Concat", ["five", "batch1", "all"], ["s4"], axis=0),
          n("Reshape", ["o1", "s4"], ["o2"]), n("Transpose", ["o2"], ["o3"], perm=[1, 0, 2]),
          n("ReduceMean", ["o3", "axes"], ["m"], keepdims=0), n("MatMul", ["m", "w"], ["y"])]
tokens.insert(6, n("Unsqueeze", ["batch", "zero"], ["batch1"]))
case("attention", tokens, {"p": f(6, 8), "q": f(8, 8), "one": np.int64(1), "heads": np.int64(2), "zero": i(0),
                           "five": i(5), "width": i(4), "all": i(8), "axes": i(1), "w": f(8, 4)}, [5, 6])
case("bgr", [n("Transpose", ["x"], ["t"], perm=[1, 0, 2, 3]), n("Gather", ["t", "bgr"], ["g"], axis=0),
             n("Transpose", ["g"], ["u"], perm=[1, 0, 2, 3]), n("Conv", ["u", "k"], ["a"]), *head],
     {"bgr": i(2, 1, 0), **conv}, image)
case("channels_last", [n("Conv", ["x", "k"], ["c"]), n("ReduceMean", ["c", "hw"], ["m"], keepdims=1),
                       n("Reshape", ["m", "flat"], ["f"]), n("Shape", ["x"], ["s"], end=1),
                       n("Concat", ["s", "four"], ["s2"], axis=0), n("Reshape", ["f", "s2"], ["y"])],
     {"hw": i(2, 3), "flat": i(-1), "four": i(4), **conv}, image)
unbatched = [n("Unsqueeze", ["x", "z"], ["u"]), n("Conv", ["u", "k"], ["a"]), n("GlobalAveragePool", ["a"], ["g"]),
             n("Reshape", ["g", "four"], ["y"])]
case("unbatched", unbatched, {"z": i(0), "four": i(4), **conv}, image, [value("y", [4])], declared=image)

# Windows that become part of the batch, each of which convolutions, pools and normalisations take as an image.
windows = [n("Reshape", ["x", "s6"], ["w6"]), n("Transpose", ["w6"], ["t6"], perm=[0, 2, 4, 1, 3, 5]),
           n("Reshape", ["t6", "s4"], ["w"]), n("Conv", ["w", "k", "b"], ["c"], pads=[1, 1, 1, 1]),
           n("MaxPool", ["c"], ["m"], kernel_shape=[2, 2]), n("InstanceNormalization", ["m", "g", "b"], ["i"]),
           n("BatchNormalization", ["i", "g", "b", "b", "v"], ["j"]), n("AveragePool", ["j"], ["a"], kernel_shape=[2, 2]),
           n("GlobalMaxPool", ["a"], ["e"]), n("Reshape", ["e", "s3"], ["f"]), n("ReduceMean", ["f", "one"], ["y"], keepdims=0)]
case("windows", windows,
     {"s6": i(-1, 3, 2, 4, 2, 4), "s4": i(-1, 3, 4, 4), "s3": i(-1, 4, 4), "one": i(1), "g": f(4), "v": abs(f(4)) + 1, **conv},
     [3, 8, 8])
case("windows_of_rows", [n("Reshape", ["x", "s3"], ["r"]), n("Conv", ["r", "k"], ["c"], strides=[2], group=2),
                         n("Reshape", ["c", "flat"], ["l"]), n("MatMul", ["l", "w"], ["y"])],
     {"s3": i(-1, 2, 7), "k": f(4, 1, 3), "flat": i(-1, 60), "w": f(60, 4)}, [5, 2, 7])
# Constants of different numbers of axes.
case("axes_of_one", [n("Add", ["b", "m"], ["q"]), n("Transpose", ["q"], ["p"], perm=[0, 3, 1, 2]),
                     n("ReduceMean", ["p"], ["r"], axes=[0, 2, 3], keepdims=0), n("Mul", ["x", "r"], ["y"])],
     {"m": f(1, 2, 3, 4), "b": f(4)}, [4], opset=17)
# Parts of shapes that hold nothing, and positions one-hot.
case("nothing", [n("Shape", ["x"], ["s"]), n("Slice", ["s", "two", "big"], ["none"]), n("Slice", ["s", "zero", "two"], ["both"]),
                 n("Concat", ["both", "none"], ["joined"], axis=0), n("Reshape", ["x", "joined"], ["r"]),
                 n("MatMul", ["r", "w"], ["y"])], {"two": i(2), "zero": i(0), "big": i(2**62), "w": f(6, 4)}, [6])
case("one_hot", [n("OneHot", ["places", "depth", "values"], ["o"], axis=0), n("MatMul", ["x", "o"], ["y"])],
     {"places": i(5, 0, -2, 9), "depth": i(6), "values": np.array([-0.5, 2], np.float32)}, [6])

# Inputs and outputs.

ml = [("ai.onnx.ml", 1)]

case("uint8", [n("Cast", ["x"], ["q"], to=T.FLOAT), n("Div", ["q", "s"], ["p"]), n("Transpose", ["p"], ["u"], perm=[0, 3, 1, 2]),
               n("Conv", ["u", "k"], ["a"]), *head], {"s": np.float32(255), **conv}, [6, 6, 3], kind=T.UINT8,
     x=random.integers(0, 256, (3, 6, 6, 3)))
case("uint8_moved", [n("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]), n("Cast", ["t"], ["q"], to=T.FLOAT),
                     n("Conv", ["q", "k"], ["a"]), *head], conv, [6, 6, 3], kind=T.UINT8,
     x=random.integers(0, 256, (3, 6, 6, 3)))
case("float64", [n("Cast", ["x"], ["q"], to=T.FLOAT), n("MatMul", ["q", "w"], ["y"])], {"w": f(6, 4)}, [6], kind=T.DOUBLE)
case("dynamic", [n("Conv", ["x", "k"], ["a"]), *head], conv, image, declared=["n", 3, "h", "w"], say={"image_shape": image})
case("given", [n("MatMul", ["x", "w"], ["h"]), n("Mul", ["h", "mask"], ["y"])], {"w": f(6, 4)}, [6],
     inputs=[value("mask", [1, 4])], given={"mask": f(1, 4)})
logits = n("MatMul", ["x", "w"], ["l"])
w = {"w": f(6, 4)}
two = [value("l", ["n", 4]), value("f", ["n", 4])]
case("two_outputs", [logits, n("Relu", ["l"], ["f"])], w, [6], outputs=two)
case("chosen_output", [logits, n("Relu", ["l"], ["f"])], w, [6], outputs=two, behind="f", say={"output": "f"})
label = [logits, n("Softmax", ["l"], ["p"], axis=1), n("ArgMax", ["p"], ["c"], axis=1, keepdims=0)]
case("label_first", label, w, [6], outputs=[value("c", ["n"], T.INT64), value("p", ["n", 4])], behind="p")
case("label_only", label, w, [6], outputs=[value("c", ["n"], T.INT64)], behind="p")
case("label_of_names", [*label, n("ArrayFeatureExtractor", ["names", "c"], ["e"], domain="ai.onnx.ml"),
                        n("Reshape", ["e", "flat"], ["label"])], {**w, "names": i(3, 2, 1, 0), "flat": i(-1)}, [6],
     outputs=[value("label", ["n"], T.INT64)], imports=ml, behind="p")
case("zipmap", [*label, n("ZipMap", ["p"], ["z"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2, 3])], w, [6],
     outputs=[value("c", ["n"], T.INT64),
              h.make_value_info("z", h.make_sequence_type_proto(h.make_map_type_proto(
                  T.INT64, h.make_tensor_type_proto(T.FLOAT, None))))],
     imports=ml, behind="p")

print(json.dumps(answers))
