"""Makes the files of exchange/: small networks as PyTorch saves and exports them, and its logits.

Run as `python exchange.py` in this folder. Written with Python 3.11, torch 2.15.0 (CPU),
torchvision 0.29.2, onnx 1.23.2, onnxscript and safetensors 0.8.

  CASE.script.onnx   torch.onnx.export(dynamo=False): the exporter that traces
  CASE.dynamo.onnx   torch.onnx.export(dynamo=True): the exporter on torch.export
  CASE.training.onnx as CASE.script.onnx, in training mode, so that batch norms stay nodes
  CASE.safetensors   the state dict
  logits.safetensors CASE/input and CASE/logits: evaluation mode, float64 rounded to float32

Debugging texts of the exporters (stack traces, which hold paths) are taken out; nothing else is.
Weights are random, batch norms have statistics of their own: a fault in any of them is seen.
"""

import pathlib
import warnings

import numpy as np
import onnx
import torch
import torch.nn.functional as F
import torch.nn.utils.prune
from safetensors.torch import save_file
from torch import nn
from torchvision.models.resnet import BasicBlock

HERE = pathlib.Path(__file__).parent / "exchange"


class Cnn(nn.Module):
    """Convolutions with and without batch norms, a pool, a view, two linear layers, a softmax."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(2, 6, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(6, eps=1e-3, momentum=0.2)
        self.conv2 = nn.Conv2d(6, 6, (3, 1), stride=(2, 1), padding=(1, 0), groups=3)
        self.pool = nn.MaxPool2d(2)
        self.drop = nn.Dropout(0.3)
        self.fc1 = nn.Linear(6 * 2 * 4, 10)
        self.fc2 = nn.Linear(10, 5)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = self.drop(x.view(x.size(0), -1))
        return F.log_softmax(self.fc2(F.relu(self.fc1(x))), dim=1)


class Mlp(nn.Module):
    """Rows of features, normalised, through two layers; the second adds its bias by hand."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(12, 16)
        self.weight = nn.Parameter(torch.zeros(16, 4))
        self.shift = nn.Parameter(torch.zeros(4))

    def forward(self, x):
        x = (x - 0.25) / 0.5
        return F.relu(self.fc1(x)) @ self.weight + self.shift


