//! Models for the tests of the file format.

use unlearn::base::hash::Digest;
use unlearn::base::rng::Stream;
use unlearn::format::*;

/// A tensor that owns what [`TensorIn`] borrows.
pub struct Owned {
    pub name: String,
    pub role: Role,
    pub shape: Vec<usize>,
    pub dtype: Dtype,
    pub positions: Option<Vec<u32>>,
    pub values: Vec<f32>,
}

impl Owned {
    /// A tensor of random values at `positions` (all, if `None`).
    pub fn random(
        stream: &mut Stream,
        name: &str,
        shape: &[usize],
        dtype: Dtype,
        positions: Option<Vec<u32>>,
    ) -> Self {
        let numel: usize = shape.iter().product();
        let held = positions.as_ref().map_or(numel, Vec::len);
        let values = (0..held).map(|_| stream.normal() as f32).collect();
        let (name, shape) = (name.to_string(), shape.to_vec());
        Self { name, role: Role::Parameter, shape, dtype, positions, values }
    }

    pub fn borrowed(&self) -> TensorIn<'_> {
        let stored = self.positions.as_deref().map_or(Stored::Dense, Stored::Masked);
        TensorIn {
            name: &self.name,
            role: self.role,
            shape: &self.shape,
            dtype: self.dtype,
            stored,
            values: &self.values,
        }
    }
}

/// Each of `0..numel` with this probability.
pub fn random_mask(stream: &mut Stream, numel: usize, density: f64) -> Vec<u32> {
    (0..numel as u32).filter(|_| stream.unit() < density).collect()
}

pub fn draft<'a>(description: &'a str, tensors: &'a [Owned]) -> Draft<'a> {
    tensors.iter().fold(Draft::new(description), |draft, t| draft.tensor(t.borrowed()))
}

pub fn signature(seed: u8, signer: &str) -> Signature {
    let signer = signer.try_into().unwrap();
    Signature { public_key: [seed; 32], bytes: [seed ^ 0x55; 64], signer }
}

pub fn anchor() -> AnchorSet {
    AnchorSet {
        shape: [1, 2, 2],
        labels: vec![0, 1, 1],
        parts: vec![AnchorPart::Train, AnchorPart::Calibrate, AnchorPart::Train],
        values: AnchorValues::Bytes((0..12).collect()),
    }
}

pub fn calibration() -> Calibration {
    let table = CalibrationTable { name: "range/conv1".into(), values: vec![-1.5, 2.25] };
    Calibration { tables: vec![table] }
}

pub fn facts() -> Facts {
    Facts::new(Provenance::Population).with("seed", "7").with("method", "l1-sparse")
}

pub fn classes() -> ClassesAndFeatures {
    let parameters = vec![Entry::new("bands", "40"), Entry::new("window", "25 ms")];
    let features = Some(Features { kind: "log-mel".into(), parameters });
    ClassesAndFeatures { classes: vec!["yes".into(), "no".into()], features }
}

/// The tensors of [`everything`]: one of every kind of mask that is in the file.
pub fn tensors() -> Vec<Owned> {
    let mut stream = Stream::new(11, "a small model");
    let bitmap: Vec<u32> = (0..96).filter(|p| p % 3 != 1 || p % 7 == 0).collect();
    let tiles = vec![3, 77, 255, 256, 511];
    let regular: Vec<u32> = (0..64).filter(|p| p % 4 < 2).collect();
    let f16 = Dtype::F16;
    let mut all = vec![
        Owned::random(&mut stream, "conv1.weight", &[4, 3, 2, 4], f16, Some(bitmap)),
        Owned::random(&mut stream, "bn1.mean", &[4], Dtype::F32, None),
        Owned::random(&mut stream, "conv2.weight", &[8, 64], Dtype::Bf16, Some(tiles)),
        Owned::random(&mut stream, "fc.weight", &[4, 16], Dtype::Int8, Some(regular)),
        Owned::random(&mut stream, "fc.bias", &[4], f16, None),
    ];
    all[1].role = Role::Buffer;
    all
}

/// A file of about two kilobytes that uses all the format has.
pub fn everything() -> Vec<u8> {
    let tensors = tensors();
    let shared = vec![0.5; 5];
    let based = vec![0.25, -0.25];
    let base = Digest::of(b"some base");
    let twin = TensorIn {
        name: "conv2.importance",
        role: Role::Buffer,
        shape: &[8, 64],
        dtype: Dtype::F32,
        stored: Stored::MaskOf("conv2.weight"),
        values: &shared,
    };
    let overlay = TensorIn {
        name: "overlay",
        role: Role::Parameter,
        shape: &[2, 8],
        dtype: Dtype::Int8,
        stored: Stored::MaskOfBase { base, tensor: "conv9.weight", positions: &[2, 9] },
        values: &based,
    };
    draft("network \"tiny\"\n", &tensors)
        .tensor(twin)
        .tensor(overlay)
        .classes(classes())
        .facts(facts())
        .anchor(anchor())
        .calibration(calibration())
        .signatures([signature(1, "maker"), signature(2, "owner")].into_iter().collect())
        .encode()
        .unwrap()
}
