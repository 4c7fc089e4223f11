//! Any bytes are taken for safetensors and imported, or refused with an error: never a panic.
//!
//! A fuzzer does not guess the length of a header. So each input is tried twice: as it is, and as a
//! header of its first half over the values of its second.
#![no_main]

use libfuzzer_sys::fuzz_target;
use unlearn::exchange::{Choice, import_safetensors};

/// A network of two small matrices, so that lies about tensors get past their names.
const TEXT: &str = "name = \"n\"\nsummary = \"s\"\n[input]\nshape = [1, 1, 4]\nmean = [0.0]\nstd = [1.0]\n\
    [[op]]\nname = \"a\"\nkind = \"linear\"\noutputs = 2\nprunable = true\n\
    [[op]]\nname = \"b\"\nkind = \"linear\"\noutputs = \"classes\"\n";

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    let (header, values) = bytes.split_at(bytes.len() / 2);
    read(&[&(header.len() as u64).to_le_bytes()[..], header, values].concat());
});

fn read(bytes: &[u8]) {
    let choice = Choice { model: Some(("n", TEXT)), zeros_are_pruned: true, names: None };
    if let Ok(imported) = import_safetensors(bytes, &choice) {
        assert_eq!(imported.network.first_not_finite(), None);
    }
}
