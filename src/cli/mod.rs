//! The door: words to calls. One file a command; nothing below prints, reads the environment or exits.

pub mod report;
