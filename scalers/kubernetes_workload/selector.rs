//! Selectors of labels as Kubernetes writes them in one text: `app=web,tier in (a, b),!old`. The grammar is that of `k8s.io/apimachinery/pkg/labels`.

use std::iter::Peekable;
use std::vec::IntoIter;

use springtide_core::name::Name;
use springtide_core::nodes::requirement::{Operator, Requirement, Requirements};

use crate::parameter::{Field, Misfit};

/// What is asked of a pod's labels.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Selector(pub Requirements);

impl Field for Selector {
    const VALUE: &'static str = "a label selector such as app=orders,tier in (web, api)";

    fn parse(text: &str) -> Result<Self, Misfit> {
        let remedy =
            "write terms such as app=orders, tier!=web, zone in (a, b), zone notin (c), canary, !canary or size>3, separated by commas";
        selector(text).map(Self).map_err(|what| Misfit::new(format!("is no label selector: {what}"), remedy))
    }
}

/// A piece of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A key, a value or an operator that is a word.
    Word(String),
    /// Signs.
    Sign(&'static str),
}

/// All signs, those first that others begin with.
const SIGNS: [&str; 9] = ["==", "!=", "=", "!", "(", ")", ",", ">", "<"];

type Tokens = Peekable<IntoIter<Token>>;

fn tokens(mut text: &str) -> Tokens {
    let mut found = Vec::new();
    loop {
        text = text.trim_start_matches([' ', '\t', '\r', '\n']);
        if text.is_empty() {
            return found.into_iter().peekable();
        }
        if let Some(sign) = SIGNS.into_iter().find(|sign| text.starts_with(sign)) {
            found.push(Token::Sign(sign));
            text = text.get(sign.len()..).unwrap_or_default();
        } else {
            let end = text.find(|c: char| "=!(),><".contains(c) || " \t\r\n".contains(c)).unwrap_or(text.len());
            let (word, rest) = text.split_at(end);
            found.push(Token::Word(word.to_owned()));
            text = rest;
        }
    }
}

fn selector(text: &str) -> Result<Requirements, String> {
    let mut tokens = tokens(text);
    let mut wishes = Requirements::default();
    loop {
        let (key, wish) = term(&mut tokens)?;
        wishes.add(key, &wish);
        match tokens.next() {
            None => return Ok(wishes),
            Some(Token::Sign(",")) => {}
            Some(other) => return Err(format!("{} stands where a comma or the end belongs", told(Some(&other)))),
        }
    }
}

/// One wish for one label.
fn term(tokens: &mut Tokens) -> Result<(Name, Requirement), String> {
    let absent = tokens.next_if_eq(&Token::Sign("!")).is_some();
    let key = match tokens.next() {
        Some(Token::Word(key)) => key,
        other => return Err(format!("{} stands where a label's key belongs", told(other.as_ref()))),
    };
    check_key(&key)?;
    let ends = tokens.peek().is_none_or(|next| *next == Token::Sign(","));
    let (operator, values) = if absent {
        (Operator::DoesNotExist, Vec::new())
    } else if ends {
        (Operator::Exists, Vec::new())
    } else {
        match tokens.next() {
            Some(Token::Sign("=" | "==")) => (Operator::In, vec![value(tokens)?]),
            Some(Token::Sign("!=")) => (Operator::NotIn, vec![value(tokens)?]),
            Some(Token::Sign(">")) => (Operator::Gt, vec![value(tokens)?]),
            Some(Token::Sign("<")) => (Operator::Lt, vec![value(tokens)?]),
            Some(Token::Word(word)) if word == "in" => (Operator::In, values(tokens)?),
            Some(Token::Word(word)) if word == "notin" => (Operator::NotIn, values(tokens)?),
            other => {
                return Err(format!("{} stands after {key:?} where one of =, ==, !=, in, notin, > and < belongs", told(other.as_ref())));
            }
        }
    };
    for value in &values {
        check_value(value)?;
    }
    let wish = Requirement::new(operator, values.into_iter().map(Name::from)).map_err(|what| format!("{key:?}: {what}"))?;
    Ok((key.into(), wish))
}

/// The value of a comparison; nothing is the empty value.
fn value(tokens: &mut Tokens) -> Result<String, String> {
    match tokens.peek() {
        None | Some(Token::Sign(",")) => Ok(String::new()),
        Some(Token::Word(_)) => match tokens.next() {
            Some(Token::Word(word)) => Ok(word),
            _ => Ok(String::new()),
        },
        other => Err(format!("{} stands where a value belongs", told(other))),
    }
}

/// The values of a list in parentheses. Between commas there may be nothing, which is the empty value.
fn values(tokens: &mut Tokens) -> Result<Vec<String>, String> {
    let open = tokens.next();
    if open != Some(Token::Sign("(")) {
        return Err(format!("{} stands where a list in parentheses belongs", told(open.as_ref())));
    }
    let (mut all, mut last) = (Vec::new(), None);
    loop {
        match tokens.next() {
            Some(Token::Word(word)) if last.is_none() => last = Some(word),
            Some(Token::Sign(",")) => all.push(last.take().unwrap_or_default()),
            Some(Token::Sign(")")) if all.is_empty() && last.is_none() => return Err("a list has no values".to_owned()),
            Some(Token::Sign(")")) => {
                all.push(last.unwrap_or_default());
                return Ok(all);
            }
            other => return Err(format!("{} stands in a list where a comma or its end belongs", told(other.as_ref()))),
        }
    }
}

