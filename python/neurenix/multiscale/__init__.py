"""Multi-scale models, pooling, fusion and transforms: the twelve classes of the API document, blocks to build others of, and encoders."""

import importlib
from typing import TYPE_CHECKING, Any

from neurenix.multiscale.blur import BlurPool as BlurPool
from neurenix.multiscale.context import ASPP as ASPP, DAPPM as DAPPM, PPM as PPM, SPPF as SPPF
from neurenix.multiscale.convnext import ConvNeXtEncoder as ConvNeXtEncoder, convnext_tiny as convnext_tiny
from neurenix.multiscale.feature_pyramids import (
    FeaturePyramidNetwork as FeaturePyramidNetwork,
    LastLevelMaxPool as LastLevelMaxPool,
    LastLevelP6P7 as LastLevelP6P7,
)
from neurenix.multiscale.fusion import AttentionFusion as AttentionFusion, FeatureFusion as FeatureFusion, ScaleFusion as ScaleFusion
from neurenix.multiscale.gates import AttentionGate as AttentionGate, SqueezeExcitation as SqueezeExcitation
from neurenix.multiscale.laplacian import GaussianPyramid as GaussianPyramid, LaplacianPyramid as LaplacianPyramid
from neurenix.multiscale.models import MultiScaleModel as MultiScaleModel
from neurenix.multiscale.nested import UNetPlusPlus as UNetPlusPlus
from neurenix.multiscale.path_aggregation import BiFPN as BiFPN, PANet as PANet
from neurenix.multiscale.plain_encoder import PlainConvEncoder as PlainConvEncoder
from neurenix.multiscale.pooling import (
    MultiScalePooling as MultiScalePooling,
    PyramidPooling as PyramidPooling,
    SpatialPyramidPooling as SpatialPyramidPooling,
)
from neurenix.multiscale.pyramid import PyramidNetwork as PyramidNetwork
from neurenix.multiscale.residual import ResidualBlock as ResidualBlock
from neurenix.multiscale.resnet import (
    ResNetEncoder as ResNetEncoder,
    resnet18 as resnet18,
    resnet34 as resnet34,
    resnet50 as resnet50,
)
from neurenix.multiscale.scale_space import DifferenceOfGaussians as DifferenceOfGaussians, ScaleSpace as ScaleSpace
from neurenix.multiscale.transforms import (
    MultiScaleTransform as MultiScaleTransform,
    PyramidDownsample as PyramidDownsample,
    Rescale as Rescale,
)
from neurenix.multiscale.unet import UNet as UNet
from neurenix.multiscale.upernet import UPerHead as UPerHead
from neurenix.multiscale.wavelets import CDF53Wavelet as CDF53Wavelet, HaarWavelet as HaarWavelet

if TYPE_CHECKING:
    from neurenix.passes import ReceptiveField as ReceptiveField, receptive_field as receptive_field
    from neurenix.tiling import predict_tiled as predict_tiled

_FROM = {"ReceptiveField": "passes", "predict_tiled": "tiling", "receptive_field": "passes"}  # load when first used


def __getattr__(name: str) -> Any:
    if name in _FROM:
        value = globals()[name] = getattr(importlib.import_module(f"neurenix.{_FROM[name]}"), name)
        return value
    raise AttributeError(f"module 'neurenix.multiscale' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_FROM})
