//! What may be asked of a node's labels, and the algebra of such wishes: intersection, compatibility, and what a set of labels answers.
//!
//! The rules are Karpenter's requirement algebra, with one addition: a wish remembers whether the label may be absent, so that `Exists` together with
//! `NotIn` still asks for the label to exist, as kube-scheduler does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::Name;

/// The field of a node that `matchFields` may ask for. It stands among the wishes for labels, none of which can be called so.
pub const NAME: &str = "field:metadata.name";

/// Labels of a node or a pod.
pub type Labels = BTreeMap<Name, Name>;

/// The wish for one label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Requirement {
    /// The values that are allowed, or with `complement` those that are not.
    values: BTreeSet<Name>,
    complement: bool,
    absent_ok: bool,
    gte: Option<i64>,
    lte: Option<i64>,
    /// At least this many different values must stay possible (Karpenter's `minValues`).
    pub min_values: Option<u32>,
}

/// Operators as Kubernetes and Karpenter spell them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the field's own and say it all")]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    Gt,
    Lt,
    Gte,
    Lte,
}

impl Operator {
    /// From its spelling in YAML.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "In" => Self::In,
            "NotIn" => Self::NotIn,
            "Exists" => Self::Exists,
            "DoesNotExist" => Self::DoesNotExist,
            "Gt" => Self::Gt,
            "Lt" => Self::Lt,
            "Gte" => Self::Gte,
            "Lte" => Self::Lte,
            _ => return None,
        })
    }
}

impl Requirement {
    /// A wish from operator and values.
    ///
    /// # Errors
    /// A bound (`Gt`, `Lt`, `Gte`, `Lte`) needs exactly one value that is a whole number.
    pub fn new(operator: Operator, values: impl IntoIterator<Item = Name>) -> Result<Self, String> {
        let values: BTreeSet<Name> = values.into_iter().collect();
        let plain = |values, complement, absent_ok| Self { values, complement, absent_ok, gte: None, lte: None, min_values: None };
        let none = BTreeSet::new;
        let bound = |values: &BTreeSet<Name>| -> Result<i64, String> {
            let [value] = values.iter().collect::<Vec<_>>()[..] else {
                return Err(format!("{operator:?} needs exactly one value, and has {}", values.len()));
            };
            value.parse().map_err(|_| format!("{operator:?} needs a whole number, and has `{value}`"))
        };
        Ok(match operator {
            Operator::In => plain(values, false, false),
            Operator::NotIn => plain(values, true, true),
            Operator::Exists => plain(none(), true, false),
            Operator::DoesNotExist => plain(none(), false, true),
            Operator::Gt => Self { gte: Some(bound(&values)?.saturating_add(1)), ..plain(none(), true, false) },
            Operator::Gte => Self { gte: Some(bound(&values)?), ..plain(none(), true, false) },
            Operator::Lt => Self { lte: Some(bound(&values)?.saturating_sub(1)), ..plain(none(), true, false) },
            Operator::Lte => Self { lte: Some(bound(&values)?), ..plain(none(), true, false) },
        })
    }

    /// The wish for exactly this value.
    #[must_use]
    pub fn is(value: Name) -> Self {
        Self { values: BTreeSet::from([value]), complement: false, absent_ok: false, gte: None, lte: None, min_values: None }
    }

    /// Whether this value answers the wish.
    #[must_use]
    pub fn allows(&self, value: &str) -> bool {
        self.within(value) && self.values.contains(value) != self.complement
    }

    /// Whether a node without the label answers the wish.
    #[must_use]
    pub const fn allows_absence(&self) -> bool {
        self.absent_ok
    }

    fn within(&self, value: &str) -> bool {
        if self.gte.is_none() && self.lte.is_none() {
            return true;
        }
        value.parse::<i64>().is_ok_and(|number| self.gte.is_none_or(|low| low <= number) && self.lte.is_none_or(|high| number <= high))
    }

