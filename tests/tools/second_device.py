"""A second device for machines without a GPU: tensors say that they are on "second:0" and compute on the CPU.

    with second_device() as device, torch.no_grad():
        image = torch.rand(3, 8, 8).to(DEVICE)
        image + torch.rand(8, 8)  # MixedDevices, as CUDA raises

What CUDA refuses is refused here: an operation on tensors of both devices, but for scalars of no dimensions in
pointwise operations, CPU indices into a tensor of the device, and `copy_`; a CPU generator for numbers on the device;
`numpy()`. What lies on the device is counted, and where it is full torch.OutOfMemoryError is raised. Kernels, and so
results, are the CPU's, whatever the precision. There are no streams and no pinned memory, shapes cannot be changed in
place, and `torch.inference_mode` is `torch.no_grad` meanwhile, for tensors of a subclass cannot be made within it.
Tensors are brought to the device by the thread alone that has entered it.

This module needs torch alone: scripts inside a ComfyUI process import it, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
NAME = "second"
#: what the device holds where nobody says otherwise
CAPACITY_BYTES = 8 << 30

#: a CUDA tensor may be read and written at places that a CPU tensor names
_INDEXED = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default,
            aten._unsafe_index.Tensor}  # fmt: skip
_COPIES = {aten.copy_.default, aten._to_copy.default}
#: operations that add up or line up whole tensors: CUDA takes no CPU scalar among these
_NO_SCALARS = {"cat", "stack", "mm", "bmm", "addmm", "baddbmm", "addmv", "mv", "dot", "convolution", "grid_sampler_2d",
               "grid_sampler_3d", "index_select", "gather", "scatter", "native_batch_norm", "native_layer_norm",
               "native_group_norm", "linear", "embedding", "equal", "linalg_inv_ex", "linalg_solve_ex"}  # fmt: skip
_LISTS = (list, tuple)
_MADE_BY_CHANCE = {"rand", "randn", "randint", "randperm", "normal", "bernoulli", "uniform", "multinomial"}


class MixedDevices(RuntimeError):
    """Tensors of both devices met in one operation."""


# ------------------------------------------------------------------------------------- what torch wants to be told


class _Guard(torch._C._acc.DeviceGuard):
    def type_(self):
        return torch._C._autograd.DeviceType.PrivateUse1


class _Hooks(torch._C._acc.PrivateUse1Hooks):
    def is_available(self):
        return True

    def is_built(self):
        return True

    def has_primary_context(self, index):
        return True


class _Module:
    """Stands as torch.second."""

    is_available = staticmethod(lambda: True)
    device_count = staticmethod(lambda: 1)
    current_device = staticmethod(lambda: 0)
    _is_in_bad_fork = staticmethod(lambda: False)
    manual_seed_all = staticmethod(lambda seed: None)
    # it draws nothing of its own; `torch.random.fork_rng` asks every device that there is
    get_rng_state = staticmethod(lambda device=0: torch.empty(0, dtype=torch.uint8))
    set_rng_state = staticmethod(lambda state, device=0: None)
    get_amp_supported_dtype = staticmethod(lambda: [torch.float16, torch.bfloat16])


_HELD_FOR_TORCH = _Hooks(), _Guard()
torch._C._acc.register_python_privateuseone_hook(_HELD_FOR_TORCH[0])
torch._C._acc.register_python_privateuseone_device_guard(_HELD_FOR_TORCH[1])
torch.utils.rename_privateuse1_backend(NAME)
torch._register_device_module(NAME, _Module)
DEVICE = torch.device(NAME, 0)


# ---------------------------------------------------------------------------------------------------------- memory


class Memory:
    """What lies on the device, counted by storage: `used` and `peak` of `capacity`, in bytes."""

    def __init__(self) -> None:
        self.capacity, self.used, self.peak = CAPACITY_BYTES, 0, 0
        self._users: Counter[int] = Counter()

    def hold(self, tensor: SecondTensor) -> None:
        storage = tensor.held.untyped_storage()
        place, size = storage.data_ptr(), storage.nbytes()
        if not self._users[place]:
            if self.used + size > self.capacity:
                raise torch.OutOfMemoryError(f"{DEVICE} is full: {size} bytes beside {self.used} of {self.capacity}")
            self.used += size
            self.peak = max(self.peak, self.used)
        self._users[place] += 1
        tensor.hold = _Hold(self, place, size)

    @property
    def free(self) -> int:
        return max(0, self.capacity - self.used)

    def leave(self, place: int, size: int) -> None:
        self._users[place] -= 1
        if not self._users[place]:
            del self._users[place]
            self.used -= size


class _Hold:
    """Goes with the tensor that holds a storage."""

    __slots__ = ("memory", "place", "size")

    def __init__(self, memory: Memory, place: int, size: int) -> None:
        self.memory, self.place, self.size = memory, place, size

    def __del__(self) -> None:
        self.memory.leave(self.place, self.size)


memory = Memory()


# --------------------------------------------------------------------------------------------------------- tensors


class SecondTensor(torch.Tensor):
    """A tensor on the device; `held` is the CPU tensor that computes for it."""

    held: torch.Tensor
    hold: _Hold

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> SecondTensor:
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            layout=held.layout, device=DEVICE, requires_grad=False,
        )  # fmt: skip
        made.held = held.detach()
        memory.hold(made)
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})

    def tolist(self):
        return self.held.tolist()

    def numpy(self, *args, **kwargs):
        raise TypeError(f"can't convert {DEVICE} device type tensor to numpy. Use Tensor.cpu() first.")

    def __array__(self, *args, **kwargs):
        return self.numpy()

    def __repr__(self, *args, **kwargs):
        return f"{self.held!r} on {DEVICE}"


class _Dispatch(TorchDispatchMode):
    """Sees the operations that make tensors, and those that bring CPU tensors here."""

    @classmethod
    def _should_skip_dynamo(cls):
        return False  # to skip it would be to import it, for seconds

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


@contextmanager
def second_device(capacity_bytes: int = CAPACITY_BYTES) -> Iterator[torch.device]:
    """Within this the device is there, with room for so many bytes."""
    before = memory.capacity
    memory.capacity, memory.peak = capacity_bytes, memory.used
    mode = torch.autograd.grad_mode.inference_mode
    enter, leave = mode.__enter__, mode.__exit__
    mode.__enter__, mode.__exit__ = _without_gradients, _with_gradients_as_before
    torch._C._set_only_lift_cpu_tensors(True)
    try:
        with _Dispatch():
            yield DEVICE
    finally:
        torch._C._set_only_lift_cpu_tensors(False)
        mode.__enter__, mode.__exit__ = enter, leave
        memory.capacity = before


def _without_gradients(self) -> None:
    self.gradients_before = torch.is_grad_enabled()
    torch.set_grad_enabled(not self.mode)


def _with_gradients_as_before(self, *error) -> None:
    torch.set_grad_enabled(self.gradients_before)


# ------------------------------------------------------------------------------------------------------ operations


def _run(func, args, kwargs):
    leaves = [leaf for value in (*args, *kwargs.values()) for leaf in (value if type(value) in _LISTS else (value,))]
    tensors = [x for x in leaves if isinstance(x, torch.Tensor)]
    ours = [x for x in tensors if isinstance(x, SecondTensor)]
    devices = [x for x in leaves if isinstance(x, torch.device)]
    if not ours and not any(device.type == NAME for device in devices):
        return func(*args, **kwargs)
    name = func._schema.name.removeprefix("aten::")
    if name in ("to", "type_as") and len(args) > 1 and isinstance(args[1], torch.Tensor):
        return _run(aten._to_copy.default, args[:1], {"dtype": args[1].dtype, "device": args[1].device})
    if ours and len(ours) < len(tensors) and func not in _COPIES:
        _refuse_mixture(func, name, args, tensors)
    here = devices[0].type == NAME if devices else bool(ours)
    if func is aten.copy_.default:
        here = isinstance(args[0], SecondTensor)
    if here and name.rstrip("_") in _MADE_BY_CHANCE and any(isinstance(x, torch.Generator) for x in leaves):
        raise RuntimeError(f"Expected a '{NAME}' device type for generator but found 'cpu'")
    on_cpu = {key: _held(value) for key, value in kwargs.items()}
    if on_cpu.get("pin_memory"):
        on_cpu["pin_memory"] = False
    out = func(*map(_held, args), **on_cpu)
    if name.endswith("_") and args and isinstance(args[0], SecondTensor):
        if args[0].held.shape != args[0].shape or args[0].held.stride() != args[0].stride():
            raise NotImplementedError(f"{func} changes a shape in place, which {DEVICE} cannot")
        return args[0]
    if isinstance(kwargs.get("out"), SecondTensor):
        return kwargs["out"]
    return _on_device(out) if here else out


def _held(x):
    if type(x) in _LISTS:
        return [_held(item) for item in x]
    if isinstance(x, SecondTensor):
        return x.held
    return torch.device("cpu") if isinstance(x, torch.device) else x


def _on_device(out):
    if type(out) in _LISTS:
        return type(out)(map(_on_device, out))
    return SecondTensor(out) if isinstance(out, torch.Tensor) else out


def _refuse_mixture(func, name: str, args, tensors) -> None:
    if func in _INDEXED and isinstance(args[0], SecondTensor):
        tensors = [x for x in args[2:3] if isinstance(x, torch.Tensor)]
    foreign = [x for x in tensors if not isinstance(x, SecondTensor) and (x.dim() > 0 or name in _NO_SCALARS)]
    if foreign:
        shapes = [tuple(x.shape) for x in foreign]
        raise MixedDevices(f"{func}: expected all tensors to be on the same device, found {DEVICE} and cpu {shapes}")
