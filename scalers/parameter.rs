//! What a scaler can be told, as a declaration: one `parameters!` block gives the struct, its parsing, its error messages and the table from which help,
//! schema and reference are made. Values are typed here, once, and every problem of a trigger is found in the same go.
//!
//! Where a value may come from is looked through in one order for every scaler: the trigger's metadata, then its authentication, then the container's
//! environment through `<name>FromEnv`. Text is trimmed, and an empty text is the same as none.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use springtide_core::name::Key;

use crate::identity::{Around, PodIdentity};
use crate::secret::{Secret, conceal};

/// What a trigger's authentication resolved to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthParams {
    /// Texts by parameter name.
    pub texts: BTreeMap<String, Secret>,
    /// Who the trigger is to a cloud, if its authentication says so.
    pub identity: Option<PodIdentity>,
    /// What the daemon's surroundings say of identities.
    pub around: Around,
}

impl AuthParams {
    /// Nothing at all.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl<const N: usize> From<[(String, Secret); N]> for AuthParams {
    fn from(texts: [(String, Secret); N]) -> Self {
        texts.into_iter().collect()
    }
}

impl FromIterator<(String, Secret)> for AuthParams {
    fn from_iter<T: IntoIterator<Item = (String, Secret)>>(texts: T) -> Self {
        Self { texts: texts.into_iter().collect(), ..Self::default() }
    }
}

/// The environment of the container that a trigger's target runs; it may hold secrets, so all of it is treated as such.
pub type ResolvedEnv = BTreeMap<String, Secret>;

/// A place that a value may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Source {
    /// The trigger's metadata, under the parameter's name.
    Metadata,
    /// The trigger's authentication, under the parameter's name.
    Auth,
    /// The container's environment, under the name that the metadata gives as `<name>FromEnv`.
    Environment,
}

/// How a parameter ages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Age {
    /// In use.
    Current,
    /// Still read; the text says what to write instead.
    Deprecated(&'static str),
    /// Refused; the text says what to write instead.
    Removed(&'static str),
}

/// One parameter of a scaler, for parsing, help, schema and reference.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Parameter {
    /// Its key.
    pub name: &'static str,
    /// What kind of value it holds, in a word or two.
    pub value: &'static str,
    /// The only texts that are allowed, if there is a list.
    pub allowed: &'static [&'static str],
    /// Whether a trigger without it is refused.
    pub required: bool,
    /// What it is without being given.
    pub default: Option<&'static str>,
    /// Where it may be given.
    pub sources: &'static [Source],
    /// Whether its text is never shown.
    pub secret: bool,
    /// Whether it is still to be used.
    pub age: Age,
    /// What it does.
    pub doc: &'static str,
}

/// Stands for all keys that a kind does not name, where it passes them on.
pub(crate) const REST: Parameter = Parameter {
    name: "*",
    value: "text",
    allowed: &[],
    required: false,
    default: None,
    sources: &[Source::Metadata, Source::Environment],
    secret: false,
    age: Age::Current,
    doc: "Anything else is passed on as it is.",
};

/// The field of problems with an authentication's identity.
pub const IDENTITY: &str = "podIdentity";

/// Something wrong with a trigger, for the person who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The parameter.
    pub field: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.field, self.what, self.remedy)
    }
}

impl Problem {
    /// Where in a trigger its field is.
    #[must_use]
    pub fn place(&self) -> String {
        match self.field.as_str() {
            "type" => self.field.clone(),
            IDENTITY => format!("authenticationRef.{IDENTITY}"),
            field => format!("metadata.{field}"),
        }
    }
}

/// Why a text is no value of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// The rest of a sentence that begins with the text.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl Misfit {
    pub(crate) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

/// A type that a parameter can have.
pub(crate) trait Field: Sized {
    /// The type's name for people.
    const VALUE: &'static str;
    /// The only texts that are allowed, if there is a list.
    const ALLOWED: &'static [&'static str] = &[];
    /// Whether the text is never shown.
    const SECRET: bool = false;
    /// Whether there is no value of the type without a text.
    const REQUIRED: bool = true;

    /// The value of a text, which is trimmed and not empty.
    fn parse(text: &str) -> Result<Self, Misfit>;

    /// The value without a text, where there is one.
    fn absent() -> Option<Self> {
        None
    }
}

