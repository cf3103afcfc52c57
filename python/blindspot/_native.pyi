"""The native half: no conveniences, arguments checked by the functions above it."""

from collections.abc import Callable
from os import PathLike
from typing import Any, TypedDict, final, type_check_only

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Certified",
    "Found",
    "Images",
    "Model",
    "Schema",
    "Surveyed",
    "Universal",
    "Verified",
    "__version__",
    "attack",
    "certify",
    "goal_of",
    "halves",
    "inspect",
    "layers",
    "main",
    "near_chance",
    "spectrum",
    "transfer",
    "units",
    "universal",
    "verify",
    "write_files",
]

__version__: str

@type_check_only
class Watch(TypedDict):
    progress: Callable[[str, int, int], object] | None
    threads: int | None

@type_check_only
class ModelOptions(TypedDict):
    preprocess: str
    described: bytes | str | PathLike[str] | None
    interface: str
    outputs: str
    box: tuple[float, float]
    classes: list[str] | None
    memory: str | None
    reading_time: float | None

@type_check_only
class AttackOptions(TypedDict):
    target: str
    goal: str | None
    method: str
    norm: str
    group: str
    seed: int
    top_k: int
    confidence: float
    max_evaluations: int | None
    time_limit: float | None
    enough: float | None
    box: tuple[float, float] | None
    lower: NDArray[np.float32] | None
    upper: NDArray[np.float32] | None
    change: NDArray[np.float32] | None
    certify: bool
    epsilons: list[float]

@type_check_only
class About(TypedDict):
    data: str
    hashes: dict[str, str]
    right_of: int | None
    answers_as_labels: bool
    versions: dict[str, str]

@type_check_only
class CertifyOptions(TypedDict):
    box: tuple[float, float] | None
    time_limit: float | None
    arithmetic: str
    norm: str
    group: str
    seed: int

@type_check_only
class VerifyOptions(TypedDict):
    time_limit: float | None
    arithmetic: str
    seed: int

@type_check_only
class SpectrumOptions(TypedDict):
    layer: str | None
    input_size: tuple[int, int] | None
    tolerance: float
    seed: int
    name: str
    versions: dict[str, str]

@type_check_only
class UnitsOptions(TypedDict):
    layer: str
    units: int | list[int]
    directions: int
    components: int
    top: int
    reduce: str
    statistics: bool
    synthesize: bool
    l2: float
    total_variation: float
    seed: int

@type_check_only
class UniversalOptions(TypedDict):
    epsilon: float | None
    share: float | None
    norm: str
    target: str
    box: tuple[float, float] | None
    max_evaluations: int | None
    time_limit: float | None
    seed: int

@type_check_only
class Judged(TypedDict):
    images: Images | NDArray[np.float32]
    labels: list[int]
    places: list[int] | None
    about: About
    shape: tuple[int, int, int] | None
    classes: list[str] | None

@type_check_only
class TransferOptions(TypedDict):
    amplify: list[float]
    norm: str | None
    amplify_by: list[float]
    noise: list[float]
    seed: int
    correct_only: bool
    versions: dict[str, str]

@final
class Model:
    def __new__(cls, source: str | PathLike[str] | bytes, name: str, options: ModelOptions) -> Model: ...
    def logits(self, images: Images | NDArray[np.float32], watch: Watch) -> NDArray[np.float32]: ...
    def answers(self, images: Images | NDArray[np.float32], watch: Watch) -> list[int]: ...
    @property
    def shape(self) -> list[int]: ...
    @property
    def image_shape(self) -> list[int] | None: ...
    @property
    def classes(self) -> int: ...
    @property
    def class_names(self) -> list[str] | None: ...
    @property
    def box(self) -> tuple[float, float]: ...
    @property
    def preprocess(self) -> str: ...
    @property
    def answer(self) -> str: ...
    @property
    def notes(self) -> list[str]: ...
    @property
    def sha256(self) -> str: ...

@final
class Schema:
    @staticmethod
    def open(path: str | PathLike[str]) -> Schema: ...
    @staticmethod
    def parse(json: str) -> Schema: ...
    @property
    def sha256(self) -> str | None: ...

@final
class Images:
    @staticmethod
    def load(
        spec: str,
        data_dir: str | PathLike[str] | None,
        first: int | None,
        model: Model | None,
        columns: Schema | None,
    ) -> Images: ...
    @staticmethod
    def of_table(content: bytes, columns: Schema) -> Images: ...
    @staticmethod
    def of_bytes(pixels: NDArray[np.uint8], shape: tuple[int, int, int]) -> Images: ...
    def fitted(
        self, model: Model | None, resize: list[int] | None, crop: list[int] | None, exif: bool
    ) -> Images: ...
    def with_classes(self, names: str | PathLike[str] | list[str]) -> Images: ...
    def chosen(self, count: int | None, seed: int | None) -> Images: ...
    def only(self, positions: list[int]) -> Images: ...
    def checked(self, skip_broken: bool, watch: Watch) -> tuple[Images, list[str]]: ...
    def values(self) -> NDArray[np.float32]: ...
    @property
    def columns(self) -> str | None: ...
    @property
    def labels(self) -> list[int] | None: ...
    @property
    def indices(self) -> list[int]: ...
    @property
    def classes(self) -> list[str] | None: ...
    @property
    def shape(self) -> list[int]: ...
    @property
    def name(self) -> str: ...
    @property
    def notes(self) -> list[str]: ...
    @property
    def of_files(self) -> bool: ...
    @property
    def hashes(self) -> list[tuple[str, str]]: ...
    def __len__(self) -> int: ...

