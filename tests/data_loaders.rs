//! Defends the door of the data room: no file, however damaged or dishonest, makes a loader
//! panic, reserve what a count claims, or return a set that does not hold together; and what is
//! refused is named by file, place and value. Real sets are read where `UNLEARN_DATA` is set.

#[path = "common/packed.rs"]
mod packed;

use std::fs;
use std::path::{Path, PathBuf};

use packed::{gzip, xz};
use tempfile::TempDir;
use unlearn::base::rng::Stream;
use unlearn::data::{DataError, Extraction, Reading, Room, Splits, Values, open_source};

const TRAIN_IMAGES: &str = "train-images-idx3-ubyte";
const TRAIN_LABELS: &str = "train-labels-idx1-ubyte";
const TEST_IMAGES: &str = "t10k-images-idx3-ubyte";
const TEST_LABELS: &str = "t10k-labels-idx1-ubyte";

/// Opens a set as the program does by default.
fn open(path: &Path) -> Result<Splits, DataError> {
    unlearn::data::open(path, &Reading::default())
}

fn idx(magic: u32, sizes: &[u32], contents: &[u8]) -> Vec<u8> {
    let words = [&[magic], sizes].concat();
    let header = words.iter().flat_map(|word| word.to_be_bytes());
    header.chain(contents.iter().copied()).collect()
}

fn images(count: u32) -> Vec<u8> {
    let pixels: Vec<u8> = (0..count * 6).map(|value| value as u8).collect();
    idx(0x803, &[count, 2, 3], &pixels)
}

fn labels(labels: &[u8]) -> Vec<u8> {
    idx(0x801, &[labels.len() as u32], labels)
}

/// One record of each label, its pixels all of one value.
fn records(labels: &[u8]) -> Vec<u8> {
    labels.iter().flat_map(|&label| [vec![label], vec![label * 3; 3072]].concat()).collect()
}

fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        put(folder.path(), name, bytes);
    }
    folder
}

fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let file = folder.join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, bytes).unwrap();
}

/// A sound IDX folder of 4 + 2 pictures, with `name` replaced by `bytes`.
fn idx_with(name: &str, bytes: Vec<u8>) -> TempDir {
    let folder = folder(&[
        (TRAIN_IMAGES, images(4)),
        (TRAIN_LABELS, labels(&[1, 0, 2, 1])),
        (TEST_IMAGES, images(2)),
        (TEST_LABELS, labels(&[2, 0])),
    ]);
    let plain = folder.path().join(name.trim_end_matches(".gz"));
    if plain.exists() {
        fs::remove_file(plain).unwrap();
    }
    put(folder.path(), name, &bytes);
    folder
}

fn cifar_with(name: &str, bytes: Vec<u8>) -> TempDir {
    let folder = folder(&[("small_test.bin", records(&[3, 4]))]);
    put(folder.path(), name, &bytes);
    folder
}

fn refusal(folder: &TempDir) -> DataError {
    open(folder.path()).map(|splits| splits.name).unwrap_err()
}

fn assert_refused(folder: &TempDir, words: &[&str]) {
    let error = refusal(folder).to_string();
    for word in words {
        assert!(error.contains(word), "expected `{word}` in `{error}`");
    }
}

#[test]
fn idx_is_read_plain_and_compressed() {
    let plain = idx_with("LICENSE", b"text".to_vec());
    let splits = open(plain.path()).unwrap();
    assert_eq!(splits.train.shape, [1, 2, 3]);
    assert_eq!(splits.train.labels, [1, 0, 2, 1]);
    assert_eq!(splits.test.classes, ["0", "1", "2"]);
    assert_eq!(splits.train.values, Values::Bytes((0..24).collect()));
    assert_eq!(splits.name, plain.path().file_name().unwrap().to_str().unwrap());
    for packed in [
        idx_with(&format!("{TRAIN_IMAGES}.gz"), gzip(&images(4))),
        idx_with(&format!("{TRAIN_LABELS}.gz"), gzip(&labels(&[1, 0, 2, 1]))),
    ] {
        let again = open(packed.path()).unwrap();
        assert_eq!(again.train.digest(), splits.train.digest());
    }
}

