"""How well a prediction agrees with the truth, and the simple methods a network has to beat.

Everything takes NumPy arrays or tensors and computes on the CPU: plain functions for one image, classes that gather over batches.
"""

# pixels
from neurenix.metrics._metric import Metric as Metric
from neurenix.metrics.confusion import (
    ConfusionMatrix as ConfusionMatrix, Dice as Dice, FScore as FScore, IoU as IoU, PixelAccuracy as PixelAccuracy, Precision as
    Precision, Recall as Recall, confusion_matrix as confusion_matrix, dice as dice, f_score as f_score, iou as iou, pixel_accuracy as
    pixel_accuracy, precision as precision, recall as recall,
)  # fmt: skip
from neurenix.metrics.quality import PSNR as PSNR, SSIM as SSIM, psnr as psnr, structural_similarity as structural_similarity
from neurenix.metrics.ranking import (
    AveragePrecision as AveragePrecision, ROCAUC as ROCAUC, average_precision as average_precision, roc_auc as roc_auc,
)  # fmt: skip

# surfaces
from neurenix.metrics.surfaces import (
    AverageSurfaceDistance as AverageSurfaceDistance, HausdorffDistance as HausdorffDistance, SurfaceDice as SurfaceDice,
    average_surface_distance as average_surface_distance, hausdorff_distance as hausdorff_distance, surface_dice as surface_dice,
)  # fmt: skip

# objects and segments
from neurenix.metrics.objects import (
    ObjectAveragePrecision as ObjectAveragePrecision, ObjectF1 as ObjectF1, PanopticQuality as PanopticQuality,
    object_average_precision as object_average_precision, object_f1 as object_f1, panoptic_quality as panoptic_quality,
)  # fmt: skip
from neurenix.metrics.partitions import (
    AdaptedRandError as AdaptedRandError, VariationOfInformation as VariationOfInformation, adapted_rand_error as adapted_rand_error,
    variation_of_information as variation_of_information,
)  # fmt: skip

# what to beat
from neurenix.metrics.thresholds import best_threshold as best_threshold, otsu_threshold as otsu_threshold
