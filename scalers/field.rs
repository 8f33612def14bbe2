//! The types that parameters have, and how their texts are read: as KEDA reads them, so that a manifest that works there works here.

use std::num::NonZeroU32;
use std::time::Duration;

use springtide_core::units::MetricMilli;

use crate::parameter::{Field, Misfit};
use crate::secret::Secret;

impl Field for String {
    const VALUE: &'static str = "text";

    fn parse(text: &str) -> Result<Self, Misfit> {
        Ok(text.to_owned())
    }
}

impl Field for Secret {
    const VALUE: &'static str = "secret text";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<Self, Misfit> {
        Ok(Self::from(text))
    }
}

impl Field for bool {
    const VALUE: &'static str = "true or false";

    fn parse(text: &str) -> Result<Self, Misfit> {
        match text {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
            _ => Err(Misfit::new("is neither true nor false", "write true or false")),
        }
    }
}

impl Field for NonZeroU32 {
    const VALUE: &'static str = "a whole number of 1 or greater";

    fn parse(text: &str) -> Result<Self, Misfit> {
        // JSON's way of writing whole numbers, so 007 and 1e3 are none.
        serde_json::from_str::<u32>(text)
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| Misfit::new("should be a whole number, 1 or greater", "write a whole number from 1"))
    }
}

impl Field for Duration {
    const VALUE: &'static str = "a duration such as 1m30s, or milliseconds";

    fn parse(text: &str) -> Result<Self, Misfit> {
        let remedy = "write a duration such as 3s or 1m30s, or a whole number of milliseconds";
        if text.starts_with('-') {
            return Err(Misfit::new("is negative", remedy));
        }
        if let Ok(milliseconds) = text.parse::<u64>() {
            return Ok(Self::from_millis(milliseconds));
        }
        go_duration(text).ok_or_else(|| Misfit::new("is no duration", remedy))
    }
}

/// A duration as Go prints and reads it: one or more decimal numbers, each with its unit.
fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, tail) = rest.split_at(end);
        let end = tail.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let nanoseconds = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let mut sum = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()?.checked_mul(nanoseconds)? };
        let mut place = nanoseconds;
        for digit in fraction.bytes() {
            place /= 10;
            sum = sum.checked_add(u64::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?).checked_mul(place)?)?;
        }
        total = total.checked_add(Duration::from_nanos(sum))?;
        rest = tail;
    }
    Some(total)
}

/// Several texts, separated by commas.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct List(pub Vec<String>);

impl Field for List {
    const VALUE: &'static str = "texts, separated by commas";

    fn parse(text: &str) -> Result<Self, Misfit> {
        Ok(Self(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()))
    }
}

/// A host and its port, as they stand in a URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Authority(pub String);

impl Field for Authority {
    const VALUE: &'static str = "host:port";

    fn parse(text: &str) -> Result<Self, Misfit> {
        let remedy = "write a host and a port, such as scaler.default:9090";
        // KEDA's own way to name a server that DNS is to be asked for each time.
        let text = text.strip_prefix("dns:///").unwrap_or(text);
        let fits = !text.contains(['/', '@', '?', '#']) && url::Url::parse(&format!("http://{text}/")).is_ok_and(|url| url.has_host());
        if fits { Ok(Self(text.to_owned())) } else { Err(Misfit::new("is no address of a server", remedy)) }
    }
}

/// Pairs as in a URL's query.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Pairs(pub Vec<(String, String)>);

impl Field for Pairs {
    const VALUE: &'static str = "pairs as in a URL's query";

    fn parse(text: &str) -> Result<Self, Misfit> {
        Ok(Self(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()))
    }
}

/// A number with thousandths: what targets and activation values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Amount(pub MetricMilli);

impl Field for Amount {
    const VALUE: &'static str = "a number";

