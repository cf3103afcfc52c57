"""Ctrl-C, progress, forks, threads, imports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Linear
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import blindspot as bs

SLEEP = 0.005


def slow(x: NDArray[Any]) -> Any:
    """A network whose searches go on for long: they are told one gradient at a time."""
    time.sleep(SLEEP)
    flat = x.reshape(len(x), -1)
    outputs = np.stack([np.cos(5 * flat).sum(1), np.sin(7 * flat).sum(1), (flat**2).sum(1)], 1)

    def pull_back(g: NDArray[Any]) -> Any:
        parts = g[:, :1] * -5 * np.sin(5 * flat) + g[:, 1:2] * 7 * np.cos(7 * flat) + g[:, 2:] * 2 * flat
        return parts.reshape(x.shape)

    return outputs.astype(np.float32), pull_back


def many() -> tuple[bs.Classifier, NDArray[np.float32], NDArray[Any]]:
    images = np.random.default_rng(1).uniform(size=(400, *Linear.shape)).astype(np.float32)
    return bs.Classifier(slow, Linear.shape, 3, batch=4), images, slow(images)[0].argmax(1)


def interrupt_soon(seconds: float) -> threading.Timer:
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    return timer


def test_ctrl_c_leaves_what_was_finished() -> None:
    model, images, labels = many()
    interrupt_soon(3.0)
    with pytest.raises(bs.Interrupted) as raised:
        bs.attack(model, images, labels)
    assert isinstance(raised.value, KeyboardInterrupt)
    assert 0 < len(raised.value.finished) < 400
    interrupt_soon(3.0)
    finished = bs.attack(model, images, labels, on_interrupt="return")
    assert 0 < len(finished) < 400
    assert finished.success.any()


def test_ctrl_c_is_heard_while_originals_are_looked_at() -> None:
    _, images, labels = many()

    def slower(x: NDArray[Any]) -> Any:
        time.sleep(0.2)
        return slow(x)

    interrupt_soon(0.5)
    with pytest.raises(KeyboardInterrupt):
        bs.attack(bs.Classifier(slower, Linear.shape, 3), images, labels)
    # All originals would have taken more than a minute; no time is asserted.


def test_ctrl_c_is_heard_while_a_model_is_read(tmp_path: Path) -> None:
    fill = helper.make_tensor("value", TensorProto.FLOAT, [1], [0.01])
    nodes = [
        helper.make_node("ConstantOfShape", ["image size"], ["constant image"], value=fill),
        helper.make_node("ConstantOfShape", ["filter size"], ["filter"], value=fill),
        helper.make_node("Conv", ["constant image", "filter"], ["filtered"]),
        helper.make_node("ReduceSum", ["filtered"], ["total"], keepdims=0),
        helper.make_node("Add", ["x", "total"], ["logits"]),
    ]
    sizes = {"image size": [1, 1, 2048, 2048], "filter size": [1, 1, 180, 180]}
    graph = helper.make_graph(
        nodes,
        "long",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(np.array(size), name) for name, size in sizes.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    file = tmp_path / "long.onnx"
    file.write_bytes(model.SerializeToString())
    interrupt_soon(0.5)
    with pytest.raises(KeyboardInterrupt):
        bs.load(file, reading_time=1000)
    # The constant takes a good part of a minute; no time is asserted.


def test_progress_is_told_and_what_it_raises_ends_the_work() -> None:
    model, images, labels = many()
    told: list[tuple[str, int, int]] = []
    bs.attack(model, images[:8], labels[:8], progress=lambda *how: told.append(how))
    assert told and all(done <= total for _, done, total in told)
    assert "search" in {work for work, _, _ in told}

    def fails(work: str, done: int, total: int) -> None:
        raise ZeroDivisionError("no bar")

    with pytest.raises(ZeroDivisionError, match="no bar"):
        bs.attack(model, images, labels, progress=fails)


def test_it_is_silent_without_a_terminal(linear_file: Path) -> None:
    script = (
        "import blindspot as bs, numpy as np, sys\n"
        f"bs.attack({str(linear_file)!r}, np.array([[.8, .3, .2, .5]], np.float32), [0])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout == done.stderr == b""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fork_works_on(linear_file: Path) -> None:
    before = bs.attack(linear_file, Linear.images, Linear.labels)
    child = os.fork()
    if child == 0:
        same = bs.attack(linear_file, Linear.images, Linear.labels).norm == before.norm
        os._exit(0 if same.all() else 1)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.05)
    else:
        os.kill(child, signal.SIGKILL)
        pytest.fail("the fork hangs")
    assert os.waitstatus_to_exitcode(status) == 0


def test_threads_of_python_run_meanwhile_and_may_attack_too(linear_file: Path) -> None:
    model, images, labels = many()
    ticks = 0
    over = threading.Event()

    def tick() -> None:
        nonlocal ticks
        while not over.wait(0.005):
            ticks += 1

    clock = threading.Thread(target=tick)
    clock.start()
    found: list[bs.Examples] = []
    work = [threading.Thread(target=lambda: found.append(bs.attack(model, images[:6], labels[:6]))) for _ in "ab"]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    over.set()
    clock.join()
    assert ticks > 5 and len(found) == 2
    np.testing.assert_array_equal(found[0].norm, found[1].norm)


def test_a_model_may_attack_another_one(linear_file: Path) -> None:
    def nested(x: NDArray[Any]) -> Any:
        bs.attack(linear_file, Linear.images, Linear.labels)
        return slow(x)

    _, images, labels = many()
    model = bs.Classifier(nested, Linear.shape, 3)
    assert len(bs.attack(model, images[:2], labels[:2], max_evaluations=3)) == 2


def test_the_import_is_cheap_and_brings_nothing_but_numpy() -> None:
    script = (
        "import time, sys, numpy; before = time.process_time(); import blindspot\n"
        "spent = time.process_time() - before\n"
        "heavy = {'torch', 'matplotlib', 'pandas', 'polars', 'onnx', 'onnxruntime', 'IPython'} & set(sys.modules)\n"
        "print(spent, *heavy)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert len(done.stdout.split()) == 1, done.stdout


def test_the_command_is_there() -> None:
    help_ = subprocess.run([sys.executable, "-m", "blindspot", "--help"], capture_output=True, text=True)
    assert help_.returncode == 0 and "attack" in help_.stdout
    wrong = subprocess.run([sys.executable, "-m", "blindspot", "attack"], capture_output=True, text=True)
    assert wrong.returncode == 2 and "MODEL.onnx" in wrong.stderr
    missing = subprocess.run(
        [sys.executable, "-m", "blindspot", "inspect", "missing.onnx"], capture_output=True, text=True
    )
    assert missing.returncode == 4 and missing.stderr.startswith("blindspot: can't read missing.onnx")
