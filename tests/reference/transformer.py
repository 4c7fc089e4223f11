"""Writes transformer.json: what a small network of transformer operations gives, computed token by token in
double precision from the formulas of the papers.

Run as `python transformer.py` in this folder; Python 3.9 or later and no packages. The network is that of
transformer.toml. Value i of parameter number p, and value i of the samples (p = 1000), are `made(p, i)`.
"""

import json
import math

SAMPLES = 3
SIZE = 8


def made(number, index):
    return ((number * 7919 + index * 104729) % 2003) / 2003 - 0.5


class Parameters:
    """The parameters in the order of the description."""

    def __init__(self):
        self.number = 0

    def take(self, *sides):
        count = math.prod(sides)
        values = [made(self.number, i) for i in range(count)]
        self.number += 1
        for side in reversed(sides[1:]):
            values = [values[i:i + side] for i in range(0, len(values), side)]
        return values


# A sample is a table of tokens by (row, column), each a list of features.


def linear(tokens, weight, bias):
    def one(token):
        return [sum(w * x for w, x in zip(row, token)) + b for row, b in zip(weight, bias)]

    return {at: one(token) for at, token in tokens.items()}


def norm(tokens, scale, shift, epsilon=1e-5):
    def one(token):
        mean = sum(token) / len(token)
        variance = sum((x - mean) ** 2 for x in token) / len(token)
        return [(x - mean) / math.sqrt(variance + epsilon) * s + t for x, s, t in zip(token, scale, shift)]

    return {at: one(token) for at, token in tokens.items()}


def gelu(tokens):
    return {at: [0.5 * x * (1 + math.erf(x / math.sqrt(2))) for x in token] for at, token in tokens.items()}


def add(left, right):
    return {at: [a + b for a, b in zip(left[at], right[at])] for at in left}


def attention(tokens, heads, side=None, shift=0, table=None):
    """Each token looks for those that share its window by itself: nothing is rolled."""
    size = 1 + max(row for row, _ in tokens)
    width = len(next(iter(tokens.values()))) // 3
    depth = width // heads

    def window(at):
        """The window that a coordinate is in, and whether it came there round the edge."""
        moved = (at - shift) % size
        return moved // side, at < shift

    def moved(at):
        return (at - shift) % size % side

    found = {}
    for at, token in tokens.items():
        if side is None:
            seen = list(tokens)
        else:
            seen = [other for other in tokens if all(window(a) == window(b) for a, b in zip(at, other))]
        found[at] = []
        for head in range(heads):
            own = slice(head * depth, (head + 1) * depth)
            query = token[:width][own]
            scores = []
            for other in seen:
                key = tokens[other][width:2 * width][own]
                score = sum(q * k for q, k in zip(query, key)) / math.sqrt(depth)
                if table is not None:
                    down, right = (moved(a) - moved(b) + side - 1 for a, b in zip(at, other))
                    score += table[head][down][right]
                scores.append(score)
            weights = [math.exp(score - max(scores)) for score in scores]
            values = [tokens[other][2 * width:][own] for other in seen]
            found[at] += [sum(w * v[c] for w, v in zip(weights, values)) / sum(weights) for c in range(depth)]
    return found


def merged(tokens):
    """x0 (even, even), x1 (odd row), x2 (odd column), x3 (both odd), one behind the other."""
    size = 1 + max(row for row, _ in tokens)
    order = [(0, 0), (1, 0), (0, 1), (1, 1)]
    places = [(row, column) for row in range(size // 2) for column in range(size // 2)]
    return {(r, c): sum((tokens[2 * r + y, 2 * c + x] for y, x in order), []) for r, c in places}


def block(tokens, take, width, heads, **window):
    """A block without the norms' default values: all parameters are made."""
    flat = norm(tokens, take(width), take(width))
    flat = linear(flat, take(3 * width, width), take(3 * width))
    if window:
        side = window["side"]
        window["table"] = take(heads, 2 * side - 1, 2 * side - 1)
    flat = attention(flat, heads, **window)
    tokens = add(linear(flat, take(width, width), take(width)), tokens)
    flat = norm(tokens, take(width), take(width))
    flat = gelu(linear(flat, take(2 * width, width), take(2 * width)))
    return add(linear(flat, take(width, 2 * width), take(width)), tokens)


def logits(sample):
    take = Parameters().take
    weight, bias = take(6, 2, 2, 2), take(6)
    half = SIZE // 2
    tokens = {}
    for row in range(half):
        for column in range(half):
            square = [sample[c][2 * row + y][2 * column + x] for c in range(2) for y in range(2) for x in range(2)]
            flat = [sum(w * x for w, x in zip(sum(sum(k, []), []), square)) + b for k, b in zip(weight, bias)]
            tokens[row, column] = flat
    position = take(6, half, half)
    tokens = {(r, c): [x + position[i][r][c] for i, x in enumerate(t)] for (r, c), t in tokens.items()}
    tokens = block(tokens, take, 6, 2)
    tokens = block(tokens, take, 6, 3, side=2, shift=1)
    tokens = norm(merged(tokens), take(24), take(24))
    tokens = linear(tokens, take(8, 24), [0] * 8)
    tokens = block(tokens, take, 8, 2, side=2)
    mean = [sum(token[c] for token in tokens.values()) / len(tokens) for c in range(8)]
    return [sum(w * x for w, x in zip(row, mean)) + b for row, b in zip(take(5, 8), take(5))]


samples = []
for which in range(SAMPLES):
    values = [made(1000, which * 2 * SIZE * SIZE + i) for i in range(2 * SIZE * SIZE)]
    rows = [values[i:i + SIZE] for i in range(0, len(values), SIZE)]
    samples.append([rows[:SIZE], rows[SIZE:]])
with open("transformer.json", "w", encoding="ascii", newline="\n") as file:
    json.dump([logits(sample) for sample in samples], file, indent=1)
    file.write("\n")