impl<T: Field> Field for Option<T> {
    const VALUE: &'static str = T::VALUE;
    const ALLOWED: &'static [&'static str] = T::ALLOWED;
    const SECRET: bool = T::SECRET;
    const REQUIRED: bool = false;

    fn parse(text: &str) -> Result<Self, Misfit> {
        T::parse(text).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

/// The texts of one trigger, and the problems found in them so far.
pub(crate) struct Fields<'a> {
    /// The object whose trigger it is.
    pub owner: &'a Key,
    /// What the trigger's target means, where that is known: its `metricType`.
    pub metric_type: Option<&'a str>,
    metadata: &'a BTreeMap<String, String>,
    auth: &'a AuthParams,
    env: &'a ResolvedEnv,
    /// What keeps the trigger from working.
    pub problems: Vec<Problem>,
    /// What works and should be changed.
    pub notices: Vec<Problem>,
    /// Whether the identity was asked for.
    pub asked_identity: bool,
}

impl<'a> Fields<'a> {
    pub(crate) const fn new(owner: &'a Key, metadata: &'a BTreeMap<String, String>, auth: &'a AuthParams, env: &'a ResolvedEnv) -> Self {
        Self { owner, metric_type: None, metadata, auth, env, problems: Vec::new(), notices: Vec::new(), asked_identity: false }
    }

    /// All of the trigger's metadata as they are to be passed on: keys that end in `FromEnv` have the variable's value, and are left out where there is none.
    pub(crate) fn all_metadata(&self) -> BTreeMap<String, Secret> {
        let text = |(key, text): (&String, &String)| {
            let value = if key.ends_with("FromEnv") {
                self.env.get(text).filter(|value| !value.expose().is_empty())?.clone()
            } else {
                Secret::from(text.as_str())
            };
            Some((key.clone(), value))
        };
        self.metadata.iter().filter_map(text).collect()
    }

    /// Who the trigger is to a cloud, if its authentication says so. A kind that never asks is told nothing, and the trigger is refused.
    #[allow(dead_code, reason = "for kinds of clouds")]
    pub(crate) fn identity(&mut self) -> Option<&'a PodIdentity> {
        self.asked_identity = true;
        self.auth.identity.as_ref()
    }

    /// The same, for a kind that reads some identities and not others: it asks again with [`Self::identity_here`] for one that it reads.
    pub(crate) const fn identity_of(&self) -> Option<&'a PodIdentity> {
        self.auth.identity.as_ref()
    }

    /// The same, with what the daemon's surroundings say where the authentication does not.
    pub(crate) fn identity_here(&mut self) -> Option<PodIdentity> {
        let identity = self.identity()?.clone();
        match identity.clone().here(self.around()) {
            Ok(identity) => Some(identity),
            Err(what) => {
                let (what, remedy) = what.split_once("; ").unwrap_or((&what, "correct it"));
                self.problem(IDENTITY, what, remedy);
                Some(identity)
            }
        }
    }

    /// What the daemon's surroundings say of identities.
    pub(crate) fn around(&self) -> &'a Around {
        &self.auth.around
    }

    /// Takes down a problem.
    pub(crate) fn problem(&mut self, field: &str, what: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Problem { field: field.to_owned(), what: what.into(), remedy: remedy.into() });
    }

    /// The text of a parameter, and where it stands.
    fn find(&self, parameter: &Parameter) -> Option<(&'a str, Source)> {
        [Source::Metadata, Source::Auth, Source::Environment].into_iter().filter(|source| parameter.sources.contains(source)).find_map(
            |source| {
                let text = match source {
                    Source::Metadata => self.metadata.get(parameter.name).map(String::as_str),
                    Source::Auth => self.auth.texts.get(parameter.name).map(Secret::expose),
                    Source::Environment => {
                        let variable = self.metadata.get(&format!("{}FromEnv", parameter.name))?;
                        self.env.get(variable.trim()).map(Secret::expose)
                    }
                };
                text.map(str::trim).filter(|text| !text.is_empty()).map(|text| (text, source))
            },
        )
    }

    /// Whether the metadata has a text under this key.
    pub(crate) fn given(&self, key: &str) -> bool {
        self.metadata.get(key).is_some_and(|text| !text.trim().is_empty())
    }

    /// A parameter's value: what is given, else its default, else what its type is without a text. `None` leaves a problem behind.
    pub(crate) fn take<T: Field>(&mut self, parameter: &Parameter) -> Option<T> {
        let found = self.find(parameter);
        if found.is_some() {
            self.remark_on_age(parameter);
        }
        let Some((text, source)) = found.or_else(|| parameter.default.map(|text| (text, Source::Metadata))) else {
            let absent = T::absent();
            if absent.is_none() {
                self.problem(
                    parameter.name,
                    "is missing (missing required parameter)",
                    format!("give {} in {}", parameter.value, parameter.places()),
                );
            }
            return absent;
        };
        match T::parse(text) {
            Ok(value) => Some(value),
            Err(misfit) => {
                // What comes from a Secret or from an environment is not repeated, whatever its type.
                let shown =
                    if T::SECRET || source != Source::Metadata { "the given text".to_owned() } else { format!("{:?}", conceal(text)) };
                self.problem(parameter.name, format!("{shown} {}", misfit.what), misfit.remedy);
                None
            }
        }
    }

    /// The same without a word about it, for a relation between fields: `None` where the text is wrong or missing.
    pub(crate) fn look<T: Field>(&self, parameter: &Parameter) -> Option<T> {
        match self.find(parameter).map(|(text, _)| text).or(parameter.default) {
            Some(text) => T::parse(text).ok(),
            None => T::absent(),
        }
    }

    /// Whether a parameter stands both in the metadata and in the authentication.
    pub(crate) fn is_given_twice(&self, key: &str) -> bool {
        self.given(key) && self.auth.texts.get(key).is_some_and(|text| !text.expose().trim().is_empty())
    }

    fn remark_on_age(&mut self, parameter: &Parameter) {
        match parameter.age {
            Age::Current => {}
            Age::Deprecated(instead) => {
                self.notices.push(Problem {
                    field: parameter.name.to_owned(),
                    what: "is deprecated".to_owned(),
                    remedy: instead.to_owned(),
                });
            }
            Age::Removed(instead) => self.problem(parameter.name, "is no longer read", instead),
        }
    }

    /// A problem if more than one of these parameters is given.
    #[allow(dead_code, reason = "for kinds with parameters that exclude each other")]
    pub(crate) fn at_most_one(&mut self, parameters: &[&Parameter]) -> bool {
        let given: Vec<&str> =
            parameters.iter().filter(|parameter| self.find(parameter).is_some()).map(|parameter| parameter.name).collect();
        if let [first, others @ ..] = given.as_slice()
            && !others.is_empty()
        {
            self.problem(first, format!("is given together with {}", others.join(" and ")), "give only one of them");
            return false;
        }
        true
    }
}

