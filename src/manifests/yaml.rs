//! From a text to trees, by the parser's events. An alias is a copy of what it stands for, counted like all else, so that a few lines cannot become a
//! million values.

use std::collections::{BTreeMap, BTreeSet};

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::Fault;
use super::scalar;
use super::tree::{Entry, Node, Value};

/// Deeper than this, nobody means it. The parser has a limit of its own, which is for each of the two styles.
const DEPTH: usize = 200;

/// Whoever has made so many mistakes in one file is told to mend these first.
const FAULTS: usize = 100;

/// What a text holds.
pub struct Trees {
    pub trees: Vec<Node>,
    pub faults: Vec<Fault>,
    pub values: usize,
}

/// All documents of a text. After a mistake, reading goes on at the next document.
pub fn trees(text: &str, values: usize) -> Trees {
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    let parser = Parser::new_from_str_with_options(text.strip_prefix('\u{feff}').unwrap_or(text), options);
    let mut reader = Reader { parser, anchors: BTreeMap::new(), faults: Vec::new(), values: 0, limit: values, depth: 0 };
    let mut trees = Vec::new();
    loop {
        match reader.document() {
            Ok(Some(tree)) => trees.push(tree),
            Ok(None) => break,
            Err(Stop::All(fault)) => {
                reader.faults.push(fault);
                break;
            }
            Err(Stop::Document(fault)) => {
                if let Err(Stop::All(fault) | Stop::Document(fault)) = reader.fault(fault) {
                    reader.faults.push(fault);
                    break;
                }
                reader.depth = 0;
                match reader.parser.proceed_next_document() {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        reader.faults.push(syntax(&error));
                        break;
                    }
                }
            }
        }
    }
    for fault in &mut reader.faults {
        explain_template(fault, text);
    }
    Trees { trees, faults: reader.faults, values: reader.values }
}

/// How far a mistake reaches.
enum Stop {
    Document(Fault),
    All(Fault),
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    /// What aliases stand for, in this document.
    anchors: BTreeMap<usize, Node>,
    faults: Vec<Fault>,
    values: usize,
    limit: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// The next document, if there is one.
    fn document(&mut self) -> Result<Option<Node>, Stop> {
        self.anchors.clear();
        loop {
            let Some((event, span)) = self.event()? else { return Ok(None) };
            match event {
                Event::StreamEnd => return Ok(None),
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event => return self.node(event, span).map(Some),
            }
        }
    }

    fn event(&mut self) -> Result<Option<(Event<'a>, Span)>, Stop> {
        self.parser.next_event().transpose().map_err(|error| Stop::Document(syntax(&error)))
    }

    /// The next event within a document, which has an end.
    fn inner(&mut self, line: u32) -> Result<(Event<'a>, Span), Stop> {
        self.event()?.ok_or_else(|| Stop::Document(Fault::new(line, "the text ends before this does", "complete it")))
    }

