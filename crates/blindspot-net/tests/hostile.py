"""ONNX's own tests of the operators that are claimed, with absurd numbers in place of some attributes and of
some constants, as files K.onnx.

Arguments: a folder for the files. Standard input: the operators that are claimed, as JSON. Standard output: how
many files there are.
"""

import json, os, random, sys, warnings

import numpy, onnx
import onnx.backend.test.case.node as node_tests
from onnx import TensorProto, helper, numpy_helper

warnings.simplefilter("ignore")
folder, claimed = sys.argv[1], set(json.load(sys.stdin))
rng = random.Random(11)
FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE}
WHOLE = [0, 1, -1, 2, 3, 7, -2, 64, 1 << 20, 1 << 31, -(1 << 31), (1 << 62), -(1 << 63), (1 << 63) - 1]
REAL = [0.0, -0.0, 1e-30, 1e30, -1e30, float("nan"), float("inf"), -float("inf"), 0.3, -1.0]
count = 0


def whole(number):
    return rng.choice([*WHOLE, number + 1, number - 1, -number, 2 * number])


def spoil(node, constants):
    """Changes one number of a node or of a constant."""
    attributes = [a for a in node.attribute if a.type in (1, 2, 6, 7)]
    ints = [k for k, v in constants.items() if v.dtype in (numpy.int64, numpy.int32, numpy.float32) and v.size]
    if attributes and (not ints or rng.random() < 0.6):
        a = rng.choice(attributes)
        if a.type == 1:
            a.f = rng.choice(REAL)
        elif a.type == 2:
            a.i = max(min(whole(a.i), (1 << 63) - 1), -(1 << 63))
        elif a.type == 6 and len(a.floats):
            a.floats[rng.randrange(len(a.floats))] = rng.choice(REAL)
        elif len(a.ints):
            i = rng.randrange(len(a.ints))
            a.ints[i] = max(min(whole(a.ints[i]), (1 << 63) - 1), -(1 << 63))
            if rng.random() < 0.2:
                del a.ints[i]
    elif ints:
        k = rng.choice(ints)
        v = constants[k] = constants[k].copy()
        flat = v.reshape(-1)
        i = rng.randrange(flat.size)
        flat[i] = rng.choice(REAL) if v.dtype == numpy.float32 else numpy.int64(rng.choice(WHOLE)).astype(v.dtype)
        if rng.random() < 0.2:
            constants[k] = v.reshape(-1)[: rng.randrange(v.size + 1)]


for case in node_tests.collect_testcases(None):
    model = case.model
    names = {node.op_type if not node.domain else f"{node.domain}.{node.op_type}" for node in model.graph.node}
    if len(model.graph.node) != 1 or not names <= claimed:
        continue
    try:
        arrays = [numpy_helper.to_array(x) if isinstance(x, TensorProto) else numpy.asarray(x) for x in case.data_sets[0][0]]
        given = dict(zip([v.name for v in model.graph.input], arrays))
        images = [v for v in model.graph.input if v.type.tensor_type.elem_type in FLOATS]
        for _ in range(4 if images else 0):
            image = rng.choice(images[:2])
            copy = onnx.ModelProto()
            copy.CopyFrom(model)
            constants = {k: v for k, v in given.items() if k != image.name}
            for _ in range(rng.choice([1, 1, 2])):
                spoil(copy.graph.node[0], constants)
            tensors = [numpy_helper.from_array(v, k) for k, v in constants.items()]
            made = helper.make_graph(copy.graph.node, "g", [image], model.graph.output[:1], tensors)
            spoiled = helper.make_model(made, opset_imports=model.opset_import, ir_version=model.ir_version)
            onnx.save(spoiled, os.path.join(folder, f"{count}.onnx"))
            count += 1
    except Exception:
        continue  # Sequences, texts.
print(count)
