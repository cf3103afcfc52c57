"""Writes this folder's models, each as both of PyTorch's exporters have it, and what PyTorch gives for them.

    . bench/torch.sh && "$torch_python" crates/blindspot-net/tests/exported/make.py

(with onnxscript beside PyTorch, as bench/exports installs it). Small modules with random weights, each the part of a
known architecture that exporters write in a way of their own. `expected.json` has, by module, the shape of an image,
two images, the outputs, and the gradient of the first image's outputs times `factors`, all in double precision.
"""

import json
import pathlib
import sys

import numpy as np
import onnx
import torch
from torch import nn
from torch.nn import functional as F

HERE = pathlib.Path(__file__).parent


class Attention(nn.Module):
    """torch's own, on tokens of patches: inside it the batch is the second axis, and part of another one."""

    def __init__(self):
        super().__init__()
        self.patches, self.attention, self.head = nn.Conv2d(3, 8, 4, 4), nn.MultiheadAttention(8, 2), nn.Linear(8, 4)

    def forward(self, x):
        t = self.patches(x).flatten(2).permute(2, 0, 1)
        return self.head((t + self.attention(t, t, t)[0]).mean(0))


class Encoder(nn.Module):
    """A vision transformer: a token of its own, positions, torch's layer."""

    def __init__(self):
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, 8, 4, 4), nn.Parameter(torch.randn(1, 1, 8))
        self.positions = nn.Parameter(torch.randn(1, 5, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True, activation="gelu")
        self.body, self.head = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False), nn.Linear(8, 4)

    def forward(self, x):
        t = self.patches(x).flatten(2).transpose(1, 2)
        t = torch.cat([self.token.expand(x.shape[0], -1, -1), t], 1) + self.positions
        return self.head(self.body(t)[:, 0])


class Window(nn.Module):
    """Swin's: windows that are part of the batch, shifted, with a bias for each pair of places and a mask."""

    def __init__(self):
        super().__init__()
        self.embed, self.qkv, self.head = nn.Conv2d(3, 8, 2, 2), nn.Linear(8, 24), nn.Linear(8, 4)
        self.bias = nn.Parameter(torch.randn(9, 2))
        places = torch.stack(torch.meshgrid(torch.arange(2), torch.arange(2), indexing="ij")).flatten(1)
        apart = places[:, :, None] - places[:, None, :] + 1
        self.register_buffer("index", (apart[0] * 3 + apart[1]).reshape(-1))

    def forward(self, x):
        x = self.embed(x).permute(0, 2, 3, 1)
        n, h, w, c = x.shape
        x = torch.roll(x, (-1, -1), (1, 2))
        t = x.view(n, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, c)
        q, k, v = self.qkv(t).reshape(-1, 4, 3, 2, c // 2).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) * (c // 2) ** -0.5
        scores = scores + self.bias[self.index].view(4, 4, 2).permute(2, 0, 1).unsqueeze(0)
        mask = torch.zeros(4, 4)
        mask[0, 3] = -100.0
        t = ((scores + mask).softmax(-1) @ v).transpose(1, 2).reshape(-1, 4, c)
        t = t.view(n, h // 2, w // 2, 2, 2, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)
        return self.head(torch.roll(t, (1, 1), (1, 2)).mean((1, 2)))


class Merging(nn.Module):
    """Swin's halving: every second row and column, and channels last."""

    def __init__(self):
        super().__init__()
        self.norm, self.reduce, self.head = nn.LayerNorm(12), nn.Linear(12, 6, bias=False), nn.Linear(6, 4)

    def forward(self, x):
        x = x.permute(0, 2, 3, 1)
        x = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)
        return self.head(self.reduce(self.norm(x)).mean((1, 2)))


class ConvNext(nn.Module):
    """A block of ConvNeXt: depthwise convolution, LayerNorm over channels, GELU, a scale for each channel."""

    def __init__(self):
        super().__init__()
        self.stem, self.depthwise = nn.Conv2d(3, 6, 2, 2), nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.norm, self.up, self.down = nn.LayerNorm(6), nn.Linear(6, 12), nn.Linear(12, 6)
        self.scale, self.head = nn.Parameter(torch.rand(6)), nn.Linear(6, 4)

    def forward(self, x):
        x = self.stem(x)
        y = self.down(F.gelu(self.up(self.norm(self.depthwise(x).permute(0, 2, 3, 1)))))
        return self.head((x + (self.scale * y).permute(0, 3, 1, 2)).mean((-2, -1)))


class Mobile(nn.Module):
    """MobileNetV3's block: batch normalisation, HardSwish, squeeze and excitation by HardSigmoid."""

    def __init__(self):
        super().__init__()
        self.up, self.norm, self.depthwise = nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, 2, 1, groups=8)
        self.squeeze, self.excite, self.head = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1), nn.Linear(8, 4)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        x = self.depthwise(F.hardswish(self.norm(self.up(x))))
        s = F.hardsigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))))
        return self.head(torch.flatten(F.adaptive_avg_pool2d(x * s, 1), 1))


