//! What a document holds, with the line of each key and value.

use serde_json::Number;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The line of its first character, from 1.
    pub line: u32,
    /// What it is.
    pub value: Value,
}

/// A value, as the API server would see it. The names are JSON's.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(Box<str>),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key; one that is no text in YAML is its text here, as in JSON.
    pub key: Box<str>,
    /// Where the key stands.
    pub line: u32,
    /// Its value.
    pub node: Node,
}

impl Value {
    /// What it is, for a sentence.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing (null)",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

impl Node {
    /// The entries of a map; none of anything else.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    /// The items of a list; none of anything else.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    /// The text, where it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// Whether there is nothing.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The value under a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| &*entry.key == key).map(|entry| &entry.node)
    }

    /// The value under keys, one within the other.
    #[must_use]
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The value under a key, without the rest.
    #[must_use]
    pub fn take(self, key: &str) -> Option<Self> {
        let Value::Map(entries) = self.value else { return None };
        entries.into_iter().find(|entry| &*entry.key == key).map(|entry| entry.node)
    }

    /// The line of a field such as `spec.triggers[1].metadata.host` or `metadata.annotations[a.b/c]`; of the last part of it that is there. Keys may have
    /// dots in them: the longest that fits is meant.
    #[must_use]
    pub fn line_of(&self, field: &str) -> u32 {
        let (mut node, mut line, mut rest) = (self, self.line, field);
        loop {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            if rest.is_empty() {
                return line;
            }
            let index = rest.strip_prefix('[').and_then(|inner| inner.split_once(']'));
            if let (Value::List(items), Some((number, after))) = (&node.value, index) {
                let Some(item) = number.parse().ok().and_then(|number: usize| items.get(number)) else { return line };
                (node, line, rest) = (item, item.line, after);
                continue;
            }
            let fits = |entry: &&Entry| {
                let after = rest.strip_prefix(&*entry.key).is_some_and(|after| after.is_empty() || after.starts_with(['.', '[']));
                after || index.is_some_and(|(key, _)| key == &*entry.key)
            };
            let Some(entry) = node.entries().iter().filter(fits).max_by_key(|entry| entry.key.len()) else { return line };
            rest = rest.strip_prefix(&*entry.key).or(index.map(|(_, after)| after)).unwrap_or_default();
            (node, line) = (&entry.node, entry.line);
        }
    }

    /// The same without lines.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(number) => number.clone().into(),
            Value::Text(text) => serde_json::Value::String(text.to_string()),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => entries.iter().map(|entry| (entry.key.to_string(), entry.node.to_json())).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Limits, parse};

    #[test]
    fn fields_have_lines_and_what_is_not_there_has_its_parents() {
        let text = "metadata:\n  annotations:\n    a.b/c: x\n    a: y\nspec:\n  list:\n  - k: 1\n  -\n    k: 2\n  limits:\n    nvidia.com/gpu: 1\n";
        let tree = &parse(&"x".into(), text, &Limits::default()).documents[0].tree;
        for (field, line) in [
            ("", 1),
            ("spec", 5),
            ("spec.list[0].k", 7),
            ("spec.list[1].k", 9),
            ("spec.list[1].missing.deep", 9),
            ("spec.list[9].k", 6),
            ("spec.limits.nvidia.com/gpu", 11),
            ("metadata.annotations[a.b/c]", 3),
            ("metadata.annotations[a]", 4),
            ("missing", 1),
        ] {
            assert_eq!(tree.line_of(field), line, "{field}");
        }
    }
}
