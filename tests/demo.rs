//! The demo tells its whole story on any machine, and its claim holds there: forgetting by l1-sparse
//! brings a model nearer to one that never knew the person than the model before was.

use std::process::Command;

use serde_json::Value;

fn figure(models: &Value, name: &str, metric: &str) -> f64 {
    let model = models.as_array().unwrap().iter().find(|m| m["name"] == name).unwrap();
    model["report"][metric]["value"].as_f64().unwrap()
}

#[test]
fn the_demo_writes_its_files_and_l1_sparse_comes_nearer_to_retraining() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let done = Command::new(env!("CARGO_BIN_EXE_unlearn"))
        .args(["demo", "--json", "--out"])
        .arg(&out)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");

    let result: Value = serde_json::from_slice(&done.stdout).unwrap();
    let kept: Value =
        serde_json::from_str(&std::fs::read_to_string(out.join("result.json")).unwrap()).unwrap();
    assert_eq!(result["person"], kept["person"]);
    let models = &result["person"]["models"];
    for metric in ["ua", "mia_efficacy"] {
        let away = |name| (figure(models, name, metric) - figure(models, "retrain", metric)).abs();
        assert!(away("l1-sparse") < away("knows"), "{metric}: {models}");
    }
    for metric in ["ra", "ta"] {
        let (found, aim) = (figure(models, "l1-sparse", metric), figure(models, "retrain", metric));
        assert!(found > aim - 2.0, "{metric} is {found}, retrained {aim}");
    }

    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("<svg") && !page.contains("http://") && !page.contains("https://"));
    let mut files = vec![];
    for entry in std::fs::read_dir(&out).unwrap() {
        files.push(entry.unwrap().path());
    }
    files.retain(|path| path.extension().is_some_and(|ending| ending == "esm"));
    assert!(files.len() >= 9, "{files:?}");
    let whole =
        Command::new(env!("CARGO_BIN_EXE_unlearn")).arg("verify").args(&files).output().unwrap();
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stdout));
}
