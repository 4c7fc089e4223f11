//! Masks and kernels on plain slices.
