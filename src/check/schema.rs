//! Whether an object has the shape that its kind has. All deviations are found in one walk, which also makes the object anew without what does not fit, so
//! that what its fields mean can be judged although some of them are wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;
use serde_json::{Map, Value as Json, json};
use springtide_api::Problem;

use super::finding::shown;
use super::nearest::nearest;
use crate::manifests::{Node, Value};

/// What a field may hold.
#[derive(Debug)]
pub struct Schema {
    shape: Shape,
    /// The only texts that are allowed, where there is a list.
    words: Vec<String>,
    pattern: Option<Arc<Pattern>>,
    length: (u64, u64),
}

#[derive(Debug)]
enum Shape {
    Anything,
    Text,
    Truth,
    Number,
    Whole { least: i64, most: i64 },
    WholeOrText,
    List(Box<Schema>),
    Map { fields: BTreeMap<String, Schema>, required: Vec<String>, others: Others },
}

/// What fields a map may have beside those that are listed.
#[derive(Debug)]
enum Others {
    None,
    Any,
    Each(Box<Schema>),
}

/// A pattern, and what it means.
#[derive(Debug)]
struct Pattern {
    regex: Regex,
    what: &'static str,
    remedy: String,
}

/// Patterns by their text: few of them are used in many places.
#[derive(Default)]
pub struct Patterns(BTreeMap<String, Option<Arc<Pattern>>>);

impl Patterns {
    fn get(&mut self, text: &str) -> Option<Arc<Pattern>> {
        let make = || {
            let (what, remedy) = match text {
                text if text.contains("numkMGTPE") => ("is no quantity", "write a number, perhaps with a suffix, as in 500m, 2 or 4Gi"),
                text if text.contains("Never") => ("cannot be understood", "write hours, minutes and seconds, as in 1h30m, or Never"),
                text if text.contains("%|") => ("is no number of nodes", "write a number, or a percentage from 0% to 100%"),
                text if text.contains("(s|m|h)") => ("is no duration", "write hours, minutes and seconds, as in 1h30m"),
                text if text.contains("(h|m)") => ("is no duration", "write hours and minutes, as in 1h30m"),
                _ => {
                    return Some(Pattern {
                        regex: Regex::new(text).ok()?,
                        what: "has a character too many",
                        remedy: format!("write what matches {text}"),
                    });
                }
            };
            Some(Pattern { regex: Regex::new(text).ok()?, what, remedy: remedy.to_owned() })
        };
        self.0.entry(text.to_owned()).or_insert_with(|| make().map(Arc::new)).clone()
    }
}

impl Schema {
    /// From an OpenAPI v3 schema without references. What it says and is not known here is not checked.
    pub fn new(schema: &Json, patterns: &mut Patterns) -> Self {
        let words = schema["enum"].as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect();
        let bound = |name: &str, default: u64| schema[name].as_u64().unwrap_or(default);
        Self {
            shape: Self::shape(schema, patterns),
            words,
            pattern: schema["pattern"].as_str().and_then(|text| patterns.get(text)),
            length: (
                bound("minLength", 0).max(bound("minItems", 0)),
                bound("maxLength", u64::MAX).min(bound("maxItems", u64::MAX)).min(bound("maxProperties", u64::MAX)),
            ),
        }
    }

    fn shape(schema: &Json, patterns: &mut Patterns) -> Shape {
        if schema["x-kubernetes-int-or-string"] == true {
            return Shape::WholeOrText;
        }
        match schema["type"].as_str() {
            Some("string") => Shape::Text,
            Some("boolean") => Shape::Truth,
            Some("number") => Shape::Number,
            Some("integer") => {
                let (low, high) =
                    if schema["format"] == "int32" { (i64::from(i32::MIN), i64::from(i32::MAX)) } else { (i64::MIN, i64::MAX) };
                #[expect(clippy::cast_possible_truncation, reason = "bounds in a CRD are small whole numbers, kept as floating point ones")]
                let bound = |name: &str| schema[name].as_i64().or_else(|| schema[name].as_f64().map(|bound| bound as i64));
                Shape::Whole { least: bound("minimum").unwrap_or(low), most: bound("maximum").unwrap_or(high) }
            }
            Some("array") => Shape::List(Box::new(Self::new(&schema["items"], patterns))),
            Some("object") => {
                let fields = schema["properties"].as_object().into_iter().flatten();
                let fields: BTreeMap<String, Self> = fields.map(|(name, schema)| (name.clone(), Self::new(schema, patterns))).collect();
                let others = match &schema["additionalProperties"] {
                    Json::Bool(true) => Others::Any,
                    more @ Json::Object(_) => Others::Each(Box::new(Self::new(more, patterns))),
                    _ if schema["x-kubernetes-preserve-unknown-fields"] == true || fields.is_empty() => Others::Any,
                    _ => Others::None,
                };
                let required = schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect();
                Shape::Map { fields, required, others }
            }
            _ => Shape::Anything,
        }
    }

