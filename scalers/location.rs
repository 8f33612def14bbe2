//! Where in a tree of objects and lists a number stands: a path in the language of gjson, which KEDA's users write, for JSON, YAML and XML
//! alike.
//!
//! Steps are separated by dots: a key of an object (`*` and `?` stand for any letters and one letter, a backslash before a letter takes it
//! as it is), or the place of an element in a list, from 0. `#` at the end counts a list; elsewhere what follows is asked of each element.
//! `#(key=="text")` is the first element for which that holds, `#(...)#` all of them, and `|` in place of a dot asks the list itself:
//! `jobs.#(state=="open")#|#` counts open jobs.

use serde_json::Value;
use springtide_core::quantity::Amount;

use crate::parameter::{Field, Misfit};

/// How deep conditions may stand in each other.
const DEEPEST: usize = 8;

/// A path, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Location(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Step {
    /// What it is asked of, where there are several elements.
    of: Of,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Of {
    Each,
    Whole,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum What {
    Key(String),
    Like(String),
    Elements,
    First(Condition),
    All(Condition),
}

/// What must hold of an element: that something is there, or how it compares.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Condition {
    path: Vec<Step>,
    comparison: Option<(Operator, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Like,
    NotLike,
}

/// Longer ones first, so that `<=` is not read as `<`.
const OPERATORS: [(&str, Operator); 9] = [
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("!%", Operator::NotLike),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("%", Operator::Like),
    ("=", Operator::Equal),
];

impl Field for Location {
    const VALUE: &'static str = "a path such as queues.0.messages";

    fn parse(text: &str) -> Result<Self, Misfit> {
        steps(text, 0)
            .map(Self)
            .map_err(|what| Misfit::new(what, "write keys and places in lists, separated by dots, such as queues.0.messages"))
    }
}

/// Reads a path. The error is the rest of a sentence.
fn steps(text: &str, depth: usize) -> Result<Vec<Step>, String> {
    let (mut steps, mut rest, mut of) = (Vec::new(), text, Of::Each);
    loop {
        let (what, after) = step(rest, depth)?;
        steps.push(Step { of, what });
        let Some(separator) = after.chars().next() else { return Ok(steps) };
        of = match separator {
            '.' => Of::Each,
            '|' => Of::Whole,
            other => return Err(format!("has {other:?} where a dot is due")),
        };
        rest = after.get(1..).unwrap_or_default();
    }
}

fn step(text: &str, depth: usize) -> Result<(What, &str), String> {
    if let Some(inner) = text.strip_prefix("#(") {
        if depth == DEEPEST {
            return Err("has conditions too deep in each other".to_owned());
        }
        let end = closing(inner).ok_or("has a parenthesis that does not end")?;
        let (inside, after) = (inner.get(..end).unwrap_or_default(), inner.get(end + 1..).unwrap_or_default());
        let condition = condition(inside, depth + 1)?;
        return Ok(match after.strip_prefix('#') {
            Some(after) => (What::All(condition), after),
            None => (What::First(condition), after),
        });
    }
    if text.starts_with(['@', '{', '[', '!']) {
        return Err("has a modifier, a list of paths or a literal, which are not read here".to_owned());
    }
    let (mut plain, mut pattern, mut is_pattern, mut end) = (String::new(), String::new(), false, text.len());
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '.' | '|' => {
                end = at;
                break;
            }
            '\\' => {
                let (_, escaped) = letters.next().ok_or("ends with a backslash")?;
                plain.push(escaped);
                pattern.extend(['\\', escaped]);
            }
            _ => {
                is_pattern |= matches!(letter, '*' | '?');
                plain.push(letter);
                pattern.push(letter);
            }
        }
    }
    if end == 0 {
        return Err("has a step without a name".to_owned());
    }
    let after = text.get(end..).unwrap_or_default();
    Ok(match text.get(..end) {
        Some("#") => (What::Elements, after),
        _ if is_pattern => (What::Like(pattern), after),
        _ => (What::Key(plain), after),
    })
}

