//! What can go wrong in the reference. candle's errors are caught here and get the layer's name.

/// What went wrong in the reference.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// A tensor that the network needs was not given.
    #[error("the network needs the tensor `{name}`, which was not given")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A tensor was given that the network does not have, or cannot mask.
    #[error("the tensor `{name}` was given as a {role}, but the network has no such one")]
    Unknown {
        /// Its name.
        name: String,
        /// `parameter`, `buffer` or `mask`.
        role: &'static str,
    },
    /// A tensor has another shape than the description gives it.
    #[error("`{name}` has the shape {found:?}, expected {expected:?}")]
    Shape {
        /// Its name.
        name: String,
        /// The shape that the description gives it; 0 stands for the batch.
        expected: Vec<usize>,
        /// The shape that it has.
        found: Vec<usize>,
    },
    /// A batch normalisation has one value a channel, of which there is no variance.
    #[error("`{node}` normalises a single value a channel; train with a larger batch")]
    SingleValue {
        /// The batch normalisation's name.
        node: String,
    },
    /// candle could not compute an operation.
    #[error("`{node}`: {operation} failed: {reason}")]
    Operation {
        /// The layer's name.
        node: String,
        /// What was computed.
        operation: &'static str,
        /// candle's reason, without its backtrace.
        reason: String,
    },
}

/// Wraps an error of candle's in the layer's name and the operation.
pub(super) fn of_candle(
    node: &str,
    operation: &'static str,
) -> impl Fn(candle_core::Error) -> ReferenceError {
    move |error| ReferenceError::Operation { node: node.into(), operation, reason: plain(error) }
}

fn plain(error: candle_core::Error) -> String {
    match error {
        candle_core::Error::WithBacktrace { inner, .. } => plain(*inner),
        candle_core::Error::Context { inner, context } => format!("{context}: {}", plain(*inner)),
        other => other.to_string().lines().next().unwrap_or("no reason given").to_owned(),
    }
}