@final
class Found:
    def numbers(self) -> dict[str, NDArray[Any]]: ...
    def robust_accuracy(self, epsilons: list[float] | None) -> str: ...
    def original(self) -> NDArray[np.float32]: ...
    def adversarial(self) -> NDArray[np.float32]: ...
    def outputs(self) -> list[NDArray[np.float32]] | None: ...
    @property
    def shape(self) -> list[int]: ...
    def eight_bit(self, watch: Watch) -> dict[str, NDArray[Any]]: ...
    def sentences(self, classes: list[str] | None) -> list[str] | None: ...
    def save(self, path: str | PathLike[str], about: About, classes: list[str] | None) -> None: ...
    def report(
        self,
        path: str | PathLike[str],
        about: About,
        shape: tuple[int, int, int],
        classes: list[str] | None,
    ) -> None: ...
    def save_images(
        self,
        dir: str | PathLike[str],
        shape: tuple[int, int, int],
        subject: str,
        classes: list[str] | None,
        watch: Watch,
    ) -> None: ...
    def refuted_by(self, before: NDArray[np.float64], after: NDArray[np.float64]) -> Found: ...
    def only(self, positions: list[int]) -> Found: ...
    def __len__(self) -> int: ...

@final
class Certified:
    def numbers(self) -> dict[str, NDArray[Any]]: ...
    @property
    def limits(self) -> list[str]: ...
    def svg(self) -> str: ...
    def save(self, path: str | PathLike[str]) -> None: ...
    def report(self, path: str | PathLike[str], subject: str) -> None: ...

@final
class Verified:
    def json(self) -> str: ...
    def save(self, path: str | PathLike[str]) -> None: ...
    def save_counterexample(self, path: str | PathLike[str]) -> None: ...

@final
class Surveyed:
    def json(self) -> str: ...
    def synthesised(self) -> NDArray[np.float32]: ...
    def files(
        self,
        model: Model,
        images: Images | NDArray[np.float32],
        labels: list[int] | None,
        watch: Watch,
    ) -> list[tuple[str, bytes]]: ...

@final
class Universal:
    def delta(self) -> NDArray[np.float32]: ...
    @property
    def shape(self) -> list[int]: ...
    def json(self) -> str: ...
    def numbers(self) -> dict[str, NDArray[Any]]: ...
    def save(self, path: str | PathLike[str]) -> None: ...
    def report(self, path: str | PathLike[str]) -> None: ...

def attack(
    model: object,
    images: Images | NDArray[np.float32],
    labels: list[int],
    options: AttackOptions,
    watch: Watch,
) -> tuple[Found, BaseException | None]: ...
def certify(
    model: Model,
    images: Images | NDArray[np.float32],
    labels: list[int],
    options: CertifyOptions,
    about: About,
    watch: Watch,
) -> tuple[Certified, BaseException | None]: ...
def halves(count: int, seed: int) -> list[list[int]]: ...
def inspect(source: str | PathLike[str] | bytes, name: str, options: ModelOptions, profile: bool, watch: Watch) -> str: ...
def layers(model: Model) -> list[tuple[str, str, list[int]]]: ...
def near_chance(right: int, images: int, classes: int) -> bool: ...
def spectrum(
    model: Model, options: SpectrumOptions, watch: Watch
) -> tuple[str, list[tuple[str, bytes]], str]: ...
def units(
    model: Model,
    images: Images | NDArray[np.float32],
    labels: list[int] | None,
    options: UnitsOptions,
    about: About,
    watch: Watch,
) -> Surveyed: ...
def goal_of(examples: Found | str) -> str | None: ...
def transfer(
    examples: list[tuple[str, Found | str]],
    models: list[tuple[str, object]],
    options: TransferOptions,
    watch: Watch,
) -> tuple[str, list[tuple[str, bytes]], str]: ...
def universal(
    model: tuple[str, object],
    models: list[tuple[str, object]],
    sets: tuple[Judged, Judged],
    split: bool,
    options: UniversalOptions,
    watch: Watch,
) -> tuple[Universal, BaseException | None]: ...
def write_files(dir: str | PathLike[str], files: list[tuple[str, bytes]]) -> None: ...
def main(arguments: list[str]) -> int: ...
def verify(model: Model, property: str | PathLike[str], options: VerifyOptions, watch: Watch) -> Verified: ...