/// Where a parenthesis that was opened before the text closes.
fn closing(text: &str) -> Option<usize> {
    let (mut open, mut quoted, mut escaped) = (1_usize, false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '(' if !quoted => open += 1,
            ')' if !quoted => {
                open -= 1;
                if open == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn condition(text: &str, depth: usize) -> Result<Condition, String> {
    let text = text.trim();
    let found = operator(text);
    let (path, comparison) = match found {
        Some((at, sign, operator)) => {
            let literal = text.get(at + sign.len()..).unwrap_or_default().trim();
            let literal = if literal.starts_with('"') {
                serde_json::from_str(literal).map_err(|_| format!("compares with {literal}, which is no text in quotes"))?
            } else {
                literal.to_owned()
            };
            (text.get(..at).unwrap_or_default().trim(), Some((operator, literal)))
        }
        None => (text, None),
    };
    let path = if path.is_empty() { Vec::new() } else { steps(path, depth)? };
    if path.is_empty() && comparison.is_none() {
        return Err("has a condition without anything in it".to_owned());
    }
    Ok(Condition { path, comparison })
}

/// The first operator outside of quotes and parentheses.
fn operator(text: &str) -> Option<(usize, &'static str, Operator)> {
    let (mut open, mut escaped) = (0_usize, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return None,
            '(' => open += 1,
            ')' => open = open.saturating_sub(1),
            _ if open == 0 => {
                let rest = text.get(at..).unwrap_or_default();
                if let Some((sign, operator)) = OPERATORS.into_iter().find(|(sign, _)| rest.starts_with(sign)) {
                    return Some((at, sign, operator));
                }
            }
            _ => {}
        }
    }
    None
}

/// What a path leads to.
enum Found<'v> {
    One(&'v Value),
    Several(Vec<&'v Value>),
    Count(usize),
}

impl Location {
    /// The number that stands here, or a text that is one (a quantity). The error is what there is instead.
    pub(crate) fn number(&self, tree: &Value) -> Result<f64, String> {
        match walk(tree, &self.0) {
            None => Err("nothing at this place".to_owned()),
            Some(Found::Several(_)) => Err("a list at this place, not a number".to_owned()),
            #[expect(clippy::cast_precision_loss, reason = "a list in memory has fewer elements than a float has digits")]
            Some(Found::Count(count)) => Ok(count as f64),
            Some(Found::One(Value::Number(number))) => {
                number.as_f64().ok_or_else(|| format!("{number}, which is no number that can be used"))
            }
            Some(Found::One(Value::String(text))) => {
                let amount = text.trim().parse::<Amount>().map_err(|_| {
                    format!(
                        "the text {:?}, which is neither a number nor a quantity such as 100m",
                        text.chars().take(40).collect::<String>()
                    )
                })?;
                Ok(amount.number())
            }
            Some(Found::One(other)) => {
                let kind = match other {
                    Value::Null => "null",
                    Value::Bool(_) => "true or false",
                    Value::Array(_) => "a list",
                    _ => "an object",
                };
                Err(format!("{kind} at this place, not a number"))
            }
        }
    }
}

fn walk<'v>(tree: &'v Value, steps: &[Step]) -> Option<Found<'v>> {
    let mut found = Found::One(tree);
    for (i, step) in steps.iter().enumerate() {
        let is_last = i + 1 == steps.len();
        found = match (found, step.of) {
            (Found::One(value), _) => step.what.of_one(value, is_last)?,
            (Found::Several(values), Of::Each) => {
                let next = values.into_iter().filter_map(|value| match step.what.of_one(value, false) {
                    Some(Found::One(value)) => Some(value),
                    _ => None,
                });
                Found::Several(next.collect())
            }
            (Found::Several(values), Of::Whole) => match &step.what {
                What::Elements if is_last => Found::Count(values.len()),
                What::Elements => Found::Several(values),
                What::Key(place) => Found::One(values.get(place.parse::<usize>().ok()?).copied()?),
                What::First(condition) => Found::One(values.into_iter().find(|value| condition.holds(value))?),
                What::All(condition) => Found::Several(values.into_iter().filter(|value| condition.holds(value)).collect()),
                What::Like(_) => return None,
            },
            (Found::Count(_), _) => return None,
        };
    }
    Some(found)
}

impl What {
    fn of_one<'v>(&self, value: &'v Value, is_last: bool) -> Option<Found<'v>> {
        match (self, value) {
            (Self::Key(key), Value::Object(fields)) => fields.get(key).map(Found::One),
            (Self::Key(place), Value::Array(list)) => list.get(place.parse::<usize>().ok()?).map(Found::One),
            (Self::Like(pattern), Value::Object(fields)) => {
                fields.iter().find(|(key, _)| is_like(key, pattern)).map(|(_, value)| Found::One(value))
            }
            (Self::Elements, Value::Array(list)) if is_last => Some(Found::Count(list.len())),
            (Self::Elements, Value::Array(list)) => Some(Found::Several(list.iter().collect())),
            (Self::First(condition), Value::Array(list)) => list.iter().find(|value| condition.holds(value)).map(Found::One),
            (Self::All(condition), Value::Array(list)) => {
                Some(Found::Several(list.iter().filter(|value| condition.holds(value)).collect()))
            }
            _ => None,
        }
    }
}

