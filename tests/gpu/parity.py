"""How far a CUDA kernel's results may be from its Rust twin's on the same arguments: one entry a row of the kernel table.

``test_rows.py`` holds the kernels to it, docs/coverage.md shows it. A distance is the largest difference of two elements over
the largest magnitude of their array; 0 means the same bits. NaNs and infinities must be in the same places. Integers and masks
are compared by their bits, whatever the entry. Convolutions and products are those of the setting "ieee". To add a row, add its
name here; its arguments come from ``calls.py``.
"""

from __future__ import annotations

from typing import NamedTuple


class Distance(NamedTuple):
    """For float32, for float64, and why it is not 0."""

    f32: float
    f64: float
    why: str


SAME = Distance(0.0, 0.0, "")
SUMS = Distance(2.5e-7, 1e-14, "sums in double are added in another order and rounded once")
IN_ORDER = Distance(2e-6, 4e-15, "sums are added in another order")
IN_PARTS = Distance(2e-6, 4e-15, "0 but for at most 8 outputs, whose sums a CPU adds in sixteen parts along the channels")
PLATFORM = Distance(2.5e-7, 1e-15, "some expressions are the platform's functions in double, rounded once")
CPU_ONLY = Distance(0.0, 0.0, "a CPU's own way: on a GPU another row computes the same")
GPU_ONLY = Distance(0.0, 0.0, "a GPU's own way: on a CPU other rows compute the same; set beside those on a GPU, the same bits")
CHECKSUM = Distance(0.0, 0.0, "not compared: checksums are set beside earlier ones of their own device")
PACKED = Distance(0.0, 0.0, "not compared: each device has its own order of weights; its convolutions are")
OWN = (CHECKSUM, PACKED)

# On tensor cores, of ``TENSORS`` in float32: the relative L2 distance from the exact result under each precision setting.
TENSOR_CORES = {"fast": 1.5e-6, "tf32": 1e-3}
TENSORS = ("conv_weight_gradient", "convolve", "matmul_rows")

_ROWS = {
    SAME: """
        accumulate adadelta_step adagrad_step adam_step adamax_step arg_reduce asgd_step average_bins average_bins_backward average_step bias_gradient cast_into
        clip_norm clip_value compare convolve_depthwise convolve_depthwise_volume copy_into cross_entropy_rows
        cross_entropy_rows_backward cumprod_grad distance_pass dropout_into gather_rows grid_sample_backward
        grid_sample_grid_backward grid_sample_map integer_binary integer_unary label_components layer_norm_backward
        layer_norm_backward_parameters layer_norm_forward likelihood_rows likelihood_rows_backward lion_step loss_elements
        loss_elements_backward loss_elements_sum loss_ratio loss_sum max_pool max_pool_backward max_pool_indices multi_margin_rows
        multilabel_margin_rows nadam_step nonzero_rows norm_apply norm_apply_pooled norm_backward_apply norm_backward_sums
        norm_backward_tables norm_moments norm_running_tables norm_tables nuclear_norm prod_grad random_integers random_normal random_permutation
        random_poisson random_truncated_normal random_uniform resize rmsprop_step rprop_step scale_rows scan scatter_add_rows
        scatter_rows select sgd_step soft_cross_entropy_rows soft_cross_entropy_rows_backward softmax_grad softmax_rows sort_rows
        take take_map take_sum truth_into unpool unpool_add unpool_backward warp_points warp_sample watershed_flood""",
    SUMS: "reduce total_norm",
    IN_ORDER: "conv_weight_gradient matmul_rows",
    IN_PARTS: "convolve",
    PLATFORM: "binary ternary unary",
    CHECKSUM: "checksum",
    PACKED: "conv_pack",
    GPU_ONLY: "conv_weight_gradient_fused convolve_fused max_pool_backward_add",
    CPU_ONLY: """conv_pack_pairs conv_weight_gradient_pairs convolve_pairs convolve_winograd layer_norm_backward_whole winograd_pack
        winograd_weight_gradient""",
}
DISTANCES: dict[str, Distance] = {row: distance for distance, rows in _ROWS.items() for row in rows.split()}
