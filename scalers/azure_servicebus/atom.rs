//! Answers of the management interface: Atom, whose entries describe queues and subscriptions.

use roxmltree::{Document, Node};

/// A queue or subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub name: String,
    /// Messages that wait for a worker or are held by one; not those that are scheduled, dead or on their way elsewhere.
    pub active: u64,
}

/// The entries of a document, which is one entry or a feed of them; a feed may be empty. The error says what is wrong.
pub(super) fn entries(text: &str) -> Result<Vec<Entry>, String> {
    // Some servers put a mark of the byte order before the document.
    let document = Document::parse(text.trim_start_matches('\u{feff}')).map_err(|error| error.to_string())?;
    let root = document.root_element();
    match root.tag_name().name() {
        "entry" => Ok(vec![entry(root)?]),
        "feed" => root.children().filter(|child| child.tag_name().name() == "entry").map(entry).collect(),
        _ => Err("neither an entry nor a feed".to_owned()),
    }
}

fn entry(node: Node<'_, '_>) -> Result<Entry, String> {
    let title = node.children().find(|child| child.tag_name().name() == "title").and_then(|title| title.text());
    let name = title.map(str::trim).filter(|name| !name.is_empty()).ok_or("an entry without a title")?;
    let count = node.descendants().find(|child| child.tag_name().name() == "ActiveMessageCount").and_then(|count| count.text());
    let active =
        count.and_then(|count| count.trim().parse().ok()).ok_or_else(|| format!("an entry without ActiveMessageCount ({name:?})"))?;
    Ok(Entry { name: name.to_owned(), active })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_atom_is_refused() {
        for text in ["", "7", "<html/>", "<entry/>", "<entry><title>q</title></entry>", "<feed><entry><title>q</title></entry></feed>"] {
            assert!(entries(text).is_err(), "{text}");
        }
        assert_eq!(
            entries(r#"<feed xmlns="http://www.w3.org/2005/Atom"><title type="text">Publicly Listed Services</title></feed>"#),
            Ok(Vec::new())
        );
    }
}
