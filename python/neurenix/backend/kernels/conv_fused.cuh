// conv_fused.cuh - the parameters of a chain's convolutions, and what several of their files need.
#pragma once
#include "conv.cuh"
#include "moments.cuh"

#define FUSED                                                                                                                       \
    element* y, element* second_y, const element* x, const element* second_x, const element* packed, const element* bias,           \
        const element* scale, const element* shift, double* mean, double* square, SIZES, int64 first, int64 first_y, int64 moments, \
        int64 scatter, int64 relu
#define FUSED_WEIGHT_GRADIENT                                                                                                        \
    element* dw, const element* small, const element* large, const element* second_large, const element* scale, const element* shift, \
        SIZES, int64 first, int64 relu
