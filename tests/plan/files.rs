//! One cluster in many forms is one plan; and what is asked for on the command line.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{PROGRAM, Said, folder, plan, without_times};
use crate::check::Folder;
use crate::check::files::packed;

/// The documents of a case.
fn documents(name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder().join(name)).expect("the case");
    text.split("\n---\n").map(str::to_owned).collect()
}

/// The documents of several cases that have nothing in common but their pool, which is there once.
fn scene() -> Vec<String> {
    let mut all: Vec<String> =
        ["burst.yaml", "existing-nodes-first.yaml", "taints.yaml", "daemons.yaml"].iter().flat_map(|n| documents(n)).collect();
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|document| {
        let plain: String = document.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
        let head: Vec<&str> = plain.lines().take(3).collect();
        seen.insert(head.join("\n").trim().to_owned())
    });
    all
}

fn planned(folder: &Path, arguments: &[&str]) -> String {
    let more = ["--reading", "s0-rabbitmq-orders=120", "-o", "json"];
    let said = plan(folder, &[arguments, &more].concat());
    assert_eq!(said.errors, "");
    without_times(&said.out)
}

#[test]
fn neither_order_nor_form_of_files_makes_a_difference() {
    let documents = scene();
    let folder = Folder::new("plan-forms");
    folder.write("all.yaml", documents.join("\n---\n"));
    let expected = planned(&folder.0, &["-f", "all.yaml"]);
    assert!(expected.contains("\"nodeClaims\": [\n    {") && expected.contains("\"placements\": [\n    {"), "{expected}");
    let reversed: Vec<String> = documents.iter().rev().cloned().collect();
    folder.write("reversed.yaml", reversed.join("\n---\n"));
    folder.write("all.yaml.gz", packed(documents.join("\n---\n").as_bytes()));
    let indented = |document: &String| {
        let lines: Vec<&str> = document.lines().filter(|line| !line.starts_with('#')).collect();
        format!("- {}\n", lines.join("\n  "))
    };
    let items: String = documents.iter().map(indented).collect();
    folder.write("list.yaml", format!("apiVersion: v1\nkind: List\nitems:\n{items}"));
    for (i, document) in documents.iter().enumerate() {
        folder.write(&format!("apart/{i:02}.yaml"), document);
    }
    for form in ["reversed.yaml", "all.yaml.gz", "list.yaml", "apart"] {
        assert_eq!(planned(&folder.0, &["-f", form]), expected, "{form}");
    }
    let half = folder.0.join("apart/00.yaml");
    std::fs::rename(&half, folder.0.join("first.yaml")).expect("moved");
    assert_eq!(planned(&folder.0, &["-f", "apart", "first.yaml"]), expected, "a folder and a file");
}

#[test]
fn standard_input_is_read() {
    let mut child = Command::new(PROGRAM)
        .args(["plan", "-f", "-", "--reading", "shop/orders=120"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    child.stdin.take().expect("its input").write_all(documents("burst.yaml").join("\n---\n").as_bytes()).expect("written");
    let said = Said::of(child.wait_with_output().expect("it ends"));
    assert_eq!((said.code, said.errors.as_str()), (Some(0), ""));
    assert!(said.out.contains("Deployment shop/orders: 0 -> 12"), "{}", said.out);
}

#[test]
fn instance_types_come_from_a_file_packed_or_not() {
    let types = r#"[{"name": "one", "architecture": "amd64", "operatingSystems": ["linux"], "resources": {"cpu": "14", "memory": "64Gi"},
        "offerings": [{"Price": 0.25, "Requirements": [
            {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot"]},
            {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["moon"]}]}]}]"#;
    let scene = Folder::new("plan-types");
    scene.write("types.json", types).write("types.json.gz", packed(types.as_bytes())).write("broken.json", "[{\"name\": 1}]");
    scene.write("all.yaml", documents("burst.yaml").join("\n---\n"));
    for file in ["types.json", "types.json.gz"] {
        let out = planned(&scene.0, &["-f", "all.yaml", "--instance-types", file]);
        let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        let claim = &json["nodeClaims"][0];
        assert_eq!(
            (claim["instanceType"].as_str(), claim["zone"].as_str(), claim["capacityType"].as_str()),
            (Some("one"), Some("moon"), Some("spot"))
        );
        assert_eq!((claim["pricePerHour"].as_f64(), claim["pods"].as_array().map(Vec::len)), (Some(0.25), Some(12)));
        assert_eq!(json["totals"]["pricePerHour"].as_f64(), Some(0.25));
    }
    for (file, what) in [("broken.json", "instance type [0] ``: name: "), ("none.json", "read the instance types in none.json")] {
        let said = plan(&scene.0, &["-f", "all.yaml", "--instance-types", file]);
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""));
        assert!(said.errors.contains(what), "{}", said.errors);
    }
}

