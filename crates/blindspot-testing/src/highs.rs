//! Least norms under linear constraints, by SciPy's HiGHS.

/// A script for [`run_python`](crate::run_python): reads a JSON list of problems `[norm, a, b, lower, upper]`, and
/// prints the list of the least norms (`linf` or `l1`) under `a r >= b` within these ranges, by SciPy's HiGHS;
/// 1e300 where no point satisfies them.
pub const HIGHS: &str = "import sys, json, numpy as np\n\
    from scipy.optimize import linprog\n\
    def least(norm, a, b, lower, upper):\n\
    \x20   a, b = np.array(a), np.array(b)\n\
    \x20   n, i = a.shape[1], np.eye(a.shape[1])\n\
    \x20   if norm == 'linf':\n\
    \x20       one = np.ones((n, 1))\n\
    \x20       cost = np.r_[np.zeros(n), 1]\n\
    \x20       left = np.block([[-a, np.zeros((len(b), 1))], [i, -one], [-i, -one]])\n\
    \x20       bounds = [*zip(lower, upper), (0, None)]\n\
    \x20   else:\n\
    \x20       cost = np.r_[np.zeros(n), np.ones(n)]\n\
    \x20       left = np.block([[-a, np.zeros_like(a)], [i, -i], [-i, -i]])\n\
    \x20       bounds = [*zip(lower, upper)] + [(0, None)] * n\n\
    \x20   right = np.r_[-b, np.zeros(2 * n)]\n\
    \x20   found = linprog(cost, A_ub=left, b_ub=right, bounds=bounds, method='highs')\n\
    \x20   return found.fun if found.status == 0 else 1e300\n\
    print(json.dumps([least(*problem) for problem in json.load(sys.stdin)]))";
