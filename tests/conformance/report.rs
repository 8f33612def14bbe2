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
        let mut complaints = Vec::new();
        let listed = section("## Left out", &mut complaints);
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
        for behaviour in section("## Differs on purpose", &mut complaints).difference(&all) {
            complaints.push(format!("tests/conformance.md: there is no behaviour `{behaviour}`"));
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
    fs::read_to_string(folder().with_file_name(file)).expect("a list of behaviours").lines().map(str::to_owned).collect()
}

/// The behaviours under a heading of `tests/conformance.md`: lines `- SUITE/CONTEXT N [N...]: the reason`.
fn section(heading: &str, complaints: &mut Vec<String>) -> BTreeSet<String> {
    let lines = lines("conformance.md");
    let inside = lines.iter().skip_while(|line| *line != heading).skip(1).take_while(|line| !line.starts_with("## "));
    let mut listed = BTreeSet::new();
    for entry in inside.filter_map(|line| line.strip_prefix("- ")) {
        match entry.split_once(": ") {
            Some((behaviours, reason)) if !reason.is_empty() && !identities(behaviours).is_empty() => listed.extend(identities(behaviours)),
            _ => complaints.push(format!("tests/conformance.md: `{entry}` is not `SUITE/CONTEXT N: the reason`")),
        }
    }
    listed
}
