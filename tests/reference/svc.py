"""Writes svc.json beside itself: what scikit-learn's SVC answers on small made problems.

Made with Python 3.11.7, scikit-learn 1.9.1, numpy 2.4.6:

    pip install scikit-learn==1.9.1 numpy==2.4.6
    python tests/reference/svc.py

`predicted` is that of the default settings, the ones the paper's attack uses. `decision` and
`support` are those of `shrinking=False`, which makes the same steps as our solver. `spread` is how
far apart these two answers of scikit-learn lie: what a tolerance of 1e-3 leaves open.

Features are rounded to six digits before fitting, so that the JSON holds exactly what was fitted.
"""

import json
import pathlib

import numpy as np
import sklearn
from sklearn.svm import SVC

RNG = np.random.RandomState(7)


def confidences(n, members, others):
    """Confidences as a network gives them: most near 1, members a little nearer."""
    y = np.arange(n) % 3 != 0
    u = RNG.rand(n)
    return (1 - u ** np.where(y, members, others))[:, None], y


def blobs(n, dims, apart):
    y = RNG.rand(n) < 0.4
    x = RNG.randn(n, dims)
    x[:, 0] += apart * y
    return x, y


def softmax10(n, sharpness):
    y = RNG.rand(n) < 0.5
    z = RNG.randn(n, 10)
    z[np.arange(n), RNG.randint(10, size=n)] += np.where(y, sharpness, 1.0)
    e = np.exp(z)
    return e / e.sum(1, keepdims=True), y


def correctness(n):
    y = np.arange(n) % 2 == 0
    return (RNG.rand(n) < np.where(y, 0.8, 0.7)).astype(float)[:, None], y


PROBLEMS = [
    ("confidence, hardly apart", *confidences(300, 2.2, 2.0), [(3.0, 1.0), (0.1, 1.0), (50.0, 8.0)]),
    ("confidence, apart", *confidences(200, 6.0, 0.7), [(3.0, 1.0), (1.0, 20.0)]),
    ("two overlapping bells", *blobs(250, 1, 1.0), [(3.0, 1.0), (0.5, 0.1), (10.0, 5.0)]),
    ("two bells far apart", *blobs(120, 1, 8.0), [(3.0, 1.0)]),
    ("ten dimensions", *blobs(200, 10, 1.5), [(3.0, 0.1), (1.0, 0.02), (10.0, 0.5)]),
    ("softmax of ten classes", *softmax10(240, 2.0), [(3.0, 0.1), (30.0, 1.0)]),
    ("correct or not", *correctness(150), [(3.0, 1.0)]),
]


def main():
    cases = []
    for name, x, y, settings in PROBLEMS:
        x = np.round(x, 6)
        fits = []
        for c, gamma in settings:
            svc = SVC(C=c, gamma=gamma, kernel="rbf", tol=1e-3).fit(x, y)
            plain = SVC(C=c, gamma=gamma, kernel="rbf", tol=1e-3, shrinking=False).fit(x, y)
            decision = plain.decision_function(x)
            spread = np.abs(decision - svc.decision_function(x)).max()
            fits.append({
                "c": c,
                "gamma": gamma,
                "support": int(plain.n_support_.sum()),
                "spread": float(f"{spread:.3g}"),
                "decision": [float(f"{d:.7g}") for d in decision],
                "predicted": "".join("01"[int(p)] for p in svc.predict(x)),
            })
        cases.append({
            "name": name,
            "dims": x.shape[1],
            "features": x.ravel().tolist(),
            "labels": "".join("01"[int(l)] for l in y),
            "fits": fits,
        })
    made = f"scikit-learn {sklearn.__version__}, numpy {np.__version__}"
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps({"made_with": made, "cases": cases}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
