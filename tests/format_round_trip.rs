//! Defends: what was written is what is read, for every kind of mask and every type.

mod common;

use common::model::*;
use unlearn::base::hash::Digest;
use unlearn::base::rng::Stream;
use unlearn::format::*;

/// What a value is after it was stored.
fn stored(dtype: Dtype, value: f32) -> f32 {
    match dtype {
        Dtype::F32 | Dtype::Int8 => value,
        Dtype::F16 => half::f16::from_f32(value).to_f32(),
        Dtype::Bf16 => half::bf16::from_f32(value).to_f32(),
    }
}

fn hold(wanted: &Owned, found: &Tensor<'_>) {
    let numel: usize = wanted.shape.iter().product();
    let full = wanted.positions.as_ref().is_some_and(|p| p.len() == numel);
    let positions = wanted.positions.clone().filter(|_| !full);
    assert_eq!(found.positions().unwrap(), positions, "{}", wanted.name);
    assert_eq!((found.name(), found.shape()), (&*wanted.name, &*wanted.shape));
    assert_eq!((found.dtype(), found.role()), (wanted.dtype, wanted.role));
    assert_eq!((found.nnz(), found.numel()), (wanted.values.len(), numel));
    let values = found.values().unwrap();
    assert_eq!(values.len(), wanted.values.len());
    let largest = wanted.values.iter().fold(0f32, |m, v| m.max(v.abs()));
    let slack = if wanted.dtype == Dtype::Int8 { largest / 250.0 } else { 0.0 };
    for (&wrote, read) in wanted.values.iter().zip(values) {
        let expected = stored(wanted.dtype, wrote);
        assert!((read - expected).abs() <= slack, "{}: {wrote} became {read}", wanted.name);
    }
}

/// A mask of one of the shapes that trouble a codec.
fn troublesome(stream: &mut Stream, numel: usize) -> Option<Vec<u32>> {
    let all = 0..numel as u32;
    match stream.below(9) {
        0 => None,
        1 => Some(Vec::new()),
        2 => Some(all.collect()),
        3 => Some(vec![stream.index(numel) as u32]),
        4 => Some(all.filter(|p| (256..512).contains(p) || p % 97 == 0).collect()),
        5 => Some(all.filter(|p| p % 4 < 2).collect()),
        6 => Some(all.filter(|p| p % 16 == 15).collect()),
        7 => Some(random_mask(stream, numel, 0.05)),
        _ => {
            let density = stream.unit();
            Some(random_mask(stream, numel, density))
        }
    }
}

#[test]
fn random_tensors_of_every_kind_and_type_come_back_as_they_were() {
    let mut stream = Stream::new(1, "round trip");
    let mut kinds = std::collections::BTreeMap::new();
    for round in 0..60 {
        let tensors: Vec<Owned> = (0..12)
            .map(|i| {
                let shape: Vec<usize> =
                    (0..stream.below(5)).map(|_| 1 + stream.index(12)).collect();
                let positions = troublesome(&mut stream, shape.iter().product());
                let dtype = [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::Int8][i % 4];
                let name = format!("round{round}.tensor{i}");
                Owned::random(&mut stream, &name, &shape, dtype, positions)
            })
            .collect();
        let file = ModelFile::from_bytes(draft("d", &tensors).encode().unwrap()).unwrap();
        file.verify().unwrap();
        assert_eq!(file.tensors().len(), tensors.len());
        for (wanted, found) in tensors.iter().zip(file.tensors()) {
            hold(wanted, &found);
            hold(wanted, &file.tensor(&wanted.name).unwrap());
            let kind = std::mem::discriminant(&found.kind());
            *kinds.entry(format!("{kind:?} {}", found.dtype())).or_insert(0) += 1;
        }
    }
    // Four kinds times four types.
    assert_eq!(kinds.len(), 16, "{kinds:?}");
}

