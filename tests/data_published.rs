//! Defends the layouts of published sets that are told by lists or arrays of their own: Oxford-IIIT
//! Pet, SUN397, Tiny ImageNet, SVHN. The sets here are small and made here, laid out as theirs are;
//! SVHN's two files were written by scipy (`tests/reference/svhn.py`).

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use unlearn::base::rng::Stream;
use unlearn::data::{DataError, Dataset, Reading, Splits, Values};

fn open(path: &Path) -> Result<Splits, DataError> {
    unlearn::data::open(path, &Reading::default())
}

fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let file = folder.join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, bytes).unwrap();
}

/// A picture of one colour.
fn picture(folder: &Path, name: &str, shade: u8) {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 2, 2);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&[shade; 12]).unwrap();
    write(folder, name, bytes);
}

/// Class and shade of each sample, in order.
fn told(set: &Dataset) -> Vec<(&str, u8)> {
    let Values::Bytes(values) = &set.values else { panic!("pictures are bytes") };
    let shades = values.chunks(set.sample_len()).map(|sample| sample[0]);
    set.labels.iter().map(|&label| &*set.classes[label as usize]).zip(shades).collect()
}

fn refused(path: &Path, words: &[&str]) {
    let error = open(path).map(|splits| splits.name).unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "expected `{word}` in `{error}`");
    }
}

#[test]
fn pets_are_named_by_breed_and_parted_by_their_lists() {
    let set = tempfile::tempdir().unwrap();
    let set = set.path();
    for (at, name) in ["Bombay_1", "Bombay_2", "great_dane_7", "great_dane_11"].iter().enumerate() {
        picture(set, &format!("images/{name}.png"), at as u8);
        picture(set, &format!("annotations/trimaps/{name}.png"), 99);
        write(set, &format!("annotations/trimaps/._{name}.png"), "not a picture");
    }
    picture(set, "images/unlisted_1.png", 50);
    let train = "# Name class species breed\nBombay_1 1 1 1\ngreat_dane_7 2 2 1\n";
    write(set, "annotations/trainval.txt", train);
    write(set, "annotations/test.txt", "great_dane_11 2 2 1\nBombay_2 1 1 1\n");
    let splits = open(set).unwrap();
    assert_eq!(told(&splits.train), [("Bombay", 0), ("great_dane", 2)]);
    assert_eq!(told(&splits.test), [("Bombay", 1), ("great_dane", 3)]);

    write(set, "annotations/test.txt", "great_dane_11 2 2 1\nBombay_1 1 1 1\n");
    refused(set, &["annotations/test.txt", "line 2", "each picture once"]);
    write(set, "annotations/test.txt", "great_dane_12 2 2 1\n");
    refused(set, &["annotations/test.txt", "great_dane_12.jpg", "is not there"]);
}

#[test]
fn scenes_have_nested_folders_for_classes() {
    let set = tempfile::tempdir().unwrap();
    let set = set.path();
    for (at, class) in ["a/abbey", "c/church/indoor", "c/church/outdoor"].iter().enumerate() {
        for n in 0..5 {
            picture(set, &format!("{class}/sun_{n}.png"), (10 * at + n) as u8);
        }
    }
    write(set, "ClassName.txt", "/a/abbey\n/c/church/indoor\n/c/church/outdoor\n");
    let splits = open(set).unwrap();
    assert_eq!(splits.train.classes, ["abbey", "church/indoor", "church/outdoor"]);
    // Without lists of parts, a fifth of each class tests.
    assert_eq!((splits.train.len(), splits.test.len()), (12, 3));

    write(set, "Training_01.txt", "/a/abbey/sun_0.png\n/c/church/indoor/sun_1.png\n");
    write(set, "Testing_01.txt", "/c/church/outdoor/sun_4.png\n");
    let splits = open(set).unwrap();
    assert_eq!(told(&splits.train), [("abbey", 0), ("church/indoor", 11)]);
    assert_eq!(told(&splits.test), [("church/outdoor", 24)]);
    write(set, "ClassName.txt", "/a/abbey\n/a/abbey\n");
    refused(set, &["ClassName.txt", "line 2", "each once"]);
}