class Colours(nn.Module):
    """The order of the colours changed inside, as OpenCV's networks have it."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.PReLU(4), nn.Flatten(), nn.Linear(16, 4))

    def forward(self, x):
        return self.body(x[:, [2, 1, 0]] * 2 - 1)


class Shuffle(nn.Module):
    """ShuffleNet's: channels split, mixed, put together."""

    def __init__(self):
        super().__init__()
        self.stem, self.branch, self.head = nn.Conv2d(3, 8, 3, 2), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(8, 4)

    def forward(self, x):
        a, b = self.stem(x).chunk(2, dim=1)
        x = torch.cat((a, F.relu(self.branch(b))), 1)
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        return self.head(F.max_pool2d(x, 2, ceil_mode=True).mean([2, 3]))


class Groups(nn.Module):
    """Group normalisation, SiLU, weights that are standardised, a picture made larger."""

    def __init__(self):
        super().__init__()
        self.weight, self.norm, self.head = nn.Parameter(torch.randn(6, 3, 3, 3)), nn.GroupNorm(2, 6), nn.Linear(6, 4)

    def forward(self, x):
        w = self.weight
        w = (w - w.mean((1, 2, 3), keepdim=True)) / (w.std((1, 2, 3), keepdim=True, unbiased=False) + 1e-5)
        x = F.interpolate(F.silu(self.norm(F.conv2d(x, w))), scale_factor=2, mode="bilinear", align_corners=False)
        return self.head(x.amax((2, 3)))


class Recurrent(nn.Module):
    """Rows read by a GRU in both directions and an LSTM above it."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(24, 3, batch_first=True, bidirectional=True)
        self.lstm, self.head = nn.LSTM(6, 4, batch_first=True), nn.Linear(4, 4)

    def forward(self, x):
        rows = x.permute(0, 2, 1, 3).flatten(2)
        return self.head(self.lstm(self.gru(rows)[0])[0][:, -1])


class Mixer(nn.Module):
    """MLP-Mixer's, and a product of two computed values by einsum."""

    def __init__(self):
        super().__init__()
        self.patches, self.tokens, self.head = nn.Conv2d(3, 6, 4, 4), nn.Linear(4, 4), nn.Linear(6, 4)
        self.norm = nn.LayerNorm(6)

    def forward(self, x):
        t = self.norm(self.patches(x).flatten(2).transpose(1, 2))
        t = t + F.gelu(self.tokens(t.transpose(1, 2)), approximate="tanh").transpose(1, 2)
        return self.head(torch.einsum("nij,nik->njk", t, t).softmax(-1).sum(1))


class Dense(nn.Module):
    """DenseNet's concatenations, pools that count no padding, a crop by centre, log-probabilities."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(7, 4, 3, padding=1), nn.Linear(11, 4)

    def forward(self, x):
        x = torch.cat([x, F.elu(self.a(x))], 1)
        x = torch.cat([x, F.leaky_relu(self.b(x), 0.1)], 1)
        x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        return F.log_softmax(self.head(x[:, :, 1:3, 1:3].reshape(x.size(0), 11, -1).max(-1)[0]), 1)


def bare(path):
    """Without the places in programs that the exporter notes at each node."""
    model = onnx.load(path)
    for part in [model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output,
                 *model.graph.initializer]:
        del part.metadata_props[:]
    onnx.save(model, path)


def rounded(numbers):
    return [float(f"{x:.9g}") for x in numbers.detach().ravel().tolist()]


def main():
    expected = {}
    torch.set_num_threads(1)
    kinds = Attention, Encoder, Window, Merging, ConvNext, Mobile, Colours, Shuffle, Groups, Recurrent, Mixer, Dense
    for kind in kinds:
        name = kind.__name__.lower()
        torch.manual_seed(0)
        module = kind().eval()
        x = torch.tensor(np.random.default_rng(1).random((2, 3, 8, 8), np.float32))
        torch.onnx.export(module, (x,), HERE / f"{name}.script.onnx", dynamo=False, input_names=["x"], opset_version=17,
                          dynamic_axes={"x": {0: "batch"}})
        torch.onnx.export(module, (x,), HERE / f"{name}.dynamo.onnx", dynamo=True, external_data=False, verbose=False,
                          dynamic_shapes=({0: torch.export.Dim("batch")},))
        bare(HERE / f"{name}.dynamo.onnx")
        exact = module.double()
        images = x.double().requires_grad_()
        outputs = exact(images)
        factors = torch.tensor(np.random.default_rng(2).normal(size=4))
        (outputs[0] * factors).sum().backward()
        expected[name] = {
            "images": rounded(x), "outputs": rounded(outputs), "factors": rounded(factors),
            "gradient": rounded(images.grad[0]),
        }
    with open(HERE / "expected.json", "w") as file:
        json.dump(expected, file, separators=(",", ":"))


if __name__ == "__main__":
    sys.exit(main())
