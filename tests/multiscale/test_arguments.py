"""Every constructor argument of the classes of neurenix.multiscale: what is refused, with which text, and defaults that stay one's own."""

import numpy as np
import pytest

from neurenix.errors import ArgumentError
from neurenix.multiscale import (
    ASPP,
    DAPPM,
    PPM,
    SPPF,
    AttentionFusion,
    AttentionGate,
    BiFPN,
    BlurPool,
    FeatureFusion,
    FeaturePyramidNetwork,
    LastLevelP6P7,
    MultiScaleModel,
    MultiScalePooling,
    MultiScaleTransform,
    PANet,
    PyramidDownsample,
    PyramidNetwork,
    PyramidPooling,
    Rescale,
    ResidualBlock,
    ScaleFusion,
    SpatialPyramidPooling,
    SqueezeExcitation,
    UNet,
    UNetPlusPlus,
    UPerHead,
)

GOOD = {
    UNet: {"in_channels": 3, "out_channels": 1, "features": [4]},
    PyramidNetwork: {"in_channels": 3, "out_channels": 1, "base_channels": 4},
    MultiScaleModel: {},
    MultiScalePooling: {},
    PyramidPooling: {"in_channels": 4, "out_channels": 2},
    SpatialPyramidPooling: {},
    FeatureFusion: {"in_channels": [2, 3], "out_channels": 4},
    ScaleFusion: {"scales": [1.0, 0.5], "in_channels": 2, "out_channels": 4},
    AttentionFusion: {"in_channels": [2, 3], "out_channels": 4},
    MultiScaleTransform: {},
    Rescale: {},
    PyramidDownsample: {},
    UNetPlusPlus: {"in_channels": 3, "out_channels": 1, "features": [4]},
    AttentionGate: {"in_channels": 4, "gating_channels": 2},
    SqueezeExcitation: {"in_channels": 4},
    ResidualBlock: {"in_channels": 4, "out_channels": 2},
    BlurPool: {"channels": 2},
    FeaturePyramidNetwork: {"in_channels_list": [2, 3], "out_channels": 4},
    LastLevelP6P7: {"in_channels": 2, "out_channels": 4},
    PANet: {"in_channels": [2, 3], "out_channels": 4},
    BiFPN: {"in_channels": [2, 3], "out_channels": 4},
    ASPP: {"in_channels": 2, "atrous_rates": [2], "out_channels": 4},
    SPPF: {"in_channels": 2, "out_channels": 4},
    PPM: {"in_channels": 2, "out_channels": 4},
    DAPPM: {"in_channels": 2, "branch_channels": 3, "out_channels": 4},
    UPerHead: {"in_channels": [2, 3], "out_channels": 4, "channels": 8},
}
INTEGER = [
    (0, "at least 1"),
    (-1, "at least 1"),
    (1.5, "as an integer"),
    ("3", "as an integer"),
    (True, "as an integer"),
    (None, "as an integer"),
    ([3], "as an integer"),
]
INTEGER_OR_NONE = [(value, text) for value, text in INTEGER if value is not None]
INTEGERS = [
    ([], "as a list of integers"),
    (3, "as a list of integers"),
    ("12", "as a list of integers"),
    (None, "as a list of integers"),
    ([0], "at least 1"),
    ([2, 1.5], "as an integer"),
    ([True], "as an integer"),
]
LEVELS = [*INTEGER, (33, "at most 32"), (10**9, "at most 32")]
SCALE = [(v, "as a finite number above 0") for v in (0, -0.5, float("nan"), float("inf"), "1", None, True, [1.0], 1j)]
SCALES = [
    ([], "as a list of numbers"),
    (0.5, "as a list of numbers"),
    ("ab", "as a list of numbers"),
    ([1.0, 0.0], "finite number above 0"),
    ([1.0, "x"], "finite number above 0"),
    ([1, 1.0], "different scales"),
    ([0.3, 0.1 + 0.2], "different scales"),
]
CHOICE = [("nothing", "one of"), (3, "one of"), ("", "one of")]
ACTIVATION = [
    ("relu", "expected final_activation 'sigmoid', 'softmax' or None"),
    (3, "expected final_activation"),
    (True, "expected final_activation"),
]
FLAG = [(1, "True or False"), (None, "True or False"), ("yes", "True or False")]
SHARE = [(v, "as a number from 0 to 1") for v in (-0.1, 1.5, float("nan"), "0.5", None, True)]
NORM = [("layer", "expected norm 'batch', 'group', 'instance' or None"), (3, "expected norm")]
TABLE = {
    UNet: {"in_channels": INTEGER, "out_channels": INTEGER, "features": INTEGERS, "norm": NORM, "final_activation": ACTIVATION},
    PyramidNetwork: {
        "in_channels": INTEGER,
        "out_channels": INTEGER,
        "num_levels": LEVELS,
        "base_channels": INTEGER,
        "norm": NORM,
        "final_activation": ACTIVATION,
    },
    MultiScaleModel: {"scales": SCALES, "fusion_method": [*CHOICE, (None, "one of")], "final_activation": ACTIVATION, "antialias": FLAG},
    MultiScalePooling: {"pool_sizes": INTEGERS, "pool_type": CHOICE},
    PyramidPooling: {"in_channels": INTEGER, "out_channels": INTEGER, "pool_sizes": INTEGERS, "norm": NORM},
    SpatialPyramidPooling: {"num_levels": LEVELS, "pool_type": CHOICE},
    FeatureFusion: {"in_channels": INTEGERS, "out_channels": INTEGER, "fusion_method": CHOICE},
    ScaleFusion: {"scales": SCALES, "in_channels": INTEGER, "out_channels": INTEGER, "fusion_method": CHOICE},
    AttentionFusion: {"in_channels": INTEGERS, "out_channels": INTEGER},
    MultiScaleTransform: {"scales": SCALES, "mode": [*CHOICE, ("area", "one of")], "antialias": FLAG},
    Rescale: {"scale_factor": SCALE, "mode": CHOICE, "antialias": FLAG},
    PyramidDownsample: {"num_levels": LEVELS, "mode": CHOICE, "antialias": FLAG},
    UNetPlusPlus: {
        "in_channels": INTEGER,
        "out_channels": INTEGER,
        "features": INTEGERS,
        "norm": NORM,
        "final_activation": ACTIVATION,
        "deep_supervision": FLAG,
    },
    AttentionGate: {"in_channels": INTEGER, "gating_channels": INTEGER, "inter_channels": INTEGER_OR_NONE, "norm": NORM},
    SqueezeExcitation: {"in_channels": INTEGER, "squeeze_channels": INTEGER_OR_NONE},
    ResidualBlock: {"in_channels": INTEGER, "out_channels": INTEGER, "stride": INTEGER, "norm": NORM, "squeeze_excitation": FLAG},
    BlurPool: {"channels": INTEGER, "kernel_size": INTEGER, "stride": INTEGER},
    FeaturePyramidNetwork: {"in_channels_list": INTEGERS, "out_channels": INTEGER, "norm": NORM},
    LastLevelP6P7: {"in_channels": INTEGER, "out_channels": INTEGER},
    PANet: {"in_channels": INTEGERS, "out_channels": INTEGER, "norm": NORM},
    BiFPN: {
        "in_channels": [*INTEGERS, ([3], "of at least two levels")],
        "out_channels": INTEGER,
        "num_layers": INTEGER,
        "norm": NORM,
    },
    ASPP: {"in_channels": INTEGER, "atrous_rates": INTEGERS, "out_channels": INTEGER, "norm": NORM, "dropout": SHARE},
    SPPF: {"in_channels": INTEGER, "out_channels": INTEGER, "kernel_size": [*INTEGER, (4, "as an odd number")], "norm": NORM},
    PPM: {"in_channels": INTEGER, "out_channels": INTEGER, "pool_sizes": INTEGERS, "norm": NORM},
    DAPPM: {"in_channels": INTEGER, "branch_channels": INTEGER, "out_channels": INTEGER, "norm": NORM},
    UPerHead: {
        "in_channels": INTEGERS,
        "out_channels": INTEGER,
        "channels": INTEGER,
        "pool_sizes": INTEGERS,
        "norm": NORM,
        "dropout": SHARE,
    },
}
CASES = [(kind, name, value, text) for kind, table in TABLE.items() for name, cases in table.items() for value, text in cases]


