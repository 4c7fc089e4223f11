//! Defends the door for tables of numbers, NumPy arrays and CSV: what people save is read as they mean
//! it; no file, however damaged or dishonest, makes a loader panic or return a set that does not hold
//! together; what is refused is named by file, place and value. UCI HAR is read where `UNLEARN_DATA` is
//! set.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use tempfile::TempDir;
use unlearn::base::rng::Stream;
use unlearn::data::{DataError, Reading, Room, Scenario, Splits, Values, open_source};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fn open(path: &Path) -> Result<Splits, DataError> {
    unlearn::data::open(path, &Reading::default())
}

fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn assert_refused(folder: &TempDir, words: &[&str]) {
    let error = open(folder.path()).map(|splits| splits.name).unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "expected `{word}` in `{error}`");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An array as `numpy.save` writes it.
fn npy(code: &str, shape: &str, contents: &[u8]) -> Vec<u8> {
    npy_text(
        &format!("{{'descr': '{code}', 'fortran_order': False, 'shape': {shape}, }}"),
        contents,
    )
}

fn npy_text(text: &str, contents: &[u8]) -> Vec<u8> {
    let text = format!("{text:<117}\n");
    let len = u16::try_from(text.len()).unwrap().to_le_bytes();
    [b"\x93NUMPY\x01\x00", &len[..], text.as_bytes(), contents].concat()
}

fn floats(shape: &str, values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    npy("<f4", shape, &values.into_iter().flat_map(f32::to_le_bytes).collect::<Vec<u8>>())
}

fn longs(values: &[i64]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    npy("<i8", &format!("({},)", values.len()), &bytes)
}

fn bytes(values: &[u8]) -> Vec<u8> {
    npy("|u1", &format!("({},)", values.len()), values)
}

