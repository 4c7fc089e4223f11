//! What was forgotten, what it cost.
