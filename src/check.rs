//! Whether manifests will be admitted and will do what they say, as far as the files themselves tell. No cluster, no network.
//!
//! Two passes: each object by itself, on several threads; then what only several objects together tell.

mod across;
mod classes;
pub mod finding;
mod nearest;
mod object;
mod older;
mod schema;
mod triggers;

use std::sync::Arc;

use crate::manifests::files::ReadFile;
use crate::manifests::{Document, threads};

use self::finding::{Finding, Severity};

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// What was found: by file in the order in which files were read, then by line.
    pub findings: Vec<Finding>,
    /// How many objects there are.
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

    /// How many objects, and files that are none, have a problem.
    #[must_use]
    pub fn with_problems(&self) -> usize {
        let problems = self.findings.iter().filter(|finding| finding.severity == Severity::Problem);
        let mut with: Vec<_> = problems.map(|f| (&f.file, &f.kind, &f.namespace, &f.name)).collect();
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
    let kinds = object::Kinds::new()?;
    let mut documents: Vec<(&Document, bool)> = Vec::new();
    for file in files {
        documents.extend(file.parsed.documents.iter().map(|document| (document, file.source.named)));
    }
    let judged = threads::map(&documents, |(document, named)| kinds.judge(document, *named));
    let passed_over = judged.iter().filter(|judged| judged.passed_over).count();
    let mut findings: Vec<Finding> = files.iter().flat_map(faults).collect();
    findings.extend(across::findings(&judged));
    findings.extend(judged.into_iter().flat_map(|judged| judged.findings));
    // Files keep their order, which need not be that of their names.
    let place = |file: &Arc<str>| files.iter().position(|read| Arc::ptr_eq(&read.source.name, file));
    let mut placed: Vec<(Option<usize>, Finding)> = Vec::with_capacity(findings.len());
    let mut last: Option<(Arc<str>, Option<usize>)> = None;
    for finding in findings {
        let known = last.as_ref().filter(|(file, _)| Arc::ptr_eq(file, &finding.file)).map(|(_, at)| *at);
        let at = known.unwrap_or_else(|| place(&finding.file));
        last = Some((Arc::clone(&finding.file), at));
        placed.push((at, finding));
    }
    placed.sort_by(|(a, one), (b, other)| {
        (a, one.line, &one.field, one.severity, &one.what).cmp(&(b, other.line, &other.field, other.severity, &other.what))
    });
    Ok(Report {
        findings: placed.into_iter().map(|(_, finding)| finding).collect(),
        objects: documents.len(),
        passed_over,
        files: files.len(),
    })
}

/// What was found while reading.
fn faults(file: &ReadFile) -> impl Iterator<Item = Finding> + '_ {
    file.parsed.faults.iter().map(|fault| Finding {
        file: Arc::clone(&file.source.name),
        line: fault.line,
        severity: Severity::Problem,
        kind: String::new(),
        namespace: None,
        name: String::new(),
        field: String::new(),
        what: fault.what.clone(),
        remedy: fault.remedy.clone(),
    })
}
