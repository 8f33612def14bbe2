//! Text that must never be printed: passwords, tokens, keys, and addresses that may hold them.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// A text that does not print itself. What needs the text asks for it by name, so that each such place can be found.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Secret(Arc<str>);

impl Secret {
    /// The text itself, for the broker and nobody else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

/// User and password of the addresses that our own messages show as examples.
const EXAMPLE: &str = "user:password@";

/// A text for people, in which an address that holds a user or a password ends after its scheme. Whoever writes an address where a name belongs has it in
/// messages about that name.
#[must_use]
pub fn conceal(text: &str) -> Cow<'_, str> {
    if !text.contains("://") || !text.contains('@') {
        return Cow::Borrowed(text);
    }
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        rest = after;
        if let Some(more) = rest.strip_prefix(EXAMPLE) {
            out.push_str(EXAMPLE);
            rest = more;
        } else if let Some(at) = rest.rfind('@') {
            // A password may hold whatever ends an address elsewhere, and other @ too; so the last one counts.
            out.push('…');
            let host = &rest[at + 1..];
            let ends = |letter: char| letter.is_whitespace() || matches!(letter, '"' | '\'' | '`' | ';' | ')' | ']');
            rest = &host[host.find(ends).unwrap_or(host.len())..];
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::conceal;

    #[test]
    fn addresses_lose_what_they_hold() {
        for (text, shown) in [
            ("metadata.amqp://u:pw@h:5672/v", "metadata.amqp://…"),
            ("metadata[amqp://u:pw@h].x", "metadata[amqp://…].x"),
            (r#"no "amqp://u:p w\"@x@h/v" here; correct it"#, r#"no "amqp://…" here; correct it"#),
            (
                "write amqp://user:password@host:5672/vhost or http://user:password@host",
                "write amqp://user:password@host:5672/vhost or http://user:password@host",
            ),
            ("http://h/ has nothing to hide", "http://h/ has nothing to hide"),
            ("me@home", "me@home"),
            ("http://one/ and http://u:pw@two/ äh", "http://… äh"),
        ] {
            assert_eq!(conceal(text), shown, "{text}");
        }
    }
}
