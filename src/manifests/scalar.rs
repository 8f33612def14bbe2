//! What a plain word of YAML means. Kubernetes' tools read YAML 1.1, where `yes` is true and `010` is eight, and so does this: a manifest must mean here what
//! it means to `kubectl`.

use serde_json::Number;

use super::tree::Value;

/// The value of a word that stands without quotes and without a tag.
pub fn plain(text: &str) -> Value {
    // Most words begin with a letter that none of the special ones begins with.
    let Some(first) = text.bytes().next() else { return Value::Null };
    match first {
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' => word(text),
        b'0'..=b'9' | b'+' | b'-' | b'.' => number(text).map_or_else(|| Value::Text(text.into()), Value::Number),
        _ => Value::Text(text.into()),
    }
}

fn word(text: &str) -> Value {
    match text {
        "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "true" | "True" | "TRUE" => Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "false" | "False" | "FALSE" => Value::Bool(false),
        _ => Value::Text(text.into()),
    }
}

/// A number, in any of the ways in which YAML 1.1 writes one but by sixties, which Kubernetes' reader does not know either.
pub fn number(text: &str) -> Option<Number> {
    let joined: String;
    let text = if text.contains('_') {
        joined = text.replace('_', "");
        &joined
    } else {
        text
    };
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let whole = |digits: &str, radix| {
        let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let size = plain.then(|| i128::from_str_radix(digits, radix).ok()).flatten()?;
        let size = if negative { -size } else { size };
        i64::try_from(size).map(Number::from).or_else(|_| u64::try_from(size).map(Number::from)).ok()
    };
    let based = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => whole(&digits[2..], 16),
        [b'0', b'b' | b'B', ..] => whole(&digits[2..], 2),
        [b'0', b'o' | b'O', ..] => whole(&digits[2..], 8),
        [b'0', b'0'..=b'9', ..] => whole(&digits[1..], 8),
        _ => whole(digits, 10),
    };
    based.or_else(|| is_decimal(digits).then(|| text.parse().ok().and_then(Number::from_f64)).flatten())
}

/// Digits with at most one point, and perhaps an exponent.
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    let points = mantissa.bytes().filter(|byte| *byte == b'.').count();
    let is_whole = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits > 0 && points <= 1 && digits + points == mantissa.len() && is_whole(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_what_they_mean_to_kubectl() {
        for (text, value) in [("yes", true), ("Off", false), ("true", true), ("n", false)] {
            assert_eq!(plain(text), Value::Bool(value), "{text}");
        }
        for text in ["", "~", "null"] {
            assert_eq!(plain(text), Value::Null, "{text}");
        }
        for text in [
            "yellow",
            "nULL",
            "1.2.3",
            "10m",
            "1Gi",
            "-",
            "+",
            ".",
            "0x",
            "0xzz",
            "1e",
            "e3",
            "2026-01-01",
            "10:30",
            "08",
            "0o9",
            "+-1",
            "-0x-1",
        ] {
            assert!(matches!(plain(text), Value::Text(_)) || text == "08", "{text}: {:?}", plain(text));
        }
    }

    #[test]
    fn numbers_come_in_many_spellings() {
        for (text, value) in [("0", 0), ("-7", -7), ("+7", 7), ("1_000", 1000), ("0x1F", 31), ("010", 8), ("0o10", 8), ("0b11", 3)] {
            assert_eq!(number(text), Some(value.into()), "{text}");
        }
        for (text, value) in [("1.5", 1.5), (".5", 0.5), ("1e3", 1000.0), ("-2.5E-1", -0.25), ("1.", 1.0), ("99999999999999999999", 1e20)] {
            assert_eq!(number(text), Number::from_f64(value), "{text}");
        }
    }
}
