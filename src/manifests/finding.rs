//! What was found in a document, by whoever looked, and how it is told.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use springtide_api::Problem;
use springtide_scalers::conceal;

use super::Document;
use super::files::ReadFile;

/// No word of a message is longer: a name or a value of which nobody reads more.
const WORD: usize = 200;
/// No part of a message is longer, whatever the words of a value.
const TEXT: usize = 1000;
/// So much of a text is looked at to cut it: behind a value of megabytes nobody misses the rest of a sentence.
const LOOKED_AT: usize = 10_000;

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
        let object = (document.kind.as_str(), document.namespace.as_deref(), document.name.as_str());
        Self::of(severity, &document.file, line, object, &problem)
    }

    /// Something about a place in a file, and an object by kind, namespace and name. All that is told comes by here, and leaves without addresses' passwords
    /// and at a length that can be read.
    pub fn of(severity: Severity, file: &Arc<str>, line: u32, object: (&str, Option<&str>, &str), problem: &Problem) -> Self {
        let (kind, namespace, name) = object;
        let shown = |text: &str| shown(text).into_owned();
        Self {
            file: Arc::clone(file),
            line,
            severity,
            kind: shown(kind),
            namespace: namespace.map(shown),
            name: shown(name),
            field: shown(&problem.field),
            what: shown(&problem.what),
            remedy: shown(&problem.remedy),
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
            let object = document.map_or(("", None, ""), |one| (one.kind.as_str(), one.namespace.as_deref(), one.name.as_str()));
            let problem = Problem::new(&fault.field, &fault.what, &fault.remedy);
            Self::of(Severity::Problem, &file.source.name, fault.line, object, &problem)
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

/// A text as it may be told.
pub fn shown(text: &str) -> Cow<'_, str> {
    let text = conceal(text);
    if text.len() <= WORD {
        return text;
    }
    let (mut out, mut length, mut word) = (String::new(), 0, 0);
    for letter in text.chars().take(LOOKED_AT) {
        word = if letter.is_whitespace() { 0 } else { word + 1 };
        if word > WORD + 1 {
            continue;
        }
        length += 1;
        out.push(if word > WORD || length > TEXT { '…' } else { letter });
        if length > TEXT {
            break;
        }
    }
    Cow::Owned(out)
}

/// A text without what would break the line or speak to the terminal.
pub fn line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

fn text<S: serde::Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn what_is_told_can_be_read() {
        let long = "x".repeat(5_000);
        assert_eq!(shown(&format!("a {long} b")), format!("a {}… b", "x".repeat(200)));
        assert_eq!(shown(&"äb ".repeat(20_000)).chars().count(), 1001);
        // A password is not cut from its address.
        assert_eq!(shown(&format!("amqp://u:{long}@h")), "amqp://…");
    }
}
