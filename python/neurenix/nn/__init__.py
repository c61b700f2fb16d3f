"""Layers, containers and losses under PyTorch's names."""

# module
from neurenix.nn import functional as functional, init as init, utils as utils
from neurenix.nn.module import Module as Module
from neurenix.nn.parameter import Buffer as Buffer, Parameter as Parameter
from neurenix.nn.summary import summary as summary

# container
from neurenix.nn.containers import ModuleList as ModuleList, Sequential as Sequential
from neurenix.nn.module_dict import ModuleDict as ModuleDict
from neurenix.nn.parameter_containers import ParameterDict as ParameterDict, ParameterList as ParameterList

# activation
from neurenix.nn.activation import (
    CELU as CELU, ELU as ELU, GELU as GELU, LeakyReLU as LeakyReLU, LogSigmoid as LogSigmoid, Mish as Mish, PReLU as PReLU, RReLU as RReLU, ReLU as
    ReLU, SELU as SELU, SiLU as SiLU, Sigmoid as Sigmoid, Softplus as Softplus, Softsign as Softsign, Tanh as Tanh,
)  # fmt: skip
from neurenix.nn.softmax import (
    GLU as GLU, LogSoftmax as LogSoftmax, Softmax as Softmax, Softmax2d as Softmax2d, Softmin as Softmin,
)  # fmt: skip
from neurenix.nn.thresholds import (
    Hardshrink as Hardshrink, Hardsigmoid as Hardsigmoid, Hardswish as Hardswish, Hardtanh as Hardtanh, ReLU6 as ReLU6, Softshrink as
    Softshrink, Tanhshrink as Tanhshrink, Threshold as Threshold,
)  # fmt: skip

# conv
from neurenix.nn.conv import (
    Conv1d as Conv1d, Conv2d as Conv2d, Conv3d as Conv3d, ConvTranspose1d as ConvTranspose1d, ConvTranspose2d as ConvTranspose2d,
    ConvTranspose3d as ConvTranspose3d,
)  # fmt: skip
from neurenix.nn.conv_norm_act import ConvNormAct as ConvNormAct

# linear
from neurenix.nn.linear import (
    Bilinear as Bilinear, Flatten as Flatten, Identity as Identity, Linear as Linear, Unflatten as Unflatten,
)  # fmt: skip
from neurenix.nn.distance import CosineSimilarity as CosineSimilarity, PairwiseDistance as PairwiseDistance
from neurenix.nn.embedding import Embedding as Embedding
from neurenix.nn.attention import MultiheadAttention as MultiheadAttention

# pooling
from neurenix.nn.pooling import (
    AvgPool1d as AvgPool1d, AvgPool2d as AvgPool2d, AvgPool3d as AvgPool3d, MaxPool1d as MaxPool1d, MaxPool2d as MaxPool2d, MaxPool3d as
    MaxPool3d, MaxUnpool1d as MaxUnpool1d, MaxUnpool2d as MaxUnpool2d, MaxUnpool3d as MaxUnpool3d,
)  # fmt: skip
from neurenix.nn.adaptive_pooling import (
    AdaptiveAvgPool1d as AdaptiveAvgPool1d, AdaptiveAvgPool2d as AdaptiveAvgPool2d, AdaptiveAvgPool3d as AdaptiveAvgPool3d,
    AdaptiveMaxPool1d as AdaptiveMaxPool1d, AdaptiveMaxPool2d as AdaptiveMaxPool2d, AdaptiveMaxPool3d as AdaptiveMaxPool3d,
    LPPool1d as LPPool1d, LPPool2d as LPPool2d, LPPool3d as LPPool3d,
)  # fmt: skip

# resize
from neurenix.nn.upsampling import (
    ChannelShuffle as ChannelShuffle, Fold as Fold, PixelShuffle as PixelShuffle, PixelUnshuffle as PixelUnshuffle, Unfold as Unfold,
    Upsample as Upsample, UpsamplingBilinear2d as UpsamplingBilinear2d, UpsamplingNearest2d as UpsamplingNearest2d,
)  # fmt: skip