#[test]
fn an_idx_file_cut_anywhere_is_truncated_not_read() {
    for (name, whole) in [(TRAIN_IMAGES, images(4)), (TRAIN_LABELS, labels(&[1, 0, 2, 1]))] {
        for end in 0..whole.len() {
            let cut = idx_with(name, whole[..end].to_vec());
            match refusal(&cut) {
                DataError::Truncated { file, found, expected, .. } => {
                    assert!(file.ends_with(name));
                    assert_eq!(found, end as u64);
                    assert!(expected > found && expected <= whole.len() as u64);
                }
                other => panic!("{name} cut at {end}: {other}"),
            }
            let packed = idx_with(&format!("{name}.gz"), gzip(&whole[..end]));
            assert!(matches!(refusal(&packed), DataError::Truncated { .. }));
        }
    }
}

#[test]
fn an_idx_header_that_lies_is_refused_without_reserving() {
    let cases: [(&str, Vec<u8>, &[&str]); 9] = [
        (TRAIN_IMAGES, idx(0x801, &[4], &[0; 4]), &[TRAIN_IMAGES, "0x00000801", "0x00000803"]),
        (TRAIN_LABELS, images(4), &[TRAIN_LABELS, "0x00000803", "0x00000801"]),
        (TRAIN_IMAGES, idx(0x803, &[u32::MAX; 3], &[]), &["rows", "4294967295"]),
        (TRAIN_IMAGES, idx(0x803, &[u32::MAX, 2, 3], &[]), &["offset 4", "4294967295"]),
        (TRAIN_IMAGES, idx(0x803, &[4, 0, 3], &[]), &["offset 8", "rows is 0"]),
        (TRAIN_IMAGES, idx(0x803, &[0, 2, 3], &[]), &["images is 0"]),
        (TRAIN_IMAGES, idx(0x803, &[16_000_000, 8, 8], &[7; 64]), &["ends after 80 bytes"]),
        (TRAIN_LABELS, idx(0x801, &[u32::MAX], &[]), &["labels is 4294967295"]),
        (TRAIN_LABELS, idx(0x801, &[16_000_000], &[1]), &["ends after 9 bytes"]),
    ];
    for (name, bytes, words) in cases {
        assert_refused(&idx_with(name, bytes.clone()), words);
        let name = format!("{name}.gz");
        assert_refused(&idx_with(&name, gzip(&bytes)), words);
    }
}

#[test]
fn what_follows_the_end_is_an_error_even_if_it_would_inflate_without_end() {
    let mut longer = images(4);
    longer.push(0);
    assert_refused(&idx_with(TRAIN_IMAGES, longer), &["goes on after byte 40"]);
    let mut bomb = images(4);
    bomb.resize(64 << 20, 0);
    let name = format!("{TRAIN_IMAGES}.gz");
    assert_refused(&idx_with(&name, gzip(&bomb)), &["goes on after byte 40"]);
    let mut garbage = gzip(&images(4));
    garbage.extend(b"garbage");
    assert_refused(&idx_with(&name, garbage), &["damaged 40 bytes into"]);
    let mut wrong_sum = gzip(&images(4));
    let sum = wrong_sum.len() - 8;
    wrong_sum[sum] ^= 1;
    assert_refused(&idx_with(&name, wrong_sum), &["damaged 40 bytes into"]);
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let count = idx_with(TRAIN_LABELS, labels(&[1, 0, 2]));
    assert_refused(&count, &["4 images", "3 labels", TRAIN_IMAGES, TRAIN_LABELS]);
    let label = idx_with(TEST_LABELS, labels(&[2, 3]));
    assert_refused(&label, &[TEST_LABELS, "record 1", "label 3", "there are 3"]);
    let shape = idx_with(TEST_IMAGES, idx(0x803, &[2, 3, 2], &[0; 12]));
    assert_refused(&shape, &[TEST_IMAGES, "[1, 3, 2]", "[1, 2, 3]"]);
    let missing = idx_with("LICENSE", Vec::new());
    fs::remove_file(missing.path().join(TEST_LABELS)).unwrap();
    assert_refused(&missing, &["part of an IDX set", TEST_LABELS]);
}

