//! What could be bought for pods, worked out from the scene's own text: wishes, requests, and the least price.

use serde_json::Value;

use super::scene::{Amounts, CAPACITY_TYPE, Scene, ZONE, amount, items, pairs, text};
use super::sold::{Choices, Kind, Offering};

impl Scene {
    /// The least price of an offering that the NodePool allows, that all pods of a planned NodeClaim allow, and on which they fit together. What DaemonSets
    /// take is not counted.
    pub fn cheapest(&self, claim: &Value) -> Option<f64> {
        let pods: Vec<&Value> = items(&claim["pods"]).filter_map(|pod| self.pod(&text(pod))).map(|(spec, _)| spec).collect();
        let pool = self.object("NodePool", &text(&claim["nodePool"]))?;
        let mut sum = Amounts::new();
        for (name, value) in pods.iter().flat_map(|spec| requests(spec)) {
            *sum.entry(name).or_default() += value;
        }
        let has = |kind: &Kind, name: &str| kind.allocatable.get(name).copied().unwrap_or(0.0);
        // Halves of hundredths add up to a little more than they are.
        let fits = |kind: &&Kind| sum.iter().all(|(name, value)| has(kind, name) >= value - 1e-9);
        let offers = self.kinds.iter().filter(fits).flat_map(|kind| kind.offerings.iter().map(move |offer| (kind, offer)));
        let mut prices = Vec::new();
        for (kind, offer) in offers {
            if machine(pool, kind, offer).is_some_and(|labels| pods.iter().all(|spec| accepts(spec, &labels))) {
                prices.push(offer.price);
            }
        }
        prices.into_iter().min_by(f64::total_cmp)
    }
}

/// The labels that a machine of this pool would have; none where the pool does not take it.
fn machine(pool: &Value, kind: &Kind, offer: &Offering) -> Option<Choices> {
    let template = &pool["spec"]["template"];
    let mut labels = kind.labels.clone();
    labels.insert(ZONE.to_owned(), vec![offer.zone.clone()]);
    labels.insert(CAPACITY_TYPE.to_owned(), vec![offer.capacity_type.clone()]);
    labels.extend(pairs(&template["metadata"]["labels"]).into_iter().map(|(key, value)| (key, vec![value])));
    let wishes: Vec<&Value> = items(&template["spec"]["requirements"]).collect();
    // A label that no machine has of itself is the pool's to give.
    let (given, own): (Vec<&Value>, Vec<&Value>) = wishes.into_iter().partition(|wish| labels.contains_key(&text(&wish["key"])));
    if !given.into_iter().all(|wish| allowed(wish, &labels)) {
        return None;
    }
    for wish in own.into_iter().filter(|wish| wish["operator"] == "In") {
        labels.entry(text(&wish["key"])).or_insert_with(|| items(&wish["values"]).map(text).collect());
    }
    Some(labels)
}

/// Whether a value, or the absence of one, answers a wish as Kubernetes spells it.
pub fn allows(wish: &Value, value: Option<&str>) -> bool {
    let listed = || value.is_some_and(|value| items(&wish["values"]).any(|known| text(known) == value));
    let number = value.and_then(|value| value.parse::<i64>().ok());
    let bound = items(&wish["values"]).next().and_then(|bound| text(bound).parse::<i64>().ok());
    let compare = |holds: fn(&i64, &i64) -> bool| number.zip(bound).is_some_and(|(number, bound)| holds(&number, &bound));
    match wish["operator"].as_str() {
        Some("In") => listed(),
        Some("NotIn") => !listed(),
        Some("Exists") => value.is_some(),
        Some("DoesNotExist") => value.is_none(),
        Some("Gt") => compare(i64::gt),
        Some("Gte") => compare(i64::ge),
        Some("Lt") => compare(i64::lt),
        Some("Lte") => compare(i64::le),
        _ => false,
    }
}

fn allowed(wish: &Value, labels: &Choices) -> bool {
    match labels.get(&text(&wish["key"])) {
        None => allows(wish, None),
        Some(values) => values.iter().any(|value| allows(wish, Some(value))),
    }
}

/// Whether a node with these labels answers a pod's node selector and required node affinity.
fn accepts(spec: &Value, labels: &Choices) -> bool {
    let selected = pairs(&spec["nodeSelector"]).iter().all(|(key, value)| labels.get(key).is_some_and(|values| values.contains(value)));
    let terms = &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    let holds = |term: &Value| items(&term["matchExpressions"]).all(|wish| allowed(wish, labels));
    selected && (terms.is_null() || items(terms).any(holds))
}

/// What a pod asks for: its containers together, or its hungriest init container.
fn requests(spec: &Value) -> Amounts {
    let of = |container: &Value| -> Amounts {
        let asked = [&container["resources"]["requests"], &container["resources"]["limits"]].into_iter().find(|amounts| !amounts.is_null());
        asked.and_then(Value::as_object).into_iter().flatten().map(|(name, value)| (name.clone(), amount(value))).collect()
    };
    let mut sum = Amounts::from([("pods".to_owned(), 1.0)]);
    for (name, value) in items(&spec["containers"]).flat_map(of) {
        *sum.entry(name).or_default() += value;
    }
    for (name, value) in items(&spec["initContainers"]).flat_map(of) {
        let most = sum.entry(name).or_default();
        *most = most.max(value);
    }
    sum
}