# padding
from neurenix.nn.padding import (
    CircularPad1d as CircularPad1d, CircularPad2d as CircularPad2d, ConstantPad1d as ConstantPad1d, ConstantPad2d as ConstantPad2d,
    ReflectionPad1d as ReflectionPad1d, ReflectionPad2d as ReflectionPad2d, ReplicationPad1d as ReplicationPad1d,
    ReplicationPad2d as ReplicationPad2d, ZeroPad1d as ZeroPad1d, ZeroPad2d as ZeroPad2d,
    CircularPad3d as CircularPad3d, ConstantPad3d as ConstantPad3d, ReflectionPad3d as ReflectionPad3d, ReplicationPad3d as
    ReplicationPad3d, ZeroPad3d as ZeroPad3d,
)  # fmt: skip

# norm
from neurenix.nn.instance_norm import (
    InstanceNorm1d as InstanceNorm1d, InstanceNorm2d as InstanceNorm2d, InstanceNorm3d as InstanceNorm3d,
)  # fmt: skip
from neurenix.nn.norm import (
    BatchNorm1d as BatchNorm1d, BatchNorm2d as BatchNorm2d, BatchNorm3d as BatchNorm3d, GroupNorm as GroupNorm,
)  # fmt: skip
from neurenix.nn.sample_norm import LayerNorm as LayerNorm, LocalResponseNorm as LocalResponseNorm, RMSNorm as RMSNorm

# loss
from neurenix.nn.loss import (
    BCELoss as BCELoss, BCEWithLogitsLoss as BCEWithLogitsLoss, CrossEntropyLoss as CrossEntropyLoss, HuberLoss as
    HuberLoss, KLDivLoss as KLDivLoss, L1Loss as L1Loss, MSELoss as MSELoss, NLLLoss as NLLLoss, PoissonNLLLoss as PoissonNLLLoss,
    SmoothL1Loss as SmoothL1Loss,
)  # fmt: skip
from neurenix.nn.margin_loss import (
    MultiLabelMarginLoss as MultiLabelMarginLoss, MultiLabelSoftMarginLoss as MultiLabelSoftMarginLoss, MultiMarginLoss as MultiMarginLoss,
    SoftMarginLoss as SoftMarginLoss,
)  # fmt: skip
from neurenix.nn.combined_loss import CombinedLoss as CombinedLoss, DeepSupervisionLoss as DeepSupervisionLoss
from neurenix.nn.overlap_loss import (
    DiceLoss as DiceLoss, FocalTverskyLoss as FocalTverskyLoss, GeneralizedDiceLoss as GeneralizedDiceLoss, JaccardLoss as JaccardLoss,
    SoftClDiceLoss as SoftClDiceLoss, TverskyLoss as TverskyLoss,
)  # fmt: skip
from neurenix.nn.segmentation_loss import (
    BoundaryLoss as BoundaryLoss, FocalLoss as FocalLoss, LovaszHingeLoss as LovaszHingeLoss, LovaszSoftmaxLoss as LovaszSoftmaxLoss,
    MSSSIMLoss as MSSSIMLoss, SigmoidFocalLoss as SigmoidFocalLoss, SSIMLoss as SSIMLoss,
)  # fmt: skip

from neurenix.nn.distance_loss import (
    CosineEmbeddingLoss as CosineEmbeddingLoss, GaussianNLLLoss as GaussianNLLLoss, HingeEmbeddingLoss as HingeEmbeddingLoss,
    MarginRankingLoss as MarginRankingLoss, TripletMarginLoss as TripletMarginLoss, TripletMarginWithDistanceLoss as
    TripletMarginWithDistanceLoss,
)  # fmt: skip

# dropout
from neurenix.nn.dropout import (
    AlphaDropout as AlphaDropout, Dropout as Dropout, Dropout1d as Dropout1d, Dropout2d as Dropout2d, Dropout3d as Dropout3d,
    FeatureAlphaDropout as FeatureAlphaDropout,
)  # fmt: skip
