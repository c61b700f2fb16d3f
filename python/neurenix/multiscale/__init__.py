"""Multi-scale models, pooling, fusion and transforms: the twelve classes of the API document, blocks to build others of, and encoders."""

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
from neurenix.passes import ReceptiveField as ReceptiveField, receptive_field as receptive_field
from neurenix.tiling import predict_tiled as predict_tiled
