//! Foreign files that are cut, flipped, or lie: an error with a place, never a panic, and no more
//! memory than the file has reason for.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::exchange::{bytes, cifar, import_onnx, import_state};
use unlearn::exchange::{Choice, import_safetensors};

type Import = fn(&[u8]) -> Result<(), String>;

fn onnx(bytes: &[u8]) -> Result<(), String> {
    import_onnx(bytes).map(drop).map_err(|fault| fault.to_string())
}

fn state(bytes: &[u8]) -> Result<(), String> {
    import_state(bytes, &cifar()).map(drop).map_err(|fault| fault.to_string())
}

/// Files to be damaged, how each is read, and every how many bytes.
const WHOLE: [(&str, Import); 4] = [
    ("cnn.dynamo.onnx", onnx),
    ("cnn.training.onnx", onnx),
    ("mlp.dynamo.onnx", onnx),
    ("cifar.safetensors", state),
];

fn tried(what: &str, import: Import, bytes: &[u8]) -> Result<(), String> {
    let found = catch_unwind(AssertUnwindSafe(|| import(bytes)));
    found.unwrap_or_else(|_| panic!("{what}: it panicked"))
}

#[test]
fn every_truncation_is_refused() {
    for (name, import) in WHOLE {
        let whole = bytes(name);
        tried(name, import, &whole).unwrap();
        // An ONNX file ends in what may be left out: versions of operations. Any cut before is seen.
        for len in 0..whole.len() {
            let found = tried(&format!("{name} cut at {len}"), import, &whole[..len]);
            assert!(found.is_err(), "{name} cut at {len} was taken for whole");
        }
    }
}

#[test]
fn no_flipped_byte_makes_a_panic() {
    for (name, import) in WHOLE {
        let whole = bytes(name);
        let mut refused = 0;
        for at in 0..whole.len().min(6000) {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                let found =
                    tried(&format!("{name}, byte {at} flipped by {flip:#x}"), import, &bytes);
                refused += usize::from(found.is_err());
            }
        }
        // Flipped values and names are other values and names; flipped structure is no file.
        assert!(refused > 500, "{name}: only {refused} flips were refused");
    }
}

/// A safetensors file of this header over `values` bytes.
fn container(header: &str, values: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; values]].concat()
}

fn refused(header: &str, values: usize) -> String {
    import_safetensors(&container(header, values), &Choice::default()).unwrap_err().to_string()
}

#[test]
fn headers_that_lie_about_places_shapes_and_counts_are_refused() {
    let one = |shape: &str, begin: u64, end: u64| {
        format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":[{begin},{end}]}}}}"#)
    };
    let two = |begin: u64, end: u64| {
        format!(
            r#"{{"a":{{"dtype":"F32","shape":[2],"data_offsets":[0,8]}},"b":{{"dtype":"F32","shape":[2],"data_offsets":[{begin},{end}]}}}}"#
        )
    };
    let most = u64::MAX;
    for (header, values, phrase) in [
        (one("[2]", 0, 12), 12, "as many bytes"),
        (one("[2]", 0, 8), 12, "4 bytes follow"),
        (one("[2]", 4, 12), 12, "gap"),
        (one("[2]", 8, 0), 8, "outside the file"),
        (one("[2]", 0, most), 8, "outside the file"),
        (one("[18446744073709551615, 2]", 0, 8), 8, "as many bytes"),
        (one("[1,1,1,1,1,1,1,1,2]", 0, 8), 8, "more than 8 dimensions"),
        (one("[-1]", 0, 8), 8, "offset"),
        (two(4, 12), 12, "overlap"),
        (two(12, 20), 20, "gap"),
        (r#"{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#.into(), 0, "twice"),
        ("{".into(), 0, "offset 8"),
        ("[]".into(), 0, "offset"),
        (r#"{"__metadata__":{"unlearn.facts":"[[1]]"}}"#.into(), 0, "unlearn.facts"),
        (r#"{"__metadata__":{"unlearn.classes":"[\"a\""}}"#.into(), 0, "unlearn.classes"),
    ] {
        let told = refused(&header, values);
        assert!(told.contains(phrase), "{header}: no `{phrase}` in {told}");
    }
    // Eight tensors whose lengths add up to more than 64 bits hold.
    let eighth = 1u64 << 61;
    let many: Vec<String> = (0..8)
        .map(|i| {
            format!(
                r#""t{i}":{{"dtype":"U8","shape":[{eighth}],"data_offsets":[{},{}]}}"#,
                i * eighth,
                (i as u128 + 1) * u128::from(eighth) - u128::from(i == 7)
            )
        })
        .collect();
    assert!(refused(&format!("{{{}}}", many.join(",")), 8).contains("outside the file"));
    let lying = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
    assert!(
        import_safetensors(&lying, &Choice::default()).unwrap_err().to_string().contains("claims")
    );
}

/// A field of a message: bytes.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut len = value.len();
    let mut bytes = vec![number << 3 | 2];
    while len >= 0x80 {
        bytes.push(len as u8 | 0x80);
        len >>= 7;
    }
    bytes.push(len as u8);
    bytes.extend(value);
    bytes
}

/// A field of a message: a number.
fn number(number: u8, mut value: u64) -> Vec<u8> {
    let mut bytes = vec![number << 3];
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn tensor(name: &str, dims: &[u64], kind: u64, raw: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|&dim| number(1, dim)).collect();
    [dims, number(2, kind), field(8, name.as_bytes()), field(9, raw)].concat()
}

fn node(op: &str, inputs: &[&str], output: &str, attributes: &[Vec<u8>]) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|name| field(1, name.as_bytes())).collect();
    let attributes: Vec<u8> = attributes.iter().flat_map(|bytes| field(5, bytes)).collect();
    [inputs, field(2, output.as_bytes()), field(4, op.as_bytes()), attributes].concat()
}

