"""How well a prediction agrees with the truth, and the simple methods a network has to beat.

Everything takes NumPy arrays or tensors and computes on the CPU: plain functions for one image, classes that gather over batches.
"""

# pixels
from neurenix.metrics._inputs import as_mask as as_mask, host as host
from neurenix.metrics._metric import Metric as Metric
from neurenix.metrics.confusion import dice as dice, iou as iou

# objects and segments
from neurenix.metrics.objects import panoptic_quality as panoptic_quality
from neurenix.metrics.partitions import (
    AdaptedRandError as AdaptedRandError,
    VariationOfInformation as VariationOfInformation,
    adapted_rand_error as adapted_rand_error,
    variation_of_information as variation_of_information,
)

# what to beat
from neurenix.metrics.thresholds import best_threshold as best_threshold, otsu_threshold as otsu_threshold
