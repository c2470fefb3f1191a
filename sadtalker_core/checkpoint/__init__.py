"""A weights file comes in, named tensors go out. This room knows no net."""
