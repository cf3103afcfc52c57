"""Answers of onnxruntime: sys.argv[1] is JSON with model, shape (of an image), preprocess, input, output and
input_values; images come as little-endian float32 on standard input, outputs go as float64 to standard output."""
import json, sys
import numpy as np, onnxruntime

TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16,
         "tensor(uint8)": np.uint8, "tensor(int8)": np.int8, "tensor(int32)": np.int32, "tensor(int64)": np.int64}

def preprocessed(image, low_high, mean, std, channel_order, layout):
    low, high = low_high
    image = np.float32(low) + np.float32(high - low) * image if (low, high) != (0, 1) else image
    axes = (-1,) + (1,) * (image.ndim - 1)
    if channel_order == "bgr":
        image = image[::-1]
    if mean:
        image = image - np.reshape(np.array(mean, np.float32), axes)
    if std:
        image = image / np.reshape(np.array(std, np.float32), axes)
    return np.moveaxis(image, 0, -1) if layout == "nhwc" else image

def main():
    asked = json.loads(sys.argv[1])
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(asked["model"], options, providers=["CPUExecutionProvider"])
    given = dict(np.load(asked["input_values"])) if asked["input_values"] else {}
    inputs = [i for i in session.get_inputs() if i.name not in given]
    image = next((i for i in inputs if i.name == asked["input"]), inputs[0])
    output = asked["output"] or session.get_outputs()[0].name
    p, dims = asked["preprocess"], image.shape
    images = np.frombuffer(sys.stdin.buffer.read(), "<f4").reshape([-1] + asked["shape"])
    for x in images:
        x = preprocessed(x, p["range"], p["mean"], p["std"], p["channel_order"], p["layout"])
        kind = TYPES[image.type]
        x = (x if np.issubdtype(kind, np.floating) else np.rint(x)).astype(kind)
        known = len(dims) > 1 and all(isinstance(d, int) and d > 0 for d in dims[1:])
        x = x.reshape([1] + list(dims[1:]) if known else [1] + list(x.shape))
        if len(dims) == x.ndim - 1:
            x = x[0]
        elif isinstance(dims[0], int) and dims[0] > 1:
            x = np.repeat(x, dims[0], axis=0)
        y = np.asarray(session.run([output], {**given, image.name: x})[0], dtype="<f8")
        if isinstance(dims[0], int) and dims[0] > 1:
            y = y[0]
        sys.stdout.buffer.write(y.astype("<f8").tobytes())

main()
