"""Optimizers, learning rate schedules and averages of weights under PyTorch's names."""

from neurenix.optim import lr_scheduler as lr_scheduler
from neurenix.optim.adam import Adam as Adam, Adamax as Adamax, AdamW as AdamW, Lion as Lion, NAdam as NAdam, RAdam as RAdam
from neurenix.optim.adaptive import ASGD as ASGD, Adadelta as Adadelta, Adagrad as Adagrad, RMSprop as RMSprop, Rprop as Rprop
from neurenix.optim.averaging import ExponentialMovingAverage as ExponentialMovingAverage
from neurenix.optim.optimizer import Optimizer as Optimizer
from neurenix.optim.sgd import SGD as SGD
