//! Description to plan: networks, ordered parameters.

mod describe;

pub use describe::{Description, Node, Op, Shape};
