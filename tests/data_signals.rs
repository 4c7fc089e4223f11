//! Defends the door for sound, text and pictures: the same samples from a folder and from an archive
//! in any order, and an error with its place for whatever is damaged, dishonest or mixed. Real sets
//! are read where `UNLEARN_DATA` is set.

#[path = "common/packed.rs"]
mod packed;

use std::fs;
use std::io::Cursor;
use std::path::Path;

use packed::{gzip, xz};
use tempfile::TempDir;
use unlearn::base::hash::Digest;
use unlearn::base::rng::Stream;
use unlearn::data::{
    DataError, Extraction, LogMel, Reading, Room, Scenario, SignalError, Splits, Values,
    open_source,
};

type Files = Vec<(String, Vec<u8>)>;

fn open(path: &Path) -> Result<Splits, DataError> {
    unlearn::data::open(path, &Reading::default())
}

/// Opens with features as they are written after `--features`.
fn open_with(path: &Path, features: &str) -> Result<Splits, DataError> {
    let extraction = Some(Extraction::parse(features).unwrap());
    unlearn::data::open(path, &Reading { extraction, ..Reading::default() })
}

fn folder(files: &[(String, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }
    folder
}

fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    archive.into_inner().unwrap()
}

/// `name` alone in a folder.
fn one(name: &str, bytes: Vec<u8>) -> TempDir {
    folder(&[(name.to_string(), bytes)])
}

fn digests(splits: &Splits) -> [Digest; 2] {
    [splits.train.digest(), splits.test.digest()]
}

fn assert_refused(result: Result<Splits, DataError>, words: &[&str]) {
    let error = result.map(|splits| splits.name).unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "expected `{word}` in `{error}`");
    }
}

/// Holds that `files` give the same set from a folder, from archives in any order, and from a file
/// where they are larger than memory; and gives that set.
fn the_same_from_everywhere(files: &Files) -> Splits {
    let plain = folder(files);
    let splits = open(plain.path()).unwrap();
    let mut shuffled = files.clone();
    for (round, ending) in ["tar", "tar.gz", "tgz", "tar.xz"].into_iter().enumerate() {
        Stream::new(round as u64, "order").shuffle(&mut shuffled);
        let below: Files =
            shuffled.iter().map(|(name, bytes)| (format!("./a/{name}"), bytes.clone())).collect();
        let bytes = tar(if round % 2 == 0 { &below } else { &shuffled });
        let bytes = match ending {
            "tar" => bytes,
            "tar.xz" => xz(&bytes),
            _ => gzip(&bytes),
        };
        let packed = one(&format!("set.{ending}"), bytes);
        let again = open(&packed.path().join(format!("set.{ending}"))).unwrap();
        assert_eq!((digests(&again), &*again.name), (digests(&splits), "set"), "{ending}");
        let alone = open(packed.path()).unwrap();
        assert_eq!(digests(&alone), digests(&splits));
        assert_eq!(alone.train.subject_names, splits.train.subject_names);
        assert_eq!(alone.extraction, splits.extraction);
        let scratch = tempfile::tempdir().unwrap();
        let room = Room { memory: 100, folder: Some(scratch.path().to_path_buf()) };
        let how = Reading { room, extraction: None };
        let filed = unlearn::data::open(packed.path(), &how).unwrap();
        assert!(matches!(filed.train.values, Values::Filed(_)), "it fits in 100 bytes");
        assert_eq!(digests(&filed), digests(&splits));
    }
    splits
}

/// Flips, cuts and grows `whole` in many random ways, and opens each as `name`.
fn survive(name: &str, whole: &[u8], beside: &Files) {
    let mut stream = Stream::new(9, name);
    for _ in 0..200 {
        let mut bytes = whole.to_vec();
        for _ in 0..=stream.index(3) {
            let at = stream.index(bytes.len().max(1));
            match stream.below(4) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at.min(bytes.len()), stream.below(256) as u8),
                _ if bytes.is_empty() => bytes.push(0),
                2 => bytes[at.min(63)] ^= 1 << stream.below(8),
                _ => bytes[at] = stream.below(256) as u8,
            }
        }
        let set = folder(beside);
        let file = set.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
        if let Ok(splits) = open(set.path()) {
            splits.train.check().unwrap();
            splits.test.check().unwrap();
        }
    }
}

/// A real set, or nothing, said loudly.
fn real(name: &str) -> Option<Splits> {
    let Some(root) = std::env::var_os("UNLEARN_DATA").filter(|root| !root.is_empty()) else {
        eprintln!("SKIPPED: UNLEARN_DATA is not set ({name} was not read)");
        return None;
    };
    Some(open_source(name, Some(Path::new(&root)), &Reading::default()).unwrap())
}

