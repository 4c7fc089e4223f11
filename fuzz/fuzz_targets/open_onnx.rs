//! Any bytes are taken for ONNX and imported, or refused with an error: never a panic. What was
//! imported is a whole network of finite numbers.
#![no_main]

use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use unlearn::base::disk::DiskError;
use unlearn::exchange::{Choice, onnx};

fuzz_target!(|bytes: &[u8]| {
    let beside = |name: &str| match name.len() {
        0..8 => Ok(vec![0; 64]),
        _ => Err(DiskError::NotAFile { path: PathBuf::from(name) }),
    };
    if let Ok(imported) = onnx::import(bytes, "fuzzed", &beside, &Choice::default()) {
        assert_eq!(imported.network.first_not_finite(), None);
    }
});