#[test]
fn a_reading_is_for_one_trigger() {
    let table: [(&[&str], &str); 6] = [
        (
            &["s0-rabbitmq-mail=1"],
            "--reading s0-rabbitmq-mail: there is no such trigger; those in these files begin with s0-rabbitmq-orders (shop/orders:0)",
        ),
        (&["shop/orders=1", "shop/orders:0=2"], "--reading shop/orders:0: there are two for this trigger; give one"),
        (&["shop/orders:1=1"], "there is no such trigger"),
        (&["orders"], "write TRIGGER=VALUE"),
        (&["s0-rabbitmq-orders=many"], "is not a quantity"),
        (&["s0-rabbitmq-orders=-1"], "less than 0"),
    ];
    for (readings, what) in table {
        let said = plan(&folder(), &[&["-f", "burst.yaml", "--reading"], readings].concat());
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{readings:?}");
        assert!(said.errors.contains(what), "{readings:?}: {}", said.errors);
    }
    // Two that are called alike.
    let scene = Folder::new("plan-alike");
    let text = documents("burst.yaml").join("\n---\n");
    scene.write(
        "a.yaml",
        format!(
            "{text}\n---\n{}",
            text.replace("namespace: shop", "namespace: mall").split("\n---\n").take(2).collect::<Vec<_>>().join("\n---\n")
        ),
    );
    let said = plan(&scene.0, &["-f", "a.yaml", "--reading", "s0-rabbitmq-orders=1"]);
    assert!(said.errors.contains("there are several such triggers; write one of mall/orders:0, shop/orders:0"), "{}", said.errors);
    let said = plan(&scene.0, &["-f", "a.yaml", "--reading", "mall/orders=120", "shop/orders:0=20"]);
    assert!(said.out.contains("mall/orders: 0 -> 12") && said.out.contains("shop/orders: 0 -> 2\n"), "{}{}", said.out, said.errors);
}

#[test]
fn what_cannot_be_read_is_not_planned_around() {
    let scene = Folder::new("plan-unread");
    scene.write("good.yaml", documents("burst.yaml").join("\n---\n")).write("empty.yaml", "# nothing\n").write("broken.yaml", "a: [\n");
    for (arguments, what) in [
        (&["-f", "good.yaml", "missing.yaml"][..], "missing.yaml: there is no such file or folder; correct the path"),
        (&["-f", "empty.yaml"], "there is no object in what was read"),
        (&["-f", "broken.yaml"], "broken.yaml:"),
    ] {
        let said = plan(&scene.0, arguments);
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(said.errors.contains(what), "{arguments:?}: {}", said.errors);
    }
    // A part that is broken hides no other.
    let said = plan(&scene.0, &["-f", "good.yaml", "broken.yaml"]);
    assert_eq!(said.code, Some(1));
    assert!(said.out.contains("shop/orders: stay 0") && said.errors.contains("broken.yaml:"), "{}{}", said.out, said.errors);
}

/// Where `SPRINGTIDE_PEER_DATA` names a folder with large clusters: all of their pods are accounted for, each once, the same whenever it is asked.
#[test]
fn large_clusters_are_planned_to_the_last_pod() {
    let Some(data) = std::env::var_os("SPRINGTIDE_PEER_DATA").map(|data| Path::new(&data).join("plan")) else {
        println!("SPRINGTIDE_PEER_DATA is not set; large clusters were not planned");
        return;
    };
    for (cluster, types, pods) in [
        ("resource-only-1000.json.gz", "market.json.gz", 1000),
        ("queue-burst-2000.json.gz", "market.json.gz", 2000),
        ("diverse-20000.json.gz", "fake400.json.gz", 20_000),
    ] {
        let ask = || plan(&data, &["-f", cluster, "--instance-types", types, "-o", "json"]);
        let said = ask();
        assert!(matches!(said.code, Some(0 | 1)) && !said.errors.contains("defect"), "{cluster}: {}", said.errors);
        let json: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
        let list = |field: &str| json[field].as_array().cloned().unwrap_or_default();
        let mut names: Vec<String> = Vec::new();
        for holder in list("nodeClaims").iter().chain(&list("placements")) {
            names.extend(holder["pods"].as_array().into_iter().flatten().filter_map(|pod| Some(pod.as_str()?.to_owned())));
        }
        assert_eq!(json["totals"]["pods"], names.len());
        names.extend(list("unschedulable").iter().filter_map(|one| Some(one["pod"].as_str()?.to_owned())));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), pods, "{cluster}: each pod has one fate");
        assert_eq!(without_times(&ask().out), without_times(&said.out), "{cluster}");
    }
}
