//! Manifests that are broken on purpose: `broken/NAME.yaml` in, `broken/NAME.out` out, which is all that the program prints. `cargo xtask gen` writes them anew.

use std::fs;
use std::path::{Path, PathBuf};

use super::check;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/check/broken")
}

fn cases() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder())
        .expect("the folder of cases")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| !name.ends_with(".out"))
        .collect();
    names.sort();
    names
}

#[test]
fn answers_are_those_on_record() {
    let mut stale = Vec::new();
    for name in cases() {
        let said = check(&folder(), &[&name]);
        assert_eq!(said.errors, "", "{name}");
        let record = folder().join(&name).with_extension("out");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&record, &said.out).expect("written");
        }
        let expected = fs::read_to_string(&record).unwrap_or_default();
        if said.out != expected {
            stale.push(format!("{name}: it says\n{}and on record is\n{expected}", said.out));
        }
    }
    assert!(stale.is_empty(), "{}\nIf all of this is meant, run cargo xtask gen", stale.join("\n"));
}

/// The form of each line: where, which object, which field, what is wrong, and what to do.
#[test]
fn each_answer_names_line_field_and_remedy() {
    let names = cases();
    assert!(names.len() >= 30, "only {} cases", names.len());
    let mut answers = 0;
    for name in names {
        let out = fs::read_to_string(folder().join(&name).with_extension("out")).unwrap_or_default();
        let lines: Vec<&str> = out.lines().collect();
        let (summary, lines) = lines.split_last().expect("there is a summary");
        assert!(summary.contains("problem"), "{name}: {summary}");
        assert!(!lines.is_empty(), "{name}: nothing was found");
        for line in lines {
            let problem = line.strip_prefix("notice: ").unwrap_or(line);
            let rest = problem.strip_prefix(&format!("{name}:")).unwrap_or_else(|| panic!("{name}: no file in {line}"));
            let digits = rest.chars().take_while(char::is_ascii_digit).count();
            assert!(digits > 0, "{name}: no line in {line}");
            let (what, remedy) = rest.split_once("; ").unwrap_or_else(|| panic!("{name}: no remedy in {line}"));
            assert!(!remedy.is_empty() && !remedy.ends_with([';', ' ']), "{name}: {line}");
            // A text that is no object has no field.
            if rest[digits..].starts_with(' ') {
                let [object, field, what] = what[digits + 1..].splitn(3, ": ").collect::<Vec<_>>()[..] else { panic!("{name}: {line}") };
                assert!(object.contains('/') && !what.is_empty(), "{name}: {line}");
                let is_field = !field.contains(' ') && field.starts_with(|letter: char| letter.is_ascii_lowercase());
                assert!(is_field, "{name}: {field:?} is no field in {line}");
            }
            answers += 1;
        }
    }
    assert!(answers > 100, "only {answers} answers");
}

#[test]
fn secrets_are_in_no_answer() {
    let text = |name: &str| fs::read_to_string(folder().join(name)).expect("the case");
    let seeded: Vec<String> = cases().into_iter().filter(|name| text(name).contains("hunter2")).collect();
    assert!(seeded.len() >= 2, "{seeded:?}");
    for name in &seeded {
        for more in [&[name.as_str()][..], &[name, "-o", "json"]] {
            let said = check(&folder(), more);
            assert_eq!(said.code, Some(1));
            assert!(!said.out.contains("hunter2"), "{}", said.out);
        }
    }
}

#[test]
fn a_resource_trigger_needs_something_to_take_a_share_of() {
    let text = "apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: a}
spec:
  scaleTargetRef: {name: a}
  minReplicaCount: 1
  triggers: [{type: cpu, metricType: Utilization, metadata: {value: '60'}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  selector: {matchLabels: {app: a}}
  template: {metadata: {labels: {app: a}}, spec: {containers: [{name: one, image: x, resources: {limits: {cpu: 1}}}, {name: two, image: x}]}}
";
    let folder = super::Folder::new("share");
    folder.write("a.yaml", text);
    let said = check(&folder.0, &["a.yaml"]);
    let about: Vec<&str> = said.lines().into_iter().filter(|line| line.contains("requests no cpu")).collect();
    assert_eq!(about.len(), 1, "{}", said.out);
    assert!(about[0].contains("container `two`"), "{}", about[0]);
    // It is read and judged, and refused as the daemon refuses it.
    assert!(said.out.contains("spec.triggers[0].type: \"cpu\" is one of KEDA's and not measured by this version yet"), "{}", said.out);
}
