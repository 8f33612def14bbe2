//! Some partitions of a topic, as a list of numbers and ranges.

use crate::parameter::{Field, Misfit};

/// So many numbers may be named: a topic has some thousand partitions at the most, and a range such as 0-2147483647 is a mistake.
const MOST: usize = 100_000;

/// Partitions by number, sorted, each once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Partitions(Vec<i32>);

impl Partitions {
    pub(crate) fn contains(&self, partition: i32) -> bool {
        self.0.binary_search(&partition).is_ok()
    }
}

impl Field for Partitions {
    const VALUE: &'static str = "numbers and ranges such as 0-3,7";

    fn parse(text: &str) -> Result<Self, Misfit> {
        let misfit = |what: &str| Misfit::new(what, "write numbers and ranges, separated by commas, such as 0-3,7");
        let number = |text: &str| text.trim().parse::<i32>().map_err(|_| misfit("has a part that is no number of a partition"));
        let mut numbers = Vec::new();
        for part in text.split(',') {
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(part)?, number(part)?),
            };
            let room = MOST - numbers.len();
            numbers.extend((first..=last).take(room + 1));
            if numbers.len() > MOST {
                return Err(misfit("names more partitions than any topic has"));
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(Self(numbers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_ranges_are_read() {
        for (text, numbers) in [
            ("1", Some(&[1][..])),
            ("1,2,3,4", Some(&[1, 2, 3, 4])),
            (" 1 , 2 , 3 ", Some(&[1, 2, 3])),
            ("1-4", Some(&[1, 2, 3, 4])),
            ("3-3", Some(&[3])),
            (" 1 - 4 ", Some(&[1, 2, 3, 4])),
            ("1-4,8,10-12,2", Some(&[1, 2, 3, 4, 8, 10, 11, 12])),
            ("4-1", Some(&[])),
            ("a,b,c", None),
            ("1-2-3", None),
            ("a-3", None),
            ("1-b", None),
            ("1,", None),
            ("99999999999", None),
            ("0-2147483647", None),
        ] {
            assert_eq!(Partitions::parse(text).ok(), numbers.map(|numbers| Partitions(numbers.to_vec())), "{text}");
        }
    }
}