#[test]
fn large_tensors_with_full_tiles_and_many_groups_come_back_as_they_were() {
    let mut stream = Stream::new(2, "large");
    let shape = [64, 70, 9];
    let numel: usize = shape.iter().product();
    let masks = [
        (0..numel as u32).filter(|p| *p < 1024 || p % 331 == 0).collect(),
        random_mask(&mut stream, numel, 0.05),
        random_mask(&mut stream, numel, 0.5),
        (numel as u32 - 255..numel as u32).collect(),
    ];
    let tensors: Vec<Owned> = masks
        .into_iter()
        .enumerate()
        .map(|(i, m)| Owned::random(&mut stream, &format!("t{i}"), &shape, Dtype::F16, Some(m)))
        .collect();
    let bytes = draft("d", &tensors).encode().unwrap();
    let file = ModelFile::from_bytes(bytes).unwrap();
    file.verify().unwrap();
    let kinds: Vec<Kind> = file.tensors().map(|t| t.kind()).collect();
    assert_eq!(kinds, [Kind::Tile256, Kind::Tile256, Kind::Bitmap, Kind::Tile256]);
    tensors.iter().zip(file.tensors()).for_each(|(wanted, found)| hold(wanted, &found));
    // Sections of this size start on a page, so that a map of them can be handed on.
    for section in file.sections().iter().filter(|s| s.len >= limits::PAGED_FROM) {
        assert_eq!(section.offset % limits::PAGE, 0, "{}", section.kind);
    }
}

#[test]
fn everything_else_in_a_file_comes_back_as_it_was() {
    let file = ModelFile::from_bytes(everything()).unwrap();
    file.verify().unwrap();
    assert_eq!(file.description(), "network \"tiny\"\n");
    assert_eq!(file.classes(), &classes());
    assert_eq!(file.facts(), &facts());
    assert_eq!(file.facts().get("method"), Some("l1-sparse"));
    assert_eq!(file.anchor().unwrap(), Some(anchor()));
    assert_eq!(file.calibration(), Some(&calibration()));
    assert_eq!(file.signatures()[1], signature(2, "owner"));
    assert_eq!(file.tensor("bn1.mean").unwrap().role(), Role::Buffer);
    assert!(file.tensor("no such tensor").is_none());
    let names: Vec<&str> = file.tensors().map(|t| t.name()).collect();
    let order = ["conv1.weight", "bn1.mean", "conv2.weight", "fc.weight", "fc.bias"];
    assert_eq!(names[..5], order);
    let kinds: Vec<Kind> = file.tensors().map(|t| t.kind()).collect();
    let n_of_m = Kind::NOfM { n: 2, m: 4 };
    let [dense, same] = [Kind::Dense, Kind::SameAs { order: 2 }];
    let expected = [Kind::Bitmap, dense, Kind::Tile256, n_of_m, dense, same, Kind::OfBase];
    assert_eq!(kinds, expected);
}

#[test]
fn a_mask_of_another_tensor_is_that_tensors_mask() {
    let file = ModelFile::from_bytes(everything()).unwrap();
    let twin = file.tensor("conv2.importance").unwrap();
    assert_eq!(
        twin.positions().unwrap(),
        file.tensor("conv2.weight").unwrap().positions().unwrap()
    );
    assert_eq!(twin.values().unwrap(), [0.5; 5]);
    assert_eq!(twin.stored_bytes(), 20);
    // As bytes, too: where the mask is told as that one spells it, and lies there.
    let [twin, own] = ["conv2.importance", "conv2.weight"].map(|name| {
        let raw = file.tensor(name).unwrap().raw().unwrap();
        (raw.kind, raw.mask, raw.numel, raw.nnz, raw.values)
    });
    assert_eq!((twin.0, &twin.1, twin.2, twin.3), (own.0, &own.1, own.2, own.3));
    assert!(matches!(own.0, Kind::Bitmap | Kind::Tile256 | Kind::NOfM { .. }));
    assert_ne!(twin.4, own.4, "values of its own");
}