    /// Both wishes at once.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let gte = self.gte.max(other.gte);
        let lte = [self.lte, other.lte].into_iter().flatten().min();
        let complement = self.complement && other.complement;
        let absent_ok = self.absent_ok && other.absent_ok;
        let min_values = self.min_values.max(other.min_values);
        if let (Some(low), Some(high)) = (gte, lte)
            && low > high
        {
            return Self { values: BTreeSet::new(), complement: false, absent_ok, gte: None, lte: None, min_values };
        }
        let values = match (self.complement, other.complement) {
            (true, true) => self.values.union(&other.values).cloned().collect(),
            (true, false) => other.values.difference(&self.values).cloned().collect(),
            (false, true) => self.values.difference(&other.values).cloned().collect(),
            (false, false) => self.values.intersection(&other.values).cloned().collect(),
        };
        let mut both = Self { values, complement, absent_ok, gte, lte, min_values };
        if !complement {
            let bounds = both.clone();
            both.values.retain(|value| bounds.within(value));
            (both.gte, both.lte) = (None, None);
        }
        both
    }

    /// Whether any value answers both wishes.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let gte = self.gte.max(other.gte);
        let lte = [self.lte, other.lte].into_iter().flatten().min();
        if gte.zip(lte).is_some_and(|(low, high)| low > high) {
            return false;
        }
        match (self.complement, other.complement) {
            (true, true) => true,
            (false, _) => self.values.iter().any(|value| self.within(value) && other.allows(value)),
            (true, false) => other.values.iter().any(|value| other.within(value) && self.allows(value)),
        }
    }

    /// The allowed values where they are a list.
    #[must_use]
    pub fn listed(&self) -> Option<&BTreeSet<Name>> {
        (!self.complement && !self.values.is_empty()).then_some(&self.values)
    }

    /// Some value that answers the wish, always the same: the least number within its bounds, or the first number that is not excluded. None where only
    /// absence does.
    #[must_use]
    pub fn any(&self) -> Option<Name> {
        if !self.complement {
            return self.values.first().cloned();
        }
        let first = self.gte.or(self.lte.map(|most| most.min(1))).unwrap_or(1);
        let tried = (first..).take(self.values.len() + 1).map(|n| Name::from(n.to_string()));
        tried.into_iter().find(|value| self.allows(value))
    }

    /// The value that a node's label gets where nothing but the wish tells it, as in Karpenter; none where the label may as well be absent.
    #[must_use]
    pub fn settled(&self) -> Option<Name> {
        self.any().filter(|_| !self.absent_ok)
    }

    /// Operators and values as Kubernetes writes them; more than one where bounds and exclusions come together.
    #[must_use]
    pub fn spelled(&self) -> Vec<(&'static str, Vec<Name>)> {
        let mut rows = Vec::new();
        let number = |n: i64| vec![Name::from(n.to_string())];
        if let Some(low) = self.gte {
            rows.push(("Gte", number(low)));
        }
        if let Some(high) = self.lte {
            rows.push(("Lte", number(high)));
        }
        let values: Vec<Name> = self.values.iter().cloned().collect();
        match (self.complement, values.is_empty()) {
            (false, true) => rows.push(("DoesNotExist", values)),
            (false, false) => rows.push(("In", values)),
            (true, false) => rows.push(("NotIn", values)),
            (true, true) if rows.is_empty() && !self.absent_ok => rows.push(("Exists", values)),
            (true, true) => {}
        }
        rows
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (operator, values)) in self.spelled().into_iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            match &values[..] {
                [] => write!(f, "{comma}{operator}")?,
                [one] => write!(f, "{comma}{operator} {one}")?,
                many => write!(f, "{comma}{operator} {}", many.iter().map(Name::as_str).collect::<Vec<_>>().join("|"))?,
            }
        }
        Ok(())
    }
}

/// Wishes for several labels, all of which must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Requirements(pub BTreeMap<Name, Requirement>);

impl Requirements {
    /// Adds one wish to those that are there for its label.
    pub fn add(&mut self, key: Name, wish: &Requirement) {
        self.0.entry(key).and_modify(|mine| *mine = mine.and(wish)).or_insert_with(|| wish.clone());
    }

