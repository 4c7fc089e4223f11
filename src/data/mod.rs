//! Data sets: samples, labels, subjects, groups.

mod dataset;

pub use dataset::{Dataset, Splits, Values};
