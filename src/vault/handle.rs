//! What a person is called where names must not be.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::base::entropy::{self, EntropyError};

/// A random name of 16 bytes: it says nothing of whom it stands for, and never stands for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Handle(pub [u8; 16]);

impl Handle {
    /// A new one.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn fresh() -> Result<Self, EntropyError> {
        entropy::bytes().map(Self)
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
