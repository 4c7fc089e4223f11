"""Makes torchvision_names.txt: names and shapes of what torchvision's networks hold.

Run as `python torchvision_names.py` in this folder. Written with Python 3.11 and torchvision 0.29.2.
One line a tensor: network, name, dimensions. Counters of batches are left out.
"""

import torchvision

with open("torchvision_names.txt", "w", encoding="ascii", newline="\n") as file:
    for network in ("resnet18", "resnet50", "vgg16_bn"):
        for name, tensor in getattr(torchvision.models, network)().state_dict().items():
            if not name.endswith(".num_batches_tracked"):
                print(network, name, *tensor.shape, file=file)
