//! Durations as Go writes them: `720h`, `1h30m`, `1.5s`, `300ms`. Reads what `time.ParseDuration` reads, and refuses what it refuses.

use jiff::SignedDuration;

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing was written.
    #[error("a duration is missing; write for example 30s, 5m or 1h30m")]
    Empty,
    /// There is no number where one is due.
    #[error("{0:?} is not a duration; write for example 30s, 5m or 1h30m")]
    Malformed(String),
    /// A number has no unit. Only 0 may go without.
    #[error("{0:?} lacks a unit; write for example 30s, 5m or 1h30m")]
    NoUnit(String),
    /// The unit is none of Go's.
    #[error("{unit:?} in {text:?} is not a unit; use h, m, s, ms, us or ns")]
    UnknownUnit {
        /// The whole text.
        text: String,
        /// What stands where the unit is due.
        unit: String,
    },
    /// It does not fit into 64 bits of nanoseconds, about 292 years, which is Go's limit.
    #[error("{0:?} is longer than a duration can be, about 292 years")]
    TooLong(String),
}

/// Reads a duration as Go's `time.ParseDuration` does: an optional sign, then numbers with a unit each, the last part of a fraction cut off at nanoseconds.
/// Only `0` may go without a unit.
///
/// # Errors
/// What is wrong, with an example of how to write it.
pub fn parse(text: &str) -> Result<SignedDuration, DurationError> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest.is_empty() {
        return Err(if text.is_empty() { DurationError::Empty } else { DurationError::Malformed(text.to_owned()) });
    }
    if rest == "0" {
        return Ok(SignedDuration::ZERO);
    }
    let too_long = || DurationError::TooLong(text.to_owned());
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let (part, after) = part(text, rest)?;
        nanos = nanos.checked_add(part).ok_or_else(too_long)?;
        rest = after;
    }
    // The smallest 64-bit number has no positive twin; Go accepts it too.
    let limit = u128::from(i64::MAX.unsigned_abs()) + u128::from(negative);
    if nanos > limit {
        return Err(too_long());
    }
    let nanos = i128::try_from(nanos).map_err(|_| too_long())?;
    let signed = i64::try_from(if negative { -nanos } else { nanos }).map_err(|_| too_long())?;
    Ok(SignedDuration::from_nanos(signed))
}

/// One number with its unit in nanoseconds, and what follows it.
fn part<'a>(text: &str, rest: &'a str) -> Result<(u128, &'a str), DurationError> {
    let (whole, rest) = digits(rest);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => digits(rest),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(DurationError::Malformed(text.to_owned()));
    }
    let end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    if unit.is_empty() {
        return Err(DurationError::NoUnit(text.to_owned()));
    }
    let size = size(unit).ok_or_else(|| DurationError::UnknownUnit { text: text.to_owned(), unit: unit.to_owned() })?;
    let too_long = || DurationError::TooLong(text.to_owned());
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| too_long())? };
    let whole = whole.checked_mul(size).ok_or_else(too_long)?;
    // An hour has 13 digits of nanoseconds; what 18 digits of a fraction do not say would be cut off anyway.
    let fraction = fraction.get(..18).unwrap_or(fraction);
    let places = u32::try_from(fraction.len()).unwrap_or(0);
    let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| too_long())? };
    let fraction = fraction * size / 10_u128.pow(places);
    Ok((whole.checked_add(fraction).ok_or_else(too_long)?, rest))
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// Nanoseconds in a unit. Both characters that look like a micro sign count, as in Go.
fn size(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// Writes a duration so that [`parse`] reads the same again, without the parts that are zero: `720h`, `1h30m`, `1.5s`, `300ms`, `0s`. Whole seconds use only
/// the units that the CRDs' patterns allow.
#[must_use]
pub fn print(duration: SignedDuration) -> String {
    let total = duration.as_nanos().unsigned_abs();
    if total == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    if duration.is_negative() {
        text.push('-');
    }
    if total < 1_000_000_000 {
        let fits = |(size, _): &(u128, &str)| total.is_multiple_of(*size);
        let (size, unit) = [(1_000_000, "ms"), (1_000, "us")].into_iter().find(fits).unwrap_or((1, "ns"));
        text.push_str(&format!("{}{unit}", total / size));
        return text;
    }
    let seconds = total / 1_000_000_000;
    for (size, unit) in [(3600, 'h'), (60, 'm')] {
        let count = if unit == 'h' { seconds / size } else { seconds % 3600 / size };
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    let (left, nanos) = (seconds % 60, total % 1_000_000_000);
    if nanos > 0 {
        let fraction = format!("{nanos:09}");
        text.push_str(&format!("{left}.{}s", fraction.trim_end_matches('0')));
    } else if left > 0 {
        text.push_str(&format!("{left}s"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        let table: &[(&str, i64)] = &[
            ("0", 0),
            ("0s", 0),
            ("5s", 5_000_000_000),
            ("+5s", 5_000_000_000),
            ("-5s", -5_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1.5s", 1_500_000_000),
            (".5m", 30_000_000_000),
            ("1.s", 1_000_000_000),
            ("300ms", 300_000_000),
            ("10us", 10_000),
            ("10\u{b5}s", 10_000),
            ("10\u{3bc}s", 10_000),
            ("7ns", 7),
            ("0.1ns", 0),
            ("0.3333333333333333333h", 1_199_999_999_999),
            ("39h9m14.425s", 140_954_425_000_000),
            ("720h0m0s", 2_592_000_000_000_000),
            ("1m1m", 120_000_000_000),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
        ];
        for (text, nanos) in table {
            assert_eq!(parse(text), Ok(SignedDuration::from_nanos(*nanos)), "{text}");
        }
    }

    #[test]
    fn refuses_what_go_refuses() {
        use DurationError as E;
        let text = str::to_owned;
        let table: &[(&str, E)] = &[
            ("", E::Empty),
            ("-", E::Malformed(text("-"))),
            (".", E::Malformed(text("."))),
            ("s", E::Malformed(text("s"))),
            ("+.s", E::Malformed(text("+.s"))),
            ("3", E::NoUnit(text("3"))),
            ("1h2", E::NoUnit(text("1h2"))),
            ("Never", E::Malformed(text("Never"))),
            ("1d", E::UnknownUnit { text: text("1d"), unit: text("d") }),
            ("5 s", E::UnknownUnit { text: text("5 s"), unit: text(" s") }),
            ("9223372036854775808ns", E::TooLong(text("9223372036854775808ns"))),
            ("3000000h", E::TooLong(text("3000000h"))),
        ];
        for (text, error) in table {
            assert_eq!(parse(text).as_ref(), Err(error), "{text}");
        }
        let long = format!("{}h", "9".repeat(60));
        assert_eq!(parse(&long), Err(E::TooLong(long.clone())));
    }

    #[test]
    fn prints_what_reads_the_same() {
        for (text, printed) in [
            ("720h0m0s", "720h"),
            ("90m", "1h30m"),
            ("61s", "1m1s"),
            ("1.5s", "1.5s"),
            ("1h0.000000001s", "1h0.000000001s"),
            ("300ms", "300ms"),
            ("1500us", "1500us"),
            ("7ns", "7ns"),
            ("-90s", "-1m30s"),
            ("0", "0s"),
        ] {
            let duration = parse(text).expect(text);
            assert_eq!(print(duration), printed);
            assert_eq!(parse(printed), Ok(duration), "{printed}");
        }
        assert_eq!(parse(&print(SignedDuration::from_nanos(i64::MIN))), Ok(SignedDuration::from_nanos(i64::MIN)));
    }
}
