//! What KEDA's and Karpenter's admission checks refuse, found all at once. The checks of the kinds stand with the kinds; here is what they share, and our own
//! annotations.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

pub use crate::karpenter::validate::{kwok_node_class, node_claim, node_pool};
pub use crate::keda::validate::{cluster_trigger_authentication, scaled_job, scaled_object, trigger_authentication};
use crate::{duration, labels};

/// Something that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Path of the field: `spec.triggers[1].name`.
    pub field: String,
    /// What is wrong with it.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Problem {
    /// A problem.
    pub fn new(field: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { field: field.into(), what: what.into(), remedy: remedy.into() }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}; {}", self.field, self.what, self.remedy)
    }
}

/// What our annotations on an object say that they cannot say. Valid on every kind: one that an object of this kind does not have is not looked for.
#[must_use]
pub fn annotations(meta: &ObjectMeta) -> Vec<Problem> {
    let empty = BTreeMap::new();
    let present = meta.annotations.as_ref().unwrap_or(&empty);
    let mut problems = Vec::new();
    let mut check = |key: &str, fine: fn(&str) -> bool, what: &str, remedy: &str| {
        if let Some(text) = present.get(key)
            && !fine(text)
        {
            problems.push(Problem::new(format!("metadata.annotations[{key}]"), format!("{text:?} is not {what}"), remedy));
        }
    };
    let is_span: fn(&str) -> bool = |text| duration::parse(text).is_ok_and(|span| span.is_positive());
    check(labels::DEADLINE, is_span, "a duration above 0", "write for example 30s or 5m");
    check(labels::SERVICE_TIME, is_span, "a duration above 0", "write for example 300ms or 2s");
    check(labels::MAX_HOURLY_COST, |text| dollars(text).is_some(), "an amount of US dollars", "write a number such as 2.50");
    check(labels::SPOT_SHARE, |text| percent(text).is_some(), "a percentage", "write a number from 0% to 100%");
    check(labels::MODE, |text| matches!(text, "active" | "shadow"), "a mode", "write active or shadow");
    problems
}

/// An amount of US dollars as the annotation writes it, with or without a dollar sign; none where it is no number or less than none.
#[must_use]
pub fn dollars(text: &str) -> Option<f64> {
    let number = text.strip_prefix('$').unwrap_or(text);
    let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    number.parse().ok().filter(|amount: &f64| plain && amount.is_finite())
}

/// A percentage from 0 to 100 as the annotation writes it.
#[must_use]
pub fn percent(text: &str) -> Option<u32> {
    let digits = text.strip_suffix('%')?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|share| plain && *share <= 100)
}

/// Whether a text may be the key of a label: an optional DNS domain, a slash, and a name of at most 63 characters.
#[must_use]
pub fn is_qualified_name(text: &str) -> bool {
    match text.split_once('/') {
        Some((domain, name)) => is_domain(domain) && is_name(name),
        None => is_name(text),
    }
}

/// Whether a text may be the value of a label.
#[must_use]
pub fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_name(text)
}

fn is_name(text: &str) -> bool {
    let ends = |end: Option<u8>| end.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.len() <= 63 && ends(text.bytes().next()) && ends(text.bytes().last()) && text.bytes().all(inner)
}

/// Whether a text may be the name of a variable of a container.
#[must_use]
pub fn is_variable_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty() && !text.starts_with(|first: char| first.is_ascii_digit()) && text.bytes().all(inner)
}

/// Whether a text may be the name of an object: parts of lower-case letters, digits and -, separated by dots.
#[must_use]
pub fn is_domain(text: &str) -> bool {
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let part = |part: &str| {
        let ends = |end: Option<u8>| end.is_some_and(lower);
        ends(part.bytes().next()) && ends(part.bytes().last()) && part.bytes().all(|byte| lower(byte) || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_annotations_are_checked() {
        let table = [
            (labels::DEADLINE, "30s", true),
            (labels::DEADLINE, "0s", false),
            (labels::DEADLINE, "soon", false),
            (labels::SERVICE_TIME, "300ms", true),
            (labels::SERVICE_TIME, "3", false),
            (labels::MAX_HOURLY_COST, "2.50", true),
            (labels::MAX_HOURLY_COST, "$3", true),
            (labels::MAX_HOURLY_COST, "-1", false),
            (labels::MAX_HOURLY_COST, "inf", false),
            (labels::SPOT_SHARE, "80%", true),
            (labels::SPOT_SHARE, "101%", false),
            (labels::SPOT_SHARE, "80", false),
            (labels::MODE, "shadow", true),
            (labels::MODE, "Shadow", false),
            ("springtide.dev/other", "anything", true),
        ];
        for (key, value, fine) in table {
            let meta = ObjectMeta { annotations: Some([(key.to_owned(), value.to_owned())].into()), ..ObjectMeta::default() };
            let found = annotations(&meta);
            assert_eq!(found.is_empty(), fine, "{key}: {value}: {found:?}");
        }
    }

    #[test]
    fn names_are_kubernetes() {
        for good in ["a", "karpenter.sh/nodepool", "A.b_c-d", "0"] {
            assert!(is_qualified_name(good), "{good}");
        }
        for bad in ["", "/a", "a/", "A.b/c", "a/b/c", "-a", "a-", "a b", "x..y/z"] {
            assert!(!is_qualified_name(bad), "{bad}");
        }
        assert!(is_label_value("") && is_label_value("a") && !is_label_value("a b") && !is_label_value(&"a".repeat(64)));
    }
}
