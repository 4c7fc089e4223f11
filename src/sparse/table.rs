//! Which kernels the passes of a layer take: from how often each plane is read on, what a pass reads is
//! packed first.
//!
//! The reuse of a pass is the terms that read a plane on average, over what packing costs it: `terms /
//! planes * points / points of the tiles that exist / (points packed for a place / 3)`. Kernels differ in
//! the order of a weight gradient's sums, so the table is part of a plan, and one holds for a whole process.

use std::fmt;
use std::sync::OnceLock;

/// The least reuse from which each pass packs what it reads. Layers that are dense, grouped or of one place
/// have no packed kernels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KernelTable {
    /// Of the forward pass.
    pub forward: f64,
    /// Of the gradient of the input.
    pub input_gradient: f64,
    /// Of the gradient of the weights.
    pub weight_gradient: f64,
}

/// The table of this process, once a plan was made or one was put in force.
static IN_FORCE: OnceLock<KernelTable> = OnceLock::new();

impl KernelTable {
    /// The table that is shipped: found on the layers of a ResNet-18, with AVX2.
    pub const SHIPPED: Self = Self { forward: 27.0, input_gradient: 27.0, weight_gradient: 20.0 };
    /// Every pass packs that can.
    pub const PACKED: Self = Self { forward: 0.0, input_gradient: 0.0, weight_gradient: 0.0 };
    /// No pass packs.
    pub const STREAMED: Self = Self {
        forward: f64::INFINITY,
        input_gradient: f64::INFINITY,
        weight_gradient: f64::INFINITY,
    };

    /// The table that plans of this process are made by: the shipped one, unless another was put in force.
    pub fn in_force() -> Self {
        *IN_FORCE.get_or_init(|| Self::SHIPPED)
    }

    /// Makes all plans of this process go by this table.
    ///
    /// # Errors
    /// The table in force, if it is another: a process has one, from its first plan on.
    pub fn put_in_force(self) -> Result<(), Self> {
        match *IN_FORCE.get_or_init(|| self) {
            there if there == self => Ok(()),
            there => Err(there),
        }
    }

    /// The least reuse of the forward pass, the input's gradient and the weights'.
    pub fn passes(self) -> [f64; 3] {
        [self.forward, self.input_gradient, self.weight_gradient]
    }
}

impl fmt::Display for KernelTable {
    /// As plans name it: `27/27/20`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [forward, input, weight] = self.passes();
        write!(f, "{forward}/{input}/{weight}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_table_of_a_process_stays() {
        assert_eq!(KernelTable::in_force(), KernelTable::SHIPPED);
        assert_eq!(KernelTable::SHIPPED.put_in_force(), Ok(()));
        assert_eq!(KernelTable::PACKED.put_in_force(), Err(KernelTable::SHIPPED));
        assert_eq!(KernelTable::in_force(), KernelTable::SHIPPED);
    }
}
