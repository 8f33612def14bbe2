//! The catalogue against figures of the kwok provider, and lists with mistakes.

use std::fmt::Write as _;
use std::io::Write as _;

use sha2::{Digest, Sha256};

use super::*;

/// One line for each offering, in an order that does not depend on ours.
fn table(types: &[InstanceType]) -> Vec<String> {
    let mut rows = Vec::new();
    for kind in types {
        let label = |key: &str| kind.labels.0.get(key).map(ToString::to_string).unwrap_or_default().trim_start_matches("In ").to_owned();
        let (architecture, os, c) = (label("kubernetes.io/arch"), label("kubernetes.io/os"), &kind.capacity);
        for offering in kind.offerings.iter().filter(|offering| offering.available) {
            let amounts = format!("{}|{}|{}|{}", c.cpu.0, c.memory.0, c.pods, c.ephemeral.0);
            let sale = format!("{}|{}|{}", offering.zone, offering.capacity_type, offering.price.0);
            rows.push(format!("{}|{architecture}|{os}|{amounts}|{sale}", kind.name));
        }
    }
    rows.sort();
    rows
}

#[test]
fn the_formula_makes_the_list_of_the_kwok_provider() {
    let types = kwok_types();
    assert_eq!(types.len(), 144);
    assert!(types.is_sorted_by(|a, b| a.name < b.name));
    let rows = table(&types);
    assert_eq!(rows.len(), 1152);
    assert_eq!(rows[0], "c-128x-amd64-linux|amd64|linux|128000|274877906944|1024|21474836480|test-zone-a|on-demand|3474878");
    assert!(rows.contains(&"c-1x-amd64-linux|amd64|linux|1000|2147483648|16|21474836480|test-zone-b|spot|19003".to_owned()));
    assert!(rows.contains(&"m-256x-arm64-windows|arm64|windows|256000|2199023255552|1024|21474836480|test-zone-a|spot|6019316".to_owned()));
    let mut digest = Sha256::new();
    for row in rows {
        digest.update(format!("{row}\n"));
    }
    // The same lines made from the provider's own list have this checksum.
    let text = digest.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    assert_eq!(text, "8fd0e102c4785a8fde526dfc879632ede1d11dc05b122d09d1bdd2d15dcbf4e3");
}

#[test]
fn a_type_of_a_list_may_have_labels_of_its_own() {
    let list = r#"[{"name": "a", "architecture": "amd64", "operatingSystems": ["linux"], "resources": {"cpu": "1", "memory": "1Gi"},
        "labels": {"example.com/disk": "fast"}, "offerings": []}]"#;
    let types = parse(list.as_bytes(), &kwok_overhead()).expect("a list");
    let labels = types.first().expect("a type").labels.to_string();
    assert!(labels.starts_with("example.com/disk In fast, karpenter.kwok.sh/instance-cpu In 1, "), "{labels}");
}

#[test]
fn a_type_has_the_labels_and_the_overhead_of_the_provider() {
    let types = kwok_types();
    let kind = types.iter().find(|kind| kind.name == *"m-256x-amd64-linux").expect("a type of the list");
    assert_eq!(
        kind.labels.to_string(),
        "karpenter.kwok.sh/instance-cpu In 256, karpenter.kwok.sh/instance-family In m, karpenter.kwok.sh/instance-memory In 2Ti, \
         karpenter.kwok.sh/instance-size In 256, karpenter.kwok.sh/instance-type In m-256x-amd64-linux, kubernetes.io/arch In amd64, \
         kubernetes.io/os In linux, node.kubernetes.io/instance-type In m-256x-amd64-linux"
    );
    assert_eq!(kind.allocatable.cpu, MilliCpu(255_900));
    assert_eq!(kind.allocatable.memory, Bytes((2 << 40) - (10 << 20)));
    assert_eq!((kind.allocatable.pods, kind.allocatable.ephemeral), (1024, Bytes(20 << 30)));
}

