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
_STORAGES = (
    "BFloat16 Bool Byte Char ComplexDouble ComplexFloat Double Float Half Int Long QInt32 QInt8 QUInt8 Short"
)
_DTYPES = (
    "bfloat16 bool complex128 complex32 complex64 float16 float32 float64 float4_e2m1fn_x2 float8_e4m3fn "
    "float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu int16 int32 int64 int8 qint32 qint8 quint8 "
    "uint16 uint32 uint64 uint8"
)
_SCHEMES = "per_channel_affine per_channel_affine_float_qparams per_tensor_affine"
_REBUILDS = (
    "device_tensor_from_cpu_tensor device_tensor_from_numpy meta_tensor_no_storage nested_tensor parameter "
    "parameter_with_state qtensor sparse_csr_tensor sparse_tensor tensor tensor_v2 tensor_v3 wrapper_subclass"
)
_NUMPY = (
    "bool_ dtype float16 float32 float64 int16 int32 int64 int8 ndarray uint16 uint32 uint64 uint8 "
    "core.multiarray._reconstruct core.multiarray.scalar "
    "_core.multiarray._reconstruct _core.multiarray.scalar"
)

_ACCEPTED = frozenset(  # with weights_only=True, too; from torch 2.13's _weights_only_unpickler
    _in("torch", f"Size Tensor device {_DTYPES} {_SCHEMES}")
    | {f"torch.{kind}Storage" for kind in _STORAGES.split()}
    | {f"torch._utils._rebuild_{kind}" for kind in _REBUILDS.split()}
    | _in("torch._tensor", "_rebuild_from_type_v2")
    | _in("torch.storage", "TypedStorage UntypedStorage")
    | _in("torch.nn.parameter", "Parameter")
    | {"torch.serialization._get_layout"}
    | _in("_codecs", "encode")
    | _in("collections", "Counter OrderedDict")
    | _in("builtins", "bytearray complex set")
    | _in("__builtin__", "bytearray complex set")
)
_NAMES = _ACCEPTED | (
    _in("builtins", _BUILTINS)
    | _in("__builtin__", f"{_BUILTINS} long unicode xrange")
    | _in("collections", "defaultdict deque")
    | _in("typing", _TYPING)
    | _in("argparse", "Namespace")
    | _in("datetime", "date datetime time timedelta timezone")
    | _in("pathlib", "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath")
    | _in("pathlib._local", "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath")
    | _in("copyreg", "_reconstructor")
    | _in("copy_reg", "_reconstructor")
    | _in("omegaconf.base", "ContainerMetadata Metadata UnionNode")
    | _in("omegaconf", "dictconfig.DictConfig listconfig.ListConfig")
    | _in("omegaconf.nodes", f"{_NODES} ValueNode")
    | _in("numpy", _NUMPY)
    | _in("torch.torch_version", "TorchVersion")
    | _in("torch.nn.parameter", "Buffer")
)
_FAMILIES = re.compile(r"torch\.nn\.modules\.[a-z_]+\.[A-Z]\w*|numpy\.dtypes\.[A-Z]\w*DType")


def is_harmless(name: str) -> bool:
    """Whether loading may import and call the global of this name without running anybody's code."""
    return name in _NAMES or _FAMILIES.fullmatch(name) is not None


def is_accepted(name: str) -> bool:
    """Whether `torch.load` takes the global by default, since torch 2.6: as weights only."""
    return name in _ACCEPTED