    fn parse(text: &str) -> Result<Self, Misfit> {
        let number = serde_json::from_str::<f64>(text).map_err(|_| Misfit::new("is not a number", "write a number such as 20 or 0.5"))?;
        let MetricMilli(size) = MetricMilli::from_f64(number.abs());
        Ok(Self(MetricMilli(if number < 0.0 { -size } else { size })))
    }
}

/// A whole number, where a scaler's target is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "the scalers whose targets are whole numbers use it")]
pub(crate) struct Count(pub i64);

impl Field for Count {
    const VALUE: &'static str = "a whole number";

    fn parse(text: &str) -> Result<Self, Misfit> {
        serde_json::from_str(text).map(Self).map_err(|_| Misfit::new("is not a whole number", "write a whole number such as 20"))
    }
}

/// Declares an enum whose variants are the only texts that a parameter may have.
macro_rules! choice {
    ($(#[$outer:meta])* enum $name:ident { $($(#[$inner:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum $name { $($(#[$inner])* $variant),+ }

        impl $crate::parameter::Field for $name {
            const VALUE: &'static str = "one of a list";
            const ALLOWED: &'static [&'static str] = &[$($text),+];

            fn parse(text: &str) -> Result<Self, $crate::parameter::Misfit> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err($crate::parameter::Misfit::new(format!("must be one of {}", Self::ALLOWED.join(", ")), "write one of these, with the same capitals")),
                }
            }
        }
    };
}
pub(crate) use choice;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_those_of_go() {
        for (text, value) in [
            ("1", Some(true)),
            ("t", Some(true)),
            ("True", Some(true)),
            ("F", Some(false)),
            ("0", Some(false)),
            ("yes", None),
            ("tRUE", None),
        ] {
            assert_eq!(bool::parse(text).ok(), value, "{text}");
        }
    }

    #[test]
    fn durations_are_those_of_go_or_milliseconds() {
        let cases = [
            ("1500", Some(1500)),
            ("0", Some(0)),
            ("3s", Some(3000)),
            ("1m30s", Some(90_000)),
            ("1.5h", Some(5_400_000)),
            (".5s", Some(500)),
            ("250ms", Some(250)),
            ("2000us", Some(2)),
            ("-10", None),
            ("-3s", None),
            ("3", Some(3)),
            ("3 s", None),
            ("s", None),
            ("1d", None),
            ("1s2", None),
            ("error", None),
            ("9999999999999h", None),
        ];
        for (text, value) in cases {
            assert_eq!(Duration::parse(text).ok(), value.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn numbers_are_those_of_json() {
        for (text, value) in [
            ("20", Some(20_000)),
            ("0.5", Some(500)),
            ("1e3", Some(1_000_000)),
            ("-1", Some(-1000)),
            ("AA", None),
            ("NaN", None),
            ("007", None),
        ] {
            assert_eq!(Amount::parse(text).ok(), value.map(|milli| Amount(MetricMilli(milli))), "{text}");
        }
        for (text, value) in [("20", Some(20)), ("-3", Some(-3)), ("10.5", None), ("1e3", None)] {
            assert_eq!(Count::parse(text).ok(), value.map(Count), "{text}");
        }
        for (text, value) in [("1", Some(1)), ("0", None), ("-1", None), ("a", None), ("1.5", None)] {
            assert_eq!(NonZeroU32::parse(text).ok().map(NonZeroU32::get), value, "{text}");
        }
    }

    #[test]
    fn a_choice_names_what_is_allowed() {
        choice! {
            /// For this test.
            enum Switch { /// On.
                On = "on", /// Off.
                Off = "off" }
        }
        assert_eq!((Switch::parse("on"), Switch::parse("off")), (Ok(Switch::On), Ok(Switch::Off)));
        assert!(Switch::parse("ON").expect_err("capitals count").what.contains("on, off"));
    }

    #[test]
    fn pairs_are_decoded() {
        let pairs = Pairs::parse("audience=a%20b&resource=api").expect("pairs never fail");
        assert_eq!(pairs.0, [("audience".to_owned(), "a b".to_owned()), ("resource".to_owned(), "api".to_owned())]);
    }
}