#[test]
fn payloads_lie_where_a_tensor_says_and_survive_that_their_pages_are_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.esm");
    std::fs::write(&path, everything()).unwrap();
    let file = ModelFile::open(&path).unwrap();
    assert!(file.payloads().as_ptr().addr().is_multiple_of(64), "for whoever reads words there");
    let before = file.payloads().to_vec();
    assert!(everything().windows(before.len()).any(|window| window == before));
    file.release_pages();
    assert_eq!(file.payloads(), before);
    file.verify().unwrap();
    let mut last = 0;
    for tensor in file.tensors() {
        let Ok(raw) = tensor.raw() else {
            assert_eq!(tensor.kind(), Kind::OfBase, "{}", tensor.name());
            continue;
        };
        assert_eq!((raw.nnz, raw.numel), (tensor.nnz(), tensor.numel()));
        assert_eq!(
            (raw.channels, raw.dtype),
            (tensor.shape().first().copied().unwrap_or(1), tensor.dtype())
        );
        assert_eq!(raw.mask.is_empty(), raw.kind == Kind::Dense, "{}", tensor.name());
        if raw.dtype == Dtype::F32 {
            let bytes = file.payloads()[raw.values.clone()].chunks_exact(4);
            let values = bytes.map(|four| f32::from_le_bytes(four.try_into().unwrap()));
            assert!(values.eq(tensor.values().unwrap()), "{}", tensor.name());
        }
        last = last.max(raw.values.end);
    }
    assert_eq!(last, before.len(), "they end with the last of them");
    let memory = ModelFile::from_bytes(everything()).unwrap();
    memory.release_pages();
    assert_eq!(memory.payloads(), before);
    let none = ModelFile::from_bytes(Draft::new("nothing").encode().unwrap()).unwrap();
    assert!(none.payloads().is_empty());
}

#[test]
fn a_mask_of_the_base_is_read_with_that_base_and_with_no_other() {
    let mut stream = Stream::new(4, "base");
    let mask = random_mask(&mut stream, 600, 0.1);
    let make = |mask: Vec<u32>, stream: &mut Stream| {
        let tensors = [Owned::random(stream, "conv.weight", &[6, 100], Dtype::F16, Some(mask))];
        ModelFile::from_bytes(draft("base", &tensors).encode().unwrap()).unwrap()
    };
    let base = make(mask.clone(), &mut stream);
    let stranger = make(mask.clone(), &mut stream);
    for dtype in [Dtype::F32, Dtype::Int8] {
        let values: Vec<f32> = mask.iter().map(|&p| p as f32 / 600.0).collect();
        let base_id = base.logical_id();
        let stored = Stored::MaskOfBase { base: base_id, tensor: "conv.weight", positions: &mask };
        let (role, shape) = (Role::Parameter, &[6, 100][..]);
        let tensor = TensorIn { name: "delta", role, shape, dtype, stored, values: &values };
        let bytes = Draft::new("overlay").tensor(tensor).encode().unwrap();
        let overlay = ModelFile::from_bytes(bytes).unwrap();
        overlay.verify().unwrap();
        let delta = overlay.tensor("delta").unwrap();
        assert!(
            matches!(delta.positions(), Err(FormatError::NeedsBase { base, .. }) if base == base_id)
        );
        assert!(matches!(delta.raw(), Err(FormatError::NeedsBase { base, .. }) if base == base_id));
        assert!(matches!(delta.read_with(&stranger), Err(FormatError::WrongBase { .. })));
        let (positions, read) = delta.read_with(&base).unwrap();
        assert_eq!(positions.as_ref(), Some(&mask));
        assert!(values.iter().zip(read).all(|(a, b)| (a - b).abs() < 0.005));
        assert!(delta.stored_bytes() > 200, "the place of the mask is counted");
    }
}

