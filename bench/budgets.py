"""What is found with a number of evaluations: sqp beside simple attacks, on random networks.

    budgets.py BLINDSPOT FOLDER [--networks N] [--seed SEED]

The networks are those of random_networks.py, six images each, any wrong class, each method with as many evaluations.
Images whose margin is below three times the rounding noise are left out. Missed: found by that attack and not by sqp,
of all that it finds. Ratio: the mean norm of sqp over that attack's, on images that both reach. Prints a Markdown table.
"""
import argparse
import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from random_networks import Trial

BUDGETS = (20, 30, 50, 100, 200, 500)
ATTACKS = {"ddn": "DDN", "deepfool": "DeepFool", "pgd": "PGD"}


class Budgets(Trial):
    """One network, attacked by each method with each number of evaluations."""

    noises = 3

    def compare(self, runtime, labels, clean):
        """The norms by number of evaluations and method, infinite where nothing is found; None if refused."""
        found = {}
        for budget in BUDGETS:
            for method in ("sqp", *ATTACKS):
                norms = self.attack(method, "untargeted", runtime, labels, clean, "--max-evaluations", str(budget))
                if norms is None:
                    return
                found[budget, method] = np.where(self.clear, norms, np.nan)
        self.found = found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("folder")
    parser.add_argument("--networks", type=int, default=192)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    def trial(seed):
        done = Budgets(os.path.abspath(options.program), options.folder, seed)
        done.found = None
        done.run()
        shutil.rmtree(done.folder)
        return done.found

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = [it for it in pool.map(trial, range(options.seed, options.seed + options.networks)) if it]
    print(f"{len(found)} random networks\n")
    names = list(ATTACKS.values())
    print(f"| evaluations | missed: {' | '.join(names)} | ratio: {' | '.join(names)} |")
    print("|---:|" + "---:|" * 2 * len(names))
    for budget in BUDGETS:
        ours = np.concatenate([it[budget, "sqp"] for it in found])
        missed, ratios = [], []
        for method in ATTACKS:
            theirs = np.concatenate([it[budget, method] for it in found])
            # The noise is that at a method's own final image: what is not clear for one of them is left out.
            reached = np.isfinite(theirs) & ~np.isnan(ours)
            both = reached & np.isfinite(ours)
            missed.append(f"{(reached & ~both).sum()} of {reached.sum()}")
            ratios.append(f"{ours[both].mean() / theirs[both].mean():.3f}")
        print(f"| {budget} | {' | '.join(missed)} | {' | '.join(ratios)} |")


if __name__ == "__main__":
    main()
