"""Makes tiny.safetensors: what PyTorch computes for the network of tiny.toml.

Run as `python pytorch_resnet.py` in this folder. Written with Python 3.11, torch 2.15.0 (CPU) and
numpy 2.4.6. Computes in float64 and stores float32, so that the stored numbers are the true ones
to float32's last digit; prints how far PyTorch's own float32 run is from them.

Stored:
  samples, labels        15 samples (before the input node normalises them) and their classes
  param/*  buffer/*      the start, masked weights already 0; mask/* is 1 where a weight exists
  eval/logits            first five samples, running statistics
  train/logits  train/loss  grad/*  train/buffer/*
                         first five samples, batch statistics, mean cross-entropy; no l1, no decay
  after/param/*  after/buffer/*  after/losses
                         three steps of SGD over samples 0..5, 5..10, 10..15: rate 0.05, momentum
                         0.9, weight decay 5e-4, plus 1e-3 * sum |p| over every parameter
"""

import json
import struct
import tomllib

import numpy as np
import torch
import torch.nn.functional as F

CLASSES, BATCH, STEPS = 5, 5, 3
RATE, MOMENTUM, DECAY, GAMMA = 0.05, 0.9, 5e-4, 1e-3
DENSITY = 0.4


def make(network, seed=20240611):
    """Random parameters, buffers, masks and samples."""
    rng = np.random.default_rng(seed)
    shapes = {"input": tuple(network["input"]["shape"])}
    params, buffers, masks, above = {}, {}, {}, "input"
    for op in network["op"]:
        name, source = op["name"], op.get("from", above)
        shape = shapes[source if isinstance(source, str) else source[0]]
        if op["kind"] in ("conv", "linear"):
            if op["kind"] == "conv":
                kernel = op["kernel"] if isinstance(op["kernel"], list) else [op["kernel"]] * 2
                weight = (op["filters"], shape[0] // op.get("groups", 1), *kernel)
            else:
                outputs = CLASSES if op["outputs"] == "classes" else op["outputs"]
                weight = (outputs, int(np.prod(shape)))
            scale = np.sqrt(2 / np.prod(weight[1:]))
            params[name + ".weight"] = rng.normal(0, scale, weight)
            if op.get("bias", op["kind"] == "linear"):
                params[name + ".bias"] = rng.normal(0, 0.1, weight[0])
            if op.get("prunable", op["kind"] == "conv"):
                mask = (rng.random(weight) < DENSITY).astype(np.float64)
                masks[name + ".weight"] = mask
                params[name + ".weight"] *= mask
        if op["kind"] == "batch-norm":
            params[name + ".weight"] = rng.uniform(0.5, 1.5, shape[0])
            params[name + ".bias"] = rng.normal(0, 0.2, shape[0])
            buffers[name + ".running_mean"] = rng.normal(0, 0.2, shape[0])
            buffers[name + ".running_var"] = rng.uniform(0.5, 1.5, shape[0])
        probe = [torch.zeros(1, *shapes[s]) for s in ([source] if isinstance(source, str) else source)]
        with torch.no_grad():
            state = {k: torch.tensor(v, dtype=torch.float32) for k, v in (params | buffers).items()}
            shapes[name] = tuple(apply(op, probe, state, False).shape[1:])
        above = name
    samples = rng.random((BATCH * STEPS, *shapes["input"]))
    labels = rng.integers(0, CLASSES, BATCH * STEPS)
    # Float32 is what Rust reads; the float64 run must start from the same numbers.
    round32 = lambda tree: {k: v.astype(np.float32) for k, v in tree.items()}
    return round32(params), round32(buffers), round32(masks), samples.astype(np.float32), labels


def apply(op, inputs, state, training):
    """One operation by PyTorch's own functions."""
    x, name, kind = inputs[0], op["name"], op["kind"]
    weight, bias = state.get(name + ".weight"), state.get(name + ".bias")
    if kind == "conv":
        return F.conv2d(x, weight, bias, op.get("stride", 1), op.get("padding", 0), 1, op.get("groups", 1))
    if kind == "linear":
        return F.linear(x.flatten(1), weight, bias)[:, :, None, None]
    if kind == "batch-norm":
        mean, var = state[name + ".running_mean"], state[name + ".running_var"]
        return F.batch_norm(x, mean, var, weight, bias, training, op.get("momentum", 0.1), op.get("epsilon", 1e-5))
    if kind == "relu":
        return F.relu(x)
    if kind == "add":
        return inputs[0] + inputs[1]
    if kind == "max-pool":
        return F.max_pool2d(x, op["kernel"], op.get("stride", op["kernel"]), op.get("padding", 0))
    if kind == "avg-pool":
        return F.avg_pool2d(x, op["kernel"], op.get("stride", op["kernel"]))
    if kind == "global-avg-pool":
        return F.adaptive_avg_pool2d(x, 1)
    if kind == "pad-shortcut":  # LambdaLayer of resnet20s: both sides alike
        down, right = op["stride"] if isinstance(op["stride"], list) else [op["stride"]] * 2
        more = (op["channels"] - x.shape[1]) // 2
        return F.pad(x[:, :, ::down, ::right], (0, 0, 0, 0, more, more))
    raise ValueError(kind)


def forward(network, state, masks, samples, training):
    """The logits. Running statistics in `state` move when `training`."""
    state = {k: v * masks[k] if k in masks else v for k, v in state.items()}
    like = lambda values: torch.tensor(values, dtype=samples.dtype)[None, :, None, None]
    given = {"input": (samples - like(network["input"]["mean"])) / like(network["input"]["std"])}
    above = "input"
    for op in network["op"]:
        source = op.get("from", above)
        inputs = [given[s] for s in ([source] if isinstance(source, str) else source)]
        given[op["name"]] = apply(op, inputs, state, training)
        above = op["name"]
    return given[above].flatten(1)


def compute(network, made, dtype):
    """Everything that is stored, in `dtype`."""
    params, buffers, masks, samples, labels = made
    to = lambda tree: {k: torch.tensor(v, dtype=dtype) for k, v in tree.items()}
    masks, samples, labels = to(masks), torch.tensor(samples, dtype=dtype), torch.tensor(labels)
    out = {}

    weights, running = to(params), to(buffers)
    for weight in weights.values():
        weight.requires_grad_()
    first = slice(0, BATCH)
    out["eval/logits"] = forward(network, weights | running, masks, samples[first], False)
    logits = forward(network, weights | running, masks, samples[first], True)
    loss = F.cross_entropy(logits, labels[first])
    loss.backward()
    out["train/logits"], out["train/loss"] = logits, loss
    out |= {"grad/" + k: v.grad for k, v in weights.items()}
    out |= {"train/buffer/" + k: v for k, v in running.items()}

    weights, running, losses = to(params), to(buffers), []
    for weight in weights.values():
        weight.requires_grad_()
    sgd = torch.optim.SGD(weights.values(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
    for step in range(STEPS):
        batch = slice(step * BATCH, (step + 1) * BATCH)
        logits = forward(network, weights | running, masks, samples[batch], True)
        loss = F.cross_entropy(logits, labels[batch])
        losses.append(loss.detach())
        sgd.zero_grad()
        (loss + GAMMA * sum(weight.abs().sum() for weight in weights.values())).backward()
        sgd.step()
    out |= {"after/param/" + k: v for k, v in weights.items()}
    out |= {"after/buffer/" + k: v for k, v in running.items()}
    out["after/losses"] = torch.stack(losses)
    return {k: v.detach().numpy() for k, v in out.items()}


def write(path, tensors):
    """A safetensors file: length of the header, header, values."""
    header, payload = {}, b""
    for name, array in sorted(tensors.items()):
        kind = {"float32": "F32", "uint32": "U32"}[str(array.dtype)]
        raw = np.ascontiguousarray(array).tobytes()
        offsets = [len(payload), len(payload) + len(raw)]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets}
        payload += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + payload)


def main():
    torch.set_num_threads(1)
    with open("tiny.toml", "rb") as file:
        network = tomllib.load(file)
    made = make(network)
    exact, single = compute(network, made, torch.float64), compute(network, made, torch.float32)
    for group in ("eval/logits", "train/logits", "grad/", "train/buffer/", "after/param/", "after/buffer/"):
        names = [name for name in exact if name.startswith(group)]
        # The bias of a convolution before a batch normalisation has gradient 0 but for rounding.
        floor = 1e-2 * max(np.abs(exact[n]).max() for n in names)
        far = max(np.abs(exact[n] - single[n]).max() / max(np.abs(exact[n]).max(), floor) for n in names)
        print(f"{group:14} float32 is within {far:.1e} of the largest value of its tensor")
    params, buffers, masks, samples, labels = made
    stored = {k: v.astype(np.float32) for k, v in exact.items()}
    stored |= {"param/" + k: v for k, v in params.items()}
    stored |= {"buffer/" + k: v for k, v in buffers.items()}
    stored |= {"mask/" + k: v for k, v in masks.items()}
    stored |= {"samples": samples, "labels": labels.astype(np.uint32)}
    write("tiny.safetensors", stored)
    print("loss", exact["train/loss"], "losses", exact["after/losses"])


main()