fn int(name: &str, value: u64) -> Vec<u8> {
    [field(1, name.as_bytes()), number(3, value)].concat()
}

/// A value of the interface of `sides`, 0 standing for a side that is not fixed.
fn value(name: &str, sides: &[u64]) -> Vec<u8> {
    let dims: Vec<u8> = sides
        .iter()
        .flat_map(|&side| field(1, &if side == 0 { field(2, b"n") } else { number(1, side) }))
        .collect();
    [field(1, name.as_bytes()), field(2, &field(1, &[number(1, 1), field(2, &dims)].concat()))]
        .concat()
}

fn model(sides: &[u64], nodes: &[&[u8]], tensors: &[&[u8]]) -> Vec<u8> {
    let nodes: Vec<u8> = nodes.iter().flat_map(|bytes| field(1, bytes)).collect();
    let tensors: Vec<u8> = tensors.iter().flat_map(|bytes| field(5, bytes)).collect();
    let graph =
        [nodes, tensors, field(11, &value("x", sides)), field(12, &value("y", &[0, 2]))].concat();
    [field(7, &graph), field(8, &number(2, 17))].concat()
}

#[test]
fn graphs_that_lie_or_ask_for_too_much_are_refused_by_node() {
    let matrix = &tensor("w", &[3, 2], 1, &[0; 24])[..];
    let gemm = &node("Gemm", &["x", "w"], "y", &[])[..];
    onnx(&model(&[0, 3], &[gemm], &[matrix])).unwrap();

    let told = |sides: &[u64], nodes: &[&[u8]], tensors: &[&[u8]]| {
        let bytes = model(sides, nodes, tensors);
        tried("a lie", onnx, &bytes).expect_err("the lie was believed")
    };
    let odd = [&node("Relu", &["x"], "r", &[])[..], &node("Erf", &["r"], "y", &[])];
    let message = told(&[0, 3], &odd, &[]);
    for phrase in ["node `y`", "Erf", "domain `ai.onnx`", "supported are Conv"] {
        assert!(message.contains(phrase), "no `{phrase}` in {message}");
    }
    let most = u64::MAX;
    let relu = &node("Relu", &["x"], "y", &[])[..];
    for (message, phrase) in [
        (told(&[0, 4], &[gemm], &[matrix]), "multiplies sides [4]"),
        (
            told(&[0, 3], &[gemm], &[&tensor("w", &[3, 2], 1, &[0; 20])]),
            "20 bytes for the sides [3, 2]",
        ),
        (
            told(&[0, 3], &[gemm], &[&tensor("w", &[1 << 40, 1 << 40], 1, &[0; 24])]),
            "too many values",
        ),
        (told(&[0, 3], &[gemm], &[&tensor("w", &[most, 2], 1, &[])]), "negative"),
        (told(&[0, 3], &[gemm], &[&tensor("w", &[3, 2], 7, &[0; 48])]), "INT64"),
        (told(&[0, 3], &[gemm], &[matrix, matrix]), "two initializers `w`"),
        (
            told(&[0, 3], &[&node("Gemm", &["z", "w"], "y", &[])], &[matrix]),
            "`z`, is made by no node",
        ),
        (
            told(&[0, 3], &[&node("Gemm", &["x", "w"], "y", &[int("transA", 1)])], &[matrix]),
            "transA",
        ),
        (
            told(&[0, 3], &[&node("Gemm", &["x", "w"], "y", &[int("secret", 1)])], &[matrix]),
            "secret",
        ),
        (told(&[0, 0], &[relu], &[]), "not fixed"),
        (told(&[0, 1 << 62, 1 << 62, 1 << 62], &[relu], &[]), "values a sample"),
        (told(&[0, 3, 4], &[relu], &[]), "one number a class"),
        (
            told(
                &[0, 2],
                &[
                    &node("Flatten", &["x"], "f", &[int("axis", i64::MAX as u64)]),
                    &node("Relu", &["f"], "y", &[]),
                ],
                &[],
            ),
            "flattened",
        ),
        (
            told(
                &[0, 3, 8, 8],
                &[
                    &node("Conv", &["x", "w"], "c", &[]),
                    &node("GlobalAveragePool", &["c"], "y", &[]),
                ],
                &[&tensor("w", &[2, 0, 3, 3], 1, &[])],
            ),
            "do not read 3 channels",
        ),
    ] {
        assert!(message.contains(phrase), "no `{phrase}` in {message}");
    }
}
