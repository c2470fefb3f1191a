"""The kinds of weights there are. What one of them does in its own way is in its module and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping

from .base import Family, Model, Renderer
from .mini import Mini
from .released import Released

#: by the names that records and files have for them
FAMILIES: Mapping[str, Family] = {family.name: family for family in (Released(), Mini())}


__all__ = ["FAMILIES", "Family", "Model", "Renderer"]