fn npz(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (at, (name, bytes)) in arrays.iter().enumerate() {
        let methods = [CompressionMethod::Deflated, CompressionMethod::Stored];
        let options = SimpleFileOptions::default().compression_method(methods[at % 2]);
        archive.start_file(format!("{name}.npy"), options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// Ten samples of three values, two classes, two subjects, flags for a test part.
fn arrays() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("X", floats("(10, 3)", (0..30u8).map(f32::from))),
        ("y", longs(&[7, -2, 7, -2, 7, -2, 7, -2, 7, -2])),
        ("subject", bytes(&[9, 9, 10, 10, 9, 9, 10, 10, 9, 9])),
        ("segment", bytes(&[0, 0, 5, 5, 1, 1, 6, 6, 2, 2])),
        ("test", npy("|b1", "(10,)", &[0, 0, 0, 0, 0, 0, 1, 1, 0, 0])),
        ("pos", npy("|O", "(10,)", b"a pickle that nobody reads")),
    ]
}

/// The sound set with `name` replaced, or left out.
fn with(name: &str, array: Option<Vec<u8>>) -> TempDir {
    let mut all = arrays();
    all.retain(|(other, _)| *other != name);
    all.extend(array.map(|array| (name, array)));
    folder(&[("set.npz", npz(&all))])
}

#[test]
fn named_arrays_are_a_set_with_subjects_groups_and_a_test_part() {
    let folder = folder(&[("set.npz", npz(&arrays()))]);
    let splits = open(folder.path()).unwrap();
    assert_eq!((splits.kind, splits.train.shape), ("NumPy arrays", [3, 1, 1]));
    assert_eq!((splits.train.len(), splits.test.len()), (8, 2));
    assert_eq!(splits.train.classes, ["-2", "7"]);
    assert_eq!(splits.train.labels, [1, 0, 1, 0, 1, 0, 1, 0]);
    assert_eq!(splits.train.subject_names, ["9", "10"]);
    assert_eq!(splits.test.subject_names, ["9", "10"]);
    assert_eq!(splits.test.subjects, [1, 1]);
    assert_eq!(splits.train.groups, [0, 0, 3, 3, 1, 1, 2, 2]);
    assert_eq!(splits.test.values, Values::Floats((18..24u8).map(f32::from).collect()));

    // The same by the file itself, and as files of a folder.
    let file = open(&folder.path().join("set.npz")).unwrap();
    assert_eq!((file.name.as_str(), file.train.digest()), ("set", splits.train.digest()));
    let files = tempfile::tempdir().unwrap();
    for (name, bytes) in arrays() {
        fs::write(files.path().join(format!("{name}.npy")), bytes).unwrap();
    }
    assert_eq!(open(files.path()).unwrap().test.digest(), splits.test.digest());
}

#[test]
fn four_arrays_are_two_parts_with_the_classes_of_both() {
    let four = |y_test: &[i64]| {
        npz(&[
            ("x_train", npy("|u1", "(2, 1, 2)", &[1, 2, 3, 4])),
            ("y_train", npy("<i8", "(2, 1)", &[1i64, 0].map(i64::to_le_bytes).concat())),
            ("x_test", npy("|u1", "(1, 1, 2)", &[5, 6])),
            ("y_test", longs(y_test)),
        ])
    };
    let splits = open(folder(&[("mnist.npz", four(&[2]))]).path()).unwrap();
    assert_eq!(splits.train.classes, ["0", "1", "2"]);
    assert_eq!((&splits.train.labels[..], &splits.test.labels[..]), (&[1, 0][..], &[2][..]));
    assert_eq!(splits.test.values, Values::Bytes(vec![5, 6]));
    assert_eq!(splits.train.shape, [1, 1, 2]);
}

#[test]
fn without_flags_a_part_is_held_out_by_group() {
    let splits = open(with("test", None).path()).unwrap();
    assert_eq!(splits.train.len() + splits.test.len(), 10);
    assert!(splits.test.groups.iter().all(|group| !splits.train.groups.contains(group)));
}

#[test]
fn every_type_of_number_becomes_the_float_it_stands_for() {
    fn spell<const N: usize>(values: [[u8; N]; 4]) -> Vec<u8> {
        values.concat()
    }
    let half = |value: f32| half::f16::from_f32(value).to_le_bytes();
    let cases: [(&str, Vec<u8>, [f32; 4]); 11] = [
        ("|b1", vec![0, 1, 1, 0], [0.0, 1.0, 1.0, 0.0]),
        ("|i1", vec![0, 255, 127, 128], [0.0, -1.0, 127.0, -128.0]),
        ("<u2", spell([0u16, 1, 300, 65535].map(u16::to_le_bytes)), [0.0, 1.0, 300.0, 65535.0]),
        ("<i2", spell([0i16, -1, 300, -32768].map(i16::to_le_bytes)), [0., -1., 300., -32768.]),
        ("<u4", spell([0u32, 1, 300, 70000].map(u32::to_le_bytes)), [0.0, 1.0, 300.0, 70000.0]),
        ("<i4", spell([0i32, -1, 300, -70000].map(i32::to_le_bytes)), [0., -1., 300., -70000.]),
        ("<u8", spell([0u64, 1, 300, 70000].map(u64::to_le_bytes)), [0.0, 1.0, 300.0, 70000.0]),
        ("<i8", spell([0i64, -1, 300, -70000].map(i64::to_le_bytes)), [0., -1., 300., -70000.]),
        ("<f2", spell([0.0, -1.0, 0.5, 2048.0].map(half)), [0.0, -1.0, 0.5, 2048.0]),
        ("<f4", spell([0f32, -1.5, 0.1, 1e30].map(f32::to_le_bytes)), [0.0, -1.5, 0.1, 1e30]),
        ("<f8", spell([0f64, -1.5, 0.1, 1e30].map(f64::to_le_bytes)), [0.0, -1.5, 0.1, 1e30]),
    ];
    for (code, contents, expected) in cases {
        let arrays = [
            ("X", npy(code, "(4, 1)", &contents)),
            ("y", bytes(&[0, 1, 0, 1])),
            ("test", bytes(&[0, 0, 0, 1])),
        ];
        let splits = open(folder(&[("set.npz", npz(&arrays))]).path()).unwrap();
        assert_eq!(splits.train.values, Values::Floats(expected[..3].to_vec()), "{code}");
    }
}

#[test]
fn shapes_mean_what_the_rule_or_the_settings_say() {
    let set = |x: Vec<u8>, settings: &str| {
        let arrays = [("X", x), ("y", bytes(&[0, 1])), ("test", bytes(&[0, 1]))];
        folder(&[("set.npz", npz(&arrays)), ("dataset.toml", settings.as_bytes().to_vec())])
    };
    let twelve = |shape| floats(shape, (0..12u8).map(f32::from));
    for (shape, settings, expected, first) in [
        ("(2, 6)", "", [6, 1, 1], [0., 1., 2., 3., 4., 5.]),
        ("(2, 3, 2)", "", [2, 1, 3], [0., 2., 4., 1., 3., 5.]),
        ("(2, 3, 2)", "layout = \"NCT\"", [3, 1, 2], [0., 1., 2., 3., 4., 5.]),
        ("(2, 3, 2)", "layout = \"NHW\"", [1, 3, 2], [0., 1., 2., 3., 4., 5.]),
        ("(2, 1, 2, 3)", "", [3, 1, 2], [0., 3., 1., 4., 2., 5.]),
        ("(2, 3, 1, 2)", "", [3, 1, 2], [0., 1., 2., 3., 4., 5.]),
        ("(2, 1, 2, 3)", "layout = \"NCHW\"", [1, 2, 3], [0., 1., 2., 3., 4., 5.]),
    ] {
        let splits = open(set(twelve(shape), settings).path()).unwrap();
        assert_eq!(splits.train.shape, expected, "{shape} {settings}");
        assert_eq!(splits.train.values, Values::Floats(first.to_vec()), "{shape} {settings}");
    }
    assert_refused(
        &set(twelve("(2, 6)"), "layout = \"NHW\""),
        &["set.npz", "`X`", "[2, 6]", "layout"],
    );
    assert_refused(&set(twelve("(12,)"), ""), &["`X`", "[12]", "(N, T, C)"]);
    assert_refused(&set(twelve("(2, 3, 1, 1, 2)"), ""), &["[2, 3, 1, 1, 2]"]);
}

#[test]
fn classes_get_names_from_settings_an_array_or_a_text_file() {
    let set = |extra: &[(&str, Vec<u8>)], files: &[(&str, &str)]| {
        let mut all = arrays();
        all.retain(|(name, _)| *name != "y");
        all.push(("y", longs(&[1, 2, 1, 2, 1, 2, 1, 2, 1, 2])));
        all.extend(extra.iter().cloned());
        let folder = folder(&[("set.npz", npz(&all))]);
        files.iter().for_each(|(name, text)| fs::write(folder.path().join(name), text).unwrap());
        folder
    };
    let wide: Vec<u8> =
        "zero\0one\0\0two\0\0".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
    let wide = ("classes", npy("<U5", "(3,)", &wide));
    let narrow = ("classes", npy("|S5", "(3,)", b"zero\0one\0\0two\0\0"));
    let plain = ("classes.txt", "zero\none\ntwo\n");
    let settings = ("dataset.toml", "classes = [\"zero\", \"one\", \"two\"]");
    for folder in
        [set(&[wide], &[]), set(&[narrow], &[]), set(&[], &[plain]), set(&[], &[settings])]
    {
        let splits = open(folder.path()).unwrap();
        assert_eq!(splits.train.classes, ["zero", "one", "two"]);
        assert_eq!(splits.train.labels[..2], [1, 2]);
    }
    let numbered = set(&[], &[("activity_labels.txt", "2 run fast\r\n1 walk\r\n3 sit\r\n")]);
    let splits = open(numbered.path()).unwrap();
    assert_eq!(splits.train.classes, ["walk", "run fast", "sit"]);
    assert_eq!(splits.train.labels[..2], [0, 1]);

    let few = set(&[], &[("classes.txt", "zero\none\n")]);
    assert_refused(&few, &["label `2`", "classes.txt", "names 2 classes"]);
    let twice = set(&[], &[("classes.txt", "1 a\n1 b\n")]);
    assert_refused(&twice, &["classes.txt", "line 2", "named twice"]);
}

#[test]
fn settings_name_arrays_and_are_refused_by_line() {
    let renamed = npz(&[
        ("windows", floats("(2, 2)", [1.0; 4])),
        ("activity", bytes(&[0, 1])),
        ("held_out", bytes(&[0, 1])),
    ]);
    let set = |settings: &str| {
        folder(&[("set.npz", renamed.clone()), ("dataset.toml", settings.as_bytes().to_vec())])
    };
    let names = "samples = \"windows\"\nlabels = \"activity\"\ntest = \"held_out\"\n";
    assert_eq!(open(set(names).path()).unwrap().test.len(), 1);
    assert_refused(&set(""), &["no samples", "X, x, data", "found activity, held_out, windows"]);
    for (settings, words) in [
        ("samples = \"nowhere\"", &["`nowhere`", "dataset.toml names"][..]),
        ("\nsample = \"windows\"", &["dataset.toml", "line 2", "unknown field `sample`"]),
        ("\n\nlayout = \"NTV\"", &["line 3", "NTV"]),
        ("classes = [\n\"a\",\n\"\"]", &["line 1", "no name of a class"]),
        ("shape = [1, 2, 3]", &["dataset.toml", "`shape` means nothing for NumPy arrays"]),
        ("samples = ", &["line 1"]),
    ] {
        assert_refused(&set(settings), words);
    }
    let not_text = folder(&[("set.npz", renamed.clone()), ("dataset.toml", b"\n\xff".to_vec())]);
    assert_refused(&not_text, &["dataset.toml", "line 2", "not UTF-8"]);
}

#[test]
fn an_array_that_lies_is_refused_by_name_and_place() {
    let x = |array| with("X", Some(array));
    let y = |array| with("y", Some(array));
    let huge = "(1152921504606846976,)";
    assert_refused(&x(npy("<f4", huge, &[0; 40])), &["set.npz", "`X`", "less than 2^62"]);
    assert_refused(&x(npy("|u1", huge, &[0; 40])), &["`X`", "40 bytes", "1152921504606846976"]);
    assert_refused(&x(floats("(1000000, 3)", [0.0; 30])), &["120 bytes", "12000000"]);
    assert_refused(&x(floats("(10, 2)", [0.0; 30])), &["120 bytes", "80"]);
    assert_refused(&x(floats("(10, 0)", [])), &["[10, 0]", "1 to 16777216 samples"]);
    assert_refused(&x(npy(">f4", "(10, 3)", &[0; 120])), &["`X`", "`>f4`", "little-endian"]);
    assert_refused(&x(npy("|O", "(10, 3)", b"pickle")), &["`X`", "`|O`"]);
    assert_refused(&x(npy("<U3", "(1, 10)", &[0; 120])), &["`X`", "texts", "numbers"]);
    assert_refused(&x(b"PK\x03\x04 not an array".to_vec()), &["`X`", "offset 0", "NUMPY"]);
    let fortran = "{'descr': '<f4', 'fortran_order': True, 'shape': (10, 3), }";
    assert_refused(&x(npy_text(fortran, &[0; 120])), &["`X`", "Fortran order", "ascontiguous"]);
    let record = "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (10,), }";
    assert_refused(&x(npy_text(record, &[0; 40])), &["`X`", "records of several fields"]);
    assert_refused(&x(npy_text("{'descr': <f4}", &[])), &["`X`", "offset 20", "a text in quotes"]);

    let mut values = [0.0; 30];
    values[17] = f32::NAN;
    assert_refused(&x(floats("(10, 3)", values)), &["`X`", "[5, 2]", "NaN", "finite"]);
    let mut wide = [0.5f64; 30];
    wide[4] = 1e300;
    let wide = npy("<f8", "(10, 3)", &wide.map(f64::to_le_bytes).concat());
    assert_refused(&x(wide), &["[1, 1]", "1000000000000000", "32-bit"]);

    assert_refused(&y(longs(&[0, 1])), &["`y` has 2 entries", "`X` 10 samples"]);
    assert_refused(&y(floats("(10,)", [0.0; 10])), &["`y`", "floats", "whole numbers"]);
    assert_refused(&y(npy("|u1", "(10, 2)", &[0; 20])), &["`y`", "[10, 2]", "one entry a sample"]);
    assert_refused(&y(npy("|S1", "(10,)", b"abababa\0ab")), &["`y`", "[7]", "not empty"]);
    assert_refused(&with("y", None), &["no labels", "y, label", "X, pos, segment"]);
    let both = with("label", Some(bytes(&[0; 10])));
    assert_refused(&both, &["`label` and `y`", "may both be the labels", "dataset.toml"]);
    let flags = with("test", Some(bytes(&[0, 1, 0, 1, 2, 0, 0, 0, 0, 0])));
    assert_refused(&flags, &["`test`", "[4]", "found 2"]);
    let none = with("test", Some(bytes(&[0; 10])));
    assert_refused(&none, &["the test part holds no samples"]);
}

#[test]
fn an_archive_that_lies_is_refused() {
    let whole = npz(&arrays());
    let lie = |from: &[u8], to: &[u8]| {
        let mut bytes = whole.clone();
        let at = bytes.windows(from.len()).rposition(|window| window == from).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to);
        folder(&[("set.npz", bytes)])
    };
    // The last entry of that name is the one in the central directory.
    assert_refused(&lie(b"y.npy", b"X.npy"), &["set.npz", "one name"]);
    let mut cut = whole.clone();
    cut.truncate(whole.len() - 30);
    assert_refused(&folder(&[("set.npz", cut)]), &["set.npz", "no sound .npz archive"]);
    assert_refused(&folder(&[("set.npz", vec![])]), &["no sound .npz archive"]);
    let two = folder(&[("a.npz", whole.clone()), ("b.npz", whole.clone())]);
    assert_refused(&two, &["a.npz, b.npz", "one .npz file"]);

    // Contents that are not what the checksum says: every second entry is stored as it is.
    let x = arrays().swap_remove(0);
    let y = ("y", bytes(&[0, 1, 0, 1, 0, 1, 0, 1, 0, 1]));
    let mut damaged = npz(&[("a", bytes(&[0])), x, y]);
    let value = 23.0f32.to_le_bytes();
    let at = damaged.windows(4).position(|window| window == value).unwrap();
    assert!(open(folder(&[("set.npz", damaged.clone())]).path()).is_ok());
    damaged[at + 1] ^= 1;
    assert_refused(&folder(&[("set.npz", damaged)]), &["set.npz", "damaged 120 bytes into"]);
}

