"""PyTorch modules: on their own device by autograd, or exported to ONNX in memory."""

from __future__ import annotations

import copy
import io
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from blindspot._classifier import Classifier, PullBack
from blindspot._errors import ModelError, UsageError

#: Values of all inputs of a batch on the CPU, about: larger ones leave its caches.
CPU_BATCH_VALUES = 1 << 21


class TorchClassifier(Classifier):
    """A PyTorch module on its own device: one transfer each way a step, single precision, and batches that are
    halved where memory runs out.

    Results are verified by the module itself on the final images and, where a copy of it in double precision
    gives the same answers, by that, from which is also known how much of a lead is rounding.

    Args:
        module: in evaluation mode; takes `[n, *shape]`, gives logits `[n, classes]`.
        shape: the shape of one input.
        classes: how many classes; asked of the module without.
        box: the range that each input value stays in.
        range, mean, std, channel_order, layout: what the module wants of its input, as for `load`.
        batch: inputs at a time, at most; as the device suggests without.
        double: whether to verify in double precision: on the module's own device where that has it, else on
            the CPU.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        shape: Sequence[int],
        classes: int | None = None,
        *,
        box: tuple[float, float] = (0.0, 1.0),
        range: tuple[float, float] = (0.0, 1.0),
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        channel_order: str = "rgb",
        layout: str = "nchw",
        batch: int | None = None,
        double: bool = True,
    ) -> None:
        check_mode(module)
        first = next(module.parameters(), None)
        first = next(module.buffers(), None) if first is None else first
        self._module = module
        self._device = torch.device("cpu") if first is None else first.device
        self._dtype = first.dtype if first is not None and first.is_floating_point() else torch.float32
        self._double = double
        self._copy: Classifier | None = None
        self._prepare = Preprocessing(range, mean, std, channel_order, layout)
        length = int(np.prod(tuple(shape), dtype=np.int64))
        if batch is None:
            batch = 1024 if self._device.type != "cpu" else min(max(CPU_BATCH_VALUES // max(length, 1), 8), 256)
        if classes is None:
            classes = self._count(tuple(shape))
        super().__init__(None, shape, classes, box=box, batch=batch)

    def _count(self, shape: tuple[int, ...]) -> int:
        """The classes of one output."""
        try:
            with torch.no_grad():
                zeros = torch.zeros((1, *shape), device=self._device, dtype=self._dtype)
                output = self._module(self._prepare(zeros))
        except Exception as error:
            raise ModelError(f"the module does not take a batch of the shape {(1, *shape)}: {error}") from error
        if not isinstance(output, torch.Tensor) or output.ndim != 2 or output.shape[0] != 1:
            what = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
            raise ModelError(f"the module gives {what} for one image; it must give logits (1, classes)")
        return int(output.shape[1])

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        # Others may have changed its mode since.
        check_mode(self._module)
        with _full_precision(self._device):
            yield

    def _exact(self) -> Classifier | None:
        if self._double and self._copy is None:
            self._copy = self._in_double()
            self._double = self._copy is not None
        return self._copy

    def _in_double(self) -> TorchClassifier | None:
        """A copy of the module in double precision, if there can be one."""
        size = sum(tensor.numel() for tensor in [*self._module.parameters(), *self._module.buffers()])
        device = self._device if self._device.type in ("cpu", "cuda") else torch.device("cpu")
        if 8 * size > _free_memory(device) / 4:
            return None
        try:
            module = copy.deepcopy(self._module).to(device, torch.float64)
            made = TorchClassifier(module, self.shape, self.classes, box=self.box, batch=self.batch, double=False)
            made._prepare, made._type = self._prepare, np.float64
            # A module may have single precision in its code.
            probe = np.full(int(np.prod(self.shape)), sum(self.box) / 2)
            exact, pull_back = made._values(probe)
            pull_back(np.ones(self.classes))
            own, _ = self._values(probe.astype(np.float32))
            near = np.allclose(exact, own, rtol=1e-2, atol=1e-2 * float(np.abs(own).max()))
        except Exception:
            return None
        return made if near else None

    def _evaluate(self, inputs: NDArray[Any]) -> tuple[Any, PullBack]:
        if len(inputs) > self.batch:
            return self._in_pieces(inputs)
        outputs, pull_back, ran_out = self._attempt(inputs)
        if ran_out:
            self._halve(len(inputs))
            return self._in_pieces(inputs)
        assert pull_back is not None
        return outputs, pull_back

    def _attempt(self, inputs: NDArray[Any]) -> tuple[Any, PullBack | None, bool]:
        """Outputs and the function that pulls back; or that memory has run out."""
        # What an exception holds is only given free where it has been left.
        try:
            return (*self._whole(inputs), False)
        except (torch.OutOfMemoryError, MemoryError):
            pass
        except RuntimeError as error:
            if "can't allocate memory" not in str(error):
                raise
        return None, None, True

    def _whole(self, inputs: NDArray[Any]) -> tuple[NDArray[Any], PullBack]:
        with torch.enable_grad():
            x = torch.from_numpy(np.ascontiguousarray(inputs)).to(self._device, self._dtype)
            x.requires_grad_(True)
            y = self._module(self._prepare(x))
            if not isinstance(y, torch.Tensor):
                raise ModelError(f"the module gives {type(y).__name__}; it must give a tensor of logits")
            if not y.requires_grad:
                raise ModelError(
                    "no gradient reaches the module's input: something in it is detached, or computed without"
                    " gradients"
                )
        number = torch.float64 if inputs.dtype == np.float64 else torch.float32
        outputs = y.detach().to("cpu", number).numpy()

        def pull_back(gradients: NDArray[Any]) -> NDArray[Any]:
            given = torch.from_numpy(gradients).to(y.device, y.dtype)
            (found,) = torch.autograd.grad(y, x, given, retain_graph=True, allow_unused=True)
            if found is None:
                raise ModelError("the module's outputs do not depend on its input")
            return np.asarray(found.to("cpu", number).numpy())

        def safe(gradients: NDArray[Any]) -> NDArray[Any]:
            try:
                return pull_back(gradients)
            except torch.OutOfMemoryError:
                pass
            self._halve(len(inputs))
            return np.asarray(self._in_pieces(inputs)[1](gradients))

        return outputs, safe

    def _in_pieces(self, inputs: NDArray[Any]) -> tuple[NDArray[Any], PullBack]:
        """A batch that memory does not hold: its pieces are evaluated once more for gradients."""
        outputs = np.concatenate([self._evaluate(inputs[part])[0] for part in self._parts(len(inputs))])

        def pull_back(gradients: NDArray[Any]) -> NDArray[Any]:
            parts = self._parts(len(inputs))
            return np.concatenate([self._evaluate(inputs[part])[1](gradients[part]) for part in parts])

        return outputs, pull_back

    def _parts(self, count: int) -> list[slice]:
        return [slice(first, first + self.batch) for first in range(0, count, self.batch)]

    def _halve(self, count: int) -> None:
        if count <= 1:
            raise ModelError("memory does not hold one input with its gradient")
        self.batch = max(count // 2, 1)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def check_mode(module: torch.nn.Module) -> None:
    """Refuses a module in training mode."""
    if any(part.training for part in module.modules()):
        raise UsageError(
            "the module, or a part of it, is in training mode: its answers would change from one call to the"
            " next; call module.eval() first"
        )


def shape_of(images: Any) -> tuple[int, ...]:
    """The shape of one image of a batch that a module is to take."""
    shape = getattr(images, "shape", None)
    if shape is None:
        from blindspot._images import as_array

        if isinstance(images, (str, os.PathLike)) or not isinstance(images, (list, tuple)):
            raise UsageError(
                "a module does not say what it takes: give an array, or wrap the module by"
                " blindspot.torch.TorchClassifier(module, shape)"
            )
        shape = as_array(images).shape
    if len(shape) < 2:
        raise UsageError(f"images of the shape {tuple(shape)} are no batch; give (n, ...)")
    return tuple(int(size) for size in shape[1:])


def export(module: torch.nn.Module, example_input: Any) -> bytes:
    """The bytes of an ONNX file of the module."""
    check_mode(module)
    example = example_input if isinstance(example_input, tuple) else (example_input,)
    example = tuple(torch.as_tensor(value) for value in example)
    first = next(module.parameters(), None)
    if first is not None:
        example = tuple(
            value.to(first.device, first.dtype) if value.is_floating_point() else value.to(first.device)
            for value in example
        )
    failures = []
    # The older exporter needs no package besides, and leaves plainer graphs; not every PyTorch has it.
    for dynamo in (False, True):
        file = io.BytesIO()
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")
                torch.onnx.export(module, example, file, dynamo=dynamo, verbose=False)
            return file.getvalue()
        except Exception as error:  # an exporter fails with anything
            failures.append(f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}")
    raise ModelError(f"PyTorch can't export the module to ONNX: {'; '.join(failures)}")


class Preprocessing:
    """What stands before a module; the arguments are those of `load`."""

    def __init__(
        self,
        range: tuple[float, float],
        mean: float | Sequence[float] | None,
        std: float | Sequence[float] | None,
        channel_order: str,
        layout: str,
    ) -> None:
        if channel_order not in ("rgb", "bgr") or layout not in ("nchw", "nhwc"):
            raise UsageError("channel_order is rgb or bgr, layout nchw or nhwc")
        self.low, self.high = range
        self.given = {"mean": mean, "std": std}
        self.reversed, self.last = channel_order == "bgr", layout == "nhwc"
        # Where they are used: one transfer is enough.
        self.there: dict[tuple[str, torch.device, torch.dtype], torch.Tensor] = {}

    def channels(self, name: str, x: torch.Tensor) -> torch.Tensor | None:
        """One number for each channel, or for all, if there are such."""
        values = self.given[name]
        if values is None:
            return None
        key = (name, x.device, x.dtype)
        if key not in self.there:
            numbers = torch.as_tensor(values, dtype=x.dtype, device=x.device)
            self.there[key] = numbers.reshape(-1, *[1] * (x.ndim - 2))
        return self.there[key]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if self.reversed:
            x = x.flip(1)
        if (self.low, self.high) != (0.0, 1.0):
            x = x * (self.high - self.low) + self.low
        if (mean := self.channels("mean", x)) is not None:
            x = x - mean
        if (std := self.channels("std", x)) is not None:
            x = x / std
        return x.movedim(1, -1) if self.last else x


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """Without the ten bits that a GPU may make of single precision."""
    if device.type != "cuda":
        yield
        return
    before = (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def _free_memory(device: torch.device) -> float:
    """Bytes that are free on a device, or plenty where it does not say."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return float(64 << 30)
