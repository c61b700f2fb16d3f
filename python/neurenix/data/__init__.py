"""Datasets, the loader that makes batches of them, and transforms of images and masks."""

from neurenix.data.collate import collate as collate, pad_collate as pad_collate
from neurenix.data.crops import CenterCrop as CenterCrop, ForegroundCrop as ForegroundCrop, RandomCrop as RandomCrop
from neurenix.data.dataset import ArrayDataset as ArrayDataset, Dataset as Dataset, TensorDataset as TensorDataset
from neurenix.data.draws import item_seed as item_seed
from neurenix.data.folder import ImageMaskFolder as ImageMaskFolder
from neurenix.data.intensity import (
    ColorJitter as ColorJitter,
    GaussianBlur as GaussianBlur,
    GaussianNoise as GaussianNoise,
    ImageTransform as ImageTransform,
    PoissonNoise as PoissonNoise,
    RandomBrightness as RandomBrightness,
    RandomContrast as RandomContrast,
    RandomGamma as RandomGamma,
)
from neurenix.data.loader import DataLoader as DataLoader
from neurenix.data.normalize import Normalize as Normalize, PercentileNormalize as PercentileNormalize
from neurenix.data.samplers import (
    BucketBatchSampler as BucketBatchSampler,
    BucketSampler as BucketSampler,
    RandomSampler as RandomSampler,
    WeightedRandomSampler as WeightedRandomSampler,
)
from neurenix.data.spatial import (
    ElasticTransform as ElasticTransform,
    RandomAffine as RandomAffine,
    RandomHorizontalFlip as RandomHorizontalFlip,
    RandomRotate90 as RandomRotate90,
    RandomRotation as RandomRotation,
    RandomVerticalFlip as RandomVerticalFlip,
)
from neurenix.data.subsets import ConcatDataset as ConcatDataset, Subset as Subset, random_split as random_split
from neurenix.data.transforms import Compose as Compose, OneOf as OneOf, PairedTransform as PairedTransform