#[test]
fn cifar_is_read_under_both_names_and_all_packings() {
    let train = records(&[0, 9, 5]);
    let plain = open(cifar_with("small_train.bin", train.clone()).path()).unwrap();
    assert_eq!((plain.name.as_str(), plain.train.shape), ("cifar10-small", [3, 32, 32]));
    assert_eq!((&plain.train.labels[..], &plain.test.labels[..]), (&[0, 9, 5][..], &[3, 4][..]));
    assert_eq!(plain.train.classes[9], "truck");
    for (name, bytes) in [("small_train.bin.gz", gzip(&train)), ("small_train.bin.xz", xz(&train))]
    {
        let packed = open(cifar_with(name, bytes).path()).unwrap();
        assert_eq!(packed.train.digest(), plain.train.digest());
    }
    for below in ["", "cifar-10-batches-bin/"] {
        let official = tempfile::tempdir().unwrap();
        for batch in 1..=5 {
            put(official.path(), &format!("{below}data_batch_{batch}.bin"), &records(&[batch]));
        }
        assert_refused(&official, &["part of CIFAR-10", "test_batch.bin"]);
        put(official.path(), &format!("{below}test_batch.bin"), &records(&[7]));
        let names = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\r\n\n";
        put(official.path(), &format!("{below}batches.meta.txt"), names.as_bytes());
        let splits = open(official.path()).unwrap();
        assert_eq!(
            (splits.name.as_str(), &splits.train.labels[..]),
            ("cifar10", &[1, 2, 3, 4, 5][..])
        );
        assert_eq!(splits.train.classes[9], "j");
    }
}

/// Records of CIFAR-100: a coarse label, a fine one, pixels of one value.
fn fine_records(labels: &[u8]) -> Vec<u8> {
    labels.iter().flat_map(|&label| [vec![19, label], vec![label; 3072]].concat()).collect()
}

#[test]
fn cifar_100_is_read_by_its_fine_labels() {
    for below in ["", "cifar-100-binary/"] {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), &format!("{below}train.bin.gz"), &gzip(&fine_records(&[0, 99, 39])));
        assert_refused(&folder, &["part of CIFAR-100", "test.bin"]);
        put(folder.path(), &format!("{below}test.bin"), &fine_records(&[1]));
        let splits = open(folder.path()).unwrap();
        assert_eq!((splits.name.as_str(), splits.kind), ("cifar100", "CIFAR-100"));
        assert_eq!(
            (&splits.train.labels[..], &splits.test.labels[..]),
            (&[0, 99, 39][..], &[1][..])
        );
        let names = [0, 39, 99].map(|label| splits.train.classes[label].as_str());
        assert_eq!(names, ["apple", "keyboard", "worm"]);
        let Values::Bytes(pixels) = &splits.train.values else { panic!("not bytes") };
        assert_eq!((pixels.len(), pixels[3071], pixels[3072]), (3 * 3072, 0, 99));

        let names: String = (0..100).map(|label| format!("name{label}\n")).collect();
        put(folder.path(), &format!("{below}fine_label_names.txt"), names.as_bytes());
        assert_eq!(open(folder.path()).unwrap().train.classes[7], "name7");
        put(folder.path(), &format!("{below}test.bin"), &fine_records(&[5, 100]));
        assert_refused(&folder, &["test.bin", "record 1", "label 100", "0 to 99"]);
        put(folder.path(), &format!("{below}test.bin"), &fine_records(&[5])[..3073]);
        assert_refused(&folder, &["test.bin", "3073 bytes", "needs 3074"]);
        put(folder.path(), "small_test.bin", &records(&[1]));
        assert_refused(&folder, &["a small CIFAR-10 and CIFAR-100"]);
    }
}