impl Condition {
    fn holds(&self, value: &Value) -> bool {
        let Some(Found::One(value)) = walk(value, &self.path) else { return false };
        let Some((operator, literal)) = &self.comparison else { return true };
        match value {
            Value::String(text) => match operator {
                Operator::Like => is_like(text, literal),
                Operator::NotLike => !is_like(text, literal),
                operator => operator.holds(text.as_str().partial_cmp(literal.as_str())),
            },
            Value::Number(number) => {
                operator.holds(number.as_f64().zip(literal.parse::<f64>().ok()).and_then(|(number, literal)| number.partial_cmp(&literal)))
            }
            Value::Bool(flag) => operator.holds(literal.parse::<bool>().ok().map(|literal| flag.cmp(&literal))),
            Value::Null => operator.holds((literal == "null").then_some(std::cmp::Ordering::Equal)),
            Value::Array(_) | Value::Object(_) => false,
        }
    }
}

impl Operator {
    fn holds(self, order: Option<std::cmp::Ordering>) -> bool {
        match self {
            Self::Equal => order.is_some_and(std::cmp::Ordering::is_eq),
            Self::NotEqual => !order.is_some_and(std::cmp::Ordering::is_eq),
            Self::Less => order.is_some_and(std::cmp::Ordering::is_lt),
            Self::LessOrEqual => order.is_some_and(std::cmp::Ordering::is_le),
            Self::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
            Self::GreaterOrEqual => order.is_some_and(std::cmp::Ordering::is_ge),
            Self::Like | Self::NotLike => false,
        }
    }
}

