//! What is sold in a scene: lists that would be long are made here, and all are read again, apart from the program's own reading.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::case::folder;
use super::scene::{Amounts, amount, text};

/// The system's share of each type, as the program takes it off.
const OVERHEAD: [(&str, f64); 2] = [("cpu", 0.1), ("memory", 10.0 * 1024.0 * 1024.0)];

/// Labels with all values that they may have.
pub type Choices = BTreeMap<String, Vec<String>>;

/// A type.
pub struct Kind {
    pub name: String,
    /// Its labels; only the operating system may have several values.
    pub labels: Choices,
    pub allocatable: Amounts,
    pub offerings: Vec<Offering>,
}

/// Where and how it is sold.
pub struct Offering {
    pub zone: String,
    pub capacity_type: String,
    pub price: f64,
}

/// The file of a list by its name in a case; `fake:N` and `assorted` are made.
pub fn file(name: &str) -> PathBuf {
    let list = match name.strip_prefix("fake:") {
        Some(count) => increasing(count.parse().expect("fake:N has a number")),
        None if name == "assorted" => assorted(),
        None => return folder().join(name),
    };
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("conformance-{}.json", name.replace(':', "-")));
    // Cases run at the same time and write the same: nobody may read half a file.
    let own = path.with_extension(format!("{:?}", std::thread::current().id()));
    fs::write(&own, Value::Array(list).to_string()).expect("written");
    fs::rename(&own, &path).expect("renamed");
    path
}

/// Types of 1, 2, 3 ... CPUs with 2 GiB and 10 pods for each.
fn increasing(count: u32) -> Vec<Value> {
    let offerings = [("spot", 1), ("spot", 2), ("on-demand", 1), ("on-demand", 2), ("on-demand", 3)];
    let systems = ["darwin", "linux", "windows"];
    let kind = |n: u32| made(&format!("fake-it-{}", n - 1), "amd64", &systems, (n, 2 * n, 10 * n), &offerings);
    (1..=count).map(kind).collect()
}

/// Types that differ in CPU, memory, architecture, operating system, zone and capacity type.
fn assorted() -> Vec<Value> {
    let mut list = Vec::new();
    for cpu in [1, 2, 4, 8, 16, 32, 64] {
        for memory in [1, 2, 4, 8, 16, 32, 64, 128] {
            for zone in 1..=3 {
                for capacity_type in ["spot", "on-demand"] {
                    for system in ["linux", "windows"] {
                        for architecture in ["amd64", "arm64"] {
                            let name = format!("{cpu}-cpu-{memory}-mem-{architecture}-{system}-test-zone-{zone}-{capacity_type}");
                            list.push(made(&name, architecture, &[system], (cpu, memory, 5), &[(capacity_type, zone)]));
                        }
                    }
                }
            }
        }
    }
    list
}

/// A type at 0.1 dollars a CPU and 0.1 dollars for 10^9 bytes.
fn made(name: &str, architecture: &str, systems: &[&str], (cpu, gib, pods): (u32, u32, u32), sold: &[(&str, u32)]) -> Value {
    let price = 0.1 * f64::from(cpu) + 0.1 * f64::from(gib) * 1.073_741_824;
    let offerings: Vec<Value> = sold
        .iter()
        .map(|(capacity_type, zone)| {
            json!({ "Price": price, "Requirements": [
                { "key": "karpenter.sh/capacity-type", "operator": "In", "values": [capacity_type] },
                { "key": "topology.kubernetes.io/zone", "operator": "In", "values": [format!("test-zone-{zone}")] },
            ]})
        })
        .collect();
    let resources = json!({ "cpu": cpu.to_string(), "memory": format!("{gib}Gi"), "pods": pods.to_string() });
    // Labels of one provider's own: `special` is only on some of its types.
    let labels = if cpu > 4 && gib > 8 {
        json!({ "integer": cpu.to_string(), "size": "large", "special": "optional" })
    } else {
        json!({ "integer": cpu.to_string(), "size": "small" })
    };
    json!({
        "name": name, "architecture": architecture, "operatingSystems": systems, "resources": resources, "labels": labels, "offerings": offerings
    })
}

/// Reads a list.
pub fn read(path: &Path) -> Result<Vec<Kind>, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let list: Vec<Value> = serde_json::from_slice(&fs::read(path).map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
    Ok(list.iter().map(kind).collect())
}

fn kind(entry: &Value) -> Kind {
    let name = text(&entry["name"]);
    let systems = entry["operatingSystems"].as_array().into_iter().flatten().map(text).collect();
    let mut labels: Choices = BTreeMap::from([
        ("node.kubernetes.io/instance-type".to_owned(), vec![name.clone()]),
        ("kubernetes.io/arch".to_owned(), vec![text(&entry["architecture"])]),
        ("kubernetes.io/os".to_owned(), systems),
        ("karpenter.kwok.sh/instance-cpu".to_owned(), vec![text(&entry["resources"]["cpu"])]),
    ]);
    labels.extend(entry["labels"].as_object().into_iter().flatten().map(|(key, value)| (key.clone(), vec![text(value)])));
    let mut allocatable: Amounts = BTreeMap::from([("pods".to_owned(), 110.0)]);
    allocatable.extend(entry["resources"].as_object().into_iter().flatten().map(|(name, value)| (name.clone(), amount(value))));
    for (name, share) in OVERHEAD {
        allocatable.entry(name.to_owned()).and_modify(|whole| *whole -= share);
    }
    let offerings = entry["offerings"].as_array().into_iter().flatten().filter(|sale| sale["Available"] != json!(false));
    Kind { name, labels, allocatable, offerings: offerings.flat_map(sales).collect() }
}

/// One offering for each zone and capacity type of an entry.
fn sales(sale: &Value) -> Vec<Offering> {
    let values = |key: &str| -> Vec<String> {
        let wishes = sale["Requirements"].as_array().into_iter().flatten();
        wishes.filter(|wish| wish["key"] == key).flat_map(|wish| wish["values"].as_array().into_iter().flatten().map(text)).collect()
    };
    let price = sale["Price"].as_f64().unwrap_or_default();
    let of_zone = |zone: &String| -> Vec<Offering> {
        let types = values("karpenter.sh/capacity-type").into_iter();
        types.map(|capacity_type| Offering { zone: zone.clone(), capacity_type, price }).collect()
    };
    values("topology.kubernetes.io/zone").iter().flat_map(of_zone).collect()
}
