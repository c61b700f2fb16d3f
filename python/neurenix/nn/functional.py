"""The functional API: PyTorch's names and argument order over :mod:`neurenix.ops`."""

# activation
from neurenix.ops import (
    bilinear as bilinear, celu as celu, cosine_similarity as cosine_similarity, elu as elu, embedding as embedding, gelu as gelu, glu as
    glu, hardshrink as hardshrink, hardsigmoid as hardsigmoid, hardswish as hardswish, hardtanh as hardtanh, leaky_relu as leaky_relu,
    log_softmax as log_softmax, logsigmoid as logsigmoid, mish as mish, normalize as normalize, one_hot as one_hot, pairwise_distance as
    pairwise_distance, prelu as prelu, relu as relu, relu6 as relu6, scaled_dot_product_attention as scaled_dot_product_attention, selu
    as selu, sigmoid as sigmoid, silu as silu, softmax as softmax, softmin as softmin, softplus as softplus, softshrink as softshrink,
    softsign as softsign, tanh as tanh, tanhshrink as tanhshrink, threshold as threshold,
)  # fmt: skip

# conv
from neurenix.ops.conv import (
    conv1d as conv1d, conv2d as conv2d, conv_transpose1d as conv_transpose1d, conv_transpose2d as conv_transpose2d,
)  # fmt: skip
from neurenix.ops.conv_volume import conv3d as conv3d, conv_transpose3d as conv_transpose3d

# linear
from neurenix.ops.linear import linear as linear

# pooling
from neurenix.ops.adaptive_pooling import (
    adaptive_avg_pool1d as adaptive_avg_pool1d, adaptive_avg_pool2d as adaptive_avg_pool2d, adaptive_avg_pool3d as adaptive_avg_pool3d,
    adaptive_max_pool1d as adaptive_max_pool1d, adaptive_max_pool2d as adaptive_max_pool2d,
)  # fmt: skip
from neurenix.ops.pooling import (
    avg_pool1d as avg_pool1d, avg_pool2d as avg_pool2d, avg_pool3d as avg_pool3d, max_pool1d as max_pool1d, max_pool2d as max_pool2d,
)  # fmt: skip
from neurenix.ops.unpooling import max_unpool1d as max_unpool1d, max_unpool2d as max_unpool2d, max_unpool3d as max_unpool3d
from neurenix.ops.pooling_volume import (
    adaptive_max_pool3d as adaptive_max_pool3d, lp_pool1d as lp_pool1d, lp_pool2d as lp_pool2d, lp_pool3d as lp_pool3d, max_pool3d as
    max_pool3d,
)  # fmt: skip
from neurenix.ops.pooling_indices import (
    adaptive_max_pool1d_with_indices as adaptive_max_pool1d_with_indices, adaptive_max_pool2d_with_indices as
    adaptive_max_pool2d_with_indices, adaptive_max_pool3d_with_indices as adaptive_max_pool3d_with_indices, max_pool1d_with_indices as
    max_pool1d_with_indices, max_pool2d_with_indices as max_pool2d_with_indices, max_pool3d_with_indices as max_pool3d_with_indices,
)  # fmt: skip

# resize
from neurenix.ops.resize import (
    interpolate as interpolate,
    upsample as upsample,
    upsample_bilinear as upsample_bilinear,
    upsample_nearest as upsample_nearest,
)

# padding
from neurenix.ops.padding import pad as pad

# pyramids
from neurenix.ops.pyramid import pyramid_expand as pyramid_expand, pyramid_reduce as pyramid_reduce
from neurenix.ops.smoothing import gaussian_blur as gaussian_blur

# sampling
from neurenix.ops.fold import fold as fold, unfold as unfold
from neurenix.ops.sampling import affine_grid as affine_grid, grid_sample as grid_sample
from neurenix.ops.shuffle import channel_shuffle as channel_shuffle, pixel_shuffle as pixel_shuffle, pixel_unshuffle as pixel_unshuffle

# norm
from neurenix.ops.channel_norm import (
    batch_norm as batch_norm, group_norm as group_norm, instance_norm as instance_norm, local_response_norm as local_response_norm,
)  # fmt: skip
from neurenix.ops.layer_norm import layer_norm as layer_norm, rms_norm as rms_norm

# loss
from neurenix.ops.error_loss import (
    huber_loss as huber_loss,
    kl_div as kl_div,
    l1_loss as l1_loss,
    mse_loss as mse_loss,
    multilabel_soft_margin_loss as multilabel_soft_margin_loss,
    poisson_nll_loss as poisson_nll_loss,
    smooth_l1_loss as smooth_l1_loss,
    soft_margin_loss as soft_margin_loss,
)
from neurenix.ops.loss import (
    binary_cross_entropy as binary_cross_entropy,
    binary_cross_entropy_with_logits as binary_cross_entropy_with_logits,
)
from neurenix.ops.dice import dice_loss as dice_loss
from neurenix.ops.boundary_loss import boundary_loss as boundary_loss, signed_distance as signed_distance
from neurenix.ops.focal_loss import focal_loss as focal_loss, sigmoid_focal_loss as sigmoid_focal_loss
from neurenix.ops.lovasz_loss import lovasz_hinge_loss as lovasz_hinge_loss, lovasz_softmax_loss as lovasz_softmax_loss
from neurenix.ops.overlap_loss import (
    focal_tversky_loss as focal_tversky_loss,
    generalized_dice_loss as generalized_dice_loss,
    jaccard_loss as jaccard_loss,
    tversky_loss as tversky_loss,
)
from neurenix.ops.skeleton_loss import soft_cldice_loss as soft_cldice_loss, soft_skeleton as soft_skeleton
from neurenix.ops.ssim import ms_ssim as ms_ssim, ssim as ssim
from neurenix.ops.resize_labels import resize_labels as resize_labels
from neurenix.ops.margin_loss import multi_margin_loss as multi_margin_loss, multilabel_margin_loss as multilabel_margin_loss
from neurenix.ops.class_loss import (
    cross_entropy as cross_entropy,
    nll_loss as nll_loss,
)

from neurenix.ops.distance_loss import (
    cosine_embedding_loss as cosine_embedding_loss,
    gaussian_nll_loss as gaussian_nll_loss,
    hinge_embedding_loss as hinge_embedding_loss,
    margin_ranking_loss as margin_ranking_loss,
    pdist as pdist,
    triplet_margin_loss as triplet_margin_loss,
    triplet_margin_with_distance_loss as triplet_margin_with_distance_loss,
)

# dropout
from neurenix.ops.draws import gumbel_softmax as gumbel_softmax
from neurenix.ops.dropout import (
    alpha_dropout as alpha_dropout, dropout as dropout, dropout1d as dropout1d, dropout2d as dropout2d, dropout3d as dropout3d,
    feature_alpha_dropout as feature_alpha_dropout,
)  # fmt: skip
from neurenix.ops.rrelu import rrelu as rrelu
