"""PyTorch modules: beside the ONNX path, and bad input. Skipped without PyTorch."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from conftest import Linear

import blindspot as bs

torch: Any = pytest.importorskip("torch")
nn: Any = torch.nn
Module: Any = nn.Module


def network(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(6 * 16, 5),
    ).eval()


def images(count: int = 30) -> tuple[Any, Any]:
    batch = torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return batch, network()(batch).argmax(1)


def test_a_module_and_its_export_have_the_same_examples() -> None:
    module, (batch, labels) = network(), images()
    model = bs.load(module, batch[:1])
    with torch.no_grad():
        expected = module(batch).numpy()
    np.testing.assert_allclose(model.logits(batch), expected, rtol=1e-4, atol=1e-5)
    assert (model.predict(batch) == labels.numpy()).all()
    on_module, on_export = bs.attack(module, batch, labels), bs.attack(model, batch, labels)
    assert on_module.success.all() and on_export.success.all()
    # The same search in two runtimes: their rounding may end at another kink for a few.
    ratio = on_module.norm / on_export.norm
    assert np.median(np.abs(ratio - 1)) < 1e-3 and abs(ratio.mean() - 1) < 0.02
    with torch.no_grad():
        answers = module(torch.from_numpy(on_module.adversarial)).argmax(1)
    assert (answers.numpy() == on_module.prediction).all() and (answers != labels).all()


def test_neither_the_module_nor_the_tensors_are_changed() -> None:
    module, (batch, labels) = network(), images(8)
    before = copy.deepcopy(module.state_dict())
    held = batch.clone().requires_grad_(True)
    found = bs.attack(module, held, labels)
    assert held.grad is None and all(weight.grad is None for weight in module.parameters())
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
    again = bs.attack(module, batch.numpy(), labels.tolist())
    np.testing.assert_array_equal(found.norm, again.norm)
    apart = batch.permute(0, 1, 3, 2).contiguous().permute(0, 1, 3, 2)
    assert not apart.is_contiguous()
    np.testing.assert_array_equal(bs.attack(module, apart, labels).norm, found.norm)


def test_tensors_of_the_cpu_are_not_copied() -> None:
    from blindspot._images import Choice, given

    batch, _ = images(4)
    rows = given(batch, None, (1, 8, 8), Choice(), {"progress": None, "threads": None}).images
    assert isinstance(rows, np.ndarray) and np.shares_memory(rows, batch.numpy())


def test_batches_are_halved_where_memory_runs_out() -> None:
    class Small(Module):  # type: ignore[misc]
        most = 0

        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        def forward(self, x: Any) -> Any:
            if len(x) > 5:
                raise torch.OutOfMemoryError("CUDA out of memory")
            Small.most = max(Small.most, len(x))
            return self.inner(x)

    from blindspot.torch import TorchClassifier

    batch, labels = images()
    small = TorchClassifier(Small().eval(), (1, 8, 8))
    found = bs.attack(small, batch, labels)
    expected = bs.attack(network(), batch, labels)
    assert found.success.all() and 1 < Small.most <= 5 and small.batch <= 5
    np.testing.assert_allclose(found.norm, expected.norm, rtol=1e-2)


def test_preprocessing_stands_before_a_module() -> None:
    from blindspot.torch import TorchClassifier

    class Whole(Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        def forward(self, x: Any) -> Any:
            return self.inner((2 * x - 1 - 0.3) / 0.7)

    batch, _ = images(8)
    whole = Whole().eval()
    with torch.no_grad():
        labels = whole(batch).argmax(1)
    parts = TorchClassifier(network(), (1, 8, 8), range=(-1.0, 1.0), mean=[0.3], std=[0.7])
    one, other = bs.attack(parts, batch, labels), bs.attack(whole, batch, labels)
    np.testing.assert_allclose(one.norm, other.norm, rtol=1e-3)
    model = bs.load(network(), batch[:1], range=(-1.0, 1.0), mean=0.3, std=0.7)
    np.testing.assert_allclose(bs.attack(model, batch, labels).norm, other.norm, rtol=1e-2)


def test_modules_and_models_judge_each_other_s_examples() -> None:
    module, (batch, labels) = network(), images()
    found = bs.attack(module, batch, labels)
    moved = bs.transfer(found, {"own": module, "export": bs.load(module, batch[:1]), "other": network(3)})
    assert moved.error[0, 0] == moved.error[0, 1] == 1.0


class Broken(Module):  # type: ignore[misc]
    def __init__(self, how: str) -> None:
        super().__init__()
        self.inner, self.how = network(), how

    def forward(self, x: Any) -> Any:
        y = self.inner(x)
        match self.how:
            case "detached":
                return y.detach()
            case "raises":
                raise KeyError("inside")
            case "nan":
                return y * float("nan")
            case "tuple":
                return y, y
            case "one":
                return y[0]
            case "constant":
                return y * 0 + torch.arange(5.0)
        return y


@pytest.mark.parametrize(
    ("how", "error", "says"),
    [
        ("detached", bs.ModelError, "no gradient reaches"),
        ("raises", bs.ModelError, "inside"),
        ("nan", bs.ModelError, "NaN"),
        ("tuple", bs.ModelError, "tuple"),
        ("one", bs.ModelError, "logits"),
    ],
)
def test_modules_that_can_t_be_searched(how: str, error: type, says: str) -> None:
    batch, labels = images(4)
    with pytest.raises(error, match=says):
        bs.attack(Broken(how).eval(), batch, labels)


def test_a_module_without_a_gradient_to_follow_is_no_success() -> None:
    batch, _ = images(4)
    found = bs.attack(Broken("constant").eval(), batch, [4, 4, 4, 4], max_evaluations=20)
    assert not found.success.any() and found.no_gradient.all()


def test_what_users_get_wrong() -> None:
    module, (batch, labels) = network(), images(4)
    with pytest.raises(bs.UsageError, match="eval"):
        bs.attack(network().train(), batch, labels)
    partly = network()
    partly[5].train()
    with pytest.raises(bs.UsageError, match="eval"):
        bs.attack(partly, batch, labels)
    with pytest.raises(bs.UsageError, match="example input"):
        bs.load(module)
    with pytest.raises(bs.ModelError, match="shape"):
        bs.attack(module, batch[:, :, :5], labels)
    with pytest.raises(bs.DataError, match="outside of the box"):
        bs.attack(module, 255 * batch, labels)
    with pytest.raises(bs.DataError, match="int64"):
        bs.attack(module, (255 * batch).long(), labels)
    with pytest.raises(bs.DataError, match="float32"):
        bs.attack(module, batch, labels.float())
    with pytest.raises(bs.UsageError, match="looks inside"):
        bs.certify(module, batch, labels)


def test_a_module_in_double_precision_or_half_is_searched_too() -> None:
    batch, labels = images(6)
    expected = bs.attack(network(), batch, labels)
    found = bs.attack(network().double(), batch, labels)
    np.testing.assert_allclose(found.norm, expected.norm, rtol=1e-3)


def test_the_shapes_of_foolbox_advlib_and_attackbench() -> None:
    batch, labels = images()
    module = network()
    expected = bs.attack(module, batch, labels).norm

    def norms(found: Any) -> Any:
        return (found - batch).flatten(1).norm(dim=1).double().numpy()

    from blindspot.advlib import attackbench, sqp

    np.testing.assert_allclose(norms(sqp(module, batch, labels)), expected, rtol=1e-5)
    targets = (labels + 1) % 5
    targeted = sqp(module, batch, targets, targeted=True)
    with torch.no_grad():
        assert (module(targeted).argmax(1) == targets).all()
    counted = Counted(module)
    found = attackbench(counted, batch, labels, max_propagations=60, double=False)
    # The budget of a search, and what looks at originals and results beside it.
    assert counted.inputs <= len(batch) * (30 + 12)
    assert 0.99 * expected.mean() <= norms(found).mean() <= 1.5 * expected.mean()

    foolbox = pytest.importorskip("foolbox")
    from blindspot.foolbox import SQP

    model = foolbox.PyTorchModel(module, bounds=(0, 1), device="cpu")
    raw, clipped, success = SQP()(model, batch, labels, epsilons=None)
    assert success.all()
    np.testing.assert_allclose(norms(clipped), expected, rtol=1e-2)
    _, _, within = SQP()(model, batch, labels, epsilons=[float(np.median(expected))])
    assert 0 < within.float().mean() < 1
    wanted = foolbox.criteria.TargetedMisclassification(targets)
    _, clipped, success = SQP()(model, batch, wanted, epsilons=None)
    assert success.all()


class Counted(Module):  # type: ignore[misc]
    """Counts the inputs that it is asked about."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner, self.inputs = inner, 0
        self.eval()

    def forward(self, x: Any) -> Any:
        self.inputs += len(x)
        return self.inner(x)


