"""Models of operators that become several of a network's, and of domains that ONNX's own tests leave out,
with onnxruntime's answers; as files in the format of nodes.py.

Argument: a folder for the files. Standard output: JSON, a list of cases.
"""

import json, os, sys

import numpy, onnx, onnxruntime
from onnx import TensorProto, helper

folder = sys.argv[1]
rng = numpy.random.default_rng(7)
answers = []
ML = "ai.onnx.ml"


def r(*shape):
    return rng.normal(size=shape).astype(numpy.float32)


def i64(*values):
    return numpy.array(values, numpy.int64)


def case(name, nodes, shape, constants=None, opset=17, output="y"):
    """A model on images of a shape, run on three of them one by one."""
    if isinstance(nodes, onnx.NodeProto):
        nodes = [nodes]
    constants = [onnx.numpy_helper.from_array(numpy.asarray(v), k) for k, v in (constants or {}).items()]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *shape])
    result = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", [value], [result], constants)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(ML, 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    images = r(3, *shape)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        answer = numpy.concatenate([session.run(None, {"x": image[None]})[0] for image in images])
    except Exception as error:
        answers.append({"name": name, "why": f"onnxruntime: {error}"[:300], "variants": []})
        return
    path = os.path.join(folder, str(len(answers)))
    onnx.save(model, path + ".onnx")
    images.tofile(path + ".in")
    answer.astype("<f4").tofile(path + ".out")
    variant = {"file": len(answers), "shape": list(answer.shape), "output": output}
    answers.append({"name": name, "why": "", "tolerance": 2e-4, "variants": [variant]})


n = helper.make_node

