//! Lists of instance types that no cloud has to be asked for: the 144 types of Karpenter's kwok provider, and lists in the shape that it reads from a file.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;

use serde::Deserialize;
use springtide_core::name::Name;
use springtide_core::nodes::offer::{CapacityType, InstanceType, Offering};
use springtide_core::nodes::requirement::{Operator, Requirement, Requirements};
use springtide_core::nodes::resources::Resources;
use springtide_core::nodes::{CAPACITY_TYPE, INSTANCE_TYPE, ZONE};
use springtide_core::units::{Bytes, MicroDollarsPerHour, MilliCpu};

use crate::quantity::Quantity;

/// A list has at most this many bytes, unpacked. All of EC2's types in all zones are some 10 MB; a packed file could otherwise grow without end.
const LIMIT: u64 = 64 << 20;
/// What every packed file begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Places for pods where a list does not tell: the kubelet's default.
const PODS: i64 = 110;
const GIB: i64 = 1 << 30;

/// What the system keeps for itself on each machine of Karpenter's kwok provider.
#[must_use]
pub fn kwok_overhead() -> Resources {
    Resources { cpu: MilliCpu(100), memory: Bytes(10 << 20), ..Resources::default() }
}

/// The 144 types of Karpenter's kwok provider, sorted by name: 12 sizes in 3 families with 2, 4 and 8 GiB for each CPU, for two architectures and two
/// operating systems, each sold in four zones, on demand for 0.025 USD a CPU and 0.001 USD per 10^9 bytes, and as Spot for 70 % of that. The formula is that
/// of the provider's `gen_instance_types.go`.
#[must_use]
pub fn kwok_types() -> Vec<InstanceType> {
    let mut types = Vec::new();
    for cpus in [1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256] {
        for (family, factor) in [("c", 2), ("s", 4), ("m", 8)] {
            for os in ["linux", "windows"] {
                for architecture in ["amd64", "arm64"] {
                    types.push(kwok_type(cpus, family, factor, architecture, os));
                }
            }
        }
    }
    types.sort_by(|a, b| a.name.cmp(&b.name));
    types
}

fn kwok_type(cpus: i64, family: &str, factor: i64, architecture: &str, os: &str) -> InstanceType {
    let name = Name::from(format!("{family}-{cpus}x-{architecture}-{os}"));
    let memory = cpus * factor * GIB;
    let capacity = Resources {
        cpu: MilliCpu(cpus * 1000),
        memory: Bytes(memory),
        ephemeral: Bytes(20 * GIB),
        pods: (16 * cpus).min(1024),
        ..Resources::default()
    };
    // In millionths of a micro dollar, so that both prices are rounded once.
    let price = 25_000 * 1_000_000 * cpus + memory;
    let on_demand = MicroDollarsPerHour((price + 500_000) / 1_000_000);
    let spot = MicroDollarsPerHour((price * 7 + 5_000_000) / 10_000_000);
    let mut offerings = Vec::new();
    for zone in ["test-zone-a", "test-zone-b", "test-zone-c", "test-zone-d"] {
        for (capacity_type, price) in [(CapacityType::Spot, spot), (CapacityType::OnDemand, on_demand)] {
            offerings.push(Offering { zone: zone.into(), capacity_type, price, available: true });
        }
    }
    let cpu_text = cpus.to_string();
    let memory_text = if memory % (1024 * GIB) == 0 { format!("{}Ti", memory / (1024 * GIB)) } else { format!("{}Gi", memory / GIB) };
    let labels = labels(&name, architecture, Requirement::is(os.into()), &cpu_text, &memory_text);
    InstanceType { name, labels, allocatable: without(&capacity, &kwok_overhead()), capacity, offerings }
}

/// The labels that Karpenter's kwok provider gives to a type.
fn labels(name: &Name, architecture: &str, os: Requirement, cpu: &str, memory: &str) -> Requirements {
    let is = |value: &str| Requirement::is(value.into());
    let rows = [
        (INSTANCE_TYPE, Requirement::is(name.clone())),
        ("kubernetes.io/arch", is(architecture)),
        ("kubernetes.io/os", os),
        ("karpenter.kwok.sh/instance-type", Requirement::is(name.clone())),
        ("karpenter.kwok.sh/instance-size", is(size(name).unwrap_or(cpu))),
        ("karpenter.kwok.sh/instance-family", is(family(name))),
        ("karpenter.kwok.sh/instance-cpu", is(cpu)),
        ("karpenter.kwok.sh/instance-memory", is(memory)),
    ];
    Requirements(rows.into_iter().map(|(key, wish)| (key.into(), wish)).collect())
}

