"""Writes attacks.json beside itself: membership attacks on small made matrices, computed apart from us.

Made with Python 3.11.7, scikit-learn 1.9.1, numpy 2.4.6:

    pip install scikit-learn==1.9.1 numpy==2.4.6
    python tests/reference/attacks.py

The five classifiers are scikit-learn's own SVC on features computed here in float64 from the float32
probabilities; thresholds are searched by trying every value, with the rules of Song and Mittal. U-LiRA
and RMIA are written with numpy's means and deviations and a full matrix of ratios. Areas under curves are
scikit-learn's. Nothing of it is read from our code.
"""

import json
import pathlib

import numpy as np
import sklearn
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.svm import SVC

RNG = np.random.RandomState(11)
FLOOR = 1e-30


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return (e / e.sum(1, keepdims=True)).astype(np.float32)


def answers(n, classes, sharpness):
    """Probabilities and labels; the sharper, the surer of the true label."""
    y = RNG.randint(classes, size=n)
    z = RNG.randn(n, classes)
    z[np.arange(n), y] += sharpness
    # Six digits, so that the JSON holds exactly what was computed with.
    return np.round(softmax(z), 6), y


def feature(name, p, y):
    p = p.astype(np.float64)
    own = p[np.arange(len(y)), y]
    if name == "correctness":
        return (p.argmax(1) == y).astype(float)[:, None]
    if name == "confidence":
        return own[:, None]
    log = lambda q: np.log(np.maximum(q, FLOOR))
    if name == "entropy":
        return -(p * log(p)).sum(1)[:, None]
    if name == "m_entropy":
        terms = -(p * log(1 - p)).sum(1) + own * log(1 - own)
        return (terms - (1 - own) * log(own))[:, None]
    return p


FEATURES = ["correctness", "confidence", "entropy", "m_entropy", "prob"]


def svc_out(name, inside, outside):
    x = np.vstack([feature(name, *inside), feature(name, *outside)])
    y = np.r_[np.ones(len(inside[1])), np.zeros(len(outside[1]))]
    svc = SVC(C=3, gamma="auto", kernel="rbf", shrinking=False).fit(x, y)
    return lambda set: int((svc.predict(feature(name, *set)) == 0).sum())


def take(set, where):
    return set[0][where], set[1][where]


def threshold(members, others):
    bar, most = np.inf, 0.0
    for value in np.r_[members, others]:
        accuracy = 0.5 * ((members >= value).mean() + (others < value).mean())
        if accuracy > most:
            bar, most = value, accuracy
    return bar


def by_threshold(name, shadow_in, shadow_out, sets):
    sign = -1.0 if "entropy" in name else 1.0
    value = lambda set: sign * feature(name, *set)[:, 0]
    if name == "correctness":
        return [int((value(set) >= 0.5).sum()) for set in sets], []
    called, shared = np.zeros(len(sets), int), []
    whole = threshold(value(shadow_in), value(shadow_out))
    for c in range(shadow_in[0].shape[1]):
        a, b = shadow_in[1] == c, shadow_out[1] == c
        if a.any() and b.any():
            bar = threshold(value(shadow_in)[a], value(shadow_out)[b])
        else:
            bar = whole
            shared.append(c)
        for k, set in enumerate(sets):
            called[k] += int((value(set)[set[1] == c] >= bar).sum())
    return called.tolist(), shared


def classifiers(classes):
    retain, test, forget = answers(160, classes, 3.0), answers(101, classes, 1.2), answers(60, classes, 2.0)
    n, half = len(test[1]), len(test[1]) // 2
    first = lambda k: slice(0, k)
    rest = lambda k: slice(k, None)
    shadow_in, shadow_out = take(retain, first(half)), take(test, first(half))
    target_in, target_out = take(retain, rest(half)), take(test, rest(half))
    case = {"classes": classes, "sets": {}, "efficacy": {}, "privacy": {}, "thresholds": {}}
    for name, (p, y) in {"retain": retain, "test": test, "forget": forget}.items():
        case["sets"][name] = {"probabilities": [float(f"{v:.6f}") for v in p.ravel()], "labels": y.tolist()}
    for name in FEATURES:
        out = svc_out(name, take(retain, first(n)), test)
        case["efficacy"][name] = out(forget)
        out = svc_out(name, shadow_in, shadow_out)
        case["privacy"][name] = [len(target_in[1]) - out(target_in), out(target_out)]
        if name != "prob":
            called, shared = by_threshold(name, shadow_in, shadow_out, [target_in, target_out, forget])
            case["thresholds"][name] = {"called": called, "shared": shared}
    return case