#[test]
fn damaged_cifar_files_are_refused_by_place_and_value() {
    let with = |bytes| cifar_with("small_train.bin", bytes);
    assert_refused(
        &with(records(&[1, 10])),
        &["small_train.bin", "record 1", "label 10", "0 to 9"],
    );
    assert_refused(&with(records(&[1, 2])[..6145].to_vec()), &["6145 bytes", "needs 6146"]);
    assert_refused(&with(Vec::new()), &["small_train.bin", "no samples"]);
    let packed = |bytes| cifar_with("small_train.bin.xz", bytes);
    assert_refused(&packed(b"this is not xz at all".to_vec()), &["damaged 0 bytes into"]);
    assert_refused(&packed(Vec::new()), &["damaged 0 bytes into"]);
    let mut trailing = xz(&records(&[1]));
    trailing.extend(b"garbage!");
    assert_refused(&packed(trailing), &["damaged 3073 bytes into"]);
    for (names, words) in [
        (&b"a\nb\n"[..], &["names 2 classes", "expected 10"][..]),
        (b"a\na\na\na\na\na\na\na\na\na\n", &["names 1 classes"]),
        (b"a\nb\n\xff\xfe\n", &["batches.meta.txt", "line 3", "not UTF-8"]),
        (&[b'a'; 5000], &["more than 4096 bytes"]),
    ] {
        let folder = with(records(&[1]));
        put(folder.path(), "batches.meta.txt", names);
        assert_refused(&folder, words);
    }
}

#[test]
fn a_cifar_bomb_stops_at_the_limit() {
    let folder = cifar_with("small_train.bin.gz", gzip(&vec![0; 60_001 * 3073]));
    assert_refused(&folder, &["more than 184380000 bytes uncompressed"]);
}

#[test]
fn a_folder_says_what_was_looked_for() {
    let words = ["train-images-idx3-ubyte", "data_batch_1.bin", "small_train.bin"];
    let empty = folder(&[]);
    assert!(matches!(refusal(&empty), DataError::EmptyFolder { .. }));
    assert_refused(&empty, &words);
    let other = folder(&[("notes.txt", vec![1]), ("weights.bin", vec![2])]);
    assert!(matches!(refusal(&other), DataError::Unrecognised { .. }));
    assert_refused(&other, &words);
    assert_refused(&other, &["holds notes.txt, weights.bin"]);
    let both = idx_with("small_train.bin", records(&[1]));
    assert!(matches!(refusal(&both), DataError::SeveralKinds { .. }));
    assert_refused(&both, &["IDX and a small CIFAR-10"]);
    let file = empty.path().join("file");
    fs::write(&file, "x").unwrap();
    assert!(matches!(open(&file), Err(DataError::UnknownFile { .. })));
}

#[test]
fn a_source_is_made_or_a_path_or_a_name_below_the_root() {
    let made = |text| open_source(text, None, &Reading::default()).unwrap().train.digest();
    assert_eq!(made("made"), made("made:1"));
    assert_ne!(made("made"), made("made:2"));
    for text in ["made:", "made:x", "made:-1", "made:18446744073709551616"] {
        assert!(
            matches!(open_source(text, None, &Reading::default()), Err(DataError::Seed { .. })),
            "{text}"
        );
    }
    let folder = idx_with("LICENSE", Vec::new());
    let name = folder.path().file_name().unwrap().to_str().unwrap();
    assert!(open_source(folder.path().to_str().unwrap(), None, &Reading::default()).is_ok());
    assert!(open_source(name, folder.path().parent(), &Reading::default()).is_ok());
    for text in ["", "nowhere-at-all"] {
        let error =
            open_source(text, Some(Path::new("/no-root")), &Reading::default()).unwrap_err();
        let DataError::Missing { looked_at, .. } = error else { panic!("{error}") };
        assert_eq!(looked_at, [PathBuf::from(text), Path::new("/no-root").join(text)]);
    }
}

/// Flips, cuts and grows `whole` in many random ways, and opens each.
fn survive(name: &str, whole: &[u8], with: impl Fn(Vec<u8>) -> TempDir) {
    let mut stream = Stream::new(9, name);
    for _ in 0..300 {
        let mut bytes = whole.to_vec();
        for _ in 0..=stream.index(3) {
            let at = stream.index(bytes.len().max(1));
            match stream.below(4) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at.min(bytes.len()), stream.below(256) as u8),
                _ if bytes.is_empty() => bytes.push(0),
                // The first bytes, headers, are hit as often as all the rest.
                2 => bytes[at.min(31)] ^= 1 << stream.below(8),
                _ => bytes[at] = stream.below(256) as u8,
            }
        }
        if let Ok(splits) = open(with(bytes).path()) {
            splits.train.check().unwrap();
            splits.test.check().unwrap();
        }
    }
}

