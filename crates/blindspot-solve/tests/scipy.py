import json
import sys

import numpy as np
from scipy.optimize import fmin_l_bfgs_b


def rosenbrock(x):
    a, b = 1 - x[:-1], x[1:] - x[:-1] ** 2
    g = np.zeros_like(x)
    g[:-1] += -2 * a - 400 * x[:-1] * b
    g[1:] += 200 * b
    return (a**2).sum() + 100 * (b**2).sum(), g


def quadratic(x):
    t = np.arange(len(x)) / (len(x) - 1)
    w, c = 10 ** (6 * t), 1 - 2 * t
    return 0.5 * (w * (x - c) ** 2).sum(), w * (x - c)


def separable(x):
    i = np.arange(len(x))
    w, c = 1 + i % 7, 1.5 * np.sin(i) + 0.5
    return 0.5 * (w * (x - c) ** 2).sum(), w * (x - c)


def logarithmic(x):
    w = 1 + np.arange(len(x)) % 7
    with np.errstate(all="ignore"):
        g = np.where(x > 0, w * (1 - 1 / x), np.nan)
        return (w * (x - np.log(x))).sum(), g


results = []
for case in json.load(sys.stdin):
    _, value, info = fmin_l_bfgs_b(
        globals()[case["function"]],
        np.array(case["x0"]),
        bounds=case["bounds"],
        m=case["history"],
        pgtol=case["gradient"],
        factr=case["decrease"] / np.finfo(float).eps,
        maxfun=15000,
        maxiter=15000,
    )
    value = float(value) if np.isfinite(value) else None
    results.append({"value": value, "evaluations": info["funcalls"]})
print(json.dumps(results))
