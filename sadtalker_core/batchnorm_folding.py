"""A convolution and the batch norm behind it come in, one convolution that does the work of both goes out."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def fold_batchnorm(conv: Any, norm: Any) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that does what `conv` and the batch norm in eval mode after it do."""
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    weight = conv.weight * scale.view(-1, *[1] * (conv.weight.ndim - 1))
    bias = -norm.running_mean if conv.bias is None else conv.bias - norm.running_mean
    return weight, bias * scale + norm.bias
