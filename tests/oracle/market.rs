//! What a scene's cloud sells: a few of the types below, each in some zones, as Spot or on demand.

use serde_json::{Value, json};

use super::chance::Chance;
use super::selector::Labels;
use super::words::{ARCH, CAPACITY_TYPE, GPU, INSTANCE_TYPE, OS, ZONE};

/// Zones.
pub const ZONES: [&str; 3] = ["zone-a", "zone-b", "zone-c"];
/// How machines are paid for.
pub const CAPACITY_TYPES: [&str; 2] = ["spot", "on-demand"];

/// Name, architecture, CPUs, memory in GiB, places for pods, GPUs.
const TYPES: [(&str, &str, u32, u32, u32, u32); 8] = [
    ("c-2x-amd64-linux", "amd64", 2, 4, 8, 0),
    ("c-4x-amd64-linux", "amd64", 4, 8, 110, 0),
    ("m-4x-amd64-linux", "amd64", 4, 32, 110, 0),
    ("s-8x-amd64-linux", "amd64", 8, 32, 29, 0),
    ("c-16x-amd64-linux", "amd64", 16, 32, 110, 0),
    ("s-4x-arm64-linux", "arm64", 4, 16, 110, 0),
    ("c-8x-arm64-linux", "arm64", 8, 16, 58, 0),
    ("g-8x-amd64-linux", "amd64", 8, 32, 110, 4),
];
/// What a machine has in local storage, in GiB.
const STORAGE_GIB: u32 = 20;
/// What the catalogue takes of each machine for the system: CPU in millicores, memory in MiB.
const OVERHEAD: (u32, u32) = (100, 10);

/// A type.
#[derive(Clone, Debug)]
pub struct Type {
    /// Its name.
    pub name: &'static str,
    arch: &'static str,
    cpus: u32,
    memory_gib: u32,
    pods: u32,
    gpus: u32,
    /// Where and how it is sold.
    pub sales: Vec<Sale>,
}

/// A type in a zone at a capacity type.
#[derive(Clone, Debug)]
pub struct Sale {
    /// The zone.
    pub zone: &'static str,
    /// How it is paid for.
    pub capacity_type: &'static str,
    price: f64,
    /// Whether it is to be had.
    pub available: bool,
}

/// A market of a few types; with GPUs where these are wanted.
pub fn market(seed: u64, with_gpus: bool) -> Vec<Type> {
    let mut chance = Chance::of(seed, "market", 0);
    let plain: Vec<_> = TYPES.iter().filter(|kind| kind.5 == 0).collect();
    let mut kinds = chance.some(&plain, 4);
    if with_gpus {
        kinds.extend(TYPES.iter().filter(|kind| kind.5 > 0));
    }
    let zones = &ZONES[..chance.pick(&[1, 2, 2, 3, 3, 3])];
    kinds
        .into_iter()
        .map(|(name, arch, cpus, memory_gib, pods, gpus)| {
            let list_price = f64::from(*cpus) * 0.025 + f64::from(*memory_gib) * 0.001 + f64::from(*gpus) * 0.5;
            let mut sales = Vec::new();
            for zone in zones {
                for capacity_type in CAPACITY_TYPES {
                    let price = if capacity_type == "spot" { list_price * 0.7 } else { list_price };
                    // Prices of zones differ by a few percent.
                    let price = price * f64::from(u32::try_from(chance.between(95, 105)).unwrap_or(100)) / 100.0;
                    let price = (price * 1e6).round() / 1e6;
                    if !chance.one_in(6) {
                        sales.push(Sale { zone, capacity_type, price, available: !chance.one_in(12) });
                    }
                }
            }
            Type { name, arch, cpus: *cpus, memory_gib: *memory_gib, pods: *pods, gpus: *gpus, sales }
        })
        .collect()
}

impl Type {
    /// As an entry of the list that `--instance-types` names.
    pub fn entry(&self) -> Value {
        let sales = self.sales.iter().map(|sale| {
            let is = |key: &str, value: &str| json!({"key": key, "operator": "In", "values": [value]});
            let requirements = [is(CAPACITY_TYPE, sale.capacity_type), is(ZONE, sale.zone)];
            json!({"Price": sale.price, "Available": sale.available, "Requirements": requirements})
        });
        json!({
            "name": self.name,
            "architecture": self.arch,
            "operatingSystems": ["linux"],
            "resources": self.resources((0, 0)),
            "offerings": sales.collect::<Vec<_>>(),
        })
    }

    /// What its nodes have for pods.
    pub fn allocatable(&self) -> Value {
        self.resources(OVERHEAD)
    }

    fn resources(&self, (cpu, memory): (u32, u32)) -> Value {
        let mut all = json!({
            "cpu": format!("{}m", self.cpus * 1000 - cpu),
            "memory": format!("{}Mi", self.memory_gib * 1024 - memory),
            "pods": self.pods.to_string(),
            "ephemeral-storage": format!("{STORAGE_GIB}Gi"),
        });
        if self.gpus > 0 {
            all[GPU] = json!(self.gpus.to_string());
        }
        all
    }

    /// CPU for pods, in millicores.
    pub const fn milli(&self) -> u32 {
        self.cpus * 1000 - OVERHEAD.0
    }

    /// The labels of a node of this type that is sold so.
    pub fn labels(&self, zone: &str, capacity_type: &str) -> Labels {
        let cpus = self.cpus.to_string();
        let family = self.name.split('-').next().unwrap_or_default();
        let rows = [
            (INSTANCE_TYPE, self.name),
            (ARCH, self.arch),
            (OS, "linux"),
            ("karpenter.kwok.sh/instance-type", self.name),
            ("karpenter.kwok.sh/instance-size", &cpus),
            ("karpenter.kwok.sh/instance-family", family),
            ("karpenter.kwok.sh/instance-cpu", &cpus),
            ("karpenter.kwok.sh/instance-memory", &format!("{}Gi", self.memory_gib)),
            (ZONE, zone),
            (CAPACITY_TYPE, capacity_type),
        ];
        rows.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }
}
