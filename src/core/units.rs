//! Quantities with their unit in the type, so that a count of replicas cannot be taken for a millicpu.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// None of it.
            pub const ZERO: Self = Self(0);

            /// The sum, or the largest value that the type holds.
            #[must_use]
            pub const fn plus(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }

            /// The difference, or the smallest value that the type holds (0 for counts).
            #[must_use]
            pub const fn minus(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }

        impl std::iter::Sum for $name {
            fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
                items.fold(Self::ZERO, Self::plus)
            }
        }
    };
}

quantity! {
    /// A number of replicas of one workload.
    Replicas(u32)
}
quantity! {
    /// Thousandths of a CPU.
    MilliCpu(i64)
}
quantity! {
    /// Bytes of memory or storage.
    Bytes(i64)
}
quantity! {
    /// Thousandths of whatever a metric counts; Kubernetes' external metrics have this resolution.
    MetricMilli(i64)
}
quantity! {
    /// A price: millionths of a US dollar for each hour.
    MicroDollarsPerHour(i64)
}

impl fmt::Display for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for MilliCpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 % 1000 == 0 { write!(f, "{}", self.0 / 1000) } else { write!(f, "{}m", self.0) }
    }
}

impl fmt::Display for Bytes {
    /// The way Kubernetes writes it where the number is a round one: `2Gi`, `512Mi`, `100`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, size) in [("Gi", 1_i64 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)] {
            if self.0 != 0 && self.0 % size == 0 {
                return write!(f, "{}{unit}", self.0 / size);
            }
        }
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for MetricMilli {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 % 1000 == 0 {
            return write!(f, "{}", self.0 / 1000);
        }
        let sign = if self.0 < 0 { "-" } else { "" };
        let text = format!("{sign}{}.{:03}", (self.0 / 1000).unsigned_abs(), (self.0 % 1000).unsigned_abs());
        f.write_str(text.trim_end_matches('0'))
    }
}

impl fmt::Display for MicroDollarsPerHour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{}.{:06}", (self.0 / 1_000_000).unsigned_abs(), (self.0 % 1_000_000).unsigned_abs())
    }
}

impl MetricMilli {
    /// From a number as a broker gives it. What is not a number, is infinite or negative becomes 0, and what is finer than a thousandth is rounded to it,
    /// as KEDA does before its metrics leave it.
    #[must_use]
    pub fn from_f64(value: f64) -> Self {
        if !value.is_finite() || value <= 0.0 {
            return Self::ZERO;
        }
        let milli = (value * 1000.0).round();
        #[expect(clippy::cast_possible_truncation, reason = "a float to integer cast saturates, which is what a huge metric should do")]
        Self(milli as i64)
    }

    /// From a whole number, saturating.
    #[must_use]
    pub const fn from_count(count: u64) -> Self {
        let count = if count > i64::MAX as u64 { i64::MAX } else { count.cast_signed() };
        Self(count.saturating_mul(1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_print_as_people_write_them() {
        assert_eq!(MilliCpu(1500).to_string(), "1500m");
        assert_eq!(MilliCpu(2000).to_string(), "2");
        assert_eq!(Bytes(2 << 30).to_string(), "2Gi");
        assert_eq!(Bytes(1000).to_string(), "1000");
        assert_eq!(MetricMilli(-1500).to_string(), "-1.5");
        assert_eq!(MetricMilli(10_000).to_string(), "10");
        assert_eq!(MicroDollarsPerHour(19_003).to_string(), "0.019003");
    }

    #[test]
    fn numbers_that_are_none_become_zero() {
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -3.0] {
            assert_eq!(MetricMilli::from_f64(odd), MetricMilli::ZERO);
        }
        assert_eq!(MetricMilli::from_f64(0.123_456), MetricMilli(123));
    }
}
