//! The arithmetic of neurenix on plain slices.
//!
//! Nothing here knows Python. A kernel takes its outputs, its inputs and its sizes, checks that the slices have those
//! sizes, writes its outputs completely, and gives the same bits for any number of threads and any instruction set.

pub mod blocks;
pub mod error;
pub mod machine;
mod place;
pub mod planning;
mod ranges;
pub mod simd;
mod team;
pub mod threads;
pub mod view;

pub mod layout;
mod turning;

// One module an operation family, in the order of the kernel table.
pub mod adaptive_pooling;
pub mod adaptive_pooling_backward;
pub mod arg_reduce;
pub mod class_loss;
mod columns;
pub mod components;
pub mod conv;
pub mod cross_entropy;
pub mod derived;
pub mod distance;
pub mod elementwise;
pub mod layer_norm;
pub mod layer_norm_backward;
pub mod loss;
pub mod margin_loss;
pub mod math;
pub mod matmul;
pub mod norm;
pub mod norm_apply;
mod norm_planes;
pub mod norm_tables;
pub mod nuclear;
pub mod optim;
pub mod optim_more;
pub mod padding;
pub mod poisson;
pub mod pooling;
mod pooling_backward;
mod pooling_blocks;
mod pooling_halves;
mod pooling_rows;
mod pooling_separable;
mod pooling_sliding;
pub mod random;
pub mod reduce;
pub mod resize;
mod resize_rows;
mod resize_thin;
pub mod sampling;
pub mod scan;
pub mod scatter;
pub mod softmax;
pub mod sort;
pub mod special;
mod streaming;
pub mod unpooling;
pub mod warp;
pub mod watershed;
