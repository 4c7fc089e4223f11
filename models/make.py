"""Writes the descriptions of this folder that repeat one block many times.

Run as `python make.py` in this folder; Python 3.9 or later and no packages. What it writes is committed, so
that building needs no Python. A file says in its first line that it comes from here. The short ones
beside them are written by hand.
"""

import json

CIFAR = {"shape": [3, 32, 32], "mean": "[0.4914, 0.4822, 0.4465]", "std": "[0.2470, 0.2435, 0.2616]"}
IMAGENET = {"shape": [3, 224, 224], "mean": "[0.485, 0.456, 0.406]", "std": "[0.229, 0.224, 0.225]"}
SPECTROGRAM = {"shape": [1, 40, 64], "mean": "[0.0]", "std": "[1.0]"}


class Text:
    """A description, operation by operation."""

    def __init__(self, name, comment, summary, sample):
        self.name = name
        self.lines = ["# Made by make.py."] + ["# " + line for line in comment]
        self.lines += [f'name = "{name}"', f'summary = "{summary}"', "", "[input]"]
        self.lines += [f"{key} = {value}" for key, value in sample.items()]

    def op(self, name, kind, **keys):
        """Adds an operation and returns its name. A key that is None is left out."""
        self.lines += ["", "[[op]]", f'name = "{name}"', f'kind = "{kind}"']
        for key, value in keys.items():
            key = {"from_": "from"}.get(key, key)
            if value is not None:
                # JSON writes numbers, names, lists of them and booleans as TOML does.
                self.lines.append(f"{key} = {json.dumps(value)}")
        return name

    def head(self):
        """The mean of each channel, and the logits."""
        self.op("pool", "global-avg-pool")
        self.op("fc", "linear", outputs="classes")

    def write(self):
        with open(f"{self.name}.toml", "w", encoding="ascii", newline="\n") as file:
            file.write("\n".join(self.lines) + "\n")


def basic(text, block, filters, stride, source):
    """Two 3x3 convolutions beside the shortcut."""
    text.op(f"{block}.conv1", "conv", filters=filters, kernel=3, stride=stride, padding=1, from_=source)
    text.op(f"{block}.bn1", "batch-norm")
    text.op(f"{block}.relu1", "relu")
    text.op(f"{block}.conv2", "conv", filters=filters, kernel=3, padding=1)
    return text.op(f"{block}.bn2", "batch-norm"), filters


def bottleneck(text, block, filters, stride, source):
    """1x1, 3x3 with the stride, 1x1 to four times as many channels."""
    text.op(f"{block}.conv1", "conv", filters=filters, kernel=1, from_=source)
    text.op(f"{block}.bn1", "batch-norm")
    text.op(f"{block}.relu1", "relu")
    text.op(f"{block}.conv2", "conv", filters=filters, kernel=3, stride=stride, padding=1)
    text.op(f"{block}.bn2", "batch-norm")
    text.op(f"{block}.relu2", "relu")
    text.op(f"{block}.conv3", "conv", filters=4 * filters, kernel=1)
    return text.op(f"{block}.bn3", "batch-norm"), 4 * filters


def residual(text, block_of, blocks, widths, given, source, project):
    """The stages of a residual network, over the operation `source` of `given` channels."""
    for stage, (count, filters) in enumerate(zip(blocks, widths), 1):
        for index in range(count):
            block = f"layer{stage}.{index}"
            stride = 2 if stage > 1 and index == 0 else 1
            end, channels = block_of(text, block, filters, stride, source)
            short = source
            if stride > 1 or channels != given:
                if project:
                    short = text.op(f"{block}.downsample.0", "conv", filters=channels, kernel=1,
                                    stride=stride if stride > 1 else None, from_=source)
                    short = text.op(f"{block}.downsample.1", "batch-norm")
                else:
                    short = text.op(f"{block}.shortcut", "pad-shortcut", from_=source,
                                    stride=stride, channels=channels)
            text.op(f"{block}.add", "add", from_=[end, short])
            last = "relu3" if block_of is bottleneck else "relu2"
            source, given = text.op(f"{block}.{last}", "relu"), channels


def narrow_stem(text, filters):
    text.op("conv1", "conv", filters=filters, kernel=3, padding=1)
    text.op("bn1", "batch-norm")
    return text.op("relu1", "relu")


def wide_stem(text):
    text.op("conv1", "conv", filters=64, kernel=7, stride=2, padding=3)
    text.op("bn1", "batch-norm")
    text.op("relu1", "relu")
    return text.op("pool1", "max-pool", kernel=3, stride=2, padding=1)