const PLAIN: hound::WavSpec = hound::WavSpec {
    channels: 1,
    sample_rate: 8000,
    bits_per_sample: 16,
    sample_format: hound::SampleFormat::Int,
};

/// A small sound that depends on `seed`.
fn wav_of(seed: u64, spec: hound::WavSpec) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
    let mut stream = Stream::new(seed, "sound");
    for _ in 0..300 {
        let value = stream.below(200) as i32 - 100;
        for _ in 0..spec.channels {
            match spec.sample_format {
                hound::SampleFormat::Int => {
                    writer.write_sample(value << (spec.bits_per_sample - 8)).unwrap();
                }
                hound::SampleFormat::Float => writer.write_sample(value as f32 / 128.0).unwrap(),
            }
        }
    }
    writer.finalize().unwrap();
    bytes.into_inner()
}

fn wav(seed: u64) -> Vec<u8> {
    wav_of(seed, PLAIN)
}

/// Two digits of two speakers, eight of each, in the names of the Free Spoken Digit Dataset.
fn digits() -> Files {
    let mut files = Vec::new();
    for (at, (digit, speaker)) in
        [(0, "ann"), (0, "bob"), (7, "ann"), (7, "bob")].into_iter().enumerate()
    {
        for number in 0..8 {
            let name = format!("{digit}_{speaker}_{number}.wav");
            files.push((name, wav((at * 8 + number) as u64)));
        }
    }
    files.push(("README.md".to_string(), b"text".to_vec()));
    files.push((".hidden.wav".to_string(), b"no sound".to_vec()));
    files
}

#[test]
fn spoken_digits_have_speakers_and_their_own_test_part() {
    let splits = the_same_from_everywhere(&digits());
    assert_eq!(splits.kind, "sound");
    assert_eq!((splits.train.len(), splits.test.len()), (12, 20));
    assert_eq!(
        (splits.train.shape, &splits.train.classes[..]),
        ([1, 40, 64], &["0".into(), "7".into()][..])
    );
    assert_eq!(splits.train.subject_names, ["ann", "bob"]);
    assert_eq!(splits.train.labels, [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]);
    assert_eq!(splits.train.subjects, [0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1]);
    assert_eq!(splits.extraction, Some(Extraction::LogMel(LogMel::default())));
    let bob = Scenario::parse("subject=bob").unwrap().forget_indices(&splits.train, 1).unwrap();
    assert_eq!(bob.forget, [3, 4, 5, 9, 10, 11]);
}

#[test]
fn class_folders_come_in_one_part_or_in_two() {
    let names = |parts: &[&str]| -> Files {
        let mut files = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            for (class, count) in [("dog", 10), ("cat", 5)] {
                for number in 0..count {
                    let name = format!("{part}{class}/{number}.wav");
                    files.push((name, wav((at * 100 + class.len() * number) as u64)));
                }
            }
        }
        files
    };
    let mut files = names(&[""]);
    files.push(("empty/notes.txt".to_string(), b"a class without samples is none".to_vec()));
    files.push(("_background_noise_/noise.wav".to_string(), b"not even sound".to_vec()));
    let splits = the_same_from_everywhere(&files);
    assert_eq!((splits.train.len(), splits.test.len()), (12, 3));
    assert_eq!(splits.train.classes, ["cat", "dog"]);
    assert!(splits.train.subjects.is_empty());
    let splits = the_same_from_everywhere(&names(&["train/", "test/"]));
    assert_eq!((splits.train.len(), splits.test.len()), (15, 15));
    let splits = the_same_from_everywhere(&names(&["train/", "test/", "val/"]));
    assert_eq!((splits.train.len(), splits.test.len()), (15, 15));
    let splits = the_same_from_everywhere(&names(&["train/", "valid/"]));
    assert_eq!((splits.train.len(), splits.test.len()), (15, 15));
    assert_refused(open(folder(&names(&["test/", "val/"])).path()), &["none to learn from"]);
}

