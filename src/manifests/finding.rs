//! What was found in a document, by whoever looked, and how it is told.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use springtide_api::Problem;

use super::Document;
use super::files::ReadFile;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It will be refused, or will not do what it says.
    Problem,
    /// It works, and somebody should know.
    Notice,
}

/// One thing that was found. Ordered as it is printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The file, as it was named.
    #[serde(serialize_with = "text")]
    pub file: Arc<str>,
    /// The line of the field, or of the last of its parents that is there.
    pub line: u32,
    /// How bad it is.
    pub severity: Severity,
    /// The object; empty where a text is none.
    pub kind: String,
    /// Its namespace, where it names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name; empty where it has none.
    pub name: String,
    /// The field; empty where it is the object, or the text.
    pub field: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Finding {
    /// Something about a field of an object.
    pub fn new(severity: Severity, document: &Document, line: u32, problem: Problem) -> Self {
        Self {
            file: Arc::clone(&document.file),
            line,
            severity,
            kind: document.kind.clone(),
            namespace: document.namespace.clone(),
            name: document.name.clone(),
            field: problem.field,
            what: problem.what,
            remedy: problem.remedy,
        }
    }

    /// Something about a field of an object, at the line of that field.
    pub fn at(severity: Severity, document: &Document, problem: Problem) -> Self {
        Self::new(severity, document, document.tree.line_of(&problem.field), problem)
    }

    /// What was found while a file was read.
    pub fn of_reading(file: &ReadFile) -> impl Iterator<Item = Self> + '_ {
        file.parsed.faults.iter().map(|fault| {
            // A fault in a field is in the object that begins last before it.
            let documents = file.parsed.documents.iter().filter(|document| !fault.field.is_empty() && document.line <= fault.line);
            let document = documents.max_by_key(|document| document.line);
            Self {
                file: Arc::clone(&file.source.name),
                line: fault.line,
                severity: Severity::Problem,
                kind: document.map_or_else(String::new, |document| document.kind.clone()),
                namespace: document.and_then(|document| document.namespace.clone()),
                name: document.map_or_else(String::new, |document| document.name.clone()),
                field: fault.field.clone(),
                what: fault.what.clone(),
                remedy: fault.remedy.clone(),
            }
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.severity == Severity::Notice {
            f.write_str("notice: ")?;
        }
        write!(f, "{}:{}", self.file, self.line)?;
        if !self.kind.is_empty() {
            write!(f, " {}/{}", line(&self.kind), if self.name.is_empty() { "?".to_owned() } else { line(&self.name) })?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", line(&self.field))?;
        }
        write!(f, ": {}; {}", line(&self.what), line(&self.remedy))
    }
}

/// A text without what would break the line or speak to the terminal.
pub fn line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

fn text<S: serde::Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}