    /// What goes here, for a sentence.
    fn goes(&self) -> String {
        match &self.words[..] {
            [] => {}
            [word] => return word.clone(),
            words => return format!("one of {}", words.join(", ")),
        }
        match &self.shape {
            Shape::Anything => "a value".to_owned(),
            Shape::Text => "a text".to_owned(),
            Shape::Truth => "true or false".to_owned(),
            Shape::Number => "a number".to_owned(),
            Shape::Whole { .. } => "a whole number".to_owned(),
            Shape::WholeOrText => "a number or a text".to_owned(),
            Shape::List(_) => "a list".to_owned(),
            Shape::Map { required, .. } if required.is_empty() => "a map".to_owned(),
            Shape::Map { required, .. } => format!("a map with {}", required.join(" and ")),
        }
    }

    /// Something that has the shape, in the place of what is missing.
    fn blank(&self) -> Json {
        match &self.shape {
            Shape::Anything => Json::Null,
            Shape::Text | Shape::WholeOrText => json!(""),
            Shape::Truth => json!(false),
            Shape::Number | Shape::Whole { .. } => json!(0),
            Shape::List(_) => json!([]),
            Shape::Map { fields, required, .. } => {
                required.iter().filter_map(|name| Some((name.clone(), fields.get(name)?.blank()))).collect::<Map<_, _>>().into()
            }
        }
    }

    /// Where else in here a field of this name belongs, if there is one such place in all, or below where it stands.
    fn home(&self, name: &str, here: &str) -> Option<String> {
        let mut found = Vec::new();
        self.homes(name, &mut String::new(), &mut found);
        let below: Vec<&String> = found.iter().filter(|home| home.strip_prefix(here).is_some_and(|rest| rest.starts_with('.'))).collect();
        match (&found[..], &below[..]) {
            ([one], _) => Some(one.clone()),
            (_, [one]) => Some((*one).clone()),
            _ => None,
        }
    }

    fn homes(&self, name: &str, path: &mut String, found: &mut Vec<String>) {
        match &self.shape {
            Shape::Map { fields, .. } => {
                for (key, schema) in fields {
                    let before = path.len();
                    if before > 0 {
                        path.push('.');
                    }
                    path.push_str(key);
                    if key == name {
                        found.push(path.clone());
                    }
                    // Pod templates are large, and have nothing of ours.
                    if key != "jobTargetRef" {
                        schema.homes(name, path, found);
                    }
                    path.truncate(before);
                }
            }
            Shape::List(items) => {
                let before = path.len();
                path.push_str("[]");
                items.homes(name, path, found);
                path.truncate(before);
            }
            _ => {}
        }
    }
}

/// So many deviations of one object are told; what comes on top has seldom another cause.
pub const TOLD: usize = 100;

/// One deviation.
#[derive(Debug)]
pub struct Deviation {
    pub line: u32,
    pub problem: Problem,
    pub weight: Weight,
}

/// What a deviation does to what is said later of the same field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Nothing more is said of it.
    Hard,
    /// The value has the right type all the same, and whoever knows what it means may say it better.
    Soft,
    /// Another deviation has said it; nothing more is said.
    Said,
}

/// What an unknown field was called once, or elsewhere: from its path and value, what is wrong and what to do now.
pub type Older<'a> = &'a dyn Fn(&str, &Node) -> Option<(String, String)>;

