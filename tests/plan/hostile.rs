//! Files that nobody should have to read: each is answered within a time and a memory, with what is wrong, and never with a crash.

use std::process::Command;

use super::{PROGRAM, Said};
use crate::check::Folder;
use crate::check::files::packed;

/// Address space, in KiB. A cluster may have five times the values of what `check` reads in one file.
const MEMORY_KIB: u32 = 4 * 1024 * 1024;
/// For a debug build on a machine that does other things too.
const TIME_S: u32 = 120;

fn plan(name: &str, content: impl AsRef<[u8]>) -> Said {
    let folder = Folder::new(&format!("plan-{name}"));
    folder.write("a.yaml", content);
    let script = format!("ulimit -v {MEMORY_KIB}; exec timeout {TIME_S} {PROGRAM} plan -f a.yaml");
    let said = Said::of(Command::new("sh").args(["-c", &script]).current_dir(&folder.0).output().expect("sh starts"));
    let shown: String = format!("{}{}", said.out, said.errors).chars().take(2000).collect();
    assert!(matches!(said.code, Some(0..=2)), "{name}: code {:?} (124 is a hang, none a crash)\n{shown}", said.code);
    assert!(!said.errors.contains("panicked"), "{name}: {shown}");
    said
}

#[test]
fn bombs_do_not_go_off() {
    let mib = vec![b' '; 1 << 20];
    let said = plan("gz", packed(&mib.repeat(513)));
    assert!(said.code == Some(2) && said.errors.contains("more than 512 MiB, unpacked"), "{}", said.errors);
    let mut text = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for i in 1..10 {
        text += &format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 9].join(", "));
    }
    let said = plan("aliases", &text);
    assert!(said.errors.contains("there are more than 20000000 values in this file"), "{}", said.errors);
    plan("brackets", "[".repeat(100_000));
    plan("binary", [0xff; 5000]);
}

/// What the fuzzer and others have found is tried again and again.
#[test]
fn what_was_found_once_is_not_found_twice() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plan/found");
    let mut found = 0;
    for entry in std::fs::read_dir(folder).expect("the folder of findings") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let said = plan(&format!("found-{name}"), std::fs::read(&path).expect("a finding"));
        assert!(!said.errors.contains("defect"), "{name}: {}", said.errors);
        found += 1;
    }
    assert!(found > 0, "no findings are on record");
}

/// A Deployment, a pod and a node with this in the places where numbers stand.
fn scene(number: &str, quantity: &str, moment: &str) -> String {
    let stem = include_str!("cases/burst.yaml")
        .replace("replicas: 0", &format!("replicas: {number}"))
        .replace("maxReplicaCount: 100", &format!("maxReplicaCount: {number}"));
    let requests = format!("resources: {{requests: {{cpu: {quantity}, memory: {quantity}, example.com/x: {quantity}}}}}");
    format!(
        "{stem}
---
apiVersion: v1
kind: Pod
metadata: {{name: waits, creationTimestamp: {moment}}}
spec: {{priority: {number}, containers: [{{name: a, {requests}}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: runs, creationTimestamp: {moment}}}
spec: {{nodeName: node, containers: [{{name: a, {requests}}}, {{name: b, {requests}}}]}}
---
apiVersion: v1
kind: Node
metadata: {{name: node, creationTimestamp: {moment}, labels: {{karpenter.sh/nodepool: workers}}}}
status: {{allocatable: {{cpu: {quantity}, memory: {quantity}, pods: {quantity}}}}}
---
apiVersion: karpenter.sh/v1
kind: NodeClaim
metadata: {{name: claim, creationTimestamp: {moment}, labels: {{karpenter.sh/nodepool: workers}}}}
spec:
  nodeClassRef: {{group: karpenter.kwok.sh, kind: KWOKNodeClass, name: default}}
  requirements: []
  resources: {{requests: {{cpu: {quantity}}}}}
status:
  providerID: x
  allocatable: {{cpu: {quantity}}}
  conditions: [{{type: Launched, status: 'True', lastTransitionTime: {moment}}}]
"
    )
}

#[test]
fn numbers_at_their_ends_are_answered() {
    let numbers = ["2147483647", "-2147483648", "99999999999999999999", "1e9", "many"];
    let quantities = ["9223372036854775807", "-9223372036854775808", "1e18E", "0", "1n", "-1"];
    let moments = ["'9999-12-30T22:00:00Z'", "'-009999-01-02T01:59:59Z'", "yesterday"];
    for i in 0..numbers.len() * quantities.len() {
        let (number, quantity) = (numbers[i % numbers.len()], quantities[i % quantities.len()]);
        for moment in moments.iter().skip(i % 2).step_by(2) {
            plan(&format!("numbers-{i}"), scene(number, quantity, moment));
        }
    }
}

#[test]
fn a_million_replicas_are_enough() {
    let text = include_str!("cases/burst.yaml").replace("replicas: 0", "replicas: 2147483647");
    let said = plan("replicas", text);
    assert!(said.out.contains("2147483647 replicas are more than is planned for at a time"), "{}", said.out);
}

/// A name cannot speak to the terminal or break a line.
#[test]
fn names_stay_on_their_line() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: \"a\\e[31m\\nb\"}\nspec: {containers: []}\n";
    let said = plan("names", format!("{pod}---\napiVersion: v1\nkind: \"X\\e[31m\\n\"\nmetadata: {{name: x}}\n"));
    assert!(said.errors.contains("a.yaml:3 Pod/a?[31m?b: metadata.name: it is no name"), "{}", said.errors);
    assert!(!said.out.contains('\u{1b}') && !said.errors.contains('\u{1b}'), "{:?}{:?}", said.out, said.errors);
}
