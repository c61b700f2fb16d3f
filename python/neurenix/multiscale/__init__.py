"""Multi-scale models, pooling, fusion and transforms: the twelve classes of the API document."""

from neurenix.multiscale.fusion import AttentionFusion as AttentionFusion, FeatureFusion as FeatureFusion, ScaleFusion as ScaleFusion
from neurenix.multiscale.models import MultiScaleModel as MultiScaleModel
from neurenix.multiscale.pooling import (
    MultiScalePooling as MultiScalePooling,
    PyramidPooling as PyramidPooling,
    SpatialPyramidPooling as SpatialPyramidPooling,
)
from neurenix.multiscale.pyramid import PyramidNetwork as PyramidNetwork
from neurenix.multiscale.transforms import (
    MultiScaleTransform as MultiScaleTransform,
    PyramidDownsample as PyramidDownsample,
    Rescale as Rescale,
)
from neurenix.multiscale.unet import UNet as UNet