/// The size in a name such as `m5.2xlarge`; other names do not tell it.
fn size(name: &str) -> Option<&str> {
    let (family, size) = name.split_once('.')?;
    let word = !family.is_empty() && family.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let known = matches!(size, "nano" | "micro" | "small" | "medium" | "large" | "metal")
        || size.strip_suffix("xlarge").is_some_and(|times| times.chars().all(|c| c.is_ascii_digit()));
    (word && known).then_some(size)
}

/// What stands before the first dot or dash, else the first letter.
fn family(name: &str) -> &str {
    name.split_once(['.', '-']).map_or_else(|| name.split_at_checked(1).map_or(name, |(first, _)| first), |(family, _)| family)
}

/// What is left of a capacity, at the least nothing.
fn without(capacity: &Resources, overhead: &Resources) -> Resources {
    let mut rest = capacity.clone();
    rest.take(overhead, 1);
    rest.max(&Resources::default())
}

/// Reads a list of instance types in the shape that Karpenter's kwok provider reads, plain or packed with gzip, sorted by name.
///
/// ```json
/// [{"name": "c-1x", "architecture": "amd64", "operatingSystems": ["linux"], "resources": {"cpu": "1", "memory": "2Gi"},
///   "offerings": [{"Price": 0.02, "Available": true, "Requirements": [
///     {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot"]},
///     {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a"]}]}]}]
/// ```
/// A type without `pods` has places for 110, an offering without `Available` is available, and requirements for other labels than zone and capacity type are
/// passed over: an offering has no others. `overhead` is taken from each type's resources. A type may have `labels` of its own, which that provider does not
/// read: other clouds' types have labels that pools and pods ask for.
///
/// # Errors
/// All entries that cannot be understood, each with its place.
pub fn parse(json: &[u8], overhead: &Resources) -> Result<Vec<InstanceType>, CatalogError> {
    let unpacked = unpack(json)?;
    let entries: Vec<serde_json::Value> = serde_json::from_slice(&unpacked).map_err(CatalogError::Read)?;
    let (mut types, mut problems, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (number, entry) in entries.into_iter().enumerate() {
        let name = entry.get("name").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        let mut about = |field: String, message: String| problems.push(Problem { number, name: name.clone(), field, message });
        match serde_path_to_error::deserialize::<_, Entry>(entry) {
            Err(error) => about(error.path().to_string(), error.inner().to_string()),
            Ok(entry) => {
                if !names.insert(entry.name.clone()) {
                    about("name".to_owned(), "an earlier entry has the same".to_owned());
                }
                match entry.instance_type(overhead) {
                    Ok(kind) => types.push(kind),
                    Err((field, message)) => about(field, message),
                }
            }
        }
    }
    if !problems.is_empty() {
        return Err(CatalogError::Entries(problems));
    }
    types.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(types)
}

fn unpack(json: &[u8]) -> Result<Vec<u8>, CatalogError> {
    let mut text = Vec::new();
    let read = if json.starts_with(&GZIP) {
        flate2::read::MultiGzDecoder::new(json).take(LIMIT + 1).read_to_end(&mut text)
    } else {
        json.take(LIMIT + 1).read_to_end(&mut text)
    };
    read.map_err(CatalogError::Unpack)?;
    if u64::try_from(text.len()).map_or(true, |length| length > LIMIT) { Err(CatalogError::TooLong { limit: LIMIT }) } else { Ok(text) }
}

/// Why a list of instance types cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// It begins like a packed file and cannot be unpacked.
    #[error("the list of instance types cannot be unpacked")]
    Unpack(#[source] std::io::Error),
    /// It is too long.
    #[error("the list of instance types has more than {limit} bytes")]
    TooLong {
        /// How many bytes it may have, unpacked.
        limit: u64,
    },
    /// It is not a list in JSON.
    #[error("the list of instance types is not a JSON list")]
    Read(#[source] serde_json::Error),
    /// Some of its entries are wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Entries(Vec<Problem>),
}

/// What is wrong about an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The entry's place in the list, from 0.
    pub number: usize,
    /// Its name, or empty.
    pub name: String,
    /// The path of the field within it.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "instance type [{}] `{}`: {}: {}", self.number, self.name, self.field, self.message)
    }
}