impl Parameter {
    fn places(&self) -> String {
        let places: Vec<String> = self
            .sources
            .iter()
            .map(|source| match source {
                Source::Metadata => "the trigger's metadata".to_owned(),
                Source::Auth => "its TriggerAuthentication".to_owned(),
                Source::Environment => format!("an environment variable named by {}FromEnv", self.name),
            })
            .collect();
        places.join(" or ")
    }
}

/// Declares what a scaler can be told.
///
/// Each line is `/// doc`, `field: Type = "key", from Source...;`, with `, default "text"`, `, but deprecated "instead"` or `, but removed "instead"` before the
/// semicolon where they apply. The block makes two structs: the finished one, with `PARAMETERS`, and a draft whose fields are `None` where a problem was
/// found, so that a scaler can look for relations between fields although others are wrong.
macro_rules! parameters {
    (@default) => { None::<&'static str> };
    (@default $default:literal) => { Some($default) };
    (@age) => { $crate::parameter::Age::Current };
    (@age deprecated $text:literal) => { $crate::parameter::Age::Deprecated($text) };
    (@age removed $text:literal) => { $crate::parameter::Age::Removed($text) };
    (@one $type:ty, $key:literal, [$($source:ident)+], [$($doc:literal)+], [$($default:literal)?], [$($age:ident $text:literal)?]) => {
        $crate::parameter::Parameter {
            name: $key,
            value: <$type as $crate::parameter::Field>::VALUE,
            allowed: <$type as $crate::parameter::Field>::ALLOWED,
            required: <$type as $crate::parameter::Field>::REQUIRED && parameters!(@default $($default)?).is_none(),
            default: parameters!(@default $($default)?),
            sources: &[$($crate::parameter::Source::$source),+],
            secret: <$type as $crate::parameter::Field>::SECRET,
            age: parameters!(@age $($age $text)?),
            doc: concat!($($doc),+).trim_ascii(),
        }
    };
    (
        $(#[$outer:meta])*
        struct $name:ident, draft $draft:ident {
            $($(#[doc = $doc:literal])+ $field:ident: $type:ty = $key:literal, from $($source:ident)+ $(, default $default:literal)? $(, but $age:ident $text:literal)?;)*
        }
    ) => {
        $(#[$outer])*
        #[allow(dead_code, reason = "some are only looked at in the draft")]
        struct $name {
            $($(#[doc = $doc])+ $field: $type,)*
        }

        /// The same, where each field may have failed.
        struct $draft {
            $($field: Option<$type>,)*
        }

        impl $name {
            /// The table of what can be given.
            const PARAMETERS: &'static [$crate::parameter::Parameter] =
                &[$(parameters!(@one $type, $key, [$($source)+], [$($doc)+], [$($default)?], [$($age $text)?])),*];
        }

        impl $draft {
            /// Reads every field, and leaves a problem for each that is wrong.
            fn read(fields: &mut $crate::parameter::Fields<'_>) -> Self {
                Self {
                    $($field: {
                        const PARAMETER: $crate::parameter::Parameter =
                            parameters!(@one $type, $key, [$($source)+], [$($doc)+], [$($default)?], [$($age $text)?]);
                        fields.take::<$type>(&PARAMETER)
                    },)*
                }
            }

            /// The finished struct, if no field failed.
            fn finish(self) -> Option<$name> {
                Some($name { $($field: self.$field?,)* })
            }
        }
    };
}
pub(crate) use parameters;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::field::List;

    parameters! {
        /// For these tests.
        #[derive(Debug)]
        struct Sample, draft Draft {
            /// A name that
            /// must be there.
            name: String = "name", from Metadata Environment;
            /// A word that is never shown.
            word: Option<Secret> = "word", from Auth Environment;
            /// Whether.
            flag: bool = "flag", from Metadata, default "false";
            /// How long.
            wait: Duration = "wait", from Metadata, default "3s";
            /// Several.
            names: Option<List> = "names", from Metadata Auth;
            /// Of old.
            old: Option<String> = "old", from Metadata, but deprecated "write name";
            /// Of very old.
            older: Option<String> = "older", from Metadata, but removed "write name";
        }
    }

    fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    fn secrets(pairs: &[(&str, &str)]) -> AuthParams {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), Secret::from(*text))).collect()
    }

    #[test]
    fn the_declaration_is_also_the_table() {
        let [name, word, flag, .., older] = Sample::PARAMETERS else { panic!("seven rows") };
        assert_eq!((name.name, name.required, name.doc), ("name", true, "A name that must be there."));
        assert_eq!((word.secret, word.required, word.sources), (true, false, &[Source::Auth, Source::Environment][..]));
        assert_eq!((flag.required, flag.default, flag.value), (false, Some("false"), "true or false"));
        assert_eq!(older.age, Age::Removed("write name"));
    }

    #[test]
    fn values_come_from_where_they_may_and_empty_is_absent() {
        let metadata = texts(&[
            ("name", "  "),
            ("nameFromEnv", "NAME"),
            ("word", "never from here"),
            ("names", " a, b ,"),
            ("flag", "T"),
            ("wait", "250"),
        ]);
        let (auth, env) = (secrets(&[("name", "not from here")]), secrets(&[("NAME", " jo ")]).texts);
        let owner = Key::new("", "");
        let mut fields = Fields::new(&owner, &metadata, &auth, &env);
        let sample = Draft::read(&mut fields).finish().expect("all is well");
        assert_eq!((sample.name.as_str(), sample.word, sample.flag), ("jo", None, true));
        assert_eq!(sample.wait, Duration::from_millis(250));
        assert_eq!(sample.names, Some(List(vec!["a".to_owned(), "b".to_owned()])));
        assert!(fields.problems.is_empty() && fields.notices.is_empty() && sample.old.is_none() && sample.older.is_none());
    }

    #[test]
    fn all_problems_come_at_once_and_secrets_stay_out() {
        let metadata = texts(&[("flag", "maybe"), ("wait", "-1s"), ("nameFromEnv", "UNSET"), ("old", "x"), ("older", "x")]);
        let (auth, env) = (secrets(&[("names", "x")]), ResolvedEnv::new());
        let owner = Key::new("", "");
        let mut fields = Fields::new(&owner, &metadata, &auth, &env);
        assert!(Draft::read(&mut fields).finish().is_none());
        let named: Vec<&str> = fields.problems.iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(named, ["name", "flag", "wait", "older"]);
        assert_eq!(fields.notices.len(), 1);
        assert!(fields.problems[0].to_string().contains("nameFromEnv"), "{}", fields.problems[0]);
        assert!(fields.problems[1].what.starts_with("\"maybe\" is "), "{}", fields.problems[1]);
    }

    #[test]
    fn of_exclusive_parameters_one_may_be_given() {
        let (name, old) = (&Sample::PARAMETERS[0], &Sample::PARAMETERS[5]);
        let (auth, env) = (AuthParams::new(), ResolvedEnv::new());
        let owner = Key::new("", "");
        for (metadata, fine) in [(texts(&[("name", "x")]), true), (texts(&[("name", "x"), ("old", "y")]), false), (texts(&[]), true)] {
            let mut fields = Fields::new(&owner, &metadata, &auth, &env);
            assert_eq!(fields.at_most_one(&[name, old]), fine);
            assert_eq!(fields.problems.is_empty(), fine);
        }
    }
}