def cifar_resnets():
    for depth in (20, 44, 56):
        text = Text(
            f"resnet{depth}",
            [
                "He, Zhang, Ren, Sun, Deep Residual Learning for Image Recognition, CVPR 2016, section 4.2. Names are",
                f"those of the resnet{depth}s of Unlearn-Sparse. Mean and standard deviation are those of CIFAR-10.",
            ],
            f"ResNet-{depth} for 32x32 colour images, shortcuts without parameters (option A).",
            CIFAR,
        )
        residual(text, basic, [(depth - 2) // 6] * 3, [16, 32, 64], 16, narrow_stem(text, 16), False)
        text.head()
        text.write()


def resnets():
    for depth, block_of, blocks in ((18, basic, [2, 2, 2, 2]), (50, bottleneck, [3, 4, 6, 3])):
        source = [
            "He, Zhang, Ren, Sun, Deep Residual Learning for Image Recognition, CVPR 2016. Names are those of",
        ]
        small = Text(
            f"resnet{depth}",
            source + ["torchvision. Mean and standard deviation are those of CIFAR-10."],
            f"ResNet-{depth} for 32x32 colour images: the first convolution is 3x3 with stride 1, no max-pool follows.",
            CIFAR,
        )
        residual(small, block_of, blocks, [64, 128, 256, 512], 64, narrow_stem(small, 64), True)
        large = Text(
            f"resnet{depth}-imagenet",
            source
            + [
                "torchvision, whose form it has: the stride of a bottleneck is in its 3x3 convolution. Mean and",
                "standard deviation are those of ImageNet.",
            ],
            f"ResNet-{depth} for 224x224 colour images: the first convolution is 7x7 with stride 2, a max-pool follows.",
            IMAGENET,
        )
        residual(large, block_of, blocks, [64, 128, 256, 512], 64, wide_stem(large), True)
        for text in (small, large):
            text.head()
            text.write()


def vgg_features(text, bias, pools):
    """Thirteen convolutions, numbered as in torchvision's `features`."""
    at = 0
    for stage, (count, filters) in enumerate([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)], 1):
        for _ in range(count):
            text.op(f"features.{at}", "conv", filters=filters, kernel=3, padding=1, bias=bias)
            text.op(f"features.{at + 1}", "batch-norm")
            text.op(f"features.{at + 2}", "relu")
            at += 3
        if stage <= pools:
            text.op(f"features.{at}", "max-pool", kernel=2)
            at += 1


def vggs():
    paper = "Simonyan, Zisserman, Very Deep Convolutional Networks, ICLR 2015, as in"
    text = Text(
        "vgg16-bn",
        [
            f"{paper} Unlearn-Sparse: convolutions",
            "without bias, four max-pools, the last leaving 2x2. Mean and standard deviation are those of CIFAR-10.",
        ],
        "VGG-16 with batch normalisation for 32x32 colour images, head 2048-256-256-classes.",
        CIFAR,
    )
    vgg_features(text, None, 4)
    for at, outputs in ((0, 256), (2, 256), (4, "classes")):
        text.op(f"classifier.{at}", "linear", outputs=outputs)
        if outputs != "classes":
            text.op(f"classifier.{at + 1}", "relu")
    text.write()

    text = Text(
        "vgg16-bn-lth",
        [
            f"{paper} Unlearn-Sparse under",
            "the name vgg16_bn_lth: the form in which work on lottery tickets prunes it. Convolutions have a bias, and",
            "one linear layer reads the mean of the last 2x2. Mean and standard deviation are those of CIFAR-10.",
        ],
        "VGG-16 with batch normalisation for 32x32 colour images, head 512-classes.",
        CIFAR,
    )
    vgg_features(text, True, 4)
    text.op("avgpool", "global-avg-pool")
    text.op("classifier", "linear", outputs="classes")
    text.write()

    text = Text(
        "vgg16-bn-imagenet",
        [
            f"{paper} torchvision, whose names",
            "these are. Its pool to 7x7 does nothing at this size, and its dropout (classifier.2 and .5) is left out.",
            "Mean and standard deviation are those of ImageNet.",
        ],
        "VGG-16 with batch normalisation for 224x224 colour images, head 25088-4096-4096-classes.",
        IMAGENET,
    )
    vgg_features(text, True, 5)
    for at, outputs in ((0, 4096), (3, 4096), (6, "classes")):
        text.op(f"classifier.{at}", "linear", outputs=outputs)
        if outputs != "classes":
            text.op(f"classifier.{at + 1}", "relu")
    text.write()


def keywords():
    text = Text(
        "kws-dscnn",
        [
            "Zhang, Suda, Lai, Chandra, Hello Edge: Keyword Spotting on Microcontrollers, 2017: the small DS-CNN. Its",
            "first convolution saw 4 of 10 coefficients by 10 of 49 frames in steps of 2; here it sees 8 of 40 mel bands",
            "by 10 of 64 frames, in steps of 4 and 2. A depthwise filter has nine weights and keeps them: pruning thins",
            "the rest. The features come normalised.",
        ],
        "Keyword spotting over log-mel spectrograms, 40 bands by 64 frames: depthwise separable convolutions.",
        SPECTROGRAM,
    )
    text.op("conv1", "conv", filters=64, kernel=[8, 10], stride=[4, 2], padding=[2, 4])
    text.op("bn1", "batch-norm")
    text.op("relu1", "relu")
    for block in range(1, 5):
        text.op(f"block{block}.depthwise", "conv", filters=64, kernel=3, padding=1, groups=64, prunable=False)
        text.op(f"block{block}.bn1", "batch-norm")
        text.op(f"block{block}.relu1", "relu")
        text.op(f"block{block}.pointwise", "conv", filters=64, kernel=1)
        text.op(f"block{block}.bn2", "batch-norm")
        text.op(f"block{block}.relu2", "relu")
    text.head()
    text.write()


def transformer_block(text, names, width, heads, ratio, source, **window):
    """Attention and two layers of every token, each behind a norm and beside a shortcut. `names` are those of
    the norms, the projections and the attention, the layers and the sums."""
    norm1, qkv, attn, proj, add1, norm2, up, gelu, down, add2 = names
    text.op(norm1, "layer-norm", from_=source)
    text.op(qkv, "conv", filters=3 * width, kernel=1, bias=True)
    text.op(attn, "attention", heads=heads, **window)
    text.op(proj, "conv", filters=width, kernel=1, bias=True)
    source = text.op(add1, "add", from_=[proj, source])
    text.op(norm2, "layer-norm")
    text.op(up, "conv", filters=ratio * width, kernel=1, bias=True)
    text.op(gelu, "gelu")
    text.op(down, "conv", filters=width, kernel=1, bias=True)
    return text.op(add2, "add", from_=[down, source])


def vits():
    text = Text(
        "vit-tiny",
        [
            "Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021, in the width and heads of DeiT-Ti (Touvron",
            "et al., Training Data-Efficient Image Transformers, ICML 2021): six blocks instead of twelve, layers of",
            "twice the width instead of four times, patches of 4x4, and the mean of the tokens instead of one for the",
            "class (Beyer, Zhai, Kolesnikov, Better Plain ViT Baselines, 2022). No dropout. Mean and standard",
            "deviation are those of CIFAR-10.",
        ],
        "Vision transformer for 32x32 colour images: 64 tokens of 192 features, six blocks, three heads.",
        CIFAR,
    )
    text.op("patches", "conv", filters=192, kernel=4, stride=4, bias=True)
    source = text.op("positions", "position")
    parts = ("norm1", "qkv", "attention", "projection", "add1", "norm2", "mlp1", "gelu", "mlp2", "add2")
    for block in range(1, 7):
        source = transformer_block(text, [f"block{block}.{part}" for part in parts], 192, 3, 2, source)
    text.op("norm", "layer-norm")
    text.head()
    text.write()


def swins():
    text = Text(
        "swin-t",
        [
            "Liu et al., Swin Transformer: Hierarchical Vision Transformer using Shifted Windows, ICCV 2021. Names are",
            "those of torchvision, but a table of relative positions is the bias of its attention. Its stochastic",
            "depth, which drops blocks while it learns, is left out. Mean and standard deviation are those of ImageNet.",
        ],
        "Swin-T for 224x224 colour images: attention in windows of 7x7, moved by 3 in every other block.",
        IMAGENET,
    )
    text.op("features.0.0", "conv", filters=96, kernel=4, stride=4, bias=True)
    source = text.op("features.0.2", "layer-norm")
    parts = ("norm1", "attn.qkv", "attn", "attn.proj", "add1", "norm2", "mlp.0", "mlp.1", "mlp.3", "add2")
    for stage, (blocks, heads) in enumerate(zip([2, 2, 6, 2], [3, 6, 12, 24])):
        width = 32 * heads
        if stage > 0:
            merging = f"features.{2 * stage}"
            text.op(f"{merging}.squares", "space-to-depth", side=2)
            text.op(f"{merging}.norm", "layer-norm")
            source = text.op(f"{merging}.reduction", "conv", filters=width, kernel=1)
        for block in range(blocks):
            names = [f"features.{2 * stage + 1}.{block}.{part}" for part in parts]
            # In the last stage one window is the whole plane.
            shift = 3 if block % 2 == 1 and stage < 3 else None
            source = transformer_block(text, names, width, heads, 4, source, window=7, shift=shift)
    text.op("norm", "layer-norm")
    text.op("avgpool", "global-avg-pool")
    text.op("head", "linear", outputs="classes")
    text.write()


cifar_resnets()
resnets()
vits()
swins()
vggs()
keywords()