#[test]
fn tiny_imagenet_tests_on_its_validation_part() {
    let set = tempfile::tempdir().unwrap();
    let root = set.path().join("tiny-imagenet-200");
    for (at, class) in ["n01", "n02"].iter().enumerate() {
        picture(&root, &format!("train/{class}/images/{class}_0.png"), at as u8);
        write(&root, &format!("train/{class}/{class}_boxes.txt"), "0 0 62 62\n");
        picture(&root, &format!("val/images/val_{at}.png"), 10 + at as u8);
    }
    picture(&root, "test/images/test_0.png", 77);
    let list = "val_0.png\tn02\t0\t0\t9\t9\nval_1.png\tn01\t0\t0\t9\t9\n";
    write(&root, "val/val_annotations.txt", list);
    let splits = open(set.path()).unwrap();
    assert_eq!(told(&splits.train), [("n01", 0), ("n02", 1)]);
    assert_eq!(told(&splits.test), [("n02", 10), ("n01", 11)]);
    write(&root, "val/val_annotations.txt", format!("{list}val_2.png\tn01\t0\t0\t9\t9\n"));
    refused(set.path(), &["val_annotations.txt", "val_2.png", "is not there"]);
    write(&root, "val/val_annotations.txt", "val_0.png\n");
    refused(set.path(), &["val_annotations.txt", "line 1", "NAME CLASS"]);
}

fn svhn() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/svhn")
}

#[test]
fn svhn_is_read_as_scipy_wrote_it() {
    let splits = open(&svhn()).unwrap();
    assert_eq!((&*splits.name, splits.kind, splits.train.shape), ("svhn", "SVHN", [3, 32, 32]));
    assert_eq!(splits.train.labels, [1, 9, 0, 2, 3, 4, 5, 6, 7, 8, 0, 1]);
    assert_eq!(splits.test.labels, [0, 3]);
    assert_eq!(splits.train.classes[9], "9");
    for set in [&splits.train, &splits.test] {
        let Values::Bytes(values) = &set.values else { panic!("pictures are bytes") };
        for (at, &value) in values.iter().enumerate() {
            let (n, c, h, w) = (at / 3072, at / 1024 % 3, at / 32 % 32, at % 32);
            assert_eq!(
                usize::from(value),
                (5 * h + 3 * w + 50 * c + 11 * n) % 256,
                "{n} {c} {h} {w}"
            );
        }
    }
}

/// SVHN's files, one of them changed.
fn changed(name: &str, change: impl Fn(&mut Vec<u8>)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for own in ["train_32x32.mat", "test_32x32.mat"] {
        let mut bytes = fs::read(svhn().join(own)).unwrap();
        if own == name {
            change(&mut bytes);
        }
        fs::write(folder.path().join(own), bytes).unwrap();
    }
    folder
}

#[test]
fn matlab_files_that_are_damaged_or_lie_are_refused_with_their_place() {
    let cases: [(&str, usize, u8, &[&str]); 8] = [
        ("test_32x32.mat", 124, 9, &["offset 124", "level 5"]),
        ("test_32x32.mat", 128, 7, &["offset 128", "type 7"]),
        ("test_32x32.mat", 135, 9, &["offset 128", "end within the file"]),
        ("test_32x32.mat", 0x88, 5, &["type 5", "each short"]),
        ("test_32x32.mat", 0xa0, 31, &["`X` of shape [31, 32, 3, 2]"]),
        ("test_32x32.mat", 0xac, 3, &["6144 bytes", "save it as uint8"]),
        ("test_32x32.mat", 0xb8, 9, &["of type 9", "save it as uint8"]),
        ("test_32x32.mat", 0x18f4, 11, &["label 11 of sample 0"]),
    ];
    for (name, at, value, words) in cases {
        refused(changed(name, |bytes| bytes[at] = value).path(), words);
    }
    refused(changed("train_32x32.mat", |bytes| bytes.truncate(900)).path(), &["train_32x32.mat"]);
    refused(changed("train_32x32.mat", |bytes| bytes[300] ^= 255).path(), &["train_32x32.mat"]);
    let lone = changed("", |_| ());
    fs::remove_file(lone.path().join("test_32x32.mat")).unwrap();
    refused(lone.path(), &["part of SVHN", "test_32x32.mat"]);
}

#[test]
fn no_corruption_of_a_matlab_file_makes_the_loader_panic() {
    let mut stream = Stream::new(9, "mat");
    for round in 0..300 {
        let name = ["test_32x32.mat", "train_32x32.mat"][round % 2];
        let places: Vec<(usize, u8)> =
            (0..3).map(|_| (stream.index(400), stream.below(256) as u8)).collect();
        let folder = changed(name, |bytes| {
            for &(at, value) in &places {
                bytes[at] = value;
            }
        });
        if let Ok(splits) = open(folder.path()) {
            splits.train.check().unwrap();
        }
    }
}
