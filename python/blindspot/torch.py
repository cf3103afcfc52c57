"""PyTorch modules as classifiers; takes PyTorch."""

from blindspot._torch import TorchClassifier

__all__ = ["TorchClassifier"]
