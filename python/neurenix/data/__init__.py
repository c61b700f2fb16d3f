"""Datasets and the loader that makes batches of them."""

from neurenix.data.collate import collate as collate
from neurenix.data.dataset import ArrayDataset as ArrayDataset, Dataset as Dataset, TensorDataset as TensorDataset
from neurenix.data.draws import item_seed as item_seed
from neurenix.data.folder import ImageMaskFolder as ImageMaskFolder
from neurenix.data.loader import DataLoader as DataLoader
from neurenix.data.transforms import (
    Compose as Compose,
    PairedTransform as PairedTransform,
    RandomCrop as RandomCrop,
    RandomFlip as RandomFlip,
    RandomGamma as RandomGamma,
    RandomNoise as RandomNoise,
    RandomTurn as RandomTurn,
)