#[test]
fn speech_commands_lists_choose_the_parts() {
    let mut files = Files::new();
    for (at, name) in
        ["yes/a_nohash_0", "yes/b_nohash_0", "yes/c_nohash_1", "no/a_nohash_0", "no/b_nohash_0"]
            .into_iter()
            .enumerate()
    {
        files.push((format!("{name}.wav"), wav(at as u64)));
    }
    files.push(("testing_list.txt".into(), b"yes/b_nohash_0.wav\nno/b_nohash_0.wav\n".to_vec()));
    files.push(("validation_list.txt".into(), b"yes/c_nohash_1.wav\r\n".to_vec()));
    let splits = the_same_from_everywhere(&files);
    assert_eq!(splits.train.classes, ["no", "yes"]);
    assert_eq!((&splits.train.labels[..], &splits.test.labels[..]), (&[0, 1][..], &[0, 1][..]));
    assert_eq!(splits.train.subject_names, ["a", "b"]);
    assert_eq!((&splits.train.subjects[..], &splits.test.subjects[..]), (&[0, 0][..], &[1, 1][..]));
}

#[test]
fn a_list_names_class_subject_and_part() {
    let list = "label,path,split,subject\nup,x/1.wav,train,ann\ndown,./2.wav,test,bob\n\
                down,3.wav,train,ann\nup,4.wav,val,eve\n";
    let with = |list: &str| -> Files {
        let mut files: Files = ["x/1", "2", "3", "4", "5"]
            .map(|name| (format!("{name}.wav"), wav(name.len() as u64)))
            .into();
        files.push(("list.csv".to_string(), list.as_bytes().to_vec()));
        files
    };
    let splits = the_same_from_everywhere(&with(list));
    assert_eq!(splits.train.classes, ["down", "up"]);
    assert_eq!((&splits.train.labels[..], &splits.test.labels[..]), (&[0, 1][..], &[0][..]));
    assert_eq!(splits.train.subject_names, ["ann", "bob"]);
    for (list, words) in [
        ("path,class\n2.wav,a\n", &["list.csv", "line 1", "class"][..]),
        ("path,label\n2.wav,a\n9.wav,a\n", &["list.csv", "9.wav", "not there"]),
        ("path,label\n2.wav,a\n2.wav,a\n", &["line 3", "twice"]),
        ("path,label\n2.wav,a\n3.wav,\n", &["line 3", "empty"]),
        ("path,label\n2.wav,a\n3.wav\n", &["line 3"]),
        ("path,label,split\n2.wav,a,rest\n", &["line 2", "`rest` is no part"]),
        ("path,label,subject\n2.wav,a,\n", &["line 2", "subject"]),
    ] {
        assert_refused(open(folder(&with(list)).path()), words);
    }
}

#[test]
fn sound_is_the_same_in_every_sample_format() {
    use hound::SampleFormat::{Float, Int};
    let set = |spec: hound::WavSpec| -> Vec<f32> {
        let files: Files =
            (0..12).map(|n| (format!("{}/{n}.wav", n % 2), wav_of(n, spec))).collect();
        let splits = open(folder(&files).path()).unwrap();
        let mut out = vec![0.0; splits.train.sample_len()];
        splits.train.read(0, &mut out);
        out
    };
    let plain = set(PLAIN);
    for (bits, format) in [(8, Int), (24, Int), (32, Int), (32, Float)] {
        for channels in [1, 2] {
            let spec =
                hound::WavSpec { channels, bits_per_sample: bits, sample_format: format, ..PLAIN };
            assert_eq!(set(spec), plain, "{spec:?}");
        }
    }
}

