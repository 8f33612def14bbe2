//! Kubernetes' quantities (`100m`, `1.5Gi`, `1e3`) as numbers, rounded as Kubernetes rounds them, and back to text in Kubernetes' canonical form.
//!
//! The grammar and the rounding are those of `k8s.io/apimachinery/pkg/api/resource`: exact to a billionth, anything finer rounds away from zero, and no
//! amount is larger than 2^63-1.

use std::fmt;
use std::str::FromStr;

const NANO: i128 = 1_000_000_000;
const LIMIT: i128 = (i64::MAX as i128) * NANO;

/// Why a text is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Nothing was written.
    #[error("a quantity is missing; write for example 500m, 2 or 1Gi")]
    Empty,
    /// There is no number at the front.
    #[error("{0:?} is not a quantity; write for example 500m, 2 or 1Gi")]
    Malformed(String),
    /// What follows the number is no suffix of Kubernetes.
    #[error("{suffix:?} in {text:?} is not a suffix; use n, u, m, k, M, G, T, P, E, or Ki, Mi, Gi, Ti, Pi, Ei, or an exponent as in 1e3")]
    UnknownSuffix {
        /// The whole text.
        text: String,
        /// What stands where the suffix is due.
        suffix: String,
    },
}

/// How an amount was written, which decides how it is written again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// With powers of 1000: `m`, `k`, `M`.
    Decimal,
    /// With powers of 1024: `Ki`, `Mi`.
    Binary,
    /// With an exponent: `1e3`.
    Exponent,
}

/// A parsed quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    nanos: i128,
    format: Format,
}

impl Amount {
    /// Thousandths, as written in powers of 1000.
    #[must_use]
    pub fn from_milli(milli: i64) -> Self {
        Self { nanos: i128::from(milli) * (NANO / 1000), format: Format::Decimal }.capped()
    }

    /// Whole units, as written in powers of 1000.
    #[must_use]
    pub fn from_whole(whole: i64) -> Self {
        Self { nanos: i128::from(whole) * NANO, format: Format::Decimal }.capped()
    }

    /// Bytes, as written in powers of 1024 where they are round ones.
    #[must_use]
    pub fn from_bytes(bytes: i64) -> Self {
        Self { nanos: i128::from(bytes) * NANO, format: Format::Binary }.capped()
    }

    /// In thousandths; what is finer rounds away from zero (`MilliValue()`), what is too large becomes the largest number.
    #[must_use]
    pub fn milli(self) -> i64 {
        saturated(divided_up(self.nanos, NANO / 1000))
    }

    /// In whole units; fractions round away from zero (`Value()`), what is too large becomes the largest number.
    #[must_use]
    pub fn whole(self) -> i64 {
        saturated(divided_up(self.nanos, NANO))
    }

    /// As a number, of which about 16 digits are exact.
    #[must_use]
    pub fn number(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a float holds as many digits as a metric needs")]
        let nanos = self.nanos as f64;
        nanos / 1e9
    }

    /// How it was written.
    #[must_use]
    pub fn format(self) -> Format {
        self.format
    }

    fn capped(self) -> Self {
        Self { nanos: self.nanos.clamp(-LIMIT, LIMIT), ..self }
    }
}

/// A quantity in thousandths; see [`Amount::milli`].
///
/// # Errors
/// The text is not a quantity.
pub fn milli(text: &str) -> Result<i64, QuantityError> {
    Amount::from_str(text).map(Amount::milli)
}

/// A quantity in whole units; see [`Amount::whole`].
///
/// # Errors
/// The text is not a quantity.
pub fn whole(text: &str) -> Result<i64, QuantityError> {
    Amount::from_str(text).map(Amount::whole)
}

impl FromStr for Amount {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        if text.is_empty() {
            return Err(QuantityError::Empty);
        }
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, rest) = digits(rest);
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => digits(rest),
            None => ("", rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(QuantityError::Malformed(text.to_owned()));
        }
        let (scale, format) =
            scale(suffix).ok_or_else(|| QuantityError::UnknownSuffix { text: text.to_owned(), suffix: suffix.to_owned() })?;
        let magnitude = nanos(whole, fraction, scale);
        Ok(Self { nanos: if negative { -magnitude } else { magnitude }, format })
    }
}

/// What a suffix multiplies with.
#[derive(Clone, Copy)]
enum Scale {
    /// A power of ten.
    Ten(i64),
    /// A power of two.
    Two(u32),
}

fn scale(suffix: &str) -> Option<(Scale, Format)> {
    if let Some(decimal) = [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)]
        .into_iter()
        .find_map(|(name, power)| (name == suffix).then_some(power))
    {
        return Some((Scale::Ten(decimal), Format::Decimal));
    }
    if let Some(binary) = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)]
        .into_iter()
        .find_map(|(name, power)| (name == suffix).then_some(power))
    {
        return Some((Scale::Two(binary), Format::Binary));
    }
    let power = suffix.strip_prefix(['e', 'E'])?;
    let power: i64 = power.parse().ok()?;
    Some((Scale::Ten(power), Format::Exponent))
}

