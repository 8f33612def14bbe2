//! Kubernetes quantities in lists of instance types: text to thousandths, and back to the text that Kubernetes would write.

/// Suffixes with their power of 1000.
const DECIMAL: [(&str, i32); 10] = [("", 0), ("k", 1), ("M", 2), ("G", 3), ("T", 4), ("P", 5), ("E", 6), ("m", -1), ("u", -2), ("n", -3)];
/// Suffixes with their power of 1024.
const BINARY: [(&str, u32); 6] = [("Ki", 1), ("Mi", 2), ("Gi", 3), ("Ti", 4), ("Pi", 5), ("Ei", 6)];

/// An amount, not negative, and whether it was written with a binary suffix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quantity {
    milli: i64,
    binary: bool,
}

impl Quantity {
    /// Reads a quantity. What is finer than a thousandth is rounded up, as Kubernetes does.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a quantity such as `2`, `500m` or `16Gi`");
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        // 18 digits and no more keep every product below within 128 bits.
        if digits.is_empty() || digits.len() > 18 || fraction.contains('.') {
            return Err(wrong());
        }
        let (exponent, factor, binary) = scale(suffix).ok_or_else(wrong)?;
        let places = i32::try_from(fraction.len()).map_err(|_| wrong())?;
        let mut milli = digits.parse::<i128>().map_err(|_| wrong())? * factor;
        let exponent = exponent + 3 - places;
        let power = 10_i128.checked_pow(exponent.unsigned_abs()).ok_or_else(wrong)?;
        milli = if exponent < 0 { (milli + power - 1) / power } else { milli.checked_mul(power).ok_or_else(wrong)? };
        let milli = i64::try_from(milli).map_err(|_| format!("`{text}` is more than can be counted"))?;
        Ok(Self { milli, binary })
    }

    /// In thousandths.
    pub(crate) const fn milli(self) -> i64 {
        self.milli
    }

    /// In whole units, rounded up.
    pub(crate) const fn whole(self) -> i64 {
        self.milli / 1000 + if self.milli % 1000 > 0 { 1 } else { 0 }
    }

    /// The way Kubernetes writes it: the largest suffix of its kind that leaves a whole number.
    pub(crate) fn canonical(self) -> String {
        let amount = self.milli / 1000;
        if self.milli % 1000 != 0 {
            return format!("{}m", self.milli);
        }
        let (step, suffixes): (i64, &[&str]) =
            if self.binary { (1024, &["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]) } else { (1000, &["k", "M", "G", "T", "P", "E"]) };
        let (mut amount, mut unit) = (amount, "");
        for suffix in suffixes {
            if amount == 0 || amount % step != 0 {
                break;
            }
            (amount, unit) = (amount / step, suffix);
        }
        format!("{amount}{unit}")
    }
}

/// Power of ten, factor, and whether it is a binary suffix.
fn scale(suffix: &str) -> Option<(i32, i128, bool)> {
    if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some((power * 3, 1, false));
    }
    if let Some((_, power)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Some((0, 1024_i128.pow(*power), true));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    (-18..=18).contains(&exponent).then_some((exponent, 1, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        let cases = [
            ("1", 1000, "1"),
            ("100m", 100, "100m"),
            ("1.5", 1500, "1500m"),
            (".5", 500, "500m"),
            ("1Ki", 1_024_000, "1Ki"),
            ("2048Mi", (2 << 30) * 1000, "2Gi"),
            ("1.5Gi", (3 << 29) * 1000, "1536Mi"),
            ("2000", 2_000_000, "2k"),
            ("1e3", 1_000_000, "1k"),
            ("5n", 1, "1m"),
            ("1G", 1_000_000_000_000, "1G"),
            ("0", 0, "0"),
        ];
        for (text, milli, canonical) in cases {
            let read = Quantity::parse(text).expect(text);
            assert_eq!((read.milli(), read.canonical().as_str()), (milli, canonical), "{text}");
        }
        assert_eq!(Quantity::parse("1500m").map(Quantity::whole), Ok(2));
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", "-1", "Gi", "1.2.3", "1 Gi", "1gi", "1e99", "16Ei", "9999999999999999999", "NaN"] {
            assert!(Quantity::parse(text).is_err(), "{text}");
        }
    }
}