/// The header of a WAV file as it claims to be, then `data`.
fn claim(format: u16, channels: u16, rate: u32, bits: u16, claimed: u32, data: &[u8]) -> Vec<u8> {
    let align = channels.wrapping_mul(bits / 8);
    let mut bytes = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0".to_vec();
    bytes.extend(format.to_le_bytes());
    bytes.extend(channels.to_le_bytes());
    bytes.extend(rate.to_le_bytes());
    bytes.extend(rate.wrapping_mul(u32::from(align)).to_le_bytes());
    bytes.extend(align.to_le_bytes());
    bytes.extend(bits.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend(claimed.to_le_bytes());
    bytes.extend(data);
    bytes
}

#[test]
fn sound_that_is_damaged_or_lies_is_refused_by_name() {
    let with = |bytes: Vec<u8>| {
        let files: Files = vec![("a/1.wav".into(), wav(1)), ("b/2.wav".into(), bytes)];
        open(folder(&files).path())
    };
    let nan = f32::NAN.to_le_bytes();
    let cases: [(Vec<u8>, &[&str]); 11] = [
        (Vec::new(), &["b/2.wav", "no WAV file"]),
        (b"not a sound at all".to_vec(), &["b/2.wav", "no RIFF"]),
        (wav(1)[..100].to_vec(), &["b/2.wav", "no WAV file"]),
        (claim(1, 1, 8000, 16, u32::MAX - 1, &[0; 64]), &["b/2.wav", "2147483647 samples"]),
        (claim(1, 1, 8000, 16, 960_000, &[0; 64]), &["b/2.wav", "no WAV file"]),
        (claim(1, 0, 8000, 16, 64, &[0; 64]), &["zero channels"]),
        (claim(1, 1, 8000, 16, 0, &[]), &["holds 0 samples"]),
        (claim(1, 1, 0, 16, 64, &[0; 64]), &["0 samples a second", "1000 to 384000"]),
        (claim(7, 1, 8000, 8, 64, &[0; 64]), &["b/2.wav", "PCM of 8, 16"]),
        (claim(3, 1, 8000, 32, 8, &[[0; 4], nan].concat()), &["sample 1 is NaN"]),
        (
            claim(1, 1, 16_000, 16, 64, &[0; 64]),
            &["b/2.wav", "16000", "8000", "log-mel:rate=16000,window=512"],
        ),
    ];
    for (bytes, words) in cases {
        assert_refused(with(bytes), words);
    }
    let minute = claim(1, 1, 8000, 8, 480_001, &[128; 480_001]);
    assert_refused(with(minute), &["480001 samples", "60 seconds"]);
    let fast: Files = vec![("a/1.wav".into(), claim(1, 1, 8001, 16, 64, &[1; 64]))];
    assert_refused(open_with(folder(&fast).path(), "log-mel"), &["8001", "8000", "resampled"]);
    let loose: Files = vec![("a/1.wav".into(), wav(1)), ("2.wav".into(), wav(2))];
    assert_refused(open(folder(&loose).path()), &["2.wav", "no class", "CLASS/NAME"]);
    assert_refused(open_with(folder(&loose).path(), "hashed-ngrams"), &["sound", "log-mel"]);
}

#[test]
fn asked_settings_shape_the_spectrogram() {
    let set = folder(&digits());
    let splits = open_with(set.path(), "log-mel:mels=12,frames=7,normalise=false").unwrap();
    assert_eq!(splits.train.shape, [1, 12, 7]);
    let again = open_with(set.path(), &splits.extraction.as_ref().unwrap().to_string()).unwrap();
    assert_eq!(digests(&again), digests(&splits));
}

#[test]
fn an_archive_that_is_damaged_or_lies_is_refused() {
    let whole = tar(&digits());
    let open_as = |name: &str, bytes: Vec<u8>| open(one(name, bytes).path());
    for end in [0, 100, 511, 512, 1000, 5000, whole.len() - 1024] {
        assert!(open_as("set.tar", whole[..end].to_vec()).is_err(), "cut at {end}");
        assert!(open_as("set.tar.gz", gzip(&whole[..end])).is_err(), "cut at {end}");
        let xz = xz(&whole);
        assert!(open_as("set.tar.xz", xz[..xz.len() * end / whole.len()].to_vec()).is_err());
    }
    assert_refused(
        open_as("set.tar", whole[..whole.len() - 1024].to_vec()),
        &["end of the archive"],
    );
    let mut twice = digits();
    twice.push(digits()[3].clone());
    assert_refused(open_as("set.tar", tar(&twice)), &["0_ann_3.wav", "twice"]);
    let mut wrong_sum = gzip(&whole);
    let sum = wrong_sum.len() - 8;
    wrong_sum[sum] ^= 1;
    assert_refused(open_as("set.tar.gz", wrong_sum), &["set.tar.gz", "damaged"]);
    let mut longer = whole.clone();
    longer.resize(whole.len() + (3 << 20), 0);
    assert_refused(open_as("set.tar.gz", gzip(&longer)), &["goes on after"]);
    let other = tar(&[("notes.txt".to_string(), vec![1])]);
    assert_refused(open_as("set.tar", other), &["WAV files", "holds notes.txt"]);
    for size in [u64::MAX >> 1, 1 << 40, 65 << 20, 1000] {
        let mut header = tar::Header::new_gnu();
        header.set_path("a/1.wav").unwrap();
        header.set_size(size);
        header.set_cksum();
        let liar = [&header.as_bytes()[..], &[0; 512]].concat();
        assert!(open_as("set.tar", liar).is_err(), "{size}");
    }
}

#[test]
fn names_in_an_archive_are_bounded_and_only_names() {
    let long = format!("{}/1.wav", "long/".repeat(6));
    let deep =
        |part: &str, class: &str, seed| (format!("{part}/{}/{long}", class.repeat(300)), wav(seed));
    let files: Files = vec![deep("train", "x", 1), deep("train", "y", 2), deep("test", "x", 3)];
    let splits = open(one("set.tar", tar(&files)).path()).unwrap();
    assert_eq!(splits.train.classes, ["x".repeat(300), "y".repeat(300)]);
    let mut header = tar::Header::new_gnu();
    header.set_path("././@LongLink").unwrap();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(1 << 30);
    header.set_cksum();
    let mut bomb = header.as_bytes().to_vec();
    bomb.resize(8 << 20, b'a');
    assert_refused(open(one("set.tar.gz", gzip(&bomb)).path()), &["record of 1073741824 bytes"]);
    // A name that points upward is a class of that name, and nothing is written or read there.
    let mut up = tar(&[("aa/secret/1.wav".into(), wav(1)), ("bb/0/2.wav".into(), wav(2))]);
    up[..2].copy_from_slice(b"..");
    let mut header = tar::Header::from_byte_slice(&up[..512]).clone();
    header.set_cksum();
    up[..512].copy_from_slice(header.as_bytes());
    let set = one("set.tar", up);
    assert!(open(set.path()).is_err(), "one sample of a class cannot be parted");
    assert_eq!(fs::read_dir(set.path()).unwrap().count(), 1);
}

#[test]
fn an_archive_counts_only_alone_and_where_nothing_else_is_known() {
    let mut files = digits();
    files.push(("more.tar".into(), tar(&[("a/1.wav".into(), wav(1))])));
    assert_eq!(open(folder(&files).path()).unwrap().train.len(), 12);
    let two: Files = vec![("a.tar".into(), tar(&digits())), ("b.tar".into(), tar(&digits()))];
    assert_refused(open(folder(&two).path()), &["holds a.tar, b.tar"]);
}

#[test]
fn no_corruption_of_sound_or_archive_makes_a_loader_panic() {
    let beside: Files = vec![("train/a/1.wav".into(), wav(1)), ("test/a/1.wav".into(), wav(3))];
    survive("train/b/2.wav", &wav(2), &beside);
    let whole = tar(&digits());
    survive("set.tar", &whole, &Vec::new());
    survive("set.tar.gz", &gzip(&whole), &Vec::new());
    let list = b"path,label,split\ntrain/a/1.wav,x,train\ntest/a/1.wav,x,test\n";
    survive("list.csv", list, &beside);
    survive("testing_list.txt", b"test/a/1.wav\n", &beside);
}

#[test]
fn the_real_spoken_digits_are_read_as_published() {
    let Some(splits) = real("fsdd") else { return };
    assert_eq!((splits.train.len(), splits.test.len()), (2700, 300));
    assert_eq!((splits.train.classes.len(), splits.train.subject_names.len()), (10, 6));
    assert_eq!((splits.name.as_str(), splits.train.shape), ("fsdd", [1, 40, 64]));
    let scenario = Scenario::parse("subject=george").unwrap();
    let parts = scenario.forget_indices(&splits.train, 1).unwrap();
    assert_eq!((parts.forget.len(), parts.retain.len()), (450, 2250));
}

#[test]
fn errors_of_signals_are_of_the_data_room() {
    let empty: Files = vec![("a/1.wav".into(), Vec::new())];
    let error = open(folder(&empty).path()).map(|splits| splits.name).unwrap_err();
    assert!(matches!(error, DataError::Signal(SignalError::Sound { .. })), "{error}");
}

const TEXTS: &str = r#"{"oos_val": [["what", "oos"]], "val": [["never", "read"]],
    "test": [["open a bank account", "bank"], ["play me a song", "music"]],
    "train": [["open an account", "bank"], ["a song, please", "music"], ["Play!", "music"]]}"#;