/// Whether a text is made as a pattern says: `*` is any letters, `?` one, and a backslash takes the next letter as it is.
fn is_like(text: &str, pattern: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    // Each part of the pattern with whether it is a wildcard.
    let mut parts = Vec::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => parts.push((letters.next().unwrap_or('\\'), false)),
            '*' | '?' => parts.push((letter, true)),
            _ => parts.push((letter, false)),
        }
    }
    let (mut at, mut part, mut star) = (0, 0, None);
    while let Some(letter) = text.get(at) {
        match parts.get(part) {
            Some(('*', true)) => {
                star = Some((part, at));
                part += 1;
            }
            Some((expected, is_wild)) if *is_wild || expected == letter => {
                at += 1;
                part += 1;
            }
            // The last star takes one letter more.
            _ => match &mut star {
                Some((starred, from)) => {
                    *from += 1;
                    (part, at) = (*starred + 1, *from);
                }
                None => return false,
            },
        }
    }
    parts.get(part..).is_none_or(|rest| rest.iter().all(|part| *part == ('*', true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = r#"{"components":[{"id":"82328e93e","tasks":32,"str":"64","k":"1k","wrong":"NaN"}],"count":2.43,"a.b":5,"none":null,"yes":true,
        "queues":[{"name":"orders","messages":7,"open":true,"tags":["x","y"]},{"name":"mail","messages":3,"open":false},{"name":"old","open":true}],
        "nested":{"deep":{"value":"250m"}},"big":"2Ki","list":[1,2,3],"empty":[]}"#;

    #[test]
    fn numbers_are_found_where_they_stand() {
        let tree = serde_json::from_str(TREE).expect("a tree");
        for (path, number) in [
            ("components.0.tasks", 32.0),
            ("components.0.str", 64.0),
            ("components.0.k", 1000.0),
            ("count", 2.43),
            (r"a\.b", 5.0),
            ("nested.deep.value", 0.25),
            ("nested|deep|value", 0.25),
            ("nest*.d?ep.value", 0.25),
            ("big", 2048.0),
            ("list.2", 3.0),
            ("list.#", 3.0),
            ("empty.#", 0.0),
            ("queues.#", 3.0),
            (r#"queues.#(name=="mail").messages"#, 3.0),
            (r#"queues.#(name%"o*").messages"#, 7.0),
            (r#"queues.#(name!%"o*").messages"#, 3.0),
            ("queues.#(messages<5).messages", 3.0),
            ("queues.#(open==false).messages", 3.0),
            ("queues.#(open==true)#|#", 2.0),
            ("queues.#(messages>=3)#|#", 2.0),
            ("queues.#(messages)#|#", 2.0),
            ("queues.#(messages>100)#|#", 0.0),
            ("queues.#.messages|#", 2.0),
            ("queues.#.messages|1", 3.0),
            (r#"queues.#(tags.#(=="y")).messages"#, 7.0),
            ("list.#(>1)", 2.0),
        ] {
            let location = Location::parse(path).expect(path);
            assert_eq!(location.number(&tree), Ok(number), "{path}");
        }
    }

    #[test]
    fn what_is_no_number_says_what_it_is() {
        let tree = serde_json::from_str(TREE).expect("a tree");
        for (path, expected) in [
            ("missing", "nothing"),
            ("components.1.tasks", "nothing"),
            ("components.tasks", "nothing"),
            ("count.more", "nothing"),
            ("components.0.wrong", "the text \"NaN\""),
            ("components", "a list"),
            ("queues.#.messages", "a list"),
            ("nested", "an object"),
            ("none", "null"),
            ("yes", "true or false"),
            ("queues.#(name==\"nobody\").messages", "nothing"),
        ] {
            let text = Location::parse(path).expect(path).number(&tree).expect_err(path);
            assert!(text.starts_with(expected), "{path}: {text}");
        }
    }

    #[test]
    fn paths_that_cannot_be_read_are_refused() {
        let deep = format!("{}a{}", "#(".repeat(9), ")".repeat(9));
        for path in ["", ".", "a.", ".a", "a..b", "a.@reverse", "{a,b}", "a.#(b", "a.#()", "a.#(b==\"c)", "a\\", "a.#(b)c", deep.as_str()] {
            assert!(Location::parse(path).is_err(), "{path}");
        }
    }

    #[test]
    fn patterns_match_whole_texts() {
        for (text, pattern, like) in [
            ("abc", "a*", true),
            ("abc", "*c", true),
            ("abc", "a?c", true),
            ("abc", "b*", false),
            ("aXbXc", "a*b*c", true),
            ("", "*", true),
            ("a*", r"a\*", true),
            ("ab", r"a\*", false),
        ] {
            assert_eq!(is_like(text, pattern), like, "{text} {pattern}");
        }
    }
}