/// One walk over an object.
pub struct Walk<'a> {
    root: &'a Schema,
    older: Older<'a>,
    path: Vec<Step<'a>>,
    deviations: Vec<Deviation>,
    /// How many were not taken down.
    more: usize,
}

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl<'a> Walk<'a> {
    /// The object with what fits, what does not, and how much more does not.
    pub fn over(root: &'a Schema, node: &'a Node, older: Older<'a>) -> (Json, Vec<Deviation>, usize) {
        let mut walk = Walk { root, older, path: Vec::new(), deviations: Vec::new(), more: 0 };
        let fitting = walk.value(root, node, node.line).unwrap_or_else(|| root.blank());
        (fitting, walk.deviations, walk.more)
    }

    fn here(&self) -> String {
        let mut text = String::new();
        for step in &self.path {
            match step {
                Step::Index(index) => text.push_str(&format!("[{index}]")),
                Step::Key(key) if key.contains(['.', '/', '[', ']', ' ']) => text.push_str(&format!("[{}]", shown(key))),
                Step::Key(key) => {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    text.push_str(&shown(key));
                }
            }
        }
        text
    }

    /// Whether another deviation is told.
    fn is_full(&mut self) -> bool {
        let full = self.deviations.len() >= TOLD;
        self.more += usize::from(full);
        full
    }

    fn deviates(&mut self, line: u32, weight: Weight, what: impl Into<String>, remedy: impl Into<String>) {
        if self.is_full() {
            return;
        }
        let problem = Problem::new(self.here(), what, remedy);
        self.deviations.push(Deviation { line, problem, weight });
    }

    fn value(&mut self, schema: &'a Schema, node: &'a Node, line: u32) -> Option<Json> {
        match (&schema.shape, &node.value) {
            (Shape::Anything, _) => return Some(node.to_json()),
            (Shape::Truth, Value::Bool(_)) | (Shape::Number, Value::Number(_)) => {}
            (Shape::WholeOrText, Value::Number(number)) if schema.pattern.is_none() && !number.is_i64() && !number.is_u64() => {
                self.deviates(line, Weight::Hard, "this is no whole number", "write a whole number, or a text");
                return None;
            }
            // A quantity may be a number, and is its text.
            (Shape::WholeOrText, Value::Number(number)) => {
                return Some(if schema.pattern.is_some() { json!(number.to_string()) } else { node.to_json() });
            }
            (Shape::Whole { least, most }, Value::Number(number)) => return self.whole(line, number, *least, *most),
            (Shape::Text | Shape::WholeOrText, Value::Text(text)) => self.text(schema, text, line),
            (Shape::List(items), Value::List(nodes)) => {
                self.length(schema, nodes.len(), line, "items");
                return Some(
                    nodes
                        .iter()
                        .enumerate()
                        .filter_map(|(i, node)| {
                            self.path.push(Step::Index(i));
                            let item = self.value(items, node, node.line);
                            self.path.pop();
                            item
                        })
                        .collect(),
                );
            }
            (Shape::Map { fields, required, others }, Value::Map(_)) => {
                self.length(schema, node.entries().len(), line, "keys");
                return Some(self.map(fields, required, others, node, line));
            }
            _ => {
                self.wrong_type(schema, node, line);
                return None;
            }
        }
        Some(node.to_json())
    }

    fn wrong_type(&mut self, schema: &Schema, node: &Node, line: u32) {
        // Never the value itself: it may be a password that lacks its quotes.
        let remedy = match (&schema.shape, &node.value) {
            (Shape::Text, Value::Number(_)) => "put quotes around it".to_owned(),
            (Shape::Text, Value::Bool(_)) => {
                "put quotes around it; without them YAML takes yes, no, on, off, y and n for true or false too".to_owned()
            }
            (Shape::Whole { .. } | Shape::Number | Shape::Truth, Value::Text(_)) => format!("write {}, without quotes", schema.goes()),
            (Shape::Text, Value::Map(_)) => "write a text; one that begins with { needs quotes".to_owned(),
            (Shape::List(_), Value::Map(_)) => "begin each item with `- `".to_owned(),
            _ => format!("write {}", schema.goes()),
        };
        self.deviates(line, Weight::Hard, format!("this is {}, and must be {}", node.value.kind(), schema.goes()), remedy);
    }

    fn whole(&mut self, line: u32, number: &serde_json::Number, least: i64, most: i64) -> Option<Json> {
        #[expect(clippy::cast_possible_truncation, reason = "only what has no fraction and is far from the limits")]
        let whole = number.as_i64().or_else(|| number.as_f64().filter(|n| n.fract() == 0.0 && n.abs() < 9e15).map(|n| n as i64));
        let Some(whole) = whole else {
            self.deviates(line, Weight::Hard, format!("{number} is no whole number"), "write a whole number");
            return None;
        };
        // What no integer of the type holds cannot be judged further.
        let holds = (i64::from(i32::MIN)..=i64::from(i32::MAX)).contains(&whole);
        let weight = if holds { Weight::Soft } else { Weight::Hard };
        if whole < least {
            self.deviates(line, weight, format!("{whole} is less than {least}"), format!("write {least} or more"));
        } else if whole > most {
            self.deviates(line, weight, format!("{whole} is more than {most}"), format!("write {most} or less"));
        }
        (holds || (least..=most).contains(&whole)).then(|| whole.into())
    }

    fn text(&mut self, schema: &Schema, text: &str, line: u32) {
        let shown: String = shown(text).chars().take(60).collect();
        if !schema.words.is_empty() && !schema.words.iter().any(|word| word == text) {
            let meant = nearest(text, schema.words.iter().map(String::as_str));
            let remedy = meant.map_or_else(|| format!("write {}", schema.goes()), |word| format!("did you mean {word}?"));
            self.deviates(line, Weight::Soft, format!("{shown:?} is unknown"), remedy);
        } else if let Some(pattern) = schema.pattern.as_ref().filter(|pattern| !pattern.regex.is_match(text)) {
            self.deviates(line, Weight::Soft, format!("{shown:?} {}", pattern.what), pattern.remedy.clone());
        } else if text.is_empty() && schema.length.0 > 0 {
            self.deviates(line, Weight::Soft, "it is empty", "write a text");
        } else {
            self.length(schema, text.chars().count(), line, "characters");
        }
    }

    fn length(&mut self, schema: &Schema, length: usize, line: u32, of: &str) {
        let (least, most) = schema.length;
        let length = length as u64;
        if length < least {
            self.deviates(line, Weight::Soft, format!("there are {length} {of}"), format!("{least} at least are needed"));
        } else if length > most {
            self.deviates(line, Weight::Soft, format!("there are {length} {of}"), format!("use {most} at most"));
        }
    }

    fn map(&mut self, fields: &'a BTreeMap<String, Schema>, required: &[String], others: &'a Others, node: &'a Node, line: u32) -> Json {
        let mut made = Map::new();
        // The API server drops what is null before it looks.
        for entry in node.entries().iter().filter(|entry| !entry.node.is_null()) {
            let schema = match (fields.get(&*entry.key), others) {
                (Some(schema), _) => schema,
                (None, Others::Each(schema)) => schema,
                (None, Others::Any) => {
                    made.insert(entry.key.to_string(), entry.node.to_json());
                    continue;
                }
                (None, Others::None) => {
                    self.unknown(&entry.key, &entry.node, entry.line, fields, node);
                    continue;
                }
            };
            self.path.push(Step::Key(&entry.key));
            if let Some(value) = self.value(schema, &entry.node, entry.line) {
                made.insert(entry.key.to_string(), value);
            }
            self.path.pop();
        }
        for name in required {
            let Some(schema) = fields.get(name).filter(|_| !made.contains_key(name)) else { continue };
            let given = node.entries().iter().find(|entry| &*entry.key == name);
            if given.is_none_or(|entry| entry.node.is_null()) && !self.is_full() {
                let weight = if self.stands_elsewhere(name) { Weight::Said } else { Weight::Hard };
                let (line, what, verb) = given.map_or((line, "it is missing", "add it"), |entry| (entry.line, "it is empty", "fill it in"));
                let problem = Problem::new(self.child(name), what, format!("{verb}: {}", schema.goes()));
                self.deviations.push(Deviation { line, problem, weight });
            }
            made.insert(name.clone(), schema.blank());
        }
        made.into()
    }

    fn child(&self, name: &str) -> String {
        let here = self.here();
        if here.is_empty() { name.to_owned() } else { format!("{here}.{name}") }
    }

    /// Whether an unknown field here was just said to be this one.
    fn stands_elsewhere(&self, name: &str) -> bool {
        let here = self.here();
        let said = format!("did you mean {name}?");
        let now = format!("write {name}:");
        self.deviations.iter().rev().any(|deviation| {
            deviation.problem.field.strip_prefix(here.as_str()).is_some_and(|rest| !rest.trim_start_matches('.').contains('.'))
                && (deviation.problem.remedy == said || deviation.problem.remedy.starts_with(&now))
        })
    }

    fn unknown(&mut self, key: &str, value: &Node, line: u32, fields: &BTreeMap<String, Schema>, parent: &Node) {
        if self.is_full() {
            return;
        }
        let field = self.child(key);
        let missing = || fields.keys().map(String::as_str).filter(|name| parent.get(name).is_none());
        let (what, remedy) = if let Some(known) = (self.older)(&field, value) {
            known
        } else if let Some(meant) = nearest(key, missing()) {
            ("there is no such field".to_owned(), format!("did you mean {meant}?"))
        } else if let Some(home) = self.root.home(key, &self.here()) {
            ("there is no such field here".to_owned(), format!("it belongs at {home}"))
        } else {
            ("there is no such field".to_owned(), "remove it, or correct its name".to_owned())
        };
        self.deviations.push(Deviation { line, problem: Problem::new(field, what, remedy), weight: Weight::Hard });
    }
}