    /// The wishes of both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        for (key, wish) in &other.0 {
            both.add(key.clone(), wish);
        }
        both
    }

    /// Exactly these labels.
    #[must_use]
    pub fn from_labels(labels: &Labels) -> Self {
        Self(labels.iter().map(|(key, value)| (key.clone(), Requirement::is(value.clone()))).collect())
    }

    /// The first label whose wish these labels do not answer.
    #[must_use]
    pub fn unanswered_by(&self, labels: &Labels) -> Option<&Name> {
        self.0.iter().find(|(key, wish)| labels.get(*key).map_or(!wish.allows_absence(), |value| !wish.allows(value))).map(|(key, _)| key)
    }

    /// The same for a node, of which the field [`NAME`] may be asked too (`matchFields`).
    #[must_use]
    pub fn unanswered_by_node<'a>(&'a self, name: &Name, labels: &Labels) -> Option<&'a Name> {
        let Some((key, wish)) = self.0.get_key_value(NAME) else { return self.unanswered_by(labels) };
        if !wish.allows(name) {
            return Some(key);
        }
        let unanswered =
            |(key, wish): &(&'a Name, &'a Requirement)| labels.get(*key).map_or(!wish.allows_absence(), |value| !wish.allows(value));
        self.0.iter().filter(|(key, _)| *key != NAME).find(unanswered).map(|(key, _)| key)
    }

    /// The first label on which the two have no value in common. Labels that only one of them speaks of do not matter.
    #[must_use]
    pub fn conflict_with<'a>(&'a self, other: &'a Self) -> Option<&'a Name> {
        let (few, many) = if self.0.len() <= other.0.len() { (self, other) } else { (other, self) };
        few.0
            .iter()
            .find(|(key, wish)| many.0.get(*key).is_some_and(|theirs| !(wish.meets(theirs) || wish.absent_ok && theirs.absent_ok)))
            .map(|(key, _)| key)
    }

    /// Whether a node made from `self` can answer the pod's wishes: no conflict, and no wish for a label that `self` leaves undefined unless the label is
    /// one of `given`, which every machine has.
    #[must_use]
    pub fn refuses<'a>(&self, pod: &'a Self, given: &dyn Fn(&str) -> bool) -> Option<&'a Name> {
        pod.0
            .iter()
            .find(|(key, wish)| match self.0.get(*key) {
                Some(mine) => !(mine.meets(wish) || mine.absent_ok && wish.absent_ok),
                None => !wish.allows_absence() && !given(key),
            })
            .map(|(key, _)| key)
    }
}

impl fmt::Display for Requirements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (key, wish)) in self.0.iter().enumerate() {
            write!(f, "{}{key} {wish}", if i > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(operator: Operator, values: &[&str]) -> Requirement {
        Requirement::new(operator, values.iter().map(|v| Name::from(*v))).expect("a wish that is well formed")
    }

    #[test]
    fn intersection_answers_what_both_answer() {
        use Operator::{DoesNotExist, Exists, Gt, Gte, In, Lt, Lte, NotIn};
        let wishes = [
            wish(In, &["1", "3", "a"]),
            wish(In, &["2"]),
            wish(NotIn, &["1", "a"]),
            wish(Exists, &[]),
            wish(DoesNotExist, &[]),
            wish(Gt, &["1"]),
            wish(Gte, &["3"]),
            wish(Lt, &["3"]),
            wish(Lte, &["1"]),
        ];
        for a in &wishes {
            for b in &wishes {
                let both = a.and(b);
                for value in ["0", "1", "2", "3", "4", "a", "b"] {
                    assert_eq!(both.allows(value), a.allows(value) && b.allows(value), "{a} and {b} on {value}");
                }
                assert_eq!(both.allows_absence(), a.allows_absence() && b.allows_absence(), "{a} and {b} on absence");
            }
        }
    }

    #[test]
    fn existing_labels_are_asked_for_even_beside_an_exclusion() {
        let mut wishes = Requirements::default();
        wishes.add("zone".into(), &wish(Operator::Exists, &[]));
        wishes.add("zone".into(), &wish(Operator::NotIn, &["a"]));
        assert!(wishes.unanswered_by(&Labels::new()).is_some());
        assert!(wishes.unanswered_by(&Labels::from([("zone".into(), "b".into())])).is_none());
        assert!(wishes.unanswered_by(&Labels::from([("zone".into(), "a".into())])).is_some());
    }

    #[test]
    fn undefined_labels_are_refused_unless_every_machine_has_them() {
        let pool = Requirements::default();
        let mut pod = Requirements::default();
        pod.add("team".into(), &wish(Operator::In, &["x"]));
        assert_eq!(pool.refuses(&pod, &|_| false).map(Name::as_str), Some("team"));
        assert!(pool.refuses(&pod, &|key| key == "team").is_none());
        let mut not = Requirements::default();
        not.add("team".into(), &wish(Operator::NotIn, &["x"]));
        assert!(pool.refuses(&not, &|_| false).is_none());
    }
}
