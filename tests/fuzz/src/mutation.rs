//! Manifests as the fuzzer changes them: by values, as bytes that are changed by chance are hardly ever a manifest again. What a field may
//! hold is learnt from other manifests, which have fields of the same name.

use fastrand::Rng;
use libfuzzer_sys::fuzzer_mutate;
use serde_json::{Map, Value, json};

use crate::LIMITS;
use crate::manifests::parse;

/// Words that mean something somewhere, and numbers, quantities and moments at their ends.
const TEXTS: &str = "In|NotIn|Exists|DoesNotExist|Gt|Lt|Gte|Lte|Equal|NoSchedule|NoExecute|PreferNoSchedule|DoNotSchedule|\
    ScheduleAnyway|Honor|Ignore|\
    Always|True|False|Unknown|Pending|Running|Succeeded|Failed|Max|Min|Disabled|Pods|Percent|spot|on-demand|amd64|arm64|linux|\
    topology.kubernetes.io/zone|kubernetes.io/hostname|kubernetes.io/arch|kubernetes.io/os|node.kubernetes.io/instance-type|\
    karpenter.sh/capacity-type|karpenter.sh/nodepool|karpenter.sh/do-not-disrupt|karpenter.kwok.sh/instance-cpu|\
    karpenter.kwok.sh/instance-memory|test-zone-a|test-zone-b|default|kube-system|WhenEmpty|WhenEmptyOrUnderutilized|\
    WaitForFirstConsumer|Immediate|system-node-critical|Never||*|0|1|-1|1.5|100%|9223372036854775807|-9223372036854775808|2147483647|\
    100m|1Gi|9223372036854775807Ei|1e18E|1n|-1Ki|0.5|30s|1h30m|9999999h|0 0 * * *|@daily|2026-01-01T00:00:00Z|9999-12-30T22:00:00Z|\
    -009999-01-02T01:59:59Z|1970-01-01T00:00:00.000001Z";
const NUMBERS: [i64; 16] =
    [0, 1, 2, 3, 5, 10, 30, 100, 1000, -1, 65_535, i32::MAX as i64, i32::MIN as i64, u32::MAX as i64, i64::MAX, i64::MIN];

/// Manifests made from some, with parts of others; nothing where there are none, or where they would be too long.
pub fn mutant(data: &[u8], others: &[u8], longest: usize, seed: u32) -> Option<String> {
    let mut random = Rng::with_seed(seed.into());
    let mut documents = documents(data);
    let others = self::documents(others);
    // Values that may be taken over: of the others, and of these themselves as they are.
    let known: Vec<Value> = documents.iter().chain(&others).cloned().collect();
    let known = Place::all(&known);
    if known.is_empty() {
        return None;
    }
    for _ in 0..random.usize(1..5) {
        change(&mut documents, &known, &mut random);
    }
    let text: String = documents.iter().map(|document| format!("---\n{document}\n")).collect();
    (text.len() <= longest).then_some(text)
}

fn documents(data: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(data);
    parse(&"a.yaml".into(), &text, &LIMITS).documents.iter().map(|document| document.tree.to_json()).collect()
}

/// A value and where it stands.
struct Place<'a> {
    /// The nearest field that it is of, and whether it is one of that field's list. A document is of no field.
    field: (&'a str, bool),
    value: &'a Value,
}

impl<'a> Place<'a> {
    /// All values, each before those in it: in the order in which [`find`] counts them.
    fn all(documents: &'a [Value]) -> Vec<Self> {
        let mut places = Vec::new();
        documents.iter().for_each(|document| Self::add(("", true), document, &mut places));
        places
    }

    fn add(field: (&'a str, bool), value: &'a Value, places: &mut Vec<Self>) {
        places.push(Self { field, value });
        match value {
            Value::Array(items) => items.iter().for_each(|item| Self::add((field.0, true), item, places)),
            Value::Object(map) => map.iter().for_each(|(key, value)| Self::add((key, false), value, places)),
            _ => {}
        }
    }
}

/// The value at this place, which is counted down.
fn find<'a>(value: &'a mut Value, place: &mut usize) -> Option<&'a mut Value> {
    if *place == 0 {
        return Some(value);
    }
    *place -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| find(item, place)),
        Value::Object(map) => map.values_mut().find_map(|value| find(value, place)),
        _ => None,
    }
}