    fn count(&mut self, more: usize, line: u32) -> Result<(), Stop> {
        self.values = self.values.saturating_add(more);
        if self.values > self.limit {
            let what = format!("there are more than {} values in this file, those that its aliases stand for included", self.limit);
            return Err(Stop::All(Fault::new(line, what, "split the file, or write out what its aliases stand for")));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, span: Span) -> Result<Node, Stop> {
        let line = line(&span);
        self.count(1, line)?;
        let (node, anchor): (Node, usize) = match event {
            Event::Alias(id) => {
                let Some(node) = self.anchors.get(&id) else {
                    return Err(Stop::Document(Fault::new(line, "an alias stands for what it is itself a part of", "write it out")));
                };
                let size = size(node);
                let node = Node { line, value: node.value.clone() };
                self.count(size, line)?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => (Node { line, value: value(&text, style, tag.as_deref()) }, anchor),
            Event::SequenceStart(_, anchor, _) => (self.deeper(line, Self::list)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.deeper(line, Self::map)?, anchor),
            _ => return Err(Stop::Document(Fault::new(line, "this is nothing that a manifest can hold", "remove it"))),
        };
        if anchor != 0 {
            // What is kept for aliases counts as well.
            self.count(size(&node), line)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn deeper(&mut self, line: u32, read: fn(&mut Self, u32) -> Result<Node, Stop>) -> Result<Node, Stop> {
        self.depth += 1;
        if self.depth > DEPTH {
            let what = format!("lists and maps are nested more than {DEPTH} deep");
            return Err(Stop::Document(Fault::new(line, what, "an object is never as deep; correct the brackets or the indentation")));
        }
        let node = read(self, line);
        self.depth -= 1;
        node
    }

    /// Takes down a fault after which reading goes on.
    fn fault(&mut self, fault: Fault) -> Result<(), Stop> {
        if self.faults.len() < FAULTS {
            self.faults.push(fault);
            return Ok(());
        }
        let what = format!("there are more than {FAULTS} mistakes in this file, and the rest was not read");
        Err(Stop::All(Fault::new(fault.line, what, "correct those above first")))
    }

    /// Faults in a value are in what holds the value, too.
    fn locate(&mut self, before: usize, step: &str) {
        for fault in self.faults.iter_mut().skip(before) {
            let dot = if fault.field.starts_with('[') { "" } else { "." };
            fault.field = format!("{step}{dot}{}", fault.field);
        }
    }

    fn list(&mut self, line: u32) -> Result<Node, Stop> {
        let mut items = Vec::new();
        loop {
            match self.inner(line)? {
                (Event::SequenceEnd, _) => return Ok(Node { line, value: Value::List(items) }),
                (event, span) => {
                    let before = self.faults.len();
                    items.push(self.node(event, span)?);
                    self.locate(before, &format!("[{}]", items.len() - 1));
                }
            }
        }
    }

    fn map(&mut self, line: u32) -> Result<Node, Stop> {
        let mut entries: Vec<Entry> = Vec::new();
        // A list is faster for as few keys as maps have.
        let mut seen: Option<BTreeSet<Box<str>>> = None;
        let mut merged = Vec::new();
        loop {
            let (event, span) = self.inner(line)?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let is_merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, _) if text == "<<");
            let literal = match &event {
                Event::Scalar(text, ..) => Some(Box::<str>::from(&**text)),
                _ => None,
            };
            let at = self::line(&span);
            let key_node = self.node(event, span)?;
            let key = match (key_node.value, literal) {
                (Value::Text(text), _) => text,
                (Value::Bool(_) | Value::Number(_) | Value::Null, Some(text)) => text,
                (other, _) => {
                    let what = format!("a key is {}", other.kind());
                    return Err(Stop::Document(Fault::new(at, what, "write a text; put quotes around what YAML takes for something else")));
                }
            };
            let (event, span) = self.inner(at)?;
            let before = self.faults.len();
            let node = self.node(event, span)?;
            self.locate(before, &key);
            if is_merge {
                merged.push(node);
                continue;
            }
            let twice = match &mut seen {
                Some(seen) => !seen.insert(key.clone()),
                None => entries.iter().any(|entry| entry.key == key),
            };
            if twice {
                let what = "it is there a second time";
                let remedy = "keep one of the two; which of them counts differs from tool to tool";
                self.fault(Fault { field: key.to_string(), ..Fault::new(at, what, remedy) })?;
                continue;
            }
            entries.push(Entry { key, line: at, node });
            if seen.is_none() && entries.len() > 16 {
                seen = Some(entries.iter().map(|entry| entry.key.clone()).collect());
            }
        }
        merge(merged, &mut entries);
        Ok(Node { line, value: Value::Map(entries) })
    }
}

/// Adds the entries that `<<` brings in and that are not there.
fn merge(merged: Vec<Node>, entries: &mut Vec<Entry>) {
    let maps = merged.into_iter().flat_map(|node| match node.value {
        Value::List(items) => items,
        value => vec![Node { line: node.line, value }],
    });
    let mut known: BTreeSet<Box<str>> = BTreeSet::new();
    for (i, map) in maps.enumerate() {
        if i == 0 {
            known = entries.iter().map(|entry| entry.key.clone()).collect();
        }
        if let Value::Map(more) = map.value {
            entries.extend(more.into_iter().filter(|entry| known.insert(entry.key.clone())));
        }
    }
}

fn size(node: &Node) -> usize {
    1 + node.items().iter().map(size).sum::<usize>() + node.entries().iter().map(|entry| size(&entry.node)).sum::<usize>()
        // A long text costs like many values.
        + node.text().map_or(0, |text| text.len() / 128)
}

fn value(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    match tag.and_then(Tag::core_suffix) {
        Some("str" | "binary") => Value::Text(text.into()),
        Some(_) => scalar::plain(text),
        None if style == ScalarStyle::Plain => scalar::plain(text),
        None => Value::Text(text.into()),
    }
}

fn line(span: &Span) -> u32 {
    u32::try_from(span.start.line()).unwrap_or(u32::MAX)
}

/// The parser's words on a mistake, with ours on the most frequent ones.
fn syntax(error: &ScanError) -> Fault {
    let line = u32::try_from(error.marker().line()).unwrap_or(u32::MAX).max(1);
    let said = error.info();
    let remedy = if said.contains("tab") {
        "indent with spaces; YAML takes no tabs"
    } else if said.contains("quoted scalar") {
        "close the quotes"
    } else if said.contains("nest") || said.contains("recursion") || said.contains("depth") {
        "an object is never as deep; correct the brackets or the indentation"
    } else if said.contains("anchor") || said.contains("alias") {
        "define the anchor above, or put quotes around a text that begins with *"
    } else {
        "look at the indentation, quotes and colons of this line and the one above"
    };
    Fault::new(line, format!("this is no YAML: {said}"), remedy)
}

/// Templates are no manifests yet, and look like broken ones.
fn explain_template(fault: &mut Fault, text: &str) {
    let line = text.lines().nth(usize::try_from(fault.line.saturating_sub(1)).unwrap_or(usize::MAX)).unwrap_or_default();
    if line.contains("{{") {
        fault.remedy = "this looks like a template; render it first, as in `helm template . | springtide check -f -`".to_owned();
    }
}