@pytest.mark.parametrize(("kind", "name", "value", "text"), CASES, ids=lambda v: getattr(v, "__name__", str(v))[:20])
def test_bad_arguments(kind, name, value, text):
    with pytest.raises(ArgumentError) as caught:
        kind(**{**GOOD[kind], name: value})
    message = str(caught.value)
    assert message.startswith(f"{kind.__name__}: expected ")
    assert text in message
    assert name in message
    assert "; " in message


def test_antialias_needs_a_filter():
    for kind in (Rescale, MultiScaleTransform, PyramidDownsample):
        with pytest.raises(ArgumentError, match="expected antialias only with 'bilinear' and 'bicubic'"):
            kind(mode="nearest", antialias=True)


def test_numbers_of_numpy_are_numbers():
    assert UNet(np.int64(1), np.int32(1), [np.int64(4)], norm=None).features == [4]
    assert MultiScaleTransform([np.float32(0.5), np.float64(0.25)]).scales == [0.5, 0.25]
    assert MultiScaleTransform((1, 2)).scales == [1.0, 2.0]


def test_lists_are_copied():
    sizes, scales, channels = [1, 2], [1.0, 0.5], [2, 3]
    made = [MultiScalePooling(sizes), MultiScaleTransform(scales), FeatureFusion(channels, 1)]
    for given in (sizes, scales, channels):
        given.append(9)
    assert made[0].pool_sizes == [1, 2]
    assert made[1].scales == [1.0, 0.5]
    assert made[2].in_channels == [2, 3]
