"""The globals that a checkpoint names for good reason: importing and calling them runs nobody's code.

Whole modules are never listed: `omegaconf._utils.os` and `typing.sys` are names as well.
"""

from __future__ import annotations

import re


def _in(module: str, names: str) -> set[str]:
    return {f"{module}.{name}" for name in names.split()}


_BUILTINS = "bool bytearray bytes complex dict float frozenset int list object range set slice str tuple"
_TYPING = "Any Dict FrozenSet List Literal Mapping Optional Sequence Set Tuple Type Union"
_NODES = (
    "AnyNode BooleanNode BytesNode EnumNode FloatNode IntegerNode InterpolationResultNode PathNode StringNode"
)
_STORAGES = "BFloat16 Bool Byte Char ComplexDouble ComplexFloat Double Float Half Int Long Short"
_DTYPES = (
    "bfloat16 bool complex128 complex64 float16 float32 float64 float8_e4m3fn float8_e5m2 "
    "int16 int32 int64 int8 uint16 uint32 uint64 uint8"
)
_REBUILDS = "parameter parameter_with_state sparse_tensor tensor tensor_v2 tensor_v3"
_NUMPY = (
    "bool_ dtype float16 float32 float64 int16 int32 int64 int8 ndarray uint16 uint32 uint64 uint8 "
    "core.multiarray._reconstruct core.multiarray.scalar "
    "_core.multiarray._reconstruct _core.multiarray.scalar"
)

_NAMES = frozenset(
    _in("builtins", _BUILTINS)
    | _in("__builtin__", f"{_BUILTINS} long unicode xrange")
    | _in("collections", "Counter OrderedDict defaultdict deque")
    | _in("typing", _TYPING)
    | _in("argparse", "Namespace")
    | _in("datetime", "date datetime time timedelta timezone")
    | _in("pathlib", "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath")
    | _in("pathlib._local", "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath")
    | _in("_codecs", "encode")
    | _in("copyreg", "_reconstructor")
    | _in("copy_reg", "_reconstructor")
    | _in("omegaconf.base", "ContainerMetadata Metadata UnionNode")
    | _in("omegaconf", "dictconfig.DictConfig listconfig.ListConfig")
    | _in("omegaconf.nodes", f"{_NODES} ValueNode")
    | _in("numpy", _NUMPY)
    | _in("torch", f"Size device {_DTYPES}")
    | {f"torch.{kind}Storage" for kind in _STORAGES.split()}
    | {f"torch._utils._rebuild_{kind}" for kind in _REBUILDS.split()}
    | _in("torch._tensor", "_rebuild_from_type_v2")
    | _in("torch.storage", "TypedStorage UntypedStorage")
    | _in("torch.nn.parameter", "Buffer Parameter")
    | _in("torch.torch_version", "TorchVersion")
    | _in("torch", "Tensor")
)
_FAMILIES = re.compile(r"torch\.nn\.modules\.[a-z_]+\.[A-Z]\w*|numpy\.dtypes\.[A-Z]\w*DType")


def is_harmless(name: str) -> bool:
    """Whether loading may import and call the global of this name without running anybody's code."""
    return name in _NAMES or _FAMILIES.fullmatch(name) is not None
