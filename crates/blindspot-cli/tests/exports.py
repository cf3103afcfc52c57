"""Small models as exporters write them, with images; and how many examples are right in onnxruntime.

exports.py write FOLDER
exports.py check MODEL EXAMPLES: prints the successes, and how many of them onnxruntime confirms.
"""

import json
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto as T, helper as h, numpy_helper as nh

n = h.make_node


def write(folder):
    random = np.random.default_rng(0)

    def f(*shape):
        return (random.standard_normal(shape) / 4).astype(np.float32)

    def value(name, shape, kind=T.FLOAT):
        return h.make_tensor_value_info(name, kind, shape)

    def save(name, nodes, shape, outputs, constants, kind=T.FLOAT, inputs=(), **how):
        tensors = [nh.from_array(np.asarray(array), key) for key, array in constants.items()]
        graph = h.make_graph(nodes, name, [value("x", shape, kind), *inputs], outputs, tensors)
        model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
        onnx.save_model(model, f"{folder}/{name}.onnx", **how)

    images = random.random((8, 3, 12, 12)).astype(np.float32)
    c = {"c": f(8, 3, 4, 4), "w": f(8, 10)}
    body = [n("Conv", ["u", "c"], ["1"], strides=[4, 4]), n("Relu", ["1"], ["2"]),
            n("GlobalAveragePool", ["2"], ["3"]), n("Flatten", ["3"], ["4"]), n("MatMul", ["4", "w"], ["y"])]
    start = [n("Identity", ["x"], ["u"])]
    ten = [value("y", ["n", 10])]
    save("external", start + body, ["n", 3, 12, 12], ten, c, save_as_external_data=True, location="external.onnx.data",
         size_threshold=0)
    save("open", start + body, ["n", 3, "h", "w"], ten, c)
    to_float = [n("Cast", ["x"], ["q"], to=T.FLOAT), n("Div", ["q", "s"], ["p"]),
                n("Transpose", ["p"], ["u"], perm=[0, 3, 1, 2])]
    save("bytes", to_float + body, ["n", 12, 12, 3], ten, c | {"s": np.float32(255)}, T.UINT8)
    save("unbatched", [n("Unsqueeze", ["x", "z"], ["u"]), *body[:4], n("MatMul", ["4", "w"], ["v"]),
                       n("Squeeze", ["v", "z"], ["y"])], [3, 12, 12], [value("y", [10])], c | {"z": np.array([0])})
    save("given", [*start, *body[:4], n("MatMul", ["4", "w"], ["v"]), n("Mul", ["v", "m"], ["y"])], ["n", 3, 12, 12],
         ten, c, inputs=[value("m", [1, 10])])
    save("two", start + body + [n("Relu", ["y"], ["f"])], ["n", 3, 12, 12], ten + [value("f", ["n", 10])], c)
    one = f(432, 1)
    b = -np.median(images.reshape(8, -1) @ one).reshape(1)
    logit = [n("Flatten", ["x"], ["u"]), n("Gemm", ["u", "w", "b"], ["l"])]
    save("one_logit", logit, ["n", 3, 12, 12], [value("l", ["n", 1])], {"w": one, "b": b})
    save("one_probability", [*logit, n("Sigmoid", ["l"], ["p"]), n("Reshape", ["p", "s"], ["y"])], ["n", 3, 12, 12],
         [value("y", ["n"])], {"w": one, "b": b, "s": np.array([-1])})
    save("missing", [n("NonMaxSuppression", ["x", "x"], ["a"]), n("NonMaxSuppression", ["x", "a"], ["b"]),
                     n("StringNormalizer", ["b"], ["y"])], ["n", 3, 12, 12], ten, {})
    answers = onnxruntime.InferenceSession(f"{folder}/external.onnx").run(None, {"x": images})[0]
    np.savez(f"{folder}/d.npz", x=images, y=answers.argmax(1))
    np.savez(f"{folder}/d2.npz", x=images, y=(images.reshape(8, -1) @ one + b > 0)[:, 0].astype(int))
    np.savez(f"{folder}/m.npz", m=np.ones((1, 10), np.float32))


def check(model, examples):
    session = onnxruntime.InferenceSession(model)
    found = np.load(examples)
    info = session.get_inputs()[0]
    whole = info.type == "tensor(uint8)"
    x = found["adversarial_8bit" if whole else "adversarial"]
    success = found["success_8bit" if whole else "success"]
    batched = len(info.shape) == x.ndim
    others = {other.name: np.ones((1, 10), np.float32) for other in session.get_inputs()[1:]}
    right = 0
    for i in np.flatnonzero(success):
        image = x[i].transpose(1, 2, 0) if info.shape[-1] == 3 else x[i]
        answer = session.run(None, {info.name: image[None] if batched else image, **others})[0].ravel()
        if answer.size == 1:
            label = int(answer[0] > (0.5 if "probability" in model else 0))
        else:
            label = int(answer.argmax())
        right += label != found["label"][i]
    print(json.dumps([int(success.sum()), int(right)]))


if sys.argv[1] == "write":
    write(sys.argv[2])
else:
    check(*sys.argv[2:])