#[test]
fn texts_are_read_plain_packed_and_from_archives() {
    let alone = |name: &str, bytes: Vec<u8>| open(one(name, bytes).path()).unwrap();
    let splits = alone("data_full.json", TEXTS.as_bytes().to_vec());
    assert_eq!((splits.kind, splits.train.shape), ("texts", [2048, 1, 1]));
    assert_eq!(splits.train.classes, ["bank", "music"]);
    assert_eq!((&splits.train.labels[..], &splits.test.labels[..]), (&[0, 1, 1][..], &[0, 1][..]));
    let text = TEXTS.as_bytes();
    for (name, bytes) in [
        ("data_full.json.gz", gzip(text)),
        ("other.json.xz", xz(text)),
        ("set.tar", tar(&[("a/domains.json".into(), vec![]), ("a/b.json".into(), text.into())])),
        ("set.tar.gz", gzip(&tar(&[("b.json.gz".into(), gzip(text))]))),
    ] {
        assert_eq!(digests(&alone(name, bytes.clone())), digests(&splits), "{name}");
        let single = one(name, bytes);
        assert_eq!(digests(&open(&single.path().join(name)).unwrap()), digests(&splits), "{name}");
    }
    let lines = r#"
        {"text": "open an account", "label": "bank", "split": "train", "more": [{}]}
        {"text": "open a bank account", "split": "test", "intent": "bank"}

        {"text": "a song, please", "intent": "music"}
        {"text": "play me a song", "intent": "music", "split": "test"}
        {"text": "Never read", "intent": "rest", "split": "val"}
        {"text": "Play!", "intent": "music"}"#;
    assert_eq!(digests(&alone("set.jsonl", lines.into())), digests(&splits));
    assert_eq!(digests(&alone("set.jsonl.gz", gzip(lines.as_bytes()))), digests(&splits));
    let beside: Files = vec![
        ("data_full.json".into(), text.into()),
        ("domains.json".into(), vec![]),
        ("results.json".into(), vec![]),
    ];
    assert_eq!(digests(&open(folder(&beside).path()).unwrap()), digests(&splits));
}

