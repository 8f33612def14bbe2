//! The control plane does what a cluster does: nodes become Ready, pods run, tokens work, an outage passes, and nothing is left behind.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::api::{Api, ListParams};
use springtide_testbed::{Options, Plane, wait_for, wait_gone, writes_per_user};

const WITHIN: Duration = Duration::from_secs(60);

const NODE: &str = r#"
apiVersion: v1
kind: Node
metadata:
  name: node-a
  labels: {kwok.x-k8s.io/node: fake, kubernetes.io/arch: arm64}
status:
  capacity: {cpu: "4", memory: 8Gi, pods: "110"}
  allocatable: {cpu: 3800m, memory: 7Gi, pods: "110"}
"#;

const POD: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: pod-a}
spec:
  containers:
    - {name: worker, image: worker, resources: {requests: {cpu: "3"}}}
"#;

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn is_running(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
}

#[tokio::test]
async fn a_node_becomes_ready_a_pod_runs_on_it_and_goes() {
    let plane = Plane::start(Options::default()).await.unwrap();
    let client = plane.client().await.unwrap();
    plane.apply(NODE).await.unwrap();
    let node = wait_for(Api::<Node>::all(client.clone()), "node-a", "to be Ready", WITHIN, is_ready).await.unwrap();
    let status = node.status.unwrap();
    assert_eq!(status.allocatable.unwrap()["cpu"].0, "3800m", "kwok keeps what the machine said");
    assert_eq!(status.node_info.unwrap().architecture, "arm64");

    // The scheduler binds it, kwok runs it.
    plane.apply(POD).await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(client);
    let pod = wait_for(pods.clone(), "pod-a", "to run", WITHIN, is_running).await.unwrap();
    assert_eq!(pod.spec.unwrap().node_name.as_deref(), Some("node-a"));
    pods.delete("pod-a", &Default::default()).await.unwrap();
    wait_gone(pods, "pod-a", WITHIN).await.unwrap();

    let writes = plane.writes().unwrap();
    assert!(writes.iter().any(|write| write.user == "testbed-admin" && write.resource == "pods" && write.name == "pod-a"));
    assert!(writes_per_user(&writes)["system:kube-scheduler"] > 0);
}

#[tokio::test]
async fn a_service_account_has_its_own_rights_and_an_outage_passes() {
    let plane = Plane::start(Options::default()).await.unwrap();
    plane.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: daemon, namespace: kube-system}}").await.unwrap();
    let path = plane.kubeconfig_for_service_account("kube-system", "daemon").await.unwrap();
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains("token") && !text.contains("client-key"));

    let maps: Api<ConfigMap> = Api::default_namespaced(plane.client().await.unwrap());
    plane.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: kept}}").await.unwrap();
    plane.stop_api_server();
    assert!(maps.list(&ListParams::default()).await.is_err(), "nobody answers");
    plane.start_api_server().await.unwrap();
    assert!(maps.get("kept").await.is_ok(), "the same port, the same data");
}

#[tokio::test]
async fn two_planes_stand_side_by_side() {
    let (one, other) = tokio::join!(Plane::start(Options::default()), Plane::start(Options::default()));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_ne!(one.server_url(), other.server_url());
    one.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: mine}}").await.unwrap();
    let maps: Api<ConfigMap> = Api::default_namespaced(other.client().await.unwrap());
    assert!(maps.get_opt("mine").await.unwrap().is_none());
    let folders = [one.folder().to_owned(), other.folder().to_owned()];
    drop((one, other));
    for folder in folders {
        assert!(!folder.exists());
        assert_eq!(processes_naming(&folder), Vec::<u32>::new());
    }
}

/// The owner is another process, which is killed without a chance to clean up.
#[test]
fn a_killed_owner_leaves_nothing_behind() {
    let program = env!("CARGO_BIN_EXE_springtide-testbed");
    let name = format!("to-be-killed-{}", std::process::id());
    let mut owner = Command::new(program).args(["hold", "--name", &name]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    // It prints how to reach what it has started, its plane's folder among it, once all of it is ready.
    let printed = BufReader::new(owner.stdout.take().unwrap()).lines().map_while(Result::ok);
    let folder =
        printed.filter_map(|line| Some(line.strip_prefix("folder:")?.trim().to_owned())).next().expect("the owner prints a folder");
    let folder = Path::new(&folder);
    let left = processes_naming(folder);
    assert!(left.len() >= 5, "a plane has five programs: {left:?}");
    owner.kill().unwrap();
    owner.wait().unwrap();
    let down = Command::new(program).args(["down", "--name", &name]).output().unwrap();
    assert!(down.status.success(), "{down:?}");
    // They have been killed; how soon the kernel has taken them down is its own affair.
    while !processes_naming(folder).is_empty() {
        std::thread::yield_now();
    }
    springtide_testbed::sweep().unwrap();
    assert!(!folder.exists());
}

/// Processes (not those that only wait to be reaped) whose command line names the folder: all parts of a plane do.
fn processes_naming(folder: &Path) -> Vec<u32> {
    let folder = folder.to_str().unwrap();
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains(folder))).collect()
}