#[test]
fn an_entry_that_inflates_beyond_its_shape_is_an_error() {
    // 64 MiB of zeros in an entry whose header says 40 bytes.
    let bomb = npy("<f4", "(10, 1)", &vec![0; 64 << 20]);
    assert_refused(&with("X", Some(bomb.clone())), &["`X`", "67108864 bytes", "needs 40"]);
    // The same where the directory lies with the header.
    let archive = npz(&[("X", bomb.clone()), ("y", bytes(&[0; 10]))]);
    let mut bytes = archive.clone();
    let honest = u32::try_from(bomb.len()).unwrap().to_le_bytes();
    let lie = u32::try_from(bomb.len() - (64 << 20) + 40).unwrap().to_le_bytes();
    let mut found = 0;
    for at in 0..bytes.len() - 4 {
        if bytes[at..at + 4] == honest {
            bytes[at..at + 4].copy_from_slice(&lie);
            found += 1;
        }
    }
    assert!(found >= 1, "the size stands in the directory");
    assert!(open(folder(&[("set.npz", bytes)]).path()).is_err());
}

#[test]
fn arrays_larger_than_memory_are_the_same_set() {
    let folder = folder(&[("set.npz", npz(&arrays()))]);
    let scratch = tempfile::tempdir().unwrap();
    let small = Room { memory: 30, folder: Some(scratch.path().to_path_buf()) };
    let how = Reading { room: small, extraction: None };
    let filed = unlearn::data::open(folder.path(), &how).unwrap();
    assert!(matches!(filed.train.values, Values::Filed(_)), "three floats fit in 30 bytes");
    let held = open(folder.path()).unwrap();
    assert_eq!(held.train.digest(), filed.train.digest());
    let table = self::folder(&[("set.csv", csv().into_bytes())]);
    let held = open(table.path()).unwrap();
    let filed = unlearn::data::open(table.path(), &how).unwrap();
    assert!(matches!(filed.test.values, Values::Filed(_)));
    assert_eq!(
        (held.train.digest(), held.test.digest()),
        (filed.train.digest(), filed.test.digest())
    );
}

