"""Special functions under PyTorch's names."""

from neurenix.ops import (
    digamma as digamma,
    entr as entr,
    erf as erf,
    erfc as erfc,
    erfcx as erfcx,
    erfinv as erfinv,
    exp2 as exp2,
    expm1 as expm1,
    i0 as i0,
    i0e as i0e,
    i1 as i1,
    i1e as i1e,
    lgamma as lgamma,
    log1p as log1p,
    log_ndtr as log_ndtr,
    log_softmax as log_softmax,
    logit as logit,
    logsumexp as logsumexp,
    mvlgamma as mvlgamma,
    ndtr as ndtr,
    ndtri as ndtri,
    polygamma as polygamma,
    round as round,
    sigmoid as sigmoid,
    sinc as sinc,
    softmax as softmax,
    xlog1py as xlog1py,
    xlogy as xlogy,
)  # fmt: skip

expit, gammaln, multigammaln, psi = sigmoid, lgamma, mvlgamma, digamma
