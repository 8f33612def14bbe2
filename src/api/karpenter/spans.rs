//! Texts of Karpenter's objects that mean a length of time or a number of nodes.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::duration::{self, DurationError};

macro_rules! text_schema {
    ($name:ident, $pattern:literal) => {
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

/// A duration that can also be `Never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NillableDuration {
    /// After this time.
    After(SignedDuration),
    /// At no time.
    Never,
}

impl NillableDuration {
    /// The duration; none for never.
    #[must_use]
    pub fn span(self) -> Option<SignedDuration> {
        match self {
            Self::After(span) => Some(span),
            Self::Never => None,
        }
    }
}

impl FromStr for NillableDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        if text == "Never" { Ok(Self::Never) } else { not_negative(text).map(Self::After) }
    }
}

impl fmt::Display for NillableDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(span) => f.write_str(&duration::print(*span)),
            Self::Never => f.write_str("Never"),
        }
    }
}

text_schema!(NillableDuration, r"^(([0-9]+(s|m|h))+|Never)$");

/// A duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlainDuration(
    /// How long.
    pub SignedDuration,
);

impl FromStr for PlainDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        not_negative(text).map(Self)
    }
}

impl fmt::Display for PlainDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&duration::print(self.0))
    }
}

text_schema!(PlainDuration, r"^([0-9]+(s|m|h))+$");

/// How long a budget is in force after each hit of its schedule: hours and minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BudgetWindow(
    /// How long.
    pub SignedDuration,
);

impl FromStr for BudgetWindow {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        not_negative(text).map(Self)
    }
}

impl fmt::Display for BudgetWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The pattern has no place for days or for nothing at all.
        if self.0.is_zero() { f.write_str("0m") } else { f.write_str(&duration::print(self.0)) }
    }
}

text_schema!(BudgetWindow, r"^((([0-9]+(h|m))|([0-9]+h[0-9]+m))(0s)?)$");

/// The CRDs' patterns have no sign.
fn not_negative(text: &str) -> Result<SignedDuration, DurationError> {
    let span = duration::parse(text)?;
    if span.is_negative() { Err(DurationError::Malformed(text.to_owned())) } else { Ok(span) }
}

/// How many nodes may be disrupted at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BudgetNodes {
    /// A share of the pool's nodes, 0 to 100.
    Percent(u32),
    /// So many.
    Count(u32),
}

impl BudgetNodes {
    /// How many of a pool's nodes that is. A share rounds up, as in Karpenter.
    #[must_use]
    pub fn of(self, nodes: u32) -> u32 {
        match self {
            Self::Percent(share) => u32::try_from((u64::from(nodes) * u64::from(share)).div_ceil(100)).unwrap_or(u32::MAX),
            Self::Count(count) => count,
        }
    }
}

/// A text that is neither a share nor a count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a percentage from 0% to 100% nor a number of nodes")]
pub struct BudgetNodesError(
    /// What was written.
    pub String,
);

impl FromStr for BudgetNodes {
    type Err = BudgetNodesError;

    fn from_str(text: &str) -> Result<Self, BudgetNodesError> {
        let wrong = || BudgetNodesError(text.to_owned());
        let number = |digits: &str| -> Option<u32> {
            if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
                return None;
            }
            // More digits than fit are more nodes than anybody has.
            Some(digits.parse().unwrap_or(u32::MAX))
        };
        match text.strip_suffix('%') {
            Some(share) => number(share).filter(|share| *share <= 100).map(Self::Percent).ok_or_else(wrong),
            None => number(text).map(Self::Count).ok_or_else(wrong),
        }
    }
}

impl fmt::Display for BudgetNodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(share) => write!(f, "{share}%"),
            Self::Count(count) => write!(f, "{count}"),
        }
    }
}

text_schema!(BudgetNodes, r"^((100|[0-9]{1,2})%|[0-9]+)$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_is_no_duration() {
        assert_eq!("Never".parse(), Ok(NillableDuration::Never));
        assert_eq!("1h30m".parse::<NillableDuration>().map(NillableDuration::span), Ok(Some(SignedDuration::from_mins(90))));
        for odd in ["never", "", "-5s", "5"] {
            assert!(odd.parse::<NillableDuration>().is_err(), "{odd}");
        }
        assert_eq!(NillableDuration::After(SignedDuration::ZERO).to_string(), "0s");
        assert_eq!(NillableDuration::Never.to_string(), "Never");
    }

    #[test]
    fn budgets_are_shares_or_counts() {
        let table = [("10%", 1, 1), ("10%", 11, 2), ("0%", 50, 0), ("100%", 7, 7), ("5", 3, 5), ("0", 3, 0), ("99999999999", 3, u32::MAX)];
        for (text, nodes, allowed) in table {
            assert_eq!(text.parse::<BudgetNodes>().expect(text).of(nodes), allowed, "{text} of {nodes}");
        }
        for odd in ["101%", "-1", "+1", "ten", "%", "", "1.5", "10 %"] {
            assert!(odd.parse::<BudgetNodes>().is_err(), "{odd}");
        }
    }
}
