"""Multi-scale models, pooling, fusion and transforms: the twelve classes of the API document."""
