"""What is said of models and images: files of preprocessing, limits of memory and time, labels of a choice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import Linear
from numpy.typing import NDArray

import blindspot as bs

Deep = tuple[Path, NDArray[np.float32]]
# Hugging Face's: resized to 4 by 4, and the middle is kept.
PROCESSOR = {
    "do_resize": True,
    "size": {"height": 4, "width": 4},
    "resample": 0,
    "do_center_crop": True,
    "crop_size": {"height": 2, "width": 2},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5],
    "image_std": [0.25],
}


def test_a_file_of_preprocessing_says_what_a_model_wants(linear_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "preprocessor_config.json"
    file.write_text(json.dumps(PROCESSOR))
    expected = bs.load(linear_file, mean=0.5, std=0.25).logits(Linear.images)
    for preprocess in (file, str(file), PROCESSOR):
        np.testing.assert_array_equal(bs.load(linear_file, preprocess=preprocess).logits(Linear.images), expected)
    # Arguments beside it count more.
    other = bs.load(linear_file, preprocess=file, std=0.5).logits(Linear.images)
    np.testing.assert_array_equal(other, bs.load(linear_file, mean=0.5, std=0.5).logits(Linear.images))
    with pytest.raises(bs.ModelError, match="image_mean"):
        bs.load(linear_file, preprocess={"mean": 0.5})
    with pytest.raises(bs.ModelError, match="missing.json"):
        bs.load(linear_file, preprocess=tmp_path / "missing.json")


def test_pictures_are_resized_as_the_file_says(linear_file: Path, tmp_path: Path) -> None:
    pil = pytest.importorskip("PIL.Image")
    levels = np.random.default_rng(3).integers(0, 256, (3, 4, 4), np.uint8)
    # Each pixel twice as high and wide: nearest brings it back.
    pictures = [pil.fromarray(image.repeat(2, 0).repeat(2, 1)) for image in levels]
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / f"{number}.png")
    model = bs.load(linear_file, preprocess=PROCESSOR)
    middle = model.logits(levels[:, None, 1:3, 1:3])
    np.testing.assert_array_equal(model.logits(pictures), middle)
    np.testing.assert_array_equal(model.logits(f"folder:{tmp_path},position"), middle)
    command = [sys.executable, "-m", "blindspot", "attack", str(linear_file), "--data", f"folder:{tmp_path},position"]
    (tmp_path / "config").mkdir()
    file = tmp_path / "config" / "p.json"
    file.write_text(json.dumps(PROCESSOR))
    out = tmp_path / "config" / "examples.npz"
    subprocess.run([*command, "--preprocess", str(file), "--out", str(out), "--quiet"], check=True)
    found = bs.attack(bs.load(linear_file, preprocess=file), f"folder:{tmp_path},position")
    with np.load(out) as theirs:
        np.testing.assert_array_equal(theirs["adversarial"], found.adversarial)


def test_memory_and_time_are_limits(linear_file: Path, tmp_path: Path) -> None:
    with pytest.raises(bs.ModelError, match=r"allowed \(memory, threads\)"):
        bs.load(linear_file, memory=100)
    model = bs.load(linear_file, memory="1 GB", reading_time=5)
    assert model.classes == 3
    # Images are held by the same limit.
    np.savez(tmp_path / "set.npz", x=np.zeros((3000, 1, 2, 2), np.float32), y=np.zeros(3000, int))
    small = bs.load(linear_file, memory="40kB", reading_time=5)
    with pytest.raises(bs.DataError, match="48000 bytes"):
        small.logits(f"npz:{tmp_path}/set.npz")
    for refused in ("much", 0, -1):
        with pytest.raises(bs.UsageError, match="memory"):
            bs.load(linear_file, memory=refused)
    with pytest.raises(bs.UsageError, match="reading_time"):
        bs.load(linear_file, reading_time=0)


def test_labels_go_with_the_images_that_are_chosen(deep: Deep, tmp_path: Path) -> None:
    path, images = deep
    model = bs.load(path)
    labels = model.predict(images)
    assert len(set(labels.tolist())) > 1
    np.savez(tmp_path / "set.npz", x=images, y=labels)
    for given in (images, f"npz:{tmp_path}/set.npz"):
        for samples in (None, 7):
            found = bs.attack(model, given, labels, samples=samples, shuffle=True, seed=2, max_evaluations=2)
            assert not found.already_wrong.any() and len(found) == (samples or len(images))
        first = bs.attack(model, given, labels, samples=5, max_evaluations=2)
        assert not first.already_wrong.any() and len(first) == 5
        with pytest.raises(bs.DataError, match="39 labels for 40 images"):
            bs.attack(model, given, labels[:-1])


def test_records_say_which_images_these_are(deep: Deep, tmp_path: Path) -> None:
    path, images = deep
    labels = bs.load(path).predict(images)
    labels[:30] = (labels[:30] + 1) % 5
    np.savez(tmp_path / "set.npz", x=images, y=labels)
    data = f"npz:{tmp_path}/set.npz"
    for study in ("attack", "certify"):
        out = tmp_path / f"{study}.npz"
        command = [sys.executable, "-m", "blindspot", study, str(path), "--data", data, "--correct-only", "--quiet"]
        subprocess.run([*command, "--out", str(out)], check=True)
        found = getattr(bs, study)(path, data, correct_only=True)
        found.save(tmp_path / "own.npz")
        theirs, ours = (json.loads(file.read_text()) for file in (out.with_suffix(".json"), tmp_path / "own.json"))
        assert theirs["right_of"] == 40
        for name in ("summary", "options", "right_of", "selection_sha256", "data_sha256", "model_sha256", "data"):
            assert theirs[name] == ours[name], (study, name)


def test_studies_write_what_the_command_writes(deep: Deep, tmp_path: Path) -> None:
    path, images = deep
    labels = bs.load(path).predict(images)
    np.savez(tmp_path / "set.npz", x=images, y=labels)
    data, own = f"npz:{tmp_path}/set.npz", tmp_path / "own"
    run = [sys.executable, "-m", "blindspot"]
    layer = ["--layer", "hidden2", "--units", "0,3", "--synthesize", "--l2", "0.5"]
    units = [*run, "units", str(path), "--data", data, *layer, "--out", str(tmp_path / "units"), "--quiet"]
    subprocess.run(units, check=True)
    found = bs.units(path, data, layer="hidden2", units=[0, 3], synthesize=True, l2=0.5)
    assert found.synthesised.shape == (len(found["synthesised"]), 1, 6, 6) and len(found.synthesised) >= 2
    assert 0 <= found.synthesised.min() and found.synthesised.max() <= 1
    found.save(own / "units")
    spectrum = [*run, "spectrum", str(path), "--out", str(tmp_path / "spectrum"), "--quiet"]
    subprocess.run(spectrum, check=True)
    bs.spectrum(path).save(own / "spectrum")
    for study in ("units", "spectrum"):
        theirs = {file.name: file.read_bytes() for file in (tmp_path / study).iterdir()}
        ours = {file.name: file.read_bytes() for file in (own / study).iterdir()}
        assert sorted(theirs) == sorted(ours) and len(ours) > 3
        for name in theirs:
            # The versions of NumPy stand in the record and on the page alone.
            if not name.endswith((".json", ".html")):
                assert theirs[name] == ours[name], name


def test_each_study_has_a_page(deep: Deep, tmp_path: Path) -> None:
    path, images = deep
    labels = bs.load(path).predict(images)
    found = bs.attack(path, images, labels, certify=True)
    found.save(tmp_path / "examples.npz")
    assert (tmp_path / "examples.svg").read_text().startswith("<svg")
    bs.certify(path, images, labels).report(tmp_path / "certificates.html")
    bs.transfer(found, [path]).report(tmp_path / "transfer.html")
    bs.spectrum(path).report(tmp_path / "spectrum.html")
    for name, words in {"certificates": "stay right", "transfer": "deep", "spectrum": "amplify"}.items():
        page = (tmp_path / f"{name}.html").read_text()
        assert page.startswith("<!DOCTYPE html>") and words in page, name
    with pytest.raises(bs.UsageError, match="html"):
        bs.spectrum(path).report(tmp_path / "page")


def test_another_runtime_is_asked_about_the_same_inputs(linear_file: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from blindspot._onnxruntime import outputs

    model = bs.load(linear_file, preprocess=PROCESSOR)
    np.testing.assert_allclose(outputs(model, Linear.images), model.logits(Linear.images), rtol=1e-5, atol=1e-5)
    found = bs.attack(model, Linear.images, model.predict(Linear.images), verify="onnxruntime")
    assert found.fooled.any() and not found.refuted.any()
    # One that takes bytes: 0 to 255, and not 0 to 1.
    file = onnx.load(linear_file)
    file.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    file.graph.node[0].input[0] = "real"
    file.graph.node.insert(0, onnx.helper.make_node("Cast", ["image"], ["real"], to=onnx.TensorProto.FLOAT))
    onnx.save(file, tmp_path / "bytes.onnx")
    model = bs.load(tmp_path / "bytes.onnx")
    levels = np.rint(255 * Linear.images) / np.float32(255)
    expected = np.rint(255 * Linear.images).reshape(3, 4) @ Linear.weights + Linear.bias
    np.testing.assert_allclose(outputs(model, levels), expected, rtol=1e-5)
    np.testing.assert_allclose(model.logits(levels), expected, rtol=1e-5)