#[test]
fn a_mapped_file_reads_as_one_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.esm");
    std::fs::write(&path, everything()).unwrap();
    let file = ModelFile::open(&path).unwrap();
    file.verify().unwrap();
    let other = ModelFile::from_bytes(everything()).unwrap();
    assert_eq!(file.logical_id(), other.logical_id());
    assert_eq!(file.len_bytes(), everything().len() as u64);
    let missing = ModelFile::open(&folder.path().join("none")).unwrap_err();
    assert!(missing.to_string().contains("does not exist"), "{missing}");
}

fn refused(tensor: TensorIn<'_>) -> FormatError {
    let twin =
        TensorIn { name: "first", shape: &[1], values: &[1.0], stored: Stored::Dense, ..tensor };
    Draft::new("d").tensor(twin).tensor(tensor).encode().unwrap_err()
}

#[test]
fn the_writer_refuses_what_a_reader_would_and_says_where() {
    let good = TensorIn {
        name: "w",
        role: Role::Parameter,
        shape: &[4],
        dtype: Dtype::F16,
        stored: Stored::Dense,
        values: &[1.0, 2.0, 3.0, 4.0],
    };
    let told = |tensor, words: &[&str]| {
        let error = refused(tensor).to_string();
        for word in words {
            assert!(error.contains(word), "`{error}` does not say `{word}`");
        }
    };
    told(TensorIn { values: &[1.0, f32::NAN, 0.0, 0.0], ..good }, &["`w`", "value 1", "NaN"]);
    told(TensorIn { values: &[1.0, 0.0, 7e4, 0.0], ..good }, &["`w`", "value 2", "70000", "f16"]);
    told(TensorIn { values: &[1.0], ..good }, &["`w`", "4", "1"]);
    told(TensorIn { name: "first", ..good }, &["`first`", "twice"]);
    told(TensorIn { name: "", ..good }, &["name"]);
    told(TensorIn { shape: &[4, 0], ..good }, &["dimension"]);
    told(TensorIn { shape: &[1 << 20, 1 << 20], ..good }, &["2^32"]);
    told(TensorIn { shape: &[1; 7], ..good }, &["6 dimensions"]);
    let masked =
        |positions| TensorIn { stored: Stored::Masked(positions), values: &[1.0, 2.0], ..good };
    told(masked(&[2, 1]), &["position 1 follows 2"]);
    told(masked(&[1, 4]), &["position 4"]);
    told(masked(&[1]), &["1 positions", "2"]);
    told(TensorIn { stored: Stored::MaskOf("w"), ..good }, &["no mask of its own"]);
    told(TensorIn { stored: Stored::MaskOf("ghost"), ..good }, &["not there"]);
    told(TensorIn { stored: Stored::MaskOf("first"), ..good }, &["another size"]);
    let long = Stored::MaskOfBase { base: Digest([0; 32]), tensor: "", positions: &[1, 2] };
    told(TensorIn { stored: long, values: &[1.0, 2.0], ..good }, &["name"]);
}

#[test]
fn small_sections_are_held_to_their_limits_on_writing() {
    let twice = ClassesAndFeatures { classes: vec!["a".into(), "a".into()], features: None };
    assert!(matches!(
        Draft::new("d").classes(twice).encode(),
        Err(FormatError::Duplicate { section: SectionKind::CLASSES, .. })
    ));
    let long = Facts::default().with("k", "x".repeat(limits::MAX_TEXT + 1));
    assert!(Draft::new("d").facts(long).encode().unwrap_err().to_string().contains("limit"));
    let nan = CalibrationTable { name: "t".into(), values: vec![f32::NAN] };
    let nan = Calibration { tables: vec![nan] };
    assert!(Draft::new("d").calibration(nan).encode().is_err());
    assert!(Draft::new("").encode().is_err());
    assert!(Draft::new(&"x".repeat(300_000)).encode().is_err());
    let mut set = anchor();
    set.labels[0] = 9;
    assert!(Draft::new("d").classes(classes()).anchor(set).encode().is_err());
}
