//! What databases that are asked in SQL have in common: ports by number or name, and the number that a query's first row begins with.

use std::collections::HashSet;

use crate::parameter::{Field, Misfit};

/// The services that a port may be named by, as in /etc/services.
const SERVICES: [(&str, u16); 3] = [("mysql", 3306), ("postgres", 5432), ("postgresql", 5432)];

/// A port, by its number or by the name of a service. Which names there are is known where it is connected to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Port(pub String);

impl Field for Port {
    const VALUE: &'static str = "a port's number";

    fn parse(text: &str) -> Result<Self, Misfit> {
        let is_word = text.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_'));
        if is_word { Ok(Self(text.to_owned())) } else { Err(Misfit::new("is no port", "write a number such as 5432")) }
    }
}

impl Port {
    /// Its number. The error is the rest of a sentence.
    pub(crate) fn number(&self) -> Result<u16, String> {
        let Self(text) = self;
        let named = SERVICES.into_iter().find_map(|(name, number)| (name == text).then_some(number));
        text.parse::<u16>().ok().filter(|number| *number > 0).or(named).ok_or_else(|| {
            format!("its port is {text:?}, which is neither a number up to 65535 nor a service that is known; write a number")
        })
    }
}

/// The first cell of the first row, as the database writes it; nothing is SQL's NULL. The error is what there is instead of a number.
#[cfg_attr(not(feature = "clients"), allow(dead_code, reason = "answers come to clients alone"))]
pub(crate) fn number(cell: Option<&str>) -> Result<f64, String> {
    let text = cell.ok_or("NULL, not a number; COALESCE(..., 0) in the query would make it 0")?;
    let shown = || text.chars().take(40).collect::<String>();
    let number = text.trim().parse::<f64>().map_err(|_| format!("{:?}, which is no number", shown()))?;
    if number.is_finite() { Ok(number) } else { Err(format!("{:?}, which is no number that can be used", shown())) }
}

/// What there is instead of a number where a query gives no rows.
#[cfg_attr(not(feature = "clients"), allow(dead_code, reason = "answers come to clients alone"))]
pub(crate) const NO_ROWS: &str = "no rows; write a query that always gives one, such as SELECT COUNT(*)";

/// The queries of a connection that did not answer in time when they were last asked. They are asked last, as whoever is asked after them waits too.
#[derive(Debug, Default)]
#[cfg_attr(not(feature = "clients"), allow(dead_code, reason = "queries are asked by clients alone"))]
pub(crate) struct Late(HashSet<String>);

#[cfg_attr(not(feature = "clients"), allow(dead_code, reason = "queries are asked by clients alone"))]
impl Late {
    /// The places of queries, in the order in which they are to be asked.
    pub(crate) fn order(&self, queries: &[&String]) -> Vec<usize> {
        let mut places: Vec<usize> = (0..queries.len()).collect();
        places.sort_by_key(|place| queries.get(*place).is_some_and(|query| self.0.contains(*query)));
        places
    }

    /// Takes down that this query answered in time, or not.
    pub(crate) fn note(&mut self, query: &str, in_time: InTime) {
        match in_time {
            InTime::Yes => _ = self.0.remove(query),
            InTime::No => _ = self.0.insert(query.to_owned()),
        }
    }
}

/// Whether a query answered in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "clients"), allow(dead_code, reason = "queries are asked by clients alone"))]
pub(crate) enum InTime {
    Yes,
    No,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_have_numbers_or_names() {
        for (text, number) in [
            ("5432", Some(5432)),
            ("mysql", Some(3306)),
            ("postgresql", Some(5432)),
            ("0", None),
            ("65536", None),
            ("-1", None),
            ("orders", None),
        ] {
            assert_eq!(Port::parse(text).expect(text).number().ok(), number, "{text}");
        }
        for bad in ["5432,5433", "a b", "1.5"] {
            assert!(Port::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn who_was_late_is_asked_last() {
        let names = ["a", "b", "c"].map(str::to_owned);
        let queries: Vec<&String> = names.iter().collect();
        let mut late = Late::default();
        late.note("a", InTime::No);
        assert_eq!(late.order(&queries), [1, 2, 0]);
        late.note("b", InTime::No);
        late.note("a", InTime::Yes);
        assert_eq!(late.order(&queries), [0, 2, 1]);
    }

    #[test]
    fn cells_are_numbers_or_say_what_they_are() {
        for (cell, read) in [("12", 12.0), (" 2.50", 2.5), ("-3", -3.0), ("1e3", 1000.0)] {
            assert_eq!(number(Some(cell)), Ok(read), "{cell}");
        }
        for (cell, part) in [
            (None, "NULL"),
            (Some("many"), "\"many\", which is no number"),
            (Some(""), "no number"),
            (Some("NaN"), "NaN"),
            (Some("t"), "\"t\""),
        ] {
            assert!(number(cell).expect_err("no number").contains(part), "{cell:?}");
        }
    }
}
