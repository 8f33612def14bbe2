//! Manifests from files, packed or not, YAML or JSON, as documents that know the line of each of their fields. Reading only: what a document ought to say is
//! judged elsewhere.
//!
//! Whatever a file holds, reading it ends, and takes memory in proportion to [`Limits`]; what is wrong with one file or document never hides the others.

pub mod files;
pub mod finding;
mod scalar;
pub mod threads;
pub mod tree;
mod yaml;

use std::sync::Arc;

use serde::de::DeserializeOwned;

pub use tree::{Node, Value};

/// How much is read.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one file, unpacked.
    pub file: usize,
    /// Bytes of all files, unpacked.
    pub all: usize,
    /// Values in one file, with what its aliases stand for.
    pub values: usize,
    /// Values in all files.
    pub all_values: usize,
}

impl Default for Limits {
    /// A list of 20,000 pods has 12 MiB and 600,000 values; 10,000 manifests have 15 MiB. A value takes about 100 bytes of memory.
    fn default() -> Self {
        Self { file: 32 << 20, all: 256 << 20, values: 2_000_000, all_values: 10_000_000 }
    }
}

impl Limits {
    /// For a whole cluster in one file: with all that an API server and a kubelet add, 20,000 pods have 380 MiB as `kubectl` indents JSON, and 13,000,000
    /// values, keys included.
    pub const CLUSTER: Self = Self { file: 512 << 20, all: 512 << 20, values: 20_000_000, all_values: 20_000_000 };
}

/// One object of a file.
#[derive(Debug)]
pub struct Document {
    /// Its file, as it was named.
    pub file: Arc<str>,
    /// Its first line.
    pub line: u32,
    /// Its API version, empty where it has none that is text.
    pub api_version: String,
    /// Its kind, likewise.
    pub kind: String,
    /// Its namespace, where it names one.
    pub namespace: Option<String>,
    /// Its name, or what its name is generated from; empty where it has none.
    pub name: String,
    /// All of it.
    pub tree: Node,
}

impl Document {
    fn new(file: &Arc<str>, tree: Node) -> Self {
        let text = |path: &[&str]| tree.at(path).and_then(Node::text).map(str::to_owned);
        Self {
            file: Arc::clone(file),
            line: tree.line,
            api_version: text(&["apiVersion"]).unwrap_or_default(),
            kind: text(&["kind"]).unwrap_or_default(),
            namespace: text(&["metadata", "namespace"]).filter(|namespace| !namespace.is_empty()),
            name: text(&["metadata", "name"]).or_else(|| text(&["metadata", "generateName"])).unwrap_or_default(),
            tree,
        }
    }

    /// The group of its API version; empty for Kubernetes' core.
    #[must_use]
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// The object as its type, after `complete` has filled in what the file leaves to others.
    ///
    /// # Errors
    /// The first field that the type cannot hold, with its line.
    pub fn to<T: DeserializeOwned>(&self, complete: impl FnOnce(&mut serde_json::Value)) -> Result<T, Fault> {
        let mut json = self.tree.to_json();
        complete(&mut json);
        serde_path_to_error::deserialize(json).map_err(|error| {
            let field = error.path().to_string();
            let what = error.inner().to_string();
            Fault { field: field.clone(), ..Fault::new(self.tree.line_of(&field), what, "write what this field can hold") }
        })
    }
}

/// Why a file, or a part of one, is no manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub line: u32,
    /// The field of the object that is wrong; empty where there is no object.
    pub field: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Fault {
    fn new(line: u32, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { line, field: String::new(), what: what.into(), remedy: remedy.into() }
    }
}

/// What a file holds.
#[derive(Debug)]
pub struct Parsed {
    /// Its objects, those of lists one by one.
    pub documents: Vec<Document>,
    /// What could not be read.
    pub faults: Vec<Fault>,
    /// How many values were kept.
    pub values: usize,
}

/// Reads a text of one or many documents. Documents that are empty are passed over.
#[must_use]
pub fn parse(file: &Arc<str>, text: &str, limits: &Limits) -> Parsed {
    let yaml::Trees { trees, faults, values } = yaml::trees(text, limits.values);
    let mut parsed = Parsed { documents: Vec::with_capacity(trees.len()), faults, values };
    for tree in trees {
        unpack(file, tree, &mut parsed);
    }
    parsed
}

/// An object, or the objects of a list. `kubectl get -o yaml` writes a `List`; lists of one kind are named after it.
fn unpack(file: &Arc<str>, tree: Node, parsed: &mut Parsed) {
    match &tree.value {
        Value::Null => {}
        Value::Map(_) => {
            let is_list = tree.at(&["kind"]).and_then(Node::text).is_some_and(|kind| kind.ends_with("List"));
            if !is_list || !matches!(tree.at(&["items"]).map(|items| &items.value), Some(Value::List(_))) {
                parsed.documents.push(Document::new(file, tree));
                return;
            }
            if let Some(Node { value: Value::List(items), .. }) = tree.take("items") {
                // Lists in lists are as deep as the text is nested, which the parser bounds.
                items.into_iter().for_each(|item| unpack(file, item, parsed));
            }
        }
        other => {
            let what = format!("this is {}, and no object", other.kind());
            parsed.faults.push(Fault::new(tree.line, what, "write apiVersion, kind, metadata and spec, one below the other"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Parsed {
        parse(&"x.yaml".into(), text, &Limits::default())
    }

    #[test]
    fn documents_and_lists_become_objects_with_lines() {
        let parsed = read(
            "# a comment\n---\napiVersion: v1\nkind: List\nitems:\n- {kind: A, metadata: {name: a}}\n- kind: BList\n  items:\n  - kind: B\n---\n\n---\nkind: C\nmetadata: {namespace: ns, generateName: c-}\n",
        );
        let found: Vec<_> = parsed.documents.iter().map(|d| (d.kind.as_str(), d.name.as_str(), d.line)).collect();
        assert_eq!(found, [("A", "a", 6), ("B", "", 9), ("C", "c-", 13)]);
        assert_eq!(parsed.documents[2].namespace.as_deref(), Some("ns"));
        assert!(parsed.faults.is_empty(), "{:?}", parsed.faults);
    }

    #[test]
    fn json_is_read_as_well_and_what_is_no_object_is_said() {
        let parsed = read("{\"kind\": \"A\",\n\t\"metadata\": {\"name\": \"\\u00e4\\/\"}}");
        assert_eq!(parsed.documents[0].name, "ä/");
        let parsed = read("- a\n- b\n");
        assert_eq!((parsed.faults[0].line, parsed.faults[0].what.as_str()), (1, "this is a list, and no object"));
    }

    #[test]
    fn a_document_becomes_its_type_or_says_where_it_cannot() {
        #[derive(serde::Deserialize, Debug)]
        struct Object {
            spec: std::collections::BTreeMap<String, u8>,
        }
        let object: Object = read("spec: {a: 1}").documents[0].to(|_| {}).expect("it fits");
        assert_eq!(object.spec["a"], 1);
        let fault = read("spec:\n  a: 1\n  b: x").documents[0].to::<Object>(|_| {}).expect_err("it does not");
        assert_eq!(fault.line, 3);
        assert_eq!(fault.field, "spec.b");
    }

    #[test]
    fn a_broken_document_does_not_hide_the_others() {
        let parsed = read("kind: A\n---\nkind: \"B\nmetadata: {\n---\nkind: C\n");
        assert!(parsed.documents.iter().any(|d| d.kind == "A"));
        assert_eq!(parsed.faults.len(), 1, "{:?}", parsed.faults);
    }
}
