//! What the cases come to: which behaviours pass, which have no case, which are left out by `tests/conformance.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;

use super::case::{Case, folder, identities};

/// So many behaviours of a hundred must pass.
const SHARE: usize = 98;

/// The outcome.
pub struct Report {
    all: BTreeSet<String>,
    passing: BTreeSet<String>,
    listed: BTreeSet<String>,
    complaints: Vec<String>,
}

impl Report {
    /// From what fails of each case.
    pub fn of(cases: &[Case], failures: &[Vec<String>]) -> Self {
        let all: BTreeSet<String> = lines("conformance/behaviours.txt")
            .iter()
            .filter(|line| !line.starts_with('#'))
            .flat_map(|line| identities(&line.replacen(": ", " ", 1)))
            .collect();
        let (listed, mut complaints) = left_out();
        let mut outcomes: BTreeMap<&str, bool> = BTreeMap::new();
        for (case, failures) in cases.iter().zip(failures) {
            for behaviour in &case.behaviours {
                if !all.contains(behaviour) {
                    complaints.push(format!("{}: there is no behaviour `{behaviour}`", case.name));
                }
                *outcomes.entry(behaviour).or_insert(true) &= failures.is_empty();
            }
            if !failures.is_empty() && !case.behaviours.iter().any(|behaviour| listed.contains(behaviour)) {
                complaints.push(format!("{}: {}", case.name, failures.join("\n  ")));
            }
        }
        let passing: BTreeSet<String> =
            outcomes.iter().filter(|(_, passes)| **passes).map(|(behaviour, _)| (*behaviour).to_owned()).collect();
        for behaviour in all.difference(&listed).filter(|behaviour| !outcomes.contains_key(behaviour.as_str())) {
            complaints.push(format!("{behaviour}: no case shows it"));
        }
        for behaviour in listed.iter().filter(|behaviour| !all.contains(*behaviour) || passing.contains(*behaviour)) {
            complaints.push(format!("{behaviour}: tests/conformance.md lists it, and it passes or does not exist: take it from the list"));
        }
        Self { all, passing, listed, complaints }
    }

    /// Whether enough passes, and all that is not left out.
    pub fn is_good(&self) -> bool {
        self.complaints.is_empty() && self.passing.len() * 100 >= self.all.len() * SHARE
    }

    /// What is wrong.
    pub fn list(&self) -> String {
        self.complaints.join("\n")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (passing, all, listed) = (self.passing.len(), self.all.len(), self.listed.len());
        write!(f, "conformance: {passing} of {all} behaviours pass ({listed} listed in tests/conformance.md)")
    }
}

fn lines(file: &str) -> Vec<String> {
    let path = folder().with_file_name(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).lines().map(str::to_owned).collect()
}

/// The behaviours under `## Left out`: lines `- SUITE/CONTEXT N [N...]: the reason`.
fn left_out() -> (BTreeSet<String>, Vec<String>) {
    let (mut listed, mut complaints, mut inside) = (BTreeSet::new(), Vec::new(), false);
    for line in lines("conformance.md") {
        if line.starts_with("## ") {
            inside = line == "## Left out";
        }
        let Some(entry) = line.strip_prefix("- ").filter(|_| inside) else { continue };
        match entry.split_once(": ") {
            Some((behaviours, reason)) if !reason.is_empty() && !identities(behaviours).is_empty() => listed.extend(identities(behaviours)),
            _ => complaints.push(format!("tests/conformance.md: `{line}` is not `- SUITE/CONTEXT N: the reason`")),
        }
    }
    (listed, complaints)
}
