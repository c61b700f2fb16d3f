"""Learning rate schedules, stepped once an epoch (or batch) after the optimizer; PyTorch's names and formulas."""

from neurenix.optim.cycles import (
    CosineAnnealingLR as CosineAnnealingLR,
    CosineAnnealingWarmRestarts as CosineAnnealingWarmRestarts,
    CyclicLR as CyclicLR,
    OneCycleLR as OneCycleLR,
)
from neurenix.optim.decays import (
    ConstantLR as ConstantLR,
    ExponentialLR as ExponentialLR,
    LambdaLR as LambdaLR,
    LinearLR as LinearLR,
    MultiplicativeLR as MultiplicativeLR,
    MultiStepLR as MultiStepLR,
    PolynomialLR as PolynomialLR,
    StepLR as StepLR,
)
from neurenix.optim.plateau import ReduceLROnPlateau as ReduceLROnPlateau
from neurenix.optim.schedule import LRScheduler as LRScheduler, Rate as Rate
from neurenix.optim.sequences import ChainedScheduler as ChainedScheduler, SequentialLR as SequentialLR