const LIST: &str = r#"[
 {"name": "m5.2xlarge", "architecture": "amd64", "operatingSystems": ["linux", "windows"],
  "resources": {"cpu": 8, "memory": "32768Mi", "pods": "58", "nvidia.com/gpu": "1"},
  "offerings": [{"Price": 0.384, "Available": false, "Requirements": [
     {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]},
     {"key": "topology.k8s.aws/zone-id", "operator": "In", "values": ["x"]},
     {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a", "b"]}]}]},
 {"name": "A", "architecture": "arm64", "operatingSystems": ["linux"], "resources": {"cpu": "50m", "memory": "1Gi"}, "offerings": []}
]"#;

#[test]
fn a_list_is_read_plain_and_packed() {
    let types = parse(LIST.as_bytes(), &kwok_overhead()).expect("a list that is well formed");
    assert_eq!(types[0].name, *"A");
    assert_eq!((types[0].capacity.pods, types[0].allocatable.cpu), (110, MilliCpu(0)), "overhead never makes less than nothing");
    let big = &types[1];
    assert_eq!((big.capacity.cpu, big.capacity.memory, big.capacity.get("nvidia.com/gpu")), (MilliCpu(8000), Bytes(32 << 30), 1));
    for (key, value) in [("size", "2xlarge"), ("family", "m5"), ("cpu", "8"), ("memory", "32Gi")] {
        assert!(big.labels.0[format!("karpenter.kwok.sh/instance-{key}").as_str()].allows(value), "{key}: {}", big.labels);
    }
    assert!(big.labels.0["kubernetes.io/os"].allows("windows") && big.labels.0["kubernetes.io/os"].allows("linux"));
    assert_eq!(big.offerings.len(), 2);
    assert!(big.offerings.iter().all(|offering| !offering.available && offering.price == MicroDollarsPerHour(384_000)));

    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(LIST.as_bytes()).expect("memory");
    assert_eq!(parse(&packer.finish().expect("memory"), &kwok_overhead()).expect("the same list"), types);
}

#[test]
fn every_mistake_is_named_with_its_entry_and_field() {
    let cases = [
        (r#""cpu": 8"#, r#""cpu": "8x""#, "[0] `m5.2xlarge`: resources.cpu: `8x`"),
        (r#""cpu": 8, "#, "", "[0] `m5.2xlarge`: resources.cpu: is missing"),
        (r#""Price": 0.384"#, r#""Price": "0.384""#, "[0] `m5.2xlarge`: offerings[0].Price: invalid type"),
        (r#""Price": 0.384"#, r#""Price": -1"#, "[0] `m5.2xlarge`: offerings[0].Price: `-1` is not a price"),
        (r#"["on-demand"]"#, r#"["ondemand"]"#, "offerings[0].Requirements: karpenter.sh/capacity-type is spot, on-demand or reserved"),
        (r#"["a", "b"]"#, "[]", "offerings[0].Requirements: topology.kubernetes.io/zone needs"),
        (r#"["linux", "windows"]"#, "[]", "operatingSystems: is empty"),
        (r#""architecture": "arm64","#, "", "[1] `A`: .: missing field `architecture`"),
        (r#""name": "A""#, r#""name": "m5.2xlarge""#, "[1] `m5.2xlarge`: name: an earlier entry has the same"),
    ];
    for (from, to, expected) in cases {
        let text = LIST.replacen(from, to, 1);
        assert_ne!(text, LIST, "{from}");
        let error = parse(text.as_bytes(), &kwok_overhead()).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
    let both = LIST.replace(r#""cpu": "50m""#, r#""cpu": """#).replace("32768Mi", "much");
    assert_eq!(parse(both.as_bytes(), &kwok_overhead()).expect_err("two mistakes").to_string().lines().count(), 2);
    assert!(matches!(parse(b"{}", &kwok_overhead()), Err(CatalogError::Read(_))));
    assert!(matches!(parse(&[0x1f, 0x8b, 1], &kwok_overhead()), Err(CatalogError::Unpack(_))));
}

#[test]
fn a_list_that_unpacks_without_end_is_refused() {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let spaces = vec![b' '; 1 << 20];
    for _ in 0..=(LIMIT >> 20) {
        packer.write_all(&spaces).expect("memory");
    }
    assert!(matches!(parse(&packer.finish().expect("memory"), &kwok_overhead()), Err(CatalogError::TooLong { .. })));
}