/// A table of twelve lines, three values, three classes, two subjects and six groups.
fn csv() -> String {
    let mut text = String::from("a,b,label,Subject,segment,c\n");
    for line in 0..12u8 {
        let (class, who, group) = (10 - line % 3, ["eve", "bob"][usize::from(line / 6)], line / 2);
        text += &format!("{line},-0.5,{class},{who},{group},1e-{line}\n");
    }
    text
}

#[test]
fn a_table_is_a_set_and_a_part_of_it_is_held_out() {
    let folder = folder(&[("sensors.csv", csv().into_bytes())]);
    let splits = open(folder.path()).unwrap();
    assert_eq!((splits.kind, splits.train.shape), ("CSV", [3, 1, 1]));
    assert_eq!(splits.train.classes, ["8", "9", "10"]);
    assert_eq!(splits.train.subject_names, ["bob", "eve"]);
    assert_eq!(splits.train.len() + splits.test.len(), 12);
    assert!(splits.test.groups.iter().all(|group| !splits.train.groups.contains(group)));
    let Values::Floats(values) = &splits.train.values else { panic!("not floats") };
    assert_eq!(values[1], -0.5);

    for (name, bytes) in [
        ("sensors.csv.gz", gzip(csv().as_bytes())),
        ("sensors.tsv", csv().replace(',', "\t").into_bytes()),
        ("sensors.csv", format!("\u{feff}{}", csv().replace('\n', "\r\n")).into_bytes()),
        ("sensors.csv", csv().replace(",9,", ",\"9\",").into_bytes()),
        ("sensors.csv", csv().trim_end().replace("\n0,", "\n\n\n0,").into_bytes()),
    ] {
        let again = self::folder(&[(name, bytes)]);
        let file = open(&again.path().join(name)).unwrap();
        assert_eq!(file.name, "sensors");
        assert_eq!(file.train.digest(), splits.train.digest(), "{name}");
    }
}