class Cnn1d(nn.Module):
    """Windows of three sensors."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv1d(3, 6, 5, stride=2, padding=2)
        self.bn1 = nn.BatchNorm1d(6)
        self.conv2 = nn.Conv1d(6, 8, 3, padding=1, bias=False)
        self.pool = nn.MaxPool1d(2)
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        x = self.pool(F.relu(self.bn1(self.conv1(x))))
        x = F.relu(self.conv2(x))
        return self.fc(x.mean(dim=2))


class Normalize(nn.Module):
    def __init__(self, mean, std):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, x):
        return (x - self.mean[:, None, None]) / self.std[:, None, None]


class CifarBlock(nn.Module):
    """The block of the CIFAR ResNets; its shortcut has no parameters (option A)."""

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


class CifarResNet(nn.Module):
    """One block a stage, four channels at first, and the normalisation as first layer."""

    def __init__(self):
        super().__init__()
        self.normalize = Normalize([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616])
        self.conv1 = nn.Conv2d(3, 4, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(CifarBlock(4, 4, 1))
        self.layer2 = nn.Sequential(CifarBlock(4, 8, 2))
        self.layer3 = nn.Sequential(CifarBlock(8, 16, 2))
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(self.normalize(x))))
        x = self.layer3(self.layer2(self.layer1(x)))
        x = F.avg_pool2d(x, x.size()[3])
        return self.fc(x.view(x.size(0), -1))


class ResNet(nn.Module):
    """torchvision's blocks, names and order, one block a stage and two channels at first."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 2, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(2)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        before = 2
        for stage, channels in enumerate([2, 4, 8, 16], 1):
            stride, down = (1 if stage == 1 else 2), None
            if stage > 1:
                down = nn.Sequential(
                    nn.Conv2d(before, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
                )
            self.add_module(f"layer{stage}", nn.Sequential(BasicBlock(before, channels, stride, down)))
            before = channels
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(16, 6)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


CASES = {
    "cnn": (Cnn, (2, 8, 8)),
    "mlp": (Mlp, (12,)),
    "cnn1d": (Cnn1d, (3, 16)),
    "cifar": (CifarResNet, (3, 16, 16)),
    "resnet": (ResNet, (3, 32, 32)),
}


def shake(network, seed):
    """Weights and statistics that are all different, and all matter."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, value in network.named_parameters():
            scale = 1.0 if value.dim() == 1 else (2 / value[0].numel()) ** 0.5
            value.copy_(torch.randn(value.shape) * 0.2 + 1 if "bn" in name and name.endswith("weight")
                        else torch.randn(value.shape) * scale * (0.2 if value.dim() == 1 else 1))
        for name, value in network.named_buffers():
            if name.endswith("running_mean"):
                value.copy_(torch.randn(value.shape) * 0.2)
            if name.endswith("running_var"):
                value.copy_(torch.rand(value.shape) + 0.5)


def strip(path):
    """Takes out what exporters write for debugging."""
    model = onnx.load(path, load_external_data=False)
    del model.metadata_props[:]
    model.graph.doc_string = model.doc_string = ""
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in [*model.graph.input, *model.graph.output, *model.graph.initializer]:
        value.doc_string = ""
        del value.metadata_props[:]
    onnx.save(model, path)


def main():
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    HERE.mkdir(exist_ok=True)
    told = {}
    for seed, (case, (make, shape)) in enumerate(CASES.items(), 1):
        network = make()
        shake(network, seed)
        network.eval()
        samples = torch.rand(2, *shape)
        with torch.no_grad():
            # log_softmax is what the importer drops: the stored numbers are before it.
            exact = make().double().eval()
            exact.load_state_dict({k: v.double() if v.is_floating_point() else v for k, v in network.state_dict().items()})
            if case == "cnn":
                exact.forward = lambda x, n=exact: n.fc2(F.relu(n.fc1(n.pool(F.relu(n.conv2(F.relu(n.bn1(n.conv1(x)))))).flatten(1))))
            logits = exact(samples.double()).float()
        told |= {f"{case}/input": samples, f"{case}/logits": logits}
        batch = {"x": {0: "batch"}}
        script, dynamo = HERE / f"{case}.script.onnx", HERE / f"{case}.dynamo.onnx"
        torch.onnx.export(network, (samples,), script, input_names=["x"], dynamo=False,
                          opset_version=17, dynamic_axes=batch if case != "cnn1d" else None)
        torch.onnx.export(network, (samples,), dynamo, input_names=["x"], dynamo=True, verbose=False,
                          dynamic_shapes={"x": {0: torch.export.Dim("batch")}}, external_data=case == "mlp")
        if case == "cnn":
            training = HERE / "cnn.training.onnx"
            torch.onnx.export(network, (samples,), training, input_names=["x"], dynamo=False, opset_version=17,
                              training=torch.onnx.TrainingMode.TRAINING, do_constant_folding=False)
            network.eval()
            # Tracing in training mode has moved the running statistics.
            exact.load_state_dict({k: v.double() if v.is_floating_point() else v for k, v in network.state_dict().items()})
            with torch.no_grad():
                told |= {"training/input": samples.clone(), "training/logits": exact(samples.double()).float()}
            strip(training)
        strip(script)
        strip(dynamo)
        if case in ("cifar", "resnet"):
            save_file(network.state_dict(), HERE / f"{case}.safetensors")
        print(case, "largest logit", float(logits.abs().max()))
    save_file(told, HERE / "logits.safetensors")
    pruned()
    for path in sorted(HERE.iterdir()):
        print(f"{path.stat().st_size:7} {path.name}")


def pruned():
    """A state dict in the middle of torch.nn.utils.prune, in half precision, wrapped."""
    network = CifarResNet()
    shake(network, 9)
    torch.nn.utils.prune.l1_unstructured(network.conv1, "weight", 0.5)
    save_file({f"module.{k}": v.half() if v.is_floating_point() else v for k, v in network.state_dict().items() if "normalize" not in k},
              HERE / "pruned.safetensors")


main()
