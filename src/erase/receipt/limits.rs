//! How large a receipt may be. All are held before anything is believed.

/// Bytes of a file.
pub const MAX_FILE: usize = 64 * 1024;
/// Requests that are repaired together.
pub const MAX_REQUESTS: usize = 64;
/// Earlier models that are listed.
pub const MAX_EARLIER: usize = 96;
/// Entries of the list of what was destroyed.
pub const MAX_DESTROYED: usize = 32;
/// Entries of the list of what is not covered.
pub const MAX_NOT_COVERED: usize = 16;
/// Accuracies and probes of a gate, each.
pub const MAX_MEASURED: usize = 8;
/// Bytes of a text.
pub const MAX_TEXT: usize = 180;
/// Bytes of a name: of a program, a version, a network, a method.
pub const MAX_NAME: usize = 64;
/// Bytes of the hyper-parameters as JSON.
pub const MAX_SETTINGS: usize = 4096;
/// How deep hyper-parameters may be nested.
pub const MAX_DEPTH: usize = 4;
/// The fewest samples whose accuracy is told.
pub const LEAST_SAMPLES: u64 = 5;