#[test]
fn a_column_or_two_files_tell_the_parts() {
    let column = "label,split,v\na,train,1\nb,TEST,2\nb,train,3\n";
    let column = open(folder(&[("set.csv", column.into())]).path()).unwrap();
    let files =
        [("train.csv", b"label,v\na,1\nb,3\n".to_vec()), ("test.csv", b"label,v\nb,2\n".to_vec())];
    let files = open(folder(&files).path()).unwrap();
    assert_eq!(column.train.digest(), files.train.digest());
    assert_eq!(column.test.digest(), files.test.digest());
    assert_eq!(files.test.labels, [1]);

    let pair =
        |train: &str, test: &str| folder(&[("train.csv", train.into()), ("test.csv", test.into())]);
    let swapped = pair("label,v,w\na,1,2\n", "label,w,v\na,1,2\n");
    assert_refused(&swapped, &["test.csv", "`w`", "train.csv", "`v`"]);
    assert_refused(&pair("label,v\na,1\n", "label,v\n"), &["the test part holds no samples"]);
    let split = pair("label,split,v\na,train,1\n", "label,v\na,1\n");
    assert_refused(&split, &["train.csv", "`split`", "two files"]);
    let three = folder(&[("a.csv", csv().into()), ("b.csv", csv().into()), ("c.tsv", vec![])]);
    assert_refused(&three, &["a.csv, b.csv, c.tsv", "train.csv and test.csv"]);
}