/// A field and what is wrong about it.
type Wrong = (String, String);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    name: Name,
    architecture: String,
    operating_systems: Vec<Name>,
    resources: std::collections::BTreeMap<String, Amount>,
    offerings: Vec<Sale>,
    #[serde(default)]
    labels: std::collections::BTreeMap<Name, Name>,
}

/// Kubernetes reads quantities from text and from numbers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Amount {
    Text(String),
    Number(serde_json::Number),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Sale {
    price: f64,
    #[serde(default = "yes")]
    available: bool,
    requirements: Vec<Wish>,
}

#[derive(Deserialize)]
struct Wish {
    key: String,
    operator: String,
    #[serde(default)]
    values: Vec<Name>,
}

const fn yes() -> bool {
    true
}

impl Entry {
    fn instance_type(self, overhead: &Resources) -> Result<InstanceType, Wrong> {
        let wrong = |field: &str, message: &str| (field.to_owned(), message.to_owned());
        if self.name.is_empty() {
            return Err(wrong("name", "is empty"));
        }
        if self.operating_systems.is_empty() {
            return Err(wrong("operatingSystems", "is empty"));
        }
        let mut capacity = Resources { pods: PODS, ..Resources::default() };
        let (mut cpu, mut memory) = (None, None);
        for (resource, amount) in &self.resources {
            let text = match amount {
                Amount::Text(text) => text.clone(),
                Amount::Number(number) => number.to_string(),
            };
            let quantity = Quantity::parse(&text).map_err(|message| (format!("resources.{resource}"), message))?;
            capacity.set(resource, if resource == "cpu" { quantity.milli() } else { quantity.whole() });
            match resource.as_str() {
                "cpu" => cpu = Some(quantity.canonical()),
                "memory" => memory = Some(quantity.canonical()),
                _ => {}
            }
        }
        let cpu = cpu.ok_or_else(|| wrong("resources.cpu", "is missing"))?;
        let memory = memory.ok_or_else(|| wrong("resources.memory", "is missing"))?;
        let os = Requirement::new(Operator::In, self.operating_systems).map_err(|message| wrong("operatingSystems", &message))?;
        let mut offerings = Vec::new();
        for (number, sale) in self.offerings.iter().enumerate() {
            let found = sale.offerings().map_err(|(field, message)| (format!("offerings[{number}].{field}"), message))?;
            offerings.extend(found);
        }
        let mut labels = labels(&self.name, &self.architecture, os, &cpu, &memory);
        labels.0.extend(self.labels.into_iter().map(|(key, value)| (key, Requirement::is(value))));
        Ok(InstanceType { name: self.name, labels, allocatable: without(&capacity, overhead), capacity, offerings })
    }
}

impl Sale {
    /// One offering for each zone and capacity type that it lists.
    fn offerings(&self) -> Result<Vec<Offering>, Wrong> {
        let price = price(self.price).ok_or_else(|| ("Price".to_owned(), format!("`{}` is not a price", self.price)))?;
        let mut found = Vec::new();
        for capacity_type in self.values(CAPACITY_TYPE)? {
            let capacity_type = CapacityType::parse(capacity_type).ok_or_else(|| {
                (
                    "Requirements".to_owned(),
                    format!("{CAPACITY_TYPE} is spot, on-demand or reserved, and `{capacity_type}` is none of them"),
                )
            })?;
            for zone in self.values(ZONE)? {
                found.push(Offering { zone: zone.clone(), capacity_type, price, available: self.available });
            }
        }
        Ok(found)
    }

    fn values(&self, key: &str) -> Result<&[Name], Wrong> {
        let wrong = |message: String| ("Requirements".to_owned(), message);
        let wish = self.requirements.iter().find(|wish| wish.key == key).ok_or_else(|| wrong(format!("{key} is missing")))?;
        if wish.operator != "In" || wish.values.is_empty() {
            return Err(wrong(format!("{key} needs the operator In and at least one value")));
        }
        Ok(&wish.values)
    }
}

/// Dollars to the nearest millionth; none for what is negative, not finite or more than a million dollars an hour.
fn price(dollars: f64) -> Option<MicroDollarsPerHour> {
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked, and far within 64 bits")]
    (0.0..=1e6).contains(&dollars).then(|| MicroDollarsPerHour((dollars * 1e6).round() as i64))
}

#[cfg(test)]
#[path = "catalog_tests.rs"]
mod tests;