#[test]
fn no_corruption_makes_a_loader_panic() {
    for (name, whole) in [(TRAIN_IMAGES, images(4)), (TRAIN_LABELS, labels(&[1, 0, 2, 1]))] {
        survive(name, &whole, |bytes| idx_with(name, bytes));
        let packed = format!("{name}.gz");
        survive(&packed, &gzip(&whole), |bytes| idx_with(&packed, bytes));
    }
    let whole = records(&[1, 2, 3]);
    let packings = [
        ("small_train.bin", whole.clone()),
        ("small_train.bin.gz", gzip(&whole)),
        ("small_train.bin.xz", xz(&whole)),
    ];
    for (name, bytes) in packings {
        survive(name, &bytes, |bytes| cifar_with(name, bytes));
    }
    let hundred = gzip(&fine_records(&[1, 2, 3]));
    survive("train.bin.gz", &hundred, |bytes| {
        folder(&[("train.bin.gz", bytes), ("test.bin", fine_records(&[4]))])
    });
    survive("batches.meta.txt", b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n", |bytes| {
        let folder = cifar_with("small_train.bin", records(&[1]));
        put(folder.path(), "batches.meta.txt", &bytes);
        folder
    });
}

/// A real set, or nothing, said loudly.
fn real(name: &str) -> Option<Splits> {
    let Some(root) = std::env::var_os("UNLEARN_DATA") else {
        eprintln!("SKIPPED: UNLEARN_DATA is not set ({name} was not read)");
        return None;
    };
    Some(open_source(name, Some(Path::new(&root)), &Reading::default()).unwrap())
}

#[test]
fn the_real_fashion_mnist_is_read_as_published() {
    let Some(splits) = real("fashion-mnist") else { return };
    assert_eq!(splits.name, "fashion-mnist");
    assert_eq!((splits.train.len(), splits.test.len()), (60_000, 10_000));
    assert_eq!((splits.train.shape, splits.train.classes.len()), ([1, 28, 28], 10));
    assert_eq!(splits.train.labels[..4], [9, 0, 0, 3]);
    for class in 0..10 {
        let count = |labels: &[u32]| labels.iter().filter(|&&label| label == class).count();
        assert_eq!((count(&splits.train.labels), count(&splits.test.labels)), (6000, 1000));
    }
}

#[test]
fn the_real_small_cifar_is_read_in_its_cycle_of_classes() {
    let Some(splits) = real("cifar10") else { return };
    assert_eq!(splits.name, "cifar10-small");
    assert_eq!((splits.train.len(), splits.test.len()), (10_000, 2000));
    for set in [&splits.train, &splits.test] {
        assert!(set.labels.iter().zip((0..10).cycle()).all(|(&label, class)| label == class));
        assert_eq!((set.classes[0].as_str(), set.classes[6].as_str()), ("airplane", "frog"));
    }
}

#[test]
fn a_set_larger_than_its_memory_is_the_same_set() {
    let folder = cifar_with("small_train.bin", records(&[1, 2, 5]));
    let held = open(folder.path()).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let room = Room { memory: 5000, folder: Some(scratch.path().to_path_buf()) };
    let filed = unlearn::data::open(folder.path(), &Reading { room, extraction: None }).unwrap();
    assert!(matches!(filed.train.values, Values::Filed(_)), "two records fit in 5,000 bytes");
    assert_eq!(held.train.digest(), filed.train.digest());
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "a name was left behind");
    let room = Room { memory: 5000, folder: None };
    let refused = unlearn::data::open(folder.path(), &Reading { room, extraction: None });
    assert!(matches!(refused, Err(DataError::NoRoom { limit: 5000 })));
}

#[test]
fn a_kind_of_data_takes_its_own_extraction_and_no_other() {
    let folder = cifar_with("small_train.bin", records(&[1, 2, 5]));
    let extraction = Some(Extraction::parse("log-mel").unwrap());
    let how = Reading { extraction, ..Reading::default() };
    for refused in [unlearn::data::open(folder.path(), &how), open_source("made", None, &how)] {
        let error = refused.map(|splits| splits.name).unwrap_err();
        assert!(error.to_string().contains("log-mel:rate=8000"), "{error}");
    }
}
