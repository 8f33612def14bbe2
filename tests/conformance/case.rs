//! A case: its head, and how it is run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::scene::Scene;
use super::{expect, sold};
use crate::plan::{PROGRAM, Said};

/// A scene with what must be true of its plan.
pub struct Case {
    /// `SUITE/NAME`.
    pub name: String,
    /// `SUITE/CONTEXT N`.
    pub behaviours: Vec<String>,
    arguments: Vec<String>,
    types: String,
    expectations: Vec<String>,
    problems: Vec<String>,
}

/// The folder of this test.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

/// All cases, by name.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for suite in ["defaults", "scheduling", "selection", "topology"] {
        for entry in fs::read_dir(folder().join("cases").join(suite)).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|ending| ending == "yaml") {
                let name = path.file_stem().expect("a name").to_string_lossy();
                cases.push(Case::of(format!("{suite}/{name}"), &fs::read_to_string(&path).expect("a case")));
            }
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

impl Case {
    fn of(name: String, text: &str) -> Self {
        let of_kind = |kind: &str| -> Vec<String> {
            let start = format!("# {kind}: ");
            text.lines().filter_map(|line| line.strip_prefix(&start)).map(|line| line.trim().to_owned()).collect()
        };
        let (mut behaviours, mut problems) = (Vec::new(), Vec::new());
        for line in of_kind("behaviour") {
            match line.split_once(": ") {
                Some((ids, _)) => behaviours.extend(identities(ids)),
                None => problems.push(format!("`{line}` says no behaviour: SUITE/CONTEXT N: a sentence")),
            }
        }
        let expectations = of_kind("expect");
        if behaviours.is_empty() || expectations.is_empty() {
            problems.push("it needs a line `# behaviour:` and a line `# expect:`".to_owned());
        }
        let arguments =
            of_kind("arguments").iter().flat_map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
        let types = of_kind("types").pop().unwrap_or_else(|| "types.json".to_owned());
        Self { name, behaviours, arguments, types, expectations, problems }
    }

    /// What is wrong about it or its plan.
    pub fn run(&self) -> Vec<String> {
        let mut wrong = self.problems.clone();
        let scene = folder().join("cases").join(format!("{}.yaml", self.name));
        let types = sold::file(&self.types);
        let text = self.plan(&scene, &types, "text");
        let all = if text.errors.is_empty() { String::new() } else { format!("--- on standard error\n{}", text.errors) };
        let all = format!("{}{all}--- code {}\n", text.out, text.code.map_or("none".to_owned(), |code| code.to_string()));
        let record = scene.with_extension("plan");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&record, &all).expect("written");
        }
        let expected = fs::read_to_string(&record).unwrap_or_default();
        if all != expected {
            wrong.push(format!("it says\n{all}and on record is\n{expected}"));
        }
        if all.contains("defect") {
            wrong.push(format!("the plan breaks a promise:\n{all}"));
        }
        let json = self.plan(&scene, &types, "json");
        let documents = fs::read_to_string(&scene).expect("the case");
        match Scene::of(&documents, &types, &json) {
            Ok(scene) => {
                for expectation in &self.expectations {
                    wrong.extend(expect::check(&scene, expectation).err().map(|why| format!("expected `{expectation}`: {why}")));
                }
            }
            Err(why) => wrong.push(why),
        }
        wrong
    }

    fn plan(&self, scene: &Path, types: &Path, output: &str) -> Said {
        let file = scene.file_name().expect("a name");
        let mut command = Command::new(PROGRAM);
        command.arg("plan").arg("-f").arg(file).arg("--instance-types").arg(types).args(["-o", output]).args(&self.arguments);
        // Findings name the file as it was given: by its name alone, wherever the project lies.
        Said::of(command.current_dir(scene.parent().expect("a folder")).output().expect("the program starts"))
    }
}

/// `SUITE/CONTEXT N` for each of the ordinals at the end.
pub fn identities(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let is_ordinal = |word: &&&str| word.trim_end_matches(',').chars().all(|c| c.is_ascii_digit() || c == '.');
    let ordinals = words.iter().rev().take_while(is_ordinal).count();
    let (context, ordinals) = words.split_at(words.len() - ordinals);
    let context = context.join(" ");
    ordinals.iter().map(|ordinal| format!("{context} {}", ordinal.trim_end_matches(','))).collect()
}
