"""ONNX's own tests as files of one input and one output each.

Arguments: a folder for the files. Standard input: the operators that are claimed, as JSON.
Standard output: JSON, a list of cases, each with its name, its operators and its variants. A variant
is a model (K.onnx) with the numbers of its input (K.in) and output (K.out) as little-endian floats.

A case becomes several variants: each float input in turn is the image and all others are constants;
parts of one image are all float inputs of as many rows; and all inputs are constants, so that a reader
has to compute with them itself.
"""

import glob, json, os, sys, warnings

import numpy, onnx
import onnx.backend.test.case.node as node_tests
from onnx import TensorProto, helper, numpy_helper, version_converter

warnings.simplefilter("ignore")
folder, claimed = sys.argv[1], set(json.load(sys.stdin))
FLOATS = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}
count = 0


def array(value):
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


def save(graph, source, image, answer):
    """Writes a variant and gives its number."""
    global count
    count += 1
    model = helper.make_model(graph, opset_imports=source.opset_import, ir_version=source.ir_version)
    model.functions.extend(source.functions)
    path = os.path.join(folder, str(count))
    onnx.save(model, path + ".onnx")
    image.astype("<f4").tofile(path + ".in")
    answer.astype("<f4").tofile(path + ".out")
    return {"file": count, "shape": list(answer.shape), "output": graph.output[0].name}


def joined(model, images, given, stored, output, answer):
    """All float inputs of as many rows as the first one, side by side as one image."""
    floats = [v for v in images if v.type.tensor_type.elem_type in FLOATS and given[v.name].ndim]
    rows = len(given[floats[0].name]) if floats else 0
    parts = [v for v in floats if len(given[v.name]) == rows and given[v.name].size]
    if len(parts) < 2 or model.opset_import[0].version < 13:
        return
    constants = {k: v for k, v in given.items() if k not in {v.name for v in parts}}
    nodes, start = [], 0
    for i, value in enumerate(parts):
        array = given[value.name]
        end = start + array.size // rows
        ends = {"start": [start], "end": [end], "axis": [1], "shape": [0, *array.shape[1:]]}
        constants |= {f"{k} {i}": numpy.array(v, numpy.int64) for k, v in ends.items()}
        nodes.append(helper.make_node("Slice", ["image", f"start {i}", f"end {i}", f"axis {i}"], [f"part {i}"]))
        nodes.append(helper.make_node("Reshape", [f"part {i}", f"shape {i}"], [value.name]))
        start = end
    image = numpy.concatenate([given[v.name].reshape(rows, -1) for v in parts], 1)
    value = helper.make_tensor_value_info("image", TensorProto.FLOAT, image.shape)
    constants = [numpy_helper.from_array(v, k) for k, v in constants.items()]
    made = helper.make_graph([*nodes, *model.graph.node], "g", [value], [output], stored + constants)
    yield save(made, model, image, answer)


def variants(model, inputs, outputs):
    graph = model.graph
    stored = list(graph.initializer)
    weights = {tensor.name for tensor in stored}
    images = [value for value in graph.input if value.name not in weights]
    given = dict(zip([value.name for value in images], inputs))
    constants = {name: numpy_helper.from_array(value, name) for name, value in given.items()}
    for output, answer in zip(graph.output, outputs):
        for value in images:
            if value.type.tensor_type.elem_type in FLOATS:
                rest = [tensor for name, tensor in constants.items() if name != value.name]
                made = helper.make_graph(graph.node, "g", [value], [output], stored + rest)
                yield save(made, model, given[value.name], answer)
        yield from joined(model, images, given, stored, output, answer)
        nodes = list(graph.node)
        nodes.append(helper.make_node("Cast", [output.name], ["as float"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Add", ["as float", "zero"], ["answer"]))
        zero = helper.make_tensor_value_info("zero", TensorProto.FLOAT, [1])
        result = helper.make_tensor_value_info("answer", TensorProto.FLOAT, None)
        made = helper.make_graph(nodes, "g", [zero], [result], stored + list(constants.values()))
        yield save(made, model, numpy.zeros(1), answer)


def cases():
    for case in node_tests.collect_testcases(None):
        yield case.name, case.model, *case.data_sets[0]
    data = os.path.join(os.path.dirname(onnx.__file__), "backend", "test", "data")
    for path in sorted(glob.glob(os.path.join(data, "*", "test_*", "model.onnx"))):
        home, name = os.path.dirname(path), path.split(os.sep)[-2]
        model = onnx.load(path)
        tensors = [
            [onnx.load_tensor(tensor) for tensor in sorted(glob.glob(f"{home}/test_data_set_0/{kind}_*.pb"))]
            for kind in ("input", "output")
        ]
        try:
            if model.opset_import[0].version < 7:
                model = version_converter.convert_version(model, 13)
        except Exception:
            continue  # Written for a version of ONNX that nothing reads any more.
        yield name, model, *tensors


answers = []
for name, model, inputs, outputs in cases():
    operators = {node.op_type if not node.domain else f"{node.domain}.{node.op_type}" for node in model.graph.node}
    if not operators <= claimed:
        continue
    try:
        inputs, outputs = [array(x) for x in inputs], [array(x) for x in outputs]
        made = list(variants(model, inputs, outputs))
    except Exception as error:  # Sequences, optional values, texts.
        answers.append({"name": name, "why": f"no tensors of numbers: {error}"[:100], "variants": []})
        continue
    kinds = {o.type.tensor_type.elem_type for o in model.graph.output}
    rounds = any("Quantize" in operator or "QLinear" in operator for operator in operators)
    tolerance = 2**-6 if TensorProto.BFLOAT16 in kinds else 2**-9 if TensorProto.FLOAT16 in kinds else 1e-3
    answers.append({"name": name, "why": "", "tolerance": tolerance, "rounds": rounds, "variants": made})
json.dump(answers, sys.stdout)
