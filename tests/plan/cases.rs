//! Small scenes: `cases/NAME.yaml` in, `cases/NAME.plan` out, which is all that the program prints, and its code. A line `# arguments: ...` of a scene has more
//! arguments. `cargo xtask gen` writes them anew.

use std::fs;

use super::{folder, plan, without_times};

fn cases() -> Vec<String> {
    let entries = fs::read_dir(folder()).expect("the folder of cases");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut cases: Vec<String> = names.filter(|name| name.ends_with(".yaml")).collect();
    cases.sort();
    assert!(cases.len() >= 12, "only {} cases", cases.len());
    cases
}

#[test]
fn plans_are_those_on_record() {
    let mut stale = Vec::new();
    for name in cases() {
        let text = fs::read_to_string(folder().join(&name)).expect("the case");
        let more = text.lines().find_map(|line| line.strip_prefix("# arguments: ")).unwrap_or_default();
        let arguments: Vec<&str> = ["-f", &name].into_iter().chain(more.split_whitespace()).collect();
        let said = plan(&folder(), &arguments);
        let told = if said.errors.is_empty() { String::new() } else { format!("--- on standard error\n{}", said.errors) };
        let code = said.code.expect("it ends by itself");
        let all = format!("{}{told}--- code {code}\n", without_times(&said.out));
        let record = folder().join(&name).with_extension("plan");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&record, &all).expect("written");
        }
        let expected = fs::read_to_string(&record).unwrap_or_default();
        if all != expected {
            stale.push(format!("{name}: it says\n{all}and on record is\n{expected}"));
        }
        assert!(!all.contains("hunter2"), "{name}: a secret is told");
        assert!(!all.contains("defect"), "{name}: the plan breaks a promise:\n{all}");
    }
    assert!(stale.is_empty(), "{}\nIf all of this is meant, run cargo xtask gen", stale.join("\n"));
}