def log_normal(x, mean, var):
    return -0.5 * ((x - mean) ** 2 / var + np.log(var))


def lira(target, logits, inside, pooled):
    m_in, m_out = [], []
    v_in, v_out = [], []
    for i in range(logits.shape[1]):
        a, b = logits[inside[:, i], i], logits[~inside[:, i], i]
        m_in.append(a.mean()); m_out.append(b.mean())
        v_in.append(a.var(ddof=1)); v_out.append(b.var(ddof=1))
    m_in, m_out, v_in, v_out = map(np.array, (m_in, m_out, v_in, v_out))
    if pooled:
        free = lambda mask: mask.sum() - logits.shape[1]
        v_in = ((logits - m_in)[inside] ** 2).sum() / free(inside)
        v_out = ((logits - m_out)[~inside] ** 2).sum() / free(~inside)
    return log_normal(target, m_in, np.maximum(v_in, 1e-6)) - log_normal(target, m_out, np.maximum(v_out, 1e-6))


def rmia(target, references, inside, z_target, z_references, gamma, a):
    outside = np.where(inside, np.nan, references)
    p_x = 0.5 * ((1 + a) * np.nanmean(outside, axis=0) + 1 - a)
    p_z = 0.5 * ((1 + a) * z_references.mean(0) + 1 - a)
    ratios = (target / p_x)[:, None] / (z_target / p_z)[None, :]
    return (ratios > gamma).mean(1)


def tpr_at(truth, scores, most):
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    return tpr[fpr <= most + 1e-12].max()


def shadows(models, samples, size):
    """Pairs of models; a model is surer of what it is a member of, of some samples more than of others."""
    inside = np.zeros((models, samples), bool)
    for pair in range(models // 2):
        half = RNG.permutation(samples) < samples // 2
        inside[2 * pair], inside[2 * pair + 1] = half, ~half
    ease, moved = RNG.randn(samples) * 2, np.abs(RNG.randn(samples))
    logits = np.round(ease + RNG.randn(models, samples) + inside * moved, 5)
    sigmoid = lambda z: 1 / (1 + np.exp(-z))
    confidences = np.round(sigmoid(logits), 7)
    population = np.round(sigmoid(RNG.randn(size) * 2 + RNG.randn(models, size)), 7)
    case = {"models": models, "samples": samples, "members": inside, "logits": logits,
            "confidences": confidences, "population": population, "attacks": {}}
    def play(attack):
        rows = []
        for k in range(models):
            others = np.array([m for m in range(models) if m // 2 != k // 2])
            rows.append(attack(k, others))
        return np.array(rows)
    games = {
        "per-example": play(lambda k, o: lira(logits[k], logits[o], inside[o], False)),
        "pooled": play(lambda k, o: lira(logits[k], logits[o], inside[o], True)),
        "rmia": play(lambda k, o: rmia(confidences[k], confidences[o], inside[o], population[k], population[o], 1.0, 0.3)),
        "rmia-2": play(lambda k, o: rmia(confidences[k], confidences[o], inside[o], population[k], population[o], 2.0, 0.6)),
    }
    for name, scores in games.items():
        mean = lambda f: float(np.mean([f(inside[k], scores[k]) for k in range(models)]))
        case["attacks"][name] = {
            "scores": [float(f"{s:.7g}") for s in scores.ravel()],
            "auc": mean(roc_auc_score),
            "tpr_at_1_percent": mean(lambda t, s: tpr_at(t, s, 0.01)),
            "balanced_accuracy_at_0": mean(lambda t, s: 0.5 * ((s[t] >= 0).mean() + (s[~t] < 0).mean())),
        }
    bits = lambda a: "".join("01"[int(v)] for v in a.ravel())
    flat = lambda a: a.ravel().tolist()
    return {**case, "members": bits(inside), "logits": flat(logits), "confidences": flat(confidences),
            "population": flat(population)}


def main():
    made = f"scikit-learn {sklearn.__version__}, numpy {np.__version__}"
    result = {"made_with": made, "classifiers": [classifiers(c) for c in (2, 3, 13)],
              "shadows": [shadows(8, 30, 20), shadows(6, 210, 10)]}
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(result, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
