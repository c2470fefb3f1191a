"""A convolution and the batch norm behind it come in, one convolution that does the work of both goes out."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def fold_batchnorm(conv: Any, norm: Any) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that does what `conv` and the batch norm in eval mode after it do. Worked out in
    float32, in the precision of its weights.
    """
    precision = conv.weight.dtype
    scale = norm.weight.float() / (norm.running_var.float() + norm.eps).sqrt()
    weight = conv.weight.float() * scale.view(-1, *[1] * (conv.weight.ndim - 1))
    bias = -norm.running_mean.float() if conv.bias is None else conv.bias.float() - norm.running_mean.float()
    return weight.to(precision), (bias * scale + norm.bias.float()).to(precision)
