"""The kinds of weights there are. What one of them does in its own way is in its module and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping

from .base import Family, Model, Renderer
from .mini import Mini
from .released import Released

FAMILIES: Mapping[str, Family] = {family.name: family for family in (Released(), Mini())}


def family_of(model: Model) -> Family:
    """The family that a model's weights belong to."""
    return FAMILIES[model.family]


__all__ = ["FAMILIES", "Family", "Model", "Renderer", "family_of"]
