//! Devices: buffers, queues, graphs, the pool and the compile cache, over the CPU and CUDA.
//!
//! All of Kernelsmith's unsafe code is in this crate; each block says why it is sound.

pub mod cpu;
