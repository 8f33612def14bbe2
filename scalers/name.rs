//! What a metric is called.

use std::fmt::Write as _;

/// A metric's name as it may stand in a Kubernetes API path: the characters that may not are dashes. The trigger's index is put before it later.
pub(crate) fn normalise(name: &str) -> String {
    name.chars().map(|letter| if matches!(letter, '/' | '.' | ':' | '%' | '(' | ')') { '-' } else { letter }).collect()
}

/// A text as it stands in a URL's query by Go's rules, which KEDA's metric names carry: a space is a plus, and of the marks only `-_.~` stay.
pub(crate) fn query_escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            b' ' => escaped.push('+'),
            _ => {
                // Writing into a String cannot fail.
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_keda_gives() {
        for (queue, name) in [
            ("sample", "rabbitmq-sample"),
            ("namespace/name", "rabbitmq-namespace-2Fname"),
            ("a b.c", "rabbitmq-a+b-c"),
            ("~tilde_", "rabbitmq-~tilde_"),
            ("é", "rabbitmq--C3-A9"),
        ] {
            assert_eq!(normalise(&format!("rabbitmq-{}", query_escape(queue))), name);
        }
        assert_eq!(normalise("a/b.c:d%e(f)"), "a-b-c-d-e-f-");
    }
}