#[test]
fn three_axes_named_x_y_z_are_values_beside_a_label() {
    let axes = "x,y,z,label,split\n1,2,3,a,train\n4,5,6,b,test\n";
    let splits = open(folder(&[("set.csv", axes.into())]).path()).unwrap();
    assert_eq!(splits.train.values, Values::Floats(vec![1.0, 2.0, 3.0]));
    let numbers = "0,1,y,test\n1,2,3,0\n4,5,6,1\n";
    let splits = open(folder(&[("set.csv", numbers.into())]).path()).unwrap();
    assert_eq!(splits.test.values, Values::Floats(vec![4.0, 5.0]));
    assert_eq!(splits.test.classes, ["3", "6"]);
}

#[test]
fn a_shape_in_the_settings_holds_the_values() {
    let text = "p0,p1,p2,p3,label,test\n1,2,3,4,a,0\n5,6,7,8,b,1\n";
    let set =
        |settings: &str| folder(&[("set.csv", text.into()), ("dataset.toml", settings.into())]);
    assert_eq!(open(set("shape = [1, 2, 2]").path()).unwrap().train.shape, [1, 2, 2]);
    let classes = open(set("classes = [\"b\", \"a\", \"c\"]").path()).unwrap();
    assert_eq!((&classes.train.labels[..], classes.train.classes.len()), (&[1][..], 3));
    assert_refused(&set("shape = [1, 2, 3]"), &["dataset.toml", "holds 6", "set.csv", "has 4"]);
    assert_refused(&set("\nshape = [1, 0, 4]"), &["line 2", "side of shape is 0"]);
    assert_refused(&set("layout = \"NL\""), &["`layout` means nothing for CSV"]);
    assert_refused(&set("labels = \"q\""), &["set.csv", "`q`", "found p0, p1"]);
}

