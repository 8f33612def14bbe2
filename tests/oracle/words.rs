//! Labels, resources and names that scenes are made of.

/// A node's zone.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// How a node is paid for.
pub const CAPACITY_TYPE: &str = "karpenter.sh/capacity-type";
/// A node's pool.
pub const NODE_POOL: &str = "karpenter.sh/nodepool";
/// A node's name as a label.
pub const HOSTNAME: &str = "kubernetes.io/hostname";
/// A node's type.
pub const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";
/// A node's architecture.
pub const ARCH: &str = "kubernetes.io/arch";
/// A node's operating system.
pub const OS: &str = "kubernetes.io/os";
/// A node's CPUs, of which larger and smaller can be asked.
pub const INSTANCE_CPU: &str = "karpenter.kwok.sh/instance-cpu";
/// A label that some pools ask of their machines, of several values.
pub const TEAM: &str = "example.com/team";
/// A label that some pools put on their nodes.
pub const RING: &str = "example.com/ring";
/// A label that no node has.
pub const NOWHERE: &str = "example.com/nowhere";
/// Values of both.
pub const VALUES: [&str; 2] = ["red", "blue"];
/// An extended resource.
pub const GPU: &str = "example.com/gpu";

/// Namespaces of workloads, with a label that namespace selectors ask for.
pub const NAMESPACES: [(&str, &str); 2] = [("shop", "front"), ("mail", "back")];
/// The label's key.
pub const NAMESPACE_TIER: &str = "tier";
/// Where DaemonSets are.
pub const SYSTEM: &str = "kube-system";

/// Each node has some of a resource of its own, and a pod that asks for it goes to that node and to no other. Selectors and affinity would do so too, and
/// change what counts for topology spread.
pub fn pin(node: &str) -> String {
    format!("pin.example.com/{node}")
}
