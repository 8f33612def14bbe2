//! What a tool can check of the house: imports point inward, files say what they are for, nothing is left over.

use std::fs;
use std::path::{Path, PathBuf};

/// Every Rust file of the project.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = ["src", "scalers", "docker", "tests", "benches", "xtask"].iter().map(|name| root.join(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the project").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&entry).expect("a source file");
                found.push((entry.strip_prefix(root).expect("below the root").to_owned(), text));
            }
        }
    }
    found.sort();
    assert!(found.len() > 50, "only {} files were found: the search is broken", found.len());
    found
}

fn complain(rule: &str, places: &[String]) {
    assert!(places.is_empty(), "{rule}:\n  {}", places.join("\n  "));
}

#[test]
fn each_file_says_what_it_is_for() {
    let silent: Vec<String> =
        sources().iter().filter(|(_, text)| !text.starts_with("//!")).map(|(path, _)| path.display().to_string()).collect();
    complain("these files do not open with `//!`", &silent);
}

#[test]
fn imports_point_inward() {
    // What a folder may not name: the core knows nothing, edges do not know each other.
    let borders = [
        (
            "src/core",
            &["tokio", "kube::", "k8s_openapi", "std::time::Instant", "std::time::SystemTime", "tracing::", "HashMap", "HashSet"][..],
        ),
        ("src/api", &["tokio::", "kube::Client", "kube::api::Api", "springtide_scalers", "springtide_clouds"][..]),
        ("src/clouds", &["kube::", "springtide_api", "springtide_scalers"][..]),
        ("scalers", &["kube::", "k8s_openapi", "springtide_api", "springtide_clouds"][..]),
        // These two are also for a build without cluster and brokers. Of the scalers, reading knows how a text is told without its passwords.
        ("src/manifests", &["kube::", "k8s_openapi", "tokio", "springtide_clouds", "crate::check", "crate::cli", "crate::daemon"]),
        (
            "src/check",
            &["kube::", "tokio", "springtide_clouds", "crate::cli", "crate::daemon", "crate::objects", "crate::plan", "crate::world"],
        ),
        // Files become the decider's input in one place, whoever plays or plans with it; nobody's clock, nobody's cloud.
        (
            "src/objects",
            &[
                "kube::",
                "tokio",
                "Instant",
                "springtide_clouds",
                "crate::check",
                "crate::cli",
                "crate::daemon",
                "crate::plan",
                "crate::world",
            ],
        ),
        (
            "src/plan",
            &[
                "kube::",
                "k8s_openapi",
                "tokio",
                "Instant",
                "springtide_clouds",
                "springtide_scalers",
                "crate::check",
                "crate::cli",
                "crate::daemon",
                "crate::manifests",
                "crate::world",
            ],
        ),
        ("src/world", &["kube::", "k8s_openapi", "springtide_clouds", "crate::check", "crate::cli", "crate::daemon", "crate::plan"]),
        ("src/web", &["kube::", "k8s_openapi", "springtide_", "crate::"][..]),
        ("src/kube", &["crate::daemon", "crate::cli", "crate::telemetry"][..]),
    ];
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        for (folder, words) in borders.iter().filter(|(folder, _)| path.starts_with(folder)) {
            for (number, line) in
                text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("use ") || !line.trim_start().starts_with("//"))
            {
                for word in words.iter().filter(|word| line.contains(**word)) {
                    wrong.push(format!("{}:{}: {folder} may not know {word}", path.display(), number + 1));
                }
            }
        }
    }
    complain("imports that point outward", &wrong);
}

#[test]
fn nothing_is_left_over() {
    // Written in parts, so that this list does not find itself.
    let words = [["FIX", "ME"], ["X", "XX"], ["dbg", "!("], ["todo", "!("], ["unimplemented", "!("], ["should", "_panic"]]
        .map(|parts| parts.concat());
    let mut found = Vec::new();
    for (path, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            found.extend(words.iter().filter(|word| line.contains(*word)).map(|word| format!("{}:{}: {word}", path.display(), number + 1)));
        }
    }
    complain("left over", &found);
}

#[test]
fn names_of_files_are_nouns_of_their_own() {
    let banned = ["utils.rs", "util.rs", "common.rs", "helpers.rs", "misc.rs"];
    let found: Vec<String> = sources()
        .iter()
        .filter(|(path, _)| path.file_name().is_some_and(|name| banned.iter().any(|bad| name == *bad)))
        .map(|(path, _)| path.display().to_string())
        .collect();
    complain("files that are named after nothing", &found);
}

#[test]
fn each_metric_is_used_and_documented() {
    let all = sources();
    let telemetry = &all.iter().find(|(path, _)| path.ends_with("src/telemetry.rs")).expect("src/telemetry.rs").1;
    let docs = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")).expect("docs/metrics.md");
    let mut wrong = Vec::new();
    let names = telemetry
        .lines()
        .filter_map(|line| line.trim().strip_suffix("\";")?.split_once(" = \""))
        .filter(|(constant, _)| !constant.contains(' '));
    let mut count = 0;
    for (constant, name) in names {
        count += 1;
        let uses =
            all.iter().filter(|(path, text)| !path.ends_with("src/telemetry.rs") && text.contains(&format!("names::{constant}"))).count();
        if uses == 0 {
            wrong.push(format!("{name} is never counted"));
        }
        if !docs.contains(name) {
            wrong.push(format!("{name} is not in docs/metrics.md"));
        }
    }
    assert!(count > 5, "only {count} metrics were found: the search is broken");
    complain("metrics", &wrong);
}

#[test]
fn the_architecture_page_is_short_and_names_the_rooms() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    assert!(page.lines().count() < 200, "ARCHITECTURE.md has {} lines; it stays below 200", page.lines().count());
    for room in ["src/core", "src/api", "src/kube", "src/clouds", "scalers", "src/daemon", "tests/testbed", "xtask"] {
        assert!(page.contains(room), "ARCHITECTURE.md does not name {room}");
    }
}