# Convolutions and pooling over three axes, and transposed ones.
for stride, dilation, groups, pads in [(1, 1, 1, [0] * 6), ([1, 2, 3], [2, 1, 1], 2, [1, 0, 2, 0, 1, 1]), (2, 1, 1, [1] * 6)]:
    strides, dilations = numpy.broadcast_to(stride, 3).tolist(), numpy.broadcast_to(dilation, 3).tolist()
    conv = n("Conv", ["x", "w", "b"], ["y"], strides=strides, dilations=dilations, group=groups, pads=pads)
    case(f"conv3d {stride}", conv, [4, 6, 7, 8], {"w": r(6, 4 // groups, 2, 3, 2), "b": r(6)})
    shape = dict(kernel_shape=[2, 3, 2], strides=strides, pads=[min(p, 1) for p in pads])
    for kind in "MaxPool", "AveragePool":
        for ceil in 0, 1:
            case(f"{kind} 3d {stride} {ceil}", n(kind, ["x"], ["y"], ceil_mode=ceil, **shape), [2, 6, 7, 8])
    case(f"average 3d {stride}", n("AveragePool", ["x"], ["y"], count_include_pad=1, **shape), [2, 6, 7, 8])
for stride, dilation, groups, pads, more in [(1, 1, 1, [0] * 4, 0), (2, 1, 1, [1] * 4, 1), ([3, 2], [1, 2], 2, [0, 1, 2, 1], [2, 1])]:
    strides, dilations = numpy.broadcast_to(stride, 2).tolist(), numpy.broadcast_to(dilation, 2).tolist()
    more = numpy.broadcast_to(more, 2).tolist()
    node = n("ConvTranspose", ["x", "w", "b"], ["y"], strides=strides, dilations=dilations, group=groups, pads=pads, output_padding=more)
    case(f"transposed {stride}", node, [4, 5, 6], {"w": r(4, 3, 3, 2), "b": r(3 * groups)})
case("transposed 1d", n("ConvTranspose", ["x", "w"], ["y"], strides=[2], auto_pad="SAME_UPPER"), [3, 7], {"w": r(3, 2, 3)})
case("transposed 3d", n("ConvTranspose", ["x", "w"], ["y"], strides=[2, 1, 2]), [2, 3, 4, 3], {"w": r(2, 3, 2, 2, 3)})
case("transposed to a size", n("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], output_shape=[10, 11]), [2, 5, 5], {"w": r(2, 3, 3, 3)})
for p in 1, 2, 3:
    case(f"lp pool {p}", n("LpPool", ["x"], ["y"], p=p, kernel_shape=[2, 3], strides=[2, 1], pads=[0, 1, 0, 1]), [2, 6, 5], opset=18)

# Resampling.
for mode in "nearest", "linear", "cubic":
    for coordinates in "half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric":
        for scales in ([1, 1, 2, 3], [1, 1, 0.6, 1.5 if coordinates == "align_corners" else 1.7]):
            for nearest in ["round_prefer_floor", "floor", "ceil", "round_prefer_ceil"] if mode == "nearest" else ["floor"]:
                if coordinates == "half_pixel_symmetric" and nearest == "floor" and mode == "nearest":
                    continue  # Positions half-way, which depend on the last digit.
                node = n("Resize", ["x", "", "s"], ["y"], mode=mode, coordinate_transformation_mode=coordinates, nearest_mode=nearest)
                case(f"{mode} {coordinates} {nearest} {scales}", node, [2, 5, 6], {"s": numpy.float32(scales)}, 19)
    if mode != "nearest":
        node = n("Resize", ["x", "", "", "s"], ["y"], mode=mode, antialias=1)
        case(f"{mode} antialias", node, [1, 9, 8], {"s": i64(1, 1, 4, 5)}, 18)
case("upsample", n("Upsample", ["x", "s"], ["y"], mode="linear"), [2, 3, 4], {"s": numpy.float32([1, 1, 2, 2])}, 9)

# Einsum: attention, bilinear forms, sums, diagonals.
for equation, shapes in {
    "nchw,dc->ndhw": [(4, 4)], "nqc,ck->nqk": [(4, 5)], "nij->nji": [], "nij->n": [], "nii->ni": [], "...j,kj->...k": [(3, 4)],
    "nic,kc,ni->nik": [(5, 4), "sum"], "nhqd,nhkd->nhqk": ["self"], "nqd,nkd->nqk": ["self"], "nij,njk->nik": ["self"],
    "ij,nj,ni->n": [(4, 4), "sum", "sum"],
}.items():
    terms = equation.split("->")[0].split(",")
    nodes, inputs, constants = [], [], {}
    first = terms[1] if equation.startswith("ij") else terms[0]
    shape = [4] * (2 if "." in first else len(first) - 1)
    pending = iter(shapes)
    for k, term in enumerate(terms):
        if term == first and "x" not in inputs and not equation.startswith("ij"):
            inputs.append("x")
            continue
        what = next(pending)
        if what == "self":
            nodes.append(n("Sin", ["x"], [f"i{k}"]))
        elif what == "sum":
            axes = list(range(2, len(shape) + 1))
            nodes.append(n("ReduceSum", ["x", "axes"], [f"i{k}"], keepdims=0) if axes else n("Sin", ["x"], [f"i{k}"]))
            constants["axes"] = i64(*axes)
        else:
            constants[f"i{k}"] = r(*what)
        inputs.append(f"i{k}")
    case(f"einsum {equation}", [*nodes, n("Einsum", inputs, ["y"], equation=equation)], shape, constants)

# Recurrent layers as PyTorch writes them: the steps first, the images of the batch in the middle.
for op, gates in ("LSTM", 4), ("GRU", 3), ("RNN", 1):
    for direction, count in ("forward", 1), ("reverse", 1), ("bidirectional", 2):
        for late in [0, 1] if op == "GRU" else [None]:
            more = {} if late is None else {"linear_before_reset": late}
            layer = n(op, ["t", "w", "r", "b", "", "h"], ["s", "last"], hidden_size=5, direction=direction, **more)
            nodes = [n("Transpose", ["x"], ["t"], perm=[1, 0, 2]), layer]
            nodes += [n("Transpose", ["s"], ["q"], perm=[2, 0, 1, 3]), n("ReduceSum", ["q", "axes"], ["a"], keepdims=0)]
            nodes += [n("Transpose", ["last"], ["m"], perm=[1, 0, 2]), n("ReduceMax", ["m"], ["z"], axes=[1], keepdims=0), n("Add", ["a", "z"], ["y"])]
            weights = {"w": r(count, gates * 5, 3) / 2, "r": r(count, gates * 5, 5) / 2, "b": r(count, gates * 10) / 2, "h": r(count, 1, 5)}
            case(f"{op} {direction} {late}", nodes, [6, 3], weights | {"axes": i64(1, 2)})

# Classical models.
for op, attributes in {
    "Scaler": dict(offset=[0.1, 0.2, 0.3], scale=[2.0, 0.5, 1.0]), "Imputer": dict(imputed_value_floats=[1.0, 2.0, 3.0], replaced_value_float=0.0),
    "Binarizer": dict(threshold=0.1), "LinearRegressor": dict(coefficients=r(6).tolist(), intercepts=[0.1, 0.2], targets=2),
}.items():
    case(op, n(op, ["x"], ["y"], domain=ML, **attributes), [3])
for norm in "MAX", "L1", "L2":
    case(f"Normalizer {norm}", n("Normalizer", ["x"], ["y"], domain=ML, norm=norm), [3])
case("picked features", n("ArrayFeatureExtractor", ["x", "i"], ["y"], domain=ML), [4], {"i": i64(2, 0)})
for transform in "NONE", "LOGISTIC", "SOFTMAX":
    for rows in 1, 2, 3:
        attributes = dict(coefficients=r(rows * 3).tolist(), intercepts=r(rows).tolist(), classlabels_ints=list(range(max(rows, 2))))
        node = n("LinearClassifier", ["x"], ["label", "y"], domain=ML, post_transform=transform, **attributes)
        case(f"linear classifier {transform} {rows}", node, [3])
for kernel in "LINEAR", "POLY", "RBF", "SIGMOID":
    kernel = dict(kernel_type=kernel, kernel_params=[0.5, 0.3, 3.0], support_vectors=r(15).tolist(), domain=ML)
    node = n("SVMRegressor", ["x"], ["y"], coefficients=r(5).tolist(), rho=[0.1], n_supports=5, **kernel)
    case(f"svm {kernel['kernel_type']}", node, [3])
    for counts in [2, 3], [1, 2, 2]:
        pairs = len(counts) * (len(counts) - 1) // 2
        attributes = dict(coefficients=r((len(counts) - 1) * 5).tolist(), rho=r(pairs).tolist(), vectors_per_class=counts)
        node = n("SVMClassifier", ["x"], ["label", "y"], classlabels_ints=list(range(len(counts))), **attributes, **kernel)
        case(f"svc {kernel['kernel_type']} {counts}", node, [3])
json.dump(answers, sys.stdout)