#[test]
fn texts_in_one_list_are_parted_by_class_and_have_subjects() {
    let entries: Vec<String> = (0..40)
        .map(|n| format!(r#"{{"text": "text {n}", "intent": {}, "subject": "p{}"}}"#, n % 2, n % 3))
        .collect();
    let list = one("set.json", format!("[{}]", entries.join(",")).into_bytes());
    let splits = open(list.path()).unwrap();
    assert_eq!((splits.train.len(), splits.test.len()), (32, 8));
    assert_eq!(
        (&splits.train.classes[..], &splits.train.subject_names[..]),
        (&["0".into(), "1".into()][..], &["p0".into(), "p1".into(), "p2".into()][..])
    );
    let room = Room { memory: 9000, folder: Some(std::env::temp_dir()) };
    let how = Reading { room, extraction: None };
    let filed = unlearn::data::open(list.path(), &how).unwrap();
    assert!(matches!(filed.train.values, Values::Filed(_)), "it fits in 9,000 bytes");
    assert_eq!(digests(&filed), digests(&splits));
    let small = open_with(list.path(), "hashed-ngrams:dimensions=32,longest=0").unwrap();
    assert_eq!(small.train.shape, [32, 1, 1]);
}

#[test]
fn damaged_texts_are_refused_by_line_column_and_entry() {
    let deep = "[".repeat(1 << 20);
    let long = format!(r#"[["{}", "a"]]"#, "x".repeat(70_000));
    let cases: [(&str, &[&str]); 16] = [
        ("", &["set.json", "line 1 column 0"]),
        (
            "{\"train\": [[\"a\", \"b\"],\n[\"a\"]]}",
            &["line 2 column 5", "entry 1 (counted from 0) of train"],
        ),
        (r#"{"train": [["a", "b", "c"]]}"#, &["entry 0", "[TEXT, INTENT]"]),
        (r#"{"train": [["", "b"]]}"#, &["entry 0", "text has 0 bytes"]),
        (r#"{"train": [["a", ""]]}"#, &["entry 0", "intent has 0 bytes"]),
        (r#"{"train": [["a", 1.5]]}"#, &["entry 0", "a name"]),
        (r#"{"train": []}"#, &["training part", "no samples"]),
        (r#"{"test": [["a", "b"]]}"#, &["training part", "no samples"]),
        (r#"{"a": 1}"#, &["`a` is the name of no part"]),
        (r#"[{"text": "a"}]"#, &["missing field `intent`"]),
        (r#"[{"text": "a", "intent": "b", "label": "c"}]"#, &["`label` is there twice"]),
        (r#"[{"text": "a", "intent": "b", "subject": "c"}, ["d", "e"]]"#, &["entry 1", "subject"]),
        (r#"[{"text": "a", "intent": "b", "split": "rest"}]"#, &["`rest` is no part"]),
        (r#"[["a", "b"]] 1"#, &["trailing", "column 14"]),
        (&deep, &["set.json"]),
        (&long, &["entry 0", "70000 bytes"]),
    ];
    for (text, words) in cases {
        assert_refused(open(one("set.json", text.into()).path()), words);
    }
    let inner = format!(
        r#"{{"oos": {}1{}, "train": [["a", "b"]]}}"#,
        "[".repeat(1 << 20),
        "]".repeat(1 << 20)
    );
    assert!(open(one("set.json", inner.into()).path()).is_err(), "one sample has no test part");
    let lines = "{\"text\": \"a\", \"intent\": \"b\"}\n{\"text\": 5}\n";
    assert_refused(open(one("set.jsonl", lines.into()).path()), &["line 2 column 10", "set.jsonl"]);
    let bomb = gzip(&vec![b' '; 65 << 20]);
    assert_refused(open(one("set.json.gz", bomb.clone()).path()), &["more than 67108864 bytes"]);
    assert_refused(open(one("set.jsonl.gz", bomb).path()), &["line 1", "more than 1048576 bytes"]);
    let both: Files = vec![("a.json".into(), TEXTS.into()), ("b.json".into(), TEXTS.into())];
    assert_refused(open(folder(&both).path()), &["holds a.json, b.json"]);
}

#[test]
fn no_corruption_of_texts_makes_a_loader_panic() {
    survive("set.json", TEXTS.as_bytes(), &Vec::new());
    survive("set.json.gz", &gzip(TEXTS.as_bytes()), &Vec::new());
}

#[test]
fn the_real_intents_are_read_as_published() {
    let Some(splits) = real("clinc150") else { return };
    assert_eq!((splits.train.len(), splits.test.len()), (15_000, 4500));
    assert_eq!((splits.name.as_str(), splits.train.classes.len()), ("clinc150", 150));
    for class in 0..150 {
        let count = |labels: &[u32]| labels.iter().filter(|&&label| label == class).count();
        assert_eq!((count(&splits.train.labels), count(&splits.test.labels)), (100, 30));
    }
}

/// A PNG of 8-bit samples.
fn png_of(color: png::ColorType, width: u32, height: u32, pixels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header().unwrap().write_image_data(pixels).unwrap();
    bytes
}

/// A small picture that depends on `seed`.
fn png(seed: u64) -> Vec<u8> {
    let mut stream = Stream::new(seed, "picture");
    let pixels: Vec<u8> = (0..5 * 4 * 3).map(|_| stream.below(256) as u8).collect();
    png_of(png::ColorType::Rgb, 5, 4, &pixels)
}

fn reference(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/pictures");
    fs::read(folder.join(name)).unwrap()
}

fn values(splits: &Splits) -> &[u8] {
    let Values::Bytes(values) = &splits.train.values else { panic!("pictures are bytes") };
    values
}

#[test]
fn pictures_are_read_from_class_folders_and_archives() {
    let mut files = Files::new();
    for (class, count) in [("dog", 10), ("cat", 5)] {
        files.extend((0..count).map(|n| (format!("{class}/{n:02}.png"), png(n * 7 + count))));
    }
    files.push((".DS_Store".into(), vec![1]));
    files.push(("._cat/x.png".into(), vec![1]));
    let splits = the_same_from_everywhere(&files);
    assert_eq!((splits.kind, splits.train.shape), ("pictures", [3, 4, 5]));
    assert_eq!((splits.train.len(), splits.test.len()), (12, 3));
    assert_eq!(splits.train.classes, ["cat", "dog"]);
    let mut parted = Files::new();
    for part in ["train", "val"] {
        parted.extend(
            files[..15].iter().map(|(name, bytes)| (format!("{part}/{name}"), bytes.clone())),
        );
    }
    let splits = the_same_from_everywhere(&parted);
    assert_eq!((splits.train.len(), splits.test.len()), (15, 15));
    assert_eq!(splits.train.digest(), splits.test.digest());
}

#[test]
fn jpegs_are_what_pillow_reads() {
    #[derive(serde::Deserialize)]
    struct Expected {
        shape: [usize; 3],
        values: Vec<u8>,
    }
    let expected: std::collections::BTreeMap<String, Expected> =
        serde_json::from_slice(&reference("expected.json")).unwrap();
    assert_eq!(expected.len(), 3);
    for (name, Expected { shape, values: expected }) in expected {
        let files = ["train", "test"].map(|part| (format!("{part}/a/{name}"), reference(&name)));
        let splits = open(folder(&files).path()).unwrap();
        assert_eq!(splits.train.shape, shape);
        // Decoders may round, and smooth colour at the rim, in ways of their own.
        let away = || values(&splits).iter().zip(&expected).map(|(a, b)| u32::from(a.abs_diff(*b)));
        let mean = away().sum::<u32>() as f32 / expected.len() as f32;
        assert!(away().max() <= Some(8) && mean < 1.0, "{name}: {:?}, {mean}", away().max());
    }
}

#[test]
fn pictures_of_other_sizes_and_channels_need_settings() {
    let grey = png_of(png::ColorType::Grayscale, 2, 2, &[0, 100, 200, 255]);
    let clear = png_of(png::ColorType::GrayscaleAlpha, 2, 2, &[0, 9, 100, 8, 200, 7, 255, 6]);
    let colour =
        png_of(png::ColorType::Rgba, 2, 2, &[[255, 0, 0, 1], [9; 4], [5; 4], [7; 4]].concat());
    let with = |bytes: &Vec<u8>| {
        folder(&[("train/a/1.png".into(), grey.clone()), ("test/a/1.png".into(), bytes.clone())])
    };
    assert_eq!(values(&open(with(&clear).path()).unwrap()), [0, 100, 200, 255]);
    let words = ["test/a/1.png", "2 x 2 in colour", "2 x 2 in grey"];
    let other = with(&colour);
    // The first name is the test part's: the error names the second.
    assert_refused(
        open(other.path()),
        &["train/a/1.png", words[1], words[2], "picture:channels=3,height=2,width=2"],
    );
    let splits = open_with(other.path(), "picture:channels=3,height=2,width=2").unwrap();
    assert_eq!(values(&splits), [0, 100, 200, 255].repeat(3));
    let splits = open_with(other.path(), "picture:channels=1,height=1,width=2").unwrap();
    assert_eq!((splits.train.shape, values(&splits)), ([1, 1, 2], &[100, 178][..]));
}

#[test]
fn pictures_that_are_damaged_or_lie_are_refused_by_name() {
    let with = |name: &str, bytes: Vec<u8>| {
        open(folder(&[("a/1.png".into(), png(1)), (format!("b/{name}"), bytes)]).path())
    };
    let jpeg = reference("colour.jpg");
    let size = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap() + 5;
    let mut huge = jpeg.clone();
    huge[size..size + 4].fill(0xff);
    assert_refused(with("2.jpg", huge), &["b/2.jpg", "no picture"]);
    let mut large = jpeg.clone();
    large[size..size + 4].copy_from_slice(&[0x16, 0, 0x16, 0]);
    assert_refused(with("2.jpg", large), &["b/2.jpg", "5632 x 5632 pixels in"]);
    for end in [0, 1, 2, 30, size, jpeg.len() / 2, jpeg.len() - 20] {
        assert_refused(with("2.jpg", jpeg[..end].to_vec()), &["b/2.jpg", "no picture"]);
    }
    let whole = png(2);
    for end in [8, 20, 40, whole.len() - 20, whole.len() - 5] {
        assert_refused(with("2.png", whole[..end].to_vec()), &["b/2.png", "no picture"]);
    }
    let mut wrong_sum = whole.clone();
    wrong_sum[45] ^= 1;
    assert_refused(with("2.png", wrong_sum), &["b/2.png"]);
    // A bomb whose check sums are right: many zeros, deflated.
    let bomb = png_of(png::ColorType::Grayscale, 16_000, 4000, &vec![0; 64_000_000]);
    assert_refused(with("2.png", bomb), &["16000 x 4000", "33554432"]);
    assert_refused(with("2.png", b"text".to_vec()), &["neither JPEG nor PNG"]);
    let loose = open(folder(&[("1.png".into(), png(1)), ("b/2.png".into(), png(1))]).path());
    assert_refused(loose, &["1.png", "no class"]);
    let both: Files = vec![("a/1.png".into(), png(1)), ("b/1.wav".into(), wav(1))];
    assert!(
        open(folder(&both).path()).is_err(),
        "the first ending decides; one class has one sample"
    );
}

#[test]
fn no_corruption_of_pictures_makes_a_loader_panic() {
    let beside: Files = vec![("train/a/1.png".into(), png(1)), ("test/a/1.png".into(), png(3))];
    survive("train/b/2.png", &png(2), &beside);
    for name in ["colour.jpg", "grey.jpg", "progressive.jpg"] {
        let beside: Files = vec![("test/a/1.jpg".into(), reference(name))];
        survive("train/a/2.jpg", &reference(name), &beside);
    }
}

#[test]
fn the_real_cifar_in_jpeg_is_read_from_its_archive() {
    let Some(splits) = real("cifar10/cifar10-jpeg.tar.xz") else { return };
    assert_eq!((splits.train.len(), splits.test.len()), (50_000, 10_000));
    assert_eq!((splits.kind, splits.train.shape), ("pictures", [3, 32, 32]));
    assert_eq!((splits.train.classes[0].as_str(), splits.train.classes.len()), ("airplane", 10));
}
