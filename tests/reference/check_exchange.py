"""Holds import and export against PyTorch and ONNX Runtime on networks of full size.

Run as

    python tests/reference/check_exchange.py --program target/release/unlearn

at the root of the repository. Needs torch, torchvision, safetensors, numpy and onnxruntime; nothing
is downloaded, weights are random. Three parts:

1. State dicts of torchvision's resnet18, resnet50 and vgg16_bn, of a CIFAR ResNet-20 and of a 1-D
   network are saved as safetensors and imported without --model. Then
   `cargo test --test exchange_cases` compares our logits with PyTorch's (UNLEARN_EXCHANGE tells it
   the folder).
2. What was imported is exported as ONNX and run in ONNX Runtime: its logits against PyTorch's.
3. A network that this program trained and thinned is exported and run in ONNX Runtime; the same
   test compares our logits with those.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import tomllib

import numpy as np
import onnxruntime
import torch
import torchvision
from safetensors.torch import save_file

NEAR = 1e-4
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def shake(network, seed):
    """Statistics that matter; weights as the network starts."""
    torch.manual_seed(seed)
    for name, value in network.named_buffers():
        if name.endswith("running_mean"):
            value.copy_(torch.randn(value.shape) * 0.1)
        if name.endswith("running_var"):
            value.copy_(torch.rand(value.shape) + 0.5)
    return network.eval()


def cifar_resnet20():
    """ResNet-20 for CIFAR, shortcuts without parameters, under the names of the reference code."""
    import torch.nn as nn
    import torch.nn.functional as F

    class Block(nn.Module):
        def __init__(self, before, channels, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(channels)
            self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(channels)
            self.stride, self.more = stride, (channels - before) // 2

        def forward(self, x):
            y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
            if self.more:
                x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more, self.more))
            return F.relu(y + x)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(16)
            before = 16
            for stage, channels in enumerate([16, 32, 64], 1):
                blocks = []
                for index in range(3):
                    blocks.append(Block(before, channels, 2 if stage > 1 and index == 0 else 1))
                    before = channels
                self.add_module(f"layer{stage}", nn.Sequential(*blocks))
            self.fc = nn.Linear(64, 10)

        def forward(self, x):
            x = F.relu(self.bn1(self.conv1(x)))
            x = self.layer3(self.layer2(self.layer1(x)))
            return self.fc(x.mean((2, 3)))

    return Net()


def har_cnn():
    """The program's own 1-D network for inertial windows, in PyTorch's 1-D operations."""
    import torch.nn as nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            before = 9
            for index, (filters, kernel) in enumerate([(64, 7), (128, 5), (128, 5), (128, 3)], 1):
                self.add_module(f"conv{index}", nn.Conv1d(before, filters, kernel, 2, kernel // 2, bias=False))
                self.add_module(f"bn{index}", nn.BatchNorm1d(filters))
                before = filters
            self.fc = nn.Linear(128, 6)

        def forward(self, x):
            x = x[:, :, 0]
            for index in range(1, 5):
                x = torch.relu(getattr(self, f"bn{index}")(getattr(self, f"conv{index}")(x)))
            return self.fc(x.mean(2))

    return Net()


HAR = tomllib.loads((pathlib.Path(__file__).parents[2] / "models/har-cnn.toml").read_text())["input"]
CASES = {
    "resnet18": (lambda: torchvision.models.resnet18(weights=None), (3, 224, 224), MEAN, STD),
    "resnet50": (lambda: torchvision.models.resnet50(weights=None), (3, 224, 224), MEAN, STD),
    "vgg16_bn": (lambda: torchvision.models.vgg16_bn(weights=None), (3, 224, 224), MEAN, STD),
    "resnet20": (cifar_resnet20, (3, 32, 32), [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
    "har-cnn": (har_cnn, tuple(HAR["shape"]), HAR["mean"], HAR["std"]),
}


def furthest(found, expected):
    return float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))


def run_onnx(path, samples):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: samples})[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--cases", nargs="*", default=list(CASES))
    parser.add_argument("--folder", help="an empty folder to keep the cases in [default: one that goes]")
    parser.add_argument("--no-cargo", action="store_true", help="leave out the comparison by cargo test")
    args = parser.parse_args()
    program = str(pathlib.Path(args.program).resolve())
    wrong = []
    with tempfile.TemporaryDirectory() as passing:
        folder = args.folder or passing
        for seed, case in enumerate(args.cases, 1):
            make, shape, mean, std = CASES[case]
            home = pathlib.Path(folder) / case
            home.mkdir(parents=True)
            torch.manual_seed(seed)
            network = shake(make(), seed)
            samples = torch.rand(2, *shape)
            like = lambda values: torch.tensor(values)[None, :, None, None]
            with torch.no_grad():
                logits = network((samples - like(mean)) / like(std)).numpy()
            save_file(network.state_dict(), home / "state.safetensors")
            del network
            np.save(home / "input.npy", samples.numpy())
            np.save(home / "logits.npy", logits)
            run = lambda *words: subprocess.run([program, *map(str, words)], check=True, cwd=home, stdout=subprocess.PIPE)
            run("import", "state.safetensors", "--out", "model.esm")
            os.remove(home / "state.safetensors")
            run("export", "--model", "model.esm", "--out", "model.onnx")
            off = furthest(run_onnx(home / "model.onnx", samples.numpy()), logits)
            told = f"largest difference {off:.1e}, largest logit {np.abs(logits).max():.2f}"
            print(f"{case}: state dict -> import -> export -> ONNX Runtime: {told}", flush=True)
            wrong += [case] if off > NEAR else []
            os.remove(home / "model.onnx")
        made(program, pathlib.Path(folder))
        if not args.no_cargo:
            command = ["cargo", "test", "--test", "exchange_cases", "models_of_full_size", "--", "--nocapture"]
            done = subprocess.run(command, env=os.environ | {"UNLEARN_EXCHANGE": folder})
            wrong += ["cargo test"] if done.returncode else []
    sys.exit(f"further than {NEAR}: {', '.join(wrong)}" if wrong else 0)


def made(program, folder):
    """A network of the program's own making, thinned, as ONNX Runtime computes it."""
    home = folder / "made"
    home.mkdir()
    run = lambda *words: subprocess.run([program, *words], check=True, cwd=home, stdout=subprocess.PIPE)
    run("train", "--model", "cnn16", "--data", "made", "--epochs", "2", "--out", "dense.esm")
    run("prune", "--model", "dense.esm", "--data", "made", "--sparsity", "0.9", "--rewind", "none", "--epochs", "1",
        "--out", "model.esm")
    run("export", "--model", "model.esm", "--out", "model.onnx")
    samples = np.random.default_rng(1).random((5, 1, 16, 16), dtype=np.float32)
    logits = run_onnx(home / "model.onnx", samples)
    np.save(home / "input.npy", samples)
    np.save(home / "logits.npy", logits)
    print(f"made: thinned cnn16 in ONNX Runtime: largest logit {np.abs(logits).max():.2f}; cargo test compares", flush=True)


main()
