"""Names that weights have in other libraries: layouts of known U-Nets, and files that say them for others."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from neurenix.errors import ArgumentError, FileError, StateError
from neurenix.multiscale import PlainConvEncoder, ResNetEncoder, UNet
from neurenix.nn import Module

Beginnings: TypeAlias = dict[str, str]  # ours to theirs; names that end in a dot stand for all that begin so
Names: TypeAlias = str | os.PathLike[str] | Mapping[str, str]


class Layout(NamedTuple):
    """How a library names a U-Net's weights."""

    of: str
    fits: Callable[[UNet], bool]
    beginnings: Callable[[UNet], Beginnings]
    up_first: bool = False  # whether the decoder puts the enlarged map before the skip
    twins: Callable[[str], list[str]] = lambda _: []  # other names for the same weight, in what is written
    left_out: Callable[[str, UNet], bool] = lambda _name, _model: False  # names that are not weights of ours, in what is read


def _is_plain(model: UNet) -> bool:
    return not (model.attention or model.residual or model.squeeze_excitation or model.deep_supervision)


def _is_milesial(model: UNet) -> bool:
    own = hasattr(model, "bottleneck") and (model.downsample, model.upsample, model.activation) == ("max", "transposed", "relu")
    return own and _is_plain(model)


def _milesial(model: UNet) -> Beginnings:
    n = len(model.features)

    def double(ours: str, theirs: str) -> Beginnings:
        pairs = {"first.0.": "0.", "first.1.": "1.", "second.0.": "3.", "second.1.": "4."}
        return {f"{ours}.{a}": f"{theirs}.double_conv.{b}" for a, b in pairs.items()}

    found = double("encoder.0", "inc") | {"head.": "outc.conv."}
    for k in range(1, n + 1):
        found |= double(f"encoder.{k}" if k < n else "bottleneck", f"down{k}.maxpool_conv.1")
        found |= double(f"decoder.{n - k}", f"up{k}.conv") | {f"ups.{n - k}.": f"up{k}.up."}
    return found


def _smp(model: UNet) -> Beginnings:
    n, found = len(model.features), {"encoder.": "encoder.", "head.": "segmentation_head.0."}
    for i in range(n):
        for ours, theirs in (("first", "conv1"), ("second", "conv2")):
            found[f"decoder.{i}.{ours}."] = f"decoder.blocks.{n - 1 - i}.{theirs}."
    return found


def _is_unused(name: str, model: UNet) -> bool:
    """A stage behind the last one that is used: theirs are made whatever ``encoder_depth`` says."""
    stage = re.match(r"encoder\.(layer\d)\.", name)
    return stage is not None and not hasattr(model.encoder, stage[1])


def _is_smp(model: UNet) -> bool:
    ours = isinstance(model.encoder, ResNetEncoder) and (model.upsample, model.activation) == ("nearest", "relu")
    return ours and _is_plain(model)


def _nnunet(model: UNet) -> Beginnings:
    n, found = len(model.features), dict[str, str]()
    for i, stage in enumerate(model.encoder.stages):
        for k in range(len(stage)):
            for ours, theirs in (("0", "conv"), ("1", "norm")):
                found[f"encoder.stages.{i}.{k}.{ours}."] = f"encoder.stages.{i}.0.convs.{k}.{theirs}."
    for i in range(n):
        for k, block in enumerate(("first", "second")):
            for ours, theirs in (("0", "conv"), ("1", "norm")):
                found[f"decoder.{i}.{block}.{ours}."] = f"decoder.stages.{n - 1 - i}.convs.{k}.{theirs}."
        found[f"ups.{i}."] = f"decoder.transpconvs.{n - 1 - i}."
        found[f"heads.{i - 1}." if i else "head."] = f"decoder.seg_layers.{n - 1 - i}."
    return found


def _nnunet_twins(name: str) -> list[str]:
    again = [name.replace(f".{part}.", f".all_modules.{i}.") for i, part in enumerate(("conv", "norm")) if f".{part}." in name]
    return again + [f"decoder.{n}" for n in (name, *again) if name.startswith("encoder.")]


