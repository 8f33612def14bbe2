//! A line in Prometheus' text format, chosen by its name and its labels.

use crate::parameter::{Field, Misfit};

/// Which line: its name, and what its labels must be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Selector {
    name: String,
    matchers: Vec<Label>,
}

/// A label with its text, as a line has it or as one is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Label {
    name: String,
    sign: Sign,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Sign {
    Equal,
    NotEqual,
}

impl Field for Selector {
    const VALUE: &'static str = "a metric's name, with or without labels";

    fn parse(text: &str) -> Result<Self, Misfit> {
        let misfit = |what: String| Misfit::new(what, "write a name such as jobs_waiting, or jobs_waiting{queue=\"orders\"}");
        let (name, mut matchers, rest) = labelled(text).map_err(misfit)?;
        if !rest.trim().is_empty() {
            return Err(misfit("has more than a metric's name and labels".to_owned()));
        }
        let mut name = name.to_owned();
        if name.is_empty()
            && let Some(at) = matchers.iter().position(|label| label.name == "__name__" && label.sign == Sign::Equal)
        {
            name = matchers.remove(at).text;
        }
        if name.is_empty() { Err(misfit("names no metric".to_owned())) } else { Ok(Self { name, matchers }) }
    }
}

impl Selector {
    /// The number on the first line that is meant. The error is what there is instead.
    pub(super) fn number(&self, page: &str) -> Result<f64, String> {
        for line in page.lines().map(str::trim).filter(|line| line.starts_with(&self.name)) {
            let (name, labels, rest) = labelled(line).map_err(|error| format!("a line of {} that {error}", self.name))?;
            if name != self.name || !self.matchers.iter().all(|matcher| matcher.holds(&labels)) {
                continue;
            }
            let text = rest.split_whitespace().next().unwrap_or_default();
            let number = text.parse::<f64>().map_err(|_| format!("a line of {} without a number", self.name))?;
            return if number.is_finite() { Ok(number) } else { Err(format!("{text}, which is no number that can be used")) };
        }
        Err(format!("no line of {} with these labels (metric '{}' not found)", self.name, self.name))
    }
}

impl Label {
    fn holds(&self, labels: &[Self]) -> bool {
        // A label that a line lacks is the same as an empty one.
        let text = labels.iter().find(|label| label.name == self.name).map_or("", |label| label.text.as_str());
        (text == self.text) == (self.sign == Sign::Equal)
    }
}

/// A name, its labels, and what follows. The error is the rest of a sentence.
fn labelled(text: &str) -> Result<(&str, Vec<Label>, &str), String> {
    let end = text.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_' || letter == ':')).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let mut labels = Vec::new();
    let Some(mut rest) = rest.trim_start().strip_prefix('{') else { return Ok((name, labels, rest)) };
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Ok((name, labels, rest));
        }
        let end = rest.find(['=', '!']).ok_or("has labels that do not end")?;
        let (label, after) = rest.split_at(end);
        let (sign, after) = if after.starts_with("=~") || after.starts_with("!~") {
            return Err("has a regular expression; only = and != are read here".to_owned());
        } else if let Some(after) = after.strip_prefix("!=") {
            (Sign::NotEqual, after)
        } else {
            (Sign::Equal, after.strip_prefix('=').ok_or("has a label without =")?)
        };
        let (text, after) = quoted(after.trim_start()).ok_or("has a label whose text is not in quotes")?;
        labels.push(Label { name: label.trim().to_owned(), sign, text });
        rest = after;
    }
}

/// A text in quotes, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut letters = text.char_indices();
    let (_, quote) = letters.next().filter(|(_, letter)| matches!(letter, '"' | '\''))?;
    let mut inside = String::new();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => match letters.next()?.1 {
                'n' => inside.push('\n'),
                escaped => inside.push(escaped),
            },
            letter if letter == quote => return Some((inside, text.get(at + 1..)?)),
            letter => inside.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# HELP jobs Jobs.\r\n# TYPE jobs gauge\r\njobs{queue=\"orders\",state=\"open\"} 12 1700000000000\r\njobs{queue=\"mail, \\\"all\\\"\",} 3.5\n\
                        jobs_total 1e3\nodd NaN\nhot +Inf\nbad{a=\"b\nnone\nlatency_bucket{le=\"+Inf\"} 9\nlatency_count 9";

    #[test]
    fn lines_are_chosen_by_name_and_labels() {
        for (selector, number) in [
            ("jobs", 12.0),
            ("jobs{queue=\"orders\"}", 12.0),
            ("jobs{ queue = 'orders' , state=\"open\" }", 12.0),
            ("jobs{queue!=\"orders\"}", 3.5),
            ("jobs{state=\"\"}", 3.5),
            (r#"jobs{queue="mail, \"all\""}"#, 3.5),
            ("{__name__=\"jobs_total\"}", 1000.0),
            ("latency_bucket{le=\"+Inf\"}", 9.0),
            ("latency_count", 9.0),
        ] {
            assert_eq!(Selector::parse(selector).expect(selector).number(PAGE), Ok(number), "{selector}");
        }
        for (selector, expected) in [
            ("jobs{queue=\"x\"}", "no line of jobs"),
            ("job", "no line of job "),
            ("odd", "NaN"),
            ("hot", "+Inf"),
            ("bad", "a line of bad"),
            ("none", "a line of none"),
        ] {
            let text = Selector::parse(selector).expect(selector).number(PAGE).expect_err(selector);
            assert!(text.starts_with(expected), "{selector}: {text}");
        }
        for bad in ["{}", "jobs{", "jobs{a}", "jobs{a=b}", "jobs{a=~\"b\"}", "jobs{a=\"b\"} 1", "sum(jobs)"] {
            assert!(Selector::parse(bad).is_err(), "{bad}");
        }
    }
}