fn change(documents: &mut Vec<Value>, known: &[Place<'_>], random: &mut Rng) {
    let places: Vec<(String, bool)> = Place::all(documents).iter().map(|place| (place.field.0.to_owned(), place.field.1)).collect();
    // The list of the documents is a place as well, and the one that matters most.
    let mut place = random.usize(0..places.len() + places.len() / 16 + 1);
    let Some((field, is_item)) = places.get(place) else {
        let mut list = std::mem::take(documents);
        change_list(&mut list, "", known, random);
        *documents = list;
        return;
    };
    let Some(value) = documents.iter_mut().find_map(|document| find(document, &mut place)) else { return };
    let alike = |random: &mut Rng| choose(known, random, |known| known.field == (field.as_str(), *is_item));
    match random.u8(0..32) {
        0 => *value = any(known, random),
        1..8 => *value = alike(random).unwrap_or(Value::Null),
        _ => match value {
            Value::Null => *value = any(known, random),
            Value::Bool(is) => *is = !*is,
            Value::Number(number) => *value = other_number(number.as_i64().unwrap_or(0), random).into(),
            Value::String(text) => *text = other_text(text, known, random),
            Value::Array(items) => change_list(items, field, known, random),
            Value::Object(map) => change_map(map, field, known, random),
        },
    }
}

fn change_list(items: &mut Vec<Value>, field: &str, known: &[Place<'_>], random: &mut Rng) {
    let place = random.usize(0..items.len().max(1));
    match random.u8(0..4) {
        0 if !items.is_empty() => drop(items.remove(place)),
        1 if !items.is_empty() => {
            let mut more = items[place].clone();
            // The same object twice is one object; by another name it is one more.
            if let Some(name) = more.pointer_mut("/metadata/name") {
                *name = json!(format!("a{}", random.u8(0..10)));
            }
            items.push(more);
        }
        _ => items.extend(choose(known, random, |known| known.field == (field, true))),
    }
}

fn change_map(map: &mut Map<String, Value>, field: &str, known: &[Place<'_>], random: &mut Rng) {
    let key = map.keys().nth(random.usize(0..map.len().max(1))).cloned();
    match (random.u8(0..4), key) {
        (0, Some(key)) => drop(map.remove(&key)),
        (1, Some(key)) => {
            // Labels and resources are told apart by their keys.
            let value = map.remove(&key).unwrap_or_default();
            map.insert(other_text(&key, known, random), value);
        }
        _ => {
            // A field that others of the same name have.
            if let Some(Value::Object(more)) = choose(known, random, |known| known.field.0 == field && known.value.is_object()) {
                let place = random.usize(0..more.len().max(1));
                map.extend(more.into_iter().nth(place));
            }
        }
    }
}

fn choose(known: &[Place<'_>], random: &mut Rng, fits: impl Fn(&Place<'_>) -> bool) -> Option<Value> {
    random.choice(known.iter().filter(|known| fits(known)).map(|known| known.value).collect::<Vec<_>>()).cloned()
}

fn any(known: &[Place<'_>], random: &mut Rng) -> Value {
    choose(known, random, |_| true).unwrap_or_default()
}

fn other_number(number: i64, random: &mut Rng) -> i64 {
    match random.u8(0..8) {
        0 => number.wrapping_add(1),
        1 => number.wrapping_sub(1),
        2 => number.wrapping_mul(2),
        3 => random.i64(0..20),
        _ => NUMBERS[random.usize(0..NUMBERS.len())],
    }
}

fn other_text(text: &str, known: &[Place<'_>], random: &mut Rng) -> String {
    match random.u8(0..8) {
        0..3 => random.choice(TEXTS.split('|').collect::<Vec<_>>()).unwrap_or_default().to_owned(),
        3 | 4 => {
            choose(known, random, |known| known.value.is_string()).and_then(|found| found.as_str().map(str::to_owned)).unwrap_or_default()
        }
        5 => {
            // The digits become another number, and the unit stays.
            let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{}{unit}", other_number(text[..text.len() - unit.len()].parse().unwrap_or(1), random))
        }
        6 => {
            let mut bytes = text.as_bytes().to_vec();
            let (size, longest) = (bytes.len(), bytes.len() + 8);
            bytes.resize(longest, 0);
            let size = fuzzer_mutate(&mut bytes, size, longest);
            String::from_utf8_lossy(&bytes[..size]).into_owned()
        }
        _ => text.chars().take(random.usize(0..=text.len())).collect(),
    }
}
