//! Figures as people read them: `1,204`, `$0.0123`, `11 min 40 s`.

/// A count with its thousands apart.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count and its noun; the plural is made with an s.
pub fn counted(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// USD: below a dollar to a hundredth of a cent, for what a message costs is that little.
pub fn money(usd: f64) -> String {
    if usd < 1.0 { format!("${usd:.4}") } else { format!("${usd:.2}") }
}

/// USD for each hour.
pub fn hourly(usd: f64) -> String {
    if usd < 1.0 { format!("${usd:.3}") } else { format!("${usd:.2}") }
}

/// A span of time in its two largest units.
pub fn span(seconds: f64) -> String {
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let all = seconds.round();
    let minutes = (all / 60.0).floor();
    match (minutes >= 60.0, minutes >= 1.0) {
        (true, _) => format!("{} h {} min", (minutes / 60.0).floor(), minutes % 60.0),
        (_, true) => format!("{minutes} min {} s", all % 60.0),
        _ => format!("{all} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!([0, 7, 999, 1_000, 12_345, 1_234_567].map(grouped), ["0", "7", "999", "1,000", "12,345", "1,234,567"]);
    }

    #[test]
    fn one_is_not_many() {
        assert_eq!([0, 1, 2_000].map(|count| counted(count, "message")), ["0 messages", "1 message", "2,000 messages"]);
    }

    #[test]
    fn small_money_is_not_rounded_away() {
        assert_eq!([0.0, 0.01234, 9.5, 12.346].map(money), ["$0.0000", "$0.0123", "$9.50", "$12.35"]);
        assert_eq!([0.0123, 9.5].map(hourly), ["$0.012", "$9.50"]);
    }

    #[test]
    fn spans_have_two_units_at_most() {
        assert_eq!(
            [0.0, 9.94, 42.4, 59.7, 60.0, 700.3, 3_725.0].map(span),
            ["0.0 s", "9.9 s", "42 s", "1 min 0 s", "1 min 0 s", "11 min 40 s", "1 h 2 min"]
        );
    }
}