/// Billionths of a number with a scale, rounded up and not above the limit.
fn nanos(whole: &str, fraction: &str, scale: Scale) -> i128 {
    match scale {
        Scale::Two(power) => scaled(whole, fraction, 1 << power),
        Scale::Ten(power) => {
            // Beyond a thousand places nothing is left to see of any number that a person writes.
            let power = power.clamp(-1000, 1000);
            let places = usize::try_from(power.unsigned_abs()).unwrap_or(0);
            if power < 0 {
                let padded = format!("{}{whole}", "0".repeat(places));
                let (whole, moved) = padded.split_at(padded.len() - places);
                scaled(whole, &format!("{moved}{fraction}"), 1)
            } else {
                let padded = format!("{fraction}{}", "0".repeat(places));
                let (moved, fraction) = padded.split_at(places);
                scaled(&format!("{whole}{moved}"), fraction, 1)
            }
        }
    }
}

/// Billionths of `whole.fraction` times a factor of at most 2^60. Of a fraction, 18 digits are exact; of what follows it only counts that it is not zero.
fn scaled(whole: &str, fraction: &str, factor: i128) -> i128 {
    let whole = whole.trim_start_matches('0');
    let whole: Option<i128> = if whole.is_empty() { Some(0) } else { whole.parse().ok() };
    let Some(whole) = whole.and_then(|whole| whole.checked_mul(factor)).and_then(|whole| whole.checked_mul(NANO)) else {
        return LIMIT;
    };
    let (exact, beyond) = fraction.split_at(fraction.len().min(18));
    let places = u32::try_from(exact.len()).unwrap_or(0);
    let exact: i128 = exact.parse().unwrap_or(0);
    let product = exact * factor;
    // In billionths: times 10^9, divided by 10^places; one of the two is left over.
    let nanos = if places <= 9 { product * 10_i128.pow(9 - places) } else { divided_up(product, 10_i128.pow(places - 9)) };
    let rest = i128::from(beyond.bytes().any(|digit| digit != b'0') && (places <= 9 || product % 10_i128.pow(places - 9) == 0));
    whole.saturating_add(nanos).saturating_add(rest).min(LIMIT)
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

fn divided_up(nanos: i128, divisor: i128) -> i128 {
    nanos / divisor + if nanos % divisor == 0 { 0 } else { nanos.signum() }
}

fn saturated(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

impl fmt::Display for Amount {
    /// Kubernetes' canonical form: no fraction, and the largest suffix that needs none. A binary amount below 1024 or with a fraction is written decimally.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        if self.format == Format::Binary && self.nanos.abs() >= 1024 * NANO && self.nanos % NANO == 0 {
            let (mut mantissa, mut suffix) = (self.nanos / NANO, "");
            for next in ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"] {
                if mantissa % 1024 != 0 {
                    break;
                }
                mantissa /= 1024;
                suffix = next;
            }
            return write!(f, "{mantissa}{suffix}");
        }
        let (mut mantissa, mut power) = (self.nanos, -9);
        while mantissa % 1000 == 0 && power < 18 {
            mantissa /= 1000;
            power += 3;
        }
        match (self.format, power) {
            (_, 0) => write!(f, "{mantissa}"),
            (Format::Exponent, power) => write!(f, "{mantissa}e{power}"),
            (_, power) => {
                let suffix = match power {
                    -9 => "n",
                    -6 => "u",
                    -3 => "m",
                    3 => "k",
                    6 => "M",
                    9 => "G",
                    12 => "T",
                    15 => "P",
                    _ => "E",
                };
                write!(f, "{mantissa}{suffix}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_rounds_as_kubernetes_does() {
        // Text, thousandths, whole units, canonical text.
        let table: &[(&str, i64, i64, &str)] = &[
            ("0", 0, 0, "0"),
            ("-0", 0, 0, "0"),
            ("1", 1000, 1, "1"),
            ("+1", 1000, 1, "1"),
            ("007", 7000, 7, "7"),
            ("100m", 100, 1, "100m"),
            ("1500m", 1500, 2, "1500m"),
            ("2000m", 2000, 2, "2"),
            ("0.5", 500, 1, "500m"),
            (".5", 500, 1, "500m"),
            ("5.", 5000, 5, "5"),
            ("1n", 1, 1, "1n"),
            ("0.1n", 1, 1, "1n"),
            ("1u", 1, 1, "1u"),
            ("1000u", 1, 1, "1m"),
            ("1001u", 2, 1, "1001u"),
            ("0.0001", 1, 1, "100u"),
            ("2k", 2_000_000, 2000, "2k"),
            ("1000", 1_000_000, 1000, "1k"),
            ("1M", 1_000_000_000, 1_000_000, "1M"),
            ("1G", 1_000_000_000_000, 1_000_000_000, "1G"),
            ("1T", 1_000_000_000_000_000, 1_000_000_000_000, "1T"),
            ("1P", 1_000_000_000_000_000_000, 1_000_000_000_000_000, "1P"),
            ("1E", i64::MAX, 1_000_000_000_000_000_000, "1E"),
            ("1Ki", 1_024_000, 1024, "1Ki"),
            ("1Mi", 1_048_576_000, 1 << 20, "1Mi"),
            ("1.5Gi", 1_610_612_736_000, 3 << 29, "1536Mi"),
            ("1Ti", 1_099_511_627_776_000, 1 << 40, "1Ti"),
            ("1Pi", 1_125_899_906_842_624_000, 1 << 50, "1Pi"),
            ("1Ei", i64::MAX, 1 << 60, "1Ei"),
            ("1024Ki", 1_048_576_000, 1 << 20, "1Mi"),
            ("0.5Ki", 512_000, 512, "512"),
            ("0.0001Ki", 103, 1, "102400u"),
            ("1e3", 1_000_000, 1000, "1e3"),
            ("1E3", 1_000_000, 1000, "1e3"),
            ("12e6", 12_000_000_000, 12_000_000, "12e6"),
            ("1e-3", 1, 1, "1e-3"),
            ("1e0", 1000, 1, "1"),
            ("1.25e1", 12_500, 13, "12500e-3"),
            ("-1500m", -1500, -2, "-1500m"),
            ("-1Gi", -1_073_741_824_000, -(1 << 30), "-1Gi"),
            ("9223372036854775807", i64::MAX, i64::MAX, "9223372036854775807"),
            ("9223372036854775808", i64::MAX, i64::MAX, "9223372036854775807"),
            ("1000E", i64::MAX, i64::MAX, "9223372036854775807"),
            ("9Ei", i64::MAX, i64::MAX, "9223372036854775807"),
            ("1e999999999999", i64::MAX, i64::MAX, "9223372036854775807e0"),
            ("0e999999999999", 0, 0, "0"),
            ("1e-999999999999", 1, 1, "1e-9"),
        ];
        for (text, milli, whole, printed) in table {
            let amount: Amount = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(amount.milli(), *milli, "{text} in thousandths");
            assert_eq!(amount.whole(), *whole, "{text} in whole units");
            let again = amount.to_string();
            assert_eq!(again.trim_end_matches("e0"), printed.trim_end_matches("e0"), "{text} printed");
            assert_eq!(again.parse::<Amount>().map(|again| again.nanos), Ok(amount.nanos), "{text} printed and read");
        }
    }

    #[test]
    fn refuses_what_kubernetes_refuses() {
        use QuantityError as E;
        let text = str::to_owned;
        let suffix = |whole: &str, suffix: &str| E::UnknownSuffix { text: text(whole), suffix: text(suffix) };
        let table: &[(&str, E)] = &[
            ("", E::Empty),
            ("-", E::Malformed(text("-"))),
            ("Gi", E::Malformed(text("Gi"))),
            (".", E::Malformed(text("."))),
            ("one", E::Malformed(text("one"))),
            ("1K", suffix("1K", "K")),
            ("1ki", suffix("1ki", "ki")),
            ("1 Gi", suffix("1 Gi", " Gi")),
            ("1GB", suffix("1GB", "GB")),
            ("1.2.3", suffix("1.2.3", ".3")),
            ("1e", suffix("1e", "e")),
            ("1e1.5", suffix("1e1.5", "e1.5")),
            ("1\u{b5}", suffix("1\u{b5}", "\u{b5}")),
        ];
        for (text, error) in table {
            assert_eq!(text.parse::<Amount>().as_ref(), Err(error), "{text}");
        }
    }

    #[test]
    fn any_number_of_digits_is_read() {
        let nines = "9".repeat(500);
        assert_eq!(whole(&nines), Ok(i64::MAX));
        assert_eq!(whole(&format!("-{nines}")), Ok(-i64::MAX));
        assert_eq!(milli(&format!("0.{}1", "0".repeat(500))), Ok(1));
        assert_eq!(milli(&format!("{}1m", "0".repeat(500))), Ok(1));
    }

    #[test]
    fn numbers_print_canonically() {
        assert_eq!(Amount::from_milli(1500).to_string(), "1500m");
        assert_eq!(Amount::from_whole(3).to_string(), "3");
        assert_eq!(Amount::from_bytes(3 << 30).to_string(), "3Gi");
        assert_eq!(Amount::from_bytes(1000).to_string(), "1k");
        assert_eq!(Amount::from_bytes(1025).to_string(), "1025");
        assert_eq!(Amount::from_whole(i64::MIN).to_string(), "-9223372036854775807");
    }
}