#[test]
fn a_field_that_is_wrong_is_told_with_line_column_and_text() {
    let table =
        |rows: &str| folder(&[("t.csv", format!("label,v,w,subject\n{rows}").into_bytes())]);
    let good = "a,1,2,s\n";
    for (rows, words) in [
        (&*format!("{good}a,1,x,s\n"), &["t.csv", "line 3", "column `w`", "`x`", "finite"][..]),
        ("a,,2,s\n", &["line 2", "column `v`", "found ``"]),
        ("a,NaN,2,s\n", &["line 2", "column `v`", "`NaN`"]),
        ("a,1,-inf,s\n", &["column `w`", "`-inf`"]),
        ("a,1,1e39,s\n", &["column `w`", "`1e39`"]),
        ("a,1,0x10,s\n", &["column `w`", "`0x10`"]),
        ("a,1,2\0,s\n", &["column `w`", "`2\\0`"]),
        (",1,2,s\n", &["column `label`", "not empty"]),
        ("a,1,2,s\0t\n", &["column `subject`", "`s\\0t`"]),
        ("a,1,2, \n", &["column `subject`"]),
        (&*format!("{good}\n\n{good}a,1,2\n"), &["line 6 has 3 fields", "4 columns"]),
        (&*format!("{good}a,1,2,s,5,6,7\n"), &["line 3 has 7 fields", "4 columns"]),
        (&*format!("\"a\nb\",1,2,s\n{good}"), &["line 2", "column `label`", "a\\nb"]),
        (&*format!("{good}a,1,2,\"s\n{good}"), &["line 3", "column `subject`", "control"]),
        ("a,1,2,s\r\na,1,q,s\r\n", &["line 3", "`q`"]),
        ("a,1,2,s\na,1,q,s", &["line 3", "`q`"]),
    ] {
        assert_refused(&table(rows), words);
    }
    let long = format!("a,1,{},s\n", "7".repeat(100_000));
    assert_refused(&table(&long), &["line 2", "77777777..."]);
    let latin = folder(&[("t.csv", b"label,v\n\xe9,1\n".to_vec())]);
    assert_refused(&latin, &["line 2", "column `label`", "UTF-8"]);
}

#[test]
fn a_first_line_that_names_no_columns_is_told() {
    let table = |text: &str| folder(&[("t.csv", text.into())]);
    assert_refused(&table(""), &["t.csv", "no samples"]);
    assert_refused(&table("label,v\n"), &["no samples"]);
    assert_refused(
        &table("1,2,3\n4,5,6\n"),
        &["no labels", "label, class, target", "found 1, 2, 3"],
    );
    assert_refused(&table(",label,v\n0,a,1\n"), &["line 1, column 1", "a name"]);
    assert_refused(&table("label,class,v\na,b,1\n"), &["`label` and `class`", "may both"]);
    assert_refused(&table("label,split,test,v\na,0,0,1\n"), &["`split` and `test`", "may both"]);
    assert_refused(&table("label\na\n"), &["0 columns of values"]);
    let wide: String = (0..20_000).map(|column| format!("v{column},")).collect();
    assert_refused(&table(&format!("{wide}label\n")), &["20000 columns of values", "16384"]);
}

#[test]
fn a_line_without_an_end_meets_a_limit() {
    let endless = [b"label,v\na,".to_vec(), vec![b'1'; 40 << 20]].concat();
    let packed = folder(&[("t.csv.gz", gzip(&endless))]);
    assert_refused(&packed, &["t.csv.gz", "line 2", "33554432 bytes in a line"]);
    let commas = [b"label,v\na".to_vec(), vec![b','; 2 << 20]].concat();
    assert_refused(&folder(&[("t.csv", commas)]), &["line 2", "1048576 columns"]);
    let mut many = String::from("label,v\n");
    (0..65_537).for_each(|line| many += &format!("{line}.5,1\n"));
    assert_refused(&folder(&[("t.csv", many.into())]), &["line 65538", "65536 different names"]);
}