def _is_nnunet(model: UNet) -> bool:
    ours = isinstance(model.encoder, PlainConvEncoder) and (model.upsample, model.activation) == ("transposed", "leaky_relu")
    return ours and not (model.attention or model.residual or model.squeeze_excitation)


LAYOUTS: Final = {
    "smp": Layout("Unet of segmentation_models_pytorch with a ResNet", _is_smp, _smp, True, left_out=_is_unused),
    "nnunet": Layout(
        "PlainConvUNet of nnU-Net",
        _is_nnunet,
        _nnunet,
        True,
        _nnunet_twins,
        lambda name, _: ".all_modules." in name or name.startswith("decoder.encoder."),
    ),
    "milesial": Layout(
        "UNet of milesial/Pytorch-UNet with bilinear=False",
        _is_milesial,
        _milesial,
        left_out=lambda name, _: name == "mask_values",  # grey levels of the classes, which its training puts among the weights
    ),
}


def layout_of(names: Any, model: Module) -> Layout | None:
    """The layout of this name, when the model fits it; ``None`` if ``names`` is something else.

    Raises
    ------
    ArgumentError
        If the model is not the network that the layout is of.
    """
    layout = LAYOUTS.get(names) if isinstance(names, str) else None
    if layout is not None and not (isinstance(model, UNet) and layout.fits(model)):
        raise ArgumentError(
            f"names: expected a model that is the {layout.of}, got {type(model).__name__}; pass a file of names, or build that one"
        )
    return layout


def beginnings(names: Names | None, model: Module) -> Beginnings:
    """Ours to theirs, of a layout's name, a TOML file of ``their = our`` lines, or a mapping of the same.

    Raises
    ------
    ArgumentError
        If it is none of these.
    FileError
        If the file is not of that form.
    """
    if names is None:
        return {}
    layout = layout_of(names, model)
    if layout is not None:
        return layout.beginnings(model)  # type: ignore[arg-type]
    if isinstance(names, Mapping):
        return {str(ours): str(theirs) for theirs, ours in names.items()}
    if isinstance(names, str) and not names.endswith(".toml"):
        raise ArgumentError(f"names: expected one of {sorted(LAYOUTS)}, a .toml file or a mapping, got {names!r}; pass one of them")
    return _read(Path(names))


def _read(path: Path) -> Beginnings:
    try:
        found = _flat(tomllib.loads(path.read_text(encoding="utf-8")), "")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileError(
            f'names: expected TOML with lines like "their.weight" = "our.weight", got {error} in {path}; mend the file'
        ) from None
    wrong = next((k for k, v in found.items() if not isinstance(v, str)), None)
    if wrong is not None or not found:
        raise FileError(
            f'names: expected a text for each name, got {found.get(wrong or "")!r} at {wrong!r} in {path}; write "their.weight" = "our.weight"'
        )
    return {ours: theirs for theirs, ours in found.items()}


def _flat(table: Mapping[str, Any], before: str) -> dict[str, Any]:
    """Tables inside tables as dotted names."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= _flat(value, f"{before}{key}.") if isinstance(value, dict) else {before + key: value}
    return found


def translated(names: list[str], table: Mapping[str, str]) -> dict[str, str]:
    """Each of these names to what the longest beginning in the table makes of it; itself where there is none.

    Raises
    ------
    StateError
        If two become the same.
    """
    found: dict[str, str] = {}
    for name in names:
        fits = [b for b in table if name == b or (b[-1:] in ("", ".") and name.startswith(b))]
        best = max(fits, key=len, default=None)
        found[name] = name if best is None else table[best] + name[len(best) :]
    twins = {v for v in found.values() if list(found.values()).count(v) > 1}
    if twins:
        raise StateError(f"names: expected a name for each weight, got {sorted(twins)[:3]} for several; mend the names")
    return found
