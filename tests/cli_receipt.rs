//! Defends whoever checks receipts with the program: a check that fails says which, with its exit code; a
//! file that is none is refused; what was not checked is not told as if it had been.

mod common;

use std::fs;

use common::program::{command, done, json, judged, refused, run};
use common::receipts::{key, key_change, ledger, nonce, under_new_key};
use serde_json::json;
use tempfile::TempDir;
use unlearn::erase::receipt::limits::MAX_FILE;
use unlearn::erase::receipt::{Hex, Receipt};

/// A folder with three receipts in a row (`1.receipt` to `3.receipt`), the key (`device.key`), a
/// receipt of another device (`other.receipt`), and files that are none.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    let all = ledger(3);
    for signed in &all {
        write(&format!("{}.receipt", signed.receipt.sequence), &signed.bytes);
    }
    write("device.key", format!("{}\n", key(1).public()).as_bytes());
    let mut other = all[1].receipt.clone();
    other.device = Hex([8; 16]);
    write("other.receipt", &other.sign(&key(1)).unwrap().bytes);
    let mut flipped = all[0].bytes.clone();
    *flipped.last_mut().unwrap() ^= 1;
    write("flipped.receipt", &flipped);
    write("cut.receipt", &all[0].bytes[..100]);
    write("long.receipt", &vec![0; MAX_FILE + 1]);
    write("text.receipt", b"Ada was forgotten, trust me");
    write("empty.receipt", b"");
    write("nonce", nonce(2).reveal().as_bytes());
    write("change", &key_change(&all, 2).sign(&key(1)).unwrap());
    write("4.receipt", &under_new_key(&all, 2).bytes);
    fs::create_dir(folder.path().join("folder")).unwrap();
    folder
}

#[test]
fn the_program_verifies_receipts_offline() {
    let home = folder();
    let one = done(home.path(), "receipt verify 2.receipt --key device.key");
    assert!(one.contains("2.receipt: receipt 2 holds") && !one.contains("chain"), "{one}");
    // In any order.
    let words = "receipt verify 3.receipt 1.receipt 2.receipt --key";
    let all = done(home.path(), &format!("{words} {}", key(1).public()));
    assert!(all.contains("chain: whole from 1 to 3"), "{all}");
    let value = json(home.path(), &format!("{words} device.key --nonce nonce --subject Ada"));
    assert_eq!((&value["holds"], &value["chain"]["last"]), (&json!(true), &json!(3)));
    assert_eq!(value["subject"], json!([{ "sequence": 2, "request": Hex([1; 16]).to_string() }]));
    let words = "receipt verify 1.receipt change 4.receipt 2.receipt 3.receipt --key device.key";
    let changed = done(home.path(), words);
    assert!(changed.contains("chain: whole from 1 to 4"), "{changed}");
    let words = format!("receipt verify 2.receipt --key device.key --nonce {}", nonce(2).reveal());
    assert!(done(home.path(), &format!("{words} --subject Ada")).contains("receipt 2 is theirs"));
}

#[test]
fn the_program_says_which_check_failed() {
    let home = folder();
    let other = key(2).public();
    for (words, phrase) in [
        (format!("verify 1.receipt --key {other}"), "1.receipt: signed under key"),
        ("verify flipped.receipt --key device.key".into(), "the signature does not hold"),
        ("verify 1.receipt 3.receipt --key device.key".into(), "receipt 2 is missing"),
        ("verify 1.receipt other.receipt --key device.key".into(), "is of device 0808"),
        ("verify 1.receipt 1.receipt --key device.key".into(), "is there twice"),
        ("verify 1.receipt 2.receipt 3.receipt 4.receipt --key device.key".into(), "4.receipt"),
        ("verify 2.receipt --key device.key --nonce nonce --subject Bob".into(), "no commitment"),
        ("verify 1.receipt --key device.key --nonce nonce --subject Ada".into(), "no commitment"),
    ] {
        let said = run(home.path(), &format!("receipt {words}"));
        assert_eq!(said.code, Some(1), "{words}: {said:?}");
        assert!(said.err.contains(phrase) && said.out.contains(phrase), "{words}: {said:?}");
        let said = run(home.path(), &format!("receipt {words} --json"));
        let value: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!((said.code, &value["holds"]), (Some(1), &json!(false)), "{words}");
    }
}

#[test]
fn the_program_shows_receipts_and_says_what_it_did_not_check() {
    let home = folder();
    let shown = done(home.path(), "receipt show 1.receipt");
    assert!(shown.contains("NOT CHECKED") && shown.contains("Not covered"), "{shown}");
    let shown = done(home.path(), "receipt show 1.receipt change --key device.key");
    assert!(!shown.contains("NOT CHECKED") && shown.contains("change of keys after receipt 3"));
    let value = json(home.path(), "receipt show 1.receipt");
    let first = &value["files"][0];
    assert_eq!(first["signature"], "not checked");
    let back: Receipt = serde_json::from_value(first["receipt"].clone()).unwrap();
    assert_eq!(back, ledger(1)[0].receipt);
    let said = run(home.path(), &format!("receipt show 1.receipt --key {}", key(2).public()));
    judged("show under another key", &said, 1, &["1.receipt: signed under key"]);
}

#[test]
fn the_program_refuses_what_is_no_receipt_or_no_key() {
    let home = folder();
    let key = key(1).public().to_string();
    let (short, weak) = (&key[..70], format!("unlearn-key-v1:01{}", "00".repeat(31)));
    let wrong: [(&str, i32, &[&str]); 13] = [
        ("missing.receipt --key device.key", 3, &["`missing.receipt`: it does not exist"]),
        ("folder --key device.key", 3, &["`folder` is not a file"]),
        ("cut.receipt --key device.key", 3, &["cut.receipt: this is no signed receipt"]),
        ("text.receipt --key device.key", 3, &["text.receipt: this is no signed receipt"]),
        ("empty.receipt --key device.key", 3, &["empty.receipt: this is no signed receipt"]),
        ("long.receipt --key device.key", 3, &["at most 65536 are read"]),
        ("1.receipt --key folder", 3, &["`folder` is not a file"]),
        ("1.receipt --key nonce", 3, &["nonce: this is no public key"]),
        ("1.receipt --key nowhere", 2, &["neither a key", "nor a file"]),
        (&format!("1.receipt --key {short}"), 2, &["--key: expected 64 hexadecimal digits"]),
        (&format!("1.receipt --key {weak}"), 2, &["--key: these 32 bytes are no public key"]),
        ("1.receipt --key device.key --nonce 12 --subject Ada", 2, &["--nonce: neither 64"]),
        (
            "1.receipt --key device.key --nonce device.key --subject Ada",
            3,
            &["device.key: expected 64"],
        ),
    ];
    for (words, code, phrases) in wrong {
        refused(home.path(), &format!("receipt verify {words}"), code, phrases);
    }
    for words in [
        "verify 1.receipt",
        "verify --key device.key",
        "show",
        "verify 1.receipt --key k --nonce nonce",
    ] {
        let said = command(home.path(), &format!("receipt {words}")).output().unwrap().into();
        judged(words, &said, 2, &[]);
    }
}
