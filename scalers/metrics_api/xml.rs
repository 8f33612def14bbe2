//! XML as a tree of objects, lists and texts. An element is an object of its attributes (`-name`), its elements, and its own text (`#text`)
//! where it has the former; a mere text otherwise. Elements of one name are a list. The outermost element is the only key of the whole.

use roxmltree::{Document, Node, ParsingOptions};
use serde_json::{Map, Value};

/// How deep elements may stand in each other: as deep as JSON may be here.
const DEEPEST: usize = 128;
/// How many elements and texts there may be.
const MOST: u32 = 1_000_000;

/// The tree of a document. The error says why there is none.
pub(super) fn tree(text: &str) -> Result<Value, String> {
    let options = ParsingOptions { nodes_limit: MOST, ..ParsingOptions::default() };
    let document = Document::parse_with_options(text, options).map_err(|error| error.to_string())?;
    let root = document.root_element();
    Ok(Value::Object(Map::from_iter([(root.tag_name().name().to_owned(), element(root, 0)?)])))
}

fn element(node: Node<'_, '_>, depth: usize) -> Result<Value, String> {
    if depth == DEEPEST {
        return Err(format!("elements stand more than {DEEPEST} deep in each other"));
    }
    let text: String = node.children().filter(Node::is_text).filter_map(|child| child.text()).collect();
    let text = text.trim();
    let mut fields: Map<String, Value> =
        node.attributes().map(|attribute| (format!("-{}", attribute.name()), Value::String(attribute.value().to_owned()))).collect();
    for child in node.children().filter(Node::is_element) {
        let value = element(child, depth + 1)?;
        match fields.get_mut(child.tag_name().name()) {
            None => drop(fields.insert(child.tag_name().name().to_owned(), Value::Array(vec![value]))),
            Some(Value::Array(list)) => list.push(value),
            Some(_) => {}
        }
    }
    if fields.is_empty() {
        return Ok(Value::String(text.to_owned()));
    }
    // Only here it is known which elements are alone.
    for value in fields.values_mut() {
        if let Value::Array(list) = value
            && list.len() == 1
        {
            *value = list.remove(0);
        }
    }
    if !text.is_empty() {
        fields.insert("#text".to_owned(), Value::String(text.to_owned()));
    }
    Ok(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::location::Location;
    use crate::parameter::Field as _;

    #[test]
    fn elements_and_attributes_are_found_by_their_path() {
        let text = r#"<?xml version="1.0"?><!-- c --><stats at="now"><worker><tasks> 10 </tasks></worker>
            <queue name="orders"><size consumers="2">7</size></queue><queue name="mail"><size>100m</size></queue></stats>"#;
        let tree = tree(text).expect("fine");
        for (path, number) in [
            ("stats.worker.tasks", 10.0),
            ("stats.queue.1.size", 0.1),
            ("stats.queue.0.size.#text", 7.0),
            ("stats.queue.0.size.-consumers", 2.0),
            ("stats.queue.#", 2.0),
            (r#"stats.queue.#(-name=="mail").size"#, 0.1),
        ] {
            assert_eq!(Location::parse(path).expect(path).number(&tree), Ok(number), "{path}");
        }
    }

    #[test]
    fn what_is_no_xml_or_harmful_is_refused() {
        let deep = format!("{}{}", "<a>".repeat(200), "</a>".repeat(200));
        let entities = r#"<!DOCTYPE a [<!ENTITY b "bbbb">]><a>&b;</a>"#;
        for text in ["", "7", "<a>", "<a></b>", deep.as_str(), entities] {
            assert!(tree(text).is_err(), "{text:.20}");
        }
    }
}
