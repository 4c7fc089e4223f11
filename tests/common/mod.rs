//! What several test binaries share.
#![allow(dead_code)]

pub mod crash;
pub mod exchange;
pub mod home;
pub mod journal;
pub mod liar;
pub mod model;
pub mod network;
pub mod program;
pub mod receipts;
pub mod sim;
pub mod stage;
pub mod stripes;