/// Flips, cuts and grows `whole` in many random ways, and opens each.
fn survive(name: &str, whole: &[u8]) {
    let mut stream = Stream::new(9, name);
    for round in 0..400 {
        let mut bytes = whole.to_vec();
        for _ in 0..=stream.index(3) {
            let at = stream.index(bytes.len().max(1));
            match stream.below(5) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at.min(bytes.len()), stream.below(256) as u8),
                _ if bytes.is_empty() => bytes.push(0),
                // The first and last bytes, headers and directories, are hit as often as the rest.
                2 => bytes[at.min(150)] ^= 1 << stream.below(8),
                3 => {
                    let last = bytes.len() - 1 - at.min(300).min(bytes.len() - 1);
                    bytes[last] = stream.below(256) as u8;
                }
                _ => bytes[at] = stream.below(256) as u8,
            }
        }
        let folder = folder(&[(name, bytes)]);
        if let Ok(splits) = open(&folder.path().join(name)) {
            splits.train.check().unwrap_or_else(|error| panic!("round {round}: {error}"));
            splits.test.check().unwrap_or_else(|error| panic!("round {round}: {error}"));
        }
    }
}

#[test]
fn no_corruption_makes_a_loader_panic() {
    survive("set.npz", &npz(&arrays()));
    survive("set.csv", csv().as_bytes());
    survive("set.csv.gz", &gzip(csv().as_bytes()));
}

#[test]
fn an_array_cut_anywhere_is_refused() {
    let arrays = arrays();
    let whole = &arrays[0].1;
    for end in 0..whole.len() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in &arrays {
            let bytes = if *name == "X" { &whole[..end] } else { bytes };
            fs::write(folder.path().join(format!("{name}.npy")), bytes).unwrap();
        }
        assert_refused(&folder, &["X.npy", "array `X`"]);
    }
    let archive = npz(&arrays);
    for end in 0..archive.len() {
        assert_refused(&folder(&[("set.npz", archive[..end].to_vec())]), &["set.npz"]);
    }
}

#[test]
fn the_real_uci_har_is_people_in_segments() {
    let Some(root) = std::env::var_os("UNLEARN_DATA").filter(|root| !root.is_empty()) else {
        eprintln!("SKIPPED: UNLEARN_DATA is not set (uci-har was not read)");
        return;
    };
    let splits = open_source("uci-har", Some(Path::new(&root)), &Reading::default()).unwrap();
    assert_eq!(splits.name, "uci-har");
    assert_eq!((splits.train.len(), splits.test.len()), (7352, 2947));
    assert_eq!(splits.train.shape, [9, 1, 128]);
    let names =
        ["WALKING", "WALKING_UPSTAIRS", "WALKING_DOWNSTAIRS", "SITTING", "STANDING", "LAYING"];
    assert_eq!(splits.train.classes, names);
    let people: Vec<String> = (1..=30).map(|person: u32| person.to_string()).collect();
    assert_eq!((&splits.train.subject_names, &splits.test.subject_names), (&people, &people));
    let count = |subjects: &[u32]| subjects.iter().collect::<std::collections::BTreeSet<_>>().len();
    assert_eq!((count(&splits.train.subjects), count(&splits.test.subjects)), (21, 9));
    assert_eq!(splits.train.groups.iter().chain(&splits.test.groups).max(), Some(&856));
    let scenario = Scenario::parse("subject=7").unwrap().forget_indices(&splits.train, 1).unwrap();
    assert!(scenario.forget.iter().all(|&index| splits.train.subjects[index] == 6));
    assert_eq!(scenario.forget.len() + scenario.retain.len(), 7352);
    // Gravity: the total acceleration along the first axis is near 1 g while people stand.
    let mut sample = vec![0.0; 9 * 128];
    let standing = splits.train.labels.iter().position(|&label| label == 4).unwrap();
    splits.train.read(standing, &mut sample);
    let mean = sample[6 * 128..7 * 128].iter().sum::<f32>() / 128.0;
    assert!((0.8..1.2).contains(&mean), "the mean of total_acc_x is {mean}");
}
