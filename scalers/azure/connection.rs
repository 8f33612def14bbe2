//! Connection strings: settings as `Name=value;Name=value`, whose names are the same in capitals and without.

use crate::parameter::Misfit;
use crate::secret::Secret;

/// A connection string, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Connection(Vec<(String, Secret)>);

impl Connection {
    /// The settings of a text.
    ///
    /// # Errors
    /// What is wrong, without repeating any of it. `example` is one that is right.
    pub(crate) fn parse(text: &str, example: &str) -> Result<Self, Misfit> {
        let misfit = || Misfit::new("the connection string is not made of Name=value, separated by semicolons", format!("write {example}"));
        let pair = |part: &str| {
            let (name, value) = part.split_once('=').ok_or_else(misfit)?;
            Ok((name.trim().to_ascii_lowercase(), Secret::from(value.trim())))
        };
        let pairs: Vec<_> = text.split(';').filter(|part| !part.trim().is_empty()).map(pair).collect::<Result<_, _>>()?;
        if pairs.is_empty() { Err(misfit()) } else { Ok(Self(pairs)) }
    }

    /// The value of a setting, given in small letters; none if it is empty.
    pub(crate) fn get(&self, name: &str) -> Option<&Secret> {
        self.0.iter().find(|(known, value)| known == name && !value.expose().is_empty()).map(|(_, value)| value)
    }

    /// Whether a setting is `true`.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.expose().eq_ignore_ascii_case("true"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_found_by_name_and_values_may_have_signs() {
        let text = "Endpoint=sb://ns.example/; sharedaccesskey=a2V5==;Empty=;UseDevelopmentStorage=TRUE;";
        let connection = Connection::parse(text, "").expect("fine");
        assert_eq!(connection.get("sharedaccesskey"), Some(&Secret::from("a2V5==")));
        assert_eq!(connection.get("endpoint"), Some(&Secret::from("sb://ns.example/")));
        assert!(connection.get("empty").is_none() && connection.get("none").is_none() && connection.is("usedevelopmentstorage"));
        for bad in ["SAMPLE", "", ";", "a=b;s3cret"] {
            let misfit = Connection::parse(bad, "A=b").expect_err(bad);
            assert!(!misfit.what.contains("s3cret") && misfit.remedy == "write A=b");
        }
    }
}