def test_the_shape_of_art() -> None:
    pytest.importorskip("art")
    from art.estimators.classification import PyTorchClassifier

    from blindspot.art import SQP

    batch, labels = images(10)
    module = network()
    estimator = PyTorchClassifier(
        model=module, loss=nn.CrossEntropyLoss(), input_shape=(1, 8, 8), nb_classes=5, clip_values=(0.0, 1.0)
    )
    found = SQP(estimator).generate(batch.numpy())
    expected = bs.attack(module, batch, labels)
    norms = np.linalg.norm((found - batch.numpy()).reshape(10, -1).astype(float), axis=1)
    np.testing.assert_allclose(norms, expected.norm, rtol=1e-2)
    targets = (labels.numpy() + 1) % 5
    found = SQP(estimator, targeted=True).generate(batch.numpy(), np.eye(5)[targets])
    assert (estimator.predict(found).argmax(1) == targets).all()


def test_a_linear_module_has_the_known_distances() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).eval()
    with torch.no_grad():
        module[1].weight.copy_(torch.from_numpy(Linear.weights.T))
        module[1].bias.copy_(torch.from_numpy(Linear.bias))
    found = bs.attack(module, torch.from_numpy(Linear.images), torch.tensor(Linear.labels))
    expected = [Linear.distance(*pair) for pair in zip(Linear.images, Linear.labels)]
    np.testing.assert_allclose(found.norm, expected, rtol=1e-4)
