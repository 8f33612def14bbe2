//! Whether manifests will be admitted and will do what they say, as far as the files themselves tell. No cluster, no network.
//!
//! Two passes: each object by itself, on several threads; then what only several objects together tell.

mod across;
mod classes;
mod nearest;
mod object;
mod older;
mod schema;
mod triggers;
mod types;

use std::collections::BTreeMap;

use crate::manifests::files::ReadFile;
pub use crate::manifests::finding;
use crate::manifests::{Document, threads};

use self::finding::{Finding, Severity};

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// What was found: by file in the order in which files were read, then by line.
    pub findings: Vec<Finding>,
    /// How many objects there are, with those that could not be read.
    pub objects: usize,
    /// How many of them are of a kind that is not looked into.
    pub passed_over: usize,
    /// How many files there are.
    pub files: usize,
}

impl Report {
    /// How many findings are as bad as this.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// How many objects have a problem, or could not be read.
    #[must_use]
    pub fn with_problems(&self) -> usize {
        let problems = self.findings.iter().filter(|finding| finding.severity == Severity::Problem);
        let line = |f: &Finding| if f.kind.is_empty() { f.line } else { 0 };
        let mut with: Vec<_> = problems.map(|f| (&f.file, &f.kind, &f.namespace, &f.name, line(f))).collect();
        with.sort_unstable();
        with.dedup();
        with.len()
    }
}

/// Checks what was read.
///
/// # Errors
/// The kinds' shapes cannot be made, which tests rule out.
pub fn check(files: &[ReadFile]) -> Result<Report, springtide_api::crds::CrdError> {
    let mut documents: Vec<(&Document, bool)> = Vec::new();
    for file in files {
        documents.extend(file.parsed.documents.iter().map(|document| (document, file.source.named)));
    }
    let kinds = object::Kinds::of(documents.iter().map(|(document, _)| *document))?;
    let judged = threads::map(&documents, |(document, named)| kinds.judge(document, *named));
    let passed_over = judged.iter().filter(|judged| judged.passed_over).count();
    let mut findings: Vec<Finding> = files.iter().flat_map(Finding::of_reading).collect();
    findings.extend(across::findings(&judged));
    findings.extend(judged.into_iter().flat_map(|judged| judged.findings));
    // Files keep their order, which need not be that of their names.
    let places: BTreeMap<&str, usize> = files.iter().enumerate().map(|(i, file)| (&*file.source.name, i)).collect();
    let mut placed: Vec<(Option<usize>, Finding)> =
        findings.into_iter().map(|finding| (places.get(&*finding.file).copied(), finding)).collect();
    placed.sort_by(|(a, one), (b, other)| {
        (a, one.line, &one.field, one.severity, &one.what).cmp(&(b, other.line, &other.field, other.severity, &other.what))
    });
    let unread = files.iter().flat_map(|file| &file.parsed.faults).filter(|fault| fault.field.is_empty()).count();
    let findings = placed.into_iter().map(|(_, finding)| finding).collect();
    Ok(Report { findings, objects: documents.len() + unread, passed_over, files: files.len() })
}
