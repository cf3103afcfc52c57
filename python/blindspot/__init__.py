"""Blindspot finds where trained neural networks break: the smallest adversarial perturbations of inputs,
certificates that there are none within a radius, what units respond to, what layers amplify, and what examples
do to other networks.

    import blindspot as bs
    model = bs.load("model.onnx")
    found = bs.attack(model, images, labels)
    found.adversarial, found.norm, found.success

Models are ONNX files, PyTorch modules, or functions with a gradient (`Classifier`). Options have the names of
the command `blindspot`, which comes with the package.
"""

from blindspot._attack import Examples, attack
from blindspot._certify import Certificates, certify
from blindspot._classifier import Classifier
from blindspot._errors import (
    BlindspotError,
    DataError,
    Interrupted,
    ModelError,
    OutputError,
    UsageError,
)
from blindspot._model import Model, load
from blindspot._native import __version__
from blindspot._studies import Report, Spectra, Transfer, inspect, spectrum, transfer
from blindspot._units import Units, units
from blindspot._universal import UniversalPerturbation, universal
from blindspot._verify import Verification, verify

__all__ = [
    "BlindspotError",
    "Certificates",
    "Classifier",
    "DataError",
    "Examples",
    "Interrupted",
    "Model",
    "ModelError",
    "OutputError",
    "Report",
    "Spectra",
    "Transfer",
    "Units",
    "UniversalPerturbation",
    "UsageError",
    "Verification",
    "__version__",
    "attack",
    "certify",
    "inspect",
    "load",
    "spectrum",
    "transfer",
    "units",
    "universal",
    "verify",
]