fn told(token: Option<&Token>) -> String {
    match token {
        None => "the end".to_owned(),
        Some(Token::Word(word)) => format!("{word:?}"),
        Some(Token::Sign(sign)) => format!("\"{sign}\""),
    }
}

/// The longest name or value of a label, and the longest prefix of a key.
const LONGEST: usize = 63;
const LONGEST_PREFIX: usize = 253;

/// Begins and ends with a letter or digit, and has only such and these others between.
fn is_word(text: &str, others: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    ends(text.chars().next()) && ends(text.chars().next_back()) && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

fn check_key(key: &str) -> Result<(), String> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let is_part = |part: &str| is_word(part, "-") && !part.contains(|c: char| c.is_ascii_uppercase());
    let is_fine = name.len() <= LONGEST
        && is_word(name, "-_.")
        && prefix.is_none_or(|prefix| prefix.len() <= LONGEST_PREFIX && prefix.split('.').all(is_part));
    if is_fine { Ok(()) } else { Err(format!("{key:?} can be no label's key")) }
}

fn check_value(value: &str) -> Result<(), String> {
    let is_fine = value.is_empty() || value.len() <= LONGEST && is_word(value, "-_.");
    if is_fine { Ok(()) } else { Err(format!("{value:?} can be no label's value")) }
}

#[cfg(test)]
mod tests {
    use springtide_core::nodes::requirement::Labels;

    use super::*;

    /// A selector, labels that it selects and labels that it does not, a line each, separated by `|`.
    #[test]
    fn each_operator_selects_as_kubernetes_does() {
        let labels = |line: &str| -> Labels {
            line.split_whitespace().filter_map(|pair| pair.split_once('=')).map(|(key, value)| (key.into(), value.into())).collect()
        };
        for (text, selected, others) in [
            ("app=demo", "app=demo|app=demo x=y", "app=other||x=demo"),
            ("app==demo", "app=demo", "app=demo2"),
            ("app != demo", "app=other|x=y|", "app=demo"),
            ("app in (a, b)", "app=a|app=b", "app=c|"),
            ("app in(a),tier notin ( b ,c )", "app=a|app=a tier=x", "app=a tier=b|tier=x"),
            ("app", "app=|app=x", "x=app|"),
            ("!app", "|x=y", "app=|app=x"),
            ("! app , tier", "tier=x", "app=x tier=x|"),
            ("app=", "app=", "app=x|"),
            ("app in (a,)", "app=a|app=", "app=b|"),
            ("size>3,size < 7", "size=4|size=6", "size=3|size=7|size=big|"),
            ("app!=a,app!=b", "app=c|", "app=a|app=b"),
            ("app,app=x", "app=x", "app=y|"),
            ("app,!app", "x=y", ""),
            ("in in (in,notin)", "in=in|in=notin", "in=x"),
            ("example.com/app=demo", "example.com/app=demo", "app=demo"),
        ] {
            let Selector(wishes) = Selector::parse(text).unwrap_or_else(|misfit| panic!("{text}: {misfit:?}"));
            let selects = |line| wishes.unanswered_by(&labels(line)).is_none();
            if text != "app,!app" {
                assert!(selected.split('|').all(selects), "{text} selects {selected}");
            }
            assert!(!others.split('|').any(selects), "{text} does not select {others}");
        }
    }

    #[test]
    fn nonsense_is_no_selector_and_says_where() {
        for (text, told) in [
            (",", "\",\" stands where a label's key"),
            ("app=a,", "the end stands where a label's key"),
            ("app=a b=c", "\"b\" stands where a comma"),
            ("app=a=b", "\"=\" stands where a comma"),
            ("app ~ b", "\"~\" stands after \"app\""),
            ("!app=a", "\"=\" stands where a comma"),
            ("app in a", "\"a\" stands where a list"),
            ("app in ()", "a list has no values"),
            ("app in (a b)", "\"b\" stands in a list"),
            ("app in (a", "the end stands in a list"),
            ("app=(a)", "\"(\" stands where a value"),
            ("size>big", "needs a whole number"),
            ("size>", "needs a whole number"),
            ("a/b/c=d", "\"a/b/c\" can be no label's key"),
            ("App.Example/x=d", "can be no label's key"),
            ("app=-a", "\"-a\" can be no label's value"),
            ("äpp=a", "can be no label's key"),
            ("(", "\"(\" stands where a label's key"),
        ] {
            let misfit = Selector::parse(text).expect_err(text);
            assert!(misfit.what.contains(told) && !misfit.remedy.is_empty(), "{text}: {}", misfit.what);
        }
        let long = "x".repeat(64);
        assert!(Selector::parse(&long).is_err() && Selector::parse(&format!("x={long}")).is_err());
    }
}
